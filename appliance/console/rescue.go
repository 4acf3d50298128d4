package console

import (
	"context"
	"fmt"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

// rescueScreen stands in the place of home while the daemon does not start.
type rescueScreen struct {
	menu
	now adminapi.Rescue
}

// rescue shows why the box does not start, and what can be put right.
func (a *app) rescue(now adminapi.Rescue) {
	r := &rescueScreen{now: now}
	r.menu = menu{name: "RESCUE: the box does not start", intro: r.cause, entries: []entry{
		{"1", "Log", "the last lines of the daemon", func(a *app) tea.Cmd { return a.push(r.log()) }},
		{"2", "Start again", "try whether it starts now", func(a *app) tea.Cmd {
			return r.does(a, "Start again", "The daemon is started again.", "start", adminapi.PathRescueStart)
		}},
		{"3", "Previous revision", "go back to the configuration before", func(a *app) tea.Cmd {
			return r.does(a, "Previous revision", r.previous(), "previous", adminapi.PathRescuePrevious)
		}},
		{"4", "Last good copy", "of the store, where it is damaged", func(a *app) tea.Cmd {
			return r.does(a, "Last good copy", r.copyOf(), "copy", adminapi.PathRescueCopy)
		}},
		{"5", "Network", "give an interface an address", func(a *app) tea.Cmd { return a.push(rescueNetwork()) }},
		{"6", "Reset", "begin anew", func(a *app) tea.Cmd {
			return r.does(a, "Reset", "Configuration, users and meetings are gone for good. The keys of box and zone stay.", "reset", adminapi.PathRescueReset)
		}},
		{"7", "Reboot", "restart the machine", power("Reboot", adminapi.PowerReboot, "reboot")},
		{"8", "Shut down", "switch the machine off", power("Shut down", adminapi.PowerOff, "off")},
		{"9", "Factory reset", "delete everything, keys too", power("Factory reset", adminapi.PowerFactoryReset, "delete")},
	}}
	a.known, a.status = false, adminapi.Status{}
	a.stack = []screen{r}
}

// look fetches the state of the rescue. When it does not answer any more, the daemon may have come back.
func (r *rescueScreen) look(a *app) tea.Cmd {
	return askAll(a, r, a.client.Rescue, func(now adminapi.Rescue, err error) tea.Cmd {
		if a.silent = err; err != nil {
			return a.begin()
		}
		r.now = now
		return nil
	})
}

func (r *rescueScreen) keys() string { return "Key or Up/Down and Enter   Ctrl-L redraw" }

// cause is why the box does not start, before the ways out of it.
func (r *rescueScreen) cause(_ *app, width int) (out []line) {
	cause := r.now.Cause
	if cause == "" {
		cause = "Nobody has written down why the daemon does not start."
	}
	texts := wrap(cause, width)
	for _, t := range texts[:min(4, len(texts))] {
		out = append(out, styled(bold, t))
	}
	state := "The store is whole."
	switch {
	case r.now.Store != "":
		state = "THE STORE IS DAMAGED: " + r.now.Store
	case r.now.Trouble != "":
		state = "The store cannot be opened, but may be whole: " + r.now.Trouble
	}
	texts = wrap(state, width)
	return append(out, plainLines(texts[:min(3, len(texts))])...)
}

func (r *rescueScreen) log() *page {
	return &page{name: "The daemon's last lines", at: 1 << 30, lines: func(_ *app, width int) (out []line) {
		for _, l := range r.now.Log {
			out = append(out, plainLines(wrap(l, width))...)
		}
		return out
	}}
}

func (r *rescueScreen) previous() string {
	if r.now.Previous == nil {
		return "There is no revision before this one."
	}
	return fmt.Sprintf("Revision %d of %s by %s is committed again.", r.now.Previous.Number, since(r.now.Previous.Time), r.now.Previous.Who)
}

func (r *rescueScreen) copyOf() string {
	switch c := r.now.Copy; {
	case c == nil:
		return "There is no copy."
	case c.Problem != "":
		return "The copy is damaged itself: " + c.Problem
	default:
		return fmt.Sprintf("The copy of %s UTC with revision %d takes the place of the store. What was changed since is lost.", since(c.Made), c.Revision)
	}
}

// does asks for a word and does what one of the paths is for.
func (r *rescueScreen) does(a *app, name, warning, typed, path string) tea.Cmd {
	return a.push(word(name, warning, typed, func(a *app, f *form) tea.Cmd {
		return ask(a, f, func(ctx context.Context) (adminapi.Rescued, error) { return a.client.RescueDo(ctx, path) }, func(done adminapi.Rescued) tea.Cmd {
			return a.replace(rescuedPage(done))
		})
	}))
}

func rescuedPage(done adminapi.Rescued) *page {
	return &page{name: "Done", lines: func(_ *app, width int) []line {
		out := []line{nil}
		text := done.Text
		if text == "" {
			text = "The daemon is started again. This screen changes when it answers."
		}
		out = append(out, plainLines(wrap(text, width))...)
		if done.Lost != "" {
			out = append(append(out, nil), plainLines(wrap("LOST: "+done.Lost, width))...)
		}
		return out
	}}
}

func rescueNetwork() *form {
	f := &form{name: "Network of the next start", verb: "set it", intro: "What else the configuration says of the interface is dropped.", fields: []*field{
		textField(labelInterface, "", "Such as eth0."), textField("Address", "", "With prefix length, such as 192.0.2.7/24."), textField(labelGateway, "", "Such as 192.0.2.1; empty: none."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		n := adminapi.RescueNetwork{Interface: f.text(labelInterface), Address: f.text("Address"), Gateway: f.text(labelGateway)}
		return ask(a, f, func(ctx context.Context) (adminapi.Rescued, error) { return a.client.RescueNetwork(ctx, n) }, func(done adminapi.Rescued) tea.Cmd {
			return a.replace(rescuedPage(done))
		})
	}
	return f
}
