package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func newUpdateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Bring a new version into the other image slot, and go back",
		Long: "A new version goes into the image slot that does not run, and is started on trial: when it is not healthy, the box goes back by itself. " +
			"`keygen`, `bundle` and `show` are for whoever makes releases, and need no daemon.",
		RunE: showHelp,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newUpdateStatusCommand(), newUpdateCheckCommand(), newUpdateInstallCommand(), newUpdateRollbackCommand(), newUpdateCancelCommand(), newGateCommand(),
		newShowCommand(), newKeygenCommand(), newBundleCommand())
	return cmd
}

func newUpdateStatusCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the image slots, what is under way, and what became of updates and why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := r.client().Update(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, u, func(w io.Writer) { printUpdate(w, u) })
		},
	}
	r.flags(cmd)
	return cmd
}

// bootWords say what the boot loader makes of a slot.
var bootWords = map[string]string{"none": "never started", "good": "good", "trial": "on trial", "set-aside": "left, taken if the other fails", "bad": "failed"}

func printUpdate(w io.Writer, u adminapi.Update) {
	rows := [][]string{{"Running", u.Version}, {"Floor", dash(u.Floor)}, {"Source", dash(u.Source)}}
	if u.Unproved {
		rows = append(rows, []string{"ON TRIAL", "the running version has not been found healthy yet"})
	}
	if u.Armed != "" {
		rows = append(rows, []string{"WAITING", "version " + u.Armed + " is started next: appliance reboot"})
	}
	table(w, rows)
	if u.Why != "" {
		fmt.Fprintf(w, "\nNo updates here: %s\n", printable(u.Why))
	}
	if len(u.Slots) > 0 {
		rows := [][]string{{"SLOT", "VERSION", "RUNNING", "BOOT"}}
		for _, s := range u.Slots {
			boot := bootWords[s.Boot]
			if s.Boot == "trial" {
				boot += fmt.Sprintf(", %d tries left", s.Tries)
			}
			rows = append(rows, []string{s.Letter, dash(s.Version), yesNo(s.Running), boot})
		}
		fmt.Fprintln(w)
		table(w, rows)
	}
	if u.Job != nil {
		fmt.Fprintf(w, "\n%s\n", printable(jobSentence(*u.Job)))
	}
	if len(u.Events) > 0 {
		rows := [][]string{{"TIME", "WHAT", "WHY"}}
		for _, e := range u.Events {
			rows = append(rows, []string{when(e.At), e.Kind, oneLine(e.Text)})
		}
		fmt.Fprintln(w)
		table(w, rows)
	}
}

// jobSentence says in one line how far an update is.
func jobSentence(j adminapi.UpdateJob) string {
	s := "Update"
	if j.Version != "" {
		s += " to version " + j.Version
	}
	switch {
	case j.Error != nil:
		return s + ": " + j.Error.Error()
	case j.Total > 0:
		return fmt.Sprintf("%s: %s, %d of %d MB", s, j.Stage, j.Done>>20, j.Total>>20)
	}
	return s + ": " + j.Stage
}

func newUpdateCheckCommand() *cobra.Command {
	r := new(remote)
	var usb bool
	cmd := &cobra.Command{
		Use:   "check [URL]",
		Short: "Look at the bundle at an address, on a stick, or at update.source, and whether this box takes it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := adminapi.UpdateFrom{USB: usb, URL: strings.Join(args, "")}
			offer, err := r.client().CheckUpdate(cmd.Context(), from)
			if err != nil {
				return err
			}
			return r.show(cmd, offer, func(w io.Writer) { printOffer(w, offer) })
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&usb, "usb", false, "look on the USB stick that is plugged in")
	return cmd
}

func printOffer(w io.Writer, o adminapi.UpdateOffer) {
	table(w, [][]string{{"Offered", o.Version}, {"Running", o.Running}, {"Built", when(o.Built)}, {"Floor", dash(o.Floor)}, {"Bytes", fmt.Sprint(o.Size)}})
	if o.Notes != "" {
		fmt.Fprintf(w, "\n%s\n", printable(strings.TrimSpace(o.Notes)))
	}
	if o.Refused != "" {
		fmt.Fprintf(w, "\nThis box does not take it: %s\n", printable(o.Refused))
	} else {
		fmt.Fprintln(w, "\nThis box takes it: `appliance update install`.")
	}
}

// restartFlags are those of commands that restart the box.
func restartFlags(cmd *cobra.Command, later *bool, drain *time.Duration) {
	cmd.Flags().BoolVar(later, "no-reboot", false, "do not restart: `appliance reboot` later does")
	cmd.Flags().DurationVar(drain, "drain", 10*time.Minute, "how `LONG` meetings may go on before the restart; nobody new is let in meanwhile")
}

func newUpdateInstallCommand() *cobra.Command {
	r := new(remote)
	var usb, later, detach bool
	var drain time.Duration
	cmd := &cobra.Command{
		Use:   "install [FILE|URL]",
		Short: "Write a bundle into the idle image slot, drain, and restart into it on trial",
		Long: "The bundle is a file here, at an http:// or https:// address, on a USB stick (--usb), or at update.source. It is verified before anything is written, and read back afterwards. " +
			"Then nobody new is let in, and when nobody is in a meeting any more, or --drain is over, the box restarts.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			install := adminapi.InstallUpdate{From: adminapi.UpdateFrom{USB: usb}, Restart: adminapi.Restart{Later: later, DrainS: int64(drain / time.Second)}}
			if len(args) == 1 {
				if strings.Contains(args[0], "://") {
					install.From.URL = args[0]
				} else if err := upload(cmd, r.client(), args[0]); err != nil {
					return err
				} else {
					install.From.Uploaded = true
				}
			}
			if _, err := r.client().InstallUpdate(cmd.Context(), install); err != nil || detach {
				return err
			}
			return follow(cmd.Context(), r.client(), cmd.ErrOrStderr())
		},
	}
	r.flags(cmd)
	restartFlags(cmd, &later, &drain)
	cmd.Flags().BoolVar(&usb, "usb", false, "take the bundle from the USB stick that is plugged in")
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait: `appliance update status` shows how far it is")
	return cmd
}

// upload puts a file of this side onto the box.
func upload(cmd *cobra.Command, client *adminapi.Client, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	offer, err := client.PutBundle(cmd.Context(), f, info.Size())
	if err != nil {
		return err
	}
	if offer.Refused != "" {
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: offer.Refused}
	}
	return nil
}

// follow shows how far an update is until it has ended, or the box goes down for its restart.
func follow(ctx context.Context, client *adminapi.Client, w io.Writer) error {
	last := ""
	for {
		u, err := client.Update(ctx)
		told := new(adminapi.Error)
		switch {
		case errors.As(err, &told) && told.Code == adminapi.CodeUnreachable && strings.Contains(last, adminapi.UpdateRestarting):
			return nil // it restarts
		case err != nil:
			return err
		case u.Job == nil:
			return nil
		case u.Job.Error != nil:
			return u.Job.Error
		}
		if s := jobSentence(*u.Job); s != last {
			last = s
			fmt.Fprintln(w, printable(s))
		}
		if u.Job.Over() {
			if u.Armed != "" {
				fmt.Fprintf(w, "Version %s is started next.\n", u.Armed)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func newUpdateRollbackCommand() *cobra.Command {
	r := new(remote)
	var later bool
	var drain time.Duration
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the version in the other image slot, or take back an update that waits for its first start",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := r.client().RollbackUpdate(cmd.Context(), adminapi.RollbackUpdate{Restart: adminapi.Restart{Later: later, DrainS: int64(drain / time.Second)}})
			if err != nil {
				return err
			}
			return follow(cmd.Context(), r.client(), cmd.ErrOrStderr())
		},
	}
	r.flags(cmd)
	restartFlags(cmd, &later, &drain)
	return cmd
}

func newUpdateCancelCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "cancel",
		Short: "Give up the update that is under way; what is armed already stays",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return r.client().CancelUpdate(cmd.Context()) },
	}
	r.flags(cmd)
	return cmd
}
