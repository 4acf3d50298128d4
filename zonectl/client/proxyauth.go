package client

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/Azure/go-ntlmssp"
	"github.com/icholy/digest"
)

// proxyAuth shows a proxy who somebody is, by what it asks for: Digest (RFC 7616), NTLM (by that name, or as a token of Negotiate, RFC 4559), or Basic (RFC 7617).
// Where it offers several it is the first of these, since the later ones give more away. Kerberos is not spoken. Connections are opened by several goroutines.
type proxyAuth struct {
	mu        sync.Mutex // guards what follows
	challenge *digest.Challenge
	count     int    // of uses of the challenge
	ntlm      string // "NTLM" or "Negotiate"; "": not asked for
	basic     bool
}

// maxNTLM bounds the challenge of a proxy, in base64.
const maxNTLM = 8 << 10

// learn takes what a proxy asks for; false: nothing that is spoken here, or there are no credentials.
func (a *proxyAuth) learn(user *url.Userinfo, asked http.Header) bool {
	if user == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
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
