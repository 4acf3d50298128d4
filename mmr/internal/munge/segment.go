package munge

import (
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/packet"
)

// maxSegments bounds the memory of a Track. One that drops every other picture makes a segment per dropped one: 64 last two seconds.
const maxSegments = 64

// segment is a stretch of the outgoing stream in which all numbers are the incoming ones plus constants. It ends where the next begins.
type segment struct {
	first     uint64 // first outgoing sequence number
	offset    uint64 // outgoing minus incoming sequence number, modulo 2^64
	source    Source
	timestamp uint32 // outgoing minus incoming
	shift     ids    // outgoing minus incoming

	layer              codec.LayerSet // what is sent in it: one layer, with those below
	frame              frameState     // with whose packet it began: what comes late of that frame shares its lot
	hasDead            bool           // the stretch before ended with pictures of VP8 that were dropped,
	deadFrom, deadUpTo uint32         // with these incoming timestamps
}

func (s *segment) firstIn() uint64 { return s.first - s.offset }

// isDead says whether the picture with an incoming timestamp was dropped in front of the segment.
func (s *segment) isDead(timestamp uint32) bool {
	return s.hasDead && timestamp-s.deadFrom <= s.deadUpTo-s.deadFrom
}

// kill notes that the picture of in is dropped in front of the segment; extend keeps the pictures that were dropped before it. The ids of VP8
// close the gap; those of VP9 and frame numbers do not, since frames name by differences of them what they refer to.
func (s *segment) kill(in *In, extend bool) {
	if in.Codec != codec.VP8 {
		s.hasDead = false
		return
	}
	if s.isDead(in.Timestamp) {
		return
	}
	if !s.hasDead || !extend {
		s.deadFrom = in.Timestamp
	}
	s.hasDead, s.deadUpTo = true, in.Timestamp
	d := &in.Descriptor
	if d.HasPictureID {
		s.shift.picture--
	}
	if d.HasTL0 && d.TID == 0 {
		s.shift.tl0--
	}
}

// apply numbers a packet.
func (s *segment) apply(in *In) Out {
	out := Out{Sequence: in.Sequence + s.offset, Timestamp: in.Timestamp + s.timestamp, Descriptor: in.Descriptor}
	d := &out.Descriptor
	d.PictureID = (d.PictureID + s.shift.picture) & codec.PictureIDMask
	d.TL0 += s.shift.tl0
	d.KeyIndex = (d.KeyIndex + s.shift.key) & codec.KeyIndexMask
	if in.HasNumber {
		out.Number = in.Number + s.shift.number
	}
	out.Marker = in.Frame.End && s.layer.Tops(in.Frame.Spatial)
	return out
}

// segments are the last maxSegments ones. They are counted from the beginning; segment i lies at place i%maxSegments.
type segments struct {
	ring  [maxSegments]segment
	count uint64
}

// push adds a segment and returns its number.
func (r *segments) push(s segment) uint64 {
	r.ring[r.count%maxSegments] = s
	r.count++
	return r.count - 1
}

// at returns segment i, which must be one of the last maxSegments.
func (r *segments) at(i uint64) *segment { return &r.ring[i%maxSegments] }

// newest returns the last segment, of which there must be one.
func (r *segments) newest() *segment { return r.at(r.count - 1) }

func (r *segments) oldest() uint64 { return r.count - min(r.count, maxSegments) }

// byIn returns the number of the segment to which an incoming number belongs, looking back no further than segment from.
func (r *segments) byIn(in, from uint64) (uint64, bool) {
	for i := r.count; i > max(from, r.oldest()); i-- {
		if r.at(i-1).firstIn() <= in {
			return i - 1, true
		}
	}
	return 0, false
}

// byOut returns the segment in which an outgoing number was sent, nil when it is forgotten. A later segment may begin with a lower number
// when nothing was sent in the one before; the newest counts.
func (r *segments) byOut(out uint64) *segment {
	for i := r.count; i > r.oldest(); i-- {
		if s := r.at(i - 1); s.first <= out {
			return s
		}
	}
	return nil
}

// ids are the numbers of a descriptor, or what is added to them. RFC 7741, section 4.2; RFC 9628, section 4.2.
type ids struct {
	picture uint16 // 15 bits; a stream of 7-bit ids is counted in 15 bits as well
	tl0     uint8
	key     uint8  // 5 bits
	number  uint16 // of the frame, in a dependency descriptor

	hasPicture, hasTL0, hasKey, hasNumber bool
}

// note moves on to the ids of a packet that is sent, where they are newer.
func (last *ids) note(in *In, out *Out) {
	d := &out.Descriptor
	if in.HasNumber && (!last.hasNumber || int16(out.Number-last.number) > 0) {
		last.number, last.hasNumber = out.Number, true
	}
	if d.HasPictureID {
		if n := pictureDistance(d, last.picture); n > 0 || !last.hasPicture {
			last.picture = (last.picture + uint16(n)) & codec.PictureIDMask
			if !last.hasPicture {
				last.picture = d.PictureID
			}
		}
		last.hasPicture = true
	}
	if d.HasTL0 && (!last.hasTL0 || int8(d.TL0-last.tl0) > 0) {
		last.tl0, last.hasTL0 = d.TL0, true
	}
	if d.HasKeyIndex && (!last.hasKey || int8((d.KeyIndex-last.key)<<3) > 0) {
		last.key, last.hasKey = d.KeyIndex, true
	}
}

// following returns what to add to the ids of a keyframe so that they follow the last ones.
func (last *ids) following(in *In) ids {
	var shift ids
	d := &in.Descriptor
	if in.HasNumber && last.hasNumber {
		shift.number = last.number + 1 - in.Number
	}
	if d.HasPictureID && last.hasPicture {
		shift.picture = last.picture + 1 - d.PictureID
	}
	if d.HasTL0 && last.hasTL0 {
		shift.tl0 = last.tl0 + 1 - d.TL0
	}
	if d.HasKeyIndex && last.hasKey {
		shift.key = last.key + 1 - d.KeyIndex
	}
	return shift
}

// pictureDistance returns how far the packet's id is ahead of the id last, in the width in which the packet writes it.
func pictureDistance(d *codec.Descriptor, last uint16) int {
	if d.LongPictureID {
		return int(int16((d.PictureID-last)<<1) >> 1)
	}
	return int(int8(uint8(d.PictureID-last)<<1) >> 1)
}

// sentLen is how many outgoing numbers are told apart.
const sentLen = 2048

// sentWindow says which of the last sentLen outgoing numbers were sent.
type sentWindow struct {
	highest uint64
	bits    [sentLen / 64]uint64
	filled  [sentLen / 64]uint64
}

// advance makes out the highest number when it is, with nothing sent in between.
func (w *sentWindow) advance(out uint64) {
	if out > w.highest+sentLen {
		w.bits, w.filled = [sentLen / 64]uint64{}, [sentLen / 64]uint64{}
		w.highest = out
	}
	for w.highest < out {
		w.highest++
		w.bits[w.highest%sentLen/64] &^= 1 << (w.highest % 64)
		w.filled[w.highest%sentLen/64] &^= 1 << (w.highest % 64)
	}
}

func (w *sentWindow) mark(out uint64) { w.bits[out%sentLen/64] |= 1 << (out % 64) }

// fill marks a number under which an empty packet is sent.
func (w *sentWindow) fill(out uint64) {
	w.mark(out)
	w.filled[out%sentLen/64] |= 1 << (out % 64)
}

// isFilled says whether a number that was sent stands for an empty packet.
func (w *sentWindow) isFilled(out uint64) bool { return w.filled[out%sentLen/64]&(1<<(out%64)) != 0 }

// has says whether a number not above the highest was sent.
func (w *sentWindow) has(out uint64) bool {
	return out+sentLen > w.highest && out <= w.highest && w.bits[out%sentLen/64]&(1<<(out%64)) != 0
}

// find returns the wide number of a 16-bit one that was sent.
func (w *sentWindow) find(seq uint16) (uint64, bool) {
	out := packet.Near(w.highest, seq)
	return out, w.has(out)
}
