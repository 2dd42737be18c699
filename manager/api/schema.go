package api

import (
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// schemas makes JSON schemas of Go types, as encoding/json writes them. Structs with a name are made once.
type schemas struct {
	named object
	types map[string]string // Go type → name
}

// of is the schema of an answer.
func (s *schemas) of(v any) object {
	if e, ok := v.(either); ok {
		return object{"oneOf": []object{s.of(e.one), s.of(e.other)}}
	}
	return s.typed(reflect.TypeOf(v))
}

// fields is the schema of a body, which has only the fields in needs for sure.
func (s *schemas) fields(v any, needs []string) object {
	properties, _ := s.properties(reflect.TypeOf(v))
	out := object{"type": "object", "properties": properties}
	if len(needs) > 0 {
		out["required"] = needs
	}
	return out
}

var moment = reflect.TypeFor[time.Time]()

func (s *schemas) typed(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Pointer:
		return orNothing(s.typed(t.Elem()))
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.typed(t.Elem())}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": s.typed(t.Elem())}
	case reflect.Struct:
		if t == moment {
			return object{"type": "string", "format": "date-time"}
		}
		return s.structure(t)
	case reflect.Interface:
		return object{}
	}
	return object{"type": "integer"}
}

// orNothing also allows null.
func orNothing(schema object) object {
	if kind, ok := schema["type"].(string); ok {
		schema["type"] = []string{kind, "null"}
		return schema
	}
	return object{"anyOf": []object{schema, {"type": "null"}}}
}

// structure refers to the schema of a struct.
func (s *schemas) structure(t reflect.Type) object {
	name, known := s.types[t.String()]
	if !known {
		name = nameOf(t)
		s.types[t.String()] = name
		properties, required := s.properties(t)
		schema := object{"type": "object", "properties": properties}
		if len(required) > 0 {
			schema["required"] = required
		}
		s.named[name] = schema
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// nameOf is how people call a type: containerJSON is Container, and page[containerJSON] PageOfContainer.
func nameOf(t reflect.Type) string {
	name, of, generic := strings.Cut(t.Name(), "[")
	name = capital(strings.TrimSuffix(name, "JSON"))
	if generic {
		of = strings.TrimSuffix(of[strings.LastIndex(of, ".")+1:], "]")
		name += "Of" + capital(strings.TrimSuffix(of, "JSON"))
	}
	return name
}

func capital(name string) string {
	if name == "" {
		return name
	}
	return string(unicode.ToUpper(rune(name[0]))) + name[1:]
}

// properties are the fields of a struct, with those of the structs in it that have no name of their own there.
func (s *schemas) properties(t reflect.Type) (properties object, required []string) {
	properties = make(object)
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || tag == "" || tag == "-" {
			continue
		}
		properties[tag] = s.typed(f.Type)
		if !slices.Contains(strings.Split(options, ","), "omitempty") {
			required = append(required, tag)
		}
	}
	return properties, required
}
