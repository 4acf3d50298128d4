package config

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Marshal writes every key, in the order of the Go types; what a newer version wrote follows its neighbours. Equal documents
// give equal text.
func (d Document) Marshal() ([]byte, error) {
	root, err := encode(reflect.ValueOf(d))
	if err != nil {
		return nil, err
	}
	for _, u := range d.unknown {
		if err := graft(root, u); err != nil {
			return nil, err
		}
	}
	return render(root)
}

func render(n *yaml.Node) ([]byte, error) {
	var text bytes.Buffer
	w := yaml.NewEncoder(&text)
	w.SetIndent(2)
	if err := w.Encode(n); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	return text.Bytes(), nil
}

// encode returns the YAML tree of a value of the document.
func encode(v reflect.Value) (*yaml.Node, error) {
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := t.MarshalText()
		return textNode(string(text)), err
	}
	switch v.Kind() {
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for k := range keysOf(v.Type()) {
			value, err := encode(v.Field(k.index))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, textNode(k.name), value)
		}
		return n, nil
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		if isSectionList(v.Type()) && v.Len() > 0 {
			n.Style = 0 // an entry a line, with its keys below each other
		}
		for i := range v.Len() {
			value, err := encode(v.Index(i))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, value)
		}
		return n, nil
	case reflect.String:
		return textNode(v.String()), nil
	case reflect.Int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}, nil
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}, nil
	}
	return nil, fmt.Errorf("keys of type %s cannot be written", v.Type())
}

// textNode is a string, quoted where YAML would otherwise take it for something else.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if n.Style == yaml.LiteralStyle {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// graft puts an unknown key back where it was.
func graft(root *yaml.Node, u unknownKey) error {
	var value yaml.Node
	if err := yaml.Unmarshal([]byte(u.yaml), &value); err != nil {
		return fmt.Errorf("unknown key %s: %w", u.path, err)
	}
	at := root
	names := strings.Split(u.path, ".")
	for _, name := range names[:len(names)-1] {
		name, number, isEntry := strings.Cut(name, "[")
		if at = child(at, name); at != nil && isEntry {
			at = entry(at, strings.TrimSuffix(number, "]"))
		}
		if at == nil {
			return fmt.Errorf("unknown key %s: its section is gone", u.path)
		}
	}
	content := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	if len(value.Content) > 0 {
		content = value.Content[0]
	}
	at.Content = append(at.Content, textNode(names[len(names)-1]), content)
	return nil
}

func child(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

func entry(n *yaml.Node, number string) *yaml.Node {
	if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(n.Content) {
		return n.Content[i]
	}
	return nil
}
