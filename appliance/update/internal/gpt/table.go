package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

// Device is a disk, or a file in its place.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// GUID is an identity as text shows it: the bytes in reading order.
type GUID [16]byte

// String writes it as 8-4-4-4-12.
func (g GUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[:4], g[4:6], g[6:8], g[8:10], g[10:])
}

// swap turns a GUID into its order on the disk, and back: the first three groups are little-endian.
func (g GUID) swap() GUID {
	return GUID{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}

// Partition is one entry.
type Partition struct {
	Index  int // in the table, from 0
	Type   GUID
	ID     GUID
	Name   string
	Offset int64 // bytes
	Size   int64 // bytes
}

// ErrTable says that there is no table that can be used.
var ErrTable = errors.New("no valid partition table")

const (
	signature   = "EFI PART"
	headerSize  = 92
	minEntry    = 128
	maxEntries  = 256
	maxNameSize = 36 // UTF-16 units
	page        = 4096
)

// header is what is read of one. UEFI 2.10, table 5-5.
type header struct {
	raw        []byte // the sector
	own, other uint64 // sectors
	entries    uint64 // first sector
	count      uint32
	size       uint32
}

// Table is a disk's partition table.
type Table struct {
	sector int64
	main   header
	array  []byte // of entries

	// PrimaryBad and BackupBad say that this copy cannot be used; Write heals it.
	PrimaryBad, BackupBad bool
}

// Read finds the table of a device of that many bytes. A copy that is damaged is passed over.
func Read(d io.ReaderAt, size int64) (*Table, error) {
	var errs []error
	for _, sector := range []int64{512, 4096} {
		if size < 68*sector {
			continue
		}
		last := uint64(size/sector) - 1
		primary, errP := read(d, sector, 1, last)
		backup, errB := read(d, sector, last, last)
		switch {
		case errP == nil:
			primary.BackupBad = errB != nil || primary.main.other != last || !bytes.Equal(primary.array, backup.array)
			return primary, nil
		case errB == nil:
			backup.PrimaryBad = true
			backup.main = backup.main.mirrored(uint64(len(backup.array)), uint64(sector))
			return backup, nil
		}
		errs = append(errs, fmt.Errorf("sectors of %d bytes: primary: %w; backup: %w", sector, errP, errB))
	}
	return nil, fmt.Errorf("%w: %w", ErrTable, errors.Join(errs...))
}

// read reads the copy whose header is in a sector.
func read(d io.ReaderAt, sector int64, at, last uint64) (*Table, error) {
	h := header{raw: make([]byte, sector)}
	if _, err := d.ReadAt(h.raw, int64(at)*sector); err != nil {
		return nil, err
	}
	if string(h.raw[:8]) != signature || binary.LittleEndian.Uint32(h.raw[12:]) != headerSize {
		return nil, errors.New("no header")
	}
	if binary.LittleEndian.Uint32(h.raw[16:]) != h.sum() {
		return nil, errors.New("the header's checksum is wrong")
	}
	h.own, h.other = binary.LittleEndian.Uint64(h.raw[24:]), binary.LittleEndian.Uint64(h.raw[32:])
	h.entries = binary.LittleEndian.Uint64(h.raw[72:])
	h.count, h.size = binary.LittleEndian.Uint32(h.raw[80:]), binary.LittleEndian.Uint32(h.raw[84:])
	if h.own != at || h.size < minEntry || h.size > 512 || h.size%8 != 0 || h.count == 0 || h.count > maxEntries || h.entries < 2 || h.entries >= last {
		return nil, errors.New("the header's values are out of bounds")
	}
	t := &Table{sector: sector, main: h, array: make([]byte, int64(h.count)*int64(h.size))}
	if _, err := d.ReadAt(t.array, int64(h.entries)*sector); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(t.array) != binary.LittleEndian.Uint32(h.raw[88:]) {
		return nil, errors.New("the checksum of the entries is wrong")
	}
	return t, nil
}

// sum is the checksum of a header, its own field counted as zero.
func (h header) sum() uint32 {
	b := bytes.Clone(h.raw[:headerSize])
	clear(b[16:20])
	return crc32.ChecksumIEEE(b)
}

// mirrored is the header of the other copy: the backup's array lies before its header, the primary's behind its own.
func (h header) mirrored(arraySize, sector uint64) header {
	m := header{raw: bytes.Clone(h.raw), own: h.other, other: h.own, count: h.count, size: h.size, entries: 2}
	if m.own != 1 {
		m.entries = m.own - (arraySize+sector-1)/sector
	}
	return m
}

// sealed is the header's sector with everything that depends on the entries.
func (h header) sealed(array []byte) []byte {
	b := h.raw
	binary.LittleEndian.PutUint64(b[24:], h.own)
	binary.LittleEndian.PutUint64(b[32:], h.other)
	binary.LittleEndian.PutUint64(b[72:], h.entries)
	binary.LittleEndian.PutUint32(b[88:], crc32.ChecksumIEEE(array))
	binary.LittleEndian.PutUint32(b[16:], h.sum())
	return b
}

// Partitions lists the entries that are in use.
func (t *Table) Partitions() (list []Partition) {
	for i := range int(t.main.count) {
		e := t.entry(i)
		kind := GUID(e[:16]).swap()
		if kind == (GUID{}) {
			continue
		}
		first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		if last < first || last > 1<<50 {
			continue
		}
		units := make([]uint16, 0, maxNameSize)
		for u := e[56:128]; len(u) > 0; u = u[2:] {
			if c := binary.LittleEndian.Uint16(u); c != 0 {
				units = append(units, c)
			} else {
				break
			}
		}
		list = append(list, Partition{Index: i, Type: kind, ID: GUID(e[16:32]).swap(), Name: string(utf16.Decode(units)),
			Offset: int64(first) * t.sector, Size: int64(last-first+1) * t.sector})
	}
	return list
}

func (t *Table) entry(i int) []byte { return t.array[i*int(t.main.size):][:t.main.size] }

// Relabel gives a partition another name and identity, in memory only.
func (t *Table) Relabel(index int, name string, id GUID) error {
	units := utf16.Encode([]rune(name))
	if index < 0 || index >= int(t.main.count) || len(units) > maxNameSize {
		return fmt.Errorf("partition %d cannot be called %q", index, name)
	}
	e := t.entry(index)
	id = id.swap()
	copy(e[16:32], id[:])
	clear(e[56:128])
	for i, u := range units {
		binary.LittleEndian.PutUint16(e[56+2*i:], u)
	}
	return nil
}

// Write brings both copies to the disk, the backup first.
func (t *Table) Write(d Device) error {
	if t.main.own != 1 || t.main.entries != 2 {
		return fmt.Errorf("%w: the primary table is not where it belongs", ErrTable)
	}
	backup := t.main.mirrored(uint64(len(t.array)), uint64(t.sector))
	tail := make([]byte, int64(backup.own-backup.entries+1)*t.sector)
	copy(tail, t.array)
	copy(tail[len(tail)-int(t.sector):], backup.sealed(t.array))
	if _, err := d.WriteAt(tail, int64(backup.entries)*t.sector); err != nil {
		return fmt.Errorf("writing the backup of the partition table: %w", err)
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing the backup of the partition table: %w", err)
	}
	return t.writePrimary(d)
}

// writePrimary writes from the start of the disk, whose first sector stays as it is, to the end of the entries: first what lies behind the first page
// and differs only where more than 24 entries are in use, then the page with the header.
func (t *Table) writePrimary(d Device) error {
	head := make([]byte, (2*t.sector+int64(len(t.array))+page-1)/page*page)
	if _, err := d.ReadAt(head, 0); err != nil {
		return fmt.Errorf("reading the partition table: %w", err)
	}
	was := bytes.Clone(head)
	copy(head[t.sector:], t.main.sealed(t.array))
	copy(head[2*t.sector:], t.array)
	first := int64(page)
	if t.sector > 512 {
		first = 3 * t.sector // header and the first page of entries go together
	}
	if !bytes.Equal(head[first:], was[first:]) {
		if _, err := d.WriteAt(head[first:], first); err != nil {
			return fmt.Errorf("writing the partition table: %w", err)
		}
		if err := d.Sync(); err != nil {
			return fmt.Errorf("writing the partition table: %w", err)
		}
	}
	if _, err := d.WriteAt(head[:first], 0); err != nil {
		return fmt.Errorf("writing the partition table: %w", err)
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing the partition table: %w", err)
	}
	return nil
}
