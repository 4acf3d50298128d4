package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/zonectl"
	"meetzone/zonectl/wire"
)

// What the admin API asks of the daemon, said in the controller's words.

var (
	_ admin.Meetings = zoneMeetings{}
	_ admin.Host     = (*daemon)(nil)
)

// Describe implements admin.Host.
func (d *daemon) Describe() adminapi.Status {
	doc := d.revisions.Running().Document
	stats := d.zone.Stats()
	s := adminapi.Status{
		Version: softwareVersion(), Hostname: hostname(doc), Zone: doc.Zone.ID, URL: d.url(), Fingerprint: d.tls.fingerprint(),
		Meetings: stats.Meetings, Sessions: stats.Sessions,
	}
	s.Glance = d.glance(d.flags.override(doc))
	s.StartCause = d.starts.cause
	s.Drain = d.drainer.state()
	s.Alarms = d.alarms()
	return s
}

// url is where people reach the box: as configured, or by its first address.
func (d *daemon) url() string {
	if urls := d.zoneConfig(d.flags.override(d.revisions.Running().Document)).URLs; len(urls) > 0 {
		return urls[0]
	}
	host := "localhost"
	if addrs := hostAddresses(); len(addrs) > 0 {
		host = addrs[0].String()
	}
	return d.urlOf(host)
}

func (d *daemon) urlOf(host string) string {
	if _, port, err := net.SplitHostPort(d.https.Addr().String()); err == nil && port != "443" {
		return "https://" + net.JoinHostPort(host, port)
	}
	return "https://" + host
}

// printFirstMeeting makes a meeting and says how to join it.
func (d *daemon) printFirstMeeting(w io.Writer) {
	m, err := d.zone.CreateMeeting(zonectl.MeetingSpec{Title: "First meeting"})
	if err != nil {
		d.log.Error("the first meeting was not made", "err", err)
		return
	}
	fmt.Fprintf(w, "\nThe zone is running. Join the first meeting in a browser:\n\n  on this machine    %s%s%s\n", d.urlOf("localhost"), wire.PathJoin, m.Number)
	fmt.Fprintf(w, "  from the network   %s%s%s\n\n", d.url(), wire.PathJoin, m.Number)
	fmt.Fprintf(w, "Host key: %s\nThe certificate is self-signed: the browser asks once. Its SHA-256 fingerprint is\n  %s\n\n", m.HostKey, d.tls.fingerprint())
	fmt.Fprintf(w, "Or join from a terminal: bin/zoneclient join --url %s --meeting %s --name Ada --insecure --for 10s\nEnd with Ctrl-C.\n\n", d.urlOf("localhost"), m.Number)
}

// zoneMeetings is the controller as the admin API sees it.
type zoneMeetings struct {
	zone *zonectl.Controller
	url  func() string // where people reach the box, for links where zone.hosts names nothing
}

// askWithin bounds how long a busy meeting is waited for.
const askWithin = 5 * time.Second

// Create implements admin.Meetings.
func (z zoneMeetings) Create(ctx context.Context, spec adminapi.MeetingSpec) (adminapi.Meeting, error) {
	wanted := zonectl.MeetingSpec{Title: spec.Title, Passcode: spec.Passcode, Locked: spec.Locked}
	if spec.Room == "" {
		m, err := z.zone.CreateMeeting(wanted)
		return z.meetingOf(m), told(err)
	}
	if spec.Room != adminapi.RoomAuto {
		wanted.Number = spec.Room
	}
	m, err := z.zone.CreateRoom(ctx, wanted)
	return z.meetingOf(m), told(err)
}

// List implements admin.Meetings.
func (z zoneMeetings) List() []adminapi.Meeting {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	var list []adminapi.Meeting
	for _, m := range z.zone.Meetings(ctx) {
		list = append(list, z.meetingOf(m))
	}
	return list
}

// Show implements admin.Meetings.
func (z zoneMeetings) Show(number string) (adminapi.Meeting, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	number = wire.Number(number)
	m, err := z.zone.Meeting(ctx, number)
	out := z.meetingOf(m)
	for i := range out.Participants {
		p := &out.Participants[i]
		stats, err := z.zone.EndpointStats(ctx, number, p.ID)
		if err != nil {
			continue // has left meanwhile
		}
		e := stats.Estimate
		p.Path = &adminapi.PathEstimate{Available: e.Available, Sending: e.Sending, Loss: e.Loss, Feedback: e.Numbered, Probes: e.Probes,
			Waiting: e.Waiting, Abandoned: e.Abandoned}
	}
	return out, told(err)
}

// History implements admin.Meetings.
func (z zoneMeetings) History(number string, points int) (adminapi.MeetingHistory, error) {
	number = wire.Number(number)
	records := z.zone.History(number, points, maxHistoryPoints)
	if records == nil {
		return adminapi.MeetingHistory{}, &adminapi.Error{Code: adminapi.CodeUnknown, Text: "Nothing is kept of a meeting with this number.",
			Advice: "A sample is kept every 10 s for a day, of meetings since the last start of the daemon. `appliance meeting list` lists those that run."}
	}
	return historyOf(number, records), nil
}

// maxHistoryPoints bounds an answer, to about 20 MiB.
const maxHistoryPoints = 100_000

// End implements admin.Meetings: a room goes for good, as the command says.
func (z zoneMeetings) End(ctx context.Context, number string) error {
	number = wire.Number(number)
	m, err := z.zone.Meeting(ctx, number)
	switch {
	case err != nil:
		return told(err)
	case m.Room:
		return told(z.zone.DeleteRoom(ctx, number))
	}
	return told(z.zone.EndMeeting(ctx, number))
}

func (z zoneMeetings) meetingOf(m zonectl.MeetingInfo) adminapi.Meeting {
	out := meetingOf(m)
	if out.Link == "" && out.Number != "" {
		out.Link = z.url() + wire.PathJoin + out.Number
	}
	return out
}

func meetingOf(m zonectl.MeetingInfo) adminapi.Meeting {
	out := adminapi.Meeting{Number: m.Number, Title: m.Title, Link: m.Link, Passcode: m.Passcode, HostKey: m.HostKey, Room: m.Room, Locked: m.Locked,
		Created: m.Created, Started: m.Started, Count: m.Count}
	for _, p := range m.Participants {
		one := adminapi.Participant{ID: p.ID, Name: p.Name, Role: string(p.Role), From: p.Source, Joined: p.Joined, Media: map[string]string{}}
		for _, t := range p.Transports {
			if t.Rung != "" {
				one.Media[string(t.Medium)] = t.Rung
			}
		}
		for _, q := range p.Quality {
			one.Quality = appendFlow(one.Quality, string(q.Medium), "up", q.Up)
			one.Quality = appendFlow(one.Quality, string(q.Medium), "down", q.Down)
		}
		out.Participants = append(out.Participants, one)
	}
	return out
}

func appendFlow(list []adminapi.FlowQuality, medium, direction string, q *wire.FlowQuality) []adminapi.FlowQuality {
	if q == nil {
		return list
	}
	return append(list, adminapi.FlowQuality{Medium: medium, Direction: direction, Score: q.Score, Loss: q.Loss, JitterMS: q.JitterMS, RTTMS: q.RTTMS,
		Bitrate: q.Bitrate, FPS: q.FPS, Freezes: q.Freezes, Frozen: q.Frozen, Concealed: q.Concealed})
}

// told makes of what the controller says to people what the admin API says to them.
func told(err error) error {
	var said *wire.Error
	if !errors.As(err, &said) {
		return err
	}
	code := adminapi.CodeServer
	switch said.Code {
	case wire.CodeRefused, wire.CodeEnded, wire.CodeUnknown:
		code = adminapi.CodeUnknown
	case wire.CodeFull, wire.CodeRate:
		code = adminapi.CodeLimit
	case wire.CodeBad:
		code = adminapi.CodeBad
	case wire.CodeDrain, wire.CodePolicy:
		code = adminapi.CodeConflict
	}
	return &adminapi.Error{Code: code, Text: said.Text, Advice: said.Advice}
}
