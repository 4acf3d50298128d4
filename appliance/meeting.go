package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func newMeetingCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "meeting", Short: "Create, list, show and end meetings", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(r.createCommand(), r.listCommand(), r.showCommand(), r.meetingHistoryCommand(), r.endCommand())
	return cmd
}

func (r *remote) createCommand() *cobra.Command {
	var spec adminapi.MeetingSpec
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a meeting or a permanent room",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			meeting, err := r.client().CreateMeeting(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return r.show(cmd, meeting, func(w io.Writer) { printMeeting(w, meeting) })
		},
	}
	cmd.Flags().StringVar(&spec.Title, "title", "", "what people see")
	cmd.Flags().StringVar(&spec.Passcode, "passcode", "", "what people must know")
	cmd.Flags().StringVar(&spec.Room, "room", "", "make it a permanent room of that `NUMBER`; auto lets the zone choose one")
	cmd.Flags().BoolVar(&spec.Locked, "locked", false, "nobody but a host may come in until it is opened")
	return cmd
}

func (r *remote) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the meetings and rooms",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := r.client().Meetings(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, list, func(w io.Writer) { printMeetings(w, list.Meetings) })
		},
	}
}

func printMeetings(w io.Writer, list []adminapi.Meeting) {
	if len(list) == 0 {
		fmt.Fprintln(w, "There are no meetings.")
		return
	}
	rows := [][]string{{"NUMBER", "TITLE", "PEOPLE", "STARTED", "KIND"}}
	for _, m := range list {
		rows = append(rows, []string{m.Number, oneLine(m.Title), strconv.Itoa(m.Count), when(m.Started), kind(m)})
	}
	table(w, rows)
}

func kind(m adminapi.Meeting) string {
	words := []string{"meeting"}
	if m.Room {
		words[0] = "room"
	}
	if m.Passcode {
		words = append(words, "passcode")
	}
	if m.Locked {
		words = append(words, "locked")
	}
	return strings.Join(words, ", ")
}

func (r *remote) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show NUMBER",
		Short:             "Show a meeting and who is in it",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.completeMeeting,
		RunE: func(cmd *cobra.Command, args []string) error {
			meeting, err := r.client().Meeting(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return r.show(cmd, meeting, func(w io.Writer) { printMeeting(w, meeting) })
		},
	}
}

func printMeeting(w io.Writer, m adminapi.Meeting) {
	rows := [][]string{{"Number", m.Number}, {"Title", oneLine(m.Title)}, {"Kind", kind(m)}}
	if m.Link != "" {
		rows = append(rows, []string{"Link", m.Link})
	}
	if m.HostKey != "" {
		rows = append(rows, []string{"Host key", m.HostKey + "   (shown only now)"})
	}
	rows = append(rows, []string{"Created", when(m.Created)}, []string{"Started", when(m.Started)}, []string{"People", strconv.Itoa(m.Count)})
	table(w, rows)
	if len(m.Participants) == 0 {
		return
	}
	fmt.Fprintln(w)
	people := [][]string{{"NAME", "ROLE", "FROM", "MEDIA", "JOINED"}}
	for _, p := range m.Participants {
		var media []string
		for _, medium := range slices.Sorted(maps.Keys(p.Media)) {
			media = append(media, medium+" "+p.Media[medium])
		}
		people = append(people, []string{oneLine(p.Name), p.Role, p.From, strings.Join(media, ", "), when(p.Joined)})
	}
	table(w, people)
	printQuality(w, m.Participants)
	printPaths(w, m.Participants)
}

// oneLine keeps a table whole whatever people call themselves.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (r *remote) endCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "end NUMBER",
		Short:             "End a meeting for everybody, or remove a room",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.completeMeeting,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.client().EndMeeting(cmd.Context(), args[0])
		},
	}
}

// completeMeeting offers the numbers of the meetings to the shell.
func (r *remote) completeMeeting(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	list, err := r.client().Meetings(cmd.Context())
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, m := range list.Meetings {
		if strings.HasPrefix(m.Number, begun) {
			out = append(out, cobra.CompletionWithDesc(m.Number, oneLine(m.Title)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
