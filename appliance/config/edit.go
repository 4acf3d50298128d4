package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Get returns what is at a dotted path as YAML: a plain text for a string, otherwise what Marshal would write. "" is everything.
func (d Document) Get(path string) (string, error) {
	if path == "" {
		text, err := d.Marshal()
		return string(text), err
	}
	v, err := find(reflect.ValueOf(&d).Elem(), path)
	if err != nil {
		return "", err
	}
	n, err := encode(v)
	if err != nil {
		return "", err
	}
	if n.Kind == yaml.ScalarNode {
		return n.Value, nil
	}
	text, err := render(n)
	return strings.TrimSuffix(string(text), "\n"), err
}

// Set returns the document with another value at path. The value is YAML: a text, a number, [a, b] or {key: value}; keys that a
// section's value does not name stay as they are. The error is Problems; whether the whole is valid is not looked at.
func (d Document) Set(path, value string) (Document, error) {
	out := d.Clone()
	v, err := find(reflect.ValueOf(&out).Elem(), path)
	if err != nil {
		return d, err
	}
	node, problem := valueNode(v.Kind(), value)
	if problem != nil {
		problem.Path = path
		return d, Problems{*problem}
	}
	var dec decoder
	dec.value(path, node, v)
	for _, u := range dec.unknown {
		dec.problems = append(dec.problems, u.problem)
	}
	for i := range dec.problems {
		dec.problems[i].Line = 0 // the value has one line
	}
	if err := dec.problems.asError(); err != nil {
		return d, err
	}
	return out, nil
}

// Reset returns the document with the default at path.
func (d Document) Reset(path string) (Document, error) {
	out, def := d.Clone(), Default()
	to, err := find(reflect.ValueOf(&out).Elem(), path)
	if err != nil {
		return d, err
	}
	from, err := find(reflect.ValueOf(&def).Elem(), path)
	if err != nil {
		return d, err
	}
	to.Set(from)
	return out, nil
}

// valueNode reads a value as people type it: a text needs no quotes and a list no brackets, only commas.
func valueNode(kind reflect.Kind, value string) (*yaml.Node, *Problem) {
	if kind == reflect.String {
		return textNode(value), nil
	}
	node, problem := parseTree([]byte(value))
	switch {
	case kind == reflect.Slice && strings.TrimSpace(value) != "" && (problem != nil || node == nil || node.Kind == yaml.ScalarNode):
		return splitList(value), nil // "[2001:db8::7]:8801" is no YAML, and yet an entry
	case problem != nil:
		return nil, problem
	case node == nil:
		return nil, &Problem{Text: "a value is missing"}
	}
	return node, nil
}

func splitList(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for entry := range strings.SplitSeq(text, ",") {
		n.Content = append(n.Content, textNode(strings.TrimSpace(entry)))
	}
	return n
}

// find returns the field at a dotted path, or an entry of a list: "sites[0].zone".
func find(v reflect.Value, path string) (reflect.Value, error) {
	for name := range strings.SplitSeq(path, ".") {
		name, number, isEntry := strings.Cut(name, "[")
		k, ok := key{}, false
		if isSection(v.Type()) {
			k, ok = keyOf(v.Type(), name)
		}
		if !ok {
			text := "there is no such key"
			if near := Nearest(path); near != "" {
				text += "; did you mean " + near + "?"
			}
			return v, Problems{{Path: path, Text: text}}
		}
		if v = v.Field(k.index); !isEntry {
			continue
		}
		i, err := strconv.Atoi(strings.TrimSuffix(number, "]"))
		if err != nil || v.Kind() != reflect.Slice || i < 0 || i >= v.Len() {
			return v, Problems{{Path: path, Text: "there is no such entry; they are counted from 0"}}
		}
		v = v.Index(i)
	}
	return v, nil
}

// Diff returns how b differs from a, one line for each key: "dscp.profile: rfc4594 → zoom".
func Diff(a, b Document) []string {
	var lines []string
	for path, k := range walk("", "", reflect.TypeFor[Document]()) {
		if k.section || strings.Contains(path, "[]") {
			continue
		}
		if k.list {
			lines = append(lines, diffEntries(path, entries(a, path), entries(b, path))...)
			continue
		}
		was, errA := a.Get(path)
		is, errB := b.Get(path)
		if errA == nil && errB == nil && was != is {
			lines = append(lines, fmt.Sprintf("%s: %s → %s", path, shown(was), shown(is)))
		}
	}
	return append(lines, diffUnknown(a.unknown, b.unknown)...)
}

// entries returns the entries of a list of sections, each on one line.
func entries(d Document, path string) (out []string) {
	v, err := find(reflect.ValueOf(&d).Elem(), path)
	if err != nil {
		return nil
	}
	for i := range v.Len() {
		n, err := encode(v.Index(i))
		if err != nil {
			continue // what cannot be written is complained of by Marshal
		}
		n.Style = yaml.FlowStyle
		if text, err := render(n); err == nil {
			out = append(out, strings.Join(strings.Fields(string(text)), " "))
		}
	}
	return out
}

// diffEntries tells what came and went. Where the same entries only stand in another order, that is told: it ranks.
func diffEntries(path string, was, is []string) (lines []string) {
	for _, entry := range was {
		if !slices.Contains(is, entry) {
			lines = append(lines, path+": without "+entry)
		}
	}
	for _, entry := range is {
		if !slices.Contains(was, entry) {
			lines = append(lines, path+": with "+entry)
		}
	}
	if len(lines) == 0 && !slices.Equal(was, is) {
		lines = append(lines, path+": in another order")
	}
	return lines
}

func diffUnknown(a, b []unknownKey) (lines []string) {
	was := map[string]string{}
	for _, u := range a {
		was[u.path] = u.yaml
	}
	for _, u := range b {
		if was[u.path] != u.yaml {
			lines = append(lines, fmt.Sprintf("%s: %s → %s", u.path, shown(was[u.path]), shown(u.yaml)))
		}
		delete(was, u.path)
	}
	for _, u := range a {
		if _, gone := was[u.path]; gone {
			lines = append(lines, fmt.Sprintf("%s: %s → %s", u.path, shown(u.yaml), shown("")))
		}
	}
	return lines
}

func shown(value string) string {
	if value = strings.TrimSpace(value); value == "" {
		return "(empty)"
	}
	return value
}
