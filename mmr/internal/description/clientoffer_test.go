package description

import (
	_ "embed"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// Offers that pion made.
var (
	//go:embed testdata/publisher.sdp
	publisherSDP string
	//go:embed testdata/watcher.sdp
	watcherSDP string
)

func TestClientOffer(t *testing.T) {
	o, err := ParseClientOffer(publisherSDP)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Sections) != 2 || o.Ufrag != "YEhvUKVItsTmdFQi" || o.Pwd != "yXZJxSIOfRIDqSmBtjiFBuYFEkPNWdRm" || !o.Mixed {
		t.Errorf("%+v", o)
	}
	if s := o.Sections[1]; s.Kind != "video" || s.Mid != "1" || !s.Sends || s.Gets || s.Setup != "actpass" || s.Retransmission[1660187060] != 4062903391 {
		t.Errorf("%+v", s)
	}
	if o, err := ParseClientOffer(watcherSDP); err != nil || o.Sections[0].Sends || !o.Sections[0].Gets {
		t.Errorf("%+v %v", o, err)
	}
}

// TestBundleOnly: with max-bundle the sections behind the first have port 0, which does not reject them. RFC 9143, section 6.
func TestBundleOnly(t *testing.T) {
	bundled := strings.Replace(publisherSDP, "m=video 9", "m=video 0", 1)
	o, err := ParseClientOffer(strings.Replace(bundled, "a=mid:1\r\n", "a=mid:1\r\na=bundle-only\r\n", 1))
	if err != nil || o.Sections[1].Rejected {
		t.Errorf("%+v %v", o, err)
	}
	if o, err := ParseClientOffer(bundled); err != nil || !o.Sections[1].Rejected {
		t.Errorf("%+v %v", o, err)
	}
}

func TestClientOfferRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":      {"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", ErrSyntax},
		"no mid":       {strings.Replace(publisherSDP, "a=mid:1", "a=x", 1), ErrSyntax},
		"two bundles":  {strings.Replace(publisherSDP, "BUNDLE 0 1", "BUNDLE 0", 1), ErrNotBundled},
		"other group":  {strings.Replace(publisherSDP, "BUNDLE 0 1", "LS 0 1", 1), ErrNotBundled},
		"no ice-ufrag": {strings.ReplaceAll(publisherSDP, "a=ice-ufrag", "a=x"), ErrNoICE},
	} {
		if _, err := ParseClientOffer(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestReply: an answer has what RFC 9725 asks for beside what an offer has.
func TestReply(t *testing.T) {
	r := Reply{Offer: Offer{Session: 7, Version: 1, Fingerprint: FingerprintOf([]byte("certificate")),
		Candidates: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8801")},
		Groups: []Group{{Ufrag: "u", Pwd: "p", Sections: []Section{
			{Mid: "0", Kind: "audio", Codecs: []Codec{{PayloadType: 109, Name: "opus", ClockRate: 48000, Channels: 2}}},
			{Mid: "1", Kind: "video", Codecs: []Codec{{PayloadType: 120, Name: "VP8", ClockRate: 90000}}},
		}}}}}
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a=group:BUNDLE 0 1\r\n", "a=ice-lite\r\n", "a=setup:passive\r\n", "a=recvonly\r\n", "a=rtpmap:120 VP8/90000\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "a=rtcp-mux-only\r\n"); n != 2 {
		t.Errorf("rtcp-mux-only %d times", n)
	}
	if strings.Contains(text, "extmap-allow-mixed") {
		t.Error("mixed extensions were not offered")
	}
	r.Mixed = true
	if text, err = r.Marshal(); err != nil || !strings.Contains(text, "extmap-allow-mixed") {
		t.Errorf("mixed extensions were offered: %v", err)
	}
}

func TestFragment(t *testing.T) {
	// The first is the example of RFC 9725, section 4.3.2, abridged; the second has the attributes in the sections.
	for name, text := range map[string]string{
		"of the session": "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" +
			"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\na=end-of-candidates\r\n",
		"of a section": "m=audio 9 RTP/AVP 0\na=mid:0\na=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n",
	} {
		f, err := ParseFragment(text)
		if err != nil || f.Ufrag != "EsAw" || f.Pwd != "P2uYro0UCOQ4zxjKXaWCBui1" {
			t.Errorf("%s: %+v %v", name, f, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":    "",
		"no lines":   "hello",
		"no pwd":     "a=ice-ufrag:EsAw\r\n",
		"too long":   "a=ice-ufrag:u\r\na=ice-pwd:p\r\n" + strings.Repeat("x", MaxFragment),
		"many lines": "a=ice-ufrag:u\r\na=ice-pwd:p\r\n" + strings.Repeat("a=x\r\n", maxFragmentLines),
		"long pwd":   "a=ice-ufrag:u\r\na=ice-pwd:" + strings.Repeat("p", maxICEValue+1) + "\r\n",
	} {
		if f, err := ParseFragment(text); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestRestartReads: what answers a restart is a fragment itself.
func TestRestartReads(t *testing.T) {
	r := Restart{Ufrag: "u", Pwd: "p", Mid: "0", Kind: "audio", Candidates: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8801")}}
	text := r.Marshal()
	if f, err := ParseFragment(text); err != nil || f != (Fragment{Ufrag: "u", Pwd: "p"}) {
		t.Errorf("%+v %v", f, err)
	}
	if !strings.Contains(text, "a=candidate:") || !strings.Contains(text, "a=ice-lite\r\n") || !strings.Contains(text, "m=audio 9 ") {
		t.Errorf("%q", text)
	}
}

// FuzzParseClientOffer: whatever is read keeps to the bounds and can be told apart by its mids.
func FuzzParseClientOffer(f *testing.F) {
	f.Add(publisherSDP)
	f.Add(watcherSDP)
	f.Add(strings.Replace(publisherSDP, "m=video 9", "m=video 0", 1))
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseClientOffer(text)
		if err != nil {
			return
		}
		if len(o.Sections) == 0 || len(o.Sections) > MaxSections || o.Ufrag == "" || o.Pwd == "" {
			t.Errorf("%+v", o)
		}
		mids := map[string]bool{}
		for _, s := range o.Sections {
			if s.Mid == "" || mids[s.Mid] {
				t.Errorf("mid %q", s.Mid)
			}
			mids[s.Mid] = true
		}
	})
}

// FuzzParseFragment: whatever is read is of bounded length and on one line.
func FuzzParseFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n")
	f.Add("a=ice-ufrag\na=ice-pwd:")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseFragment(text)
		if err != nil {
			return
		}
		for _, v := range []string{got.Ufrag, got.Pwd} {
			if v == "" || len(v) > maxICEValue || strings.Contains(v, "\n") {
				t.Errorf("%+v", got)
			}
		}
	})
}
