package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/lldp"
	"meetzone/appliance/network"
)

// openNeighbours listens for who is at the other end of the box's cables. Without it, nothing else is worse.
func (d *daemon) openNeighbours() {
	if !d.flags.ownHost {
		return
	}
	var err error
	if d.neighbours, err = lldp.Open(); err != nil {
		d.log.Warn("the box does not hear what it is plugged into", "err", err)
	}
}

func (d *daemon) runNeighbours(ctx context.Context) error {
	if d.neighbours == nil {
		<-ctx.Done()
		return nil
	}
	return d.neighbours.Run(ctx)
}

// Kernel implements admin.BoxNetwork.
func (p networkPart) Kernel() (out adminapi.KernelNetwork, err error) {
	shown, err := network.Show()
	for _, l := range shown.Links {
		out.Links = append(out.Links, adminapi.KernelLink{Name: l.Name, Kind: l.Kind, MAC: l.MAC, Up: l.Up, Carrier: l.Carrier, MTU: l.MTU, Addresses: l.Addresses,
			Counters: adminapi.LinkCounters(l.Counters), Neighbours: neighboursOf(l.Name, p.d.neighbours.Neighbours())})
	}
	out.Routes, out.Rules = shown.Routes, shown.Rules
	return out, err
}

func neighboursOf(iface string, heard []lldp.Neighbour) (out []adminapi.Neighbour) {
	for _, n := range heard {
		if n.Interface == iface {
			out = append(out, adminapi.Neighbour{System: n.System, Chassis: n.Chassis, Port: n.Port, PortText: n.PortText, Description: n.Description, Management: n.Management})
		}
	}
	return out
}

func (r *remote) networkShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the network as the kernel has it: links, what they are plugged into, counters, routes and rules",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := r.client().Kernel(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, k, func(w io.Writer) { printKernel(w, k) })
		},
	}
}

func printKernel(w io.Writer, k adminapi.KernelNetwork) {
	rows := [][]string{{"LINK", "KIND", "STATE", "MTU", "ADDRESSES", "RECEIVED", "LOST", "SENT", "LOST"}}
	for _, l := range k.Links {
		state := "off"
		switch {
		case l.Up && l.Carrier:
			state = "up"
		case l.Up:
			state = "no link"
		}
		c := l.Counters
		rows = append(rows, []string{l.Name, l.Kind, state, fmt.Sprint(l.MTU), strings.Join(l.Addresses, " "), fmt.Sprint(c.RxPackets), fmt.Sprint(c.RxErrors + c.RxDropped),
			fmt.Sprint(c.TxPackets), fmt.Sprint(c.TxErrors + c.TxDropped)})
	}
	table(w, rows)
	for _, l := range k.Links {
		for _, n := range l.Neighbours {
			text := fmt.Sprintf("%s is plugged into %s of %s", l.Name, strings.TrimSpace(n.Port+" "+n.PortText), strings.TrimSpace(n.System+" "+n.Chassis))
			if n.Management != "" {
				text += ", which is managed at " + n.Management
			}
			fmt.Fprintln(w, printable(text))
		}
	}
	for _, r := range k.Routes {
		fmt.Fprintln(w, "route", printable(r))
	}
	for _, r := range k.Rules {
		fmt.Fprintln(w, "rule", printable(r))
	}
}
