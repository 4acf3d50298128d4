package console

import (
	"context"
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

func openMaintenance(a *app) tea.Cmd {
	return a.push(&menu{name: "Maintenance", intro: func(a *app, width int) []line {
		if d := a.status.Drain; d != nil && d.On {
			return plainLines(wrap("The box drains: nobody new is let in. "+d.Reason, width))
		}
		return plainLines(wrap("In service. "+people(a.status), width))
	}, entries: []entry{
		{"1", "Drain", "let nobody new in, with a reason and a deadline", func(a *app) tea.Cmd { return a.push(drainForm()) }},
		{"2", "Undrain", "back into service", func(a *app) tea.Cmd {
			return do(a, a.top(), func(ctx context.Context) error { return a.client.Drain(ctx, adminapi.Drain{}) }, func() tea.Cmd {
				a.status.Drain = nil
				a.say("The box is in service.")
				return nil
			})
		}},
		{"3", "Who is left", "meetings and people while the box drains", openLeft},
		{"4", "Reboot", "restart the machine", power("Reboot", adminapi.PowerReboot, "reboot")},
		{"5", "Shut down", "switch the machine off", power("Shut down", adminapi.PowerOff, "off")},
		{"6", "Factory reset", "delete everything and begin anew", power("Factory reset", adminapi.PowerFactoryReset, "delete")},
	}})
}

func drainForm() *form {
	f := &form{name: "Drain", verb: "drain", intro: "Meetings go on; nobody new is let in.", fields: []*field{
		textField("Reason", "Maintenance", "Told to people who are turned away."),
		textField("Deadline", "2h", "After this time whoever is still in is told and sent away: 30m, 2h. Empty: never."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		drain := adminapi.Drain{On: true, Reason: f.text("Reason")}
		if text := f.text("Deadline"); text != "" {
			d, err := time.ParseDuration(text)
			if err != nil || d < time.Second {
				a.told, a.bad = fmt.Sprintf("%q is no time: write it like 30m or 2h.", text), true
				return nil
			}
			drain.DeadlineS = int64(d / time.Second)
		}
		return do(a, f, func(ctx context.Context) error { return a.client.Drain(ctx, drain) }, func() tea.Cmd {
			a.drop(f)
			a.say("The box drains.")
			return tea.Batch(a.look(), openLeft(a))
		})
	}
	return f
}

func openLeft(a *app) tea.Cmd {
	var now adminapi.Draining
	t := &table{name: "Who is left", head: []string{"MEETING", "TITLE", "PEOPLE"}, empty: "Nobody is in a meeting."}
	t.intro = func(_ *app, width int) []line {
		switch {
		case !now.On:
			return []line{plain("The box does not drain.")}
		case now.Over:
			return []line{plain("The deadline has passed: everybody was sent away.")}
		case now.Until.IsZero():
			return plainLines(wrap("Drains without deadline: "+now.Reason, width))
		}
		return plainLines(wrap(fmt.Sprintf("Drains until %s: %s", now.Until.UTC().Format("2006-01-02 15:04 MST"), now.Reason), width))
	}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.Draining, func(d adminapi.Draining) tea.Cmd {
			now = d
			var rows [][]string
			for _, m := range d.Left {
				rows = append(rows, []string{m.Number, m.Title, fmt.Sprint(m.Count)})
			}
			t.set(rows)
			return nil
		})
	}
	return a.push(t)
}

// power asks for a word, and for a reason, before the machine goes down.
func power(name string, does adminapi.PowerAction, typed string) func(a *app) tea.Cmd {
	return func(a *app) tea.Cmd {
		warning := name + ": all meetings end. "
		if does == adminapi.PowerFactoryReset {
			warning = name + ": configuration, users, meetings, keys, backups on the box and logs are gone for good. "
		}
		warning += people(a.status) + " Drain first where that matters."
		return a.push(word(name, warning, typed, func(a *app, f *form) tea.Cmd {
			return do(a, f, func(ctx context.Context) error {
				return a.client.Power(ctx, adminapi.Power{Action: does, Reason: "at the console"})
			}, func() tea.Cmd {
				a.drop(f)
				a.say("%s: the machine goes down now.", name)
				return nil
			})
		}))
	}
}
