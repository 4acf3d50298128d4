package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"meetzone/appliance/tuning"
)

// tune has the network cards as media need them, where the host is the appliance's own, and says in one sentence what of all settings is not.
func (d *daemon) tune() {
	cards := tuning.Cards()
	list := tuning.Read(cards)
	if d.flags.ownHost {
		list = tuning.Apply(cards)
	}
	if sentence := tuning.Sentence(list); sentence != "" {
		d.log.Warn(sentence)
	}
}

// newTuningCommand reads the kernel itself: it tells of the machine also where no daemon runs.
func newTuningCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "tuning",
		Short: "Show the settings of kernel and network cards that media need: wanted, actual, what for, and what each gains",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := tuning.Read(tuning.Cards())
			return r.show(cmd, list, func(w io.Writer) { printTuning(w, list) })
		},
	}
	cmd.Flags().BoolVar(&r.asJSON, "json", false, "print JSON for programs")
	return cmd
}

func printTuning(w io.Writer, list []tuning.Setting) {
	rows := [][]string{{"SETTING", "WANTED", "ACTUAL", "", "FOR", "GAIN"}}
	for _, s := range list {
		state, actual := "ok", s.Actual
		switch {
		case s.Missing:
			state, actual = "none here", "-"
		case !s.Agrees:
			state = "DIFFERS"
		}
		rows = append(rows, []string{printable(s.Name), s.Wanted, printable(actual), state, s.What, s.Gain})
	}
	table(w, rows)
	for _, s := range list {
		if s.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", printable(s.Name), printable(s.Note))
		}
	}
}
