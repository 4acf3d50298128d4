package console

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

func openMeetings(a *app) tea.Cmd {
	var list []adminapi.Meeting
	t := &table{name: "Meetings", head: []string{"NUMBER", "TITLE", "PEOPLE", "SINCE", ""},
		empty: "There are no meetings. n makes one; people may make their own on the web page unless zone.policy forbids it."}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.Meetings, func(m adminapi.Meetings) tea.Cmd {
			list = m.Meetings
			var rows [][]string
			for _, m := range list {
				rows = append(rows, []string{m.Number, m.Title, fmt.Sprint(m.Count), since(m.Started), kindOf(m)})
			}
			t.set(rows)
			return nil
		})
	}
	t.open = func(a *app, row int) tea.Cmd { return a.push(meetingPage(list[row])) }
	t.actions = []action{
		{"n", "new", func(a *app) tea.Cmd { return newMeeting(a, "") }},
		{"e", "end", func(a *app) tea.Cmd {
			if len(list) == 0 {
				return nil
			}
			return a.push(endMeeting(list[t.now]))
		}},
	}
	return a.push(t)
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("01-02 15:04")
}

func kindOf(m adminapi.Meeting) string {
	var words []string
	if m.Room {
		words = append(words, "room")
	}
	if m.Locked {
		words = append(words, "locked")
	}
	if m.Passcode {
		words = append(words, "passcode")
	}
	return strings.Join(words, ", ")
}

// newMeeting asks for what a meeting is to be.
func newMeeting(a *app, title string) tea.Cmd {
	f := &form{name: "New meeting", verb: "make it", fields: []*field{
		textField("Title", title, "Shown to people; may be left empty."),
		textField("Passcode", "", "People must know it to come in; empty: the link is enough."),
		choice("Kind", []string{"meeting", "permanent room"}, "meeting", "A meeting ends some time after everybody has left; a room stays."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		spec := adminapi.MeetingSpec{Title: f.text("Title"), Passcode: f.text("Passcode")}
		if f.text("Kind") != "meeting" {
			spec.Room = adminapi.RoomAuto
		}
		return ask(a, f, func(ctx context.Context) (adminapi.Meeting, error) { return a.client.CreateMeeting(ctx, spec) }, func(m adminapi.Meeting) tea.Cmd {
			return a.replace(meetingPage(m))
		})
	}
	return a.push(f)
}

// meetingPage shows one meeting. The host key is there only just after it was made.
func meetingPage(m adminapi.Meeting) *page {
	p := &page{name: "Meeting " + m.Number}
	hostKey := m.HostKey
	p.fetch = func(a *app) tea.Cmd {
		return ask(a, p, func(ctx context.Context) (adminapi.Meeting, error) { return a.client.Meeting(ctx, m.Number) }, func(now adminapi.Meeting) tea.Cmd {
			m = now
			return nil
		})
	}
	p.lines = func(a *app, width int) (out []line) {
		add := func(name, text string) { out = append(out, line{{fmt.Sprintf("%-10s", name), bold}, {text, 0}}) }
		add("Title", m.Title)
		add("Join at", m.Link)
		add("Number", m.Number)
		if hostKey != "" {
			add("Host key", hostKey+"   (shown only now: who has it is host)")
		}
		add("Kind", kindOf(m))
		add("People", fmt.Sprintf("%d, since %s", m.Count, since(m.Started)))
		out = append(out, nil)
		rows := [][]string{{"NAME", "ROLE", "FROM", "RUNGS", "WORST"}}
		for _, one := range m.Participants {
			rows = append(rows, []string{one.Name, one.Role, one.From, rungsOf(one), worst(one)})
		}
		if len(rows) > 1 {
			out = append(out, plainLines(columns(rows, a.charset, width))...)
		}
		return out
	}
	p.actions = []action{
		{"v", "QR code", func(a *app) tea.Cmd { return newCode(a, m.Link, m.Title, "", "Join at", m.Link) }},
		{"e", "end", func(a *app) tea.Cmd { return a.push(endMeeting(m)) }},
	}
	return p
}

func rungsOf(p adminapi.Participant) string {
	var texts []string
	for _, medium := range []string{"audio", "video", "content"} {
		if rung := p.Media[medium]; rung != "" && !slices.Contains(texts, rung) {
			texts = append(texts, rung)
		}
	}
	return strings.Join(texts, " ")
}

// worst is the medium and direction that is worst off.
func worst(p adminapi.Participant) string {
	if len(p.Quality) == 0 {
		return "-"
	}
	least := slices.MinFunc(p.Quality, func(a, b adminapi.FlowQuality) int { return int(1000 * (a.Score - b.Score)) })
	return fmt.Sprintf("%s %s %.1f", least.Medium, least.Direction, least.Score)
}

func endMeeting(m adminapi.Meeting) *form {
	what := fmt.Sprintf("Meeting %s %q ends for everybody: %d people are sent away.", m.Number, m.Title, m.Count)
	if m.Room {
		what += " The room is removed for good."
	}
	return word("End the meeting", what, "end", func(a *app, f *form) tea.Cmd {
		return do(a, f, func(ctx context.Context) error { return a.client.EndMeeting(ctx, m.Number) }, func() tea.Cmd {
			a.drop(f)
			if p, ok := a.top().(*page); ok && p.name == "Meeting "+m.Number {
				a.pop()
			}
			a.say("Meeting %s has ended.", m.Number)
			return nil
		})
	})
}
