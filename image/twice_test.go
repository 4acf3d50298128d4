package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestLongImageTwice: two builds of one commit are the same, bit by bit, in all that a start verifies.
func TestLongImageTwice(t *testing.T) {
	long(t)
	var first map[string][]byte
	for range 2 {
		out := t.TempDir()
		cmd := exec.Command("./build")
		cmd.Env = append(os.Environ(), "OUT="+out, "INCREMENTAL=")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		made := map[string][]byte{}
		for _, kind := range []string{"roothash", "efi", "verity", "files"} {
			found, err := filepath.Glob(filepath.Join(out, "*."+kind))
			if err != nil || len(found) != 1 {
				t.Fatalf("%d files of kind %s", len(found), kind)
			}
			if made[kind], err = os.ReadFile(found[0]); err != nil {
				t.Fatal(err)
			}
		}
		if first == nil {
			first = made
			continue
		}
		for kind := range made {
			if !bytes.Equal(made[kind], first[kind]) {
				t.Errorf("%s differs", kind)
			}
		}
		t.Logf("root hash %s", made["roothash"])
	}
}
