package ranking

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestRank(t *testing.T) {
	zones := []Zone{
		{ID: "plain"},
		{ID: "seoul", Countries: []string{"KR"}, Place: Place{true, 37.57, 126.98}},
		{ID: "busan", Countries: []string{"KR"}, Place: Place{true, 35.18, 129.08}},
		{ID: "tokyo", Place: Place{true, 35.69, 139.69}},
		{ID: "bonn", Place: Place{true, 50.73, 7.1}},
	}
	sites := []Site{
		{"All", netip.MustParsePrefix("10.0.0.0/8"), "bonn"},
		{"Office", netip.MustParsePrefix("10.1.0.0/16"), "plain"},
		{"", netip.MustParsePrefix("2001:db8:1::/48"), "tokyo"},
	}
	daegu := Where{Country: "KR", Place: Place{true, 35.87, 128.6}}
	for _, c := range []struct {
		client string
		where  Where
		want   string
		reason string // of the first
	}{
		{"192.0.2.1", Where{}, "plain seoul busan tokyo bonn", "configured order"},
		{"10.9.0.1", Where{}, "bonn plain seoul busan tokyo", "site All (10.0.0.0/8)"},
		{"::ffff:10.1.2.3", Where{}, "plain seoul busan tokyo bonn", "site Office (10.1.0.0/16)"},
		{"2001:db8:1::9%eth0", Where{}, "tokyo plain seoul busan bonn", "site 2001:db8:1::/48"},
		{"192.0.2.1", daegu, "busan seoul tokyo bonn plain", "country KR"},
		{"192.0.2.1", Where{Country: "KR"}, "seoul busan plain tokyo bonn", "country KR"},
		{"192.0.2.1", Where{Place: Place{true, 48.86, 2.35}}, "bonn seoul busan tokyo plain", "399 km away"},
		{"10.1.2.3", daegu, "plain busan seoul tokyo bonn", "site Office (10.1.0.0/16)"},
	} {
		var ids []string
		ranked := Rank(netip.MustParseAddr(c.client), c.where, zones, sites)
		for _, r := range ranked {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != c.want || ranked[0].Reason != c.reason {
			t.Errorf("%s, %+v: %s because of %q; want %s, %q", c.client, c.where, got, ranked[0].Reason, c.want, c.reason)
		}
	}
}

func TestRankNothing(t *testing.T) {
	if got := Rank(netip.Addr{}, Where{Country: "KR"}, nil, nil); len(got) != 0 {
		t.Error(got)
	}
	got := Rank(netip.Addr{}, Where{}, []Zone{{ID: "a"}, {ID: "b"}}, []Site{{Subnet: netip.MustParsePrefix("0.0.0.0/0"), Zone: "b"}})
	if !slices.Equal(got, []Ranked{{"a", "configured order"}, {"b", "configured order"}}) {
		t.Error(got)
	}
}
