package webui

import (
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/docker/go-units"
	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/incoming"
	"kiosc/manager/service"
)

func (ui *UI) registerFiles(app *fiber.App) {
	app.Get("/files/folder/add/:project<guid>", ui.page(ui.showAddFolder))
	app.Post("/files/folder/add/:project<guid>", ui.page(ui.addFolder))
	app.Get("/files/folder/add/in/:folder<guid>", ui.page(ui.showAddFolder))
	app.Post("/files/folder/add/in/:folder<guid>", ui.page(ui.addFolder))
	app.Get("/files/folder/update/:item<guid>", ui.page(ui.showChangeFolder))
	app.Post("/files/folder/update/:item<guid>", ui.page(ui.changeFolder))
	app.Get("/files/folder/delete/:item<guid>", ui.page(ui.showDeleteFolder))
	app.Post("/files/folder/delete/:item<guid>", ui.page(ui.deleteFolder))
	app.Get("/files/folder/:folder<guid>", ui.page(ui.files))
	app.Post("/files/upload/:project<guid>", ui.uploading(ui.upload))
	app.Post("/files/upload/in/:folder<guid>", ui.uploading(ui.upload))
	app.Get("/files/update/:item<guid>", ui.page(ui.showChangeFile))
	app.Post("/files/update/:item<guid>", ui.uploading(ui.changeFile))
	app.Get("/files/delete/:item<guid>", ui.page(ui.showDeleteFile))
	app.Post("/files/delete/:item<guid>", ui.page(ui.deleteFile))
	app.Get("/files/download/:item<guid>/:name", ui.page(ui.download))
	app.Get("/files/:project<guid>", ui.page(ui.files))
}

// filesPage is what is in one folder.
type filesPage struct {
	frame
	Head projectHead
	// Trail leads to the folder, from the top, Here is its name, or Small files at the top, and About describes it.
	Trail       []crumb
	Here, About string
	// AddTo and UploadTo are where folders are added and files sent; empty for who may not.
	AddTo, UploadTo string
	// Max is the size of a file in bytes, MaxText for people.
	Max           int64
	MaxText, Used string
	Rows          []fileRow
}

// fileRow is a file or folder in the list.
type fileRow struct {
	Icon, Name, Href, About, Size, Owner, Modified string
	// Change and Delete are the pages for it; empty for who may not. Download is empty for a folder.
	Change, Delete, Download string
}

var filesTemplate = parse("files.html")

// Render writes the page.
func (p filesPage) Render(w io.Writer) error { return filesTemplate.Execute(w, p) }

func (ui *UI) files(v *visit) error {
	view, err := ui.filesView(v)
	if err != nil {
		return err
	}
	p := filesPage{frame: ui.frame(v, "Small files of "+view.Project.Title), Head: headOf(view.Project, "Small files"), Here: "Small files",
		About: view.Folder.Description, Max: ui.svc.FileLimits().File, MaxText: sizeOf(ui.svc.FileLimits().File),
		Used: sizeOf(view.Used)}
	if n := len(view.Path); n > 0 {
		p.Here, p.Trail = view.Folder.Name, foldersTrail(view.Project.ID, view.Path[:n-1])
	}
	if view.CanAdd {
		p.AddTo, p.UploadTo = "/files/folder/add/"+view.Project.ID, "/files/upload/"+view.Project.ID
		if view.Folder.ID != "" {
			p.AddTo, p.UploadTo = "/files/folder/add/in/"+view.Folder.ID, "/files/upload/in/"+view.Folder.ID
		}
	}
	for _, d := range view.Folders {
		row := fileRow{Icon: "folder", Name: d.Name, Href: "/files/folder/" + d.ID, About: d.Description, Owner: d.OwnerName, Modified: ui.date(d.ModifiedAt)}
		if d.CanChange {
			row.Change, row.Delete = "/files/folder/update/"+d.ID, "/files/folder/delete/"+d.ID
		}
		p.Rows = append(p.Rows, row)
	}
	for _, f := range view.Files {
		at := downloadURL(&f.File)
		row := fileRow{Icon: "file-earmark", Name: f.Name, Href: at, Download: at, About: f.Description, Owner: f.OwnerName, Modified: ui.date(f.ModifiedAt),
			Size: sizeOf(f.Size)}
		if f.CanChange {
			row.Change, row.Delete = "/files/update/"+f.ID, "/files/delete/"+f.ID
		}
		p.Rows = append(p.Rows, row)
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// filesView looks up the folder of the address, or the top of the project.
func (ui *UI) filesView(v *visit) (service.FilesView, error) {
	if v.Params("folder") == "" {
		project, err := id(v.Ctx, "project")
		if err != nil {
			return service.FilesView{}, err
		}
		return ui.svc.Files(v.Actor, project)
	}
	folder, err := id(v.Ctx, "folder")
	if err != nil {
		return service.FilesView{}, err
	}
	return ui.svc.FilesIn(v.Actor, folder)
}

// filesTrail leads to a folder, with it at the end.
func filesTrail(project *service.ProjectView, path []state.Folder) []crumb {
	return append(append(trailOf(*project), crumb{project.Title, "/project/" + project.ID}), foldersTrail(project.ID, path)...)
}

// foldersTrail is the part of it within the project.
func foldersTrail(project string, path []state.Folder) []crumb {
	trail := []crumb{{"Small files", "/files/" + project}}
	for _, d := range path {
		trail = append(trail, crumb{d.Name, "/files/folder/" + d.ID})
	}
	return trail
}

// folderURL is the page of a folder of a project, or of its top.
func folderURL(project, folder string) string {
	if folder == "" {
		return "/files/" + project
	}
	return "/files/folder/" + folder
}

func downloadURL(f *state.File) string {
	return "/files/download/" + f.ID + "/" + url.PathEscape(f.Name)
}

// download sends a file. A browser saves it and never shows it, since it would be a page of Kiosc's own then.
func (ui *UI) download(v *visit) error {
	item, err := id(v.Ctx, "item")
	if err != nil {
		return err
	}
	f, content, err := ui.svc.OpenFile(v.Actor, item)
	if err != nil {
		return err
	}
	v.Set(fiber.HeaderContentType, f.ContentType)
	v.Set(fiber.HeaderContentDisposition, "attachment; filename*=UTF-8''"+url.PathEscape(f.Name))
	v.Set(fiber.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	return v.SendStream(content, int(f.Size))
}

// upload takes the files of a form into a folder.
func (ui *UI) upload(v *visit) error {
	project, folder := v.Params("project"), ""
	if v.Params("folder") != "" {
		id, err := id(v.Ctx, "folder")
		if err != nil {
			return err
		}
		d, err := ui.svc.Folder(v.Actor, id)
		if err != nil {
			return err
		}
		project, folder = d.Project, d.ID
	}
	stored := 0
	_, err := incoming.Form(v.Ctx, func(fields map[string]string, f incoming.File) error {
		if err := v.checkToken(fields); err != nil {
			return err
		}
		if err := ui.take(v, project, folder, f); err != nil {
			return named(f.Name, err)
		}
		stored++
		return nil
	})
	if err == nil && stored == 0 {
		err = state.Errorf(state.Invalid, "Choose a file.")
	}
	if wantsJSON(v.Ctx) {
		if err != nil {
			return err
		}
		return v.JSON(fiber.Map{"stored": stored})
	}
	var refused *state.Error
	switch {
	case errors.As(err, &refused) && refused.Code != state.Internal && refused.Code != state.NotFound && refused.Code != state.Forbidden:
		ui.setFlash(v.Ctx, flash{Bad: true, Text: refused.Message})
	case err != nil:
		return err
	default:
		ui.setFlash(v.Ctx, flash{Text: counted(stored, "file") + " uploaded."})
	}
	return v.Redirect(folderURL(project, folder))
}

func (ui *UI) take(v *visit, project, folder string, f incoming.File) error {
	up, err := ui.svc.BeginUpload(v.UserContext(), v.Actor, project)
	if err != nil {
		return err
	}
	defer up.Close()
	if err := up.Take(v.UserContext(), f, f.Name, f.ContentType); err != nil {
		return err
	}
	_, err = up.Add(v.UserContext(), service.FileInput{Folder: folder, Name: f.Name})
	return err
}

// named says of which file an error is, in the words of its fields.
func named(file string, err error) error {
	var refused *state.Error
	if !errors.As(err, &refused) {
		return err
	}
	text := refused.Message
	if len(refused.Fields) > 0 {
		text = ""
		for _, field := range []string{"name", "file", "folder", "description", "content_type"} {
			text += strings.Join(refused.Fields[field], " ")
		}
	}
	return state.Errorf(refused.Code, file+": "+text)
}

// fileLinks are the links by which containers of a project fetch its files, for the form with their command.
func (ui *UI) fileLinks(v *visit, project string) (links []option, err error) {
	all, err := ui.svc.FileLinks(v.Actor, project)
	for _, l := range all {
		links = append(links, option{l.URL, l.Label})
	}
	return links, err
}

// sizeOf is a number of bytes for people.
func sizeOf(n int64) string { return units.BytesSize(float64(n)) }
