package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const somePassword = "correct horse battery"

func TestUserCommands(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("user list"), "There are no users.")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(somePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(0, words("user add ada --role operate --keep --password-file "+file))
	if status, _, said := c.run(somePassword+"\nsomething else\n", "user", "add", "bob"); status != 1 || !strings.Contains(said, "not the same") {
		t.Errorf("two different passwords: %d %s", status, said)
	}
	if status, _, said := c.run(somePassword+"\n"+somePassword+"\n", "user", "add", "bob"); status != 0 {
		t.Errorf("typed twice: %d %s", status, said)
	}
	c.want(0, words("user list"), "ada   operate", "bob   view", "has to change the password")
	c.want(1, words("user role ada view"), "Nobody would be left who operates the box.")
	c.want(0, words("user role bob operate"))
	c.want(0, words("user role ada view"))
	c.want(1, words("user passwd"), "the input has ended")
	c.want(0, words("user passwd ada --password-file "+file))
	c.want(0, words("user unlock ada"))

	// A session in the environment is who the commands are, even for the daemon's own user.
	status, out, said := c.run(somePassword+"\n", "login", "ada")
	token, ok := strings.CutPrefix(strings.TrimSpace(out), "export "+sessionVariable+"=")
	if status != 0 || !ok || !strings.Contains(said, "has to be changed first") {
		t.Fatalf("%d %s %s", status, out, said)
	}
	t.Setenv(sessionVariable, token)
	c.want(1, words("status"), "has to be changed first")
	status, out, said = c.run(somePassword+"\nanother password\nanother password\n", "user", "passwd")
	token, ok = strings.CutPrefix(strings.TrimSpace(out), "export "+sessionVariable+"=")
	if status != 0 || !ok {
		t.Fatalf("%d %s %s", status, out, said)
	}
	t.Setenv(sessionVariable, token)
	c.want(0, words("status"))
	c.want(1, words("drain --reason x"), "Your role is view, which changes nothing.")
	c.want(0, words("logout"), "unset "+sessionVariable)
	c.want(1, words("status"), "Your session is over.")
	t.Setenv(sessionVariable, "")
	c.want(0, words("user remove ada"))
	c.want(1, words("user remove ada"), "There is no such user.")
}
