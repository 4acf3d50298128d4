package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meetzone/appliance/config"
	"meetzone/dataplane"
	"meetzone/zonectl"
)

// parts lists what takes settings, in the order of applying: what others stand on comes first.
func (d *daemon) parts() []config.Part {
	return []config.Part{logPart{d}, networkPart{d}, firewallPart{d}, hostPart{d}, d.targets, mediaPart{d}, marksPart{d}, certificatePart{d}, zonePart{d}, tunnelsPart{d}}
}

// ---- log

type logPart struct{ d *daemon }

func (logPart) Name() string { return "log" }

func (logPart) Check(doc config.Document) error {
	var level slog.Level
	return level.UnmarshalText([]byte(doc.Box.LogLevel))
}

func (p logPart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(doc.Box.LogLevel)); err != nil {
		return nil, err
	}
	p.d.level.Set(level)
	return config.Actual{{Key: "box.log_level", Wanted: doc.Box.LogLevel, Actual: strings.ToLower(p.d.level.Level().String())}}, nil
}

// ---- media: the plane's sockets and workers, which are what they were opened with until the next start

type mediaPart struct{ d *daemon }

var _ config.Observer = mediaPart{}

func (mediaPart) Name() string { return "media" }

func (mediaPart) Check(doc config.Document) error {
	cfg, err := planeConfig(doc)
	if err != nil {
		return err
	}
	return cfg.Validate()
}

func (p mediaPart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	return p.Observe(doc), nil
}

const atNextStart = "takes effect at the next start"

// Observe reads back what the kernel granted.
func (p mediaPart) Observe(doc config.Document) config.Actual {
	actual := p.d.plane.Actual()
	running := p.d.document.Box
	facts := config.Actual{
		{Key: "box.listen.media", Wanted: strings.Join(doc.Box.Listen.Media, " "), Actual: strings.Join(running.Listen.Media, " ")},
		{Key: "box.listen.https", Wanted: doc.Box.Listen.HTTPS, Actual: running.Listen.HTTPS},
		{Key: "box.listen.metrics", Wanted: doc.Box.Listen.Metrics, Actual: running.Listen.Metrics},
		{Key: "box.listen.admin", Wanted: doc.Box.Listen.Admin, Actual: running.Listen.Admin},
		{Key: "box.advertise", Wanted: strings.Join(doc.Box.Advertise, " "), Actual: strings.Join(running.Advertise, " ")},
	}
	if doc.Box.Workers != 0 {
		facts = append(facts, config.Fact{Key: "box.workers", Wanted: strconv.Itoa(doc.Box.Workers), Actual: strconv.Itoa(actual.Workers)})
	}
	for i := range facts {
		if !facts[i].Agrees() {
			facts[i].Note = atNextStart
		}
	}
	buffer := config.Fact{Key: "box.receive_buffer", Wanted: strconv.FormatInt(int64(doc.Box.ReceiveBuffer), 10), Actual: strconv.Itoa(actual.ReceiveBuffer)}
	if !buffer.Agrees() {
		buffer.Note = "the kernel grants less than net.core.rmem_max allows, unless the daemon has CAP_NET_ADMIN"
	}
	facts = append(facts, buffer)
	for _, f := range actual.Features {
		facts = append(facts, config.Fact{Key: "kernel." + f.Name, Wanted: yesNo(f.Wanted), Actual: yesNo(f.Actual), Note: f.Lost})
	}
	return facts
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// planeConfig makes the plane's configuration of the document's.
func planeConfig(doc config.Document) (dataplane.Config, error) {
	profile, err := doc.DSCP.Policy()
	if err != nil {
		return dataplane.Config{}, err
	}
	// Steering loses datagrams where a bucket moves (TestNetnsLoad); until that is found, the kernel's hash decides.
	cfg := dataplane.Config{Workers: doc.Box.Workers, ReceiveBuffer: int(doc.Box.ReceiveBuffer), Marks: profile.Points(), NoSteering: true}
	for _, text := range doc.Box.Listen.Media {
		if host, port, err := net.SplitHostPort(text); err == nil && host == "" {
			if port == strconv.Itoa(dataplane.DefaultPort) && len(doc.Box.Listen.Media) == 1 {
				return cfg, nil // the plane's own default, which knows whether there is IPv6
			}
			text = net.JoinHostPort("::", port)
		}
		addr, err := netip.ParseAddrPort(text)
		if err != nil {
			return cfg, fmt.Errorf("box.listen.media: %q is no address with port; write it like :8801 or 192.0.2.1:8801", text)
		}
		cfg.Listen = append(cfg.Listen, addr)
	}
	return cfg, nil
}

// ---- certificate

type certificatePart struct{ d *daemon }

var _ config.Observer = certificatePart{}

func (certificatePart) Name() string { return "certificate" }

func (p certificatePart) Check(doc config.Document) error {
	if name := doc.Certificate.Name; name == config.SelfSigned || name == config.ACME {
		return nil
	}
	_, err := p.d.tls.load(doc.Certificate.Name)
	return err
}

func (p certificatePart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	var wanted config.ACMESettings
	var err error
	switch name := doc.Certificate.Name; name {
	case config.ACME:
		wanted = doc.Certificate.ACME
		p.d.tls.unusable.Store(nil)
		if p.d.tls.using() == name || p.d.tls.use(name) == nil {
			break
		}
		err = p.d.tls.selfSigned(wantedNames(doc)) // until there is one
	case config.SelfSigned:
		p.d.tls.unusable.Store(nil)
		err = p.d.tls.selfSigned(wantedNames(doc))
	default:
		// Check has seen to it for a commit; at a start the box has to come up all the same.
		if why := p.d.tls.use(name); why != nil {
			err = p.d.tls.instead(wantedNames(doc), why)
		}
	}
	if err != nil {
		return nil, err
	}
	p.d.tls.wantACME(wanted, doc.Zone.Hosts)
	return p.Observe(doc), nil
}

// Observe says which certificate is shown.
func (p certificatePart) Observe(doc config.Document) config.Actual {
	name := config.Fact{Key: "certificate.name", Wanted: doc.Certificate.Name, Actual: p.d.tls.using()}
	if !name.Agrees() {
		name.Note = "it is being obtained"
		if text, _ := p.d.tls.acmeProblem(); text != "" {
			name.Note = text
		}
	}
	return config.Actual{name, {Key: "certificate.fingerprint", Wanted: p.d.tls.fingerprint(), Actual: p.d.tls.fingerprint()}}
}

// ---- zone

type zonePart struct{ d *daemon }

func (zonePart) Name() string { return "zone" }

func (p zonePart) Check(doc config.Document) error { return zonectl.Check(p.d.zoneConfig(doc)) }

func (p zonePart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	actual, err := p.d.zone.Apply(p.d.zoneConfig(doc))
	if err != nil {
		return nil, err
	}
	p.d.trusted.Store(&actual.TrustedProxies)
	return config.Actual{
		{Key: "zone.name", Wanted: doc.Zone.Name, Actual: actual.Name},
		{Key: "zone.policy.start_meetings", Wanted: doc.Zone.Policy.StartMeetings, Actual: string(actual.Start)},
	}, nil
}

// zoneConfig makes the controller's configuration of the document's. Its ports are those that the box listens on, since a change of
// box.listen waits for the next start, and links and probes must not name a port where nobody listens yet.
func (d *daemon) zoneConfig(doc config.Document) zonectl.Config {
	limits := doc.Zone.Limits
	cfg := zonectl.Config{
		Zone: doc.Zone.ID, Name: doc.Zone.Name, Member: d.identity.boxID(), Start: zonectl.StartPolicy(doc.Zone.Policy.StartMeetings),
		Limits: zonectl.Limits{Meetings: limits.Meetings, Participants: limits.Participants, Sessions: limits.Sessions, Watchers: limits.Watchers, VideoSlots: limits.VideoSlots,
			NoVideo: limits.VideoSlots == 0, EmptyAfter: limits.EmptyAfter.Std(), TokenLife: limits.TokenLife.Std(), ResumeWithin: limits.ResumeWithin.Std()},
		Codecs: doc.Zone.Media.Codecs,
		Guess:  zonectl.GuessLimits{Attempts: doc.Zone.Guess.Attempts, Within: doc.Zone.Guess.Within.Std(), Block: doc.Zone.Guess.Block.Std()},
	}
	if profile, err := doc.DSCP.Policy(); err == nil { // an invalid one is complained of by the marks' own part
		cfg.Marks = profile.Points()
	}
	setPlaces(&cfg, doc)
	listen := d.document.Box.Listen
	if len(listen.Media) > 0 {
		if _, port, err := net.SplitHostPort(listen.Media[0]); err == nil {
			cfg.Media = ":" + port
		}
	}
	_, port, err := net.SplitHostPort(listen.HTTPS)
	for _, host := range doc.Zone.Hosts {
		if err == nil && port != "443" {
			host = net.JoinHostPort(host, port)
		} else if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		cfg.URLs = append(cfg.URLs, "https://"+host)
	}
	return cfg
}

// wantedNames are the names and addresses that the certificate has to cover: those that are configured, and those that the machine has.
func wantedNames(doc config.Document) []string {
	names := append(slices.Clone(doc.Zone.Hosts), doc.Box.Advertise...)
	names = append(names, hostname(doc), "localhost", "127.0.0.1", "::1")
	for _, addr := range hostAddresses() {
		names = append(names, addr.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}
