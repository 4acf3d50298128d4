package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams is where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// execute runs one command and returns the exit status: 0 done, 1 refused or failed, 2 the daemon does not answer.
func execute(ctx context.Context, args []string, c streams) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	explain(c.err, err)
	if told := new(adminapi.Error); errors.As(err, &told) && told.Code == adminapi.CodeUnreachable {
		return 2
	}
	return 1
}

// newRootCommand returns the whole command line.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "appliance",
		Short:         "A meeting zone in one box",
		Long:          "The daemon of a Meetzone appliance (run), and the commands that administer it over its admin socket (all others).",
		Version:       softwareVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newRunCommand(), newConfigCommand(), newMeetingCommand(), newCertCommand(), newZoneCommand(), newSiteCommand(), newTunnelsCommand(), newStatusCommand(), newPathsCommand(), newDSCPCommand(), newNetworkCommand(), newFirewallCommand(), newCaptureCommand(), newDrainCommand(), newUndrainCommand(), newAlarmsCommand(),
		newRebootCommand(), newPowerOffCommand(), newFactoryResetCommand(), newHelperCommand(),
		newUserCommand(), newAuditCommand(), newBackupCommand(), newRescueCommand(), newSupportCommand(), newLoginCommand(), newLogoutCommand())
	root.AddCommand(newUpdateCommand())
	root.AddCommand(newConsoleCommand(), newTuningCommand())
	return root
}

// softwareVersion is the module's version, or the commit it was built from.
func softwareVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	version, dirty := "development", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			version = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-modified"
		}
	}
	return version + dirty
}

// explain tells a person what went wrong, a line for each thing to look at.
func explain(w io.Writer, err error) {
	told := new(adminapi.Error)
	if !errors.As(err, &told) {
		fmt.Fprintf(w, "appliance: %s\n", printable(err.Error()))
		return
	}
	fmt.Fprintf(w, "appliance: %s\n", printable(told.Text))
	for _, p := range told.Problems {
		where := p.Path
		if p.Line > 0 {
			where = strings.TrimSpace(fmt.Sprintf("%s (line %d)", where, p.Line))
		}
		fmt.Fprintf(w, "  %s: %s\n", printable(where), printable(p.Text))
	}
	if told.Advice != "" {
		fmt.Fprintf(w, "%s\n", printable(told.Advice))
	}
}
