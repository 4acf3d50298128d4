package codec

import (
	"bytes"
	"errors"
	"testing"
)

// redundant makes a payload of RFC 2198 out of blocks, the newest last.
func redundant(pt uint8, blocks ...string) (b []byte) {
	last := len(blocks) - 1
	for i, block := range blocks[:last] {
		offset := uint32(last-i) * 960
		b = append(b, 0x80|pt, byte(offset>>6), byte(offset<<2)|byte(len(block)>>8), byte(len(block)))
	}
	b = append(b, pt)
	for _, block := range blocks {
		b = append(b, block...)
	}
	return b
}

func TestRED(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 700)) // needs nine bits
	for _, blocks := range [][]string{{"now"}, {""}, {"before", "now"}, {long, "", "before", "now"}} {
		b := redundant(109, blocks...)
		primary, err := ParseRED(b, 109, 111)
		if err != nil {
			t.Fatalf("%q: %v", blocks, err)
		}
		if got := string(b[primary:]); got != blocks[len(blocks)-1] {
			t.Errorf("the newest block is %q", got)
		}
		if want := redundant(111, blocks...); !bytes.Equal(b, want) {
			t.Errorf("%x, want %x", b, want)
		}
	}
}

// TestREDExample reads the example of RFC 2198, section 4: two blocks, in the same format here.
func TestREDExample(t *testing.T) {
	b := append([]byte{0x80 | 5, 160 >> 6, 160 & 0x3f << 2, 20, 5}, make([]byte, 84+20)...)
	if primary, err := ParseRED(b, 5, 5); err != nil || primary != 25 {
		t.Errorf("%d, %v", primary, err)
	}
}

func TestHostileRED(t *testing.T) {
	whole := redundant(111, "before", "now")
	for i := range 5 + len("before") {
		if _, err := ParseRED(whole[:i], 111, 111); !errors.Is(err, ErrShort) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	many := make([]string, maxREDBlocks+2)
	for name, b := range map[string][]byte{
		"another format": redundant(0, "before", "now"), "one block of another format": append([]byte{0x80 | 8}, redundant(111, "a", "b")...),
		"more than anybody sends": redundant(111, many...),
	} {
		before := bytes.Clone(b)
		if _, err := ParseRED(b, 111, 96); err == nil || !bytes.Equal(b, before) {
			t.Errorf("%s: %v, changed: %v", name, err, !bytes.Equal(b, before))
		}
	}
}

// FuzzRED: whatever comes, what is found lies within the payload, nothing but payload types changes, and it reads the same again.
func FuzzRED(f *testing.F) {
	f.Add(redundant(111, "before", "now"))
	f.Add(redundant(111, "a", "", "b", "now"))
	f.Add([]byte{0xef, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		primary, err := ParseRED(b, 111, 96)
		if err != nil {
			if !bytes.Equal(b, before) {
				t.Fatal("changed, although it was refused")
			}
			return
		}
		if primary < 1 || primary > len(b) || !bytes.Equal(b[primary:], before[primary:]) {
			t.Fatalf("%d of %d bytes", primary, len(b))
		}
		if again, err := ParseRED(b, 96, 111); err != nil || again != primary || !bytes.Equal(b, before) {
			t.Fatalf("%d, %v", again, err)
		}
	})
}
