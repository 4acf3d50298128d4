package mmr

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"golang.org/x/sys/unix"

	"meetzone/mmr/internal/description"
	"meetzone/mmr/internal/srtp"
)

// markedConn notes the TOS of all datagrams that arrive.
type markedConn struct {
	*net.UDPConn
	mu  sync.Mutex // guards tos; DTLS reads on a goroutine of its own
	tos []uint8
}

func (c *markedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	oob := make([]byte, 64)
	n, oobn, _, from, err := c.ReadMsgUDP(b, oob)
	if err != nil {
		return 0, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TOS {
			c.tos = append(c.tos, m.Data[0])
		}
	}
	return n, from, nil
}

func (c *markedConn) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

// marks returns all that were seen, once each, and forgets them.
func (c *markedConn) marks() []uint8 {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := slices.Compact(slices.Sorted(slices.Values(c.tos)))
	c.tos = nil
	return seen
}

// TestClassOfSTUNAndDTLS: both travel with the mark of their transport's medium, to the last close_notify.
func TestClassOfSTUNAndDTLS(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	m := tr.open(t)
	for medium, want := range map[Medium]uint8{Audio: 46 << 2, Video: 34 << 2, Content: 36 << 2} {
		mb := join(t, m, EndpointID(medium.String()), 1)
		p := probe(t, tr.plane.Addrs()[0])
		raw, err := p.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1) }); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		c := &markedConn{UDPConn: p.UDPConn}
		p.send(makeCheck(t, mb.credentials(medium), priority, controlling, nominating))
		if _, _, err := c.ReadFrom(make([]byte, 1500)); err != nil {
			t.Fatal(err)
		}
		if got := c.marks(); !slices.Equal(got, []uint8{want}) {
			t.Errorf("STUN of %s has TOS %v, want %d", medium, got, want)
		}
		conn := mb.shakeHands(c, medium)
		if got := c.marks(); !slices.Equal(got, []uint8{want}) {
			t.Errorf("DTLS of %s has TOS %v, want %d", medium, got, want)
		}
		waitFor(t, "keys", func() bool { return mb.transportStates()[medium].State == TransportConnected })
		if err := mb.Close(); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1500)); !errors.Is(err, io.EOF) {
			t.Errorf("read: %v, want the end", err)
		}
		if got := c.marks(); !slices.Equal(got, []uint8{want}) {
			t.Errorf("close_notify of %s has TOS %v, want %d", medium, got, want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// shakeHands does DTLS as a client that answers with one medium, and checks what the two agree on.
func (mb *member) shakeHands(c *markedConn, medium Medium) *dtls.Conn {
	t := mb.t
	t.Helper()
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	offer, err := mb.Offer(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	kind, codec := "video 9 UDP/TLS/RTP/SAVPF 96", "96 VP8/90000"
	if medium == Audio {
		kind, codec = "audio 9 UDP/TLS/RTP/SAVPF 111", "111 opus/48000/2"
	}
	answer := fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=%s\r\na=mid:%s-up\r\na=sendonly\r\na=setup:active\r\n"+
		"a=fingerprint:%s\r\na=rtpmap:%s\r\n", kind, medium, id.fingerprint, codec)
	if err := mb.Answer(context.Background(), answer); err != nil {
		t.Fatal(err)
	}
	verify := func(chain [][]byte, _ [][]*x509.Certificate) error {
		if f := description.FingerprintOf(chain[0]).String(); !strings.Contains(offer, "a=fingerprint:"+f) {
			return errFingerprint
		}
		return nil
	}
	conn, err := dtls.ClientWithOptions(c, c.RemoteAddr(), dtls.WithCertificates(id.certificate), dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(verify), // the client prefers the fallback, and gets the better one
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if profile, _ := conn.SelectedSRTPProtectionProfile(); profile != dtls.SRTPProtectionProfile(srtp.AEADAES128GCM) {
		t.Errorf("profile %v", profile)
	}
	return conn
}
