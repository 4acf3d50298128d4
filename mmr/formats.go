package mmr

import (
	"fmt"
	"slices"
	"strings"

	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/description"
)

// Which codecs travel, and under which payload types. Inside of the router, and between its shards, a packet has the payload type of the
// box's own offers, so that it tells its codec wherever it is met; those of clients that made the offer are changed at the door.

// format is how one codec travels on a section: payload types as the client has them, 0 for not at all.
type format struct {
	pt, rtx uint8
	nack    bool // the client takes part in retransmission (a=rtcp-fb nack)
}

// formats are the codecs of a section, by kind.
type formats [codec.NumKinds]format

// offeredFormats are the payload types of the box's offers.
var offeredFormats = formats{
	codec.Opus: {pt: ptOpus},
	codec.VP8:  {pt: ptVP8, rtx: ptVP8RTX, nack: true},
	codec.VP9:  {pt: 98, rtx: 99, nack: true},
	codec.H264: {pt: 102, rtx: 103, nack: true},
	codec.AV1:  {pt: 104, rtx: 105, nack: true},
	codec.RED:  {pt: ptRED},
}

// Payload types that tests know by name.
const (
	ptOpus   = 111
	ptRED    = 63
	ptVP8    = 96
	ptVP8RTX = 97
)

// kindOfOffered tells the codec of each payload type of the box's offers.
var kindOfOffered = func() (kinds [128]codec.Kind) {
	for kind, f := range offeredFormats {
		if f.pt != 0 {
			kinds[f.pt] = codec.Kind(kind)
		}
	}
	return kinds
}()

// find returns the codec of a payload type, or of what it retransmits; Unknown for one that was not agreed on.
func (f *formats) find(pt uint8) (kind codec.Kind, rtx bool) {
	for i := range f {
		switch x := &f[i]; {
		case x.pt == 0:
		case x.pt == pt:
			return codec.Kind(i), false
		case x.rtx == pt && pt != 0:
			return codec.Kind(i), true
		}
	}
	return codec.Unknown, false
}

// rtx returns a payload type for retransmissions, 0 without any: one that carries padding alone is of no codec.
func (f *formats) rtx() uint8 {
	for _, x := range f {
		if x.rtx != 0 {
			return x.rtx
		}
	}
	return 0
}

// set returns the codecs that were agreed on.
func (f *formats) set() (set codecSet) {
	for kind, x := range f {
		if x.pt != 0 {
			set |= 1 << kind
		}
	}
	return set
}

// codecSet is a set of codecs, a bit for each kind.
type codecSet uint8

func (set codecSet) has(k codec.Kind) bool { return set&(1<<k) != 0 }

// Codecs of pictures, as configurations name them, those that may be left out behind VP8, which may not.
var videoCodecs = map[string]codec.Kind{"vp8": codec.VP8, "vp9": codec.VP9, "h264": codec.H264, "av1": codec.AV1}

// DefaultCodecs is MeetingConfig.Codecs where nothing else is said. VP8 comes first: every browser sends it in several sizes with little work,
// and stops those that nobody needs.
var DefaultCodecs = []string{"vp8", "vp9", "h264", "av1"}

// CheckCodecs says what is wrong with a list of codecs.
func CheckCodecs(list []string) error {
	for i, name := range list {
		if _, known := videoCodecs[name]; !known {
			return fmt.Errorf("codec %q is not known: use vp8, vp9, h264 and av1", name)
		}
		if slices.Contains(list[:i], name) {
			return fmt.Errorf("codec %q is named twice", name)
		}
	}
	return nil
}

// preference returns the codecs of pictures, best first. VP8 is always there.
func preference(names []string) (list []codec.Kind) {
	if len(names) == 0 {
		names = DefaultCodecs
	}
	for _, name := range names {
		if kind, known := videoCodecs[name]; known && !slices.Contains(list, kind) {
			list = append(list, kind)
		}
	}
	if !slices.Contains(list, codec.VP8) {
		list = append(list, codec.VP8)
	}
	return list
}

// nameOf returns the name of a codec of pictures in configurations and events.
func nameOf(k codec.Kind) string { return strings.ToLower(k.String()) }

// allCodecs is every codec that the router knows.
const allCodecs codecSet = 1<<codec.NumKinds - 1

// setOf returns a list as a set, with Opus.
func setOf(list []codec.Kind) codecSet {
	set := codecSet(1<<codec.Opus | 1<<codec.RED)
	for _, k := range list {
		set |= 1 << k
	}
	return set
}

// pictureFeedback is what the box wants to hear about pictures, and says of them.
var pictureFeedback = []string{"nack", "nack pli", "ccm fir", "goog-remb", "transport-cc"}

// parameters are those of the codecs: H.264 of constrained baseline and with fragments, profile 0 of VP9 and AV1, which are their defaults.
var parameters = map[codec.Kind]string{
	codec.Opus: "minptime=10;useinbandfec=1",
	codec.H264: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	codec.VP9:  "profile-id=0",
	codec.RED:  "111/111", // every block is Opus
}

// offeredOrder is the order of codecs in descriptions: VP8 first, which is what clients begin with, and RED before Opus, so that who has it sends it.
var offeredOrder = [...]codec.Kind{codec.RED, codec.Opus, codec.VP8, codec.VP9, codec.H264, codec.AV1}

// codecsOf returns what the box takes and sends of a medium out of a set.
func codecsOf(m Medium, set codecSet) (list []description.Codec) {
	for _, kind := range offeredOrder {
		f := offeredFormats[kind]
		if f.pt == 0 || kind.Video() == (m == Audio) || !set.has(kind) {
			continue
		}
		c := description.Codec{PayloadType: f.pt, Name: kind.String(), ClockRate: kind.ClockRate(), Parameters: parameters[kind]}
		if m == Audio {
			c.Channels, c.Feedback = 2, []string{"transport-cc"}
		} else {
			c.Feedback = pictureFeedback
		}
		list = append(list, c)
		if f.rtx != 0 {
			list = append(list, description.Codec{PayloadType: f.rtx, Name: "rtx", ClockRate: kind.ClockRate(), Repairs: f.pt})
		}
	}
	return list
}

// kindNamed returns the codec of an encoding name.
func kindNamed(name string) codec.Kind {
	for kind := range offeredFormats {
		if k := codec.Kind(kind); k != codec.Unknown && strings.EqualFold(k.String(), name) {
			return k
		}
	}
	return codec.Unknown
}

// compatible tells whether two descriptions of one codec mean streams that the other side can decode.
func compatible(ours, theirs *description.Codec) bool {
	if !strings.EqualFold(theirs.Name, ours.Name) || theirs.ClockRate != ours.ClockRate || theirs.Channels != ours.Channels {
		return false
	}
	switch kindNamed(ours.Name) {
	case codec.H264:
		return theirs.Parameter("packetization-mode") == "1"
	case codec.VP9, codec.AV1:
		profile := theirs.Parameter("profile-id") + theirs.Parameter("profile")
		return profile == "" || profile == "0"
	case codec.RED:
		return true // which format its blocks have shows in each packet
	}
	return true
}
