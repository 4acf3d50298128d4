package console

import (
	"context"
	"fmt"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

func openMarks(a *app) tea.Cmd {
	var now adminapi.Marks
	p := &page{name: "DSCP"}
	p.fetch = func(a *app) tea.Cmd {
		return ask(a, p, a.client.Marks, func(m adminapi.Marks) tea.Cmd { now = m; return nil })
	}
	p.lines = func(a *app, width int) []line { return marksLines(a, now, width) }
	p.actions = []action{
		{"p", "profile", func(a *app) tea.Cmd { return a.push(profileForm(now)) }},
		{"v", "verify", func(a *app) tea.Cmd { return a.push(verifyForm()) }},
		{"w", "where marks die", openMarkPaths},
	}
	return a.push(p)
}

func marksLines(a *app, m adminapi.Marks, width int) (out []line) {
	state := "the kernel holds all to it"
	switch {
	case !m.OwnHost:
		state = "marked by the sender; this host's kernel is not the appliance's own"
	case !m.Wanted:
		state = "marked by the sender; enforcing is off (dscp.enforce)"
	case !m.Enforced:
		state = "THE KERNEL DIFFERS"
	}
	out = append(out, line{{"Profile  ", bold}, {m.Profile + ": " + state, 0}}, line{{"Drift    ", bold}, {fmt.Sprintf("%d changes by others since the start", m.Drifted), 0}})
	for _, w := range m.Warnings {
		out = append(out, plainLines(wrap("Unwise: "+w, width))...)
	}
	for _, d := range m.Differs {
		out = append(out, plainLines(wrap("DIFFERS: "+d, width))...)
	}
	rows := [][]string{{"CLASS", "CODE POINT", "802.1p", "BAND", "SENT"}}
	for _, c := range m.Classes {
		rows = append(rows, []string{c.Class, c.Point.String(), fmt.Sprint(c.Priority), fmt.Sprint(c.Band), fmt.Sprint(c.SentDatagrams)})
	}
	out = append(append(out, nil), plainLines(columns(rows, a.charset, width))...)
	for _, e := range m.Exceptions {
		out = append(out, plainf("Exception: %s%s has profile %s", e.Interface, e.Prefix, e.Profile))
	}
	for _, e := range m.Events {
		healed := fmt.Sprintf("back after %.0f ms", e.TookMS)
		if !e.Healed {
			healed = "NOT HEALED: " + e.Error
		}
		out = append(out, plain(since(e.Time)+"  "+e.Object+"  "+healed))
	}
	return out
}

func profileForm(now adminapi.Marks) *form {
	f := &form{name: "DSCP profile", verb: "review", fields: []*field{
		choice("Profile", []string{"rfc4594", "webex", "zoom", "off"}, now.Profile,
			"rfc4594: audio 46, video 34, content 36. webex: 46, 34, 34. zoom: 56, 40, 40. off: nothing is marked. A custom one is made under 7 Configuration."),
		choice("Enforce", []string{"yes", "no"}, map[bool]string{true: "yes", false: "no"}[now.Wanted], "yes: the kernel sets right what leaves with another mark, and clears what nobody may use."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		return change(a, f, "", func(a *app) tea.Cmd { a.drop(f); return nil }, set{"dscp.profile", f.text("Profile")},
			set{"dscp.enforce", map[string]string{"yes": "true", "no": "false"}[f.text("Enforce")]})
	}
	return f
}

func verifyForm() *form {
	f := &form{name: "Verify marks", verb: "send", intro: "A few datagrams of each class are sent, and what leaves is looked at.",
		fields: []*field{textField("Send to", "", "An address in your network; it need not answer.")}}
	f.done = func(a *app, f *form) tea.Cmd {
		to := f.fields[0].text()
		a.say("Sending...")
		return ask(a, f, func(ctx context.Context) (adminapi.Verified, error) {
			return a.client.Verify(ctx, adminapi.Verify{To: to})
		}, func(v adminapi.Verified) tea.Cmd {
			a.told = ""
			return a.push(verifiedPage(v))
		})
	}
	return f
}

func verifiedPage(v adminapi.Verified) *page {
	return &page{name: "What left by " + v.Interface, lines: func(a *app, width int) []line {
		rows := [][]string{{"CLASS", "WANTED", "LEFT AS", ""}}
		for _, c := range v.Classes {
			left, state := "not seen", "WRONG"
			if c.Left != nil {
				left = c.Left.String()
			}
			if c.OK {
				state = "ok"
			}
			rows = append(rows, []string{c.Class, c.Wanted.String(), left, state})
		}
		return plainLines(columns(rows, a.charset, width))
	}}
}

func openMarkPaths(a *app) tea.Cmd {
	t := &table{name: "Where marks die", head: []string{"CLIENTS", "MEDIUM", "WAY", "SENT AS", "LATEST", "VERDICT"},
		empty: "Nothing was measured yet: it takes people in meetings."}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.MarkPaths, func(m adminapi.MarkPaths) tea.Cmd {
			var rows [][]string
			for _, p := range m.Paths {
				rows = append(rows, []string{p.Subnet, p.Medium, p.Direction, fmt.Sprint(p.Policy.Decimal), fmt.Sprint(p.Latest.Decimal), p.Verdict})
			}
			t.set(rows)
			return nil
		})
	}
	return a.push(t)
}
