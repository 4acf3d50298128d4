package config

import (
	"encoding"
	"iter"
	"reflect"
	"regexp"
	"strings"
)

// Key is one key of the document, as help and completion need it.
type Key struct {
	Path    string `json:"path"`
	Scope   Scope  `json:"scope"`
	Help    string `json:"help"`
	Default string `json:"default"`           // as Get gives it
	Section bool   `json:"section,omitempty"` // it has keys below it
}

// Keys lists every key in the order in which Marshal writes them.
func Keys() []Key {
	def := Default()
	var out []Key
	for path, k := range walk("", "", reflect.TypeFor[Document]()) {
		text, _ := def.Get(path) // keys of a list's entries have no default
		out = append(out, Key{Path: path, Scope: k.scope, Help: k.help, Default: text, Section: k.section})
	}
	return out
}

// Nearest returns the known key that path was most likely meant to be; "" where none is like it.
func Nearest(path string) string {
	path = anyEntry(path)
	best, least := "", 1+min(max(2, len(lastOf(path))/3), 4)
	for candidate := range walk("", "", reflect.TypeFor[Document]()) {
		far := distance(path, candidate)
		if lastOf(candidate) == lastOf(path) { // in the wrong section
			far = min(far, 1)
		} else if i, j := parentOf(candidate), parentOf(path); i == j {
			far = min(far, distance(lastOf(candidate), lastOf(path)))
		}
		if far < least {
			best, least = candidate, far
		}
	}
	return best
}

// anyEntry writes the path of an entry as that of all entries: "sites[3].zone" becomes "sites[].zone".
func anyEntry(path string) string { return entryNumber.ReplaceAllString(path, "[]") }

var entryNumber = regexp.MustCompile(`\[\d+\]`)

// key is a field of a section.
type key struct {
	index   int
	name    string
	scope   Scope
	help    string
	section bool // it has keys below it
	list    bool // of sections
}

// keysOf yields the keys of a section in their order.
func keysOf(t reflect.Type) iter.Seq[key] {
	return func(yield func(key) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			name := f.Tag.Get("yaml")
			if name == "" {
				continue
			}
			k := key{index: i, name: name, scope: Scope(f.Tag.Get("scope")), help: f.Tag.Get("help"), section: isSection(f.Type), list: isSectionList(f.Type)}
			if !yield(k) {
				return
			}
		}
	}
}

func keyOf(t reflect.Type, name string) (key, bool) {
	for k := range keysOf(t) {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isSectionList says that the entries of a list have keys.
func isSectionList(t reflect.Type) bool { return t.Kind() == reflect.Slice && isSection(t.Elem()) }

// walk yields every key below a section with its path; the scope is inherited. The keys of a list's entries are "sites[].zone".
func walk(path string, scope Scope, t reflect.Type) iter.Seq2[string, key] {
	return func(yield func(string, key) bool) {
		for k := range keysOf(t) {
			if k.scope == "" {
				k.scope = scope
			}
			where := join(path, k.name)
			if !yield(where, k) {
				return
			}
			below := t.Field(k.index).Type
			switch {
			case k.list:
				where, below = where+"[]", below.Elem()
			case !k.section:
				continue
			}
			for p, inner := range walk(where, k.scope, below) {
				if !yield(p, inner) {
					return
				}
			}
		}
	}
}

func lastOf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func parentOf(path string) string { return path[:max(0, strings.LastIndexByte(path, '.'))] }

// distance is the number of letters to change, insert, remove or swap to make b of a (Damerau's, restricted to neighbours).
func distance(a, b string) int {
	const longest = 64 // no key is that long, and this is quadratic
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var d [longest + 1][longest + 1]int
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], 1+d[i-2][j-2])
			}
		}
	}
	return d[len(a)][len(b)]
}
