package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a document.
const (
	MaxDocument = 256 << 10 // bytes
	maxList     = 256       // entries
	maxText     = 1024      // bytes of one value
	maxUnknown  = 256       // keys of a newer version that are kept
)

// Parse reads what a person wrote: missing keys take their defaults, unknown ones are refused, and everything that is wrong is
// named at once. The error is Problems.
func Parse(text []byte) (Document, error) { return ParseEdited(text, Document{}) }

// ParseEdited is Parse for a text that came from Marshal of before and was edited. Unknown keys that were there before, written by
// a newer version, are kept.
func ParseEdited(text []byte, before Document) (Document, error) {
	d, unknown, problems := decode(text)
	for _, u := range unknown {
		if slices.ContainsFunc(before.unknown, func(k unknownKey) bool { return k.path == u.path }) {
			d.unknown = append(d.unknown, u.unknownKey)
		} else {
			problems = append(problems, u.problem)
		}
	}
	if len(problems) == 0 { // a value that could not be read would be complained of twice
		problems = d.problems()
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return d, problems.asError()
}

// ParseStored reads what Marshal of this or another version wrote. Unknown keys are kept; Warnings names them.
func ParseStored(text []byte) (Document, error) {
	d, unknown, problems := decode(text)
	if len(unknown) > maxUnknown {
		problems = append(problems, Problem{Text: fmt.Sprintf("there are more than %d unknown keys", maxUnknown)})
	}
	if err := problems.asError(); err != nil {
		return d, err
	}
	for _, u := range unknown {
		d.unknown = append(d.unknown, u.unknownKey)
	}
	return d, nil
}

// unknownEntry is an unknown key and what a person is told of it.
type unknownEntry struct {
	unknownKey
	problem Problem
}

// decoder walks a YAML tree beside the Go value that it fills.
type decoder struct {
	unknown  []unknownEntry
	problems Problems
}

func decode(text []byte) (Document, []unknownEntry, Problems) {
	d := Default()
	root, problem := parseTree(text)
	if problem != nil {
		return d, nil, Problems{*problem}
	}
	var dec decoder
	if root != nil {
		dec.value("", root, reflect.ValueOf(&d).Elem())
	}
	slices.SortFunc(dec.unknown, func(a, b unknownEntry) int { return strings.Compare(a.path, b.path) }) // where a key stands says nothing
	return d, dec.unknown, dec.problems
}

// parseTree returns the root of the only YAML document in text; nil for an empty one.
func parseTree(text []byte) (*yaml.Node, *Problem) {
	if len(text) > MaxDocument {
		return nil, &Problem{Text: fmt.Sprintf("the document is larger than %d bytes", MaxDocument)}
	}
	reader := yaml.NewDecoder(bytes.NewReader(text))
	var node yaml.Node
	if err := reader.Decode(&node); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, &Problem{Text: "this is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := reader.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &Problem{Text: "there is a second YAML document behind the first; remove it"}
	}
	root := node.Content[0]
	if isNull(root) {
		return nil, nil
	}
	return root, nil
}

func (d *decoder) complain(path string, n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{Path: path, Line: n.Line, Text: fmt.Sprintf(format, args...)})
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// value reads n into v. A null leaves the default.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.complain(path, n, "anchors and aliases are not used here; write the value out")
		return
	}
	if isNull(n) {
		return
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(path, n, t)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.section(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

func (d *decoder) section(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.complain(path, n, "this is a section: write its keys below it, each indented")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		where := join(path, key.Value)
		if key.Kind != yaml.ScalarNode || key.Value == "" || strings.ContainsAny(key.Value, ".[]\n") || key.Tag == "!!merge" || len(key.Value) > maxText {
			d.complain(path, key, "this is no usable key")
			continue
		}
		if seen[key.Value] {
			d.complain(where, key, "the key is there twice; remove one")
			continue
		}
		seen[key.Value] = true
		if k, ok := keyOf(v.Type(), key.Value); ok {
			d.value(where, value, v.Field(k.index))
		} else {
			d.foreign(where, key, value)
		}
	}
}

// foreign notes a key that this version does not know.
func (d *decoder) foreign(path string, key, value *yaml.Node) {
	if hasAlias(value) {
		d.complain(path, key, "anchors and aliases are not used here; write the value out")
		return
	}
	text, err := canonical(value)
	if err != nil {
		d.complain(path, key, "this cannot be read: %v", err)
		return
	}
	advice := "there is no such key; remove it"
	if near := Nearest(path); near != "" {
		advice = "there is no such key; did you mean " + near + "?"
	}
	d.unknown = append(d.unknown, unknownEntry{unknownKey{path, text}, Problem{Path: path, Line: key.Line, Text: advice}})
}

// canonical writes a value so that reading and writing it again changes nothing.
func canonical(n *yaml.Node) (string, error) {
	plain(n)
	text, err := render(n)
	return string(text), err
}

// plain takes comments and styles out, and keeps the type of each value.
func plain(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment, n.Style = "", "", "", 0
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str":
		*n = *textNode(n.Value)
	case n.Kind == yaml.ScalarNode && isNull(n):
		n.Value = "null"
	}
	for _, c := range n.Content {
		plain(c)
	}
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Anchor != "" || slices.ContainsFunc(n.Content, hasAlias)
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.complain(path, n, "this is a list: write [a, b], or one entry a line behind a dash")
		return
	}
	if len(n.Content) > maxList {
		d.complain(path, n, "the list has more than %d entries", maxList)
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, entry := range n.Content {
		if isNull(entry) {
			d.complain(path, entry, "entry %d is empty; remove it", i+1)
			continue
		}
		d.value(fmt.Sprintf("%s[%d]", path, i), entry, list.Index(i))
	}
	if len(n.Content) == 0 {
		list = reflect.Zero(v.Type()) // nil and empty are one thing
	}
	v.Set(list)
}

func (d *decoder) text(path string, n *yaml.Node, v encoding.TextUnmarshaler) {
	if n.Kind != yaml.ScalarNode {
		d.complain(path, n, "this is a single value")
		return
	}
	if err := v.UnmarshalText([]byte(n.Value)); err != nil {
		d.complain(path, n, "%v", err)
	}
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.complain(path, n, "this is a single value")
		return
	}
	if len(n.Value) > maxText {
		d.complain(path, n, "the value is longer than %d bytes", maxText)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 32)
		if err != nil {
			d.complain(path, n, "%q is no whole number", n.Value)
			return
		}
		v.SetInt(i)
	case reflect.Bool:
		switch n.Value {
		case "true", "false":
			v.SetBool(n.Value == "true")
		default:
			d.complain(path, n, "%q is neither true nor false", n.Value)
		}
	default:
		d.complain(path, n, "keys of type %s cannot be read", v.Type())
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
