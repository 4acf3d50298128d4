package media

import (
	_ "embed"
)

//go:embed tone.ogg
var toneOGG []byte

//go:embed pattern.ivf
var patternIVF []byte

// Tone is three seconds of a tone that swells twice a second, 20 ms in each packet.
func Tone() (*Clip, error) { return readOGG(toneOGG) }

// Pattern is three seconds of a moving picture, 640 by 360, 30 frames a second, some 480 kbit/s.
func Pattern() (*Clip, error) { return readIVF(patternIVF) }
