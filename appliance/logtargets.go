package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/config"
	"meetzone/appliance/syslog"
	"meetzone/storage"
)

// logTargets sends the audit log, alarms and what the daemon logs to syslog servers. The audit log is on the disk, so that a server which cannot be
// reached for a while gets it later, from where it was, also over a restart; alarms and log lines wait in memory only.
type logTargets struct {
	d       *daemon
	dial    dial
	marks   *storage.Table[string, targetMark]
	loggers atomic.Pointer[[]*syslog.Sender] // those that get the daemon's log

	mu     sync.Mutex // guards what follows; held while targets are changed
	now    []*logTarget
	closed bool
}

// targetMark is how far a server has got the audit log.
type targetMark struct {
	Seq uint64 `json:"seq"`
}

// logTarget is one server.
type logTarget struct {
	wanted config.LogTarget
	sender *syslog.Sender
	end    context.CancelFunc
	ended  sync.WaitGroup
}

// markEvery is how often a mark is stored at most: after a crash, entries of so long may be sent twice.
const markEvery = 5 * time.Second

// unreachableAfter is how long a server may be away before that is an alarm.
const unreachableAfter = 30 * time.Second

var _ config.Observer = (*logTargets)(nil)

func openLogTargets(d *daemon, dial dial) (*logTargets, error) {
	marks, err := storage.OpenTable[string, targetMark](d.store, "log-targets")
	l := &logTargets{d: d, dial: dial, marks: marks}
	if err == nil {
		line := l.line
		d.records.also.Store(&line)
	}
	return l, err
}

// Name implements config.Part.
func (*logTargets) Name() string { return "log targets" }

// Check implements config.Part.
func (l *logTargets) Check(doc config.Document) error {
	for i, t := range doc.Log.Targets {
		if _, err := tlsOf(t); err != nil {
			return fmt.Errorf("log.targets[%d].ca: %w", i, err)
		}
	}
	return nil
}

// Apply implements config.Part. A file that has gone since keeps no box from starting: its target is left out, and shown.
func (l *logTargets) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	l.mu.Lock()
	kept := make([]*logTarget, 0, len(doc.Log.Targets))
	for _, wanted := range doc.Log.Targets {
		if i := slices.IndexFunc(l.now, func(t *logTarget) bool { return t.wanted == wanted }); i >= 0 {
			kept = append(kept, l.now[i])
			continue
		}
		t, err := l.start(wanted)
		if err != nil {
			l.d.log.Error("a syslog server is left out", "url", wanted.URL, "err", err)
			continue
		}
		kept = append(kept, t)
	}
	var gone []*logTarget
	for _, t := range l.now {
		if !slices.Contains(kept, t) {
			gone = append(gone, t)
		}
	}
	l.now = kept
	l.mu.Unlock()
	for _, t := range gone {
		t.close()
		if !slices.ContainsFunc(kept, func(k *logTarget) bool { return k.wanted.URL == t.wanted.URL }) {
			_ = l.marks.Delete(context.Background(), t.wanted.URL)
		}
	}
	l.hear()
	return l.Observe(doc), nil
}

// start connects to a server and begins with the audit log where it was.
func (l *logTargets) start(wanted config.LogTarget) (*logTarget, error) {
	if l.closed {
		return nil, errors.New("the daemon ends")
	}
	address, secured, err := wanted.Server()
	if err != nil {
		return nil, err
	}
	cfg := syslog.Config{Address: address, Dial: l.dial, Logger: l.d.log}
	if secured {
		if cfg.TLS, err = tlsOf(wanted); err != nil {
			return nil, err
		}
	}
	sender, err := syslog.New(cfg)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	t := &logTarget{wanted: wanted, sender: sender, end: end}
	t.ended.Go(func() { _ = sender.Run(ctx) })
	t.ended.Go(func() { l.runAudit(ctx, t) })
	return t, nil
}

func (t *logTarget) close() {
	t.end()
	t.ended.Wait()
}

// close ends all.
func (l *logTargets) close() {
	l.loggers.Store(nil)
	l.mu.Lock()
	all := l.now
	l.now, l.closed = nil, true
	l.mu.Unlock()
	for _, t := range all {
		t.close()
	}
}

// tlsOf makes the settings with which a server is checked; nil without encryption.
func tlsOf(t config.LogTarget) (*tls.Config, error) {
	if !strings.HasPrefix(t.URL, "tls://") {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", t.CA)
	}
	return cfg, nil
}

// runAudit sends the audit log to one server, and keeps how far it got.
func (l *logTargets) runAudit(ctx context.Context, t *logTarget) {
	seq := l.markOf(t)
	var sent progress
	sent.reach(seq)
	stored, at := seq, time.Now()
	store := func() {
		at = time.Now()
		if now := sent.reached(); now != stored && l.mark(context.WithoutCancel(ctx), t, now) == nil {
			stored = now
		}
	}
	defer store()
	for ctx.Err() == nil {
		if time.Since(at) >= markEvery {
			store()
		}
		wait, cancel := context.WithTimeout(ctx, markEvery)
		_ = l.d.audit.Wait(wait, seq)
		cancel()
		for _, e := range l.d.audit.After(seq, 100) {
			m := l.d.auditMessage(e)
			m.Sent = func() { sent.reach(e.Seq) }
			if t.sender.Send(ctx, m) != nil {
				return
			}
			seq = e.Seq
		}
	}
}

// markOf is the entry up to which a server has got the audit log. One that was never there gets what happens from now on.
func (l *logTargets) markOf(t *logTarget) uint64 {
	last := l.d.audit.Last()
	if m, known, err := l.marks.Get(t.wanted.URL); err == nil && known && m.Seq <= last {
		return m.Seq
	}
	_ = l.mark(context.Background(), t, last) // a disk that refuses is an alarm of its own
	return last
}

func (l *logTargets) mark(ctx context.Context, t *logTarget, seq uint64) error {
	return l.marks.Put(ctx, t.wanted.URL, targetMark{Seq: seq})
}

// progress is a number that only grows.
type progress struct {
	mu  sync.Mutex // guards seq
	seq uint64
}

func (p *progress) reach(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq = max(p.seq, seq)
}

func (p *progress) reached() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

// dataID names the structured data of Meetzone's messages: 32473 is the number that RFC 5612 keeps for examples, since there is no registered one.
const dataID = "meetzone@32473"

func (d *daemon) message(facility syslog.Facility, severity syslog.Severity, at time.Time, id, text string) syslog.Message {
	return syslog.Message{Facility: facility, Severity: severity, Time: at, Host: cmp.Or(kernelName(), "-"), App: "meetzone",
		ProcID: strconv.Itoa(os.Getpid()), ID: id, DataID: dataID, Text: text}
}

func (d *daemon) auditMessage(e audit.Entry) syslog.Message {
	severity, text := syslog.Notice, fmt.Sprintf("%s: %s: %s", e.Who, e.Verb, e.Result)
	if e.Kind == audit.Refused {
		severity = syslog.Warning
	}
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	m := d.message(syslog.Audit, severity, e.Time, "audit", text)
	m.Data = []syslog.Param{{Name: "seq", Value: strconv.FormatUint(e.Seq, 10)}, {Name: "who", Value: e.Who}, {Name: "verb", Value: e.Verb}, {Name: "result", Value: e.Result}}
	if e.From != "" {
		m.Data = append(m.Data, syslog.Param{Name: "from", Value: e.From})
	}
	if e.Missed > 0 {
		m.Data = append(m.Data, syslog.Param{Name: "missed", Value: strconv.Itoa(e.Missed)})
	}
	return m
}

// alarm tells the servers that an alarm begins, or is over.
func (l *logTargets) alarm(code string, a *adminapi.Alarm) {
	m := l.d.message(syslog.Daemon, syslog.Notice, time.Now(), "alarm", "The alarm "+code+" is over.")
	state := "over"
	if a != nil {
		m.Severity, m.Text, state = syslog.Error, a.Text+" "+a.Advice, "raised"
	}
	m.Data = []syslog.Param{{Name: "alarm", Value: code}, {Name: "state", Value: state}}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.now {
		t.sender.Offer(m)
	}
}

// alarms says which servers cannot be reached.
func (l *logTargets) alarms() (list []adminapi.Alarm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.now {
		if s := t.sender.Status(); !s.Connected && time.Since(s.Since) > unreachableAfter {
			list = append(list, adminapi.Alarm{Code: "syslog", Text: fmt.Sprintf("The syslog server %s cannot be reached: %v.", t.wanted.URL, s.Err), Since: s.Since})
		}
	}
	return list
}

// Observe implements config.Observer.
func (l *logTargets) Observe(doc config.Document) (facts config.Actual) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, wanted := range doc.Log.Targets {
		f := config.Fact{Key: fmt.Sprintf("log.targets[%d]", i), Wanted: wanted.URL + " connected", Actual: "not connected"}
		if at := slices.IndexFunc(l.now, func(t *logTarget) bool { return t.wanted == wanted }); at >= 0 {
			s := l.now[at].sender.Status()
			f.Note = fmt.Sprintf("%d messages sent, %d dropped", s.Sent, s.Dropped)
			if s.Connected {
				f.Actual = f.Wanted
			} else if s.Err != nil {
				f.Note += "; " + s.Err.Error()
			}
		}
		facts = append(facts, f)
	}
	return facts
}

// hear notes which servers get the daemon's log.
func (l *logTargets) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*syslog.Sender
	for _, t := range l.now {
		if t.wanted.Log {
			list = append(list, t.sender)
		}
	}
	l.loggers.Store(&list)
}

// line sends a line of the daemon's log. It takes no lock: the targets log themselves.
func (l *logTargets) line(line adminapi.LogLine) {
	list := l.loggers.Load()
	if list == nil || len(*list) == 0 {
		return
	}
	severity := map[string]syslog.Severity{"ERROR": syslog.Error, "WARN": syslog.Warning, "INFO": syslog.Info}[line.Level]
	m := l.d.message(syslog.Daemon, cmp.Or(severity, syslog.Debug), line.Time, "log", line.Text)
	for _, s := range *list {
		s.Offer(m)
	}
}
