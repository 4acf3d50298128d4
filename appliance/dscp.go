package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func newDSCPCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "dscp", Short: "Show how packets are marked, and whether the marks are kept", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Show the policy as wanted and as the kernel has it, what was counted, and who changed it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			marks, err := r.client().Marks(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, marks, func(w io.Writer) { printMarks(w, marks) })
		},
	})
	cmd.AddCommand(&cobra.Command{
		Use:   "paths",
		Short: "Show for each subnet of clients and each medium whether the marks survive the way there and back",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			paths, err := r.client().MarkPaths(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, paths, func(w io.Writer) { printMarkPaths(w, paths) })
		},
	})
	cmd.AddCommand(newVerifyCommand(r))
	return cmd
}

func printMarks(w io.Writer, m adminapi.Marks) {
	state := "no"
	switch {
	case !m.OwnHost:
		state = "no: this host is not the appliance's own (--own-host); the sender marks by itself"
	case !m.Wanted:
		state = "no: dscp.enforce is false; the sender marks by itself"
	case m.Enforced:
		state = "yes"
	}
	rows := [][]string{{"Profile", m.Profile}, {"Enforced by the kernel", state}}
	for _, l := range m.Links {
		rows = append(rows, []string{"Queues on " + l.Interface, rateOf(l)})
	}
	if m.Lost != "" {
		rows = append(rows, []string{"Missing in this kernel", m.Lost})
	}
	table(w, rows)
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", printable(warning))
	}
	for _, d := range m.Differs {
		fmt.Fprintf(w, "  DIFFERS: %s\n", printable(d))
	}
	fmt.Fprintln(w)
	printClasses(w, m.Classes, true)
	for _, e := range m.Exceptions {
		fmt.Fprintf(w, "\nexcept%s: %s\n", printable(where(e)), printable(e.Profile))
		printClasses(w, e.Classes, false)
	}
	for _, i := range m.Interfaces {
		printMarkedInterface(w, i)
	}
	if m.Drifted > 0 {
		fmt.Fprintf(w, "\nchanged by somebody else: %d\n", m.Drifted)
	}
	rows = rows[:0]
	for _, e := range m.Events {
		outcome := fmt.Sprintf("back after %.0f ms", e.TookMS)
		if !e.Healed {
			outcome = "NOT HEALED: " + e.Error
		}
		rows = append(rows, []string{"  " + when(e.Time), e.Object, outcome})
	}
	table(w, rows)
}

func rateOf(l adminapi.MarkedLink) string {
	if l.Rate == "0" {
		return "as fast as it is"
	}
	return l.Rate
}

func where(e adminapi.MarkException) (text string) {
	if e.Interface != "" {
		text += " by " + e.Interface
	}
	if e.Prefix != "" {
		text += " to " + e.Prefix
	}
	return text
}

func printClasses(w io.Writer, classes []adminapi.MarkedClass, counted bool) {
	rows := [][]string{{"CLASS", "DSCP", "802.1P", "BAND"}}
	if counted {
		rows[0] = append(rows[0], "DATAGRAMS SENT", "BYTES")
	}
	for _, c := range classes {
		row := []string{c.Class, c.Point.String(), fmt.Sprint(c.Priority), fmt.Sprint(c.Band)}
		if counted {
			row = append(row, fmt.Sprint(c.SentDatagrams), fmt.Sprint(c.SentBytes))
		}
		rows = append(rows, row)
	}
	table(w, rows)
}

func printMarkedInterface(w io.Writer, i adminapi.MarkedInterface) {
	fmt.Fprintf(w, "\n%s\n", printable(i.Name))
	var rows [][]string
	for _, class := range slices.Sorted(maps.Keys(i.Sent)) {
		rows = append(rows, []string{"  sent", class, traffic(i.Sent[class])})
	}
	if i.Cleared.Packets > 0 {
		rows = append(rows, []string{"  cleared", "no class of the box, on a code point of the media or of nobody", traffic(i.Cleared)})
	}
	for _, a := range i.Arrived {
		rows = append(rows, []string{"  arrived", a.Point.String(), traffic(a.Traffic)})
	}
	table(w, rows)
}

func traffic(t adminapi.Traffic) string {
	return fmt.Sprintf("%d packets, %d bytes", t.Packets, t.Bytes)
}
