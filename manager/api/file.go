package api

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net/url"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
	"kiosc/manager/incoming"
	"kiosc/manager/service"
)

var filesMedia = media{"application/vnd.bihealth.sodar-core.filesfolders+json", []string{"2.0"}}

// maxFileForm bounds a body without a file, in bytes.
const maxFileForm = 1 << 20

func (a *API) registerFiles(app *fiber.App) {
	api := app.Group("/files/api")
	a.route(api, "/folder/list-create/:project<guid>", filesMedia,
		methods{fiber.MethodGet: a.listFolders, fiber.MethodHead: a.listFolders, fiber.MethodPost: a.createFolder}).
		get(about{summary: "List all folders of a project", right: auth.ViewFiles, out: []folderJSON{}}).
		post(about{summary: "Add a folder", right: auth.AddFiles, in: fileInput{}, needs: []string{"name"}, out: folderJSON{}, status: fiber.StatusCreated})
	a.route(api, "/folder/retrieve-update-destroy/:item<guid>", filesMedia, methods{fiber.MethodGet: a.showFolder,
		fiber.MethodHead: a.showFolder, fiber.MethodPut: a.changeFolder, fiber.MethodPatch: a.changeFolder, fiber.MethodDelete: a.deleteFolder}).
		get(about{summary: "Show a folder", right: auth.ViewFiles, out: folderJSON{}}).
		put(about{summary: "Change a folder", right: auth.UpdateOwnFiles, in: fileInput{}, needs: []string{"name"}, out: folderJSON{}}).
		patch(about{summary: "Change a folder", right: auth.UpdateOwnFiles, in: fileInput{}, out: folderJSON{}}).
		del(about{summary: "Delete an empty folder", right: auth.UpdateOwnFiles, status: fiber.StatusNoContent})
	a.route(api, "/file/list-create/:project<guid>", filesMedia,
		methods{fiber.MethodGet: a.listFiles, fiber.MethodHead: a.listFiles, fiber.MethodPost: a.createFile}).
		get(about{summary: "List all files of a project", right: auth.ViewFiles, out: []fileJSON{}}).
		post(about{summary: "Upload a file", right: auth.AddFiles, in: fileInput{}, needs: []string{"name"}, file: true, out: fileJSON{},
			status: fiber.StatusCreated})
	a.route(api, "/file/retrieve-update-destroy/:item<guid>", filesMedia, methods{fiber.MethodGet: a.showFile,
		fiber.MethodHead: a.showFile, fiber.MethodPut: a.changeFile, fiber.MethodPatch: a.changeFile, fiber.MethodDelete: a.deleteFile}).
		get(about{summary: "Show a file", right: auth.ViewFiles, out: fileJSON{}}).
		put(about{summary: "Change a file", right: auth.UpdateOwnFiles, in: fileInput{}, needs: []string{"name"}, file: true, out: fileJSON{}}).
		patch(about{summary: "Change a file", right: auth.UpdateOwnFiles, in: fileInput{}, file: true, out: fileJSON{}}).
		del(about{summary: "Delete a file", right: auth.UpdateOwnFiles, status: fiber.StatusNoContent})
	a.route(api, "/file/serve/:item<guid>", filesMedia, reading(a.serveFile)).
		get(about{summary: "Download a file", right: auth.ViewFiles, text: "application/octet-stream"})
	api.All("/*", notFound)
}

// fileInput is what a request may say of a file or folder.
type fileInput struct {
	Name        string  `json:"name"`
	Folder      *string `json:"folder"`
	Description *string `json:"description"`
}

// folderJSON is a folder in SODAR's form.
type folderJSON struct {
	Name         string  `json:"name"`
	Folder       *string `json:"folder"` // null at the top
	Owner        string  `json:"owner"`
	Project      string  `json:"project"`
	Flag         *string `json:"flag"` // always null
	Description  string  `json:"description"`
	DateModified string  `json:"date_modified"`
	UUID         string  `json:"sodar_uuid"`
}

// fileJSON is a file in SODAR's form, with what it is besides.
type fileJSON struct {
	folderJSON
	PublicURL   bool    `json:"public_url"` // always false
	Secret      *string `json:"secret"`     // always null
	Size        int64   `json:"size"`
	ContentType string  `json:"content_type"`
	Hash        string  `json:"sha256"`
}

func folderAsJSON(d state.Folder) folderJSON {
	return folderJSON{Name: d.Name, Folder: orNull(d.Parent), Owner: d.Owner, Project: d.Project, Description: d.Description,
		DateModified: dateText(d.ModifiedAt), UUID: d.ID}
}

func fileAsJSON(f state.File) fileJSON {
	return fileJSON{folderJSON: folderJSON{Name: f.Name, Folder: orNull(f.Folder), Owner: f.Owner, Project: f.Project,
		Description: f.Description, DateModified: dateText(f.ModifiedAt), UUID: f.ID},
		Size: f.Size, ContentType: f.ContentType, Hash: hex.EncodeToString(f.Hash)}
}

func (a *API) listFolders(c *fiber.Ctx, actor service.Actor) error {
	folders, _, err := a.allFiles(c, actor)
	if err != nil {
		return err
	}
	list := make([]folderJSON, len(folders))
	for i, d := range folders {
		list[i] = folderAsJSON(d.Folder)
	}
	return render(c, fiber.StatusOK, list)
}

func (a *API) listFiles(c *fiber.Ctx, actor service.Actor) error {
	_, files, err := a.allFiles(c, actor)
	if err != nil {
		return err
	}
	list := make([]fileJSON, len(files))
	for i, f := range files {
		list[i] = fileAsJSON(f.File)
	}
	return render(c, fiber.StatusOK, list)
}

func (a *API) allFiles(c *fiber.Ctx, actor service.Actor) ([]service.FolderView, []service.FileView, error) {
	return a.service.AllFiles(actor, id(c, "project"))
}

func (a *API) createFolder(c *fiber.Ctx, actor service.Actor) error {
	in, up, err := fileForm(c, nil)
	up.Close()
	if err != nil {
		return err
	}
	in.require("name")
	meta := fileMeta(in, service.FileInput{})
	if err := in.err(); err != nil {
		return err
	}
	d, err := a.service.AddFolder(c.UserContext(), actor, id(c, "project"), meta)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, folderAsJSON(d))
}

func (a *API) showFolder(c *fiber.Ctx, actor service.Actor) error {
	d, err := a.service.Folder(actor, id(c, "item"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, folderAsJSON(d.Folder))
}

func (a *API) changeFolder(c *fiber.Ctx, actor service.Actor) error {
	item := id(c, "item")
	old, err := a.service.Folder(actor, item)
	if err != nil {
		return err
	}
	in, up, err := fileForm(c, nil)
	up.Close()
	if err != nil {
		return err
	}
	meta := changedMeta(c, in, service.FileInput{Folder: old.Parent, Name: old.Name, Description: old.Description})
	if err := in.err(); err != nil {
		return err
	}
	d, err := a.service.ChangeFolder(c.UserContext(), actor, item, meta)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, folderAsJSON(d))
}

// deleteFolder deletes an empty one only: no program has seen a list of what would go with it.
func (a *API) deleteFolder(c *fiber.Ctx, actor service.Actor) error {
	return gone(c, a.service.RemoveFolder(c.UserContext(), actor, id(c, "item"), ""))
}

func (a *API) createFile(c *fiber.Ctx, actor service.Actor) error {
	project := id(c, "project")
	in, up, err := fileForm(c, func() (*service.Upload, error) { return a.service.BeginUpload(c.UserContext(), actor, project) })
	defer up.Close()
	if err != nil {
		return err
	}
	in.require("name")
	meta := fileMeta(in, service.FileInput{})
	if up == nil {
		in.fault("file", "No file was submitted.")
	}
	if err := in.err(); err != nil {
		return err
	}
	f, err := up.Add(c.UserContext(), meta)
	if err != nil {
		return err
	}
	return render(c, fiber.StatusCreated, fileAsJSON(f))
}

func (a *API) showFile(c *fiber.Ctx, actor service.Actor) error {
	f, err := a.service.File(actor, id(c, "item"))
	if err != nil {
		return err
	}
	return render(c, fiber.StatusOK, fileAsJSON(f.File))
}

// changeFile changes what is told of a file, and its content where one came.
func (a *API) changeFile(c *fiber.Ctx, actor service.Actor) error {
	item := id(c, "item")
	old, err := a.service.File(actor, item)
	if err != nil {
		return err
	}
	in, up, err := fileForm(c, func() (*service.Upload, error) { return a.service.BeginReplacement(c.UserContext(), actor, item) })
	defer up.Close()
	if err != nil {
		return err
	}
	was := service.FileInput{Folder: old.Folder, Name: old.Name, Description: old.Description}
	meta := changedMeta(c, in, was)
	if err := in.err(); err != nil {
		return err
	}
	f := old.File
	if meta != was || up == nil {
		if f, err = a.service.ChangeFile(c.UserContext(), actor, item, meta); err != nil {
			return err
		}
	}
	if up != nil {
		if f, err = up.Replace(c.UserContext(), item); err != nil {
			return err
		}
	}
	return render(c, fiber.StatusOK, fileAsJSON(f))
}

func (a *API) deleteFile(c *fiber.Ctx, actor service.Actor) error {
	return gone(c, a.service.RemoveFile(c.UserContext(), actor, id(c, "item")))
}

// serveFile sends the content. It is an attachment: a browser must not show a file of somebody's as a page of Kiosc.
func (a *API) serveFile(c *fiber.Ctx, actor service.Actor) error {
	f, content, err := a.service.OpenFile(actor, id(c, "item"))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, f.ContentType)
	c.Set(fiber.HeaderContentDisposition, "attachment; filename*=UTF-8''"+url.PathEscape(f.Name))
	c.Set(fiber.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	c.Set(fiber.HeaderETag, `"`+hex.EncodeToString(f.Hash)+`"`)
	return c.SendStream(content, int(f.Size))
}

// fileMeta reads what is told of a file or folder; fields that are missing stay as they are.
func fileMeta(in *input, meta service.FileInput) service.FileInput {
	in.value("name", &meta.Name, "Not a valid string.")
	in.nullable("description", &meta.Description, "Not a valid string.")
	in.nullable("folder", &meta.Folder, "Not a valid string.")
	if meta.Folder != "" {
		parsed, err := uuid.Parse(meta.Folder)
		if err != nil {
			in.fault("folder", "There is no such folder.")
		}
		meta.Folder = parsed.String()
	}
	return meta
}

// changedMeta is fileMeta for PUT, which says all, and PATCH.
func changedMeta(c *fiber.Ctx, in *input, old service.FileInput) service.FileInput {
	if c.Method() == fiber.MethodPut {
		in.require("name")
		old = service.FileInput{}
	}
	return fileMeta(in, old)
}

// fileForm reads a body in any form that clients of SODAR send: JSON, or a form with or without a file. A file is taken
// into the upload that begin makes; where begin is nil, none is expected. The upload is nil where no file came, and else
// is the caller's to close, also after an error.
func fileForm(c *fiber.Ctx, begin func() (*service.Upload, error)) (in *input, up *service.Upload, err error) {
	if !incoming.IsForm(c) {
		if err := incoming.Read(c, maxFileForm); err != nil {
			return nil, nil, err
		}
		if name, _, _ := mime.ParseMediaType(c.Get(fiber.HeaderContentType)); name == fiber.MIMEApplicationForm {
			in, err = decodeForm(c)
		} else {
			in, err = decode(c)
		}
		return in, nil, err
	}
	fields, err := incoming.Form(c, func(_ map[string]string, f incoming.File) error {
		if begin == nil || f.Field != "file" {
			return invalid(f.Field, "No file is expected here.")
		}
		if up == nil {
			if up, err = begin(); err != nil {
				return err
			}
		}
		return up.Take(c.UserContext(), f, f.Name, f.ContentType)
	})
	if err != nil {
		return nil, up, err
	}
	in, err = formInput(fields)
	return in, up, err
}

// decodeForm reads a form as browsers send it by default.
func decodeForm(c *fiber.Ctx) (*input, error) {
	if c.Get(fiber.HeaderContentEncoding) != "" {
		return nil, errEncoding
	}
	values, err := url.ParseQuery(string(c.Request().Body()))
	if err != nil {
		return nil, incoming.ErrBroken
	}
	fields := make(map[string]string, len(values))
	for name := range values {
		fields[name] = values.Get(name)
	}
	return formInput(fields)
}

// formInput makes a form's fields, which are all text, the input that JSON would have been.
func formInput(fields map[string]string) (*input, error) {
	in := &input{raw: make(map[string]json.RawMessage, len(fields)), faults: make(map[string][]string)}
	var errs []error
	for name, value := range fields {
		raw, err := json.Marshal(value)
		errs = append(errs, err)
		in.raw[name] = raw
	}
	return in, errors.Join(errs...)
}
