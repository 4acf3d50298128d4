package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"meetzone/zonectl/client"
)

func newProbeCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "probe --url URL",
		Short: "Tests the network to every zone, and tells which one a join would pick",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.probe(command.Context(), command.OutOrStdout())
		},
	}
	flags := command.Flags()
	o.registerReach(flags)
	flags.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return command
}

func (o *options) probe(ctx context.Context, out io.Writer) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	all, err := client.Probe(ctx, cfg)
	if err != nil {
		return err
	}
	if o.asJSON {
		return json.NewEncoder(out).Encode(newProbeReport(all))
	}
	printProbe(out, all)
	return nil
}

// probeReport is what probe prints with --json: the best controller first.
type probeReport struct {
	Controllers []controllerReport `json:"controllers"`
}

type controllerReport struct {
	Zone       string      `json:"zone"`
	Name       string      `json:"name,omitempty"`
	Controller string      `json:"controller"`
	Picked     bool        `json:"picked,omitempty"`
	Error      string      `json:"error,omitempty"`
	ScoreMS    float64     `json:"score_ms,omitempty"`
	RTTMS      float64     `json:"rtt_ms,omitempty"` // over HTTPS, median
	JitterMS   float64     `json:"jitter_ms,omitempty"`
	Lost       int         `json:"lost,omitempty"`
	Load       int         `json:"load,omitempty"`
	Draining   bool        `json:"draining,omitempty"`
	UDP        reachReport `json:"udp"`
	TCP        reachReport `json:"tcp"`
	TLS        reachReport `json:"tls"`
}

type reachReport struct {
	State        string  `json:"state"` // answers, silent, refused, closed, no route, untested
	Address      string  `json:"address,omitempty"`
	RTTMS        float64 `json:"rtt_ms,omitempty"`
	DSCPSent     *int    `json:"dscp_sent,omitempty"`
	DSCPArrived  *int    `json:"dscp_arrived,omitempty"`  // at the box
	DSCPReturned *int    `json:"dscp_returned,omitempty"` // at this client
}

func newProbeReport(all []client.Measured) probeReport {
	report := probeReport{Controllers: []controllerReport{}}
	for i, m := range all {
		c := controllerReport{Zone: m.Zone.ID, Name: m.Zone.Name, Controller: m.Controller, UDP: newReachReport(m.UDP), TCP: newReachReport(m.TCP),
			TLS: reachReport{State: string(client.ReachAnswers)}}
		if m.Err != nil {
			c.Error, c.TLS.State = client.Reason(m.Err), string(client.ReachSilent)
		} else {
			c.Picked = i == 0
			c.ScoreMS, c.RTTMS, c.JitterMS, c.Lost = hundredths(m.Score()), hundredths(m.RoundTrip), hundredths(m.Jitter), m.Lost
			c.Load, c.Draining, c.TLS.RTTMS = m.Probe.Load, m.Probe.Draining, hundredths(m.RoundTrip)
		}
		report.Controllers = append(report.Controllers, c)
	}
	return report
}

func newReachReport(r client.Reach) reachReport {
	report := reachReport{State: string(r.State), Address: r.Address, RTTMS: hundredths(r.RoundTrip)}
	if r.State == client.ReachUnknown {
		report.State = "untested"
	}
	for value, to := range map[*int]**int{&r.Sent: &report.DSCPSent, &r.Arrived: &report.DSCPArrived, &r.Returned: &report.DSCPReturned} {
		if r.State == client.ReachAnswers && *value >= 0 {
			*to = value
		}
	}
	return report
}

// printProbe shows a person the table, the best first.
func printProbe(out io.Writer, all []client.Measured) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tzone\tcontroller\tscore\tround trip\tjitter\tUDP 8801\tTCP 8801\tTLS 443\tmark sent → at the box → back")
	for i, m := range all {
		picked, name := "", m.Zone.Name
		if name == "" {
			name = m.Zone.ID
		}
		if m.Err != nil {
			fmt.Fprintf(table, "\t%s\t%s\t-\t-\t-\t-\t-\t%s\t\n", name, m.Controller, client.Reason(m.Err))
			continue
		}
		if i == 0 {
			picked = "*"
		}
		score := fmt.Sprintf("%.1f", milliseconds(m.Score()))
		if m.Probe.Draining {
			score = "draining"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.1f ms\t%.1f ms\t%s\t%s\t%.1f ms\t%s\n", picked, name, m.Controller, score, milliseconds(m.RoundTrip),
			milliseconds(m.Jitter), m.UDP, m.TCP, milliseconds(m.RoundTrip), marksOf(m.UDP))
	}
	table.Flush()
}

func marksOf(r client.Reach) string {
	if r.State != client.ReachAnswers {
		return "-"
	}
	shown := func(point int) string {
		if point < 0 {
			return "?"
		}
		return fmt.Sprint(point)
	}
	return shown(r.Sent) + " → " + shown(r.Arrived) + " → " + shown(r.Returned)
}
