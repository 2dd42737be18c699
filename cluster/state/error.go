package state

import "errors"

// Code says what kind of error a person or a program met. Everything without a code is internal: people see one
// general sentence, the log sees the cause.
type Code string

const (
	Invalid         Code = "invalid"         // the input breaks a rule; Fields says where
	NotFound        Code = "not_found"       // no such object, or none that this user may know of
	Conflict        Code = "conflict"        // the object's state or a name in use forbids it
	Unauthenticated Code = "unauthenticated" // nobody is logged in, or the credentials are wrong
	Forbidden       Code = "forbidden"       // logged in, the object is known, the right is missing
	TooMany         Code = "too_many"        // a bound is reached; trying again later helps
	Unavailable     Code = "unavailable"     // no leader, no quorum or no Docker host; trying again later helps
	Internal        Code = "internal"        // a fault of Kiosc
)

// Error is an answer for people. Message is a whole sentence that says what is wrong and, where there is a remedy,
// what to do. It never holds a secret or an internal cause.
type Error struct {
	Code    Code                `cbor:"code"`
	Message string              `cbor:"message"`
	Fields  map[string][]string `cbor:"fields,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Sentence is what the error says of its first field, or else its message, for people who see no form.
func (e *Error) Sentence() string {
	first := ""
	for field, texts := range e.Fields {
		if len(texts) > 0 && (first == "" || field < first) {
			first = field
		}
	}
	if first == "" {
		return e.Message
	}
	return e.Fields[first][0]
}

// Errorf makes an Error without field messages.
func Errorf(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// CodeOf returns the code of the first Error in err's chain, Internal where there is none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// fieldErrors gathers messages by field and becomes an Invalid error if there were any.
type fieldErrors map[string][]string

func (f fieldErrors) add(field, message string) { f[field] = append(f[field], message) }

func (f fieldErrors) err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Code: Invalid, Message: "Please correct the marked fields.", Fields: f}
}
