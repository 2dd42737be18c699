package webui

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/service"
)

func (ui *UI) registerTokens(app *fiber.App) {
	app.Get("/tokens/", ui.page(ui.tokens))
	app.Get("/tokens/create", ui.page(ui.showCreateToken))
	app.Post("/tokens/create", ui.page(ui.createToken))
	app.Post("/tokens/delete/:token", ui.page(ui.deleteToken))
	app.Get("/tokens/delete/:token", ui.page(ui.onlyPost))
}

// tokenRow is an API token as the list shows it.
type tokenRow struct {
	ID, Name, Created string
	Scope             string // with the project, where it is for one
	// Expires is empty for a token that doesn't.
	Expires string
	Expired bool
	Used    string // empty for never
}

type tokensPage struct {
	frame
	// Docs says that there is a page about the REST API.
	Docs   bool
	Tokens []tokenRow
}

type tokenFormPage struct {
	frame
	Label, TTL, Scope, Project field
	Error                      string
}

// tokenShownPage is the only page that ever has a token's secret.
type tokenShownPage struct {
	frame
	Secret string
}

var (
	tokensTemplate     = parse("tokens.html")
	tokenFormTemplate  = parse("token_form.html")
	tokenShownTemplate = parse("token_shown.html")
)

// Render writes the page.
func (p tokensPage) Render(w io.Writer) error { return tokensTemplate.Execute(w, p) }

// Render writes the page.
func (p tokenFormPage) Render(w io.Writer) error { return tokenFormTemplate.Execute(w, p) }

// Render writes the page.
func (p tokenShownPage) Render(w io.Writer) error { return tokenShownTemplate.Execute(w, p) }

func (ui *UI) tokens(v *visit) error {
	tokens, err := ui.svc.Tokens(v.Actor)
	if err != nil {
		return err
	}
	slices.SortStableFunc(tokens, func(a, b state.Token) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	projects, err := ui.svc.Projects(v.Actor)
	if err != nil {
		return err
	}
	titles := make(map[string]string)
	for _, p := range projects {
		titles[p.ID] = p.Title
	}
	p := tokensPage{frame: ui.frame(v, "API tokens"), Docs: ui.opts.OpenAPI != nil}
	for _, t := range tokens {
		p.Tokens = append(p.Tokens, tokenRow{ID: t.ID, Name: t.Name, Scope: scopeText(t, titles), Created: ui.date(t.CreatedAt), Used: ui.date(t.UsedAt),
			Expires: ui.date(t.ExpiresAt), Expired: !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(time.Now())})
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// scopeText tells what a token is for.
func scopeText(t state.Token, titles map[string]string) string {
	text := cmp.Or(string(t.Scope), string(state.ScopeAll))
	if t.Project != "" {
		text += ", " + cmp.Or(titles[t.Project], "a project that you have no access to")
	}
	return text
}

// scopeLabels are the choices of a token's scope.
var scopeLabels = []option{
	{string(state.ScopeAll), "all: everything that you may do"},
	{string(state.ScopeOperate), "operate: open apps, start and stop containers, and what read has"},
	{string(state.ScopeRead), "read: look at containers and logs"},
}

// tokenForm has what was entered.
func (ui *UI) tokenForm(v *visit, entered func(name, otherwise string) string) (tokenFormPage, error) {
	projects, err := ui.svc.Projects(v.Actor)
	if err != nil {
		return tokenFormPage{}, err
	}
	of := []option{{"", "all projects"}}
	for _, p := range projects {
		of = append(of, option{p.ID, p.Title})
	}
	return tokenFormPage{frame: ui.frame(v, "Create API token"),
		Label: field{Name: "label", Label: "Label", Value: entered("label", ""), Help: "What the token is for, so that you know it again."},
		TTL: field{Name: "ttl", Label: "Expires after [hours]", Value: entered("ttl", "0"), Kind: "number",
			Help: "0 for a token that never expires."},
		Scope: field{Name: "scope", Label: "Scope", Value: entered("scope", string(state.ScopeAll)), Kind: "select", Options: scopeLabels,
			Help: "Choose no more than the program needs."},
		Project: field{Name: "project", Label: "Project", Value: entered("project", ""), Kind: "select", Options: of}}, nil
}

func (ui *UI) showCreateToken(v *visit) error {
	p, err := ui.tokenForm(v, func(_, otherwise string) string { return otherwise })
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// maxHours is the longest life of a token that time.Duration can hold.
const maxHours = int(math.MaxInt64 / time.Hour)

func (ui *UI) createToken(v *visit) error {
	p, err := ui.tokenForm(v, func(name, _ string) string { return strings.TrimSpace(v.FormValue(name)) })
	if err != nil {
		return err
	}
	hours, err := strconv.Atoi(p.TTL.Value)
	if err != nil || hours > maxHours || hours < -maxHours {
		p.TTL.Errors = []string{"A valid integer is required."}
		p.Error = correctFields
		return render(v.Ctx, fiber.StatusBadRequest, p)
	}
	secret, err := ui.svc.CreateToken(v.UserContext(), v.Actor, service.TokenInput{Name: p.Label.Value, Life: time.Duration(hours) * time.Hour,
		Scope: state.Scope(p.Scope.Value), Project: p.Project.Value})
	if err != nil {
		status, fields, message, show := formError(v.Ctx, err)
		if !show {
			return err
		}
		p.Label.Errors, p.TTL.Errors, p.Scope.Errors, p.Project.Errors = fields["label"], fields["ttl"], fields["scope"], fields["project"]
		p.Error = message
		return render(v.Ctx, status, p)
	}
	return render(v.Ctx, fiber.StatusOK, tokenShownPage{ui.frame(v, "Your new API token"), secret})
}

func (ui *UI) deleteToken(v *visit) error {
	token, err := id(v.Ctx, "token")
	if err != nil {
		return err
	}
	if err := ui.svc.DeleteToken(v.UserContext(), v.Actor, token); err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "API token deleted."})
	return v.Redirect("/tokens/")
}
