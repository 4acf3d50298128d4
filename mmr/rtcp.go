package mmr

import (
	"encoding/binary"
	"math/bits"
)

// RTCP in and out, without allocating: RFC 3550 section 6 (SR, RR, BYE), RFC 4585 (NACK, PLI), RFC 5104 (FIR), draft-alvestrand-rmcat-remb
// (REMB). Transport-wide feedback is written by twcc and read by bwe. Everything else is skipped.

// RTCP packet types and the feedback formats in their count field.
const (
	rtcpSR    = 200
	rtcpRR    = 201
	rtcpBye   = 203
	rtcpRTPFB = 205
	rtcpPSFB  = 206

	fmtNACK      = 1  // RTPFB
	fmtTransport = 15 // RTPFB, transport-wide feedback
	fmtPLI       = 1  // PSFB
	fmtFIR       = 4  // PSFB
	fmtAFB       = 15 // PSFB, REMB among others
)

const (
	rtcpHeader  = 4
	reportBlock = 24
	maxReports  = 31 // of one SR or RR
)

// rtcpPacket is one packet of a compound.
type rtcpPacket struct {
	kind, count uint8
	body        []byte // behind the first word, without padding
}

// nextRTCP takes the first packet off a compound. It returns false at the end and at what is malformed.
func nextRTCP(b []byte) (p rtcpPacket, rest []byte, ok bool) {
	if len(b) < rtcpHeader || b[0]>>6 != 2 {
		return p, nil, false
	}
	size := rtcpHeader + 4*int(binary.BigEndian.Uint16(b[2:]))
	if size > len(b) {
		return p, nil, false
	}
	p = rtcpPacket{kind: b[1], count: b[0] & 31, body: b[rtcpHeader:size]}
	if b[0]&0x20 != 0 {
		if len(p.body) == 0 {
			return p, nil, false
		}
		pad := int(p.body[len(p.body)-1])
		if pad == 0 || pad > len(p.body) {
			return p, nil, false
		}
		p.body = p.body[:len(p.body)-pad]
	}
	return p, b[size:], true
}

// senderInfo is what an SR says of its sender.
type senderInfo struct {
	ssrc uint32
	ntp  uint64
	rtp  uint32
}

// senderInfo returns the sender's part of an SR.
func (p *rtcpPacket) senderInfo() (s senderInfo, ok bool) {
	if p.kind != rtcpSR || len(p.body) < 24 {
		return s, false
	}
	return senderInfo{
		ssrc: binary.BigEndian.Uint32(p.body), ntp: binary.BigEndian.Uint64(p.body[4:]), rtp: binary.BigEndian.Uint32(p.body[12:]),
	}, true
}

// report is one report block.
type report struct {
	ssrc       uint32
	fraction   uint8
	lost       int32 // 24 bits on the wire, may be negative
	highest    uint32
	jitter     uint32 // in units of the RTP clock
	lastSR     uint32
	sinceSR    uint32 // in 1/65536 s
	haveLastSR bool
}

// reports returns the bytes of the report blocks of an SR or RR, for report.read.
func (p *rtcpPacket) reports() []byte {
	skip := 4
	if p.kind == rtcpSR {
		skip = 24
	}
	if (p.kind != rtcpSR && p.kind != rtcpRR) || len(p.body) < skip {
		return nil
	}
	b := p.body[skip:]
	n := min(int(p.count), len(b)/reportBlock)
	return b[:n*reportBlock]
}

// read takes the report block at the start of b, which has at least reportBlock bytes.
func (r *report) read(b []byte) {
	_ = b[reportBlock-1]
	r.ssrc = binary.BigEndian.Uint32(b)
	r.fraction = b[4]
	r.lost = int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8
	r.highest = binary.BigEndian.Uint32(b[8:])
	r.jitter = binary.BigEndian.Uint32(b[12:])
	r.lastSR = binary.BigEndian.Uint32(b[16:])
	r.sinceSR = binary.BigEndian.Uint32(b[20:])
	r.haveLastSR = r.lastSR != 0
}

// appendReport adds a report block.
func (r *report) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, r.ssrc)
	lost := max(-1<<23, min(r.lost, 1<<23-1))
	b = binary.BigEndian.AppendUint32(b, uint32(r.fraction)<<24|uint32(lost)&0xffffff)
	b = binary.BigEndian.AppendUint32(b, r.highest)
	b = binary.BigEndian.AppendUint32(b, r.jitter)
	b = binary.BigEndian.AppendUint32(b, r.lastSR)
	return binary.BigEndian.AppendUint32(b, r.sinceSR)
}

// mediaSSRC returns the SSRC that RTPFB or PSFB feedback is about.
func (p *rtcpPacket) mediaSSRC() (uint32, bool) {
	if len(p.body) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint32(p.body[4:]), true
}

// nacks returns the FCI of a generic NACK, pairs of PID and BLP of four bytes together.
func (p *rtcpPacket) nacks() []byte {
	if p.kind != rtcpRTPFB || p.count != fmtNACK || len(p.body) < 8 {
		return nil
	}
	return p.body[8 : 8+(len(p.body)-8)&^3]
}

// firs returns the FCI of a Full Intra Request, eight bytes each, SSRC first.
func (p *rtcpPacket) firs() []byte {
	if p.kind != rtcpPSFB || p.count != fmtFIR || len(p.body) < 8 {
		return nil
	}
	return p.body[8 : 8+(len(p.body)-8)&^7]
}

// remb returns the bit rate of a REMB message.
func (p *rtcpPacket) remb() (bitrate uint64, ok bool) {
	if p.kind != rtcpPSFB || p.count != fmtAFB || len(p.body) < 16 || string(p.body[8:12]) != "REMB" {
		return 0, false
	}
	v := binary.BigEndian.Uint32(p.body[12:])
	exp, mantissa := v>>18&63, uint64(v&0x3ffff)
	if bits.Len64(mantissa)+int(exp) > 63 {
		return 1<<63 - 1, true
	}
	return mantissa << exp, true
}

// beginRTCP appends the first word of a packet, whose length endRTCP fills in.
func beginRTCP(b []byte, kind, count uint8) []byte { return append(b, 2<<6|count, kind, 0, 0) }

// endRTCP writes the length of the packet that begins at from and reaches to the end of b.
func endRTCP(b []byte, from int) {
	binary.BigEndian.PutUint16(b[from+2:], uint16((len(b)-from)/4-1))
}

// appendSR adds a sender report without report blocks.
func appendSR(b []byte, s senderInfo, packets, octets uint32) []byte {
	from := len(b)
	b = beginRTCP(b, rtcpSR, 0)
	b = binary.BigEndian.AppendUint32(b, s.ssrc)
	b = binary.BigEndian.AppendUint64(b, s.ntp)
	b = binary.BigEndian.AppendUint32(b, s.rtp)
	b = binary.BigEndian.AppendUint32(b, packets)
	b = binary.BigEndian.AppendUint32(b, octets)
	endRTCP(b, from)
	return b
}

// appendRR adds a receiver report.
func appendRR(b []byte, sender uint32, reports []report) []byte {
	from := len(b)
	reports = reports[:min(len(reports), maxReports)]
	b = beginRTCP(b, rtcpRR, uint8(len(reports)))
	b = binary.BigEndian.AppendUint32(b, sender)
	for i := range reports {
		b = reports[i].append(b)
	}
	endRTCP(b, from)
	return b
}

// appendFeedback begins an RTPFB or PSFB packet.
func appendFeedback(b []byte, kind, format uint8, sender, media uint32) []byte {
	b = beginRTCP(b, kind, format)
	b = binary.BigEndian.AppendUint32(b, sender)
	return binary.BigEndian.AppendUint32(b, media)
}

// appendPLI adds a Picture Loss Indication.
func appendPLI(b []byte, sender, media uint32) []byte {
	from := len(b)
	b = appendFeedback(b, rtcpPSFB, fmtPLI, sender, media)
	endRTCP(b, from)
	return b
}

// appendNACK adds a generic NACK for seqs, which are in order, and packs what is within 16 of a PID into its BLP.
func appendNACK(b []byte, sender, media uint32, seqs []uint16) []byte {
	from := len(b)
	b = appendFeedback(b, rtcpRTPFB, fmtNACK, sender, media)
	for i := 0; i < len(seqs); {
		pid, blp := seqs[i], uint16(0)
		for i++; i < len(seqs) && seqs[i]-pid <= 16 && seqs[i] != pid; i++ {
			blp |= 1 << (seqs[i] - pid - 1)
		}
		b = binary.BigEndian.AppendUint16(b, pid)
		b = binary.BigEndian.AppendUint16(b, blp)
	}
	endRTCP(b, from)
	return b
}

// appendREMB adds a Receiver Estimated Maximum Bitrate message for ssrcs.
func appendREMB(b []byte, sender uint32, bitrate uint64, ssrcs []uint32) []byte {
	from := len(b)
	ssrcs = ssrcs[:min(len(ssrcs), 255)]
	b = appendFeedback(b, rtcpPSFB, fmtAFB, sender, 0)
	b = append(b, "REMB"...)
	exp := max(0, bits.Len64(bitrate)-18)
	b = binary.BigEndian.AppendUint32(b, uint32(len(ssrcs))<<24|uint32(exp)<<18|uint32(bitrate>>exp))
	for _, s := range ssrcs {
		b = binary.BigEndian.AppendUint32(b, s)
	}
	endRTCP(b, from)
	return b
}
