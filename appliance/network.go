package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
		File: filepath.Join(d.flags.state, "network-before.json"), WriteFile: writeFile}); err != nil || !d.flags.ownHost {
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

// comesBack says that a document was in force before: at a start, when a commit is undone, and when an unconfirmed revision is taken back.
func (p networkPart) comesBack(wanted network.Wanted) bool {
	running := p.d.revisions.Running()
	now, err := wantedNetwork(running.Document)
	return running.Number == 0 || p.d.revisions.Waiting().Number != 0 || err == nil && now.Equal(wanted)
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
		to := network.Interface{Name: one.Name, Parent: one.Parent, VLAN: one.VLAN, MTU: one.MTU, Disabled: one.Disabled}
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
		w.Routes = append(w.Routes, network.Route{To: to, Via: via})
	}
	return w, nil
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
	}
	return config.Actual{f}
}

// BoxNetwork implements admin.BoxNetwork.
func (p networkPart) BoxNetwork() adminapi.BoxNetwork {
	doc := p.d.revisions.Running().Document
	a := p.d.network.Observe()
	out := adminapi.BoxNetwork{OwnHost: p.d.flags.ownHost, Agrees: p.d.flags.ownHost && a.Agrees(), Differs: a.Differs, Drifted: a.Drifted}
	for _, i := range doc.Network.Interfaces {
		out.Interfaces = append(out.Interfaces, adminapi.NetworkInterface(i))
	}
	for _, r := range doc.Network.Routes {
		out.Routes = append(out.Routes, adminapi.NetworkRoute(r))
	}
	for _, e := range a.Events {
		out.Events = append(out.Events, adminapi.NetworkEvent{Time: e.Time, Object: e.Object, Healed: e.Healed, TookMS: float64(e.Took.Microseconds()) / 1000, Error: e.Error})
	}
	return out
}

// Kernel implements admin.BoxNetwork.
func (networkPart) Kernel() (out adminapi.KernelNetwork, err error) {
	shown, err := network.Show()
	for _, l := range shown.Links {
		out.Links = append(out.Links, adminapi.KernelLink(l))
	}
	out.Routes, out.Rules = shown.Routes, shown.Rules
	return out, err
}

func newNetworkCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "network", Short: "Show the box's own network", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Show interfaces and routes as configured, what differs, and what somebody else has changed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := r.client().BoxNetwork(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, n, func(w io.Writer) { printNetwork(w, n) })
		},
	})
	return cmd
}

func printNetwork(w io.Writer, n adminapi.BoxNetwork) {
	state := "as configured"
	switch {
	case !n.OwnHost:
		state = "left alone: this host is not the appliance's own (--own-host)"
	case len(n.Interfaces) == 0:
		state = "left alone: network.interfaces names nothing"
	case !n.Agrees:
		state = "NOT as configured"
	}
	table(w, [][]string{{"Network", state}})
	for _, d := range n.Differs {
		fmt.Fprintf(w, "  DIFFERS: %s\n", printable(d))
	}
	if len(n.Interfaces) > 0 {
		fmt.Fprintln(w)
		printInterfaces(w, n)
	}
	if n.Drifted > 0 {
		fmt.Fprintf(w, "\nchanged by somebody else: %d\n", n.Drifted)
	}
	var rows [][]string
	for _, e := range n.Events {
		outcome := fmt.Sprintf("back after %.0f ms", e.TookMS)
		if !e.Healed {
			outcome = "NOT HEALED: " + e.Error
		}
		rows = append(rows, []string{"  " + when(e.Time), e.Object, outcome})
	}
	table(w, rows)
}

func printInterfaces(w io.Writer, n adminapi.BoxNetwork) {
	rows := [][]string{{"INTERFACE", "ROLE", "ADDRESSES", "MTU", "VLAN"}}
	for _, i := range n.Interfaces {
		name, role, mtu, vlan := i.Name, i.Role, "", ""
		if i.Disabled {
			name += " (off)"
		}
		if role == "" {
			role = "all"
		}
		if i.MTU != 0 {
			mtu = fmt.Sprint(i.MTU)
		}
		if i.Parent != "" {
			vlan = fmt.Sprintf("%d on %s", i.VLAN, i.Parent)
		}
		rows = append(rows, []string{name, role, strings.Join(i.Addresses, " "), mtu, vlan})
	}
	table(w, rows)
	for _, r := range n.Routes {
		fmt.Fprintf(w, "route to %s via %s\n", printable(r.To), printable(r.Via))
	}
}
