package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func newCaptureCommand() *cobra.Command {
	r := new(remote)
	var spec adminapi.Capture
	var length time.Duration
	var out string
	cmd := &cobra.Command{
		Use:   "capture --interface NAME --out FILE.pcapng",
		Short: "Capture what passes an interface, for Wireshark; headers only unless --payload",
		Long: `Captures what passes an interface of the box into a pcapng file, bounded in time and size. Headers only are kept, up to that of RTP, unless --payload is given.

--class keeps one class of traffic: what leaves is known by the box's own mark of the packet, what arrives by its code point. --meeting and --participant keep
the media of people over UDP and TCP, whatever their addresses are.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec.TimeMS = length.Milliseconds()
			f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // it may hold what is nobody's business
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists; name another file with --out", out)
			}
			if err != nil {
				return err
			}
			done, err := r.client().Capture(cmd.Context(), spec, f)
			if err = errors.Join(err, f.Close()); err != nil {
				if info, statErr := os.Stat(out); statErr == nil && info.Size() == 0 {
					_ = os.Remove(out) // nothing was captured
				}
				return err
			}
			return r.show(cmd, done, func(w io.Writer) { printCaptured(w, out, done) })
		},
	}
	r.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&spec.Interface, "interface", "", "`NAME` of the interface")
	flags.StringVar(&out, "out", "", "`FILE` to write; it must not exist")
	flags.StringVar(&spec.Class, "class", "", "only this `CLASS`: audio, video, content, signalling, cluster, management or bulk")
	flags.StringVar(&spec.Meeting, "meeting", "", "only the media of the meeting with this `NUMBER`")
	flags.StringVar(&spec.Participant, "participant", "", "only those of the participant with this `ID` (appliance meeting show)")
	flags.DurationVar(&length, "for", 30*time.Second, "how long, at most 10m")
	flags.Int64Var(&spec.Bytes, "bytes", 32<<20, "how large the file may become, at most 256 MiB")
	flags.BoolVar(&spec.Payload, "payload", false, "keep whole packets")
	for _, name := range []string{"interface", "out"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that is not there
		}
	}
	return cmd
}

func printCaptured(w io.Writer, file string, c adminapi.Captured) {
	fmt.Fprintf(w, "%s: %d packets, %d bytes\n", file, c.Packets, c.Bytes)
	if c.Full {
		fmt.Fprintln(w, "It ended early: the file is full (--bytes).")
	}
	if c.Missed > 0 {
		fmt.Fprintf(w, "%d packets were missed: the box was too busy. Name a class or a meeting to capture less.\n", c.Missed)
	}
}

func newVerifyCommand(r *remote) *cobra.Command {
	var asked adminapi.Verify
	cmd := &cobra.Command{
		Use:   "verify --to ADDRESS",
		Short: "Send a few datagrams of each class and compare the marks with which they leave the box with the policy",
		Long: `Sends a few datagrams of each class to the discard port of an address (it need not answer), captures them on the interface by which they leave, and compares. Each
class is sent twice, once with the wrong mark: where the kernel enforces the policy, that leaves with the right one too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := r.client().Verify(cmd.Context(), asked)
			if err != nil {
				return err
			}
			if err := r.show(cmd, v, func(w io.Writer) { printVerified(w, v) }); err != nil {
				return err
			}
			for _, c := range v.Classes {
				if !c.OK {
					return errors.New("not every class leaves with its mark; see the table")
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&asked.To, "to", "", "`ADDRESS` to send to")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // a flag that is not there
	}
	return cmd
}

func printVerified(w io.Writer, v adminapi.Verified) {
	fmt.Fprintf(w, "on %s\n", printable(v.Interface))
	rows := [][]string{{"CLASS", "POLICY", "LEFT WITH", "SENT WRONG, LEFT WITH", ""}}
	shown := func(p *adminapi.CodePoint) string {
		if p == nil {
			return "NOT SEEN"
		}
		return p.String()
	}
	for _, c := range v.Classes {
		verdict := "ok"
		if !c.OK {
			verdict = "WRONG"
		}
		rows = append(rows, []string{c.Class, c.Wanted.String(), shown(c.Left), shown(c.Corrected), verdict})
	}
	table(w, rows)
	if !v.Enforced {
		fmt.Fprintln(w, "The kernel does not enforce the policy (appliance dscp status): a wrong mark stays wrong.")
	}
}
