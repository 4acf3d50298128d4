package update

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"meetzone/appliance/update/internal/gpt"
	"meetzone/appliance/update/internal/verity"
)

// Types of partitions of the Discoverable Partitions Specification.
var (
	typeRoot   = gpt.GUID{0x4f, 0x68, 0xbc, 0xe3, 0xe8, 0xcd, 0x4d, 0xb1, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09} // root-x86-64
	typeVerity = gpt.GUID{0x2c, 0x73, 0x57, 0xed, 0xeb, 0xd2, 0x46, 0xd9, 0xae, 0xc1, 0x23, 0xd4, 0x37, 0xec, 0x2b, 0xf5} // root-x86-64-verity
)

const emptyLabel = "_empty"

// Slot is an image slot: a root and the tree that verifies it.
type Slot struct {
	Letter  string // A is the first on the disk
	Version string // "" where it is empty
	root    gpt.Partition
	verity  gpt.Partition
}

// holds says whether the slot is that of a root hash: the partitions' identities are its halves.
func (s Slot) holds(rootHash []byte) bool {
	root, tree := identities(rootHash)
	return s.root.ID == root && s.verity.ID == tree
}

func identities(rootHash []byte) (root, tree gpt.GUID) {
	return gpt.GUID(rootHash[:16]), gpt.GUID(rootHash[16:32])
}

// disk is the disk that the appliance runs from, as a whole.
type disk struct {
	file *os.File
	size int64
}

// openDisk opens a disk, or a file in its place. Whoever only looks opens it with os.O_RDONLY: the kernel tells everybody of a disk that was open for writing.
func openDisk(path string, mode int) (*disk, error) {
	f, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the disk: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("asking the disk for its size: %w", err), f.Close())
	}
	return &disk{f, size}, nil
}

func (d *disk) Close() error { return d.file.Close() }

// table reads the partition table from the disk itself.
func (d *disk) table() (*gpt.Table, error) { return gpt.Read(d.file, d.size) }

// slots pairs the roots with their trees, in their order on the disk.
func slots(t *gpt.Table) (list []Slot, err error) {
	var roots, trees []gpt.Partition
	for _, p := range t.Partitions() {
		switch p.Type {
		case typeRoot:
			roots = append(roots, p)
		case typeVerity:
			trees = append(trees, p)
		}
	}
	if len(roots) != 2 || len(trees) != 2 {
		return nil, fmt.Errorf("the disk has %d root partitions and %d verity partitions instead of two image slots", len(roots), len(trees))
	}
	byOffset := func(a, b gpt.Partition) int { return int(min(1, max(-1, a.Offset-b.Offset))) }
	slices.SortFunc(roots, byOffset)
	slices.SortFunc(trees, byOffset)
	for i := range roots {
		s := Slot{Letter: string(rune('A' + i)), root: roots[i], verity: trees[i]}
		if v, ours := strings.CutPrefix(s.root.Name, ukiPrefix); ours && s.verity.Name == s.root.Name {
			s.Version = v
		}
		list = append(list, s)
	}
	return list, nil
}

// pick returns the slot that runs and the one that does not.
func pick(list []Slot, rootHash []byte) (running, idle Slot, err error) {
	for i, s := range list {
		if s.holds(rootHash) {
			return s, list[1-i], nil
		}
	}
	return running, idle, errors.New("neither image slot is the one that runs; the software was not started from this disk")
}

// relabel gives a slot its name and identities.
func (d *disk) relabel(s Slot, name string, root, tree gpt.GUID) error {
	t, err := d.table()
	if err != nil {
		return err
	}
	if err := errors.Join(t.Relabel(s.root.Index, name, root), t.Relabel(s.verity.Index, name, tree)); err != nil {
		return err
	}
	return t.Write(syncedFile{d.file})
}

// syncedFile forgets what was written, so that the next read asks the disk.
type syncedFile struct{ *os.File }

func (f syncedFile) Sync() error {
	err := f.File.Sync()
	forget(f.File)
	return err
}

// write fills a slot from a bundle and reads it back from the disk.
func (d *disk) write(ctx context.Context, s Slot, b *Bundle, progress func(Stage, int64)) error {
	for i, p := range []gpt.Partition{s.root, s.verity} {
		part := b.Manifest.parts()[i+1]
		if part.Size > p.Size {
			return fmt.Errorf("%w: version %s needs %d bytes where the slot has %d", ErrTooLarge, b.Manifest.Version, part.Size, p.Size)
		}
		to := &flushing{w: io.NewOffsetWriter(d.file, p.Offset), f: d.file}
		if err := b.copyPart(ctx, to, i+1, func(n int64) { progress(StageWrite, n) }); err != nil {
			return fmt.Errorf("writing image slot %s: %w", s.Letter, err)
		}
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("writing image slot %s: %w", s.Letter, err)
	}
	forget(d.file)
	return d.check(ctx, s, b.Manifest, progress)
}

// check reads a slot and compares it with the root hash of a manifest, and beyond what the tree covers with the sums.
func (d *disk) check(ctx context.Context, s Slot, m Manifest, progress func(Stage, int64)) error {
	hash, err := hex.DecodeString(m.RootHash)
	if err != nil {
		return err
	}
	root, tree := io.NewSectionReader(d.file, s.root.Offset, m.Root.Size), io.NewSectionReader(d.file, s.verity.Offset, m.Verity.Size)
	if err := verity.Check(ctx, counted{root, func(n int64) { progress(StageCheck, n) }}, tree, hash); err != nil {
		return fmt.Errorf("image slot %s does not read back as it was written: %w", s.Letter, err)
	}
	back := &Bundle{Manifest: m, src: d.file, starts: [3]int64{0, s.root.Offset, s.verity.Offset}}
	if err := errors.Join(back.copyPart(ctx, io.Discard, 1, nil), back.copyPart(ctx, io.Discard, 2, nil)); err != nil {
		return fmt.Errorf("image slot %s does not read back as it was written: %w", s.Letter, err)
	}
	return nil
}

// counted tells how much was read.
type counted struct {
	io.ReaderAt
	tell func(int64)
}

func (c counted) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.tell(int64(n))
	return n, err
}

// flushEvery bounds how much waits in memory: the media of meetings that go on must not wait for a flood of dirty pages.
const flushEvery = 16 << 20

// flushing brings what was written to the disk every now and then.
type flushing struct {
	w     io.Writer
	f     *os.File
	dirty int
}

func (w *flushing) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if w.dirty += n; err == nil && w.dirty >= flushEvery {
		w.dirty = 0
		err = unix.Fdatasync(int(w.f.Fd()))
	}
	return n, err
}
