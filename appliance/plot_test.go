package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The figures of the impaired table as files: impaired.json, in which a run replaces the rows that it played, and of it impaired.md and a plot
// for each receiver with a panel for each row.

// Sizes of a panel, in pixels, and how many stand side by side.
const (
	panelWidth, panelHeight = 300, 190
	plotWidth, plotHeight   = 250, 130
	plotLeft, plotTop       = 40, 26
	panelsAcross            = 3
	plotWait                = 400.0 // ms at the top
)

// writeFigures writes the table and the plots into a folder.
func writeFigures(t *testing.T, folder string, played []figure) {
	t.Helper()
	var table []figure
	if before, err := os.ReadFile(filepath.Join(folder, "impaired.json")); err == nil {
		if err := json.Unmarshal(before, &table); err != nil {
			t.Fatal(err)
		}
	}
	table = slices.DeleteFunc(table, func(f figure) bool {
		return slices.ContainsFunc(played, func(p figure) bool { return p.Row == f.Row && p.Receiver == f.Receiver })
	})
	table = append(table, played...)
	slices.SortStableFunc(table, func(a, b figure) int {
		return cmp.Or(cmp.Compare(a.Receiver, b.Receiver), rowIndex(a.Row)-rowIndex(b.Row))
	})
	text, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"impaired.md": "<!-- Written by TestNetnsImpaired (make impaired). -->\n\n" + tableOf(table)}
	byReceiver := map[string][]figure{}
	for _, f := range table {
		name := "impaired-" + strings.ToLower(strings.NewReplacer(",", "", " ", "-").Replace(f.Receiver)) + ".svg"
		byReceiver[name] = append(byReceiver[name], f)
	}
	for name, list := range byReceiver {
		files[name] = plot(list)
	}
	files["impaired.json"] = strings.ReplaceAll(string(text), `{"Row"`, "\n"+`{"Row"`) + "\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// rowIndex is where a row stands in the table.
func rowIndex(name string) int {
	return slices.IndexFunc(impairments, func(row impairment) bool { return row.name == name })
}

// plot draws a panel for each row.
func plot(list []figure) string {
	var b strings.Builder
	height := 22 + (len(list)+panelsAcross-1)/panelsAcross*panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="10">`, panelsAcross*panelWidth, height)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>`)
	for i, key := range []struct{ colour, text string }{{"#888", "link"}, {"#c60", "estimate"}, {"#06c", "sent"}, {"#393", "TCP"}, {"#e99", "longest wait, top of the panel is 400 ms"}} {
		fmt.Fprintf(&b, `<rect x="%d" y="6" width="10" height="10" fill="%s"/><text x="%d" y="15">%s</text>`, 10+i*90, key.colour, 24+i*90, key.text)
	}
	for i, f := range list {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`, i%panelsAcross*panelWidth, 22+i/panelsAcross*panelHeight)
		f.panel(&b)
		b.WriteString("</g>")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel draws one row: kbit/s and waits over seconds.
func (f figure) panel(b *strings.Builder) {
	top := 300e3
	for _, m := range f.Course {
		top = max(top, 1.1*m.Sent, 1.1*m.Rival)
		if m.Rate > 0 {
			top = max(top, 1.2*m.Rate)
		}
	}
	n := max(len(f.Course), 1)
	x := func(second int) float64 { return plotLeft + float64(second)*plotWidth/float64(n) }
	y := func(rate float64) float64 { return plotTop + plotHeight*(1-min(rate/top, 1)) }
	fmt.Fprintf(b, `<text x="%d" y="16" font-weight="bold">%s</text>`, plotLeft, html.EscapeString(f.Row))
	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" fill="none" stroke="black"/>`, plotLeft, plotTop, plotTop+plotHeight, plotLeft+plotWidth)
	fmt.Fprintf(b, `<text x="2" y="%d">%.0f k</text><text x="2" y="%d">0</text><text x="%d" y="%d" text-anchor="end">%d s</text>`, plotTop+8, top/1e3, plotTop+plotHeight,
		plotLeft+plotWidth, plotTop+plotHeight+12, n)
	for i, m := range f.Course {
		if h := min(float64(m.Wait/time.Millisecond)/plotWait, 1) * plotHeight; h >= 1 {
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#e99"/>`, x(i), plotTop+plotHeight-h, plotWidth/float64(n), h)
		}
	}
	for _, line := range []struct {
		colour string
		of     func(moment) float64
	}{
		{"#888", func(m moment) float64 { return m.Rate }}, {"#c60", func(m moment) float64 { return m.Estimate }}, {"#393", func(m moment) float64 { return m.Rival }},
		{"#06c", func(m moment) float64 { return m.Sent }},
	} {
		var points strings.Builder
		seen := false
		for i, m := range f.Course {
			seen = seen || line.of(m) > 0
			fmt.Fprintf(&points, "%.1f,%.1f %.1f,%.1f ", x(i), y(line.of(m)), x(i+1), y(line.of(m)))
		}
		if seen {
			fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, strings.TrimSpace(points.String()), line.colour)
		}
	}
}
