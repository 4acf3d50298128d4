package storage

import (
	"bytes"
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A newer version may have written members that this one does not know, at any depth. merge carries them over when a record is
// rewritten: objects are merged member by member, maps key by key, and the elements of a list are paired with those of the list
// before by their member "id", or, where they have none, when nothing known about them has changed.

// merge returns after, a JSON value of type t, with what t does not know of before.
func merge(before, after []byte, t reflect.Type) []byte {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if opaque(t) {
		return after
	}
	switch t.Kind() {
	case reflect.Struct:
		return mergeStruct(before, after, t)
	case reflect.Map:
		return mergeMap(before, after, t.Elem())
	case reflect.Slice, reflect.Array:
		return mergeList(before, after, t.Elem())
	}
	return after
}

// opaque says that a type writes itself, so that its members are none of ours.
func opaque(t reflect.Type) bool {
	for _, i := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

func mergeStruct(before, after []byte, t reflect.Type) []byte {
	known := members(t)
	old, new := object(before), object(after)
	if old == nil || new == nil {
		return after
	}
	for name, value := range old {
		member, isKnown := findMember(known, name)
		switch {
		case !isKnown:
			new[name] = value
		case new[name] != nil:
			new[name] = merge(value, new[name], member)
		}
	}
	return marshal(new, after)
}

func mergeMap(before, after []byte, element reflect.Type) []byte {
	old, new := object(before), object(after)
	for name, value := range new {
		if was, ok := old[name]; ok {
			new[name] = merge(was, value, element)
		}
	}
	if new == nil {
		return after
	}
	return marshal(new, after)
}

func mergeList(before, after []byte, element reflect.Type) []byte {
	var old, new []json.RawMessage
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &new) != nil || new == nil {
		return after
	}
	taken := make([]bool, len(old))
	for i, value := range new {
		name := identity(value, element)
		pair := slices.IndexFunc(old, func(was json.RawMessage) bool { return bytes.Equal(identity(was, element), name) })
		for pair >= 0 && taken[pair] {
			next := slices.IndexFunc(old[pair+1:], func(was json.RawMessage) bool { return bytes.Equal(identity(was, element), name) })
			if next < 0 {
				pair = -1
				break
			}
			pair += 1 + next
		}
		if pair >= 0 {
			taken[pair] = true
			new[i] = merge(old[pair], value, element)
		}
	}
	return marshal(new, after)
}

// identity is what pairs an element of a list with that of the list before: its id, or everything known about it.
func identity(value []byte, t reflect.Type) []byte {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || opaque(t) {
		return value
	}
	if _, has := members(t)["id"]; has {
		return object(value)["id"]
	}
	seen := reflect.New(t)
	if json.Unmarshal(value, seen.Interface()) != nil {
		return value
	}
	return marshal(seen.Interface(), value)
}

func object(raw []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// marshal cannot fail for what is decoded JSON; if it did, the record without foreign members is the one to keep.
func marshal(v any, otherwise []byte) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return otherwise
	}
	return raw
}

// members returns the JSON members of a struct and their types, those of embedded structs included.
func members(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range fields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" && f.Tag.Get("json") == "-":
		case f.Anonymous && name == "":
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if embedded.Kind() == reflect.Struct {
				inner := members(embedded)
				maps.Copy(inner, out) // the outer one wins
				out = inner
			}
		case !f.IsExported():
		case name == "":
			out[f.Name] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// findMember finds a member as encoding/json does when it decodes: exactly, or else whatever its case.
func findMember(known map[string]reflect.Type, name string) (reflect.Type, bool) {
	if t, ok := known[name]; ok {
		return t, true
	}
	for k, t := range known {
		if strings.EqualFold(k, name) {
			return t, true
		}
	}
	return nil, false
}
