package verity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// formatted has veritysetup make the tree of some blocks.
func formatted(t *testing.T, blocks int) (data, tree, root []byte) {
	t.Helper()
	data = make([]byte, blocks*blockSize)
	_, _ = rand.NewChaCha8([32]byte{byte(blocks)}).Read(data)
	folder := t.TempDir()
	dataFile, treeFile := filepath.Join(folder, "data"), filepath.Join(folder, "tree")
	if err := errors.Join(os.WriteFile(dataFile, data, 0o600), os.WriteFile(treeFile, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("veritysetup", "format", dataFile, treeFile).CombinedOutput()
	if err != nil {
		t.Fatalf("veritysetup: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Root hash:\s+([0-9a-f]{64})`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no root hash:\n%s", out)
	}
	root, _ = hex.DecodeString(string(found[1]))
	if tree, err = os.ReadFile(treeFile); err != nil {
		t.Fatal(err)
	}
	return data, tree, root
}

// TestAgainstVeritysetup compares with cryptsetup's own trees of one, two and three levels, whole and with a bit flipped anywhere.
func TestAgainstVeritysetup(t *testing.T) {
	for _, blocks := range []int{1, 2, 127, 128, 129, 1000, 128 * 129} {
		data, tree, root := formatted(t, blocks)
		check := func() error { return Check(t.Context(), bytes.NewReader(data), bytes.NewReader(tree), root) }
		if err := check(); err != nil {
			t.Errorf("%d blocks: %v", blocks, err)
			continue
		}
		for name, flip := range map[string]*byte{
			"first of the data": &data[0], "last of the data": &data[len(data)-1], "salt": &tree[90],
			"root hash": &root[31],
		} {
			*flip ^= 1
			if err := check(); !errors.Is(err, ErrMismatch) {
				t.Errorf("%d blocks, %s flipped: %v", blocks, name, err)
			}
			*flip ^= 1
		}
		if blocks > 1 {
			for _, at := range []int{blockSize, len(tree) - blockSize} {
				tree[at] ^= 1
				if err := check(); !errors.Is(err, ErrMismatch) {
					t.Errorf("%d blocks, byte %d of the tree flipped: %v", blocks, at, err)
				}
				tree[at] ^= 1
			}
		}
		if err := Check(t.Context(), bytes.NewReader(data[:len(data)-blockSize]), bytes.NewReader(tree), root); err == nil {
			t.Errorf("%d blocks: data that end early are good", blocks)
		}
	}
}

func FuzzSuperblock(f *testing.F) {
	f.Add(make([]byte, blockSize))
	f.Add(append([]byte("verity\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"), make([]byte, 600)...))
	f.Fuzz(func(t *testing.T, tree []byte) {
		if Check(t.Context(), bytes.NewReader(make([]byte, 2*blockSize)), bytes.NewReader(tree), make([]byte, 32)) == nil {
			t.Error("a root hash of zeros is good")
		}
	})
}
