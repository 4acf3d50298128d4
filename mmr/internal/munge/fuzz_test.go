package munge

import (
	"testing"
	"time"

	"meetzone/mmr/internal/codec"
)

// FuzzTrack plays a script of five bytes per step against a Track: whatever a sender does with its numbers, no outgoing number may carry
// two packets, and what was sent is resent as it was.
func FuzzTrack(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 1, 1, 10, 1, 7, 1, 1, 1, 1, 0, 2, 1, 1, 1, 0, 1, 1, 2, 2, 0})
	f.Add([]byte{0, 1, 0, 0, 0, 1, 1, 10, 1, 1, 3, 1, 1, 1, 3, 0, 2, 0, 0, 0, 1, 2, 9, 1, 1, 1, 1, 255, 0, 0})
	f.Add([]byte{0, 2, 0, 0, 0, 1, 2, 5, 1, 1, 5, 2, 0, 0, 0, 4, 0, 0, 0, 0, 1, 2, 5, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		kind := codec.Kind(len(script)%3) + codec.Opus
		track := New(Config{Codec: kind, FirstSequence: 1 << 14})
		seqs := [4]uint64{1 << 17, 1 << 18, 1 << 16, 1 << 30}
		sent := map[uint64]Origin{}
		outs := map[uint64]Out{}
		now := time.Duration(0)
		for ; len(script) >= 5; script = script[5:] {
			op, s := script[0]%7, script[1]%4
			now += time.Duration(script[2]) * time.Millisecond
			seqs[s] += uint64(int64(int8(script[2]))) * (1 + uint64(script[0]/64)*40)
			in := In{
				Source: Source(s), Sequence: seqs[s], Timestamp: uint32(seqs[s]/4) * 3000, Arrival: now,
				Codec: kind, Keyframe: kind == codec.Opus || script[3]&1 != 0,
				Descriptor: codec.Descriptor{
					HasPictureID: script[3]&2 != 0, LongPictureID: script[3]&4 != 0, HasTL0: script[3]&8 != 0, HasTID: script[3]&16 != 0,
					LayerSync: script[3]&32 != 0, NonReference: script[3]&64 != 0, HasKeyIndex: script[3]&128 != 0,
					TID: script[4] & 3, SID: script[4] >> 2 & 3, SwitchUp: script[4]&16 != 0, EndOfFrame: script[4]&32 != 0, PictureID: uint16(script[4]) << 7, TL0: script[4], KeyIndex: script[4] & 31, Len: 6,
				},
			}
			in.Descriptor.Keyframe = in.Keyframe
			in.Frame = in.Descriptor.Frame(kind)
			in.HasNumber, in.Number = script[4]&1 != 0, uint16(script[4])
			switch op {
			case 0:
				track.Switch(Source(s))
			case 2:
				track.Drop(&in)
			case 4:
				track.Stop()
			case 6:
				track.Select(script[3]&3, script[4]&3)
			default:
				out, v := track.Rewrite(&in)
				if !v.Forwarded() && v != Fill {
					continue
				}
				if old, ok := sent[out.Sequence]; ok {
					t.Fatalf("number %d carried %v, now %d/%d", out.Sequence, old, in.Source, in.Sequence)
				}
				sent[out.Sequence], outs[out.Sequence] = Origin{in.Source, in.Sequence}, out
				if v == Fill {
					continue
				}
				again, ok := track.Resend(uint16(out.Sequence), &in)
				if !ok || again != out {
					t.Fatalf("number %d sent as %+v, again %+v %v", out.Sequence, out, again, ok)
				}
			}
		}
	})
}
