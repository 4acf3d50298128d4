package update

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// The program under test is this one, started again with these in its environment: it installs a bundle file and ends.
const (
	envFolder = "UPDATE_TEST_FOLDER"
	envHash   = "UPDATE_TEST_ROOT_HASH"
	envKey    = "UPDATE_TEST_ROOT_KEY"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(envFolder); folder != "" {
		if err := installHere(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// installHere is the child: what the helper does on a box.
func installHere(folder string) error {
	hash, err := hexBytes(os.Getenv(envHash))
	if err != nil {
		return err
	}
	roots, err := RootKeys([]byte(os.Getenv(envKey)))
	if err != nil {
		return err
	}
	m, err := New(Config{Disk: folder + "/disk", ESP: folder + "/esp", Ledger: folder + "/ledger", Trust: Trust{Roots: roots, Now: testBuilt},
		Running: Running{Version: "1.0.0", RootHash: hash, Architecture: "x86-64", Hardware: "generic"}})
	if err != nil {
		return err
	}
	f, err := os.Open(folder + "/bundle")
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = m.Install(context.Background(), f, info.Size(), nil)
	return err
}

// TestKilledWhileInstalling kills the installation at random moments. After each the box boots what ran, and nothing that is not whole; what
// was interrupted is simply done again.
func TestKilledWhileInstalling(t *testing.T) {
	rounds := 25
	if os.Getenv("MEETZONE_LONG") != "" {
		rounds = 500
	}
	r := newRig(t)
	next := newImage(t, "1.1.0", 7<<20)
	if err := os.WriteFile(r.path("bundle"), r.bundle(next, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := r.child()
	begin := time.Now()
	if out, err := whole.CombinedOutput(); err != nil {
		t.Fatalf("undisturbed: %v\n%s", err, out)
	}
	took := time.Since(begin)
	if _, err := r.machine("1.0.0").Rollback(); err != nil { // take it back
		t.Fatal(err)
	}
	killed, armed := 0, 0
	for range rounds {
		child := r.child()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(took)))) // the moment, not a condition that is waited for
		_ = child.Process.Kill()
		if child.Wait() != nil {
			killed++
		}
		r.whole(r.running, next)
		s, err := r.machine("1.0.0").Look()
		if err != nil {
			t.Fatal(err)
		}
		if s.Armed != "" {
			armed++
			if _, err := r.machine("1.0.0").Rollback(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if u, there, err := esp(r.path("esp")).get("1.0.0"); err != nil || !there || u.Counted {
			t.Fatalf("the version that runs is no longer booted: %+v, %v, %v", u, there, err)
		}
	}
	t.Logf("an installation takes %v; %d of %d were killed, %d were armed", took.Round(time.Millisecond), killed, rounds, armed)
	if killed < rounds/2 {
		t.Errorf("only %d of %d installations were interrupted: the test tests nothing", killed, rounds)
	}
	if out, err := r.child().CombinedOutput(); err != nil {
		t.Fatalf("once more, undisturbed: %v\n%s", err, out)
	}
	r.whole(r.running, next)
	if v := r.boot(); v != "1.1.0" {
		t.Errorf("%s is booted", v)
	}
}

// child is a process that installs the bundle.
func (r *rig) child() *exec.Cmd {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envFolder+"="+r.folder, envHash+"="+fmt.Sprintf("%x", r.running.hash),
		envKey+"="+string(EncodeKey(KindRootPublic, r.trust().Roots[0])), "GOMAXPROCS="+strconv.Itoa(2))
	return cmd
}
