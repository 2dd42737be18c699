package webui

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
)

func (ui *UI) registerAPIDocs(app *fiber.App) {
	if ui.opts.OpenAPI != nil {
		read := sync.OnceValues(func() (apiPage, error) { return readOpenAPI(ui.opts.OpenAPI()) })
		app.Get("/api/docs/", ui.page(func(v *visit) error {
			p, err := read()
			if err != nil {
				return err
			}
			p.frame = ui.frame(v, "REST API")
			return render(v.Ctx, fiber.StatusOK, p)
		}))
	}
}

// apiPage is the API's description for people.
type apiPage struct {
	frame
	About  string
	Groups []apiGroup
	Types  []apiType
}

type apiGroup struct {
	Name       string
	Operations []apiOperation
}

type apiOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters, Body                       []apiField
	Form                                   bool // the body may be a form with a file
	Answers                                []apiAnswer
}

// apiField is a field of a body, or a parameter of an address.
type apiField struct {
	Name, Type, About string
	Needed            bool
}

// apiAnswer is a status and what comes with it. Types are names of what the page has below.
type apiAnswer struct{ Status, About, Type string }

type apiType struct {
	Name   string
	Fields []apiField
}

var apiTemplate = parse("api.html")

// Render writes the page.
func (p apiPage) Render(w io.Writer) error { return apiTemplate.Execute(w, p) }

// schema is as much of a JSON schema as the description has.
type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Format     string
	Items      *schema
	Properties map[string]schema
	Required   []string
	OneOf      []schema
	AnyOf      []schema
	Values     *schema `json:"additionalProperties"`
}

type content map[string]struct{ Schema schema }

// openAPI is as much of a description as the page shows.
type openAPI struct {
	Info  struct{ Description string }
	Tags  []struct{ Name string }
	Paths map[string]map[string]struct {
		OperationID          string
		Summary, Description string
		Tags                 []string
		Parameters           []struct {
			Name, In, Description string
			Schema                schema
		}
		RequestBody *struct{ Content content }
		Responses   map[string]struct {
			Description string
			Content     content
		}
	}
	Components struct{ Schemas map[string]schema }
}

func readOpenAPI(text []byte) (p apiPage, err error) {
	var doc openAPI
	if err := json.Unmarshal(text, &doc); err != nil {
		return p, fmt.Errorf("reading the API's description: %w", err)
	}
	p.About = strings.ReplaceAll(doc.Info.Description, "`", "")
	groups := make(map[string][]apiOperation)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			in := doc.Paths[path][method]
			op := apiOperation{ID: in.OperationID, Method: strings.ToUpper(method), Path: path, Summary: in.Summary,
				Description: strings.ReplaceAll(in.Description, "`", "")}
			for _, q := range in.Parameters {
				op.Parameters = append(op.Parameters, apiField{q.Name, q.Schema.text(), q.Description, q.In == "path"})
			}
			if in.RequestBody != nil {
				op.Body, op.Form = bodyOf(in.RequestBody.Content)
			}
			for _, status := range slices.Sorted(maps.Keys(in.Responses)) {
				answer := in.Responses[status]
				op.Answers = append(op.Answers, apiAnswer{status, answer.Description, answer.Content.text()})
			}
			for _, tag := range in.Tags {
				groups[tag] = append(groups[tag], op)
			}
		}
	}
	for _, tag := range doc.Tags {
		if len(groups[tag.Name]) > 0 {
			p.Groups = append(p.Groups, apiGroup{tag.Name, groups[tag.Name]})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		p.Types = append(p.Types, apiType{name, doc.Components.Schemas[name].fields()})
	}
	return p, nil
}

// bodyOf prefers the form, which has all fields.
func bodyOf(c content) (fields []apiField, form bool) {
	if in, ok := c[fiber.MIMEMultipartForm]; ok {
		return in.Schema.fields(), true
	}
	return c[fiber.MIMEApplicationJSON].Schema.fields(), false
}

func (c content) text() string {
	for kind, in := range c {
		if kind == fiber.MIMEApplicationJSON {
			return in.Schema.text()
		}
		return kind
	}
	return ""
}

func (s schema) fields() (fields []apiField) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		fields = append(fields, apiField{Name: name, Type: s.Properties[name].text(), Needed: slices.Contains(s.Required, name)})
	}
	return fields
}

// text tells in words what a value is.
func (s schema) text() string {
	var kinds []string
	switch kind := s.Type.(type) {
	case string:
		kinds = []string{kind}
	case []any:
		for _, k := range kind {
			kinds = append(kinds, fmt.Sprint(k))
		}
	}
	for i, kind := range kinds {
		switch {
		case kind == "array" && s.Items != nil:
			kinds[i] = "list of " + s.Items.text()
		case kind == "object" && s.Values != nil:
			kinds[i] = "object with values of " + s.Values.text()
		case kind == "string" && s.Format != "":
			kinds[i] = s.Format
		}
	}
	if s.Ref != "" {
		kinds = []string{s.Ref[strings.LastIndex(s.Ref, "/")+1:]}
	}
	for _, one := range append(slices.Clone(s.OneOf), s.AnyOf...) {
		kinds = append(kinds, one.text())
	}
	if len(kinds) == 0 {
		return "any value"
	}
	return strings.Join(kinds, " or ")
}
