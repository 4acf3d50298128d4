package media

import (
	"fmt"
	"sync/atomic"
	"time"
)

// nearKeyframe is how far ahead a keyframe may lie to be the one that a request continues with.
const nearKeyframe = time.Second

// Player walks over a clip in an endless loop. Its clock starts with 0 and never jumps, whatever the position in the clip.
type Player struct {
	// Emit takes each frame when it is due. at is the player's clock. An error takes the player out of its pacer.
	Emit func(frame Frame, at time.Duration) error

	clip    *Clip
	index   int           // frame played next
	clock   time.Duration // when it is due
	request atomic.Bool   // a keyframe is wanted
}

// NewPlayer makes a player for a clip that is not empty.
func NewPlayer(clip *Clip, emit func(Frame, time.Duration) error) (*Player, error) {
	if clip == nil || len(clip.Frames) == 0 {
		return nil, fmt.Errorf("%w: empty clip", ErrFormat)
	}
	return &Player{Emit: emit, clip: clip}, nil
}

// Clip returns what is played.
func (p *Player) Clip() *Clip { return p.clip }

// RequestKeyframe makes the next frame a keyframe. It may be called from any goroutine.
func (p *Player) RequestKeyframe() { p.request.Store(true) }

// step plays the frame that is due and returns when the next one is.
func (p *Player) step() (next time.Duration, err error) {
	if p.request.Swap(false) {
		p.index = p.keyframe(p.index)
	}
	frame := p.clip.Frames[p.index]
	if err := p.Emit(frame, p.clock); err != nil {
		return 0, err
	}
	p.index++
	end := p.clip.Length
	if p.index < len(p.clip.Frames) {
		end = p.clip.Frames[p.index].At
	} else {
		p.index = 0
	}
	p.clock += max(end-frame.At, time.Millisecond)
	return p.clock, nil
}

// skip moves the clock on without playing, when the pacer is so late that a burst would help nobody. What comes next should be decodable.
func (p *Player) skip(lost time.Duration) {
	p.clock += lost
	p.request.Store(true)
}

// keyframe returns the frame to go on with so that somebody who has seen nothing gets a picture, as doc.go says.
func (p *Player) keyframe(from int) int {
	frames := p.clip.Frames
	now := frames[from].At
	next, ahead := 0, p.clip.Length // the next keyframe, over the end of the loop if need be
	nearest, away := 0, p.clip.Length
	for i, frame := range frames {
		if !frame.Key {
			continue
		}
		distance := frame.At - now
		if distance.Abs() < away {
			nearest, away = i, distance.Abs()
		}
		if i < from {
			distance += p.clip.Length
		}
		if distance < ahead {
			next, ahead = i, distance
		}
	}
	if ahead <= nearKeyframe {
		return next
	}
	return nearest
}
