package console

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

// The way of a change: its keys go into the candidate, the person sees the difference and what it will cut, it is committed so that it comes undone
// by itself, and the person keeps it.

// confirmWithin is how long a change waits to be kept.
const confirmWithin = 2 * time.Minute

// set is one key of the document and its new value: a text as it is, all else as YAML.
type set struct{ path, value string }

// yamlText writes a list as YAML: JSON is YAML.
func yamlText(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(raw)
}

// change puts keys into the candidate and shows what that comes to. cut says what will be interrupted, "" where nothing is.
func change(a *app, from screen, cut string, done func(a *app) tea.Cmd, sets ...set) tea.Cmd {
	type reviewed struct{ diff adminapi.Diff }
	return ask(a, from, func(ctx context.Context) (out reviewed, err error) {
		for _, s := range sets {
			if err := a.client.Set(ctx, adminapi.Change{Path: s.path, Value: s.value}); err != nil {
				return out, err
			}
		}
		out.diff, err = a.client.Diff(ctx)
		return out, err
	}, func(r reviewed) tea.Cmd {
		if len(r.diff.Lines) == 0 {
			a.say("Nothing is different.")
			if done != nil {
				return done(a)
			}
			return nil
		}
		return a.push(newReview(r.diff, cut, done))
	})
}

// newReview shows the candidate before it is committed.
func newReview(diff adminapi.Diff, cut string, done func(a *app) tea.Cmd) *page {
	p := &page{name: "Review the change"}
	p.lines = func(_ *app, width int) (out []line) {
		if cut != "" {
			for _, t := range wrap("WARNING: "+cut, width) {
				out = append(out, styled(bold, t))
			}
			out = append(out, nil)
		}
		for _, w := range diff.Warnings {
			out = append(out, plainLines(wrap("Unwise: "+w, width))...)
		}
		out = append(out, plain("This will change:"))
		for _, l := range diff.Lines {
			out = append(out, plainLines(wrap("  "+l, width))...)
		}
		text := fmt.Sprintf("Enter commits it. Unless you then press k within %v, the box goes back to what it runs now, by itself.", confirmWithin)
		return append(append(out, nil), plainLines(wrap(text, width))...)
	}
	p.actions = []action{
		{"Enter", "commit", func(a *app) tea.Cmd { return commit(a, p, done) }},
		{"x", "drop the change", func(a *app) tea.Cmd {
			return do(a, p, a.client.Discard, func() tea.Cmd { a.drop(p); a.say("The change was dropped."); return nil })
		}},
	}
	return p
}

// commit makes the candidate run, on trial.
func commit(a *app, from screen, done func(a *app) tea.Cmd) tea.Cmd {
	a.say("Committing...")
	return ask(a, from, func(ctx context.Context) (adminapi.Revision, error) {
		return a.client.Commit(ctx, adminapi.Commit{Comment: "at the console", ConfirmS: int64(confirmWithin / time.Second)})
	}, func(r adminapi.Revision) tea.Cmd {
		a.told = ""
		a.drop(from)
		a.status.Waiting = &adminapi.Waiting{Revision: r.Number, Before: r.Number - 1, LeftS: int64((confirmWithin + time.Since(a.seen)) / time.Second)}
		return tea.Batch(a.push(newTrial(r, done)), a.look())
	})
}

// newTrial counts down while the person tries whether all is well.
func newTrial(r adminapi.Revision, done func(a *app) tea.Cmd) *page {
	p := &page{name: fmt.Sprintf("Revision %d is on trial", r.Number)}
	p.lines = func(a *app, width int) (out []line) {
		if a.status.Waiting == nil {
			return append(out, nil, styled(bold, "Nothing waits any more."), nil, plain(fmt.Sprintf("Revision %d runs. 7 Configuration has the history.", a.status.Revision)))
		}
		out = append(out, nil, styled(inverse, fmt.Sprintf("  %s  until the box goes back to revision %d by itself  ", a.left(), a.status.Waiting.Before)), nil)
		out = append(out, plainLines(wrap("See whether everything works as it should: can people join, can you reach the box from your desk? Then press k.", width))...)
		return append(out, nil, plain("k  keeps the change"), plain("u  undoes it at once"), nil, plain("Addresses now: "+addressText(a.status.Addresses)))
	}
	p.actions = []action{
		{"k", "keep", func(a *app) tea.Cmd {
			return keep(a, func() tea.Cmd {
				a.drop(p)
				if done != nil {
					return done(a)
				}
				return nil
			})
		}},
		{"u", "undo", func(a *app) tea.Cmd { return undo(a, func() tea.Cmd { a.drop(p); return nil }) }},
	}
	return p
}

// keep confirms the revision on trial.
func keep(a *app, then func() tea.Cmd) tea.Cmd {
	return ask(a, nil, a.client.Confirm, func(r adminapi.Revision) tea.Cmd {
		a.status.Waiting, a.status.Revision, a.status.New = nil, r.Number, false
		a.say("Revision %d is kept.", r.Number)
		return tea.Batch(a.look(), after(then))
	})
}

// undo goes back at once.
func undo(a *app, then func() tea.Cmd) tea.Cmd {
	return ask(a, nil, func(ctx context.Context) (adminapi.Revision, error) {
		return a.client.Rollback(ctx, adminapi.Rollback{Comment: "undone at the console"})
	}, func(r adminapi.Revision) tea.Cmd {
		a.status.Waiting = nil
		a.say("The box is back to what it ran before.")
		return tea.Batch(a.look(), after(then))
	})
}

func after(then func() tea.Cmd) tea.Cmd {
	if then == nil {
		return nil
	}
	return then()
}

// people says who would notice.
func people(s adminapi.Status) string {
	if s.Sessions == 0 {
		return "Nobody is in a meeting."
	}
	return fmt.Sprintf("%d people in %d meetings are cut, and come back by themselves where they can reach the box.", s.Sessions, s.Meetings)
}

// words splits what a person separates by commas or spaces.
func words(text string) []string {
	list := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
	if list == nil {
		list = []string{}
	}
	return list
}
