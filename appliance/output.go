package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

// remote gives a command its flags --admin and --json and the client that they ask for.
type remote struct {
	socket string
	asJSON bool
}

func (r *remote) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&r.socket, "admin", adminapi.DefaultSocket, "admin `SOCKET` of the daemon")
	cmd.PersistentFlags().BoolVar(&r.asJSON, "json", false, "print JSON for programs")
}

func (r *remote) client() *adminapi.Client { return inSession(adminapi.New(r.socket)) }

// show prints value as JSON where that was asked for, otherwise what human writes.
func (r *remote) show(cmd *cobra.Command, value any, human func(io.Writer)) error {
	if !r.asJSON {
		human(cmd.OutOrStdout())
		return nil
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// showHelp is what a command does that only has commands below it. Having it, a word that is none of them is refused.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// table writes rows in columns; the first row is the head.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	t.Flush()
}

// printable takes out what could steer a terminal: names and titles come from the network.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// when writes a time as people read it.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
