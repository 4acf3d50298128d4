package srtp

// windowLen is how far back packets are told apart, the WebRTC default of libsrtp. RFC 3711, section 3.3.2, demands at least 64.
const windowLen = 1024

// window remembers which of the last windowLen indices were used. It serves as the receiver's replay list and as the sender's proof that
// no index protects two packets.
type window struct {
	highest uint64
	started bool
	used    [windowLen / 64]uint64 // bit index%windowLen, for the indices in (highest-windowLen, highest]
}

// fresh says whether index was not used and is not too old to tell.
func (w *window) fresh(index uint64) bool {
	if !w.started || index > w.highest {
		return true
	}
	if w.highest-index >= windowLen {
		return false
	}
	return w.used[index%windowLen/64]&(1<<(index%64)) == 0
}

// mark notes a fresh index as used.
func (w *window) mark(index uint64) {
	switch {
	case !w.started || index > w.highest && index-w.highest >= windowLen:
		w.used = [windowLen / 64]uint64{}
		w.highest, w.started = index, true
	case index > w.highest:
		for i := w.highest + 1; i < index; i++ {
			w.used[i%windowLen/64] &^= 1 << (i % 64)
		}
		w.highest = index
	}
	w.used[index%windowLen/64] |= 1 << (index % 64)
}

// guess returns the index of the packet with the given sequence number. RFC 3711, section 3.3.1, and appendix A. ok is false when it would
// lie before the beginning.
func (w *window) guess(seq uint16) (index uint64, ok bool) {
	if !w.started {
		return uint64(seq), true
	}
	roc, last := w.highest>>16, uint16(w.highest)
	switch {
	case last < 1<<15 && int(seq)-int(last) > 1<<15:
		if roc == 0 {
			return 0, false
		}
		roc--
	case last >= 1<<15 && int(last)-(1<<15) > int(seq):
		roc++
	}
	return roc<<16 | uint64(seq), true
}

// stream is what one direction knows of one SSRC.
type stream struct {
	ssrc uint32
	rtp  window
	rtcp window
}

// streams are the streams of one direction, at most MaxSSRCs.
type streams struct {
	bySSRC map[uint32]*stream
	recent *stream // the one last asked for: packets come in runs
}

// find returns the stream of ssrc, nil when it is unknown.
func (s *streams) find(ssrc uint32) *stream {
	if s.recent != nil && s.recent.ssrc == ssrc {
		return s.recent
	}
	st := s.bySSRC[ssrc]
	if st != nil {
		s.recent = st
	}
	return st
}

// room says whether one more stream may be added.
func (s *streams) room() bool { return len(s.bySSRC) < MaxSSRCs }

// add adds the stream of ssrc; the caller has asked room.
func (s *streams) add(ssrc uint32) *stream {
	if s.bySSRC == nil {
		s.bySSRC = make(map[uint32]*stream)
	}
	st := &stream{ssrc: ssrc}
	s.bySSRC[ssrc], s.recent = st, st
	return st
}
