package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"meetzone/dscp"
	"meetzone/zonectl/client"
)

func newPathCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "path --url URL",
		Short: "Tests what the network makes of the marks, to the box and back, for each class on each rung",
		Long: `Sends marked probes of each class on each rung, and shows what arrived at the box and what the box's answers carry on arrival.

Over UDP both ends see the mark of every datagram. Over TCP 8801 and TLS 443 the box's kernel shows only that of the connection's handshake, and this client's
kernel none: with CAP_NET_RAW it is captured, otherwise it is unknown. The column "seen" says which. On TLS 443 signalling is tested with a request over
HTTPS, every other class as media travel there, through an allocation of the box's relay (TURN), whose connection the box marks as the class.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.path(command.Context(), command.OutOrStdout())
		},
	}
	flags := command.Flags()
	o.registerReach(flags)
	flags.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return command
}

// markReport is a line of the table.
type markReport struct {
	Rung      string         `json:"rung"`
	Class     string         `json:"class"`
	State     string         `json:"state"`
	Reason    string         `json:"reason,omitempty"` // why it was not tested
	Sent      *int           `json:"sent,omitempty"`
	Arrived   *int           `json:"arrived,omitempty"`  // at the box
	Answered  *int           `json:"answered,omitempty"` // with what the box sent its answer
	Returned  *int           `json:"returned,omitempty"` // with what it arrived here
	Up        client.Verdict `json:"up"`
	Down      client.Verdict `json:"down"`
	BoxSaw    client.Seen    `json:"box_saw,omitempty"`    // datagram, handshake
	ClientSaw client.Seen    `json:"client_saw,omitempty"` // datagram, capture
}

func (o *options) path(ctx context.Context, out io.Writer) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	marks, err := client.Path(ctx, cfg)
	if err != nil {
		return err
	}
	list := make([]markReport, len(marks))
	for i, m := range marks {
		list[i] = newMarkReport(m)
	}
	if o.asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"marks": list})
	}
	printMarks(out, list)
	return nil
}

func newMarkReport(m client.PathMark) markReport {
	known := func(point int) *int {
		if point < 0 || m.Reach.State != client.ReachAnswers {
			return nil
		}
		return &point
	}
	return markReport{Rung: string(m.Rung), Class: m.Class.String(), State: string(m.Reach.State), Reason: m.Reach.Why, Sent: known(m.Reach.Sent), Arrived: known(m.Reach.Arrived),
		Answered: known(m.Reach.Answered), Returned: known(m.Reach.Returned), Up: m.Up(), Down: m.Down(), BoxSaw: m.BoxSaw, ClientSaw: m.ClientSaw}
}

func printMarks(out io.Writer, list []markReport) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rung\tclass\tsent\tarrived at box\tverdict\tbox sent\tarrived here\tverdict\tseen")
	for _, m := range list {
		if m.State == string(client.ReachUnknown) {
			if m.Reason == "" {
				m.Reason = "The box gives no relay for it."
			}
			m.State = "not tested: " + m.Reason
		}
		if m.State != string(client.ReachAnswers) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", m.Rung, m.Class, m.State)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Rung, m.Class, point(m.Sent), point(m.Arrived), verdict(m.Up, m.Arrived),
			point(m.Answered), point(m.Returned), verdict(m.Down, m.Returned), seen(m))
	}
	w.Flush()
}

func point(p *int) string {
	if p == nil {
		return "-"
	}
	return dscp.CodePoint(*p).String()
}

func verdict(v client.Verdict, arrived *int) string {
	if v == client.VerdictRemarked {
		return fmt.Sprintf("remarked to %s", point(arrived))
	}
	return string(v)
}

func seen(m markReport) string {
	name := func(s client.Seen) string {
		if s == client.SeenNot {
			return "nothing"
		}
		return string(s)
	}
	return "box " + name(m.BoxSaw) + ", here " + name(m.ClientSaw)
}
