package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"meetzone/zonectl/client"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// none is the value of --audio, --video and --content that sends nothing.
const none = "none"

// openClip opens what a flag names: a built-in loop, a file, or nothing.
func openClip(flag, value string, codec media.Codec) (*media.Clip, error) {
	var clip *media.Clip
	var err error
	switch {
	case value == none || value == "":
		return nil, nil
	case value == "tone" && codec == media.Opus:
		clip, err = media.Tone()
	case value == "pattern" && codec == media.VP8:
		clip, err = media.Pattern()
	default:
		clip, err = media.Open(value)
	}
	if err == nil && clip.Codec != codec {
		err = fmt.Errorf("%s is %s, not %s", value, clip.Codec, codec)
	}
	if err != nil {
		return nil, &client.Error{Text: fmt.Sprintf("What --%s names cannot be sent: %v.", flag, err),
			Advice: "Audio must be Opus in OGG, video and content VP8 in IVF.", Err: err}
	}
	return clip, nil
}

// sources play the clips of one participant. Players come into being with the session, but requests for keyframes may come earlier.
type sources struct {
	clips   [len(wire.Media)]*media.Clip
	players [len(wire.Media)]atomic.Pointer[media.Player]
}

// keyframe is told that somebody needs a keyframe.
func (s *sources) keyframe(medium wire.Medium) {
	for i, of := range wire.Media {
		if player := s.players[i].Load(); of == medium && player != nil {
			player.RequestKeyframe()
		}
	}
}

// start plays all clips into the session.
func (s *sources) start(session *client.Session, pacer *media.Pacer, at time.Time) error {
	for i, medium := range wire.Media {
		sender := session.Sender(medium)
		if s.clips[i] == nil || sender == nil {
			continue
		}
		player, err := media.NewPlayer(s.clips[i], func(frame media.Frame, at time.Duration) error { return sender.Send(frame.Data, at) })
		if err != nil {
			return fmt.Errorf("play %s: %w", medium, err)
		}
		s.players[i].Store(player)
		pacer.Add(player, at)
	}
	return nil
}
