package tunnel

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"
)

// Zone is an entry of the allow-list: a zone that the tunnel leads to.
type Zone struct {
	// Names are the host names and addresses under which clients know the zone.
	Names []string
	// Dial is where the tunnel dials the zone, host:port. Empty: the zone registers, with Key.
	Dial string
	Key  ed25519.PublicKey
}

// Config says what a tunnel does. Zero values mean the documented default.
type Config struct {
	Zones []Zone
	// Certificate is the tunnel's own.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	PerClient   int // connections from one address at once, for IPv6 from one /64; default 64
	PerZone     int // connections to one zone at once; default 4000
	Total       int // connections at once; default 24000, each of which takes two descriptors
	// ProxyProtocol tells zones that are dialled the client's address, by the PROXY protocol. Zones that register are always told.
	ProxyProtocol bool
	// Dial opens the connections to zones that are dialled; default net.Dialer. It may mark them.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger *slog.Logger // default slog.Default
}

// Bounds that are not for anybody to choose.
const (
	helloWithin    = 5 * time.Second
	maxHello       = 16 << 10
	dialWithin     = 5 * time.Second
	idleFor        = 5 * time.Minute
	maxZones       = 64
	maxNames       = 64
	maxWaiting     = 1024 // connections that have not said yet where they want to go
	linesPerZone   = 32   // registered connections
	maxAnswer      = 4 << 10
	tokenLife      = time.Minute
	defaultClients = 64
	defaultPerZone = 4000
	defaultTotal   = 24000
)

func (c Config) withDefaults() Config {
	if c.PerClient == 0 {
		c.PerClient = defaultClients
	}
	if c.PerZone == 0 {
		c.PerZone = defaultPerZone
	}
	if c.Total == 0 {
		c.Total = defaultTotal
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate names everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	that := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	that(len(c.Zones) > 0, "zones: none; a tunnel that leads nowhere is of no use")
	that(len(c.Zones) <= maxZones, "zones: more than %d", maxZones)
	that(c.Certificate != nil, "certificate: missing")
	that(c.PerClient >= 0 && c.PerZone >= 0 && c.Total >= 0, "limits: negative")
	var seen []string
	for _, z := range c.Zones {
		that(len(z.Names) > 0 && len(z.Names) <= maxNames, "zone %q: needs 1 to %d names", z.Names, maxNames)
		for _, name := range z.Names {
			that(name != "" && name == normal(name), "name %q: write it in small letters, without a port", name)
			that(!slices.Contains(seen, name), "name %q: there twice", name)
			seen = append(seen, name)
		}
		if z.Dial == "" {
			that(len(z.Key) == ed25519.PublicKeySize, "zone %q: needs an address to dial, or the public key with which it registers", z.Names)
			continue
		}
		that(len(z.Key) == 0, "zone %q: is either dialled or registers", z.Names)
		_, _, err := net.SplitHostPort(z.Dial)
		that(err == nil, "address %q of zone %q: write host:port", z.Dial, z.Names)
	}
	return errors.Join(errs...)
}

// normal writes a host name as the allow-list has it.
func normal(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
}
