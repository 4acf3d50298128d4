package gpt

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// memory is a disk that keeps what was written, step by step.
type memory struct {
	content []byte
	writes  []write
}

// write is one request; a disk may tear it between its pages, never within one.
type write struct {
	at   int64
	data []byte
}

func (m *memory) ReadAt(b []byte, at int64) (int, error) { return copy(b, m.content[at:]), nil }

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	for rest, to := b, at; len(rest) > 0; {
		n := min(int64(len(rest)), page-to%page)
		m.writes = append(m.writes, write{to, bytes.Clone(rest[:n])})
		rest, to = rest[n:], to+n
	}
	return copy(m.content[at:], b), nil
}

func (m *memory) Sync() error { return nil }

const script = `label: gpt
size=1M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="esp"
size=1M, type=2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5, name="_empty"
size=2M, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="_empty"
`

// made is a disk that sfdisk has partitioned.
func made(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", "--quiet", path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// sfdisk reads a disk.
func sfdisk(t *testing.T, content []byte) (names, ids []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sfdisk", "--verify", path).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("No errors")) {
		t.Fatalf("sfdisk --verify: %v\n%s", err, out)
	}
	out, err := exec.Command("sfdisk", "--json", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		PartitionTable struct {
			Partitions []struct{ Name, UUID string }
		}
	}
	if err := json.Unmarshal(out, &dump); err != nil {
		t.Fatal(err)
	}
	for _, p := range dump.PartitionTable.Partitions {
		names, ids = append(names, p.Name), append(ids, strings.ToLower(p.UUID))
	}
	return names, ids
}

var newID = GUID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10}

func TestRelabel(t *testing.T) {
	m := &memory{content: made(t)}
	namesBefore, idsBefore := sfdisk(t, m.content)
	table, err := Read(m, int64(len(m.content)))
	if err != nil || table.PrimaryBad || table.BackupBad {
		t.Fatalf("%+v, %v", table, err)
	}
	for i, p := range table.Partitions() {
		if p.Name != namesBefore[i] || p.ID.String() != idsBefore[i] {
			t.Errorf("partition %d is %v %q, for sfdisk %s %q", i, p.ID, p.Name, idsBefore[i], namesBefore[i])
		}
	}
	if err := table.Relabel(2, "meetzone_1.1.0", newID); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(m); err != nil {
		t.Fatal(err)
	}
	names, ids := sfdisk(t, m.content)
	namesBefore[2], idsBefore[2] = "meetzone_1.1.0", newID.String()
	for i := range names {
		if names[i] != namesBefore[i] || ids[i] != idsBefore[i] {
			t.Errorf("partition %d is %s %q, wanted %s %q", i, ids[i], names[i], idsBefore[i], namesBefore[i])
		}
	}
	if err := table.Relabel(2, strings.Repeat("x", 37), newID); err == nil {
		t.Error("a name of 37 letters is let in")
	}
}

// TestAPowerCutLeavesATable: after every write, torn between any pages, the primary table alone is valid, since a kernel without the parameter gpt looks at
// nothing else; and it is the table from before or the new one.
func TestAPowerCutLeavesATable(t *testing.T) {
	before := made(t)
	m := &memory{content: bytes.Clone(before)}
	table, err := Read(m, int64(len(before)))
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Relabel(1, "meetzone_1.1.0", newID); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(m); err != nil {
		t.Fatal(err)
	}
	if len(m.writes) < 2 {
		t.Fatalf("%d writes", len(m.writes))
	}
	state := bytes.Clone(before)
	for i, w := range m.writes {
		copy(state[w.at:], w.data)
		now, err := Read(&memory{content: state}, int64(len(state)))
		if err != nil || now.PrimaryBad {
			t.Fatalf("after write %d of %d: %v", i+1, len(m.writes), err)
		}
		if name := now.Partitions()[1].Name; name != "_empty" && name != "meetzone_1.1.0" {
			t.Errorf("after write %d: %q", i+1, name)
		}
		// What was interrupted is finished by the next.
		healed := &memory{content: bytes.Clone(state)}
		if err := now.Relabel(1, "meetzone_1.2.0", newID); err != nil {
			t.Fatal(err)
		}
		if err := now.Write(healed); err != nil {
			t.Fatal(err)
		}
		if names, _ := sfdisk(t, healed.content); names[1] != "meetzone_1.2.0" {
			t.Errorf("after write %d and another: %q", i+1, names)
		}
	}
}

func TestDamagedCopies(t *testing.T) {
	for name, at := range map[string]int64{"primary header": 512 + 20, "primary entries": 1024 + 130, "backup header": 8<<20 - 512 + 20, "backup entries": 8<<20 - 33*512 + 130} {
		t.Run(name, func(t *testing.T) {
			m := &memory{content: made(t)}
			m.content[at] ^= 1
			table, err := Read(m, int64(len(m.content)))
			if err != nil {
				t.Fatal(err)
			}
			if primary := strings.HasPrefix(name, "primary"); table.PrimaryBad != primary || table.BackupBad == primary {
				t.Errorf("primary bad: %v, backup bad: %v", table.PrimaryBad, table.BackupBad)
			}
			if err := table.Relabel(2, "meetzone_2", newID); err != nil {
				t.Fatal(err)
			}
			if err := table.Write(m); err != nil {
				t.Fatal(err)
			}
			if names, _ := sfdisk(t, m.content); names[2] != "meetzone_2" {
				t.Errorf("%q", names)
			}
		})
	}
	both := &memory{content: made(t)}
	both.content[520] ^= 1
	both.content[len(both.content)-500] ^= 1
	if _, err := Read(both, int64(len(both.content))); err == nil {
		t.Error("a disk with two damaged copies has a table")
	}
}
