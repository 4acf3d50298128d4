package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/appliance/update"
	"meetzone/dataplane/nstest"
)

// uploadBox is a daemon's updater alone, in a state folder.
func uploadBox(t *testing.T) *updater {
	t.Helper()
	d := new(daemon)
	d.log = slog.New(slog.DiscardHandler)
	d.flags.state, d.flags.rootKeys = t.TempDir(), filepath.Join(t.TempDir(), "root.pub")
	u := &updater{d: d}
	if err := os.Mkdir(u.path(""), 0o700); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestUnfinishedUploadsGo: what an interrupted upload has left does not fill the disk for ever.
func TestUnfinishedUploadsGo(t *testing.T) {
	u := uploadBox(t)
	for _, name := range []string{"upload-1", "upload-23", uploadedName, fetchedName} {
		if err := writeFile(u.path(name), []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	u.clear()
	left, err := filepath.Glob(u.path("*"))
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != uploadedName || filepath.Base(left[1]) != fetchedName {
		t.Errorf("left are %q: %v", left, err)
	}
}

// TestNetnsUploadNeedsRoom: a bundle that does not fit is refused by its head, also when nobody said how much would come.
func TestNetnsUploadNeedsRoom(t *testing.T) {
	nstest.RequireRoot(t)
	u := uploadBox(t)
	if err := unix.Mount("none", u.path(""), "tmpfs", 0, "size=66m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(u.path(""), 0) })
	rootPublic, root, errRoot := ed25519.GenerateKey(nil)
	public, key, errKey := ed25519.GenerateKey(nil)
	now := time.Now()
	c, errCert := update.Certify(root, update.ReleaseKey{Key: public, Serial: 1, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)})
	var bundle bytes.Buffer
	_, errBundle := update.Create(&bundle, update.Contents{Certificate: c, Key: key,
		Manifest: update.Manifest{Format: update.ManifestFormat, Version: "1.0.0", Architecture: "x86-64", Hardware: []string{"generic"}, Built: now.UTC(), State: 1, MinimumState: 1, RootHash: strings.Repeat("00", 32)},
		UKI:      strings.NewReader("roothash=" + strings.Repeat("00", 32)), Root: bytes.NewReader(make([]byte, 4<<20)), Verity: bytes.NewReader(make([]byte, 4096))})
	for _, err := range []error{errRoot, errKey, errCert, errBundle, writeFile(u.d.flags.rootKeys, update.EncodeKey(update.KindRootPublic, rootPublic))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.PutBundle(context.Background(), &bundle, -1); err == nil || !strings.Contains(err.Error(), "The bundle has 4 MB") {
		t.Errorf("%v", err)
	}
	if bundle.Len() < 3<<20 {
		t.Errorf("it was taken nearly whole: %d bytes are left", bundle.Len())
	}
	if left, _ := filepath.Glob(u.path("*")); len(left) != 0 {
		t.Errorf("left are %q", left)
	}
}
