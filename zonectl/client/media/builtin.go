package media

import (
	_ "embed"
)

//go:embed tone.ogg
var toneOGG []byte

//go:embed pattern.ivf
var patternIVF []byte

//go:embed pattern-l.ivf
var patternSmall []byte

//go:embed pattern-m.ivf
var patternMiddle []byte

//go:embed pattern-h.ivf
var patternLarge []byte

// sizesLayers are the temporal layers of the frames of Sizes, from each keyframe on.
var sizesLayers = [4]TemporalLayer{
	{Told: true}, {Told: true, ID: 2, Sync: true, Last: true}, {Told: true, ID: 1, Sync: true}, {Told: true, ID: 2, Last: true},
}

// Sizes is one moving picture in three sizes, the smallest first: 320 by 180, 640 by 360 and 1280 by 720, some 150, 400 and 800 kbit/s, with three
// temporal layers each.
func Sizes() ([]*Clip, error) {
	var clips []*Clip
	for _, data := range [][]byte{patternSmall, patternMiddle, patternLarge} {
		clip, err := readIVF(data)
		if err != nil {
			return nil, err
		}
		since := 0
		for i := range clip.Frames {
			if clip.Frames[i].Key {
				since = 0
			}
			clip.Frames[i].Layer = sizesLayers[since%len(sizesLayers)]
			since++
		}
		clips = append(clips, clip)
	}
	return clips, nil
}

// Tone is three seconds of a tone that swells twice a second, 20 ms in each packet.
func Tone() (*Clip, error) { return readOGG(toneOGG) }

// Pattern is three seconds of a moving picture, 640 by 360, 30 frames a second, some 480 kbit/s.
func Pattern() (*Clip, error) { return readIVF(patternIVF) }
