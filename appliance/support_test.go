package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meetzone/appliance/adminapi"
)

// TestNoSecretsLeave seeds secrets, and looks for them wherever somebody else could read them: in the support bundle, the log, the export of the
// configuration, the audit log, the command lines of this process, and files that others may read.
func TestNoSecretsLeave(t *testing.T) {
	r := newRescued(t)
	r.flags.metrics = freePort(t)
	secrets := map[string]string{"password": "seeded-password-1", "passcode": "730914825", "passphrase": "seeded-passphrase-2"}
	folder := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(secrets[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	look := map[string][]byte{}
	r.daemon(func() {
		r.command("user", "add", "ada", "--role", "operate", "--keep", "--password-file", file("password"))
		r.command("backup", "passphrase", "--passphrase-file", file("passphrase"))
		r.command("backup", "create")
		c := adminapi.New(r.socket)
		defer c.Close()
		session, err := c.Login(t.Context(), adminapi.Login{User: "ada", Password: secrets["password"]})
		if err != nil {
			t.Fatal(err)
		}
		secrets["session"] = session.Token
		m, err := c.CreateMeeting(t.Context(), adminapi.MeetingSpec{Title: "Board", Room: "4711", Passcode: secrets["passcode"]})
		if err != nil {
			t.Fatal(err)
		}
		secrets["host key"] = m.HostKey
		_, _ = c.Login(t.Context(), adminapi.Login{User: secrets["password"], Password: secrets["password"]}) // in the wrong field
		for _, name := range []string{"zone.key", "box.key"} {
			text, err := os.ReadFile(filepath.Join(r.flags.state, name))
			if err != nil {
				t.Fatal(err)
			}
			secrets[name] = strings.Split(string(text), "\n")[1]
		}
		r.command("config", "set", "box.listen.metrics", r.flags.metrics, "--commit")
		path := filepath.Join(folder, "bundle.tar.gz")
		r.command("support", "bundle", path)
		for name, content := range unpackBundle(t, path) {
			look["bundle: "+name] = content
		}
		log, err := c.Log(t.Context(), adminapi.LogQuery{})
		if err != nil {
			t.Fatal(err)
		}
		look["log"], _ = json.Marshal(log)
		look["config"] = []byte(r.command("config", "get"))
		look["audit"] = []byte(r.command("audit"))
		look["users"] = []byte(r.command("user", "list", "--json"))
	})
	look["command line"], _ = os.ReadFile("/proc/self/cmdline")
	for _, name := range []string{"bundle: status.json", "bundle: config.yaml", "bundle: audit.json", "bundle: log.txt", "bundle: metrics.txt", "bundle: meetings.json", "bundle: kernel/proc/net/snmp", "bundle: kernel/cards.txt"} {
		if len(look[name]) == 0 {
			t.Errorf("no %s", name)
		}
	}
	for what, secret := range secrets {
		if len(secret) < 8 {
			t.Errorf("%s is no secret to look for: %q", what, secret)
		}
		for where, content := range look {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("the %s is in %s", what, where)
			}
		}
	}
	err := filepath.WalkDir(r.flags.state, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && path == r.flags.state {
			return nil
		}
		info, infoErr := d.Info()
		if err := errors.Join(err, infoErr); err != nil {
			return err
		}
		if info.Mode().Type() != fs.ModeSocket && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func unpackBundle(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(z); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[strings.TrimPrefix(header.Name, "meetzone-support/")], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}
