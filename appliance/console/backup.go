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

func openBackups(a *app) tea.Cmd {
	var now adminapi.Backups
	t := &table{name: "Backups", head: []string{"NAME", "MADE", "BYTES"}, empty: "There are none on the box."}
	t.intro = func(_ *app, width int) (out []line) {
		text := "None are made by the box itself: p sets the passphrase for them, backup.every how often."
		if now.Passphrase {
			text = "The box makes some by itself, as often as backup.every says."
		}
		if now.Problem != "" {
			out = append(out, styled(bold, "! "+now.Problem))
		}
		return append(out, plainLines(wrap(text+" `appliance backup get` copies one to your desk.", width))...)
	}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.Backups, func(b adminapi.Backups) tea.Cmd {
			now = b
			var rows [][]string
			for _, one := range b.Backups {
				rows = append(rows, []string{one.Name, one.Created.UTC().Format("2006-01-02 15:04"), fmt.Sprint(one.Bytes)})
			}
			t.set(rows)
			return nil
		})
	}
	t.open = func(a *app, row int) tea.Cmd { return a.push(restoreForm(a, now.Backups[row])) }
	t.actions = []action{
		{"m", "make one", func(a *app) tea.Cmd { return a.push(makeBackup()) }},
		{"p", "passphrase", func(a *app) tea.Cmd { return a.push(passphraseForm()) }},
		{"d", "delete", func(a *app) tea.Cmd {
			if len(now.Backups) == 0 {
				return nil
			}
			return a.push(removeBackup(now.Backups[t.now].Name))
		}},
	}
	return a.push(t)
}

const (
	labelPassphrase = "Passphrase"
	helpPassphrase  = "Without it the backup is worth nothing: write it down where the box is not."
)

// passphraseFields asks for one twice.
func passphraseFields() []*field {
	return []*field{secretField(labelPassphrase, helpPassphrase), secretField(labelAgain, "The same again, since you cannot see it.")}
}

// twice says whether it was the same both times, and tells the person if not.
func twice(a *app, f *form) bool {
	if f.text(labelPassphrase) == f.text(labelAgain) {
		return true
	}
	a.told, a.bad = "The two passphrases are not the same.", true
	return false
}

func makeBackup() *form {
	f := &form{name: "Make a backup", verb: "make it", intro: "One encrypted file on the box: configuration, keys, users, rooms. The keys of the box itself are not in it.", fields: passphraseFields()}
	f.done = func(a *app, f *form) tea.Cmd {
		if !twice(a, f) {
			return nil
		}
		asked := adminapi.MakeBackup{Passphrase: f.text(labelPassphrase), Keep: true}
		return ask(a, f, func(ctx context.Context) (adminapi.BackupFile, error) { return a.client.MakeBackup(ctx, asked) }, func(b adminapi.BackupFile) tea.Cmd {
			a.drop(f)
			a.say("%s is on the box.", b.Name)
			return a.look()
		})
	}
	return f
}

func passphraseForm() *form {
	f := &form{name: "Passphrase of the box's own backups", verb: "set it", intro: "With one, the box makes backups by itself (backup.every, backup.keep). Empty: it makes none.", fields: passphraseFields()}
	f.done = func(a *app, f *form) tea.Cmd {
		if !twice(a, f) {
			return nil
		}
		p := adminapi.Passphrase{Passphrase: f.text(labelPassphrase)}
		return do(a, f, func(ctx context.Context) error { return a.client.SetPassphrase(ctx, p) }, func() tea.Cmd {
			a.drop(f)
			a.say("The passphrase is set.")
			return a.look()
		})
	}
	return f
}

func removeBackup(name string) *form {
	return word("Delete the backup "+name, "It is gone for good.", "delete", func(a *app, f *form) tea.Cmd {
		return do(a, f, func(ctx context.Context) error { return a.client.RemoveBackup(ctx, name) }, func() tea.Cmd {
			a.drop(f)
			a.say("%s is deleted.", name)
			return a.look()
		})
	})
}

// restoreWithin is how long a restore waits to be kept: the box starts again meanwhile, and somebody logs in.
const restoreWithin = 10 * time.Minute

func restoreForm(a *app, b adminapi.Backup) *form {
	f := &form{name: "Restore " + b.Name, verb: "restore", intro: fmt.Sprintf("The box becomes what it was on %s, and starts again for it. %s Unless somebody logs in and keeps that within %v, everything is again as it is now.",
		b.Created.UTC().Format("2006-01-02 15:04 MST"), people(a.status), restoreWithin), fields: []*field{
		secretField(labelPassphrase, "That of the backup."),
		choice("What", []string{"everything", "the zone only"}, "everything", "the zone only: this box's own addresses, names and network stay as they are."),
		textField("Type restore", "", "Nothing is done before you have typed the word."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		if f.text("Type restore") != "restore" {
			a.say("Nothing was done: that was not the word restore.")
			return nil
		}
		asked := adminapi.Restore{Name: b.Name, Passphrase: f.text(labelPassphrase), ZoneOnly: f.text("What") != "everything", ConfirmS: int64(restoreWithin / time.Second)}
		return ask(a, f, func(ctx context.Context) (adminapi.Restored, error) { return a.client.Restore(ctx, asked) }, func(r adminapi.Restored) tea.Cmd {
			return a.replace(restoredPage(r))
		})
	}
	return f
}

func restoredPage(r adminapi.Restored) *page {
	return &page{name: "Restored", lines: func(_ *app, width int) (out []line) {
		out = append(out, nil, plainf("The box starts again as revision %d. Log in then, and press k to keep it.", r.Revision.Number), nil)
		if len(r.Users) > 0 {
			out = append(out, plainLines(wrap("Users that are added: "+strings.Join(r.Users, ", "), width))...)
		}
		for _, l := range r.Lost {
			out = append(out, plainLines(wrap("Lost: "+l, width))...)
		}
		return out
	}}
}

// openAudit shows who did what, the newest first.
func openAudit(a *app) tea.Cmd {
	t := &table{name: "Who did what", head: []string{"WHEN", "WHO", "WHAT", "DETAIL", "RESULT"}, empty: "Nobody has done anything."}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, func(ctx context.Context) (adminapi.Audit, error) {
			return a.client.Audit(ctx, adminapi.AuditQuery{Most: 500})
		}, func(l adminapi.Audit) tea.Cmd {
			var rows [][]string
			for _, e := range slices.Backward(l.Entries) {
				result := e.Result
				if e.Refused {
					result = "REFUSED " + result
				}
				rows = append(rows, []string{since(e.Time), e.Who, e.Verb, e.Detail, result})
			}
			t.set(rows)
			return nil
		})
	}
	return a.push(t)
}
