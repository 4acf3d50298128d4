package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/zonectl"
)

func newPathsCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "paths",
		Short: "Show on which rungs (UDP, TCP, TLS) the media of each client network travel",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := r.client().Paths(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, list, func(w io.Writer) { printNetworks(w, list.Networks) })
		},
	}
	r.flags(cmd)
	return cmd
}

// printNetworks shows the networks, those whose firewall keeps UDP out first.
func printNetworks(w io.Writer, list []adminapi.Network) {
	if len(list) == 0 {
		fmt.Fprintln(w, "Nobody has been in a meeting since the daemon started.")
		return
	}
	rows := [][]string{{"NETWORK", "NOW UDP/TCP/TLS", "SINCE START", "OVER UDP", "FELL", "ROSE", "LAST"}}
	for _, n := range list {
		name := n.Network
		if name == "" {
			name = "the rest"
		}
		share := "-"
		if all := n.Came.UDP + n.Came.TCP + n.Came.TLS; all > 0 {
			share = fmt.Sprintf("%d %%", 100*n.Came.UDP/all)
		}
		rows = append(rows, []string{name, counts(n.Now), counts(n.Came), share, fmt.Sprint(n.Fell), fmt.Sprint(n.Rose), n.Last.Local().Format(time.DateTime)})
	}
	table(w, rows)
}

func counts(r adminapi.Rungs) string { return fmt.Sprintf("%d/%d/%d", r.UDP, r.TCP, r.TLS) }

// zoneNetworks is the controller's book of ways as the admin API sees it.
type zoneNetworks struct{ zone *zonectl.Controller }

var _ admin.Networks = zoneNetworks{}

// Networks implements admin.Networks.
func (z zoneNetworks) Networks() (list []adminapi.Network) {
	for _, n := range z.zone.Ways() {
		entry := adminapi.Network{Fell: n.Fell, Rose: n.Rose, Last: n.Last,
			Now:  adminapi.Rungs{UDP: uint64(n.Now[0]), TCP: uint64(n.Now[1]), TLS: uint64(n.Now[2])},
			Came: adminapi.Rungs{UDP: n.Came[0], TCP: n.Came[1], TLS: n.Came[2]}}
		if n.Network.IsValid() {
			entry.Network = n.Network.String()
		}
		list = append(list, entry)
	}
	return list
}
