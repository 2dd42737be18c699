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
	// Expires is empty for a token that doesn't.
	Expires string
	Expired bool
}

type tokensPage struct {
	frame
	Tokens []tokenRow
}

type tokenFormPage struct {
	frame
	Label, TTL field
	Error      string
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
	p := tokensPage{frame: ui.frame(v, "API tokens")}
	for _, t := range tokens {
		p.Tokens = append(p.Tokens, tokenRow{ID: t.ID, Name: t.Name, Created: ui.date(t.CreatedAt),
			Expires: ui.date(t.ExpiresAt), Expired: !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(time.Now())})
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) tokenForm(v *visit, label, ttl string) tokenFormPage {
	return tokenFormPage{frame: ui.frame(v, "Create API token"),
		Label: field{Name: "label", Label: "Label", Value: label, Help: "What the token is for, so that you know it again."},
		TTL: field{Name: "ttl", Label: "Expires after [hours]", Value: ttl, Kind: "number",
			Help: "0 for a token that never expires."}}
}

func (ui *UI) showCreateToken(v *visit) error {
	return render(v.Ctx, fiber.StatusOK, ui.tokenForm(v, "", "0"))
}

// maxHours is the longest life of a token that time.Duration can hold.
const maxHours = int(math.MaxInt64 / time.Hour)

func (ui *UI) createToken(v *visit) error {
	p := ui.tokenForm(v, strings.TrimSpace(v.FormValue("label")), strings.TrimSpace(v.FormValue("ttl")))
	hours, err := strconv.Atoi(p.TTL.Value)
	if err != nil || hours > maxHours || hours < -maxHours {
		p.TTL.Errors = []string{"A valid integer is required."}
		p.Error = correctFields
		return render(v.Ctx, fiber.StatusBadRequest, p)
	}
	secret, err := ui.svc.CreateToken(v.UserContext(), v.Actor, p.Label.Value, time.Duration(hours)*time.Hour)
	if err != nil {
		status, fields, message, show := formError(v.Ctx, err)
		if !show {
			return err
		}
		p.Label.Errors, p.TTL.Errors, p.Error = fields["label"], fields["ttl"], message
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
