package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

func newConfigCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration and change it",
		Long: "The configuration is one document. Changes are made to a candidate (set, reset, edit), looked at (diff), and take effect when they are committed.\n" +
			"A commit takes effect as a whole or not at all, and each is a revision that can be committed again (rollback).",
		Args: cobra.NoArgs,
		RunE: showHelp,
	}
	r.flags(cmd)
	cmd.AddCommand(r.getCommand(), r.setCommand(), r.resetCommand(), r.editCommand(), r.diffCommand(), r.commitCommand(), r.confirmCommand(),
		r.discardCommand(), r.rollbackCommand(), r.historyCommand(), r.keysCommand(), newSchemaCommand())
	return cmd
}

func (r *remote) getCommand() *cobra.Command {
	var candidate, defaults bool
	cmd := &cobra.Command{
		Use:               "get [PATH]",
		Short:             "Print the running configuration, or one key of it",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			source := adminapi.SourceRunning
			switch {
			case candidate:
				source = adminapi.SourceCandidate
			case defaults:
				source = adminapi.SourceDefault
			}
			document, err := r.client().Config(cmd.Context(), strings.Join(args, ""), source)
			if err != nil {
				return err
			}
			warn(cmd, document.Warnings)
			return r.show(cmd, document, func(w io.Writer) { fmt.Fprintln(w, strings.TrimSuffix(document.YAML, "\n")) })
		},
	}
	cmd.Flags().BoolVar(&candidate, "candidate", false, "the candidate instead of what runs")
	cmd.Flags().BoolVar(&defaults, "default", false, "the defaults instead of what runs")
	cmd.MarkFlagsMutuallyExclusive("candidate", "default")
	return cmd
}

func (r *remote) setCommand() *cobra.Command {
	var commit committing
	cmd := &cobra.Command{
		Use:   "set PATH VALUE",
		Short: "Change one key of the candidate",
		Example: "  appliance config set dscp.profile webex --commit\n" +
			"  appliance config set zone.hosts meet.example.com,192.0.2.7\n" +
			"  appliance config set dscp.custom '{audio: EF, video: 34}'",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.client().Set(cmd.Context(), adminapi.Change{Path: args[0], Value: args[1]}); err != nil {
				return err
			}
			return commit.perhaps(cmd, r)
		},
	}
	commit.flags(cmd)
	return cmd
}

func (r *remote) resetCommand() *cobra.Command {
	var commit committing
	cmd := &cobra.Command{
		Use:               "reset PATH",
		Short:             "Take the default for a key, or a whole section, of the candidate",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.client().Set(cmd.Context(), adminapi.Change{Path: args[0], Reset: true}); err != nil {
				return err
			}
			return commit.perhaps(cmd, r)
		},
	}
	commit.flags(cmd)
	return cmd
}

// committing is the flags --commit and --comment of commands that change the candidate.
type committing struct {
	now     bool
	comment string
	confirm time.Duration
}

func (c *committing) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.now, "commit", false, "commit the candidate at once")
	cmd.Flags().StringVar(&c.comment, "comment", "", "with --commit: why")
	cmd.Flags().DurationVar(&c.confirm, "confirm", 0, "with --commit: undo it unless confirmed within this `TIME`, such as 5m")
}

// perhaps commits, or says what a commit would do.
func (c *committing) perhaps(cmd *cobra.Command, r *remote) error {
	if c.now {
		return r.commit(cmd, *c)
	}
	return r.diff(cmd)
}

func (r *remote) commit(cmd *cobra.Command, c committing) error {
	revision, err := r.client().Commit(cmd.Context(), adminapi.Commit{Comment: c.comment, ConfirmS: int64(c.confirm / time.Second)})
	if err != nil {
		return err
	}
	warn(cmd, revision.Warnings)
	return r.show(cmd, revision, func(w io.Writer) {
		committed(w, revision)
		if c.confirm > 0 {
			fmt.Fprintf(w, "It comes undone at %s, unless you confirm it: appliance config confirm\n", time.Now().Add(c.confirm).Format(time.TimeOnly))
		}
	})
}

func (r *remote) confirmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Keep the revision that was committed with --confirm",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			revision, err := r.client().Confirm(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, revision, func(w io.Writer) { fmt.Fprintf(w, "Revision %d stays.\n", revision.Number) })
		},
	}
}

// warn says what is valid and yet unwise.
func warn(cmd *cobra.Command, warnings []string) {
	for _, warning := range warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", printable(warning))
	}
}

func committed(w io.Writer, revision adminapi.Revision) {
	lines(w, revision.Changes)
	fmt.Fprintf(w, "Revision %d is running.\n", revision.Number)
}

func lines(w io.Writer, list []string) {
	for _, line := range list {
		fmt.Fprintf(w, "  %s\n", printable(line))
	}
}

func (r *remote) diff(cmd *cobra.Command) error {
	diff, err := r.client().Diff(cmd.Context())
	if err != nil {
		return err
	}
	warn(cmd, diff.Warnings)
	return r.show(cmd, diff, func(w io.Writer) {
		if len(diff.Lines) == 0 {
			fmt.Fprintln(w, "The candidate is what runs.")
			return
		}
		lines(w, diff.Lines)
		fmt.Fprintln(w, "Nothing has changed yet: `appliance config commit` makes it so.")
	})
}

func (r *remote) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff",
		Short: "Show what a commit would change",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return r.diff(cmd) },
	}
}

func (r *remote) commitCommand() *cobra.Command {
	var c committing
	cmd := &cobra.Command{
		Use:   "commit",
		Short: "Make the candidate the running configuration",
		Long: "Make the candidate the running configuration. With --confirm it comes undone by itself unless it is confirmed in time: a change that cuts you\n" +
			"off cannot lock you out. It comes undone as well when the box goes down before it is confirmed.",
		Example: "  appliance config commit --confirm 5m --comment \"new address\"\n  appliance config confirm",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return r.commit(cmd, c) },
	}
	cmd.Flags().StringVar(&c.comment, "comment", "", "why, for the history")
	cmd.Flags().DurationVar(&c.confirm, "confirm", 0, "undo it unless confirmed within this `TIME`, such as 5m")
	return cmd
}

func (r *remote) discardCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "discard",
		Short: "Drop the candidate",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return r.client().Discard(cmd.Context()) },
	}
}

func (r *remote) rollbackCommand() *cobra.Command {
	var comment string
	cmd := &cobra.Command{
		Use:   "rollback [REVISION]",
		Short: "Commit an earlier revision again; without a number, the one before the running one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asked := adminapi.Rollback{Comment: comment}
			if len(args) > 0 {
				n, err := strconv.ParseUint(args[0], 10, 64)
				if err != nil || n == 0 {
					return fmt.Errorf("%q is no number of a revision; `appliance config history` lists them", args[0])
				}
				asked.Revision = n
			}
			revision, err := r.client().Rollback(cmd.Context(), asked)
			if err != nil {
				return err
			}
			warn(cmd, revision.Warnings)
			return r.show(cmd, revision, func(w io.Writer) { committed(w, revision) })
		},
	}
	cmd.Flags().StringVar(&comment, "comment", "", "why, for the history")
	return cmd
}

func (r *remote) historyCommand() *cobra.Command {
	var changes bool
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the revisions, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			history, err := r.client().History(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, history, func(w io.Writer) { printHistory(w, history.Revisions, changes) })
		},
	}
	cmd.Flags().BoolVar(&changes, "changes", false, "with what each changed")
	return cmd
}

func printHistory(w io.Writer, list []adminapi.Revision, changes bool) {
	rows := [][]string{{"REVISION", "TIME", "WHO", "KEYS", "COMMENT"}}
	for _, revision := range list {
		number := strconv.FormatUint(revision.Number, 10)
		if revision.Running {
			number += " *"
		}
		row := []string{number, when(revision.Time), revision.Who, strconv.Itoa(len(revision.Changes)), revision.Comment}
		if changes {
			table(w, [][]string{row})
			lines(w, revision.Changes)
			continue
		}
		rows = append(rows, row)
	}
	if !changes {
		table(w, rows)
	}
}

func (r *remote) keysCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "keys [PATH]",
		Short:             "List the keys that there are, with scope, default and meaning",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			var list []config.Key
			rows := [][]string{{"KEY", "SCOPE", "DEFAULT", "MEANING"}}
			for _, k := range config.Keys() {
				if len(args) > 0 && k.Path != args[0] && !strings.HasPrefix(k.Path, args[0]+".") {
					continue
				}
				list = append(list, k)
				if !k.Section {
					rows = append(rows, []string{k.Path, string(k.Scope), k.Default, k.Help})
				}
			}
			return r.show(cmd, list, func(w io.Writer) { table(w, rows) })
		},
	}
}

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors and tools",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}

// completeKey offers the keys of the document to the shell, and of `config set` the known values of a key.
func completeKey(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		if len(args) > 1 || cmd.Name() != "set" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return config.Values(args[0]), cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, k := range config.Keys() {
		if strings.HasPrefix(k.Path, begun) {
			out = append(out, cobra.CompletionWithDesc(k.Path, k.Help))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// readDocument reads a file, or standard input where its name is a hyphen.
func readDocument(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(cmd.InOrStdin(), config.MaxDocument+1))
	}
	return os.ReadFile(name)
}
