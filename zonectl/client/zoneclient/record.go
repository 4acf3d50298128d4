package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pion/rtp"

	"meetzone/zonectl/client"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// recorder writes what arrives: for each slot MID.ivf, MID.h264 or MID.ogg, MID-2 and so on after a change of codec, and slots.jsonl with who was in them, when.
type recorder struct {
	dir   string
	start time.Time

	// mu guards what follows: slots are read by one goroutine each, events come from another.
	mu      sync.Mutex
	log     *os.File
	slots   map[string]*slotRecorder
	session *client.Session
	err     error // the first that happened
}

// Waiting for a repair, and between two requests for a keyframe.
const (
	repairWait    = 400 * time.Millisecond
	keyframeEvery = 300 * time.Millisecond
)

func newRecorder(dir string) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make directory for the recording: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, "slots.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("start the recording: %w", err)
	}
	return &recorder{dir: dir, start: time.Now(), log: log, slots: make(map[string]*slotRecorder)}, nil
}

// attach tells the recorder whom to ask for keyframes.
func (r *recorder) attach(session *client.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = session
}

// slotEvent is one line of slots.jsonl.
type slotEvent struct {
	MS    float64     `json:"ms"` // since the recording began
	Slots []wire.Slot `json:"slots,omitempty"`
	End   *slotEnd    `json:"end,omitempty"`
}

// slotEnd sums a slot up.
type slotEnd struct {
	Mid       string  `json:"mid"`
	Frames    int     `json:"frames"` // written
	Keyframes int     `json:"keyframes"`
	Gaps      int     `json:"gaps"`        // losses that nothing repaired
	LongestMS float64 `json:"longest_ms"`  // between two frames that were written
	FirstMS   float64 `json:"first_ms"`    // when the first frame came
	Requests  int     `json:"requests"`    // for keyframes
	LastMS    float64 `json:"last_ms"`     // when the last frame came
	Streams   int     `json:"streams"`     // SSRCs, one per PeerConnection
	Bytes     int     `json:"bytes"`       // of frames
	Packets   int     `json:"packets"`     // with a payload or without
	Duration  float64 `json:"duration_ms"` // on the stream's own clock
}

func (r *recorder) event(message wire.Message) {
	slots, is := message.(wire.Slots)
	if !is {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writeLocked(slotEvent{MS: milliseconds(time.Since(r.start)), Slots: slots.Slots})
}

func (r *recorder) writeLocked(event slotEvent) {
	if err := json.NewEncoder(r.log).Encode(event); err != nil && r.err == nil {
		r.err = fmt.Errorf("write the log of the recording: %w", err)
	}
}

// receive takes a packet of a slot.
func (r *recorder) receive(packet client.Packet) {
	var parsed rtp.Packet
	if err := parsed.Unmarshal(packet.Data); err != nil {
		return
	}
	r.mu.Lock()
	slot := r.slots[packet.Slot]
	if slot == nil {
		slot = newSlotRecorder(r, packet.Slot)
		r.slots[packet.Slot] = slot
	}
	session := r.session
	r.mu.Unlock()
	slot.push(&parsed, packet.Codec, packet.At)
	if slot.wantsKeyframe(packet.At) && session != nil {
		session.RequestKeyframe(packet.Slot)
	}
}

// close completes all files. Nothing may be received any more.
func (r *recorder) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.err
	for _, slot := range r.slots {
		all = errors.Join(all, slot.close())
		r.writeLocked(slotEvent{MS: milliseconds(time.Since(r.start)), End: &slot.end})
	}
	return errors.Join(all, r.log.Close())
}

// slotRecorder writes one slot. The goroutine that reads the slot owns it.
type slotRecorder struct {
	recorder *recorder
	path     string
	video    bool
	ssrc     uint32
	reorder  *media.Reorder
	frames   *media.Frames
	codec    media.Codec
	files    int // made so far
	ivf      *media.IVFWriter
	ogg      *media.OGGWriter
	file     *os.File
	now      time.Time // of the packet being pushed
	began    time.Time // when the first stream began
	base     uint64    // time stamp in the file at which the present stream begins
	first    uint64    // time stamp of the present stream's first packet
	written  uint64    // time stamp in the file of the last frame
	frameAt  time.Time
	asked    time.Time
	end      slotEnd
	err      error
}

func newSlotRecorder(r *recorder, mid string) *slotRecorder {
	s := &slotRecorder{recorder: r, path: filepath.Join(r.dir, mid), video: mid[0] != 'a'}
	s.end.Mid = mid
	return s
}

// push puts a packet into order, beginning anew where a fresh PeerConnection brought another stream.
func (s *slotRecorder) push(packet *rtp.Packet, codec media.Codec, now time.Time) {
	s.now = now
	s.end.Packets++
	if s.reorder == nil || packet.SSRC != s.ssrc {
		if s.reorder != nil {
			s.reorder.Flush()
		} else {
			s.began = now
		}
		s.ssrc, s.first = packet.SSRC, 0
		if s.frames != nil {
			s.frames.Gap()
		}
		s.base = max(uint64(now.Sub(s.began).Seconds()*float64(s.clockRate())), s.written+1)
		s.reorder = &media.Reorder{Wait: repairWait, Deliver: s.deliver}
		s.end.Streams++
	}
	s.reorder.Push(codec, packet.SequenceNumber, packet.Timestamp, packet.Marker, packet.Payload, now)
}

func (s *slotRecorder) clockRate() uint32 {
	if s.video {
		return media.VP8.ClockRate()
	}
	return media.Opus.ClockRate()
}

// deliver takes the packets in order.
func (s *slotRecorder) deliver(packet media.Arrived, gap bool) {
	if gap {
		s.end.Gaps++
		s.frames.Gap()
	}
	if len(packet.Payload) == 0 || s.err != nil {
		return
	}
	if s.first == 0 {
		s.first = packet.Stamp
	}
	stamp := s.base + packet.Stamp - min(s.first, packet.Stamp)
	if s.err = s.open(packet.Codec); s.err != nil {
		return
	}
	if !s.video {
		s.err = s.ogg.WritePacket(packet.Payload, stamp)
		s.note(len(packet.Payload), stamp, false)
		return
	}
	if frame, key, complete := s.frames.Push(packet.Payload, packet.Stamp, packet.Marker); complete {
		if s.ivf != nil {
			s.err = s.ivf.WriteFrame(frame, stamp)
		} else {
			_, s.err = s.file.Write(frame)
		}
		s.note(len(frame), stamp, key)
	}
}

// note counts a frame that was written.
func (s *slotRecorder) note(size int, stamp uint64, key bool) {
	since := s.recorder.start
	if s.end.Frames == 0 {
		s.end.FirstMS = milliseconds(s.now.Sub(since))
	} else {
		s.end.LongestMS = max(s.end.LongestMS, milliseconds(s.now.Sub(s.frameAt)))
	}
	s.end.Frames++
	if key {
		s.end.Keyframes++
	}
	s.end.Bytes += size
	s.end.LastMS = milliseconds(s.now.Sub(since))
	s.end.Duration = float64(stamp) / float64(s.clockRate()) * 1000
	s.frameAt, s.written = s.now, stamp
}

// wantsKeyframe says whether a keyframe must be asked for: nothing can be decoded, and it was not asked for just now.
func (s *slotRecorder) wantsKeyframe(now time.Time) bool {
	if !s.video || s.frames != nil && s.frames.Ready() || now.Sub(s.asked) < keyframeEvery {
		return false
	}
	s.asked = now
	s.end.Requests++
	return true
}

// open makes the file when the first packet comes, and another one when the codec of a picture changes.
func (s *slotRecorder) open(codec media.Codec) (err error) {
	if s.file != nil && codec == s.codec {
		return nil
	}
	if err := s.closeFile(); err != nil {
		return err
	}
	s.codec, s.ivf, s.frames = codec, nil, media.NewFrames(codec)
	s.files++
	name := s.path
	if s.files > 1 {
		name += "-" + strconv.Itoa(s.files)
	}
	if s.file, err = os.Create(name + suffixes[codec]); err != nil {
		return fmt.Errorf("record a slot: %w", err)
	}
	switch codec {
	case media.Opus:
		s.ogg, err = media.NewOGGWriter(s.file)
	case media.H264:
	default:
		s.ivf, err = media.NewIVFWriter(s.file, codec)
	}
	return err
}

// suffixes say how each codec is kept: H.264 as a byte stream (ITU-T H.264, annex B).
var suffixes = map[media.Codec]string{media.Opus: ".ogg", media.VP8: ".ivf", media.VP9: ".ivf", media.AV1: ".ivf", media.H264: ".h264"}

// closeFile completes the present file.
func (s *slotRecorder) closeFile() (err error) {
	switch {
	case s.ogg != nil:
		return s.ogg.Close() // which closes the file
	case s.ivf != nil:
		err = s.ivf.Close()
	}
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	return err
}

// close writes what is still held and completes the file.
func (s *slotRecorder) close() error {
	if s.reorder != nil {
		s.reorder.Flush()
	}
	return errors.Join(s.err, s.closeFile())
}
