package tuning

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/safchain/ethtool"
)

// Setting is one setting of the kernel or of a network card.
type Setting struct {
	Name   string `json:"name"`
	What   string `json:"what"` // it is for
	Gain   string `json:"gain"` // as measured
	Wanted string `json:"wanted"`
	Actual string `json:"actual,omitempty"`
	Agrees bool   `json:"agrees"`
	// Missing says that there is no such thing here, which is no fault. Note says why it is missing, or why it does not agree.
	Missing bool   `json:"missing,omitempty"`
	Note    string `json:"note,omitempty"`

	card func(tool *ethtool.Ethtool) error // sets it
}

// Wrong tells whether the setting is one that should be put right.
func (s Setting) Wrong() bool { return !s.Agrees && !s.Missing }

// Read returns all settings as they are, of these network cards. It changes nothing.
func Read(cards []string) []Setting {
	var list []Setting
	for _, k := range keys {
		list = append(list, k.read())
	}
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return append(list, Setting{Name: "network cards", Wanted: "known", Missing: true, Note: err.Error()})
	}
	defer tool.Close()
	for _, card := range cards {
		list = append(list, features(tool, card)...)
		list = append(list, rings(tool, card)...)
	}
	return list
}

// Cards are the interfaces behind which there is a device. Bridges, tunnels and their like go by what lies below them.
func Cards() (names []string) {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range list {
		if _, err := os.Stat(filepath.Join("/sys/class/net", i.Name, "device")); err == nil {
			names = append(names, i.Name)
		}
	}
	return names
}

// wantedFeatures are the offloads that batches live by, by the kernel's name.
var wantedFeatures = []struct{ name, what, gain string }{
	{"rx-gro", "datagrams of one sender arrive as one", "3 × less for receiving bursts of 4"},
	{"tx-generic-segmentation", "datagrams to one receiver travel through the kernel as one", "2.2 × less than single datagrams at bursts of 8"},
	{"tx-checksum-ip-generic", "the card fills in checksums, without which it cuts nothing up", "needed by tx-udp-segmentation"},
	{"tx-udp-segmentation", "the card cuts them up", "4.1 × less than single datagrams at bursts of 8"},
}

func features(tool *ethtool.Ethtool, card string) (list []Setting) {
	states, err := tool.FeaturesWithState(card)
	for _, f := range wantedFeatures {
		s := Setting{Name: card + " " + f.name, What: f.what, Gain: f.gain, Wanted: "on", Actual: "off"}
		state, known := states[f.name]
		switch {
		case err != nil:
			s.Missing, s.Note, s.Actual = true, err.Error(), ""
		case state.Active:
			s.Actual, s.Agrees = "on", true
		case !known || !state.Available:
			s.Missing, s.Note = true, "the card does not have it"
		default:
			s.card = func(tool *ethtool.Ethtool) error { return tool.Change(card, map[string]bool{f.name: true}) }
		}
		list = append(list, s)
	}
	return list
}

// ringsWanted is how many descriptors a ring should have, or as many as the card can. More only makes the queue in front of the card longer.
const ringsWanted = 4096

func rings(tool *ethtool.Ethtool, card string) []Setting {
	ring, err := tool.GetRing(card)
	rx := Setting{Name: card + " rx ring", What: "packets that the card keeps while its CPU is busy", Gain: unmeasured}
	tx := Setting{Name: card + " tx ring", What: "packets that wait in the card", Gain: unmeasured}
	if err != nil || ring.RxMaxPending == 0 || ring.TxMaxPending == 0 {
		for _, s := range []*Setting{&rx, &tx} {
			s.Wanted, s.Missing, s.Note = fmt.Sprint(ringsWanted), true, "the card has none that could be set"
		}
		return []Setting{rx, tx}
	}
	fill := func(s *Setting, now, most uint32, set func(*ethtool.Ring, uint32)) {
		want := min(most, ringsWanted)
		s.Wanted, s.Actual, s.Agrees = fmt.Sprint(want), fmt.Sprint(now), now >= want
		if !s.Agrees {
			s.card = func(tool *ethtool.Ethtool) error {
				ring, err := tool.GetRing(card)
				if err == nil {
					set(&ring, want)
					_, err = tool.SetRing(card, ring)
				}
				return err
			}
		}
	}
	fill(&rx, ring.RxPending, ring.RxMaxPending, func(r *ethtool.Ring, n uint32) { r.RxPending = n })
	fill(&tx, ring.TxPending, ring.TxMaxPending, func(r *ethtool.Ring, n uint32) { r.TxPending = n })
	return []Setting{rx, tx}
}

// Apply sets what differs of the cards and returns all settings as they came to be, read back. What was refused has a note.
func Apply(cards []string) []Setting {
	refused := map[string]error{}
	tool, toolErr := ethtool.NewEthtool()
	if toolErr == nil {
		defer tool.Close()
	}
	for _, s := range Read(cards) {
		if !s.Wrong() || s.card == nil || toolErr != nil {
			continue
		}
		if err := s.card(tool); err != nil {
			refused[s.Name] = err
		}
	}
	list := Read(cards)
	for i := range list {
		if s := &list[i]; s.Wrong() && refused[s.Name] != nil {
			s.Note = refused[s.Name].Error()
		}
	}
	return list
}

// Sentence says what is wrong, "" when nothing is.
func Sentence(list []Setting) string {
	var wrong []string
	for _, s := range list {
		if s.Wrong() {
			wrong = append(wrong, fmt.Sprintf("%s is %s, wanted %s", s.Name, s.Actual, s.Wanted))
		}
	}
	if len(wrong) == 0 {
		return ""
	}
	return "The kernel is not tuned for media: " + strings.Join(wrong, "; ") + ". `appliance tuning` shows what each is for."
}
