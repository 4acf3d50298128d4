package console

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

func openConfiguration(a *app) tea.Cmd {
	return a.push(&menu{name: "Configuration", intro: func(a *app, width int) []line {
		text := fmt.Sprintf("Revision %d runs.", a.status.Revision)
		if a.status.Edited {
			text += " A candidate waits: 3 shows it."
		}
		return plainLines(wrap(text, width))
	}, entries: []entry{
		{"1", "Show", "the running document", func(a *app) tea.Cmd { return a.push(documentPage()) }},
		{"2", "Set a key", "any setting by its path", func(a *app) tea.Cmd { return a.push(setForm()) }},
		{"3", "Candidate", "review it, commit it or drop it", openCandidate},
		{"4", "History", "who changed what; back to any of them", openHistory},
		{"5", "Who did what", "the audit log", openAudit},
	}})
}

func documentPage() *page {
	text := ""
	p := &page{name: "Running configuration"}
	p.fetch = func(a *app) tea.Cmd {
		return ask(a, p, func(ctx context.Context) (adminapi.Document, error) { return a.client.Config(ctx, "", "") }, func(d adminapi.Document) tea.Cmd {
			text = d.YAML
			return nil
		})
	}
	p.lines = func(*app, int) []line { return plainLines(strings.Split(strings.TrimRight(text, "\n"), "\n")) }
	return p
}

func setForm() *form {
	f := &form{name: "Set a key", verb: "review", fields: []*field{
		textField("Path", "", "Such as zone.guess.block or box.log_level; 1 Show has them all."),
		textField("Value", "", "As in YAML: 10m, true, [a, b]. Empty: its default."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		path, value := f.text("Path"), f.text("Value")
		if value == "" {
			return ask(a, f, func(ctx context.Context) (adminapi.Diff, error) {
				if err := a.client.Set(ctx, adminapi.Change{Path: path, Reset: true}); err != nil {
					return adminapi.Diff{}, err
				}
				return a.client.Diff(ctx)
			}, func(d adminapi.Diff) tea.Cmd {
				if len(d.Lines) == 0 {
					a.say("It has its default already.")
					return nil
				}
				return a.push(newReview(d, "", nil))
			})
		}
		return change(a, f, "", func(a *app) tea.Cmd { a.drop(f); return nil }, set{path, value})
	}
	return f
}

func openCandidate(a *app) tea.Cmd {
	return ask(a, a.top(), a.client.Diff, func(d adminapi.Diff) tea.Cmd {
		if len(d.Lines) == 0 {
			a.say("There is no candidate: it is made by the first change.")
			return nil
		}
		return a.push(newReview(d, "", nil))
	})
}

func openHistory(a *app) tea.Cmd {
	var list []adminapi.Revision
	t := &table{name: "History", head: []string{"REVISION", "WHEN", "WHO", "COMMENT", "CHANGES"}, empty: "There is none."}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.History, func(h adminapi.History) tea.Cmd {
			list = h.Revisions
			var rows [][]string
			for _, r := range list {
				name := fmt.Sprint(r.Number)
				if r.Running {
					name += " runs"
				}
				rows = append(rows, []string{name, since(r.Time), r.Who, r.Comment, fmt.Sprint(len(r.Changes))})
			}
			t.set(rows)
			return nil
		})
	}
	t.open = func(a *app, row int) tea.Cmd { return a.push(revisionPage(list[row])) }
	return a.push(t)
}

func revisionPage(r adminapi.Revision) *page {
	p := &page{name: fmt.Sprintf("Revision %d", r.Number)}
	p.lines = func(_ *app, width int) []line {
		out := []line{plainf("%s by %s: %s", r.Time.UTC().Format("2006-01-02 15:04:05 MST"), r.Who, r.Comment), nil, plain("Against the one before it:")}
		for _, c := range r.Changes {
			out = append(out, plainLines(wrap("  "+c, width))...)
		}
		return out
	}
	if !r.Running {
		p.actions = []action{{"b", "go back to it", func(a *app) tea.Cmd {
			return a.push(word("Go back", fmt.Sprintf("Revision %d is committed again, and stays. A candidate is dropped. %s", r.Number, people(a.status)), "back", func(a *app, f *form) tea.Cmd {
				return ask(a, f, func(ctx context.Context) (adminapi.Revision, error) {
					return a.client.Rollback(ctx, adminapi.Rollback{Revision: r.Number, Comment: "at the console"})
				}, func(now adminapi.Revision) tea.Cmd {
					a.drop(f)
					a.drop(p)
					a.say("The box runs what revision %d was, as revision %d.", r.Number, now.Number)
					return nil
				})
			}))
		}}}
	}
	return p
}
