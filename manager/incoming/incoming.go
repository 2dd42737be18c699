// Package incoming reads the bodies of requests that may be larger than a manager wants to hold in memory.
//
// It owns how a body becomes bytes or the parts of a form. It knows no use case: who may send what, and where a file goes,
// is its callers' concern.
//
// What must always hold: no body is read whole without a limit, and a body that breaks off is an error and never looks
// like one that has ended.
package incoming

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const (
	// maxField bounds the value of a form's field, in bytes; maxFields and maxFiles bound how many a form has.
	maxField  = 64 << 10
	maxFields = 100
	maxFiles  = 100
)

// Errors of Form, as answers to the client.
var (
	ErrTooLarge = fiber.NewError(fiber.StatusRequestEntityTooLarge, "The request is too large.")
	ErrEncoded  = fiber.NewError(fiber.StatusUnsupportedMediaType, "The request must not be compressed.")
	ErrBroken   = fiber.NewError(fiber.StatusBadRequest, "The form broke off before its end, or is not a valid one.")
)

// Server is a server with the same handlers as app's, which leaves reading the body to them.
func Server(app *fiber.App) *fasthttp.Server {
	plain := app.Server()
	return &fasthttp.Server{Handler: app.Handler(), ErrorHandler: plain.ErrorHandler, Name: plain.Name, ReadBufferSize: plain.ReadBufferSize,
		WriteBufferSize: plain.WriteBufferSize, MaxRequestBodySize: plain.MaxRequestBodySize, Logger: plain.Logger, LogAllErrors: plain.LogAllErrors,
		NoDefaultServerHeader: plain.NoDefaultServerHeader, StreamRequestBody: true, DisablePreParseMultipartForm: true}
}

// Read brings the body into memory, if it has limit bytes at most; else the error is ErrTooLarge.
func Read(c *fiber.Ctx, limit int) error {
	if c.Request().Header.ContentLength() > limit {
		return ErrTooLarge
	}
	if !c.Request().IsBodyStream() {
		if len(c.Request().Body()) > limit {
			return ErrTooLarge
		}
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(whole(c), int64(limit)+1))
	if err != nil {
		return ErrBroken
	}
	if len(body) > limit {
		return ErrTooLarge
	}
	c.Request().SetBodyRaw(body)
	return nil
}

// whole is the stream of the body. Its io.EOF means that all of it came.
func whole(c *fiber.Ctx) io.Reader {
	return &wholeBody{c.Context().RequestBodyStream(), int64(c.Request().Header.ContentLength())}
}

// wholeBody tells a body that broke off from one that has ended; left is negative where only the chunks tell.
type wholeBody struct {
	io.Reader
	left int64
}

func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
		if b.left > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// File is one file of a form. It can be read until the function that has got it returns.
type File struct {
	Field, Name, ContentType string
	io.Reader
}

// IsForm tells whether the body is a form that may have files.
func IsForm(c *fiber.Ctx) bool {
	name, _, _ := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	return name == fiber.MIMEMultipartForm
}

// Form reads a form as it comes, and calls take for each file with the fields that came before it. Fields of one name
// keep the last value. An error of take ends the reading and is returned.
func Form(c *fiber.Ctx, take func(fields map[string]string, f File) error) (map[string]string, error) {
	if c.Get(fiber.HeaderContentEncoding) != "" {
		return nil, ErrEncoded
	}
	_, params, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	if err != nil || params["boundary"] == "" {
		return nil, ErrBroken
	}
	if !c.Request().IsBodyStream() {
		return nil, ErrBroken // an empty body, as the server leaves all others to be read
	}
	fields, files := make(map[string]string), 0
	parts := multipart.NewReader(whole(c), params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		if err != nil {
			return nil, ErrBroken
		}
		if part.FileName() == "" {
			if err := field(fields, part); err != nil {
				return nil, err
			}
			continue
		}
		if files++; files > maxFiles {
			return nil, fiber.NewError(fiber.StatusBadRequest, fmt.Sprintf("Send at most %d files at once.", maxFiles))
		}
		f := File{Field: part.FormName(), Name: lastOf(part.FileName()), ContentType: part.Header.Get(fiber.HeaderContentType), Reader: part}
		if err := take(fields, f); err != nil {
			return nil, err
		}
	}
}

// field reads one field. A file field where none was chosen is one, too, and empty.
func field(fields map[string]string, part *multipart.Part) error {
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	switch {
	case err != nil:
		return ErrBroken
	case len(value) > maxField || len(fields) >= maxFields:
		return ErrTooLarge
	case !utf8.Valid(value):
		return ErrBroken
	}
	fields[part.FormName()] = string(value)
	return nil
}

// lastOf is a file's name without the folders that some browsers send, of either kind of system.
func lastOf(name string) string {
	name = strings.ToValidUTF8(name, "_")
	return name[strings.LastIndexAny(name, `/\`)+1:]
}
