package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"meetzone/appliance/config"
	"meetzone/dataplane/tunnel"
	"meetzone/dscp"
)

// The tunnel role: `appliance tunnel --https ADDR --zone …` is an HTTP tunnel and nothing else. It keeps a self-signed certificate and no other state.

type tunnelFlags struct {
	https, state       string
	zones, names       []string
	perClient, perZone int
	proxyProtocol      bool
}

// runs makes the command run a tunnel when --https is given.
func (f *tunnelFlags) runs(cmd *cobra.Command) {
	cmd.Use = "tunnel [--https ADDR --zone NAMES=TO …]"
	cmd.Short = "Run an HTTP tunnel (with --https); list, add and remove those that the zone tells its clients of"
	cmd.Example = "  appliance tunnel --https :443 --zone meet.example,192.0.2.7=10.0.0.1:443        # dials the zone\n" +
		"  appliance tunnel --https :443 --zone meet.example=ed25519:KEY                   # the zone registers; `appliance zone show` prints its key"
	flags := cmd.Flags()
	flags.StringVar(&f.https, "https", "", "run a tunnel at this `ADDR`")
	flags.StringVar(&f.state, "state", "/var/lib/meetzone-tunnel", "`DIR` of its certificate")
	flags.StringArrayVar(&f.zones, "zone", nil, "a zone to lead to, `NAME[,NAME…]=HOST:PORT` to dial or NAME[,NAME…]=KEY to wait for its registration")
	flags.StringSliceVar(&f.names, "name", nil, "further names and addresses of the tunnel, for its certificate")
	flags.IntVar(&f.perClient, "per-client", 0, "connections that one address may have (64)")
	flags.IntVar(&f.perZone, "per-zone", 0, "connections that one zone gets (4000)")
	flags.BoolVar(&f.proxyProtocol, "proxy-protocol", false, "tell zones that are dialled the client's address; the zone must list the tunnel in box.trusted_proxies")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.https == "" {
			return showHelp(cmd, args)
		}
		return f.run(cmd.Context())
	}
}

func (f *tunnelFlags) run(ctx context.Context) error {
	log := newLogger(new(slog.LevelVar))
	zones, err := tunnelZones(f.zones)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.state, 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	own, err := openCertificates(f.state, log)
	if err != nil {
		return err
	}
	if err := own.selfSigned(wantedNames(config.Document{Zone: config.Zone{Hosts: f.names}})); err != nil {
		return err
	}
	profile, err := dscp.ShippedProfile(dscp.ProfileRFC4594)
	if err != nil {
		return err
	}
	signalling := profile.Points()[dscp.Signalling]
	onwards := markedDialer(dscp.Signalling, func() dscp.CodePoint { return signalling })
	server, err := tunnel.New(tunnel.Config{Zones: zones, Dial: onwards, PerClient: f.perClient, PerZone: f.perZone, ProxyProtocol: f.proxyProtocol, Logger: log,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own.current.Load(), nil }})
	if err != nil {
		return err
	}
	l, err := listenMarked(ctx, f.https, dscp.Signalling)
	if err != nil {
		return err
	}
	if err := l.setMark(signalling); err != nil {
		return errors.Join(err, l.Close())
	}
	life, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ended := context.AfterFunc(life, func() { _ = server.Close() })
	defer ended()
	log.Info("ready", "https", l.Addr().String(), "zones", len(zones), "fingerprint", own.fingerprint())
	notifyReady()
	if err := server.Run(l); !errors.Is(err, net.ErrClosed) {
		return errors.Join(err, server.Close())
	}
	return server.Close()
}

// tunnelZones reads the values of --zone.
func tunnelZones(list []string) (zones []tunnel.Zone, err error) {
	for _, text := range list {
		names, to, ok := strings.Cut(text, "=")
		if !ok || names == "" || to == "" {
			return nil, fmt.Errorf("--zone %q: write NAME[,NAME…]=HOST:PORT, or NAME[,NAME…]=KEY with the key that `appliance zone show` prints", text)
		}
		z := tunnel.Zone{Names: strings.Split(strings.ToLower(names), ",")}
		if key, err := config.ParseZoneKey(to); err == nil {
			z.Key = ed25519.PublicKey(key)
		} else if _, _, err := net.SplitHostPort(to); err == nil {
			z.Dial = to
		} else {
			return nil, fmt.Errorf("--zone %q: %q is neither HOST:PORT nor a key of a zone", text, to)
		}
		zones = append(zones, z)
	}
	slices.SortStableFunc(zones, func(a, b tunnel.Zone) int { return strings.Compare(a.Names[0], b.Names[0]) })
	return zones, nil
}
