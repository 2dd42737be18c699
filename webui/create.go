package webui

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func (ui *UI) registerCreate(app *fiber.App) {
	app.Get("/containers/create/:project", ui.page(ui.showCreate))
	app.Post("/containers/create/:project", ui.page(ui.create))
}

// field is one field of a form with what was entered.
type field struct {
	Name, Label, Value, Help string
	// Kind is "text" (also when empty), "password", "number", "area", "select" of Options, or "check", whose Value is empty
	// while it isn't checked.
	Kind     string
	Options  []option
	Rows     int // of an area
	Max      int // length; 0 for any
	Required bool
	Errors   []string
}

// option is a choice of a field.
type option struct{ Value, Label string }

type createPage struct {
	frame
	Project      string
	ProjectTitle string
	Fields       []field
	// Error is why the form came back; empty for none.
	Error string
}

var createTemplate = parse("create.html")

// Render writes the page.
func (p createPage) Render(w io.Writer) error { return createTemplate.Execute(w, p) }

// createFields are the fields of the form for a container, in Kiosc's order.
func createFields() []field {
	number := func(name, label string, value int, help string) field {
		return field{Name: name, Label: label, Kind: "number", Value: strconv.Itoa(value), Required: true, Help: help}
	}
	return []field{
		{Name: "title", Label: "Title", Required: true, Max: state.MaxTitle},
		{Name: "description", Label: "Description", Kind: "area", Rows: 3, Max: state.MaxDescription},
		{Name: "repository", Label: "Repository", Required: true, Max: state.MaxRepository,
			Help: "Name of the Docker image, with its registry where that isn't Docker Hub, such as registry.example.org/group/app."},
		{Name: "tag", Label: "Tag", Required: true, Max: state.MaxTag, Help: "Version of the image, such as latest or 1.4."},
		number("container_port", "Container port", service.DefaultPort, "Where the web server in the image listens."),
		{Name: "container_path", Label: "Container path", Max: state.MaxPath,
			Help: "Added to the app's address when it is opened. May be empty."},
		{Name: "keep_prefix", Label: "Keep the path's prefix", Kind: "check",
			Help: "The app is asked for the path that visitors see, with /containers/proxy/… in front. For apps such as Jupyter that are told their base URL by __KIOSC_URL_PREFIX__."},
		number("timeout", "Timeout [seconds]", service.DefaultTimeout, "How long Docker may take for an action."),
		{Name: "environment", Label: "Environment", Kind: "area", Rows: 6, Max: state.MaxEnvironment,
			Help: `Variables for the app as a JSON object, such as {"TITLE": "My app"}. __KIOSC_URL_PREFIX__ in a value becomes the app's address.`},
		{Name: "environment_secret_keys", Label: "Environment secret keys", Max: 4096,
			Help: "Names of the variables whose values are kept secret, separated by commas."},
		{Name: "command", Label: "Command", Kind: "area", Rows: 2, Max: state.MaxCommand,
			Help: "Instead of the image's own command. May be empty."},
		{Name: "constraints", Label: "Docker host", Kind: "area", Rows: 2, Max: 4096,
			Help: "Conditions on the Docker host, one a line, such as node.labels.gpu == true. May be empty."},
		{Name: "cpu_reservation", Label: "Reserved CPUs", Max: 16, Help: "Kept free for the app on its Docker host, such as 0.5. May be empty."},
		{Name: "cpu_limit", Label: "CPU limit", Max: 16, Help: "The most that the app can use, such as 2. Empty for no limit."},
		{Name: "memory_reservation", Label: "Reserved memory", Max: 32, Help: "Kept free for the app on its Docker host, such as 512 MiB. May be empty."},
		{Name: "memory_limit", Label: "Memory limit", Max: 32, Help: "The most that the app can use, such as 2 GiB; beyond it Docker ends the app. Empty for no limit."},
	}
}

// createPage makes the page for somebody who may create containers in the project of the address.
func (ui *UI) createPage(v *visit) (p createPage, err error) {
	project, err := id(v.Ctx, "project")
	if err != nil {
		return p, err
	}
	view, err := ui.svc.Project(v.Actor, project)
	if err != nil {
		return p, err
	}
	if !view.Rights[auth.CreateContainer] {
		return p, errNotAllowed
	}
	return createPage{frame: ui.frame(v, "Create container"), Project: view.ID, ProjectTitle: view.Title,
		Fields: createFields()}, nil
}

var errNotAllowed = state.Errorf(state.Forbidden, "Your role in this project does not allow this. Ask an owner of the project.")

func (ui *UI) showCreate(v *visit) error {
	p, err := ui.createPage(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) create(v *visit) error {
	p, err := ui.createPage(v)
	if err != nil {
		return err
	}
	for i := range p.Fields {
		p.Fields[i].Value = strings.Clone(v.FormValue(p.Fields[i].Name))
	}
	in, wrong := containerInput(p.Fields)
	var c state.Container
	if len(wrong) > 0 {
		err = &state.Error{Code: state.Invalid, Message: correctFields, Fields: wrong}
	} else {
		c, err = ui.svc.CreateContainer(v.UserContext(), v.Actor, p.Project, in)
	}
	if err != nil {
		status, fields, message, show := formError(v.Ctx, err)
		if !show {
			return err
		}
		p.Error = message
		for i := range p.Fields {
			p.Fields[i].Errors = fields[p.Fields[i].Name]
		}
		return render(v.Ctx, status, p)
	}
	ui.setFlash(v.Ctx, flash{Text: "Container created."})
	return v.Redirect("/containers/detail/" + c.ID)
}

const correctFields = "Please correct the marked fields."

// containerInput reads the form; wrong has the fields that should be numbers and aren't.
func containerInput(fields []field) (in service.ContainerInput, wrong map[string][]string) {
	text := make(map[string]string, len(fields))
	for _, f := range fields {
		text[f.Name] = strings.ReplaceAll(f.Value, "\r\n", "\n")
	}
	wrong = make(map[string][]string)
	number := func(name string) *int {
		value := strings.TrimSpace(text[name])
		if value == "" {
			return nil
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			wrong[name] = []string{"A valid integer is required."}
		}
		return &n
	}
	cpus := func(name string) *float64 {
		value := strings.TrimSpace(text[name])
		if value == "" {
			return nil
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || n != n {
			wrong[name] = []string{"Enter a number of CPUs such as 0.5 or 2."}
		}
		return &n
	}
	bytes := func(name string) *int64 {
		value := strings.TrimSpace(text[name])
		if value == "" {
			return nil
		}
		n, err := units.RAMInBytes(value)
		if err != nil {
			wrong[name] = []string{"Enter a size such as 512 MiB or 2 GiB."}
		}
		return &n
	}
	in = service.ContainerInput{
		Title: text["title"], Description: text["description"], Repository: text["repository"], Tag: text["tag"],
		Port: number("container_port"), Path: strings.TrimSpace(text["container_path"]),
		KeepPrefix:  text["keep_prefix"] != "",
		Timeout:     number("timeout"),
		Environment: []byte(text["environment"]), SecretKeys: text["environment_secret_keys"], Command: text["command"],
		Constraints:    strings.Split(text["constraints"], "\n"),
		CPUReservation: cpus("cpu_reservation"), CPULimit: cpus("cpu_limit"),
		MemoryReservation: bytes("memory_reservation"), MemoryLimit: bytes("memory_limit"),
	}
	return in, wrong
}

// formError tells how to show an error in the form that caused it; show is false for one that has its own page.
func formError(c *fiber.Ctx, err error) (status int, fields map[string][]string, message string, show bool) {
	var e *state.Error
	if !errors.As(err, &e) {
		return 0, nil, "", false
	}
	switch e.Code {
	case state.Invalid, state.Conflict:
	case state.TooMany, state.Unavailable:
		c.Set(fiber.HeaderRetryAfter, service.RetryAfter)
	default:
		return 0, nil, "", false
	}
	return service.Status(err), e.Fields, e.Message, true
}
