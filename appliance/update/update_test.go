package update

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/update/internal/gpt"
)

// rig is a box as far as updates see it: a disk image with a table that sfdisk made, an ESP as a folder, and keys.
type rig struct {
	t              *testing.T
	folder         string
	root           ed25519.PrivateKey
	release        ed25519.PrivateKey
	certificate    Certificate
	running        image
	otherKeySerial uint32
}

// image is a version as a build leaves it.
type image struct {
	version           string
	uki, root, verity []byte
	hash              []byte
}

const (
	slotMiB   = 8
	verityMiB = 1
)

var (
	testBegin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	testBuilt = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	testEnd   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// newRig makes a box on which version 1.0.0 runs from slot A, blessed.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, folder: t.TempDir()}
	_, r.root, _ = ed25519.GenerateKey(nil)
	r.release, r.certificate = r.newKey(r.root, 1, testBegin, testEnd)
	for _, d := range []string{r.espDir(), r.path("ledger")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.running = newImage(t, "1.0.0", 6<<20)
	r.partition()
	r.fill(0, r.running)
	if err := os.WriteFile(filepath.Join(r.espDir(), "meetzone_1.0.0.efi"), r.running.uki, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.machine("1.0.0").Settle(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.folder, name) }
func (r *rig) espDir() string          { return r.path("esp/EFI/Linux") }

// newKey makes a release key.
func (r *rig) newKey(root ed25519.PrivateKey, serial uint32, begin, end time.Time) (ed25519.PrivateKey, Certificate) {
	r.t.Helper()
	public, private, _ := ed25519.GenerateKey(nil)
	c, err := Certify(root, ReleaseKey{Key: public, Serial: serial, NotBefore: begin, NotAfter: end})
	if err != nil {
		r.t.Fatal(err)
	}
	return private, c
}

// partition makes the disk image with sfdisk: the layout of the product, in small.
func (r *rig) partition() {
	r.t.Helper()
	if err := os.WriteFile(r.path("disk"), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Truncate(r.path("disk"), (4+2*(slotMiB+verityMiB)+4)<<20); err != nil {
		r.t.Fatal(err)
	}
	slot := fmt.Sprintf("size=%dM, type=%v, name=\"_empty\"\nsize=%dM, type=%v, name=\"_empty\"\n", verityMiB, typeVerity, slotMiB, typeRoot)
	script := "label: gpt\nsize=2M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"esp\"\n" + slot + slot + "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"meetzone-var\"\n"
	cmd := exec.Command("sfdisk", "--quiet", r.path("disk"))
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("sfdisk: %v\n%s", err, out)
	}
}

// fill puts an image into a slot, as the factory does.
func (r *rig) fill(slot int, i image) {
	r.t.Helper()
	d := r.disk()
	defer d.Close()
	t, err := d.table()
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := slots(t)
	if err != nil {
		r.t.Fatal(err)
	}
	root, tree := identities(i.hash)
	_, errR := d.file.WriteAt(i.root, list[slot].root.Offset)
	_, errV := d.file.WriteAt(i.verity, list[slot].verity.Offset)
	if err := errors.Join(errR, errV, d.relabel(list[slot], ukiPrefix+i.version, root, tree)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) disk() *disk {
	r.t.Helper()
	d, err := openDisk(r.path("disk"), os.O_RDWR)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// machine is the box with a version running.
func (r *rig) machine(version string) *Machine {
	r.t.Helper()
	m, err := New(r.config(version))
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) config(version string) Config {
	hash := r.running.hash
	if version != r.running.version {
		hash = r.hashOf(version)
	}
	return Config{Disk: r.path("disk"), ESP: r.path("esp"), Ledger: r.path("ledger"), Trust: r.trust(),
		Running: Running{Version: version, RootHash: hash, Architecture: "x86-64", Hardware: "generic"}}
}

func (r *rig) trust() Trust {
	return Trust{Roots: []ed25519.PublicKey{r.root.Public().(ed25519.PublicKey)}, Now: testBuilt.AddDate(0, 1, 0)}
}

// hashOf reads a root hash from the identities of a version's partitions.
func (r *rig) hashOf(version string) []byte {
	r.t.Helper()
	d := r.disk()
	defer d.Close()
	t, err := d.table()
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := slots(t)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range list {
		if s.Version == version {
			return append(bytes.Clone(s.root.ID[:]), s.verity.ID[:]...)
		}
	}
	r.t.Fatalf("no slot holds version %s", version)
	return nil
}

// newImage makes a root of random bytes, its tree with veritysetup, and a UKI that names its root hash.
func newImage(t *testing.T, version string, size int) image {
	t.Helper()
	i := image{version: version, root: make([]byte, size)}
	src := rand.NewChaCha8(sha256.Sum256([]byte(version)))
	_, _ = src.Read(i.root)
	folder := t.TempDir()
	data, tree := filepath.Join(folder, "root"), filepath.Join(folder, "verity")
	if err := errors.Join(os.WriteFile(data, i.root, 0o600), os.WriteFile(tree, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("veritysetup", "format", data, tree).CombinedOutput()
	if err != nil {
		t.Fatalf("veritysetup: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Root hash:\s+([0-9a-f]{64})`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("veritysetup names no root hash:\n%s", out)
	}
	if i.hash, err = hexBytes(string(found[1])); err != nil {
		t.Fatal(err)
	}
	if i.verity, err = os.ReadFile(tree); err != nil {
		t.Fatal(err)
	}
	i.uki = []byte("MZ of " + version + "\x00quiet roothash=" + string(found[1]) + " more\x00" + strings.Repeat("k", 300_001))
	return i
}

// manifest is what a build says of an image.
func (i image) manifest() Manifest {
	return Manifest{Format: ManifestFormat, Version: i.version, Architecture: "x86-64", Hardware: []string{"generic", "other"}, Built: testBuilt,
		State: StateVersion, MinimumState: MinimumStateVersion, RootHash: fmt.Sprintf("%x", i.hash), Notes: "Better."}
}

// bundle makes a bundle; change may alter the manifest.
func (r *rig) bundle(i image, change func(*Manifest)) []byte {
	r.t.Helper()
	return r.bundleBy(i, r.release, r.certificate, change)
}

func (r *rig) bundleBy(i image, key ed25519.PrivateKey, c Certificate, change func(*Manifest)) []byte {
	r.t.Helper()
	m := i.manifest()
	if change != nil {
		change(&m)
	}
	var b bytes.Buffer
	if _, err := Create(&b, Contents{Manifest: m, Certificate: c, Key: key,
		UKI: bytes.NewReader(i.uki), Root: bytes.NewReader(i.root), Verity: bytes.NewReader(i.verity)}); err != nil {
		r.t.Fatal(err)
	}
	return b.Bytes()
}

// install installs a bundle while a version runs.
func (r *rig) install(running string, bundle []byte) error {
	_, err := r.machine(running).Install(context.Background(), bytes.NewReader(bundle), int64(len(bundle)), nil)
	return err
}

// boot does what systemd-boot does: it takes the newest version that has tries left, the newest of all where none has, and counts. It returns which.
func (r *rig) boot() string {
	r.t.Helper()
	list, err := esp(r.path("esp")).list()
	if err != nil || len(list) == 0 {
		r.t.Fatalf("nothing to boot: %v", err)
	}
	chosen := list[0]
	for _, u := range list {
		if !u.Bad() {
			chosen = u
			break
		}
	}
	if chosen.Counted {
		next := chosen
		next.Left, next.Done = max(0, chosen.Left-1), chosen.Done+1
		if err := esp(r.path("esp")).become(chosen, next); err != nil {
			r.t.Fatal(err)
		}
	}
	return chosen.Version
}

// bless does what systemd-bless-boot does.
func (r *rig) bless(version string) {
	r.t.Helper()
	u, _, err := esp(r.path("esp")).get(version)
	if err == nil {
		err = esp(r.path("esp")).become(u, UKI{Version: version})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// whole checks the box as a technician would: the table with sfdisk, and that the slot of every version that the boot loader knows is that version's, by veritysetup.
func (r *rig) whole(images ...image) {
	r.t.Helper()
	if out, err := exec.Command("sfdisk", "--verify", r.path("disk")).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("No errors")) {
		r.t.Fatalf("sfdisk --verify: %v\n%s", err, out)
	}
	d := r.disk()
	defer d.Close()
	t, err := d.table()
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := slots(t)
	if err != nil {
		r.t.Fatal(err)
	}
	ukis, err := esp(r.path("esp")).list()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, u := range ukis {
		for _, i := range images {
			if i.version == u.Version {
				r.bootable(d, list, u, i)
			}
		}
	}
}

// bootable says whether kernel and slot of a version are whole.
func (r *rig) bootable(d *disk, list []Slot, u UKI, i image) {
	r.t.Helper()
	content, err := os.ReadFile(esp(r.path("esp")).path(u.name()))
	if err != nil || !bytes.HasPrefix(content, i.uki) {
		r.t.Fatalf("the UKI of %s is not whole: %v", i.version, err)
	}
	for _, s := range list {
		if !s.holds(i.hash) {
			continue
		}
		root, tree := make([]byte, len(i.root)), make([]byte, len(i.verity))
		_, errR := d.file.ReadAt(root, s.root.Offset)
		_, errV := d.file.ReadAt(tree, s.verity.Offset)
		if errR != nil || errV != nil || !bytes.Equal(root, i.root) || !bytes.Equal(tree, i.verity) {
			r.t.Fatalf("slot %s is not version %s: %v %v", s.Letter, i.version, errR, errV)
		}
		return
	}
	r.t.Fatalf("version %s has a UKI and no slot", i.version)
}

func TestUpdateIsBlessed(t *testing.T) {
	r := newRig(t)
	next := newImage(t, "1.1.0", 7<<20)
	bundle := r.bundle(next, func(m *Manifest) { m.Floor = "1.0.1" })
	if err := r.install("1.0.0", bundle); err != nil {
		t.Fatal(err)
	}
	r.whole(r.running, next)
	if s, err := r.machine("1.0.0").Look(); err != nil || s.Armed != "1.1.0" || s.Unproved || s.Ledger.Floor != "" {
		t.Fatalf("after installing: %+v, %v", s, err)
	}
	if err := r.install("1.0.0", r.bundle(newImage(t, "1.2.0", 1<<20), nil)); !errors.Is(err, ErrTrial) {
		t.Errorf("a second update before the first start: %v", err)
	}
	if v := r.boot(); v != "1.1.0" {
		t.Fatalf("%s was booted", v)
	}
	m := r.machine("1.1.0")
	if err := m.Settle(); err != nil {
		t.Fatal(err)
	}
	if err := r.install("1.1.0", r.bundle(newImage(t, "1.2.0", 1<<20), nil)); !errors.Is(err, ErrTrial) {
		t.Errorf("a second update during the trial: %v", err)
	}
	if err := m.Bless(); err != nil {
		t.Fatal(err)
	}
	r.bless("1.1.0")
	s, err := m.Look()
	if err != nil || s.Unproved || s.Armed != "" || s.Ledger.Floor != "1.0.1" || s.Ledger.Trial != nil {
		t.Fatalf("after blessing: %+v, %v", s, err)
	}
	if _, err := m.Rollback(); !errors.Is(err, ErrFloor) {
		t.Errorf("going back below the floor: %v", err)
	}
	if err := os.RemoveAll(r.path("ledger")); err != nil { // a factory reset
		t.Fatal(err)
	}
	if err := os.Mkdir(r.path("ledger"), 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Look(); err != nil || s.Ledger.Floor != "1.0.1" || s.Ledger.Serial != 1 {
		t.Errorf("the floor after a reset of the state: %+v, %v", s.Ledger, err)
	}
}

func TestBadTrialFallsBack(t *testing.T) {
	for _, how := range []string{"the gate says no", "the gate is never reached"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t)
			next := newImage(t, "1.1.0", 1<<20)
			if err := r.install("1.0.0", r.bundle(next, nil)); err != nil {
				t.Fatal(err)
			}
			reason := "started 3 times and never came as far as its health check"
			if how == "the gate says no" {
				reason = "443 does not answer"
				if v := r.boot(); v != "1.1.0" {
					t.Fatalf("%s was booted", v)
				}
				if back, err := r.machine("1.1.0").Fail("443 does not answer"); err != nil || !back {
					t.Fatalf("%v, %v", back, err)
				}
			} else {
				for range tries {
					if v := r.boot(); v != "1.1.0" {
						t.Fatalf("%s was booted", v)
					}
				}
			}
			if v := r.boot(); v != "1.0.0" {
				t.Fatalf("%s was booted after the trial failed", v)
			}
			m := r.machine("1.0.0")
			if err := m.Settle(); err != nil {
				t.Fatal(err)
			}
			s, err := m.Look()
			last := s.Ledger.Events[len(s.Ledger.Events)-1]
			if err != nil || last.Kind != EventFellBack || last.Version != "1.1.0" || !strings.Contains(last.Text, reason) {
				t.Errorf("%+v, %v", last, err)
			}
			if _, err := m.Rollback(); !errors.Is(err, ErrNoOther) {
				t.Errorf("going forward to what failed: %v", err)
			}
			if err := r.install("1.0.0", r.bundle(newImage(t, "1.1.1", 1<<20), nil)); err != nil {
				t.Errorf("the next update: %v", err)
			}
			r.whole(r.running)
		})
	}
}

func TestABlessedVersionIsNotGivenUp(t *testing.T) {
	r := newRig(t)
	if back, err := r.machine("1.0.0").Fail("the disk is slow"); back || err != nil {
		t.Errorf("%v, %v", back, err)
	}
	if v := r.boot(); v != "1.0.0" {
		t.Errorf("%s was booted", v)
	}
}

func TestRollback(t *testing.T) {
	r := newRig(t)
	if _, err := r.machine("1.0.0").Rollback(); !errors.Is(err, ErrNoOther) {
		t.Errorf("going back to an empty slot: %v", err)
	}
	next := newImage(t, "1.1.0", 1<<20)
	if err := r.install("1.0.0", r.bundle(next, nil)); err != nil {
		t.Fatal(err)
	}
	if v, err := r.machine("1.0.0").Rollback(); err != nil || v != "1.0.0" {
		t.Errorf("taking back what waits: %s, %v", v, err)
	}
	if err := r.install("1.0.0", r.bundle(next, nil)); err != nil {
		t.Fatal(err)
	}
	blessed := func(version string) {
		t.Helper()
		if v := r.boot(); v != version {
			t.Fatalf("%s was booted instead of %s", v, version)
		}
		if err := errors.Join(r.machine(version).Settle(), r.machine(version).Bless()); err != nil {
			t.Fatal(err)
		}
		r.bless(version)
	}
	blessed("1.1.0")
	if v, err := r.machine("1.1.0").Rollback(); err != nil || v != "1.0.0" {
		t.Fatalf("%s, %v", v, err)
	}
	if v, err := r.machine("1.1.0").Rollback(); err != nil || v != "1.1.0" {
		t.Fatalf("thinking again: %s, %v", v, err)
	}
	blessed("1.1.0")
	if v, err := r.machine("1.1.0").Rollback(); err != nil || v != "1.0.0" {
		t.Fatalf("%s, %v", v, err)
	}
	blessed("1.0.0")
	blessed("1.0.0") // it stays, though the other one is newer
	if v, err := r.machine("1.0.0").Rollback(); err != nil || v != "1.1.0" {
		t.Fatalf("forward again: %s, %v", v, err)
	}
	blessed("1.1.0")
	r.whole(r.running, next)
}

func TestARollbackThatFailsComesBack(t *testing.T) {
	r := newRig(t)
	next := newImage(t, "1.1.0", 1<<20)
	if err := r.install("1.0.0", r.bundle(next, nil)); err != nil {
		t.Fatal(err)
	}
	r.boot()
	if err := errors.Join(r.machine("1.1.0").Settle(), r.machine("1.1.0").Bless()); err != nil {
		t.Fatal(err)
	}
	r.bless("1.1.0")
	if _, err := r.machine("1.1.0").Rollback(); err != nil {
		t.Fatal(err)
	}
	for range tries {
		if v := r.boot(); v != "1.0.0" {
			t.Fatalf("%s was booted", v)
		}
	}
	if v := r.boot(); v != "1.1.0" {
		t.Errorf("%s was booted", v)
	}
}

func TestRollbackNeedsStateThatIsUnderstood(t *testing.T) {
	r := newRig(t)
	next := newImage(t, "1.1.0", 1<<20)
	if err := r.install("1.0.0", r.bundle(next, func(m *Manifest) { m.State, m.MinimumState = 2, 2 })); err != nil {
		t.Fatal(err)
	}
	r.boot()
	cfg := r.config("1.1.0")
	cfg.Running.State, cfg.Running.MinimumState = 2, 2
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Settle(), m.Bless()); err != nil {
		t.Fatal(err)
	}
	r.bless("1.1.0")
	if _, err := m.Rollback(); !errors.Is(err, ErrState) {
		t.Errorf("%v", err)
	}
	old := newImage(t, "1.0.5", 1<<20)
	b := r.bundle(old, nil)
	if _, err := m.Install(t.Context(), bytes.NewReader(b), int64(len(b)), nil); !errors.Is(err, ErrState) {
		t.Errorf("an older version by a bundle: %v", err)
	}
}

func TestRefusedBundles(t *testing.T) {
	r := newRig(t)
	next := newImage(t, "1.1.0", 1<<20)
	good := r.bundle(next, nil)
	_, strange, _ := ed25519.GenerateKey(nil)
	strangeKey, strangeCertificate := r.newKey(strange, 1, testBegin, testEnd)
	expiredKey, expired := r.newKey(r.root, 1, testBegin, testBuilt.AddDate(0, 0, 7))
	unborn, unbornCertificate := r.newKey(r.root, 1, testBuilt.AddDate(0, 0, 7), testEnd)
	flipped := func(at int) []byte {
		b := bytes.Clone(good)
		b[(at+len(b))%len(b)] ^= 0x10
		return b
	}
	if err := os.WriteFile(r.path("ledger/"+ledgerFile), []byte(`{"floor":"1.0.5"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, r)
	for _, c := range []struct {
		name   string
		bundle []byte
		want   error
	}{
		{"empty", nil, ErrFormat},
		{"no bundle", bytes.Repeat([]byte("x"), 4096), ErrFormat},
		{"only the head", good[:100], ErrTruncated},
		{"truncated", good[:len(good)-512], ErrTruncated},
		{"truncated by one byte", good[:len(good)-1], ErrTruncated},
		{"longer", append(bytes.Clone(good), 0), ErrDamaged},
		{"flipped in the UKI", flipped(5000), ErrDamaged},
		{"flipped in the root", flipped(600_000), ErrDamaged},
		{"flipped in the tree", flipped(-2), ErrDamaged},
		{"strange root key", r.bundleBy(next, strangeKey, strangeCertificate, nil), ErrSignature},
		{"not the certified key", r.bundleBy(next, strangeKey, r.certificate, nil), ErrSignature},
		{"expired key", r.bundleBy(next, expiredKey, expired, nil), ErrExpired},
		{"built before the key", r.bundleBy(next, unborn, unbornCertificate, nil), ErrExpired},
		{"other hardware", r.bundle(next, func(m *Manifest) { m.Hardware = []string{"toaster"} }), ErrHardware},
		{"other architecture", r.bundle(next, func(m *Manifest) { m.Architecture = "arm64" }), ErrHardware},
		{"below the floor", r.bundle(newImage(t, "1.0.4", 1<<20), nil), ErrFloor},
		{"the same version", r.bundle(newImage(t, "1.0.0", 1<<20), nil), ErrSame},
		{"too large", r.bundle(newImage(t, "1.1.0", (slotMiB+1)<<20), nil), ErrTooLarge},
		{"another root hash in the UKI", r.bundle(image{"1.1.0", r.running.uki, next.root, next.verity, next.hash}, nil), ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := r.install("1.0.0", c.bundle)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, wanted %v", err, c.want)
			}
			if after := snapshot(t, r); after != before {
				t.Error("something was written")
			}
			s, err := r.machine("1.0.0").Look()
			if err != nil || len(s.Ledger.Events) == 0 || s.Ledger.Events[len(s.Ledger.Events)-1].Kind != EventRefused {
				t.Errorf("the refusal is not kept: %+v, %v", s.Ledger.Events, err)
			}
		})
	}
}

// snapshot is the sum of disk and ESP.
func snapshot(t *testing.T, r *rig) string {
	t.Helper()
	sum := sha256.New()
	f, err := os.Open(r.path("disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	err = filepath.Walk(r.path("esp"), func(p string, _ os.FileInfo, err error) error { fmt.Fprintln(sum, p); return err })
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// TestAWrongTreeIsSeenAfterWriting: sums of a bundle are right, and yet root and tree do not belong together.
func TestAWrongTreeIsSeenAfterWriting(t *testing.T) {
	r := newRig(t)
	next, other := newImage(t, "1.1.0", 1<<20), newImage(t, "1.1.1", 1<<20)
	next.verity = other.verity
	err := r.install("1.0.0", r.bundle(next, nil))
	if err == nil || !strings.Contains(err.Error(), "does not read back") {
		t.Errorf("%v", err)
	}
	if v := r.boot(); v != "1.0.0" {
		t.Errorf("%s is booted", v)
	}
}

func TestRotationOfReleaseKeys(t *testing.T) {
	r := newRig(t)
	second, secondCertificate := r.newKey(r.root, 2, testBegin, testEnd)
	next := newImage(t, "1.1.0", 1<<20)
	if err := r.install("1.0.0", r.bundleBy(next, second, secondCertificate, nil)); err != nil {
		t.Fatalf("a bundle by the second key: %v", err)
	}
	r.boot()
	m := r.machine("1.1.0")
	if err := errors.Join(m.Settle(), m.Bless()); err != nil {
		t.Fatal(err)
	}
	r.bless("1.1.0")
	last := newImage(t, "1.2.0", 1<<20)
	if err := r.install("1.1.0", r.bundle(last, nil)); !errors.Is(err, ErrWithdrawn) {
		t.Errorf("a bundle by the first key after the second: %v", err)
	}
	if err := r.install("1.1.0", r.bundleBy(last, second, secondCertificate, nil)); err != nil {
		t.Errorf("by the second key: %v", err)
	}
	r.whole(next, last)
}

func TestUKINames(t *testing.T) {
	for name, want := range map[string]UKI{
		"meetzone_1.2.3.efi":     {Version: "1.2.3"},
		"meetzone_1.2.3+3.efi":   {Version: "1.2.3", Counted: true, Left: 3},
		"meetzone_1.2.3+0-3.efi": {Version: "1.2.3", Counted: true, Done: 3},
		"meetzone_1.2.3+0.efi":   {Version: "1.2.3", Counted: true},
	} {
		if u, ok := parseUKI(name); !ok || u != want || u.name() != name {
			t.Errorf("%s: %+v, %v, %s", name, u, ok, u.name())
		}
	}
	for _, name := range []string{"meetzone_1.2.3.efi.new", "meetzone_x.efi", "debian_1.efi", "meetzone_1+x.efi", "meetzone_1+-1.efi"} {
		if u, ok := parseUKI(name); ok {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

func TestVersions(t *testing.T) {
	list := []string{"", "0.9", "0.9.1", "0.9.10", "0.10.0", "1.0", "1.0.0", "1.0.0.202601312359"}
	for i, a := range list {
		for j, b := range list {
			if c := CompareVersions(a, b); c != min(1, max(-1, i-j)) {
				t.Errorf("%q and %q: %d", a, b, c)
			}
		}
	}
	for _, v := range []string{"", "1.", "a", "1.02", "-1", "1.2.3.4.5", "1.0~rc1", "1000000000.1000000000.100000"} {
		if ValidVersion(v) == nil {
			t.Errorf("%q is taken for a version", v)
		}
	}
	if longest := "1000000000.1000000000.10000"; ValidVersion(longest) != nil || len(ukiPrefix+longest) != 36 { // units of a partition's name
		t.Errorf("%q has %d characters: %v", longest, len(longest), ValidVersion(longest))
	}
}

func FuzzOpen(f *testing.F) {
	_, root, _ := ed25519.GenerateKey(nil)
	public, key, _ := ed25519.GenerateKey(nil)
	c, err := Certify(root, ReleaseKey{Key: public, Serial: 1, NotBefore: testBegin, NotAfter: testEnd})
	if err != nil {
		f.Fatal(err)
	}
	i := image{version: "1.1.0", hash: make([]byte, 32), root: make([]byte, 4096), verity: make([]byte, 4096)}
	i.uki = fmt.Appendf(nil, "roothash=%x", i.hash)
	var b bytes.Buffer
	if _, err := Create(&b, Contents{Manifest: i.manifest(), Certificate: c, Key: key, UKI: bytes.NewReader(i.uki), Root: bytes.NewReader(i.root), Verity: bytes.NewReader(i.verity)}); err != nil {
		f.Fatal(err)
	}
	good := b.Bytes()
	trust := Trust{Roots: []ed25519.PublicKey{root.Public().(ed25519.PublicKey)}, Now: testBuilt}
	f.Add(good)
	f.Add(good[:200])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Open(bytes.NewReader(raw), int64(len(raw)), trust)
		if err != nil {
			return
		}
		if b.Verify(context.Background(), nil) == nil && !bytes.Equal(raw, good) {
			t.Error("other bytes than those that were signed are good")
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"version":"1.0.0","architecture":"x86-64","hardware":["generic"],"built":"2026-06-01T00:00:00Z","state_version":1,"minimum_state_version":1}`))
	f.Add([]byte(`{"uki":{"size":-1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m Manifest
		if decodeStrictly(raw, &m) != nil || m.Validate() != nil {
			return
		}
		for _, p := range m.parts() {
			if p.Size <= 0 || p.Size > maxRoot {
				t.Errorf("a part of %d bytes is let in", p.Size)
			}
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add(make([]byte, 64<<10))
	f.Fuzz(func(t *testing.T, raw []byte) {
		table, err := gpt.Read(bytes.NewReader(raw), int64(len(raw)))
		if err == nil {
			table.Partitions()
		}
	})
}
