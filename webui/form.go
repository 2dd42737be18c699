package webui

import (
	"io"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// formPage is a page that is a form and no more.
type formPage struct {
	frame
	Trail  []crumb
	Fields []field
	// Text is shown above the fields, Warning where something is lost; empty for nothing.
	Text, Warning string
	// Lost lists what is lost.
	Lost []string
	// Action is where the form goes, Submit the button's text, and Cancel the page that leads away from it.
	Action, Submit, Cancel string
	// Danger marks a button that deletes. NoSubmit leaves it out.
	Danger, NoSubmit bool
	// Error is why the form came back; empty for none.
	Error string
}

var formTemplate = parse("form.html")

// Render writes the page.
func (p formPage) Render(w io.Writer) error { return formTemplate.Execute(w, p) }

// read takes over what was entered.
func (p *formPage) read(c *fiber.Ctx) {
	for i := range p.Fields {
		p.Fields[i].Value = strings.ReplaceAll(strings.Clone(c.FormValue(p.Fields[i].Name)), "\r\n", "\n")
	}
}

// value is what was entered in a field, without blanks around it; "" where the form has no such field.
func (p *formPage) value(name string) string {
	for _, f := range p.Fields {
		if f.Name == name {
			return strings.TrimSpace(f.Value)
		}
	}
	return ""
}

// refused shows the form again with what was wrong, or returns an error that has a page of its own.
func (p *formPage) refused(c *fiber.Ctx, err error) error {
	status, fields, message, show := formError(c, err)
	if !show {
		return err
	}
	p.Error = message
	for i := range p.Fields {
		p.Fields[i].Errors = fields[p.Fields[i].Name]
		delete(fields, p.Fields[i].Name)
	}
	for _, texts := range fields { // of fields that the form doesn't have
		p.Error += " " + strings.Join(texts, " ")
	}
	return render(c, status, p)
}
