package nstest

import (
	"fmt"
	"strings"
	"testing"
)

// Nft applies a script of nft(8) to the namespace.
func (n *NS) Nft(t testing.TB, script string) {
	t.Helper()
	cmd := n.Command(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft in %s: %v\n%s\n%s", n.name, err, out, script)
	}
}

// Lose drops packets that arrive and match, a given number in a thousand, at random. The match is an nft expression such as
// "udp dport 8801" or "meta l4proto udp"; empty means all. A further call takes the place of the one before; 0 loses nothing, 1000 all.
func (n *NS) Lose(t testing.TB, match string, permille int) {
	t.Helper()
	rule := ""
	if permille > 0 {
		rule = fmt.Sprintf("%s numgen random mod 1000 <= %d drop", match, permille-1)
	}
	n.Nft(t, fmt.Sprintf(`
		table inet nstest_lose {}
		delete table inet nstest_lose
		table inet nstest_lose {
			chain arriving {
				type filter hook prerouting priority raw;
				%s
			}
		}`, rule))
}
