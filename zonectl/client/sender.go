package client

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// Encodings are the names of the encodings of simulcast, the smallest first. RFC 8852 calls them RIDs.
var Encodings = [...]string{"l", "m", "h"}

// audioLevelURI is the header extension of RFC 6464.
const audioLevelURI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

// Sender takes the frames of one medium. It outlives the PeerConnections that carry them: sequence and time go on over a fresh one.
type Sender struct {
	medium    wire.Medium
	sent      atomic.Uint64 // packets
	farLost   atomic.Int64  // packets that the router says it never got
	muted     atomic.Bool   // by the client itself
	hostMuted atomic.Bool
	level     atomic.Uint32 // -dBov, 127 is silence
	finished  atomic.Bool
	rid       string      // with simulcast, "" without
	larger    []*Sender   // the other encodings of the same picture, each a stream of its own
	stopped   atomic.Bool // nobody needs this encoding

	// mu guards what follows: Send uses the binding that pion's goroutines make and take away.
	mu         sync.Mutex
	binding    *binding
	sequence   uint16
	stampBase  uint32
	packet     rtp.Header
	packetizer *media.Packetizer
	codec      media.Codec // of the packetizer: what is sent at present
}

// binding is the PeerConnection that carries the medium at present.
type binding struct {
	id        string
	ssrc      uint32
	payloads  map[media.Codec]uint8
	levelID   uint8 // header extensions, 0 if the router does not want them
	ridID     uint8
	write     webrtc.TrackLocalWriter
	clockRate uint32
}

var _ webrtc.TrackLocal = (*Sender)(nil)

// speechLevel is what is claimed of audio that is not silent: nothing here decodes it.
const speechLevel = 30

func newSender(medium wire.Medium) *Sender {
	s := &Sender{medium: medium, sequence: uint16(rand.Uint32()), stampBase: rand.Uint32()}
	s.level.Store(speechLevel)
	s.codec = media.VP8
	if medium == wire.Audio {
		s.codec = media.Opus
	}
	s.packetizer = media.NewPacketizer(s.codec)
	return s
}

// newSimulcast makes the sender of the smallest of so many encodings, and those of the others.
func newSimulcast(medium wire.Medium, encodings int) *Sender {
	first := newSender(medium)
	if encodings < 2 {
		return first
	}
	first.rid = Encodings[0]
	for _, rid := range Encodings[1:min(encodings, len(Encodings))] {
		other := newSender(medium)
		other.rid = rid
		first.larger = append(first.larger, other)
	}
	return first
}

// Encoding returns the sender of an encoding of simulcast, 0 being the smallest and the sender itself; nil for one that is not sent.
func (s *Sender) Encoding(i int) *Sender {
	all := s.all()
	if i < 0 || i >= len(all) {
		return nil
	}
	return all[i]
}

// all lists the senders of all encodings.
func (s *Sender) all() []*Sender { return append([]*Sender{s}, s.larger...) }

// Stopped tells whether nobody needs the encoding at present. What is sent of it meanwhile is dropped.
func (s *Sender) Stopped() bool { return s.stopped.Load() }

// setNeeded stops the encodings that nobody needs; it returns those that are needed again.
func (s *Sender) setNeeded(rids []string) (again []int) {
	if s.rid == "" {
		return nil
	}
	for i, one := range s.all() {
		if stop := !slices.Contains(rids, one.rid); one.stopped.Swap(stop) && !stop {
			again = append(again, i)
		}
	}
	return again
}

// packets is how many were sent, of all encodings.
func (s *Sender) packets() (n uint64) {
	for _, one := range s.all() {
		n += one.sent.Load()
	}
	return n
}

// SendFrame is SendAs for a frame of a clip.
func (s *Sender) SendFrame(codec media.Codec, frame media.Frame, at time.Duration) error {
	if s.stopped.Load() && !s.finished.Load() {
		return nil
	}
	s.mu.Lock()
	s.packetizer.SetLayer(frame.Layer)
	s.mu.Unlock()
	return s.SendAs(codec, frame.Data, at)
}

// Medium says what is sent.
func (s *Sender) Medium() wire.Medium { return s.medium }

// SetLevel sets the level that audio packets claim to have, in -dBov, 0 to 127. Short packets, which encoders make of silence, always claim silence.
func (s *Sender) SetLevel(level uint8) { s.level.Store(uint32(min(level, 127))) }

// Codec says in which codec frames are taken at present: everybody who may see them decodes it.
func (s *Sender) Codec() media.Codec {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codec
}

// setCodec changes the codec of a medium of pictures, if the router takes it; it returns whether that is a change.
func (s *Sender) setCodec(codec media.Codec) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.binding == nil || s.codec == codec {
		return false
	}
	if _, taken := s.binding.payloads[codec]; !taken {
		if codec, taken = media.VP8, s.codec != media.VP8; !taken {
			return false
		}
	}
	s.codec, s.packetizer = codec, media.NewPacketizer(codec)
	return true
}

// SendAs is Send for a frame of a codec of pictures. One that is not of the codec that is to be sent is dropped without an error.
func (s *Sender) SendAs(codec media.Codec, frame []byte, at time.Duration) error {
	if s.Codec() != codec && !s.finished.Load() {
		return nil
	}
	return s.Send(frame, at)
}

// Send sends an encoded frame: a whole VP8 frame or an Opus packet. at is the time of the frame on the medium's clock. While nothing carries the medium
// the frame is dropped without an error; after the session has ended the error is net.ErrClosed.
func (s *Sender) Send(frame []byte, at time.Duration) error {
	if s.finished.Load() {
		return net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.binding
	if b == nil || s.muted.Load() || s.hostMuted.Load() || len(frame) == 0 {
		return nil
	}
	stamp := s.stampBase + uint32(at.Seconds()*float64(b.clockRate))
	if s.medium == wire.Audio {
		s.write(frame, stamp, false)
		return nil
	}
	return s.packetizer.Packetize(frame, func(payload []byte, last bool) error {
		s.write(payload, stamp, last)
		return nil
	})
}

// write sends one packet. An error means that the transport is not there yet or not any more; what it would have carried is lost like any packet.
func (s *Sender) write(payload []byte, stamp uint32, marker bool) {
	b := s.binding
	header := &s.packet
	*header = rtp.Header{Version: 2, Marker: marker, PayloadType: b.payloads[s.codec], SequenceNumber: s.sequence, Timestamp: stamp, SSRC: b.ssrc,
		Extensions: header.Extensions[:0]}
	if b.levelID != 0 {
		level := uint8(s.level.Load()) | 0x80 // voice
		if len(payload) <= 8 {
			level = 127
		}
		if err := header.SetExtension(b.levelID, []byte{level}); err != nil {
			return
		}
	}
	if b.ridID != 0 && s.rid != "" {
		if err := header.SetExtension(b.ridID, []byte(s.rid)); err != nil {
			return
		}
	}
	s.sequence++
	if _, err := b.write.WriteRTP(header, payload); err == nil {
		s.sent.Add(1)
	}
}

// close makes Send fail from now on.
func (s *Sender) close() {
	for _, one := range s.all() {
		one.finished.Store(true)
	}
}

// mute drops what is sent from now on, or not any more: by the client itself, or by a host.
func (s *Sender) mute(muted, byHost bool) {
	for _, one := range s.all() {
		if byHost {
			one.hostMuted.Store(muted)
		} else {
			one.muted.Store(muted)
		}
	}
}

// Bind is called by pion when a PeerConnection can carry the medium.
func (s *Sender) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	mime := mimeType(s.medium)
	for _, codec := range ctx.CodecParameters() {
		if codec.MimeType != mime {
			continue
		}
		b := &binding{id: ctx.ID(), ssrc: uint32(ctx.SSRC()), payloads: map[media.Codec]uint8{}, write: ctx.WriteStream(), clockRate: codec.ClockRate}
		for _, parameters := range ctx.CodecParameters() {
			for _, known := range append(media.Pictures[:], media.Opus) {
				if strings.EqualFold(parameters.MimeType, known.MimeType()) {
					b.payloads[known] = uint8(parameters.PayloadType)
				}
			}
		}
		for _, extension := range ctx.HeaderExtensions() {
			switch extension.URI {
			case audioLevelURI:
				b.levelID = uint8(extension.ID)
			case sdp.SDESRTPStreamIDURI:
				b.ridID = uint8(extension.ID)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.binding = b
		return codec, nil
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("the router does not take %s", mime)
}

// Unbind is called by pion when a PeerConnection ends.
func (s *Sender) Unbind(ctx webrtc.TrackLocalContext) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.binding != nil && s.binding.id == ctx.ID() {
		s.binding = nil
	}
	return nil
}

// ID is the track's name in the SDP.
func (s *Sender) ID() string { return string(s.medium) }

// RID names the encoding, "" without simulcast.
func (s *Sender) RID() string { return s.rid }

// StreamID is the stream's name in the SDP.
func (s *Sender) StreamID() string { return "meetzone" }

// Kind tells audio from video, as pion needs it.
func (s *Sender) Kind() webrtc.RTPCodecType { return mediumKind(s.medium) }

func mediumKind(medium wire.Medium) webrtc.RTPCodecType {
	if medium == wire.Audio {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

func mimeType(medium wire.Medium) string {
	if medium == wire.Audio {
		return webrtc.MimeTypeOpus
	}
	return webrtc.MimeTypeVP8
}
