package srtp

import "encoding/binary"

// Sealer protects one direction of a transport.
type Sealer struct {
	t       transform
	streams streams
}

// NewSealer returns a Sealer for a master key and a master salt.
func NewSealer(p Profile, key, salt []byte) (*Sealer, error) {
	t, err := newTransform(p, key, salt)
	if err != nil {
		return nil, err
	}
	return &Sealer{t: t}, nil
}

// SealRTP writes header, encrypted payload and tag into dst and returns how many bytes that were. header is a whole RTP header with CSRCs
// and extension. payload may lie in dst, exactly behind where the header goes, or must not overlap dst. The rollover counter follows the
// sequence number of the header; packets may be out of order, but no index is taken twice: ErrReuse.
func (s *Sealer) SealRTP(dst, header, payload []byte) (int, error) {
	if len(header) < 12 {
		return 0, ErrShort
	}
	n := len(header) + len(payload) + s.t.rtpOverhead()
	if len(dst) < n {
		return 0, ErrNoRoom
	}
	ssrc := binary.BigEndian.Uint32(header[8:])
	st := s.streams.find(ssrc)
	if st == nil {
		if !s.streams.room() {
			return 0, ErrTooMany
		}
		st = s.streams.add(ssrc)
	}
	index, ok := st.rtp.guess(binary.BigEndian.Uint16(header[2:]))
	if !ok || !st.rtp.fresh(index) {
		return 0, ErrReuse
	}
	if index>>48 != 0 {
		return 0, ErrExhausted
	}
	st.rtp.mark(index)
	copy(dst, header)
	s.t.sealRTP(dst, len(header), payload, ssrc, index)
	return n, nil
}

// SealRTCP writes the protected compound packet into dst and returns how many bytes that were; dst and compound must not overlap.
func (s *Sealer) SealRTCP(dst, compound []byte) (int, error) {
	if len(compound) < rtcpHeaderLen {
		return 0, ErrShort
	}
	n := len(compound) + s.t.rtcpOverhead()
	if len(dst) < n {
		return 0, ErrNoRoom
	}
	ssrc := binary.BigEndian.Uint32(compound[4:])
	st := s.streams.find(ssrc)
	if st == nil {
		if !s.streams.room() {
			return 0, ErrTooMany
		}
		st = s.streams.add(ssrc)
	}
	index := st.rtcp.highest + 1 // counts from 1; RFC 3711, section 3.2.1, lets it begin anywhere
	if index >= rtcpEncrypted {
		return 0, ErrExhausted
	}
	st.rtcp.mark(index)
	s.t.sealRTCP(dst, compound, ssrc, uint32(index))
	return n, nil
}
