package client

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"meetzone/zonectl/wire"
)

// offerFile is an offer as docs/protocol.md describes it: three groups, one video slot, ICE-lite.
const offerFile = "testdata/offer.sdp"

func readOffer(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(offerFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSplitOffer(t *testing.T) {
	offer := readOffer(t)
	parts, err := splitOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	mids := [][]string{{"audio-up", "audio0", "audio1", "audio2"}, {"video-up", "video0"}, {"content0"}}
	for i, part := range parts {
		if part.medium != wire.Media[i] {
			t.Errorf("part %d is %s", i, part.medium)
		}
		d, err := parseDescription(part.sdp)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, s := range d.sections {
			found = append(found, s.mid)
		}
		if !slices.Equal(found, mids[i]) || len(d.bundles()) != 1 || !slices.Equal(d.bundles()[0], mids[i]) {
			t.Errorf("sections %v, groups %v instead of %v", found, d.bundles(), mids[i])
		}
		if !slices.Contains(d.session, "a=ice-lite") {
			t.Error("the session's attributes are gone")
		}
		want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.10:8801"), netip.MustParseAddrPort("[2001:db8::10]:8801")}
		if got := candidates(part.sdp, rungUDP); !slices.Equal(got, want) {
			t.Errorf("candidates %v", got)
		}
	}
}

// TestMergeUndoesSplit merges the parts of an offer as if they were answers.
func TestMergeUndoesSplit(t *testing.T) {
	offer := readOffer(t)
	parts, err := splitOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(parts) // the order of answers does not matter
	var answers []string
	for _, part := range parts {
		answers = append(answers, part.sdp)
	}
	merged, err := mergeAnswers(offer, answers)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := parseDescription(offer)
	got, err := parseDescription(merged)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.sections {
		if got.sections[i].mid != want.sections[i].mid || !slices.Equal(got.sections[i].lines, want.sections[i].lines) {
			t.Errorf("section %d is %v instead of %v", i, got.sections[i], want.sections[i])
		}
	}
	if len(got.bundles()) != 3 {
		t.Errorf("groups %v", got.bundles())
	}
}

func TestMergeKeepsTransportsApart(t *testing.T) {
	offer := readOffer(t)
	parts, err := splitOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	var answers []string
	for _, part := range parts {
		bare := strings.ReplaceAll(part.sdp, "a=fingerprint:", "a=x-other:")
		answers = append(answers, strings.Replace(bare, "a=ice-lite", "a=fingerprint:sha-256 "+string(part.medium)+"\r\na=setup:active", 1))
	}
	merged, err := mergeAnswers(offer, answers)
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseDescription(merged)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range d.session {
		if isPerTransport(line) {
			t.Errorf("the session says %q", line)
		}
	}
	for _, s := range d.sections {
		if want := "a=fingerprint:sha-256 " + string(midMedium(s.mid)); !slices.Contains(s.lines, want) {
			t.Errorf("section %s does not say %q", s.mid, want)
		}
	}
}

func TestRefusedDescriptions(t *testing.T) {
	offer := readOffer(t)
	cases := map[string]string{
		"empty":            "",
		"no version":       "o=- 1 1 IN IP4 0.0.0.0\r\n",
		"mid twice":        strings.Replace(offer, "a=mid:audio1", "a=mid:audio0", 1),
		"no mid":           strings.Replace(offer, "a=mid:audio1\r\n", "", 1),
		"mixed group":      strings.Replace(strings.Replace(offer, "BUNDLE audio-up audio0", "BUNDLE audio-up video0", 1), "video-up video0", "video-up audio0", 1),
		"group of nothing": strings.Replace(offer, "BUNDLE content0", "BUNDLE content1", 1),
		"outside":          strings.Replace(offer, "a=group:BUNDLE content0\r\n", "", 1),
		"unknown medium":   strings.ReplaceAll(offer, "content0", "smell0"),
		"too many":         "v=0\r\n" + strings.Repeat("m=audio 9 RTP/AVP 0\r\n", maxSections+1),
		"too large":        "v=0\r\n" + strings.Repeat("a=x\r\n", wire.MaxMessage/5),
	}
	for name, sdp := range cases {
		if _, err := splitOffer(sdp); !errors.Is(err, errDescription) {
			t.Errorf("%s: %v", name, err)
		}
	}
	parts, err := splitOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mergeAnswers(offer, []string{parts[0].sdp, parts[1].sdp}); !errors.Is(err, errDescription) {
		t.Errorf("an answer missing: %v", err)
	}
	if _, err := mergeAnswers(offer, []string{parts[0].sdp, parts[1].sdp, parts[1].sdp}); !errors.Is(err, errDescription) {
		t.Errorf("an answer twice: %v", err)
	}
}

func FuzzSplitOffer(f *testing.F) {
	f.Add(readOffer(f))
	f.Add("v=0\r\na=group:BUNDLE content0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:content0\r\n")
	f.Add("v=0\na=group:BUNDLE\nm=\na=mid:audio-up")
	f.Fuzz(func(t *testing.T, sdp string) {
		parts, err := splitOffer(sdp)
		if err != nil {
			return
		}
		var answers []string
		for _, part := range parts {
			again, err := splitOffer(part.sdp)
			if err != nil || len(again) != 1 || again[0].medium != part.medium {
				t.Fatalf("part %q is no offer: %v", part.sdp, err)
			}
			candidates(part.sdp, rungUDP)
			answers = append(answers, part.sdp)
		}
		merged, err := mergeAnswers(sdp, answers)
		if len(parts) > 0 && err != nil {
			t.Fatalf("parts of %q do not merge: %v", sdp, err)
		}
		if _, err := parseDescription(merged); len(parts) > 0 && err != nil {
			t.Fatalf("merged %q: %v", merged, err)
		}
	})
}
