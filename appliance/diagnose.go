package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
)

var _ admin.Diagnoses = (*daemon)(nil)

// Bounds of a trial.
const (
	tryWithin = 8 * time.Second
	pings     = 3
	pingAfter = 300 * time.Millisecond
	pingWait  = time.Second
)

// trial does one try at a target and tells what came of it, with details.
type trial func(ctx context.Context, target string) (text string, lines []string, err error)

var trials = map[adminapi.Trial]trial{
	adminapi.TryPing: tryPing, adminapi.TryTCP: tryTCP, adminapi.TryDNS: tryDNS, adminapi.TryNTP: tryNTP, adminapi.TryHTTPS: tryHTTPS,
}

// Diagnose implements admin.Diagnoses.
func (d *daemon) Diagnose(ctx context.Context, asked adminapi.Diagnose) (out adminapi.Diagnosis, err error) {
	try, known := trials[asked.Try]
	if !known {
		return out, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("Nobody can try %q.", asked.Try), Advice: "Try ping, tcp, dns, ntp or https."}
	}
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	begin := time.Now()
	text, lines, err := try(ctx, asked.Target)
	out = adminapi.Diagnosis{OK: err == nil, Text: text, Lines: lines, TookMS: float64(time.Since(begin).Microseconds()) / 1000}
	if err != nil {
		out.Text = trialSentence(err)
	}
	return out, nil
}

// trialSentence says why a trial failed, for a person.
func trialSentence(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("The name %s is not known.", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("No name server answered for %s: %s.", dns.Name, dns.Err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "Nothing came back in time."
	}
	return strings.TrimSuffix(err.Error(), ".") + "."
}

// Log implements admin.Diagnoses.
func (d *daemon) Log(q adminapi.LogQuery) (adminapi.Log, error) {
	least := slog.LevelDebug
	if q.Level != "" && least.UnmarshalText([]byte(q.Level)) != nil {
		return adminapi.Log{}, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("There is no level %q.", q.Level), Advice: "Use debug, info, warn or error."}
	}
	return d.records.since(q, least), nil
}

func tryTCP(ctx context.Context, target string) (string, []string, error) {
	if _, _, err := net.SplitHostPort(target); err != nil {
		return "", nil, errors.New("write it like host:443 or [2001:db8::1]:443")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	return "It answers.", []string{fmt.Sprintf("from %s to %s", conn.LocalAddr(), conn.RemoteAddr())}, nil
}

func tryDNS(ctx context.Context, target string) (string, []string, error) {
	if _, err := netip.ParseAddr(target); err == nil {
		names, err := net.DefaultResolver.LookupAddr(ctx, target)
		return fmt.Sprintf("%d names.", len(names)), names, err
	}
	list, err := net.DefaultResolver.LookupHost(ctx, target)
	return fmt.Sprintf("%d addresses.", len(list)), list, err
}

func tryNTP(ctx context.Context, target string) (string, []string, error) {
	answer, err := ntp.QueryWithOptions(target, ntp.QueryOptions{Timeout: 5 * time.Second})
	if err == nil {
		err = answer.Validate()
	}
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("The box's clock is %+.1f ms off.", float64(-answer.ClockOffset.Microseconds())/1000),
		[]string{fmt.Sprintf("stratum %d, round trip %.1f ms, reference %s", answer.Stratum, float64(answer.RTT.Microseconds())/1000, answer.ReferenceString())}, nil
}

// tryHTTPS fetches the head of a page, and shows the certificate whether it is trusted or not.
func tryHTTPS(ctx context.Context, target string) (string, []string, error) {
	if !strings.Contains(target, "://") {
		target = "https://" + target
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, target, http.NoBody)
	if err != nil || request.URL.Scheme != "https" {
		return "", nil, errors.New("write it like https://host/path")
	}
	var lines []string
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // looked at below: a certificate that is not trusted is what people want to see
		VerifyConnection:   func(s tls.ConnectionState) error { lines = certificateLines(s); return nil },
	}}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return "", lines, err
	}
	answer.Body.Close()
	return "It answers " + answer.Status + ".", lines, nil
}

func certificateLines(s tls.ConnectionState) []string {
	lines := []string{tls.VersionName(s.Version) + ", " + tls.CipherSuiteName(s.CipherSuite)}
	if len(s.PeerCertificates) == 0 {
		return lines
	}
	leaf := s.PeerCertificates[0]
	lines = append(lines, fmt.Sprintf("certificate of %s by %s, until %s", leaf.Subject.CommonName, leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly)))
	if err := verifyPeer(s); err != nil {
		return append(lines, "NOT TRUSTED: "+err.Error())
	}
	return append(lines, "trusted")
}

// tryPing sends echo requests, through the socket that the host lets the daemon have.
func tryPing(ctx context.Context, target string) (string, []string, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", target)
	if err != nil {
		return "", nil, err
	}
	addr := addrs[0].Unmap()
	conn, to, err := echoSocket(addr)
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	var lines []string
	answered := 0
	for seq := 1; seq <= pings && ctx.Err() == nil; seq++ {
		took, err := echo(conn, to, addr.Is4(), seq)
		if err != nil {
			lines = append(lines, fmt.Sprintf("%d: %s", seq, trialSentence(err)))
			continue
		}
		answered++
		lines = append(lines, fmt.Sprintf("%d: %.2f ms", seq, float64(took.Microseconds())/1000))
		time.Sleep(pingAfter)
	}
	text := fmt.Sprintf("%s answered %d of %d.", addr, answered, pings)
	if answered == 0 {
		return "", lines, fmt.Errorf("%s did not answer", addr)
	}
	return text, lines, nil
}

// echoSocket opens a raw socket, or where that is refused one of the kernel's own for pings.
func echoSocket(addr netip.Addr) (*icmp.PacketConn, net.Addr, error) {
	raw, datagram, any := "ip4:icmp", "udp4", "0.0.0.0"
	if addr.Is6() {
		raw, datagram, any = "ip6:ipv6-icmp", "udp6", "::"
	}
	if conn, err := icmp.ListenPacket(raw, any); err == nil {
		return conn, &net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}, nil
	}
	conn, err := icmp.ListenPacket(datagram, any)
	return conn, &net.UDPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}, err
}

// echo sends one request and waits for its answer.
func echo(conn *icmp.PacketConn, to net.Addr, v4 bool, seq int) (time.Duration, error) {
	var kind, answer icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	protocol := 1
	if !v4 {
		kind, answer, protocol = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	mark := fmt.Appendf(nil, "meetzone %d %d", os.Getpid(), time.Now().UnixNano())
	request, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: seq, Data: mark}}).Marshal(nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := conn.SetDeadline(begin.Add(pingWait)); err != nil {
		return 0, err
	}
	if _, err := conn.WriteTo(request, to); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != answer {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && string(e.Data) == string(mark) {
			return time.Since(begin), nil
		}
	}
}

// verifyPeer checks a certificate as TLS would have.
func verifyPeer(s tls.ConnectionState) error {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: s.ServerName, Intermediates: between})
	return err
}
