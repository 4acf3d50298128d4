package mmr

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/transport/v4/deadline"

	"meetzone/dataplane"
	"meetzone/mmr/internal/description"
	"meetzone/mmr/internal/srtp"
)

// DTLS runs off the workers. A transport's datagrams go into the inbox of its association; what DTLS wants to send is posted back to the
// worker. When the handshake is done its keys are posted too. The association lives on to hear close_notify and to repeat the last
// flight, and ends with the transport.

// identity is the certificate of the router's DTLS.
type identity struct {
	certificate tls.Certificate
	fingerprint description.Fingerprint
}

// newIdentity makes a self-signed certificate. Nobody looks at its dates: the fingerprint in the offer vouches for it.
func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "meetzone"},
		NotBefore:    time.Now().AddDate(-1, 0, 0), // the clock may be slow, see DESIGN section 4
		NotAfter:     time.Now().AddDate(20, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: description.FingerprintOf(der),
	}, nil
}

const (
	// inboxSlots is how many datagrams wait for DTLS; a flight has at most a handful.
	inboxSlots = 16
	// handshakePatience is how long a handshake may take in all.
	handshakePatience = 20 * time.Second
	// flightEvery is after how long a flight is first sent again that nothing has come back for; then twice as long, and so on, as RFC 6347 section
	// 4.2.4.1 has it with a second. An authentic check may come from a forged address, and a flight is larger than what asks for it.
	flightEvery = 250 * time.Millisecond
	// The last flight, which nothing answers, is sent this often again and as far apart: the box cannot see that it was lost before the client begins
	// anew, ever more slowly. It is some 90 bytes; who has it passes over the repetitions.
	repeatFlight = 20
	repeatEvery  = 100 * time.Millisecond
)

var errFingerprint = errors.New("mmr: the certificate of the client is not the one of its answer")

// association is one DTLS association, and the net.PacketConn under it.
type association struct {
	r            *Router
	t            *transport // only the worker looks into it
	w            *dataplane.Worker
	peer         net.Addr
	fingerprints []description.Fingerprint
	inbox        chan []byte
	deadline     *deadline.Deadline

	alive context.Context // ends when the transport is closed: say goodbye
	stop  context.CancelFunc
	open  context.Context // ends when DTLS has closed the PacketConn
	shut  context.CancelFunc
}

var _ net.PacketConn = (*association)(nil)

// associate starts an association for a transport, nil when too many handshakes are under way. Worker's thread.
func (r *Router) associate(t *transport) *association {
	if int(r.pending.Add(1)) > r.cfg.MaxHandshakes {
		r.pending.Add(-1)
		return nil
	}
	a := &association{
		r: r, t: t, w: t.h.w,
		peer:         net.UDPAddrFromAddrPort(t.dtlsPath.Remote()),
		fingerprints: t.fingerprints,
		inbox:        make(chan []byte, inboxSlots),
		deadline:     deadline.New(),
	}
	a.alive, a.stop = context.WithCancel(r.ctx)
	a.open, a.shut = context.WithCancel(context.Background())
	r.handshakes.Go(a.runHandshake)
	return a
}

// deliver puts a copy of a datagram into the inbox; false when it is full. Worker's thread.
func (a *association) deliver(b []byte) bool {
	if len(a.inbox) == cap(a.inbox) {
		return false
	}
	a.inbox <- bytes.Clone(b) // the worker is the only one who puts, so there is room
	return true
}

// runHandshake does the handshake, posts the keys, and waits for the end.
func (a *association) runHandshake() { a.serve(a) }

// serve is runHandshake over what carries the association's datagrams.
func (a *association) serve(carrier net.PacketConn) {
	defer a.shut()
	defer a.stop()
	under := &remembering{PacketConn: carrier}
	conn, err := dtls.ServerWithOptions(under, a.peer, a.options()...)
	if err != nil {
		a.r.pending.Add(-1)
		a.postEnd(err)
		return
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(a.alive, func() {
		defer close(closed)
		_ = conn.Close() // the peer may be gone, and it is over in any case
	})
	err = a.establish(conn)
	a.r.pending.Add(-1)
	if err == nil {
		under.repeat(a.alive)
		err = listen(conn)
	}
	if stop() {
		_ = conn.Close()
	} else {
		<-closed
	}
	a.postEnd(err)
}

// establish does the handshake and posts the keys.
func (a *association) establish(conn *dtls.Conn) error {
	ctx, cancel := context.WithTimeout(a.alive, handshakePatience)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("DTLS handshake: %w", err)
	}
	selected, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("DTLS handshake: no SRTP profile in common")
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("DTLS handshake: no state")
	}
	profile := srtp.Profile(selected)
	material, err := state.ExportKeyingMaterial(srtp.ExporterLabel, nil, profile.KeyingMaterialLen())
	if err != nil {
		return fmt.Errorf("export keys: %w", err)
	}
	sealer, opener, err := srtp.NewPair(profile, material, false)
	if err != nil {
		return fmt.Errorf("take keys: %w", err)
	}
	return a.w.Post(dataplane.TaskFunc(func(now dataplane.Instant) {
		if a.t.dtls == a && !a.t.closed {
			a.t.keyed(now, profile, sealer, opener)
		}
	}))
}

// remembering is a net.PacketConn that knows what was written last.
type remembering struct {
	net.PacketConn
	last atomic.Pointer[[]byte]
}

// WriteTo writes and remembers.
func (c *remembering) WriteTo(b []byte, to net.Addr) (int, error) {
	d := bytes.Clone(b)
	c.last.Store(&d)
	return c.PacketConn.WriteTo(b, to)
}

// repeat writes what was written last again, repeatFlight times, unless it is over before.
func (c *remembering) repeat(alive context.Context) {
	flight, left := c.last.Load(), repeatFlight
	if flight == nil {
		return
	}
	var again func()
	again = func() {
		if left == 0 || alive.Err() != nil {
			return
		}
		left--
		if _, err := c.PacketConn.WriteTo(*flight, nil); err == nil {
			time.AfterFunc(repeatEvery, again)
		}
	}
	time.AfterFunc(repeatEvery, again)
}

// listen waits until the peer closes. There is no application data, since no data channel is offered.
func listen(conn *dtls.Conn) error {
	var b [dataplane.MaxDatagram]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return err
		}
	}
}

// postEnd tells the transport that DTLS is over. If it cannot be told, consent will end it.
func (a *association) postEnd(err error) {
	reason := "DTLS closed by the client"
	if !errors.Is(err, io.EOF) {
		reason = err.Error()
	}
	_ = a.w.Post(dataplane.TaskFunc(func(now dataplane.Instant) {
		if a.t.dtls == a && !a.t.closed {
			a.t.ended(now, reason)
		}
	}))
}

func (a *association) options() []dtls.ServerOption {
	var profiles []dtls.SRTPProtectionProfile
	for _, p := range srtp.Profiles() {
		profiles = append(profiles, dtls.SRTPProtectionProfile(p))
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled // what matters comes back as an error
	return []dtls.ServerOption{
		dtls.WithCertificates(a.r.identity.certificate),
		dtls.WithSRTPProtectionProfiles(profiles...),
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerify(true), // the fingerprint decides, not a chain
		dtls.WithVerifyConnection(a.verify),
		dtls.WithFlightInterval(flightEvery),
		dtls.WithInsecureSkipVerifyHello(true), // the address has already passed an authentic check, which is more than a cookie
		dtls.WithLoggerFactory(quiet),
	}
}

// verify compares the client's certificate with its answer. RFC 8122, section 5.
func (a *association) verify(state *dtls.State) error {
	if len(state.PeerCertificates) == 0 {
		return errFingerprint
	}
	der := state.PeerCertificates[0]
	if !slices.ContainsFunc(a.fingerprints, func(f description.Fingerprint) bool { return f.Matches(der) }) {
		return errFingerprint
	}
	return nil
}

// The net.PacketConn that DTLS reads and writes.

// ReadFrom waits for a datagram from the worker.
func (a *association) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-a.inbox:
		return copy(b, d), a.peer, nil
	case <-a.deadline.Done():
		return 0, nil, os.ErrDeadlineExceeded
	case <-a.open.Done():
		return 0, nil, net.ErrClosed
	}
}

// WriteTo posts a datagram to the worker; where it goes the transport knows.
func (a *association) WriteTo(b []byte, _ net.Addr) (int, error) {
	d := bytes.Clone(b)
	err := a.w.Post(dataplane.TaskFunc(func(dataplane.Instant) {
		if a.t.closed {
			a.t.farewell(d)
		} else {
			a.t.sendDTLS(d)
		}
	}))
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close makes ReadFrom return.
func (a *association) Close() error {
	a.shut()
	return nil
}

// LocalAddr returns what DTLS never looks at.
func (a *association) LocalAddr() net.Addr { return &net.UDPAddr{} }

// SetDeadline, SetReadDeadline and SetWriteDeadline: writing never waits.
func (a *association) SetDeadline(t time.Time) error { return a.SetReadDeadline(t) }

// SetReadDeadline ends a ReadFrom that waits.
func (a *association) SetReadDeadline(t time.Time) error {
	a.deadline.Set(t)
	return nil
}

// SetWriteDeadline does nothing.
func (a *association) SetWriteDeadline(time.Time) error { return nil }
