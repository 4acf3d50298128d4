package client

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/go-ntlmssp"
	"github.com/icholy/digest"
)

// proxyAuth shows a proxy who somebody is, by what it asks for: Digest (RFC 7616), NTLM (by that name, or as a token of Negotiate, RFC 4559), or Basic (RFC 7617).
// Where it offers several it is the first of these, since the later ones give more away. Kerberos is not spoken. Connections are opened by several goroutines.
// Credentials that the proxy refuses are not shown again: a few wrong ones lock an account in many a domain. Until it has accepted them one connection at a time shows them.
type proxyAuth struct {
	mu        sync.Mutex // guards what follows
	challenge *digest.Challenge
	count     int    // of uses of the challenge
	ntlm      string // "NTLM" or "Negotiate"; "": not asked for
	basic     bool
	accepted  bool
	refused   bool
	trial     chan struct{} // of the connection that shows them for the first time, closed when it knows; nil: there is none
}

const (
	// maxNTLM bounds the challenge of a proxy, in base64.
	maxNTLM = 8 << 10
	// trialWithin is when other connections no longer wait for the first one: a proxy looks at credentials before it does what may take longer.
	trialWithin = time.Second
)

// begin waits until it is known what the proxy says of the credentials, or nobody else finds out. ended must be called when the connection is open, or is not.
// refused says that they must not be shown again.
func (a *proxyAuth) begin(ctx context.Context) (ended func(), refused bool) {
	patience := time.NewTimer(trialWithin)
	defer patience.Stop()
	for {
		a.mu.Lock()
		refused, trial := a.refused, a.trial
		if !refused && !a.accepted && trial == nil {
			trial = make(chan struct{})
			a.trial = trial
			a.mu.Unlock()
			return func() { a.end(trial) }, false
		}
		known := refused || a.accepted
		a.mu.Unlock()
		if known {
			return func() {}, refused
		}
		select {
		case <-trial:
		case <-patience.C:
			return func() {}, false
		case <-ctx.Done():
			return func() {}, false
		}
	}
}

// end lets the next connection show the credentials, or know what came of them.
func (a *proxyAuth) end(trial chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trial = nil
	close(trial)
}

// judge takes what the proxy said to the credentials. A nonce of Digest that has become stale, or that it has forgotten, says nothing of them.
func (a *proxyAuth) judge(answer *http.Response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answer.StatusCode != http.StatusProxyAuthRequired {
		a.accepted, a.refused = true, false
		return
	}
	forgotten := a.challenge != nil && a.accepted
	for _, value := range answer.Header.Values("Proxy-Authenticate") {
		if c, err := digest.ParseChallenge(value); err == nil && a.challenge != nil && c.Stale {
			forgotten = true
		}
	}
	a.accepted, a.refused = false, !forgotten
}

// learn takes what a proxy asks for; false: nothing that is spoken here, or there are no credentials that it may accept.
func (a *proxyAuth) learn(user *url.Userinfo, asked http.Header) bool {
	if user == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused {
		return false
	}
	a.challenge, a.ntlm, a.basic = nil, "", false
	for _, value := range asked.Values("Proxy-Authenticate") {
		scheme, _, _ := strings.Cut(value, " ")
		switch {
		case strings.EqualFold(scheme, "Digest"):
			if c, err := digest.ParseChallenge(value); err == nil && digest.CanDigest(c) {
				a.challenge, a.count = c, 0
			}
		case strings.EqualFold(scheme, "NTLM"):
			a.ntlm = "NTLM"
		case strings.EqualFold(scheme, "Negotiate") && a.ntlm == "":
			a.ntlm = "Negotiate"
		case strings.EqualFold(scheme, "Basic"):
			a.basic = true
		}
	}
	return a.challenge != nil || a.ntlm != "" || a.basic
}

// first is what goes with the first request of a connection; "" before the proxy has asked.
func (a *proxyAuth) first(user *url.Userinfo, address string) (string, error) {
	if user == nil {
		return "", nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	password, _ := user.Password()
	switch {
	case a.challenge != nil:
		a.count++
		c, err := digest.Digest(a.challenge, digest.Options{Method: http.MethodConnect, URI: address, Count: a.count, Username: user.Username(), Password: password})
		if err != nil {
			return "", err
		}
		return c.String(), nil
	case a.ntlm != "":
		message, err := ntlmssp.NewNegotiateMessage("", "") // neither of this computer is the proxy's affair
		if err != nil {
			return "", err
		}
		return a.ntlm + " " + base64.StdEncoding.EncodeToString(message), nil
	case a.basic:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)), nil
	}
	return "", nil
}

// second is what goes with the second request of the same connection: the answer to an NTLM challenge; "" where there is none.
func (a *proxyAuth) second(user *url.Userinfo, answer *http.Response) (string, error) {
	a.mu.Lock()
	scheme := a.ntlm
	a.mu.Unlock()
	if scheme == "" || user == nil || answer.StatusCode != http.StatusProxyAuthRequired {
		return "", nil
	}
	for _, value := range answer.Header.Values("Proxy-Authenticate") {
		by, text, _ := strings.Cut(value, " ")
		if text = strings.TrimSpace(text); !strings.EqualFold(by, scheme) || text == "" || len(text) > maxNTLM {
			continue
		}
		challenge, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", fmt.Errorf("challenge of %s: %w", scheme, err)
		}
		password, _ := user.Password()
		message, err := ntlmssp.NewAuthenticateMessage(challenge, user.Username(), password, nil)
		if err != nil {
			return "", fmt.Errorf("challenge of %s: %w", scheme, err)
		}
		return scheme + " " + base64.StdEncoding.EncodeToString(message), nil
	}
	return "", nil
}
