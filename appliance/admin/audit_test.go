package admin

import (
	"strings"
	"testing"

	"meetzone/appliance/adminapi"
)

// TestAuditNamesThePerson does what people do, and looks for it in the audit log: who, what, how it went, and no secret.
func TestAuditNamesThePerson(t *testing.T) {
	c, _, socket := serve(t)
	ctx := t.Context()
	if _, err := c.First(ctx, adminapi.Login{User: "ada", Password: password}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddUser(ctx, adminapi.NewUser{Name: "bob", Role: adminapi.RoleView, Password: password, Keep: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(ctx, adminapi.Change{Path: "zone.name", Value: "secret plans"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Commit(ctx, adminapi.Commit{Comment: "for the audit"}); err != nil {
		t.Fatal(err)
	}
	bob := adminapi.New(socket)
	defer bob.Close()
	_, _ = bob.Login(ctx, adminapi.Login{User: "my-password-by-mistake", Password: "wrong password"})
	if _, err := bob.Login(ctx, adminapi.Login{User: "bob", Password: password}); err != nil {
		t.Fatal(err)
	}
	_ = bob.Drain(ctx, adminapi.Drain{On: true, Reason: "not allowed"})
	_ = bob.EndMeeting(ctx, "4711")
	if _, err := c.Rollback(ctx, adminapi.Rollback{}); err != nil { // takes the configuration back, and nothing of this
		t.Fatal(err)
	}
	log, err := bob.Audit(ctx, adminapi.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range log.Entries {
		kind := ""
		if e.Refused {
			kind = " refused"
		}
		lines = append(lines, e.Who+": "+e.Verb+": "+e.Result+kind+" ("+e.Detail+")")
	}
	peer := log.Entries[0].From
	want := []string{
		"ada: login first: done ()", "ada: users: done (bob, view)", "ada: change config candidate: done (zone.name)", "ada: config commit: done (revision 2: for the audit)",
		peer + ": login: wrong refused ()", "bob: login: done ()", "bob: set drain: forbidden refused ()", "bob: delete meetings 4711: forbidden refused ()",
		"ada: config rollback: done (revision 3: ",
	}
	if len(lines) != len(want) || !strings.Contains(peer, "uid") {
		t.Fatalf("%d entries, want %d: %s (peer %q)", len(lines), len(want), strings.Join(lines, "\n"), peer)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("entry %d is %q, want %q", i, line, want[i])
		}
	}
	if all := strings.Join(lines, "\n"); strings.Contains(all, password) || strings.Contains(all, "mistake") || strings.Contains(all, "secret") {
		t.Errorf("the log has what nobody should read: %s", all)
	}
	if next, err := bob.Audit(ctx, adminapi.AuditQuery{After: log.Next}); err != nil || len(next.Entries) != 0 || next.Next != log.Next {
		t.Errorf("behind the end: %+v, %v", next, err)
	}
	_, err = bob.Audit(ctx, adminapi.AuditQuery{Most: adminapi.MaxAudit + 1})
	if got := refusal(t, err); got != adminapi.CodeBad {
		t.Errorf("too many: %q", got)
	}
}

// TestAuditOfARefusedUpload looks for an upload in the audit log: one that was refused is not told as done.
func TestAuditOfARefusedUpload(t *testing.T) {
	c, _, _ := serve(t)
	ctx := t.Context()
	_, err := c.PutBundle(ctx, strings.NewReader(""), 0)
	if got := refusal(t, err); got != adminapi.CodeBad {
		t.Errorf("an empty bundle: %q", got)
	}
	if _, err := c.PutBundle(ctx, strings.NewReader("bundle"), 6); err != nil {
		t.Fatal(err)
	}
	log, err := c.Audit(ctx, adminapi.AuditQuery{})
	if err != nil || len(log.Entries) != 2 {
		t.Fatalf("%d entries, %v", len(log.Entries), err)
	}
	for i, want := range []string{string(adminapi.CodeBad), "done"} {
		if e := log.Entries[i]; e.Verb != "set update bundle" || e.Result != want {
			t.Errorf("entry %d is %q: %q, want %q", i, e.Verb, e.Result, want)
		}
	}
}
