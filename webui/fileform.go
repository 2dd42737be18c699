package webui

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"kiosc/cluster/state"
	"kiosc/manager/incoming"
	"kiosc/manager/service"
)

// fileForm is the form for a file or folder.
type fileForm struct {
	frame
	Trail  []crumb
	Fields []field
	// Action is where the form goes, Submit the button's text, Cancel the page that leads away from it.
	Action, Submit, Cancel string
	// Upload asks for a file, too; MaxText is how large it may be.
	Upload     bool
	MaxText    string
	FileErrors []string
	// Link is what containers fetch the file by; empty for none.
	Link string
	// Error is why the form came back; empty for none.
	Error string
}

var fileFormTemplate = parse("file_form.html")

// Render writes the page.
func (p fileForm) Render(w io.Writer) error { return fileFormTemplate.Execute(w, p) }

// metaFields are the fields for what is told of a file or folder.
func metaFields(in service.FileInput) []field {
	return []field{
		{Name: "name", Label: "Name", Value: in.Name, Required: true, Max: state.MaxFileName},
		{Name: "description", Label: "Description", Value: in.Description, Max: state.MaxFileDescription},
	}
}

// folderChoice is the field for the folder that something is in. What is in the folder without is no choice.
func (ui *UI) folderChoice(v *visit, project, chosen, without string) (field, error) {
	folders, _, err := ui.svc.AllFiles(v.Actor, project)
	f := field{Name: "folder", Label: "Folder", Kind: "select", Value: chosen, Options: []option{{"", "/"}}}
	paths := map[string]string{"": "/"}
	for _, d := range folders { // parents come first
		at, there := paths[d.Parent]
		if d.ID == without || !there {
			continue
		}
		paths[d.ID] = at + d.Name + "/"
		f.Options = append(f.Options, option{d.ID, paths[d.ID]})
	}
	return f, err
}

// sendBack shows the form again with what is wrong; an error that has its own page is returned.
func (p fileForm) sendBack(v *visit, err error) error {
	status, fields, message, show := formError(v.Ctx, err)
	if !show {
		return err
	}
	p.Error, p.FileErrors = message, fields["file"]
	for i := range p.Fields {
		p.Fields[i].Errors = fields[p.Fields[i].Name]
	}
	return render(v.Ctx, status, p)
}

// read takes over what was entered.
func (p fileForm) read(value func(name string) string) (in service.FileInput) {
	for i, to := range map[string]*string{"name": &in.Name, "description": &in.Description, "folder": &in.Folder} {
		for j := range p.Fields {
			if p.Fields[j].Name == i {
				p.Fields[j].Value = value(i)
				*to = p.Fields[j].Value
			}
		}
	}
	return in
}

func (ui *UI) addFolderForm(v *visit) (fileForm, service.FilesView, error) {
	view, err := ui.filesView(v)
	if err == nil && !view.CanAdd {
		err = errNotAllowed
	}
	if err != nil {
		return fileForm{}, view, err
	}
	return fileForm{frame: ui.frame(v, "Add folder"), Trail: filesTrail(&view.Project, view.Path), Fields: metaFields(service.FileInput{}),
		Action: v.Path(), Submit: "Add", Cancel: folderURL(view.Project.ID, view.Folder.ID)}, view, nil
}

func (ui *UI) showAddFolder(v *visit) error {
	p, _, err := ui.addFolderForm(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) addFolder(v *visit) error {
	p, view, err := ui.addFolderForm(v)
	if err != nil {
		return err
	}
	in := p.read(func(name string) string { return v.FormValue(name) })
	in.Folder = view.Folder.ID
	if _, err := ui.svc.AddFolder(v.UserContext(), v.Actor, view.Project.ID, in); err != nil {
		return p.sendBack(v, err)
	}
	return v.Redirect(p.Cancel)
}

func (ui *UI) changeFolderForm(v *visit) (p fileForm, d service.FolderView, err error) {
	item, err := id(v.Ctx, "item")
	if err != nil {
		return p, d, err
	}
	view, err := ui.svc.FilesIn(v.Actor, item)
	if err == nil && !view.Folder.CanChange {
		err = errNotAllowed
	}
	if err != nil {
		return p, d, err
	}
	d = view.Folder
	p = fileForm{frame: ui.frame(v, "Change folder"), Trail: filesTrail(&view.Project, view.Path), Action: v.Path(), Submit: "Save",
		Fields: metaFields(service.FileInput{Name: d.Name, Description: d.Description}), Cancel: folderURL(d.Project, d.Parent)}
	choice, err := ui.folderChoice(v, d.Project, d.Parent, d.ID)
	p.Fields = append(p.Fields, choice)
	return p, d, err
}

func (ui *UI) showChangeFolder(v *visit) error {
	p, _, err := ui.changeFolderForm(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) changeFolder(v *visit) error {
	p, d, err := ui.changeFolderForm(v)
	if err != nil {
		return err
	}
	in := p.read(func(name string) string { return v.FormValue(name) })
	if _, err := ui.svc.ChangeFolder(v.UserContext(), v.Actor, d.ID, in); err != nil {
		return p.sendBack(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "Folder changed."})
	return v.Redirect(folderURL(d.Project, in.Folder))
}

func (ui *UI) changeFileForm(v *visit) (p fileForm, f service.FileView, err error) {
	item, err := id(v.Ctx, "item")
	if err != nil {
		return p, f, err
	}
	f, view, err := ui.fileInPlace(v, item)
	if err != nil {
		return p, f, err
	}
	p = fileForm{frame: ui.frame(v, "Change file"), Trail: filesTrail(&view.Project, view.Path), Action: v.Path(), Submit: "Save",
		Fields: metaFields(service.FileInput{Name: f.Name, Description: f.Description}), Cancel: folderURL(f.Project, f.Folder),
		Upload: true, MaxText: sizeOf(ui.svc.FileLimits().File), Link: ui.svc.FileLink(&f.File)}
	choice, err := ui.folderChoice(v, f.Project, f.Folder, "")
	p.Fields = append(p.Fields, choice)
	return p, f, err
}

// fileInPlace looks up a file that the visitor may change, with the folder that it is in.
func (ui *UI) fileInPlace(v *visit, item string) (f service.FileView, view service.FilesView, err error) {
	if f, err = ui.svc.File(v.Actor, item); err != nil {
		return f, view, err
	}
	if !f.CanChange {
		return f, view, errNotAllowed
	}
	if f.Folder == "" {
		view, err = ui.svc.Files(v.Actor, f.Project)
	} else {
		view, err = ui.svc.FilesIn(v.Actor, f.Folder)
	}
	return f, view, err
}

func (ui *UI) showChangeFile(v *visit) error {
	p, _, err := ui.changeFileForm(v)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

// changeFile changes what is told of a file, and its content where one was chosen.
func (ui *UI) changeFile(v *visit) error {
	p, f, err := ui.changeFileForm(v)
	if err != nil {
		return err
	}
	up, fields, err := ui.replacement(v, f.ID)
	defer func() { up.Close() }() // what came of a content that didn't come whole, too
	if err != nil && fields == nil {
		return p.sendBack(v, err)
	}
	if tokenErr := v.checkToken(fields); tokenErr != nil {
		return tokenErr
	}
	in := p.read(func(name string) string { return fields[name] })
	if err == nil {
		_, err = ui.svc.ChangeFile(v.UserContext(), v.Actor, f.ID, in)
	}
	if err == nil && up != nil {
		_, err = up.Replace(v.UserContext(), f.ID)
	}
	if err != nil {
		return p.sendBack(v, err)
	}
	ui.setFlash(v.Ctx, flash{Text: "File changed."})
	return v.Redirect(folderURL(f.Project, in.Folder))
}

// replacement reads the form, and new content for the file if there is any. The upload is the caller's to close.
func (ui *UI) replacement(v *visit, file string) (up *service.Upload, fields map[string]string, err error) {
	if !incoming.IsForm(v.Ctx) {
		return nil, nil, fiber.NewError(fiber.StatusUnsupportedMediaType, "The form can't be read.")
	}
	var before map[string]string
	fields, err = incoming.Form(v.Ctx, func(sofar map[string]string, f incoming.File) error {
		before = sofar
		if err := v.checkToken(sofar); err != nil {
			return err
		}
		if up == nil {
			if up, err = ui.svc.BeginReplacement(v.UserContext(), v.Actor, file); err != nil {
				return err
			}
		}
		return up.Take(v.UserContext(), f, f.Name, f.ContentType)
	})
	if err != nil {
		fields = before // what was entered is shown again
	}
	return up, fields, err
}

// deleteFilePage asks whether to delete a file or folder.
type deleteFilePage struct {
	frame
	Trail          []crumb
	Name, What     string
	Action, Cancel string
	// Paths is all that goes with a folder, Left how many more there are than are listed.
	Paths []string
	Left  int
	// Seen stands for all of them.
	Seen string
	// Foreign says that the visitor may not delete all of it.
	Foreign bool
}

// maxPaths bounds the list of what goes with a folder.
const maxPaths = 500

var deleteFileTemplate = parse("file_delete.html")

// Render writes the page.
func (p deleteFilePage) Render(w io.Writer) error { return deleteFileTemplate.Execute(w, p) }

func (ui *UI) showDeleteFile(v *visit) error {
	item, err := id(v.Ctx, "item")
	if err != nil {
		return err
	}
	f, view, err := ui.fileInPlace(v, item)
	if err != nil {
		return err
	}
	return render(v.Ctx, fiber.StatusOK, deleteFilePage{frame: ui.frame(v, "Delete file"), Trail: filesTrail(&view.Project, view.Path),
		Name: f.Name, What: "file", Action: v.Path(), Cancel: folderURL(f.Project, f.Folder)})
}

func (ui *UI) deleteFile(v *visit) error {
	item, err := id(v.Ctx, "item")
	if err != nil {
		return err
	}
	f, err := ui.svc.File(v.Actor, item)
	if err != nil {
		return err
	}
	if err := ui.svc.RemoveFile(v.UserContext(), v.Actor, item); err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "File " + f.Name + " deleted."})
	return v.Redirect(folderURL(f.Project, f.Folder))
}

func (ui *UI) showDeleteFolder(v *visit) error {
	item, err := id(v.Ctx, "item")
	if err != nil {
		return err
	}
	d, err := ui.svc.FolderContents(v.Actor, item)
	if err != nil {
		return err
	}
	view, err := ui.svc.FilesIn(v.Actor, item)
	if err != nil {
		return err
	}
	p := deleteFilePage{frame: ui.frame(v, "Delete folder"), Trail: filesTrail(&view.Project, view.Path), Name: d.Name, What: "folder",
		Action: v.Path(), Cancel: folderURL(d.Project, d.Parent), Paths: d.Paths, Seen: d.Seen, Foreign: d.Foreign}
	if len(p.Paths) > maxPaths {
		p.Paths, p.Left = p.Paths[:maxPaths], len(p.Paths)-maxPaths
	}
	return render(v.Ctx, fiber.StatusOK, p)
}

func (ui *UI) deleteFolder(v *visit) error {
	item, err := id(v.Ctx, "item")
	if err != nil {
		return err
	}
	d, err := ui.svc.Folder(v.Actor, item)
	if err != nil {
		return err
	}
	err = ui.svc.RemoveFolder(v.UserContext(), v.Actor, item, v.FormValue("seen"))
	if state.CodeOf(err) == state.Conflict {
		_, message := answer(err)
		ui.setFlash(v.Ctx, flash{Bad: true, Text: message})
		return v.Redirect(v.Path())
	}
	if err != nil {
		return err
	}
	ui.setFlash(v.Ctx, flash{Text: "Folder " + d.Name + " deleted."})
	return v.Redirect(folderURL(d.Project, d.Parent))
}
