package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/appliance/network"
)

// networkPart has the kernel's links, addresses and routes as configured.
type networkPart struct{ d *daemon }

var (
	_ config.Observer  = networkPart{}
	_ admin.BoxNetwork = networkPart{}
)

// openNetwork applies the stored revision before anything listens on an address of it. A network that cannot be brought to agree keeps no box
// from starting: it is shown, and tried again whenever something changes.
func (d *daemon) openNetwork() (err error) {
	if d.network, err = network.New(network.Config{OwnHost: d.flags.ownHost, Logger: d.log,
		File: filepath.Join(d.flags.state, "network-before.json"), Leases: filepath.Join(d.flags.state, "network-leases.json"), WriteFile: writeFile}); err != nil || !d.flags.ownHost {
		return err
	}
	wanted, err := wantedNetwork(d.document)
	if err == nil {
		_, err = d.network.Apply(wanted)
	}
	if err != nil {
		d.log.Error("the network is not as configured", "err", err)
	}
	return nil
}

func (networkPart) Name() string { return "network" }

// Check implements config.Part. What cannot be had is refused here, before anything changes; what is wanted already, or comes back, is never refused.
func (p networkPart) Check(doc config.Document) error {
	wanted, err := wantedNetwork(doc)
	if err != nil || !p.d.flags.ownHost || p.comesBack(wanted) {
		return err
	}
	missing, have, err := network.Missing(wanted)
	if err != nil {
		return err
	}
	running := p.d.revisions.Running().Document.Network.Interfaces
	for i, one := range doc.Network.Interfaces {
		known := slices.ContainsFunc(running, func(r config.Interface) bool { return r.Name == one.Name })
		if slices.Contains(missing, one.Name) && !known {
			return fmt.Errorf("network.interfaces[%d].name: this box has no interface %s; it has %s", i, one.Name, strings.Join(have, ", "))
		}
	}
	return p.d.network.Check(wanted)
}

// comesBack says that a document was in force before: at a start, when a commit is undone, and when an unconfirmed revision is taken back. same says
// that what runs asks for the same.
func (d *daemon) comesBack(same func(running config.Document) bool) bool {
	running := d.revisions.Running()
	return running.Number == 0 || d.revisions.Waiting().Number != 0 || same(running.Document)
}

func (p networkPart) comesBack(wanted network.Wanted) bool {
	return p.d.comesBack(func(running config.Document) bool {
		now, err := wantedNetwork(running)
		return err == nil && now.Equal(wanted)
	})
}

// Apply implements config.Part. What comes back is not refused, whatever is missing: it is reported as a difference, and tried again.
func (p networkPart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	wanted, err := wantedNetwork(doc)
	if err != nil || !p.d.flags.ownHost {
		return p.Observe(doc), err
	}
	if _, err = p.d.network.Apply(wanted); err != nil && !p.comesBack(wanted) {
		return nil, err
	}
	return p.Observe(doc), nil
}

// wantedNetwork is what the document asks of the kernel.
func wantedNetwork(doc config.Document) (w network.Wanted, err error) {
	for i, one := range doc.Network.Interfaces {
		to := network.Interface{Name: one.Name, Parent: one.Parent, VLAN: one.VLAN, MTU: one.MTU, Disabled: one.Disabled, Management: one.Role == config.RoleManagement}
		to.DHCP = network.DHCP{Address: slices.Contains(one.DHCP, config.DHCPAddress), Gateway: slices.Contains(one.DHCP, config.DHCPGateway)}
		if len(one.Ports) > 0 {
			to.Bond = network.Bond{Ports: one.Ports, LACP: one.Mode == config.BondLACP, Fast: one.LACPRate == config.LACPFast, MonitorMS: int(cmp.Or(one.Monitor.Std(), 100*time.Millisecond).Milliseconds())}
		}
		to.RA = network.RA{Set: one.RA != "", Address: one.RA == config.RAAll || one.RA == config.RAAddress, Gateway: one.RA == config.RAAll || one.RA == config.RAGateway}
		for j, text := range one.Addresses {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return w, fmt.Errorf("network.interfaces[%d].addresses[%d]: %w", i, j, err)
			}
			to.Addresses = append(to.Addresses, p)
		}
		w.Interfaces = append(w.Interfaces, to)
	}
	for i, r := range doc.Network.Routes {
		to, err := r.Destination()
		if err != nil {
			return w, fmt.Errorf("network.routes[%d]: %w", i, err)
		}
		via, err := netip.ParseAddr(r.Via)
		if err != nil {
			return w, fmt.Errorf("network.routes[%d].via: %w", i, err)
		}
		w.Routes = append(w.Routes, network.Route{To: to, Via: via, Management: r.For == config.RoleManagement})
	}
	return w, nil
}

// bondMode is the mode of a bond; empty: it is none.
func bondMode(i config.Interface) string {
	if len(i.Ports) == 0 {
		return ""
	}
	return cmp.Or(i.Mode, config.BondActiveBackup)
}

// Observe implements config.Observer.
func (p networkPart) Observe(doc config.Document) config.Actual {
	if len(doc.Network.Interfaces) == 0 {
		return nil
	}
	f := config.Fact{Key: "network", Wanted: yesNo(p.d.flags.ownHost)}
	a := p.d.network.Observe()
	f.Actual = yesNo(p.d.flags.ownHost && a.Agrees())
	if !p.d.flags.ownHost {
		f.Note = "the host is not the appliance's own: see --own-host"
	} else if !a.Agrees() {
		f.Note = strings.Join(a.Differs, "; ")
	} else if len(a.Waiting) > 0 {
		f.Note = "no DHCP server has answered yet on " + strings.Join(a.Waiting, ", ")
	}
	return config.Actual{f}
}

// BoxNetwork implements admin.BoxNetwork.
func (p networkPart) BoxNetwork() adminapi.BoxNetwork {
	doc := p.d.revisions.Running().Document
	a := p.d.network.Observe()
	out := adminapi.BoxNetwork{OwnHost: p.d.flags.ownHost, Agrees: p.d.flags.ownHost && a.Agrees(), Differs: a.Differs, Drifted: a.Drifted}
	for _, i := range doc.Network.Interfaces {
		out.Interfaces = append(out.Interfaces, adminapi.NetworkInterface{Name: i.Name, Role: i.Role, Parent: i.Parent, VLAN: i.VLAN, Addresses: i.Addresses,
			MTU: i.MTU, Disabled: i.Disabled, DHCP: i.DHCP, RA: i.RA, Ports: i.Ports, Mode: bondMode(i)})
	}
	for _, r := range doc.Network.Routes {
		out.Routes = append(out.Routes, adminapi.NetworkRoute(r))
	}
	out.Leases = leasesOf(a)
	for _, e := range a.Events {
		out.Events = append(out.Events, adminapi.NetworkEvent{Time: e.Time, Object: e.Object, Healed: e.Healed, TookMS: float64(e.Took.Microseconds()) / 1000, Error: e.Error})
	}
	return out
}
