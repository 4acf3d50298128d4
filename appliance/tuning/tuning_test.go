package tuning

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/safchain/ethtool"

	"meetzone/dataplane/nstest"
)

// TestImageTunes: systemd sets at boot what Read wants of the kernel.
func TestImageTunes(t *testing.T) {
	files := ""
	for _, name := range []string{"meetzone.sysctl", "meetzone.tmpfiles"} {
		text, err := os.ReadFile("../../init/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files += string(text)
	}
	for _, k := range keys {
		line := fmt.Sprintf("\n%s = %d\n", k.name, k.wanted)
		if k.name == Governor {
			line = "/cpufreq/scaling_governor - - - - " + performance
		}
		if !strings.Contains(files, line) {
			t.Errorf("%q is not in the image", strings.TrimSpace(line))
		}
	}
}

// TestRead: every key is there once, with a word on what it is for, and what the kernel has is told as it is.
func TestRead(t *testing.T) {
	seen := map[string]Setting{}
	for _, s := range Read(Cards()) {
		if _, twice := seen[s.Name]; twice || s.What == "" || s.Gain == "" || s.Wanted == "" || s.Missing && s.Note == "" {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = s
	}
	text, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Skip("this kernel tells no rmem_max")
	}
	if got := seen[string(ReceiveBuffer)].Actual; got != strings.TrimSpace(string(text)) {
		t.Errorf("rmem_max is told as %s, and is %s", got, text)
	}
}

// TestNetnsApply mistunes a card: the sentence says so, and Apply puts it right.
func TestNetnsApply(t *testing.T) {
	box, peer := nstest.New(t, "box"), nstest.New(t, "peer")
	card, _ := nstest.Link(t, box, peer, "10.7.0.1/24", "10.7.0.2/24")
	box.Do(t, func() {
		tool, err := ethtool.NewEthtool()
		if err != nil {
			t.Fatal(err)
		}
		defer tool.Close()
		mistuned := map[string]bool{"tx-generic-segmentation": false, "tx-udp-segmentation": false, "rx-gro": false, "tx-checksum-ip-generic": false}
		if err := tool.Change(card, mistuned); err != nil {
			t.Fatal(err)
		}
		sentence := Sentence(Read([]string{card}))
		for name := range mistuned {
			if !strings.Contains(sentence, card+" "+name+" is off, wanted on") {
				t.Errorf("%s is not in the sentence: %s", name, sentence)
			}
		}
		for _, s := range Apply([]string{card}) {
			if strings.HasPrefix(s.Name, card+" ") && s.Wrong() {
				t.Errorf("still wrong: %+v", s)
			}
		}
		states, err := tool.FeaturesWithState(card)
		if err != nil {
			t.Fatal(err)
		}
		for name := range mistuned {
			if !states[name].Active {
				t.Errorf("%s is off", name)
			}
		}
	})
}
