package client

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"meetzone/zonectl/wire"
)

// A proxy that opens TLS connections shows a certificate of its own. Where its authority is not trusted, the handshake ends the lookup (untrusted, in
// errors.go). Where somebody has installed the authority, nothing would be noticed: so the zone says in the lookup which certificate it shows, and answers
// are looked at for headers that only a proxy writes. The session goes on then, and whoever asks for its end is told.

// shown is what an answer shows of whoever gave it.
type shown struct {
	certificate *x509.Certificate // nil: none
	header      string            // that only a proxy writes, "NAME: VALUE"; "": none
}

// proxyHeaders are those that a zone never sends (RFC 9110, section 7.6.3, and what proxies add beside it).
var proxyHeaders = [...]string{"Via", "X-Cache", "Proxy-Connection", "Proxy-Agent"}

// maxQuoted bounds what is repeated to a person of what somebody else has written.
const maxQuoted = 80

// shownBy looks at an answer.
func shownBy(response *http.Response) (s shown) {
	if response.TLS != nil && len(response.TLS.PeerCertificates) > 0 {
		s.certificate = response.TLS.PeerCertificates[0]
	}
	for _, name := range proxyHeaders {
		if value := response.Header.Get(name); value != "" {
			s.header = name + ": " + value
			break
		}
	}
	return s
}

// quoted is a text of somebody else, made harmless for a terminal.
func quoted(text string) string {
	return fmt.Sprintf("%q", text[:min(len(text), maxQuoted)])
}

// issuer names who has issued a certificate, "" where it does not say or issued itself.
func issuer(certificate *x509.Certificate) string {
	if certificate == nil || certificate.Issuer.String() == certificate.Subject.String() {
		return ""
	}
	if name := certificate.Issuer.CommonName; name != "" {
		return name
	}
	return certificate.Issuer.String()
}

// signs lists what gives a proxy away, for a sentence; certificate tells whether the certificate does.
func (s shown) signs(certificate bool) string {
	var signs []string
	if certificate {
		sign := "the certificate that arrives is not the one of the box"
		if by := issuer(s.certificate); by != "" {
			sign += ", but issued by " + quoted(by)
		}
		signs = append(signs, sign)
	}
	if s.header != "" {
		signs = append(signs, "it adds the header "+quoted(s.header))
	}
	return strings.Join(signs, "; ")
}

// interception says that a proxy on the way opens TLS connections, "" where nothing looks like one. fingerprint is what the zone says that it has shown.
func interception(s shown, fingerprint, host string) string {
	signs := s.signs(fingerprint != "" && s.certificate != nil && Fingerprint(s.certificate) != fingerprint)
	if signs == "" {
		return ""
	}
	return fmt.Sprintf("A proxy on the way opens TLS connections (%s): ask the network's administrator to let those to %s pass unopened.", signs, host)
}

// withInterception adds to an error that a proxy on the way opens TLS connections, unless it is the zone that has refused.
func withInterception(err error, sentence string) error {
	var told *Error
	var said *wire.Error
	if sentence == "" || !errors.As(err, &told) || errors.As(err, &said) {
		return err
	}
	if errors.Is(err, errNotZone) {
		told.Advice = "" // the address is right: the lookup was answered
	}
	told.Advice = strings.TrimSpace(told.Advice + " " + sentence)
	return err
}

// notZoneError says that a server answers, but not as a zone does.
type notZoneError struct {
	Host   string
	Answer string // what it answers
	shown  shown
}

// Error says what it answers.
func (e *notZoneError) Error() string {
	return fmt.Sprintf("%s answers %s: %v", e.Host, e.Answer, errNotZone)
}

// Unwrap returns what all errors of this kind have in common.
func (e *notZoneError) Unwrap() error { return errNotZone }

// notZone explains it: with a sign of a proxy it is that which has answered; without one it may be.
func notZone(stage Stage, host string, err error) error {
	told := &Error{Stage: stage, Text: fmt.Sprintf("%s is not a meeting zone, or not one of this version.", host), Advice: "Check the address.", Err: err}
	var other *notZoneError
	if !errors.As(err, &other) {
		return told
	}
	if other.shown.header != "" {
		told.Text = fmt.Sprintf("A proxy on the way answers in place of %s (%s).", host, other.shown.signs(false))
		told.Advice = fmt.Sprintf("Ask the network's administrator to let TLS connections to %s pass unopened.", host)
	} else if by := issuer(other.shown.certificate); by != "" {
		told.Advice = fmt.Sprintf("Check the address; where it is right, a proxy on the way opens TLS connections: whoever answered has a certificate issued by %s.", quoted(by))
	}
	return told
}
