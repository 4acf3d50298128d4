package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func newStatusCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the box does, what was asked of it and what it really is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := r.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, status, func(w io.Writer) { printStatus(w, status) })
		},
	}
	r.flags(cmd)
	return cmd
}

func printStatus(w io.Writer, s adminapi.Status) {
	revision := fmt.Sprint(s.Revision)
	if s.Edited {
		revision += "   (a candidate waits: `appliance config diff`)"
	}
	rows := [][]string{{"Version", s.Version}, {"Host", s.Hostname}, {"Zone", oneLine(s.Zone)}, {"Address", s.URL}, {"Certificate", s.Fingerprint},
		{"Running for", (time.Duration(s.UptimeS) * time.Second).String()}, {"Last start", printable(s.StartCause.Text)}, {"Revision", revision},
		{"Load", fmt.Sprintf("%d meetings, %d sessions", s.Meetings, s.Sessions)}}
	if w := s.Waiting; w != nil {
		rows = append(rows, []string{"UNCONFIRMED", fmt.Sprintf("revision %d comes back in %v unless you confirm this one: appliance config confirm", w.Before,
			time.Duration(w.LeftS)*time.Second)})
	}
	if s.Drain != nil && s.Drain.On {
		rows = append(rows, []string{"Draining", drainSentence(*s.Drain)})
	}
	table(w, rows)
	printAlarms(w, s.Alarms)
	for _, p := range s.Parts {
		printPart(w, p)
	}
}

func printPart(w io.Writer, p adminapi.Part) {
	fmt.Fprintf(w, "\n%s\n", p.Name)
	if p.Error != "" {
		fmt.Fprintf(w, "  FAILED: %s\n", printable(p.Error))
	}
	rows := make([][]string, 0, len(p.Facts))
	for _, f := range p.Facts {
		actual := f.Actual
		if !f.Agrees {
			actual = fmt.Sprintf("%s   (wanted: %s)", f.Actual, f.Wanted)
		}
		rows = append(rows, []string{"  " + f.Key, actual, f.Note})
	}
	table(w, rows)
}
