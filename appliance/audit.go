package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
)

// record writes what the daemon does by itself into the audit log.
func (d *daemon) record(verb, detail string) {
	e := audit.Entry{Who: "meetzone", Verb: verb, Detail: detail, Kind: audit.Done, Result: "done"}
	if err := d.audit.Append(context.Background(), e); err != nil {
		d.log.Error("the audit log was not written", "verb", verb, "err", err)
	}
}

func newAuditCommand() *cobra.Command {
	r := new(remote)
	var follow bool
	var most int
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who did what to the box, and who was refused", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := r.client()
			list, err := c.Audit(cmd.Context(), adminapi.AuditQuery{Most: most})
			for {
				if err != nil {
					return err
				}
				if err := r.show(cmd, list, func(w io.Writer) { printAudit(w, list.Entries) }); err != nil || !follow {
					return err
				}
				after := list.Next
				for list.Entries = nil; len(list.Entries) == 0 && err == nil; {
					list, err = c.Audit(adminapi.Polling(cmd.Context()), adminapi.AuditQuery{After: after, Wait: adminapi.MaxAuditWait * time.Second})
				}
			}
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens from now on")
	cmd.Flags().IntVarP(&most, "lines", "n", 100, "at most so `MANY` of the past")
	return cmd
}

func printAudit(w io.Writer, list []adminapi.AuditEntry) {
	rows := make([][]string, 0, len(list))
	for _, e := range list {
		who := e.Who
		if e.From != "" {
			who += " by " + e.From
		}
		detail := oneLine(e.Detail)
		if e.Missed > 0 {
			detail += fmt.Sprintf(" (%d more were refused before)", e.Missed)
		}
		rows = append(rows, []string{when(e.Time), who, e.Verb, e.Result, detail})
	}
	table(w, rows)
}
