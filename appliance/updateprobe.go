package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/appliance/adminapi"
	"meetzone/zonectl/wire"
)

// What the health gate asks the box from outside of the daemon: whether 443 and 8801 answer at the box's own address, as a client would ask.

// answersOnOwnAddress asks HTTPS for credentials, and with them the media port over UDP and TCP.
func answersOnOwnAddress(ctx context.Context, s adminapi.Status) error {
	https, media := factOf(s, "box.listen.https"), factOf(s, "box.listen.media")
	media, _, _ = strings.Cut(media, " ")
	if https == "" || media == "" {
		return errors.New("the daemon does not say where it listens")
	}
	own := ownAddress()
	check, err := askHTTPS(ctx, at(https, own), s.Fingerprint)
	if err != nil {
		return fmt.Errorf("HTTPS does not answer at %s: %w", at(https, own), err)
	}
	if check == nil {
		return errors.New("the media port cannot be tested: HTTPS names no credentials")
	}
	for _, network := range []string{"udp", "tcp"} {
		if err := askMedia(ctx, network, at(media, own), *check); err != nil {
			return fmt.Errorf("media do not answer at %s over %s: %w", at(media, own), strings.ToUpper(network), err)
		}
	}
	return nil
}

// factOf finds a setting as it is.
func factOf(s adminapi.Status, key string) string {
	for _, p := range s.Parts {
		for _, f := range p.Facts {
			if f.Key == key {
				return f.Actual
			}
		}
	}
	return ""
}

// at is a listener's address, with the box's own in place of none.
func at(listen string, own netip.Addr) string {
	host, port, err := net.SplitHostPort(listen)
	if a, errA := netip.ParseAddr(host); err != nil || errA == nil && !a.IsUnspecified() || host != "" && errA != nil {
		return listen
	}
	return net.JoinHostPort(own.String(), port)
}

// ownAddress is an address by which others reach the box; where it has none, because no cable is plugged in, the loopback's.
func ownAddress() netip.Addr {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return loopback
	}
	best := netip.Addr{}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().IsGlobalUnicast() {
			continue
		}
		if !best.IsValid() || p.Addr().Is4() && !best.Is4() {
			best = p.Addr()
		}
	}
	if !best.IsValid() {
		return loopback
	}
	return best
}

// askHTTPS asks for a probe, of whoever shows the certificate that the daemon says it has.
func askHTTPS(ctx context.Context, address, fingerprint string) (*wire.ProbeCheck, error) {
	verify := func(state tls.ConnectionState) error {
		sum := sha256.Sum256(state.PeerCertificates[0].Raw)
		if want := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(fingerprint)); want != hex.EncodeToString(sum[:]) {
			return errors.New("it shows another certificate than the box has")
		}
		return nil
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: verify}}} // the fingerprint is checked instead
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+wire.PathProbe, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var probe wire.Probe
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %q", answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&probe); err != nil {
		return nil, err
	}
	return probe.Check, nil
}

// mediaPatience bounds one question to the media port; over UDP it is asked a few times.
const mediaPatience = 3 * time.Second

// askMedia sends an authenticated STUN Binding request and wants an authentic answer; over TCP with the framing of RFC 4571.
func askMedia(ctx context.Context, network, address string, check wire.ProbeCheck) error {
	ctx, cancel := context.WithTimeout(ctx, mediaPatience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(check.Ufrag+":gate"),
		stun.RawAttribute{Type: stun.AttrPriority, Value: make([]byte, 4)}, stun.RawAttribute{Type: wire.ProbeClass, Value: make([]byte, 4)},
		stun.NewShortTermIntegrity(check.Password), stun.Fingerprint)
	if err != nil {
		return err
	}
	raw := request.Raw
	if network == "tcp" {
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	var answer []byte
	for tries := range 3 {
		if _, err = conn.Write(raw); err != nil {
			return err
		}
		if network == "udp" && tries < 2 {
			_ = conn.SetReadDeadline(time.Now().Add(mediaPatience / 4))
		} else {
			_ = conn.SetReadDeadline(deadline)
		}
		if answer, err = readAnswer(conn, network); err == nil || network == "tcp" {
			break
		}
	}
	if err != nil {
		return err
	}
	m := &stun.Message{Raw: answer}
	if m.Decode() != nil || m.Type != stun.BindingSuccess || m.TransactionID != request.TransactionID || m.Check(stun.NewShortTermIntegrity(check.Password)) != nil {
		return errors.New("what answers is not the box")
	}
	return nil
}

func readAnswer(conn net.Conn, network string) ([]byte, error) {
	buffer := make([]byte, 1500)
	if network == "udp" {
		n, err := conn.Read(buffer)
		return buffer[:n], err
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > len(buffer) {
		return nil, errors.New("the answer is too long")
	}
	_, err := io.ReadFull(conn, buffer[:n])
	return buffer[:n], err
}
