package webui

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// The built assets. The folder always has a placeholder, so that Kiosc compiles before they were built.
//
//go:embed all:assets/dist
var embedded embed.FS

// assets are the addresses of the built files, each with a hash of its content in its name.
type assets struct {
	// Built is false where the front end was not built; then the rest is empty.
	Built                       bool
	Script, Style, Theme, Icons string

	files map[string]asset
}

// asset is one file as sent.
type asset struct {
	kind       string // content type
	body, gzip []byte // gzip is nil where it saves nothing
}

// manifestNames are what the build writes into manifest.json.
type manifestNames struct {
	Script string `json:"app.js"`
	Style  string `json:"app.css"`
	Theme  string `json:"theme.js"`
	Icons  string `json:"icons.svg"`
}

// loadAssets reads what the build left in assets/dist.
func loadAssets(from fs.FS) (*assets, error) {
	const dir = "assets/dist"
	raw, err := fs.ReadFile(from, dir+"/manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return &assets{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the assets: %w", err)
	}
	var names manifestNames
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, fmt.Errorf("reading the assets' manifest: %w", err)
	}
	a := &assets{Built: true, files: make(map[string]asset), Script: "/static/" + names.Script,
		Style: "/static/" + names.Style, Theme: "/static/" + names.Theme, Icons: "/static/" + names.Icons}
	for _, name := range []string{names.Script, names.Style, names.Theme, names.Icons} {
		body, err := fs.ReadFile(from, dir+"/"+name)
		if err != nil {
			return nil, fmt.Errorf("the assets are not complete, build them again with make assets: %w", err)
		}
		file := asset{kind: mime.TypeByExtension(path.Ext(name)), body: body}
		if zipped, err := fs.ReadFile(from, dir+"/"+name+".gz"); err == nil {
			file.gzip = zipped
		}
		a.files[name] = file
	}
	return a, nil
}

func (ui *UI) registerStatic(app *fiber.App) {
	app.Get("/static/:name", ui.static)
}

// static serves one built file. Its name changes with its content, so browsers may keep it for ever.
func (ui *UI) static(c *fiber.Ctx) error {
	file, ok := ui.assets.files[c.Params("name")]
	if !ok {
		ui.secureHeaders(c)
		return ui.fail(c, errNoPage)
	}
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	c.Set(fiber.HeaderContentType, file.kind)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Vary(fiber.HeaderAcceptEncoding)
	if file.gzip != nil && strings.Contains(c.Get(fiber.HeaderAcceptEncoding), "gzip") {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		return c.Send(file.gzip)
	}
	return c.Send(file.body)
}
