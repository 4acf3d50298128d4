package client

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"meetzone/dataplane/tunnel"
	"meetzone/zonectl/wire"
)

// errNotZone says that a server answers, but not as a zone does.
var errNotZone = errors.New("not a meeting zone")

// Error is what a person is told when a meeting cannot be joined or a session has ended.
type Error struct {
	Stage  Stage
	Text   string    // one sentence
	Advice string    // one sentence: what to do; may be empty
	Tried  []Attempt // to get as far as the control channel, where it was not reached
	Link   string    // of the web client, where no way was found and a browser may have one; may be empty
	Err    error     // for the log
	// Attempts is what came of each way that was tried for the media; none where it did not get that far.
	Attempts []RungAttempt
}

// Error returns the sentences.
func (e *Error) Error() string { return strings.TrimSpace(e.Text + " " + e.Advice) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// UntrustedError says that a server's certificate is not signed by an authority that is trusted, or is not for the name that was asked.
type UntrustedError struct {
	Host        string
	Fingerprint string // SHA-256 of the certificate, as the box prints it
	Err         error
}

// Error says what is wrong with the certificate, and which one it is.
func (e *UntrustedError) Error() string {
	return fmt.Sprintf("certificate of %s (SHA-256 %s): %v", e.Host, e.Fingerprint, e.Err)
}

// Unwrap returns the cause.
func (e *UntrustedError) Unwrap() error { return e.Err }

// Fingerprint returns the SHA-256 fingerprint of a certificate in the usual notation.
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// explain turns an error of a stage into sentences for a person.
func explain(stage Stage, host string, err error) error {
	var said *wire.Error
	var told *Error
	var held *heldError
	var verification *tls.CertificateVerificationError
	var dns *net.DNSError
	var proxied *ProxyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &told):
		return err
	case errors.As(err, &held):
		return &Error{Stage: stage, Text: fmt.Sprintf("The meeting is held in the zone %s, which cannot be reached from here (%s: %s).", zoneName(held.Zone), hostOf(held.Zone.Controllers[0]), Reason(held.Err)),
			Advice: "Ask the network's administrator to let TCP 443 of that zone pass.", Err: err}
	case errors.As(err, &said):
		return &Error{Stage: stage, Text: said.Text, Advice: said.Advice, Err: err}
	case errors.As(err, &verification):
		return untrusted(stage, host, verification)
	case errors.As(err, &dns):
		return &Error{Stage: stage, Text: fmt.Sprintf("The name %s is not known here.", dns.Name),
			Advice: "Check the address, or whether this computer uses the right DNS server.", Err: err}
	case errors.As(err, &proxied):
		return proxyRefused(stage, host, proxied)
	case errors.Is(err, errNotZone):
		return notZone(stage, host, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Stage: stage, Text: fmt.Sprintf("Nothing listens at %s.", host), Advice: "Check host and port, and whether the zone runs.", Err: err}
	case errors.Is(err, context.Canceled):
		return &Error{Stage: stage, Text: "Joining was given up.", Err: err}
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return &Error{Stage: stage, Text: fmt.Sprintf("%s does not answer.", host), Advice: lateAdvice(stage), Err: err}
	}
	return &Error{Stage: stage, Text: fmt.Sprintf("The stage %q did not succeed with %s: %v.", stage, host, err), Err: err}
}

// zoneName is what a person is told of a zone.
func zoneName(z wire.Zone) string {
	return cmp.Or(wire.CleanLine(z.Name, wire.MaxName), wire.CleanLine(z.ID, wire.MaxName))
}

// untrusted names the certificate that was refused, so that it can be compared with what the box shows.
func untrusted(stage Stage, host string, verification *tls.CertificateVerificationError) error {
	cause, by := &UntrustedError{Host: host, Err: verification.Err}, ""
	if len(verification.UnverifiedCertificates) > 0 {
		cause.Fingerprint = Fingerprint(verification.UnverifiedCertificates[0])
		by = issuer(verification.UnverifiedCertificates[0])
	}
	text := fmt.Sprintf("The certificate of %s is not trusted (%v); its SHA-256 fingerprint is %s", host, verification.Err, cause.Fingerprint)
	if by != "" {
		text += ", and it was issued by " + quoted(by)
	}
	return &Error{Stage: stage, Text: text + ".",
		Advice: "If it is the one that the box shows, trust the authority that issued it; if not, a proxy on the way opens TLS connections.", Err: cause}
}

// proxyRefused says what a proxy wants.
func proxyRefused(stage Stage, host string, refused *ProxyError) error {
	told := &Error{Stage: stage, Text: fmt.Sprintf("The proxy %s does not let a connection to %s through (%d).", refused.Proxy, host, refused.Status),
		Advice: "Ask the network's administrator to permit CONNECT to port 443 of the box.", Err: refused}
	if refused.Status == http.StatusProxyAuthRequired {
		told.Text = fmt.Sprintf("The proxy %s wants a name and a password (407).", refused.Proxy)
		told.Advice = "Give them with --proxy http://USER:PASSWORD@HOST:PORT, or in HTTPS_PROXY; a Windows domain goes before the name, DOMAIN%5CUSER. Basic, Digest and NTLM are spoken, Kerberos is not."
	}
	return told
}

// withLink adds the link of the web client to an error that says that no way was found: a browser may know a proxy that this client does not.
func withLink(err error, base, number string, tried []Attempt) error {
	var told *Error
	var said *wire.Error
	if errors.As(err, &told) {
		told.Tried = tried
	}
	if number == "" || !errors.As(err, &told) || errors.As(err, &said) || errors.Is(err, context.Canceled) {
		return err
	}
	told.Link = base + wire.PathJoin + number
	return err
}

// capital makes a sentence begin as one.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func lateAdvice(stage Stage) string {
	if stage == StageMedia {
		return "A firewall may keep UDP 8801, TCP 8801 and TLS 443 from passing: ask the network's administrator to open one of them towards the box."
	}
	return "Check the address, and whether a firewall keeps TCP 443 from passing."
}

// Reason says in a few words why something could not be reached, for a table.
func Reason(err error) string {
	var said *wire.Error
	var verification *tls.CertificateVerificationError
	var dns *net.DNSError
	var proxied *ProxyError
	var tunnelled *tunnel.StatusError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &said):
		return string(said.Code)
	case errors.As(err, &verification):
		return "certificate"
	case errors.As(err, &dns):
		return "name unknown"
	case errors.As(err, &proxied):
		return fmt.Sprintf("proxy %d", proxied.Status)
	case errors.As(err, &tunnelled):
		return fmt.Sprintf("tunnel %d", tunnelled.Status)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, errNotZone):
		return "not a zone"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), isTimeout(err):
		return "silent"
	}
	return "failed"
}
