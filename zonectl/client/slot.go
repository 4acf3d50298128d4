package client

import (
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// slot is one receive slot. It outlives the PeerConnections that fill it.
type slot struct {
	mid    string
	medium wire.Medium

	// mu guards what follows: runSlot writes it, Stats reads it.
	mu        sync.Mutex
	reception reception
	motion    motion
	first     time.Time // when the first packet came
	last      time.Time
}

func newSlot(mid string) *slot {
	s := &slot{mid: mid, medium: midMedium(mid)}
	s.reception.clockRate = 90000
	if s.medium == wire.Audio {
		s.reception.clockRate = 48000
	}
	return s
}

// markerBit is in the second byte of an RTP header; on a picture's packet it ends a frame.
const markerBit = 0x80

// slotBuffer holds the largest datagram that a router sends.
const slotBuffer = 1600

// runSlot reads what arrives in a slot until its PeerConnection is closed.
func (s *Session) runSlot(into *slot, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	buffer := make([]byte, slotBuffer)
	types := map[uint8]media.Codec{}
	for _, parameters := range receiver.GetParameters().Codecs {
		types[uint8(parameters.PayloadType)] = codecOf(into.medium, parameters.MimeType)
	}
	for {
		n, _, err := track.Read(buffer)
		if err != nil {
			return
		}
		now := time.Now()
		into.mu.Lock()
		fresh := into.reception.insert(buffer[:n], now)
		if fresh {
			into.last = now
			if into.medium != wire.Audio && buffer[1]&markerBit != 0 {
				into.motion.frame(now)
			}
			if into.first.IsZero() {
				into.first = now
			}
		}
		into.mu.Unlock()
		if fresh {
			s.cfg.Receive(Packet{Slot: into.mid, Data: buffer[:n], At: now, Codec: types[buffer[1]&0x7f]})
		}
	}
}

// codecOf returns the codec of a media type; VP8 where a picture's is unknown.
func codecOf(medium wire.Medium, mime string) media.Codec {
	if medium == wire.Audio {
		return media.Opus
	}
	for _, codec := range media.Pictures {
		if strings.EqualFold(codec.MimeType(), mime) {
			return codec
		}
	}
	return media.VP8
}

// runReceiverReports reads the RTCP of a receiver, which is how the interceptors get to see sender reports.
func runReceiverReports(receiver *webrtc.RTPReceiver) {
	buffer := make([]byte, slotBuffer)
	for {
		if _, _, err := receiver.Read(buffer); err != nil {
			return
		}
	}
}
