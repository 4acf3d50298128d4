package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/appliance/firewall"
)

// firewallPart has the kernel drop what the roles of the document's interfaces do not let in.
type firewallPart struct{ d *daemon }

var _ config.Observer = firewallPart{}

// openFirewall filters as the stored revision says before anything listens. A kernel that cannot keeps no box from starting: it is shown, and is an
// alarm.
func (d *daemon) openFirewall() (err error) {
	if d.firewall, err = firewall.New(firewall.Config{OwnHost: d.flags.ownHost, Logger: d.log}); err != nil || !d.flags.ownHost {
		return err
	}
	wanted, err := d.wantedFirewall(d.document)
	if err == nil {
		_, err = d.firewall.Apply(wanted)
	}
	if err != nil {
		d.log.Error("the firewall is not as configured", "err", err)
	}
	return nil
}

func (firewallPart) Name() string { return "firewall" }

// Check implements config.Part.
func (p firewallPart) Check(doc config.Document) error {
	_, err := p.d.wantedFirewall(doc)
	return err
}

// Apply implements config.Part. What comes back is not refused, whatever the kernel says: it is reported as a difference, and tried again.
func (p firewallPart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	wanted, err := p.d.wantedFirewall(doc)
	if err != nil {
		return nil, err
	}
	if p.d.flags.ownHost {
		if _, err = p.d.firewall.Apply(wanted); err != nil && !p.comesBack(wanted) {
			return nil, err
		}
	}
	return p.Observe(doc), nil
}

func (p firewallPart) comesBack(wanted firewall.Wanted) bool {
	return p.d.comesBack(func(running config.Document) bool {
		now, err := p.d.wantedFirewall(running)
		return err == nil && reflect.DeepEqual(now, wanted)
	})
}

// Observe implements config.Observer.
func (p firewallPart) Observe(doc config.Document) config.Actual {
	if len(doc.Network.Interfaces) == 0 {
		return nil
	}
	a := p.d.firewall.Observe()
	f := config.Fact{Key: "network.firewall.enabled", Wanted: yesNo(doc.Network.Firewall.Enabled)}
	f.Actual = yesNo(doc.Network.Firewall.Enabled && p.d.flags.ownHost && a.Agrees())
	if f.Note = strings.Join(a.Differs, "; "); !p.d.flags.ownHost {
		f.Note = "the host is not the appliance's own: see --own-host"
	}
	return config.Actual{f}
}

const sshPort = 22

// portsOf lists the ports that roles have; where the box listens is what it was started with.
func (d *daemon) portsOf(doc config.Document) (ports []config.OpenPort, err error) {
	add := func(name, protocol, listen string, from []string, roles ...string) error {
		addr, err := config.ParseListen(listen)
		if err != nil {
			return fmt.Errorf("box.listen: %w", err)
		}
		for _, role := range roles {
			if one := (config.OpenPort{Name: name, Protocol: protocol, Port: int(addr.Port()), Role: role, From: from}); addr.Port() != 0 && !addr.Addr().IsLoopback() {
				ports = append(ports, one)
			}
		}
		return nil
	}
	listen, from := d.document.Box.Listen, doc.Network.Firewall.ManagementFrom
	for i, media := range listen.Media {
		if i > 0 && samePort(media, listen.Media[0]) {
			continue
		}
		for _, protocol := range []string{"udp", "tcp"} { // media first: most packets are of them
			if err := add("media", protocol, media, nil, config.RoleService); err != nil {
				return nil, err
			}
		}
	}
	err = add("https", "tcp", listen.HTTPS, nil, config.RoleService, config.RoleCluster)
	if err == nil && listen.Metrics != "" {
		err = add("metrics", "tcp", listen.Metrics, from, config.RoleManagement)
	}
	if err == nil {
		err = add("ssh", "tcp", fmt.Sprintf(":%d", sshPort), from, config.RoleManagement)
	}
	return append(ports, doc.Network.Firewall.Open...), err
}

func samePort(a, b string) bool {
	x, errX := config.ParseListen(a)
	y, errY := config.ParseListen(b)
	return errX == nil && errY == nil && x.Port() == y.Port()
}

// wantedFirewall is what the document asks of the kernel. A port is open by the interfaces of its role and by those that have none. Where no interface
// is for management, its ports are open by all: a box that has only a service network is administered by it.
func (d *daemon) wantedFirewall(doc config.Document) (w firewall.Wanted, err error) {
	if !doc.Network.Firewall.Enabled {
		return w, nil
	}
	for _, i := range doc.Network.Interfaces {
		w.Interfaces = append(w.Interfaces, i.Name)
		if len(i.DHCP) > 0 {
			w.DHCP = append(w.DHCP, i.Name)
		}
	}
	ports, err := d.portsOf(doc)
	if err != nil {
		return w, err
	}
	for _, one := range ports {
		open := firewall.Opening{Name: one.Name, UDP: one.Protocol == "udp", Port: uint16(one.Port)}
		for _, i := range doc.Network.Interfaces {
			if i.Role == one.Role || i.Role == "" || one.Role == "" || one.Role == config.RoleManagement && !doc.Network.HasRole(one.Role) {
				open.Interfaces = append(open.Interfaces, i.Name)
			}
		}
		for _, text := range one.From {
			from, err := netip.ParsePrefix(text)
			if err != nil {
				return w, fmt.Errorf("network.firewall: %w", err)
			}
			open.From = append(open.From, from)
		}
		w.Open = merged(w.Open, open)
	}
	return w, nil
}

// merged adds an opening; the same port of two roles is one, so that no interface has a rule twice.
func merged(list []firewall.Opening, one firewall.Opening) []firewall.Opening {
	for i, other := range list {
		if other.Name == one.Name && other.UDP == one.UDP && other.Port == one.Port && slices.Equal(other.From, one.From) {
			for _, name := range one.Interfaces {
				if !slices.Contains(other.Interfaces, name) {
					list[i].Interfaces = append(list[i].Interfaces, name)
				}
			}
			return list
		}
	}
	return append(list, one)
}

// Firewall implements admin.BoxNetwork.
func (p networkPart) Firewall() adminapi.Firewall {
	doc := p.d.revisions.Running().Document
	a := p.d.firewall.Observe()
	count := func(name string) adminapi.PacketCount { return adminapi.PacketCount(a.Counts[name]) }
	icmp, ping := count("icmp"), count("ping")
	out := adminapi.Firewall{OwnHost: p.d.flags.ownHost, Agrees: p.d.flags.ownHost && a.Agrees(), Differs: a.Differs, Drifted: a.Drifted,
		Answers: count("answers"), Dropped: adminapi.PacketCount(a.Dropped()), ICMP: adminapi.PacketCount{Packets: icmp.Packets + ping.Packets, Bytes: icmp.Bytes + ping.Bytes}}
	wanted, err := p.d.wantedFirewall(doc)
	if err != nil {
		out.Differs = append(out.Differs, err.Error())
	}
	out.Interfaces, out.Enabled = wanted.Interfaces, p.d.flags.ownHost && len(wanted.Interfaces) > 0
	for _, o := range wanted.Open {
		one := adminapi.FirewallPort{Name: o.Name, Protocol: "tcp", Port: int(o.Port), Interfaces: o.Interfaces, From: texts(o.From), Passed: count(o.Name)}
		if o.UDP {
			one.Protocol = "udp"
		}
		out.Ports = append(out.Ports, one)
	}
	for _, e := range a.Events {
		out.Events = append(out.Events, adminapi.NetworkEvent{Time: e.Time, Object: e.Object, Healed: e.Healed, TookMS: float64(e.Took.Microseconds()) / 1000, Error: e.Error})
	}
	return out
}

func newFirewallCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "firewall",
		Short: "Show which ports are open by which interface, what passed, and what was dropped",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := r.client().Firewall(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, f, func(w io.Writer) { printFirewall(w, f) })
		},
	}
	r.flags(cmd)
	return cmd
}

func printFirewall(w io.Writer, f adminapi.Firewall) {
	state := "on for " + strings.Join(f.Interfaces, ", ") + "; other interfaces are left alone"
	switch {
	case !f.OwnHost:
		state = "off: this host is not the appliance's own (--own-host)"
	case !f.Enabled:
		state = "off: network.interfaces names nothing, or network.firewall.enabled is false"
	case !f.Agrees:
		state = "NOT as configured"
	}
	table(w, [][]string{{"Firewall", state}})
	for _, d := range f.Differs {
		fmt.Fprintf(w, "  DIFFERS: %s\n", printable(d))
	}
	if !f.Enabled {
		return
	}
	rows := [][]string{{"PORT", "FOR", "BY", "FROM", "PACKETS"}}
	for _, p := range f.Ports {
		by, from := strings.Join(p.Interfaces, " "), strings.Join(p.From, " ")
		if by == "" {
			by = "closed: no interface has the role"
		}
		if from == "" {
			from = "anywhere"
		}
		rows = append(rows, []string{fmt.Sprintf("%s %d", p.Protocol, p.Port), p.Name, by, from, fmt.Sprint(p.Passed.Packets)})
	}
	table(w, append(rows, []string{"", "answers", "", "", fmt.Sprint(f.Answers.Packets)}, []string{"", "ICMP", "", "", fmt.Sprint(f.ICMP.Packets)}, []string{"", "dropped", "", "", fmt.Sprint(f.Dropped.Packets)}))
	printEvents(w, f.Drifted, f.Events)
}

// printEvents tells what somebody else has changed.
func printEvents(w io.Writer, drifted uint64, events []adminapi.NetworkEvent) {
	if drifted > 0 {
		fmt.Fprintf(w, "\nchanged by somebody else: %d\n", drifted)
	}
	var rows [][]string
	for _, e := range events {
		outcome := fmt.Sprintf("back after %.0f ms", e.TookMS)
		if !e.Healed {
			outcome = "NOT HEALED: " + e.Error
		}
		rows = append(rows, []string{"  " + when(e.Time), e.Object, outcome})
	}
	table(w, rows)
}
