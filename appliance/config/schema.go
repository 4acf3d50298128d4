package config

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// SchemaID names the schema; nothing has to be there.
const SchemaID = "https://meetzone.invalid/schemas/config.json"

// Schema returns the JSON Schema (draft 2020-12) of the document, made of the same struct tags as everything else here. It says which keys there are, of
// which type, and which values are known; what belongs together only Validate knows.
func Schema() []byte {
	root := objectSchema(reflect.TypeFor[Document](), reflect.ValueOf(Default()), "")
	root["$schema"], root["$id"], root["title"] = "https://json-schema.org/draft/2020-12/schema", SchemaID, "Meetzone configuration"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // of maps, texts and numbers made right above
	}
	return append(text, '\n')
}

// objectSchema describes a section. Its defaults are those of def, if that is valid: entries of lists have none.
func objectSchema(t reflect.Type, def reflect.Value, scope Scope) map[string]any {
	properties := map[string]any{}
	for k := range keysOf(t) {
		if k.scope == "" {
			k.scope = scope
		}
		field := t.Field(k.index)
		var is reflect.Value
		if def.IsValid() {
			is = def.Field(k.index)
		}
		one := valueSchema(field.Type, is, k.scope, values(field))
		one["description"], one["x-scope"] = k.help, string(k.scope)
		properties[k.name] = one
	}
	return map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
}

func valueSchema(t reflect.Type, def reflect.Value, scope Scope, known []string) map[string]any {
	out := map[string]any{}
	if def.IsValid() && !isSection(t) && !isSectionList(t) {
		out["default"] = plainValue(def)
	}
	switch {
	case isSection(t):
		return objectSchema(t, def, scope)
	case t == reflect.TypeFor[Duration]():
		out["type"], out["pattern"] = "string", `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`
	case t == reflect.TypeFor[Size]():
		out["type"], out["pattern"] = []string{"string", "integer", "null"}, `^[0-9]+ *(KiB|MiB|GiB)?$`
		return out
	case t.Kind() == reflect.Slice:
		items := valueSchema(t.Elem(), reflect.Value{}, scope, known)
		items["type"] = withoutNull(items["type"])
		out["type"], out["items"], out["maxItems"] = "array", items, maxList
	case t.Kind() == reflect.String:
		out["type"], out["maxLength"] = "string", maxText
		if known != nil {
			out["enum"] = known
		}
	case t.Kind() == reflect.Int:
		out["type"] = "integer"
	case t.Kind() == reflect.Bool:
		out["type"] = "boolean"
	default: // written as a text
		out["type"] = "string"
	}
	out["type"] = []any{out["type"], "null"} // which leaves the default
	if known, ok := out["enum"].([]string); ok {
		all := []any{nil}
		for _, one := range known {
			all = append(all, one)
		}
		out["enum"] = all
	}
	return out
}

// withoutNull is for entries of lists, which are never left out.
func withoutNull(kind any) any {
	switch list := kind.(type) {
	case []string:
		return list[0]
	case []any:
		return list[0]
	}
	return kind
}

// plainValue is a default as JSON has it.
func plainValue(v reflect.Value) any {
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := t.MarshalText()
		if err == nil {
			return string(text)
		}
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		return []any{}
	}
	return v.Interface()
}

// values are the known values of a key or of its entries, nil where any text may be.
func values(f reflect.StructField) []string {
	text, ok := f.Tag.Lookup("values")
	if !ok {
		return nil
	}
	return strings.Split(text, "|")
}

// Values returns what a key, or an entry of its list, may be; nil where that is no short list.
func Values(path string) []string {
	t := reflect.TypeFor[Document]()
	var known []string
	for name := range strings.SplitSeq(anyEntry(path), ".") {
		k, ok := keyOf(t, strings.TrimSuffix(name, "[]"))
		if !ok {
			return nil
		}
		field := t.Field(k.index)
		known, t = values(field), field.Type
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() == reflect.Bool {
			known = []string{"true", "false"}
		}
		if t.Kind() != reflect.Struct {
			continue
		}
	}
	return known
}
