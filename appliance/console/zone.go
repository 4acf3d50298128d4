package console

import (
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"
	"go.yaml.in/yaml/v3"
)

// zoneNow is what the screens of the zone need of the document.
type zoneNow struct {
	Zone struct {
		Name   string   `yaml:"name"`
		Hosts  []string `yaml:"hosts"`
		Policy struct {
			StartMeetings string `yaml:"start_meetings"`
		} `yaml:"policy"`
		Limits struct {
			Meetings     int `yaml:"meetings"`
			Participants int `yaml:"participants"`
			Sessions     int `yaml:"sessions"`
		} `yaml:"limits"`
	} `yaml:"zone"`
	Sites []site `yaml:"sites"`
	Box   struct {
		Hostname string `yaml:"hostname"`
	} `yaml:"box"`
	Certificate struct {
		Name string `yaml:"name"`
		ACME struct {
			Directory string `yaml:"directory"`
			Email     string `yaml:"email"`
		} `yaml:"acme"`
	} `yaml:"certificate"`
	DSCP struct {
		Profile string `yaml:"profile"`
	} `yaml:"dscp"`
}

// site is one of the document. The tags of JSON are those of YAML, since JSON is what goes back.
type site struct {
	Name   string `yaml:"name" json:"name"`
	Subnet string `yaml:"subnet" json:"subnet"`
	Zone   string `yaml:"zone" json:"zone"`
}

// fetchDocument reads the running document.
func fetchDocument(a *app) func(ctx context.Context) (zoneNow, error) {
	return func(ctx context.Context) (now zoneNow, err error) {
		d, err := a.client.Config(ctx, "", "")
		if err == nil {
			err = yaml.Unmarshal([]byte(d.YAML), &now)
		}
		return now, err
	}
}

func openZone(a *app) tea.Cmd {
	m := &menu{name: "Zone and sites", entries: []entry{
		{"1", "Zone", "name, hosts in links, who may start meetings, limits", func(a *app) tea.Cmd {
			return withDocument(a, func(now zoneNow) tea.Cmd { return a.push(zoneForm(now)) })
		}},
		{"2", "Sites", "which zone is best for clients of a subnet", openSites},
		{"3", "Zones", "the zones that clients are told of, best first", openZones},
		{"4", "Host name", "what this box is called", func(a *app) tea.Cmd {
			return withDocument(a, func(now zoneNow) tea.Cmd { return a.push(nameForm(now)) })
		}},
	}}
	return a.push(m)
}

// withDocument reads the running document and goes on.
func withDocument(a *app, then func(zoneNow) tea.Cmd) tea.Cmd {
	return ask(a, a.top(), fetchDocument(a), then)
}

const (
	labelZone     = "Zone name"
	labelHosts    = "Names in links"
	labelStart    = "Meetings are started by"
	labelMeetings = "Meetings at most"
	labelPeople   = "People in one meeting"
	labelSessions = "People in all"
	labelHost     = "Host name"
)

const helpHosts = "The DNS name or address at which people reach this box, such as meet.example. The first one is in links; all are in the certificate. Empty: its address."

func zoneForm(now zoneNow) *form {
	z := now.Zone
	f := &form{name: "Zone", verb: "review", fields: []*field{
		textField(labelZone, z.Name, "Shown to people."),
		textField(labelHosts, strings.Join(z.Hosts, " "), helpHosts),
		choice(labelStart, []string{"anyone", "api"}, z.Policy.StartMeetings, "anyone: everybody on the network; api: administrators and holders of a token."),
		textField(labelMeetings, number(z.Limits.Meetings), "At once."),
		textField(labelPeople, number(z.Limits.Participants), "At once."),
		textField(labelSessions, number(z.Limits.Sessions), "At once, in all meetings together."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		return change(a, f, "", nil,
			set{"zone.name", f.text(labelZone)}, set{"zone.hosts", yamlText(words(f.text(labelHosts)))},
			set{"zone.policy.start_meetings", f.text(labelStart)}, set{"zone.limits.meetings", f.text(labelMeetings)},
			set{"zone.limits.participants", f.text(labelPeople)}, set{"zone.limits.sessions", f.text(labelSessions)})
	}
	return f
}

func nameForm(now zoneNow) *form {
	f := &form{name: "Host name", verb: "review", fields: []*field{textField(labelHost, now.Box.Hostname, "Letters, digits and hyphens, such as meet-1.")}}
	f.done = func(a *app, f *form) tea.Cmd {
		return change(a, f, "", nil, set{"box.hostname", f.text(labelHost)})
	}
	return f
}

func openSites(a *app) tea.Cmd {
	var sites []site
	t := &table{name: "Sites", head: []string{"NAME", "SUBNET", "ZONE"}, empty: "There are no sites: clients take the zones in their configured order, or by Geo-IP where there is a file."}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, fetchDocument(a), func(now zoneNow) tea.Cmd {
			sites = now.Sites
			var rows [][]string
			for _, s := range sites {
				rows = append(rows, []string{s.Name, s.Subnet, s.Zone})
			}
			t.set(rows)
			return nil
		})
	}
	edit := func(a *app, i int) tea.Cmd {
		one := site{Zone: a.status.Zone}
		if i < len(sites) {
			one = sites[i]
		}
		f := &form{name: "Site", verb: "review", fields: []*field{textField("Name", one.Name, "Shown to people."),
			textField("Subnet", one.Subnet, "Such as 10.1.0.0/16 or 2001:db8:1::/48; the longest that matches decides."),
			textField("Zone", one.Zone, "Id of the zone that is best for it; this box's own is "+a.status.Zone+".")}}
		f.done = func(a *app, f *form) tea.Cmd {
			next := append(append([]site{}, sites[:i]...), site{f.text("Name"), f.text("Subnet"), f.text("Zone")})
			next = append(next, sites[min(i+1, len(sites)):]...)
			return change(a, f, "", func(a *app) tea.Cmd { a.drop(f); return nil }, set{"sites", yamlText(next)})
		}
		return a.push(f)
	}
	t.open = edit
	t.actions = []action{
		{"n", "new", func(a *app) tea.Cmd { return edit(a, len(sites)) }},
		{"d", "delete", func(a *app) tea.Cmd {
			if len(sites) == 0 {
				return nil
			}
			next := append(append([]site{}, sites[:t.now]...), sites[t.now+1:]...)
			return change(a, t, "", nil, set{"sites", yamlText(next)})
		}},
	}
	return a.push(t)
}

func openZones(a *app) tea.Cmd {
	f := &form{name: "Zones", verb: "show", fields: []*field{textField("Client's address", "", "The zones are listed as a client at this address is told of them. Empty: one of which nothing is known.")}}
	f.done = func(a *app, f *form) tea.Cmd {
		address := f.fields[0].text()
		t := &table{name: "Zones, best first", head: []string{"ZONE", "NAME", "CONTROLLERS", "WHY HERE"}, empty: "There are none."}
		t.fetch = func(a *app) tea.Cmd {
			return ask(a, t, func(ctx context.Context) ([][]string, error) {
				z, err := a.client.Zones(ctx, address)
				var rows [][]string
				for _, one := range z.Zones {
					rows = append(rows, []string{one.ID, one.Name, strings.Join(one.Controllers, " "), one.Reason})
				}
				return rows, err
			}, func(rows [][]string) tea.Cmd { t.set(rows); return nil })
		}
		return a.push(t)
	}
	return a.push(f)
}
