package history

import "math/bits"

// Bounds that a zero Config stands for.
const (
	defaultPackets = 512
	defaultBytes   = 512 << 10
)

// pageLen is the unit in which memory is taken. No packet lies across two pages.
const pageLen = 64 << 10

// Config bounds a Ring.
type Config struct {
	Packets int // how many packets at most, rounded up to a power of two; 0 means 512
	Bytes   int // how many bytes at most, rounded up to whole pages of 64 KiB, at least two; 0 means 512 KiB
}

// Ring remembers the last packets of one stream.
type Ring struct {
	packets int
	index   []entry  // place seq%len
	pages   [][]byte // nil where not yet needed
	head    uint64   // log position where the next packet goes; position p lies in page p/pageLen%len(pages)
	highest uint64
}

// entry says where a packet lies in the log. Its bytes are intact as long as the log has not come round to them.
type entry struct {
	seq uint64
	pos uint64
	len int32 // 0 for an unused place
}

// New returns an empty ring, which holds no memory before the first Insert.
func New(c Config) *Ring {
	if c.Packets <= 0 {
		c.Packets = defaultPackets
	}
	if c.Bytes <= 0 {
		c.Bytes = defaultBytes
	}
	return &Ring{
		packets: 1 << bits.Len(uint(c.Packets-1)),
		pages:   make([][]byte, max(2, (c.Bytes+pageLen-1)/pageLen)),
	}
}

// Insert copies pkt into the ring under its wide sequence number. A packet that is there already, too old, empty or too large is left out.
func (r *Ring) Insert(seq uint64, pkt []byte) {
	if len(pkt) == 0 || len(pkt) > pageLen || r.highest >= uint64(r.packets) && seq <= r.highest-uint64(r.packets) {
		return
	}
	if _, ok := r.Get(seq); ok {
		return
	}
	if r.index == nil {
		r.index = make([]entry, r.packets)
	}
	if left := pageLen - r.head%pageLen; uint64(len(pkt)) > left {
		r.head += left
	}
	page := &r.pages[r.head/pageLen%uint64(len(r.pages))]
	if *page == nil {
		*page = make([]byte, pageLen)
	}
	copy((*page)[r.head%pageLen:], pkt)
	r.index[seq%uint64(r.packets)] = entry{seq: seq, pos: r.head, len: int32(len(pkt))}
	r.head += uint64(len(pkt))
	r.highest = max(r.highest, seq)
}

// Get returns the packet with the wide sequence number. The bytes belong to the ring: they are valid until the next Insert and must not be
// changed.
func (r *Ring) Get(seq uint64) ([]byte, bool) {
	if r.index == nil {
		return nil, false
	}
	e := &r.index[seq%uint64(r.packets)]
	if e.len == 0 || e.seq != seq || e.pos+uint64(len(r.pages)*pageLen) < r.head {
		return nil, false
	}
	at := e.pos % pageLen
	return r.pages[e.pos/pageLen%uint64(len(r.pages))][at : at+uint64(e.len) : at+uint64(e.len)], true
}

// Bytes returns how much memory the ring holds for packets.
func (r *Ring) Bytes() int {
	n := 0
	for _, page := range r.pages {
		n += len(page)
	}
	return n
}

// Reset forgets all packets and gives the memory back.
func (r *Ring) Reset() {
	clear(r.pages)
	r.index, r.head, r.highest = nil, 0, 0
}
