package console

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// The way from the carton to the first meeting: names, network, the trial of both, a meeting.

// newWelcome is what a box shows that nobody has configured.
func newWelcome() *page {
	p := &page{name: "Welcome"}
	p.lines = func(_ *app, width int) []line {
		text := "This box is new. It takes three steps to the first meeting:\n\n  1  what the box and its zone are called\n  2  its network, tried out before it stays\n  3  the meeting\n\nEnter begins. Esc leaves it for later: the steps are under 3 Zone and 2 Network as well."
		var out []line
		for _, l := range strings.Split(text, "\n") {
			out = append(out, plainLines(wrapKeeping(l, width))...)
		}
		return append([]line{nil}, out...)
	}
	p.actions = []action{{"Enter", "begin", func(a *app) tea.Cmd {
		return ask(a, p, fetchDocument(a), func(now zoneNow) tea.Cmd { return a.replace(firstNames(now)) })
	}}}
	return p
}

// wrapKeeping wraps a line and keeps its indent.
func wrapKeeping(text string, width int) []string {
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
	lines := wrap(text, width-len(indent))
	for i := range lines {
		lines[i] = indent + lines[i]
	}
	return lines
}

// firstNames is step 1.
func firstNames(now zoneNow) *form {
	f := &form{name: "Set-up 1 of 3: names", verb: "go on", fields: []*field{
		textField(labelHost, now.Box.Hostname, "What this box is called: letters, digits and hyphens, such as meet-1."),
		textField(labelZone, now.Zone.Name, "What people see."),
		textField(labelHosts, strings.Join(now.Zone.Hosts, " "), helpHosts),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		names := []set{{"box.hostname", f.text(labelHost)}, {"zone.name", f.text(labelZone)}, {"zone.hosts", yamlText(words(f.text(labelHosts)))}}
		return ask(a, f, fetchNetwork(a.client), func(n networkNow) tea.Cmd { return firstNetwork(a, f, n, names) })
	}
	return f
}

// methodNone leaves the network alone.
const methodNone = "leave as it is"

// firstNetwork is step 2: one interface, or nothing where the network is not the box's.
func firstNetwork(a *app, from *form, now networkNow, names []set) tea.Cmd {
	links := linkNames(now.kernel)
	if !now.box.OwnHost || links[0] == "" {
		return change(a, from, "", firstDone, names...)
	}
	best := links[0]
	for _, l := range now.kernel.Links {
		if l.Carrier && l.Name != "lo" && l.Kind != "vlan" {
			best = l.Name
			break
		}
	}
	inner := networkForm(now, best)
	f := &form{name: "Set-up 2 of 3: network", verb: "review", intro: "The interface with a link is chosen. More of them, VLANs and roles are under 2 Network."}
	pick := choice(labelInterface, links, best, "The socket that the cable of the people's network is in.")
	method := choice(labelMethod, []string{methodStatic, methodDHCP, methodNone}, methodStatic, "static: you give the addresses; DHCP: a server gives them; or the network of this machine is left as it is.")
	f.fields = []*field{pick, method}
	for _, one := range inner.fields {
		if one.name == labelAddresses || one.name == labelGateway {
			f.fields = append(f.fields, one)
		}
	}
	f.done = func(a *app, f *form) tea.Cmd {
		if method.text() == methodNone {
			return change(a, f, "", firstDone, names...)
		}
		whole := networkForm(now, pick.text())
		for i, one := range whole.fields {
			for _, typed := range f.fields {
				if typed.name == one.name {
					whole.fields[i] = typed
				}
			}
		}
		return changeInterface(a, whole, f, now, pick.text(), firstDone, names...)
	}
	return a.push(f)
}

// firstDone is step 3, after the person has kept the change.
func firstDone(a *app) tea.Cmd {
	a.stack = a.stack[:1]
	return newMeeting(a, "First meeting")
}
