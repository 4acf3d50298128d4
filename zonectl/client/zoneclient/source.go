package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"meetzone/zonectl/client"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// none is the value of --audio, --video and --content that sends nothing.
const none = "none"

// openClips opens what a flag names: a built-in loop, files, or nothing. Of pictures there may be a file for each codec.
func openClips(flag, value string, medium wire.Medium) (clips []*media.Clip, err error) {
	if value == none || value == "" {
		return nil, nil
	}
	if value == "sizes" && medium == wire.Video {
		return media.Sizes()
	}
	for _, name := range strings.Split(value, ",") {
		clip, err := openClip(name, medium)
		if err == nil && slices.ContainsFunc(clips, func(c *media.Clip) bool { return c.Codec == clip.Codec }) {
			err = fmt.Errorf("%s is %s, like another", name, clip.Codec)
		}
		if err != nil {
			return nil, &client.Error{Text: fmt.Sprintf("What --%s names cannot be sent: %v.", flag, err),
				Advice: "Audio must be one file of Opus in OGG; of video and content there may be one of VP8, VP9 and AV1 each, in IVF, with commas between them.", Err: err}
		}
		clips = append(clips, clip)
	}
	return clips, nil
}

// openClip opens one.
func openClip(name string, medium wire.Medium) (clip *media.Clip, err error) {
	switch {
	case name == "tone" && medium == wire.Audio:
		clip, err = media.Tone()
	case name == "pattern" && medium != wire.Audio:
		clip, err = media.Pattern()
	default:
		clip, err = media.Open(name)
	}
	if err == nil && (clip.Codec == media.Opus) != (medium == wire.Audio) {
		err = fmt.Errorf("%s is %s, which is no %s", name, clip.Codec, medium)
	}
	return clip, err
}

// codecsOf returns the codecs of clips.
func codecsOf(clips ...[]*media.Clip) (list []media.Codec) {
	for _, group := range clips {
		for _, clip := range group {
			if clip.Codec != media.Opus && !slices.Contains(list, clip.Codec) {
				list = append(list, clip.Codec)
			}
		}
	}
	return list
}

// sources play the clips of one participant; of several for one medium the one is sent that has the codec that is wanted. Players come into being
// with the session, but requests for keyframes may come earlier.
type sources struct {
	clips   [len(wire.Media)][]*media.Clip
	players [len(wire.Media)]atomic.Pointer[[]*media.Player]
}

// encodings is how many sizes of the camera's picture there are: more than one are in the same codec.
func (s *sources) encodings() int {
	if clips := s.clips[1]; len(clips) > 1 && clips[0].Codec == clips[1].Codec {
		return len(clips)
	}
	return 1
}

// keyframe is told that somebody needs a keyframe of an encoding.
func (s *sources) keyframe(medium wire.Medium, encoding int) {
	for i, of := range wire.Media {
		if players := s.players[i].Load(); of == medium && players != nil {
			for j, player := range *players {
				if medium == wire.Video && s.encodings() > 1 && j != encoding {
					continue
				}
				player.RequestKeyframe()
			}
		}
	}
}

// start plays all clips into the session.
func (s *sources) start(session *client.Session, pacer *media.Pacer, at time.Time) error {
	for i, medium := range wire.Media {
		sender := session.Sender(medium)
		if sender == nil {
			continue
		}
		var players []*media.Player
		for j, clip := range s.clips[i] {
			to := sender
			if medium == wire.Video && s.encodings() > 1 {
				to = sender.Encoding(j)
			}
			player, err := media.NewPlayer(clip, func(frame media.Frame, at time.Duration) error { return to.SendFrame(clip.Codec, frame, at) })
			if err != nil {
				return fmt.Errorf("play %s: %w", medium, err)
			}
			players = append(players, player)
			pacer.Add(player, at)
		}
		s.players[i].Store(&players)
	}
	return nil
}
