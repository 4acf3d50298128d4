package description

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
)

func testOffer() Offer {
	vp8 := []Codec{
		{PayloadType: 96, Name: "VP8", ClockRate: 90000, Feedback: []string{"nack", "nack pli"}},
		{PayloadType: 97, Name: "rtx", ClockRate: 90000, Repairs: 96},
	}
	return Offer{
		Session: 7, Version: 3, Fingerprint: FingerprintOf([]byte("certificate")),
		Candidates: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8801"), netip.MustParseAddrPort("[2001:db8::1]:8801")},
		Groups: []Group{
			{Ufrag: "ua", Pwd: "pa", Sections: []Section{
				{
					Mid: "audio-up", Kind: "audio", Extensions: []Extension{{ID: 1, URI: "urn:x"}},
					Codecs: []Codec{{PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2, Parameters: "useinbandfec=1"}},
				},
			}},
			{Ufrag: "uv", Pwd: "pv", Sections: []Section{
				{Mid: "video0", Kind: "video", Send: true, Codecs: vp8, SSRC: 11, RTXSSRC: 12},
				{Mid: "video1", Kind: "video", Send: true, Codecs: vp8, SSRC: 13, RTXSSRC: 14},
			}},
		},
	}
}

// TestOffer compares the text with the one in testdata, which was looked at.
func TestOffer(t *testing.T) {
	got, err := testOffer().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/offer.sdp")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("offer:\n%s", got)
	}
}

func TestOfferWithoutAddress(t *testing.T) {
	o := testOffer()
	o.Candidates = nil
	if _, err := o.Marshal(); err == nil {
		t.Error("an offer without candidates leads nowhere")
	}
}

// TestOfferParses reads an offer back with the reader of answers: they have the same form.
func TestOfferParses(t *testing.T) {
	text, err := testOffer().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParseAnswer(text)
	if err != nil {
		t.Fatal(err)
	}
	v := a.Section("video1")
	if v == nil || v.Ufrag != "uv" || v.Setup != "passive" || !v.Sends || v.Gets || v.Rejected {
		t.Fatalf("section %+v", v)
	}
	if want := []uint32{13, 14}; !reflect.DeepEqual(v.SSRCs, want) || v.Retransmission[13] != 14 {
		t.Errorf("sources %v %v", v.SSRCs, v.Retransmission)
	}
	if rtx, ok := v.Codec(97); !ok || rtx.Name != "rtx" || rtx.Repairs != 96 {
		t.Errorf("codec %+v", rtx)
	}
	if len(v.Fingerprints) != 1 || !v.Fingerprints[0].Equal(FingerprintOf([]byte("certificate"))) {
		t.Errorf("fingerprints %v", v.Fingerprints)
	}
	up := a.Section("audio-up")
	if up == nil || up.Sends || !up.Gets || len(up.Extensions) != 1 || up.Extensions[0] != (Extension{1, "urn:x"}) {
		t.Errorf("section %+v", up)
	}
}

// TestSessionLevel: Firefox writes the fingerprint once, for all sections.
func TestSessionLevel(t *testing.T) {
	sum := FingerprintOf([]byte("x")).String()
	a, err := ParseAnswer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:" + sum + "\r\na=setup:active\r\na=inactive\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=ice-ufrag:u\r\n" +
		"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:b\r\na=sendonly\r\na=setup:passive\r\n")
	if err != nil {
		t.Fatal(err)
	}
	first, second := a.Section("a"), a.Section("b")
	if first.Setup != "active" || len(first.Fingerprints) != 1 || first.Sends || first.Gets || first.Rejected {
		t.Errorf("first %+v", first)
	}
	if second.Setup != "passive" || !second.Sends || second.Gets || !second.Rejected {
		t.Errorf("second %+v", second)
	}
}

func TestRefused(t *testing.T) {
	head := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	m := "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\n"
	for name, x := range map[string]struct {
		text string
		want error
	}{
		"no SDP":        {"hello", ErrSyntax},
		"too long":      {head + strings.Repeat("a=x\r\n", MaxAnswer/5), ErrTooLarge},
		"many sections": {head + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", MaxSections+1), ErrTooLarge},
		"same mid":      {head + m + m, ErrDuplicate},
		"many formats":  {head + "m=audio 9 UDP/TLS/RTP/SAVPF" + strings.Repeat(" 1", maxFormats+1) + "\r\n", ErrTooLarge},
	} {
		if _, err := ParseAnswer(x.text); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	der := []byte("der")
	f := FingerprintOf(der)
	sum := sha256.Sum256(der)
	if f.Hash != "sha-256" || !reflect.DeepEqual(f.Sum, sum[:]) || !f.Matches(der) || f.Matches([]byte("other")) {
		t.Errorf("fingerprint %v", f)
	}
	if got, ok := parseFingerprint(strings.ToLower(f.String())); !ok || !got.Equal(f) {
		t.Errorf("parsed %v %v", got, ok)
	}
	for _, bad := range []string{"", "sha-256", "sha-256 AB", "sha-1 " + strings.Repeat("AB:", 19) + "AB", "md5 " + strings.Repeat("AB:", 15) + "AB",
		"sha-256 " + strings.Repeat("XY:", 31) + "XY"} {
		if f, ok := parseFingerprint(bad); ok {
			t.Errorf("%q was taken as %v", bad, f)
		}
	}
	if (Fingerprint{Hash: "sha-1"}).Matches(der) {
		t.Error("SHA-1 is not good enough")
	}
}

// FuzzParseAnswer: whatever is accepted keeps to the bounds.
func FuzzParseAnswer(f *testing.F) {
	offer, err := testOffer().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(offer)
	f.Add(strings.ReplaceAll(offer, "passive", "active"))
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000/x\r\na=fmtp:97 a;apt=96\r\n" +
		"a=rtcp-fb:* nack\r\na=ssrc-group:FID 1 2\r\na=ssrc:1\r\na=extmap:1/recvonly urn:x y\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAnswer(text)
		if err != nil {
			return
		}
		if len(a.Sections) > MaxSections {
			t.Errorf("%d sections", len(a.Sections))
		}
		for _, s := range a.Sections {
			if len(s.Codecs) > maxFormats || len(s.SSRCs) > maxSources || len(s.Retransmission) > maxSources || len(s.Extensions) > maxFormats {
				t.Errorf("section beyond the bounds: %+v", s)
			}
			if s.Mid != "" && a.Section(s.Mid) == nil {
				t.Errorf("section %q cannot be found", s.Mid)
			}
		}
	})
}
