package mmr

import (
	"reflect"
	"testing"

	"github.com/pion/rtcp"
)

// TestRTCPAgainstPion writes with our code and reads with pion's, and the other way round.
func TestRTCPAgainstPion(t *testing.T) {
	var b []byte
	b = appendSR(b, senderInfo{ssrc: 7, ntp: 1<<63 | 5, rtp: 99}, 10, 1000)
	block := report{ssrc: 8, fraction: 3, lost: -2, highest: 70000, jitter: 12, lastSR: 5, sinceSR: 6, haveLastSR: true}
	b = appendRR(b, 1, []report{block})
	b = appendPLI(b, 1, 8)
	b = appendNACK(b, 1, 8, []uint16{65530, 65535, 10, 11, 27, 28, 4000})
	b = appendREMB(b, 1, 5_000_000, []uint32{8, 9})
	got, err := rtcp.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []rtcp.Packet{
		&rtcp.SenderReport{SSRC: 7, NTPTime: 1<<63 | 5, RTPTime: 99, PacketCount: 10, OctetCount: 1000},
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{
			SSRC: 8, FractionLost: 3, TotalLost: 0xfffffe, LastSequenceNumber: 70000, Jitter: 12, LastSenderReport: 5, Delay: 6,
		}}},
		&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 8},
		&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 8, Nacks: []rtcp.NackPair{
			{PacketID: 65530, LostPackets: 1<<4 | 1<<15}, {PacketID: 11, LostPackets: 1 << 15}, {PacketID: 28}, {PacketID: 4000},
		}},
	}
	for i, w := range want {
		switch g := got[i].(type) {
		case *rtcp.SenderReport:
			g.Reports, g.ProfileExtensions = nil, nil
		case *rtcp.ReceiverReport:
			g.ProfileExtensions = nil
		}
		if !reflect.DeepEqual(got[i], w) {
			t.Errorf("packet %d: %#v, want %#v", i, got[i], w)
		}
	}
	remb, ok := got[4].(*rtcp.ReceiverEstimatedMaximumBitrate)
	if !ok || remb.Bitrate < 4_990_000 || remb.Bitrate > 5_000_000 || !reflect.DeepEqual(remb.SSRCs, []uint32{8, 9}) {
		t.Errorf("remb: %v", got[4])
	}
	var kinds []uint8
	for rest := b; ; {
		p, next, ok := nextRTCP(rest)
		if !ok {
			break
		}
		kinds, rest = append(kinds, p.kind), next
		if blocks := p.reports(); len(blocks) > 0 {
			var r report
			if r.read(blocks); r != block {
				t.Errorf("report %+v, want %+v", r, block)
			}
		}
		if rate, ok := p.remb(); ok && uint64(remb.Bitrate) != rate {
			t.Errorf("remb %d", rate)
		}
	}
	if want := []uint8{rtcpSR, rtcpRR, rtcpPSFB, rtcpRTPFB, rtcpPSFB}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds %v", kinds)
	}
}

func FuzzRTCP(f *testing.F) {
	f.Add(appendSR(nil, senderInfo{ssrc: 7}, 1, 2))
	f.Add(appendRR(nil, 1, []report{{ssrc: 8}}))
	f.Add(appendNACK(nil, 1, 8, []uint16{1, 2, 3}))
	f.Add(appendREMB(nil, 1, 5_000_000, []uint32{8, 9}))
	f.Add([]byte{0xa0, 201, 0, 1, 0, 0, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		for n := 0; ; n++ {
			p, rest, ok := nextRTCP(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) || n > len(f.Name())+len(b) {
				t.Fatal("no progress")
			}
			p.senderInfo()
			p.mediaSSRC()
			p.remb()
			var r report
			for blocks := p.reports(); len(blocks) > 0; blocks = blocks[reportBlock:] {
				r.read(blocks)
			}
			if len(p.nacks())%4 != 0 || len(p.firs())%8 != 0 {
				t.Fatal("ragged FCI")
			}
			b = rest
		}
	})
}
