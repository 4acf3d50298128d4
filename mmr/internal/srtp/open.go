package srtp

import (
	"encoding/binary"

	"meetzone/mmr/internal/packet"
)

// Opener opens one direction of a transport.
type Opener struct {
	t       transform
	streams streams
}

// NewOpener returns an Opener for a master key and a master salt.
func NewOpener(p Profile, key, salt []byte) (*Opener, error) {
	t, err := newTransform(p, key, salt)
	if err != nil {
		return nil, err
	}
	return &Opener{t: t}, nil
}

// OpenRTP authenticates and decrypts pkt in place and returns it without the tag. When it fails, the content of pkt is undefined.
func (o *Opener) OpenRTP(pkt []byte) ([]byte, error) {
	h, err := packet.ParseHeader(pkt)
	if err != nil {
		return nil, err
	}
	if h.PayloadLen < o.t.rtpOverhead() {
		return nil, ErrShort
	}
	st := o.streams.find(h.SSRC)
	index := uint64(h.SequenceNumber)
	if st != nil {
		var ok bool
		if index, ok = st.rtp.guess(h.SequenceNumber); !ok || !st.rtp.fresh(index) || index>>48 != 0 {
			return nil, ErrReplay
		}
	} else if !o.streams.room() {
		return nil, ErrTooMany
	}
	n, ok := o.t.openRTP(pkt, h.HeaderLen, h.SSRC, index)
	if !ok {
		return nil, ErrAuth
	}
	if st == nil {
		st = o.streams.add(h.SSRC)
	}
	st.rtp.mark(index)
	return pkt[:n], nil
}

// OpenRTCP does the same for a compound RTCP packet; one that is only authenticated, not encrypted, is refused.
func (o *Opener) OpenRTCP(pkt []byte) ([]byte, error) {
	if len(pkt) < rtcpHeaderLen+o.t.rtcpOverhead() {
		return nil, ErrShort
	}
	if pkt[0]>>6 != 2 {
		return nil, packet.ErrVersion
	}
	word := binary.BigEndian.Uint32(pkt[o.t.rtcpWordAt(len(pkt)):])
	if word&rtcpEncrypted == 0 {
		return nil, ErrUnencrypted
	}
	ssrc, index := binary.BigEndian.Uint32(pkt[4:]), uint64(word&^rtcpEncrypted)
	st := o.streams.find(ssrc)
	if st != nil && !st.rtcp.fresh(index) {
		return nil, ErrReplay
	}
	if st == nil && !o.streams.room() {
		return nil, ErrTooMany
	}
	n, ok := o.t.openRTCP(pkt, ssrc, word)
	if !ok {
		return nil, ErrAuth
	}
	if st == nil {
		st = o.streams.add(ssrc)
	}
	st.rtcp.mark(index)
	return pkt[:n], nil
}
