package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/network"
)

// leasesOf tells of the leases of DHCP, and of the interfaces that wait for one.
func leasesOf(a network.Actual) (out []adminapi.NetworkLease) {
	for _, l := range a.Leases {
		one := adminapi.NetworkLease{Interface: l.Interface, Address: l.Address.String(), Server: l.Server.String(), Domain: l.Domain,
			DNS: texts(l.DNS), NTP: texts(l.NTP), Expires: time.Now().Add(l.Left()).UTC().Truncate(time.Second)}
		for _, r := range l.Routes {
			one.Routes = append(one.Routes, adminapi.NetworkRoute{To: r.To.String(), Via: r.Via.String()})
		}
		out = append(out, one)
	}
	for _, name := range a.Waiting {
		out = append(out, adminapi.NetworkLease{Interface: name})
	}
	return out
}

func texts[T fmt.Stringer](list []T) (out []string) {
	for _, one := range list {
		out = append(out, one.String())
	}
	return out
}

func printLeases(w io.Writer, leases []adminapi.NetworkLease) {
	for _, l := range leases {
		if l.Address == "" {
			fmt.Fprintf(w, "lease of %s: no DHCP server has answered yet\n", printable(l.Interface))
			continue
		}
		text := fmt.Sprintf("lease of %s: %s from %s until %s", l.Interface, l.Address, l.Server, when(l.Expires))
		if len(l.DNS) > 0 {
			text += ", DNS " + strings.Join(l.DNS, " ")
		}
		if len(l.NTP) > 0 {
			text += ", NTP " + strings.Join(l.NTP, " ")
		}
		fmt.Fprintln(w, printable(text))
	}
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
	}, r.networkShowCommand())
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
		printLeases(w, n.Leases)
	}
	printEvents(w, n.Drifted, n.Events)
}

func printInterfaces(w io.Writer, n adminapi.BoxNetwork) {
	rows := [][]string{{"INTERFACE", "ROLE", "ADDRESSES", "MTU", "VLAN OR BOND"}}
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
		if len(i.Ports) > 0 {
			vlan = i.Mode + " of " + strings.Join(i.Ports, ", ")
		}
		rows = append(rows, []string{name, role, interfaceAddresses(i), mtu, vlan})
	}
	table(w, rows)
	for _, r := range n.Routes {
		only := ""
		if r.For != "" {
			only = " for " + r.For
		}
		fmt.Fprintf(w, "route to %s via %s%s\n", printable(r.To), printable(r.Via), printable(only))
	}
}

func interfaceAddresses(i adminapi.NetworkInterface) string {
	list := i.Addresses
	if len(i.DHCP) > 0 {
		list = append(list[:len(list):len(list)], "DHCP")
	}
	if i.RA != "" {
		list = append(list[:len(list):len(list)], "RA:"+i.RA)
	}
	return strings.Join(list, " ")
}
