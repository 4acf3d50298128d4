package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"
)

// PAC files: JavaScript that says by which proxies a host is reached. The engine is goja; what such a file may call is in pacfunctions.go. It is read and asked once, for the
// link's host, before the first connection: "DIRECT" is the direct way, a list of proxies is one way whose connections try them in order.
// A file has a size, a depth and a time; what memory its script takes is not bounded, nor can a regular expression be stopped: it runs on until it or the client ends.

// Bounds of a PAC file.
const (
	maxPAC      = 1 << 20 // bytes, as browsers have it
	pacWithin   = 5 * time.Second
	pacCalls    = 500 // deep
	maxPACHops  = 8
	nextProxy   = 3 * time.Second // a proxy that is not the last may take to answer
	pacFunction = "FindProxyForURL"
)

// hop is one place of the list that a PAC file answers with; nil is direct.
type hop = *url.URL

// errOpenPAC says that a login would go wherever those on the way say.
var errOpenPAC = errors.New("there is a login for the proxies that it names, and over http anyone on the way can name others; take it from https or from a file, or leave the login out")

// proxiesByPAC reads a PAC file, at an http or https URL or a path, and asks it for the way to a zone. Where its proxies are shown a login, nobody on the way may change it.
func proxiesByPAC(ctx context.Context, source, base string, login bool, roots *x509.CertPool) ([]hop, error) {
	ctx, cancel := context.WithTimeout(ctx, pacWithin)
	defer cancel()
	script, err := readPAC(ctx, source, login, roots)
	if err != nil {
		return nil, fmt.Errorf("the PAC file %s cannot be read: %w", source, err)
	}
	answer, err := askPAC(ctx, script, base)
	if err != nil {
		return nil, fmt.Errorf("the PAC file %s does not work: %w", source, err)
	}
	hops := parseHops(answer)
	if len(hops) == 0 {
		return nil, fmt.Errorf("the PAC file %s answers %s: DIRECT, PROXY HOST:PORT and HTTPS HOST:PORT can be used", source, quoted(answer))
	}
	return hops, nil
}

func readPAC(ctx context.Context, source string, login bool, roots *x509.CertPool) (string, error) {
	body := io.ReadCloser(nil)
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return "", err
		}
		if login && request.URL.Scheme != "https" {
			return "", errOpenPAC
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true} // and no proxy
		response, err := (&http.Client{Transport: transport, CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if login && to.URL.Scheme != "https" {
				return errOpenPAC
			}
			if len(via) > maxPACHops {
				return errors.New("it is redirected too often")
			}
			return nil
		}}).Do(request)
		if err != nil {
			return "", err
		}
		if body = response.Body; response.StatusCode != http.StatusOK {
			_ = body.Close()
			return "", fmt.Errorf("the server answers %s", response.Status)
		}
	} else {
		file, err := os.Open(strings.TrimPrefix(source, "file://"))
		if err != nil {
			return "", err
		}
		body = file
	}
	defer body.Close()
	script, err := io.ReadAll(io.LimitReader(body, maxPAC+1))
	if err == nil && len(script) > maxPAC {
		err = fmt.Errorf("longer than %d bytes", maxPAC)
	}
	return string(script), err
}

// askPAC runs the file until the context ends.
func askPAC(ctx context.Context, script, base string) (string, error) {
	target, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	answer, failed := make(chan string, 1), make(chan error, 1)
	go runPAC(ctx, script, target, answer, failed)
	select {
	case text := <-answer:
		return text, nil
	case err := <-failed:
		return "", err
	case <-ctx.Done(): // a regular expression cannot be interrupted
		if errors.Is(ctx.Err(), context.Canceled) {
			return "", ctx.Err()
		}
		return "", errPACSlow
	}
}

// errPACSlow says that a file takes too long.
var errPACSlow = fmt.Errorf("it has not answered within %v", pacWithin)

// runPAC runs the file and gives its answer, or what is wrong with it. What it throws may run script of its own when it is made a text, outside what the engine catches.
func runPAC(ctx context.Context, script string, target *url.URL, answer chan<- string, failed chan<- error) {
	defer func() {
		if recover() != nil {
			failed <- errors.New("it throws what cannot be told")
		}
	}()
	text, err := evaluatePAC(ctx, script, target)
	if err != nil {
		failed <- shortened(err)
		return
	}
	answer <- text
}

func evaluatePAC(ctx context.Context, script string, target *url.URL) (string, error) {
	engine := goja.New()
	engine.SetMaxCallStackSize(pacCalls)
	context.AfterFunc(ctx, func() { engine.Interrupt(context.Cause(ctx)) })
	if err := (pacFunctions{ctx: ctx, engine: engine, target: target.Host, now: time.Now}).register(); err != nil {
		return "", err
	}
	if _, err := engine.RunString(script); err != nil {
		return "", err
	}
	find, ok := goja.AssertFunction(engine.Get(pacFunction))
	if !ok {
		return "", errors.New("it has no function " + pacFunction)
	}
	value, err := find(goja.Undefined(), engine.ToValue("https://"+target.Host+"/"), engine.ToValue(target.Hostname())) // of https no path is told, as browsers have it
	if err != nil {
		return "", err
	}
	text, ok := value.(goja.String) // and nothing that has to be run to become one
	if !ok {
		return "", errors.New("it answers with no text; DIRECT and PROXY HOST:PORT can be used")
	}
	return text.String(), nil
}

// shortened is what an engine says is wrong, in one line.
func shortened(err error) error {
	var interrupted *goja.InterruptedError
	if errors.As(err, &interrupted) {
		return errPACSlow
	}
	return errors.New(quoted(err.Error()))
}

// parseHops reads "PROXY a:1; HTTPS b; DIRECT". What cannot be used is left out.
func parseHops(answer string) (hops []hop) {
	for one := range strings.SplitSeq(answer, ";") {
		fields := strings.Fields(one)
		if len(hops) == maxPACHops {
			break
		}
		switch {
		case len(fields) == 1 && strings.EqualFold(fields[0], "DIRECT"):
			hops = append(hops, nil)
		case len(fields) == 2:
			scheme := map[string]string{"PROXY": "http", "HTTP": "http", "HTTPS": "https"}[strings.ToUpper(fields[0])]
			if u, err := url.Parse(scheme + "://" + fields[1]); scheme != "" && err == nil && u.User == nil && u.RawQuery == "" && checkProxy(u) == nil {
				hops = append(hops, u)
			}
		}
	}
	return hops
}

// pacWay is the way that a PAC file says. Credentials are the same for all of its proxies.
func pacWay(hops []hop, login *url.Userinfo, roots *x509.CertPool, direct way) way {
	if hops[0] == nil {
		return direct
	}
	list := &hopList{}
	for _, h := range hops {
		if h == nil {
			list.dials = append(list.dials, direct.dial)
			continue
		}
		with := *h
		with.User = login
		list.dials = append(list.dials, (&proxyDialer{url: &with, roots: roots, dial: direct.dial}).DialContext)
	}
	return way{kind: WayProxy, name: hops[0].Host, dial: list.dial}
}

// hopList opens connections by the first of several places that can be reached, beginning with the one that was found last, and after the last one with the first.
type hopList struct {
	dials []func(ctx context.Context, network, address string) (net.Conn, error)
	found atomic.Int32
}

func (l *hopList) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var failed error
	found := int(l.found.Load())
	for k := range l.dials {
		i := (found + k) % len(l.dials)
		within, cancel := ctx, context.CancelFunc(func() {})
		if k < len(l.dials)-1 {
			within, cancel = context.WithTimeout(ctx, nextProxy)
		}
		conn, err := l.dials[i](within, network, address)
		cancel()
		var refused *ProxyError
		if err == nil || errors.As(err, &refused) { // a proxy that says no is not got around
			l.found.Store(int32(i))
			return conn, err
		}
		if failed = err; ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}
