package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
)

// maxDepth is how deep JSON may be nested. Go would take ten thousand levels, at which other programs that read the
// container later fail.
const maxDepth = 100

// input is a JSON object whose fields are read one by one, so that a client learns of all its mistakes at once. What
// isn't read is ignored, as by the original.
type input struct {
	raw    map[string]json.RawMessage
	faults map[string][]string
}

// decode reads a request's body. How long it may be is the server's to say, which has read all of it before.
func decode(c *fiber.Ctx) (*input, error) {
	if c.Get(fiber.HeaderContentEncoding) != "" {
		return nil, errEncoding // a compressed MiB may hold a GiB
	}
	if !isJSON(c.Get(fiber.HeaderContentType)) {
		return nil, errMediaType // before Body, which would write a multipart form anew
	}
	body := c.Request().Body()
	if !utf8.Valid(body) {
		return nil, parseError("the text is not valid UTF-8.")
	}
	if nesting(body) > maxDepth {
		return nil, parseError(fmt.Sprintf("objects and lists are nested more than %d levels deep.", maxDepth))
	}
	in := &input{faults: make(map[string][]string)}
	err := json.Unmarshal(body, &in.raw)
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong), err == nil && in.raw == nil:
		return nil, invalid("non_field_errors", "Invalid data. Expected a dictionary.")
	case errors.As(err, &syntax):
		return nil, parseError(fmt.Sprintf("the text is not JSON from character %d on.", syntax.Offset))
	case err != nil:
		return nil, parseError("the text is not JSON.")
	}
	return in, nil
}

// read decodes a request's body and reads its fields into one value, for which it may not leave out those required.
func read[T any](c *fiber.Ctx, fields func(in *input) T, required ...string) (v T, err error) {
	in, err := decode(c)
	if err != nil {
		return v, err
	}
	in.require(required...)
	v = fields(in)
	return v, in.err()
}

// isJSON accepts a missing type, too, because a session's request has proved by its CSRF token whose page it is from.
func isJSON(contentType string) bool {
	name, _, _ := mime.ParseMediaType(contentType)
	return contentType == "" || name == fiber.MIMEApplicationJSON || strings.HasSuffix(name, "+json")
}

// nesting is how deep the brackets outside of texts are nested. It needn't be right where the JSON isn't.
func nesting(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			depth++
			deepest = max(deepest, depth)
		case b == '}' || b == ']':
			depth--
		}
	}
	return deepest
}

func parseError(why string) error { return state.Errorf(state.Invalid, "JSON parse error - "+why) }

func invalid(field, message string) error {
	return &state.Error{Code: state.Invalid, Message: "Please correct the marked fields.", Fields: map[string][]string{field: {message}}}
}

func (in *input) fault(field, message string) {
	in.faults[field] = append(in.faults[field], message)
}

// err is what was wrong with the fields that were read.
func (in *input) err() error {
	if len(in.faults) == 0 {
		return nil
	}
	return &state.Error{Code: state.Invalid, Message: "Please correct the marked fields.", Fields: in.faults}
}

// value reads a field into v, which stays as it is where the field is missing.
func (in *input) value(field string, v any, wrong string) {
	raw, given := in.raw[field]
	switch {
	case !given:
	case isNull(raw):
		in.fault(field, "This field may not be null.")
	case json.Unmarshal(raw, v) != nil:
		in.fault(field, wrong)
	}
}

// nullable is value for a field in which null stands for the zero value.
func (in *input) nullable(field string, v *string, wrong string) {
	if isNull(in.raw[field]) {
		*v = ""
		return
	}
	in.value(field, v, wrong)
}

// require says which fields a client may not leave out.
func (in *input) require(fields ...string) {
	for _, field := range fields {
		if _, given := in.raw[field]; !given {
			in.fault(field, "This field is required.")
		}
	}
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func (in *input) text(field string) (text string) {
	in.value(field, &text, "Not a valid string.")
	return text
}

// nullableText takes null for no text.
func (in *input) nullableText(field string) string {
	if isNull(in.raw[field]) {
		return ""
	}
	return in.text(field)
}

// texts is nil for a missing field.
func (in *input) texts(field string) (list []string) {
	in.value(field, &list, "Expected a list of strings.")
	return list
}
