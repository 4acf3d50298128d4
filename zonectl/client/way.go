package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"meetzone/dataplane/tunnel"
	"meetzone/dscp"
)

// A way is how the client's TCP connections travel: directly, through a proxy, or through an HTTP tunnel of the zone. Stages 1 to 4 of a session use the
// same one. UDP and TCP of the media port exist only on the direct way.

// WayKind tells ways apart.
type WayKind string

// The kinds.
const (
	WayDirect WayKind = "direct"
	WayProxy  WayKind = "proxy"
	WayTunnel WayKind = "tunnel"
)

// way opens connections.
type way struct {
	kind WayKind
	name string // of proxy or tunnel, without credentials
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// String names the way for a person.
func (w way) String() string {
	if w.kind == WayDirect {
		return string(w.kind)
	}
	return string(w.kind) + " " + w.name
}

// dialTimeout bounds the opening of one TCP connection.
const dialTimeout = 8 * time.Second

// directWay is the way without anything in between. Its connections are marked as signalling.
func directWay(marks dscp.Marks) way {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: markControl(marks[dscp.Signalling])}
	return way{kind: WayDirect, dial: dialer.DialContext}
}

// tunnelWay leads through a tunnel, which is reached by another way.
func tunnelWay(d tunnel.Dialer) way {
	return way{kind: WayTunnel, name: hostOf(d.URL), dial: d.DialContext}
}

// ProxyNone as Config.Proxy says that there is none, whatever the environment says.
const ProxyNone = "none"

// proxyFor finds the proxy for a host: the configured one, or that of the environment (HTTPS_PROXY, NO_PROXY). nil: none.
func proxyFor(configured, base string) (*url.URL, error) {
	switch configured {
	case ProxyNone:
		return nil, nil
	case "":
		target, err := url.Parse(base)
		if err != nil {
			return nil, err
		}
		found, err := httpproxy.FromEnvironment().ProxyFunc()(target)
		if err != nil || found == nil {
			return nil, err
		}
		return found, checkProxy(found)
	}
	return ParseProxy(configured)
}

// ParseProxy reads the address of a proxy: http://[USER:PASSWORD@]HOST:PORT, or https:// where the proxy itself speaks TLS.
func ParseProxy(text string) (*url.URL, error) {
	if strings.HasSuffix(strings.ToLower(text), ".pac") {
		return nil, fmt.Errorf("proxy %q: that is a PAC file; give it with --pac", text)
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("proxy: the address cannot be read; use http://HOST:PORT") // what url.Parse says may hold the password
	}
	return u, checkProxy(u)
}

func checkProxy(u *url.URL) error {
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("proxy %q: use http://HOST:PORT or https://HOST:PORT", u.Redacted())
	}
	return nil
}

// firstWay is the way that a session begins with.
func firstWay(ctx context.Context, cfg Config, marks dscp.Marks, base string) (way, error) {
	direct := directWay(marks)
	if cfg.PAC != "" {
		hops, err := proxiesByPAC(ctx, cfg.PAC, base, cfg.ProxyLogin != "", cfg.Roots)
		if err != nil {
			return direct, err
		}
		return pacWay(hops, loginOf(cfg.ProxyLogin), cfg.Roots, direct), nil
	}
	proxy, err := proxyFor(cfg.Proxy, base)
	if err != nil || proxy == nil {
		return direct, err
	}
	p := &proxyDialer{url: proxy, roots: cfg.Roots, dial: direct.dial}
	return way{kind: WayProxy, name: proxy.Host, dial: p.DialContext}, nil
}

// loginOf reads USER:PASSWORD.
func loginOf(text string) *url.Userinfo {
	if text == "" {
		return nil
	}
	user, password, _ := strings.Cut(text, ":")
	return url.UserPassword(user, password)
}

// ProxyError says that a proxy does not let a connection through.
type ProxyError struct {
	Proxy  string // host:port
	Status int    // as the proxy answered CONNECT
}

// Error says what the proxy answered.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("proxy %s answers %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
}
