package tuning

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Key names a setting of the kernel that only root may change.
type Key string

// The keys. Those of net.core are the kernel's names.
const (
	ReceiveBuffer Key = "net.core.rmem_max"
	SendBuffer    Key = "net.core.wmem_max"
	Backlog       Key = "net.core.netdev_max_backlog"
	Budget        Key = "net.core.netdev_budget"
	BudgetTime    Key = "net.core.netdev_budget_usecs"
	Governor      Key = "cpu governor"
)

// performance is the only governor that is right.
const performance = "performance"

// key is what is known of a key.
type key struct {
	name   Key
	wanted int // at least; 0 for the governor
	what   string
	gain   string
}

var keys = []key{
	{ReceiveBuffer, 8 << 20, "receive buffer that a socket may ask for", "the stock 425,984 bytes lost 137,200 packets at 500 receivers in a public test of another router; ours may exceed the limit by itself"},
	{SendBuffer, 8 << 20, "send buffer that a socket may ask for", unmeasured},
	{Backlog, 16384, "packets that wait for a CPU behind the card", unmeasured},
	{Budget, 600, "packets that are taken from cards in one go", unmeasured},
	{BudgetTime, 8000, "microseconds that this may take", unmeasured},
	{Governor, 0, "processors keep their full clock, so that the first packet of a burst does not wait", unmeasured},
}

const unmeasured = "not measured"

// files are where the kernel keeps a key; none where it has no such thing, or keeps it from this namespace.
func (k key) files() []string {
	pattern := "/proc/sys/" + strings.ReplaceAll(string(k.name), ".", "/")
	if k.name == Governor {
		pattern = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
	}
	files, _ := filepath.Glob(pattern) // the pattern is well-formed
	return files
}

// read returns a key as a setting.
func (k key) read() Setting {
	s := Setting{Name: string(k.name), What: k.what, Gain: k.gain, Wanted: performance}
	if k.name != Governor {
		s.Wanted = strconv.Itoa(k.wanted)
	}
	files := k.files()
	if len(files) == 0 {
		s.Note, s.Missing = "this kernel, or this namespace, has none", true
		return s
	}
	for _, file := range files { // one for each processor; the first that differs tells
		text, err := os.ReadFile(file)
		if err != nil {
			s.Note, s.Missing = err.Error(), true
			return s
		}
		if s.Actual = strings.TrimSpace(string(text)); !k.reached(s.Actual) {
			return s
		}
	}
	s.Agrees = true
	return s
}

// reached tells whether a value is as wanted, or better.
func (k key) reached(value string) bool {
	if k.name == Governor {
		return value == performance
	}
	n, err := strconv.Atoi(value)
	return err == nil && n >= k.wanted
}
