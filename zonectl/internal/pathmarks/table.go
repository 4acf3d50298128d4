package pathmarks

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Direction is that of the media.
type Direction uint8

// The directions.
const (
	Up   Direction = iota // to the box
	Down                  // from the box, as clients report it
	numDirections
)

// Bounds of a table.
const (
	Media      = 3
	MaxSubnets = 1024
	// Bits of an address that make a subnet.
	bits4, bits6 = 24, 64
)

// Counts is how many samples had each code point.
type Counts [64]uint32

// Path is what is known of one subnet.
type Path struct {
	Subnet netip.Prefix
	Last   time.Time
	Counts [Media][numDirections]Counts
	Latest [Media][numDirections]int8 // code point of the latest sample, -1: none yet
}

// Table is the paths by subnet. The zero value is ready.
type Table struct {
	mu    sync.Mutex // guards what follows; held for a look-up, or a copy of all
	paths map[netip.Prefix]*Path
}

// SubnetOf returns the subnet of a client.
func SubnetOf(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := bits6
	if client.Is4() {
		bits = bits4
	}
	p, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Note takes a sample.
func (t *Table) Note(now time.Time, client netip.Addr, medium int, d Direction, point int) {
	subnet := SubnetOf(client)
	if !subnet.IsValid() || medium < 0 || medium >= Media || d >= numDirections || point < 0 || point > 63 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.paths[subnet]
	if p == nil {
		p = t.addLocked(subnet)
	}
	p.Last = now
	p.Latest[medium][d] = int8(point)
	if n := &p.Counts[medium][d][point]; *n < ^uint32(0) {
		*n++
	}
}

func (t *Table) addLocked(subnet netip.Prefix) *Path {
	if t.paths == nil {
		t.paths = map[netip.Prefix]*Path{}
	}
	if len(t.paths) >= MaxSubnets {
		var oldest *Path
		for _, p := range t.paths {
			if oldest == nil || p.Last.Before(oldest.Last) {
				oldest = p
			}
		}
		delete(t.paths, oldest.Subnet)
	}
	p := &Path{Subnet: subnet}
	for m := range p.Latest {
		p.Latest[m] = [numDirections]int8{-1, -1}
	}
	t.paths[subnet] = p
	return p
}

// All returns the paths, by subnet.
func (t *Table) All() []Path {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Path, 0, len(t.paths))
	for _, p := range t.paths {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Path) int {
		if c := a.Subnet.Addr().Compare(b.Subnet.Addr()); c != 0 {
			return c
		}
		return a.Subnet.Bits() - b.Subnet.Bits()
	})
	return list
}
