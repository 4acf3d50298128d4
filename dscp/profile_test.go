package dscp

import (
	"strings"
	"testing"
)

func TestShippedProfiles(t *testing.T) {
	for name, want := range map[string][3]CodePoint{
		"": {46, 34, 36}, ProfileRFC4594: {46, 34, 36}, ProfileWebex: {46, 34, 34}, ProfileZoom: {56, 40, 40}, ProfileOff: {0, 0, 0},
	} {
		p, err := ShippedProfile(name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		m := p.Points()
		if got := [3]CodePoint{m[Audio], m[Video], m[Content]}; got != want {
			t.Errorf("%q: have %v, want %v", name, got, want)
		}
		if w := p.Warnings(); len(w) != 0 {
			t.Errorf("%q: a shipped profile warns: %q", name, w)
		}
	}
	if _, err := ShippedProfile("rfc4595"); err == nil {
		t.Error("an unknown profile was taken")
	}
}

func TestCustomWarns(t *testing.T) {
	p, _ := ShippedProfile(ProfileCustom)
	if w := p.Warnings(); len(w) != 0 {
		t.Errorf("the starting point of a custom profile warns: %q", w)
	}
	p, err := p.With(map[Class]CodePoint{Audio: CS6, Content: AF41})
	if err != nil {
		t.Fatal(err)
	}
	if w := strings.Join(p.Warnings(), "\n"); !strings.Contains(w, "audio on 48 CS6 (ToS 0xc0)") || !strings.Contains(w, "video and content share 34 AF41") {
		t.Errorf("warnings: %q", w)
	}
	if _, err := p.With(map[Class]CodePoint{Audio: 64}); err == nil {
		t.Error("64 was taken for a code point")
	}
}

func TestFwmarksDiffer(t *testing.T) {
	seen := map[uint32]Class{0: 255}
	for c := range Class(NumClasses) {
		if other, ok := seen[c.Fwmark()]; ok {
			t.Errorf("%s has the fwmark of %s", c, other)
		}
		seen[c.Fwmark()] = c
		if back, err := ParseClass(c.String()); err != nil || back != c {
			t.Errorf("%s: parsed as %v, %v", c, back, err)
		}
	}
}

func FuzzParseCodePoint(f *testing.F) {
	for _, s := range []string{"46", "EF", "af41", "64", "-1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCodePoint(s); err == nil && c > MaxCode {
			t.Fatalf("%q became %d", s, c)
		}
	})
}
