package admin

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/backup"
	"meetzone/appliance/people"
	"meetzone/storage"
	"meetzone/storage/storagetest"
)

// zone is a small zone controller: it keeps what it is given.
type zone struct {
	meetings []adminapi.Meeting
	drained  adminapi.Drain
	powered  adminapi.Power
}

func (z *zone) Networks() []adminapi.Network { return nil }

func (z *zone) Create(_ context.Context, spec adminapi.MeetingSpec) (adminapi.Meeting, error) {
	if spec.Room != "" && spec.Room == "7" {
		return adminapi.Meeting{}, &adminapi.Error{Code: adminapi.CodeConflict, Text: "Room 7 exists already.", Advice: "Choose another number."}
	}
	m := adminapi.Meeting{Number: "123456789", Title: spec.Title, HostKey: "key", Passcode: spec.Passcode != "", Room: spec.Room != "", Created: time.Now()}
	z.meetings = append(z.meetings, m)
	return m, nil
}

func (z *zone) List() []adminapi.Meeting { return z.meetings }

func (z *zone) Show(number string) (adminapi.Meeting, error) {
	for _, m := range z.meetings {
		if m.Number == number {
			m.Participants = []adminapi.Participant{{ID: "1", Name: "Ada", Role: "host"}}
			return m, nil
		}
	}
	return adminapi.Meeting{}, ErrNoMeeting
}

func (z *zone) History(number string, points int) (adminapi.MeetingHistory, error) {
	if number != "1234" {
		return adminapi.MeetingHistory{}, ErrNoMeeting
	}
	return adminapi.MeetingHistory{Number: number, Runs: make([]adminapi.MeetingRun, points)}, nil
}

func (z *zone) End(_ context.Context, number string) error {
	before := len(z.meetings)
	z.meetings = slices.DeleteFunc(z.meetings, func(m adminapi.Meeting) bool { return m.Number == number })
	if len(z.meetings) == before {
		return ErrNoMeeting
	}
	return nil
}

func (z *zone) Power(_ context.Context, p adminapi.Power) error { z.powered = p; return nil }

func (z *zone) Marks() (adminapi.Marks, error) { return adminapi.Marks{Profile: "rfc4594"}, nil }

func (z *zone) Verify(_ context.Context, v adminapi.Verify) (adminapi.Verified, error) {
	return adminapi.Verified{Interface: "eth0", Enforced: true, Classes: []adminapi.VerifiedMark{{Class: "audio", Wanted: adminapi.CodePoint{Decimal: 46, Name: "EF", TOS: "0xb8"}}}}, nil
}

func (z *zone) Capture(_ context.Context, spec adminapi.Capture, to io.Writer) (adminapi.Captured, error) {
	if spec.Interface == "absent0" {
		return adminapi.Captured{}, &adminapi.Error{Code: adminapi.CodeBad, Text: "There is no interface absent0."}
	}
	_, err := io.WriteString(to, "the file")
	return adminapi.Captured{Packets: 3, Full: true}, err
}

func (*zone) Kernel() (adminapi.KernelNetwork, error) {
	return adminapi.KernelNetwork{Rules: []string{"0: from all lookup local"}}, nil
}
func (*zone) Diagnose(_ context.Context, d adminapi.Diagnose) (adminapi.Diagnosis, error) {
	return adminapi.Diagnosis{OK: true, Text: d.Target}, nil
}
func (*zone) Log(q adminapi.LogQuery) (adminapi.Log, error) { return adminapi.Log{Next: q.After}, nil }

func (*zone) BoxNetwork() adminapi.BoxNetwork { return adminapi.BoxNetwork{OwnHost: true} }

func (*zone) Backups() (adminapi.Backups, error) { return adminapi.Backups{}, nil }

func (*zone) Make(context.Context, adminapi.MakeBackup) (adminapi.BackupFile, error) {
	return adminapi.BackupFile{Name: "one"}, nil
}

func (*zone) File(string) (adminapi.BackupFile, error) { return adminapi.BackupFile{}, nil }

func (*zone) Remove(string) error { return nil }

func (*zone) SetPassphrase(string) error { return backup.ErrWeak }

func (*zone) Restore(_ context.Context, asked adminapi.Restore, _ string) (adminapi.Restored, error) {
	if len(asked.Data) != adminapi.MaxBackup {
		return adminapi.Restored{}, backup.ErrFormat
	}
	return adminapi.Restored{}, backup.ErrPassphrase
}

func (*zone) Firewall() adminapi.Firewall { return adminapi.Firewall{OwnHost: true} }

func (z *zone) MarkPaths() adminapi.MarkPaths {
	return adminapi.MarkPaths{}
}

func (z *zone) Certificates() []adminapi.Certificate { return nil }

func (z *zone) RequestCertificate(adminapi.SigningRequest) (string, error) { return "request", nil }

func (z *zone) InstallCertificate(adminapi.InstallCertificate) error { return nil }

func (z *zone) Zones(client netip.Addr) []adminapi.Zone {
	return []adminapi.Zone{{ID: "own", Reason: "for " + client.String()}}
}

func (z *zone) Drain(_ context.Context, d adminapi.Drain) error { z.drained = d; return nil }

func (z *zone) Draining(context.Context) adminapi.Draining {
	return adminapi.Draining{On: z.drained.On, Reason: z.drained.Reason, Left: z.meetings}
}

func (z *zone) Describe() adminapi.Status {
	return adminapi.Status{Version: "test", Zone: "Meetzone", Fingerprint: "AA:BB", Meetings: len(z.meetings)}
}

// serve runs a whole server on a socket of its own.
func serve(t *testing.T) (*adminapi.Client, *zone, string) {
	t.Helper()
	store := storagetest.Open(t, storage.Config{})
	r := newRevisions(t, store, newParts(t.TempDir(), nil))
	start(t, r)
	trail, err := audit.Open(audit.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	users, err := people.New(people.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	z := new(zone)
	s, err := NewServer(ServerConfig{
		Revisions:    r,
		Meetings:     z,
		Places:       z,
		Certificates: z,
		Networks:     z,
		Drainer:      z,
		Machine:      z,
		Marks:        z,
		BoxNetwork:   z,
		Host:         z,
		Diagnoses:    z,
		People:       users,
		Backups:      z,
		Audit:        trail,
		Updates:      z,
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "run", "admin.sock")
	l, err := Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	client := adminapi.New(socket)
	t.Cleanup(func() {
		client.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return client, z, socket
}

// refusal returns the code of an error that a person would be told.
func refusal(t *testing.T, err error) adminapi.Code {
	t.Helper()
	told := new(adminapi.Error)
	if !errors.As(err, &told) {
		t.Errorf("%v is nothing to tell a person", err)
		return ""
	}
	if !strings.HasSuffix(told.Text, ".") {
		t.Errorf("%q is no sentence", told.Text)
	}
	return told.Code
}

func TestConfigOverTheSocket(t *testing.T) {
	c, _, _ := serve(t)
	ctx := t.Context()
	if err := c.Set(ctx, adminapi.Change{Path: "dscp.profile", Value: "zoom"}); err != nil {
		t.Fatal(err)
	}
	running, err := c.Config(ctx, "dscp.profile", "")
	if err != nil || running.YAML != "rfc4594" || !running.Edited {
		t.Errorf("running %+v, %v", running, err)
	}
	candidate, err := c.Config(ctx, "dscp.profile", adminapi.SourceCandidate)
	if err != nil || candidate.YAML != "zoom" {
		t.Errorf("candidate %+v, %v", candidate, err)
	}
	if diff, err := c.Diff(ctx); err != nil || !slices.Equal(diff.Lines, []string{"dscp.profile: rfc4594 → zoom"}) {
		t.Errorf("diff %q, %v", diff.Lines, err)
	}
	done, err := c.Commit(ctx, adminapi.Commit{Comment: "why not"})
	if err != nil || done.Number != 2 || !done.Running || len(done.Changes) != 1 || !strings.Contains(done.Who, "uid") {
		t.Errorf("commit %+v, %v", done, err)
	}
	if back, err := c.Rollback(ctx, adminapi.Rollback{}); err != nil || back.Number != 3 || !slices.Equal(back.Changes, []string{"dscp.profile: zoom → rfc4594"}) {
		t.Errorf("rollback %+v, %v", back, err)
	}
	history, err := c.History(ctx)
	if err != nil || len(history.Revisions) != 3 || !history.Revisions[0].Running || history.Revisions[1].Running || history.Revisions[1].Comment != "why not" {
		t.Errorf("history %+v, %v", history, err)
	}
}

func TestReplaceKeepsPeopleApart(t *testing.T) {
	c, _, _ := serve(t)
	ctx := t.Context()
	mine, err := c.Config(ctx, "", adminapi.SourceCandidate)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set(ctx, adminapi.Change{Path: "zone.name", Value: "theirs"}); err != nil {
		t.Fatal(err)
	}
	err = c.Replace(ctx, adminapi.Document{YAML: strings.Replace(mine.YAML, "name: first", "name: mine", 1), Tag: mine.Tag})
	if got := refusal(t, err); got != adminapi.CodeConflict {
		t.Errorf("code %q", got)
	}
	if mine, err = c.Config(ctx, "", adminapi.SourceCandidate); err != nil {
		t.Fatal(err)
	}
	if err := c.Replace(ctx, adminapi.Document{YAML: strings.Replace(mine.YAML, "name: theirs", "name: mine", 1), Tag: mine.Tag}); err != nil {
		t.Fatal(err)
	}
	if diff, err := c.Diff(ctx); err != nil || !slices.Equal(diff.Lines, []string{"zone.name: first → mine"}) {
		t.Errorf("diff %q, %v", diff.Lines, err)
	}
	if err := c.Discard(ctx); err != nil {
		t.Fatal(err)
	}
	if diff, err := c.Diff(ctx); err != nil || len(diff.Lines) != 0 {
		t.Errorf("diff after discard %q, %v", diff.Lines, err)
	}
}

func TestRefusalsAreSentences(t *testing.T) {
	c, _, socket := serve(t)
	ctx := t.Context()
	err := c.Replace(ctx, adminapi.Document{YAML: "dscp: {profil: zoom}\nbox: {workers: many}\n"})
	told := new(adminapi.Error)
	if !errors.As(err, &told) || told.Code != adminapi.CodeInvalid || len(told.Problems) != 2 || !strings.Contains(told.Problems[0].Text, "did you mean dscp.profile?") {
		t.Errorf("got %+v", told)
	}
	_, errShow := c.Meeting(ctx, "1")
	_, errPath := c.Config(ctx, "zone.nam", "")
	_, errSource := c.Config(ctx, "", "elsewhere")
	_, errCommit := c.Commit(ctx, adminapi.Commit{})
	_, errRollback := c.Rollback(ctx, adminapi.Rollback{Revision: 77})
	_, errRoom := c.CreateMeeting(ctx, adminapi.MeetingSpec{Room: "seven"})
	_, errTaken := c.CreateMeeting(ctx, adminapi.MeetingSpec{Room: "7"})
	_, errTitle := c.CreateMeeting(ctx, adminapi.MeetingSpec{Title: strings.Repeat("x", 201)})
	for name, r := range map[string]struct {
		err  error
		want adminapi.Code
	}{
		"no meeting": {errShow, adminapi.CodeUnknown}, "end": {c.EndMeeting(ctx, "1"), adminapi.CodeUnknown}, "no key": {errPath, adminapi.CodeUnknown},
		"no source": {errSource, adminapi.CodeBad}, "nothing": {errCommit, adminapi.CodeNothing}, "no revision": {errRollback, adminapi.CodeUnknown},
		"room": {errRoom, adminapi.CodeBad}, "taken": {errTaken, adminapi.CodeConflict}, "title": {errTitle, adminapi.CodeBad},
		"set": {c.Set(ctx, adminapi.Change{Path: "box.workers", Value: "x"}), adminapi.CodeInvalid},
	} {
		if got := refusal(t, r.err); got != r.want {
			t.Errorf("%s: code %q, want %q (%v)", name, got, r.want, r.err)
		}
	}
	for name, request := range map[string]string{
		"unknown path":   "GET /admin/v2/status HTTP/1.0\r\n\r\n",
		"unknown member": "POST /admin/v1/config/commit HTTP/1.0\r\nContent-Length: 11\r\n\r\n{\"later\":1}",
		"large body":     "PUT /admin/v1/drain HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n{\"reason\":\"" + strings.Repeat("x", 1999980),
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write([]byte(request)) }()
		answer := make([]byte, 4096)
		n, _ := conn.Read(answer)
		if got := string(answer[:n]); !strings.Contains(got, " 40") || !strings.Contains(got, "\"text\"") {
			t.Errorf("%s: %q", name, got)
		}
		conn.Close()
	}
}

func TestMeetingsStatusDrain(t *testing.T) {
	c, z, _ := serve(t)
	ctx := t.Context()
	if list, err := c.Meetings(ctx); err != nil || list.Meetings == nil || len(list.Meetings) != 0 {
		t.Errorf("list %v, %v", list, err)
	}
	m, err := c.CreateMeeting(ctx, adminapi.MeetingSpec{Title: "Standup", Room: adminapi.RoomAuto})
	if err != nil || m.Title != "Standup" || !m.Room {
		t.Errorf("create %+v, %v", m, err)
	}
	if shown, err := c.Meeting(ctx, "123-456 789"); err != nil || len(shown.Participants) != 1 {
		t.Errorf("show %+v, %v", shown, err)
	}
	if h, err := c.MeetingHistory(ctx, "1234", 7); err != nil || len(h.Runs) != 7 {
		t.Errorf("history %+v, %v", h, err)
	}
	if err := c.Drain(ctx, adminapi.Drain{On: true, Reason: "update"}); err != nil || z.drained.Reason != "update" {
		t.Errorf("drain %+v, %v", z.drained, err)
	}
	if d, err := c.Draining(ctx); err != nil || !d.On || d.Reason != "update" || len(d.Left) != 1 {
		t.Errorf("draining %+v, %v", d, err)
	}
	for _, deadline := range []int64{-1, adminapi.MaxDeadlineS + 1} {
		if err := c.Drain(ctx, adminapi.Drain{On: true, DeadlineS: deadline}); err == nil {
			t.Errorf("a deadline of %d s is taken", deadline)
		}
	}
	st, err := c.Status(ctx)
	if err != nil || st.Version != "test" || st.Revision != 1 || st.Meetings != 1 || len(st.Parts) != 3 || !st.Parts[2].Facts[0].Agrees {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := c.EndMeeting(ctx, "123456789"); err != nil || len(z.meetings) != 0 {
		t.Errorf("end: %v, %v", z.meetings, err)
	}
}

func TestSocket(t *testing.T) {
	_, _, socket := serve(t)
	info, err := os.Stat(socket)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(t.Context(), socket); !errors.Is(err, ErrInUse) {
		t.Errorf("a second daemon: %v", err)
	}
	stale := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	again, err := Listen(t.Context(), stale)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	again.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), file); err == nil {
		t.Error("a file was taken for a socket")
	}
	_, err = adminapi.New(filepath.Join(t.TempDir(), "nobody.sock")).Status(t.Context())
	if got := refusal(t, err); got != adminapi.CodeUnreachable {
		t.Errorf("nobody there: code %q, %v", got, err)
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	for _, code := range []adminapi.Code{adminapi.CodeBad, adminapi.CodeInvalid, adminapi.CodeUnknown, adminapi.CodeNothing, adminapi.CodeConflict,
		adminapi.CodeApply, adminapi.CodeStore, adminapi.CodeLimit, adminapi.CodeLogin, adminapi.CodeWrong, adminapi.CodeForbidden, adminapi.CodePassword} {
		if statusOf(code) == http.StatusInternalServerError {
			t.Errorf("%s is told as a fault of the server", code)
		}
	}
	for _, err := range []error{storage.ErrBusy, storage.ErrFull, storage.ErrFailed} {
		if told := tellSentinel(err); told == nil || told.Code != adminapi.CodeStore {
			t.Errorf("%v is told as %v", err, told)
		}
	}
}

func (*zone) Update(context.Context) adminapi.Update { return adminapi.Update{Version: "1.0.0"} }

func (*zone) CheckUpdate(context.Context, adminapi.UpdateFrom) (adminapi.UpdateOffer, error) {
	return adminapi.UpdateOffer{}, nil
}

func (*zone) PutBundle(_ context.Context, bundle io.Reader, _ int64) (adminapi.UpdateOffer, error) {
	n, err := io.Copy(io.Discard, bundle)
	if n == 0 {
		err = errors.Join(err, &adminapi.Error{Code: adminapi.CodeBad, Text: "The bundle is empty.", Advice: "Upload one that is not."})
	}
	return adminapi.UpdateOffer{Size: n}, err
}

func (*zone) InstallUpdate(context.Context, adminapi.InstallUpdate) error { return nil }

func (*zone) RollbackUpdate(context.Context, adminapi.RollbackUpdate) error { return nil }

func (*zone) CancelUpdate() {}

func TestBackupRefusals(t *testing.T) {
	c, _, _ := serve(t)
	ctx := t.Context()
	full := make([]byte, adminapi.MaxBackup)
	for name, r := range map[string]struct {
		err  error
		want adminapi.Code
	}{
		"weak": {c.SetPassphrase(ctx, adminapi.Passphrase{Passphrase: "x"}), adminapi.CodeBad}, "no time": {errOf(c.Restore(ctx, adminapi.Restore{Data: full})), adminapi.CodeBad},
		"nothing": {errOf(c.Restore(ctx, adminapi.Restore{ConfirmS: 600})), adminapi.CodeBad}, "largest": {errOf(c.Restore(ctx, adminapi.Restore{Data: full, ConfirmS: 600})), adminapi.CodeBad},
		"too large": {errOf(c.Restore(ctx, adminapi.Restore{Data: make([]byte, 2*adminapi.MaxBackup), ConfirmS: 600})), adminapi.CodeBad},
	} {
		if got := refusal(t, r.err); got != r.want {
			t.Errorf("%s: code %q, want %q (%v)", name, got, r.want, r.err)
		}
		if name == "largest" && !strings.Contains(r.err.Error(), "passphrase") {
			t.Errorf("the largest backup does not fit: %v", r.err)
		}
	}
}
