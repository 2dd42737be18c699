package service

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// DefaultWebServer is the name by which containers know the host that has their files, as in the original Kiosc.
const DefaultWebServer = "kiosc-web"

// FileSettings are what an operator decides about small files.
type FileSettings struct {
	Limits state.FileLimits
	// WebServer is the name of the host in the links that containers fetch.
	WebServer string
}

// OrDefaults puts the defaults where nothing is set.
func (f FileSettings) OrDefaults() FileSettings {
	return FileSettings{WebServer: cmp.Or(f.WebServer, DefaultWebServer), Limits: state.FileLimits{
		File: cmp.Or(f.Limits.File, state.DefaultFileSize), Site: cmp.Or(f.Limits.Site, state.DefaultFilesLimit)}}
}

// FileLimits are the limits of small files.
func (s *Service) FileLimits() state.FileLimits { return s.files.Limits }

// FolderView is a folder as an actor sees it.
type FolderView struct {
	state.Folder
	OwnerName string
	// CanChange tells whether the actor may rename, move and delete it.
	CanChange bool
}

// FileView is a file as an actor sees it.
type FileView struct {
	state.File
	OwnerName string
	// CanChange tells whether the actor may rename, move, replace and delete it.
	CanChange bool
}

// FilesView is what is in one folder.
type FilesView struct {
	Project ProjectView
	// Folder is the zero value at the top. Path leads to it, from the top, with itself at the end.
	Folder  FolderView
	Path    []state.Folder
	Folders []FolderView
	Files   []FileView
	// CanAdd tells whether the actor may add files and folders.
	CanAdd bool
	// Used is how many bytes the project's files take.
	Used int64
}

var (
	errNoFolder = state.Errorf(state.NotFound, "There is no such folder, or you have no access to it.")
	errNoFile   = state.Errorf(state.NotFound, "There is no such file, or you have no access to it.")
)

// Files lists what is at the top of a project.
func (s *Service) Files(a Actor, project string) (v FilesView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewFiles); err != nil {
			return err
		}
		v, err = filesView(tx, a, project, "")
		return err
	})
	return v, err
}

// FilesIn lists what is in a folder.
func (s *Service) FilesIn(a Actor, folder string) (v FilesView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		d, err := folderFor(tx, a, folder)
		if err != nil {
			return err
		}
		if v, err = filesView(tx, a, d.Project, d.ID); err != nil {
			return err
		}
		if v.Path, err = tx.FolderPath(d.ID); err != nil {
			return err
		}
		v.Folder, err = folderView(tx, a, d)
		return err
	})
	return v, err
}

// AllFiles lists all folders and files of a project.
func (s *Service) AllFiles(a Actor, project string) (folders []FolderView, files []FileView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewFiles); err != nil {
			return err
		}
		all, err := tx.FilesOf(project)
		if err != nil {
			return err
		}
		folders, files, err = fileViews(tx, a, all.Folders, all.Files)
		return err
	})
	return folders, files, err
}

func filesView(tx *state.Tx, a Actor, project, folder string) (v FilesView, err error) {
	p, _, err := tx.Project(project)
	if err != nil {
		return v, err
	}
	if v.Project, err = projectView(tx, a, p); err != nil {
		return v, err
	}
	folders, files, err := tx.FilesIn(project, folder)
	if err != nil {
		return v, err
	}
	if v.Folders, v.Files, err = fileViews(tx, a, folders, files); err != nil {
		return v, err
	}
	used, err := tx.FileUsageOf(project)
	v.Used, v.CanAdd = used.Bytes, may(tx, a, project, auth.AddFiles) == nil && p.Type == state.TypeProject
	return v, err
}

func fileViews(tx *state.Tx, a Actor, folders []state.Folder, files []state.File) (dirs []FolderView, views []FileView, err error) {
	dirs, err = viewAll(folders, func(d state.Folder) (FolderView, error) { return folderView(tx, a, d) })
	if err == nil {
		views, err = viewAll(files, func(f state.File) (FileView, error) { return fileView(tx, a, f) })
	}
	return dirs, views, err
}

func folderView(tx *state.Tx, a Actor, d state.Folder) (FolderView, error) {
	owner, _, err := tx.User(d.Owner)
	return FolderView{Folder: d, OwnerName: owner.Name, CanChange: may(tx, a, d.Project, updateRight(a, d.Owner)) == nil}, err
}

func fileView(tx *state.Tx, a Actor, f state.File) (FileView, error) {
	owner, _, err := tx.User(f.Owner)
	return FileView{File: f, OwnerName: owner.Name, CanChange: may(tx, a, f.Project, updateRight(a, f.Owner)) == nil}, err
}

// updateRight is the right that changing something of the owner's needs.
func updateRight(a Actor, owner string) auth.Right {
	if owner == a.User.ID {
		return auth.UpdateOwnFiles
	}
	return auth.UpdateAllFiles
}

func folderFor(tx *state.Tx, a Actor, id string) (state.Folder, error) {
	d, ok, err := tx.Folder(id)
	if err == nil && (!ok || may(tx, a, d.Project, auth.ViewFiles) != nil) {
		err = errNoFolder
	}
	return d, err
}

func fileFor(tx *state.Tx, a Actor, id string) (state.File, error) {
	f, ok, err := tx.File(id)
	if err == nil && (!ok || may(tx, a, f.Project, auth.ViewFiles) != nil) {
		err = errNoFile
	}
	return f, err
}

// changeFolder looks up a folder that the actor may change.
func (s *Service) changeFolder(a Actor, id string) (state.Folder, error) {
	d, err := s.Folder(a, id)
	if err == nil && !d.CanChange {
		err = s.may(a, d.Project, updateRight(a, d.Owner)) // which says why not
	}
	return d.Folder, err
}

// changeFile looks up a file that the actor may change.
func (s *Service) changeFile(a Actor, id string) (state.File, error) {
	f, err := s.File(a, id)
	if err == nil && !f.CanChange {
		err = s.may(a, f.Project, updateRight(a, f.Owner)) // which says why not
	}
	return f.File, err
}

// FileInput is what a person or program enters for a file or folder. Folder is an id, empty for the top.
type FileInput struct{ Folder, Name, Description string }

func (in *FileInput) trim() {
	in.Name, in.Description = strings.TrimSpace(in.Name), strings.TrimSpace(in.Description)
}

// Folder returns one folder.
func (s *Service) Folder(a Actor, id string) (v FolderView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		d, err := folderFor(tx, a, id)
		if err != nil {
			return err
		}
		v, err = folderView(tx, a, d)
		return err
	})
	return v, err
}

// AddFolder makes a folder in a project.
func (s *Service) AddFolder(ctx context.Context, a Actor, project string, in FileInput) (d state.Folder, err error) {
	if err := s.may(a, project, auth.AddFiles); err != nil {
		return d, err
	}
	in.trim()
	at := now()
	d = state.Folder{ID: uuid.NewString(), Project: project, Parent: in.Folder, Name: in.Name, Description: in.Description,
		Owner: a.User.ID, CreatedAt: at, ModifiedAt: at}
	if err := d.Validate(); err != nil {
		return d, err
	}
	return act[state.Folder](ctx, s, &state.FolderAdded{Folder: d}, fileEvent(a, "folder", d.Project, d.ID, d.Name, "folder_create", "create folder {folder}"))
}

// ChangeFolder renames, describes or moves a folder.
func (s *Service) ChangeFolder(ctx context.Context, a Actor, id string, in FileInput) (d state.Folder, err error) {
	if d, err = s.changeFolder(a, id); err != nil {
		return d, err
	}
	in.trim()
	d.Name, d.Description = in.Name, in.Description
	if err := d.Validate(); err != nil {
		return d, err
	}
	return act[state.Folder](ctx, s, &state.FolderChanged{ID: id, Parent: in.Folder, Name: in.Name, Description: in.Description, At: now()},
		fileEvent(a, "folder", d.Project, d.ID, d.Name, "folder_update", "update folder {folder}"))
}

// FolderContents is all that goes with a folder.
type FolderContents struct {
	FolderView
	// Paths are below the folder; those of folders end with a slash.
	Paths []string
	// Seen stands for exactly this, for RemoveFolder; empty where there is nothing.
	Seen string
	// Foreign tells that something in it may only be changed by owners and delegates of the project, and the actor is none.
	Foreign bool
}

// FolderContents lists all that is in a folder, at any depth, for somebody who may delete the folder.
func (s *Service) FolderContents(a Actor, id string) (v FolderContents, err error) {
	d, err := s.changeFolder(a, id)
	if err != nil {
		return v, err
	}
	err = s.store.View(func(tx *state.Tx) error {
		tree, err := tx.FolderTree(&d)
		if err != nil {
			return err
		}
		if !tree.Empty() {
			v.Seen = hex.EncodeToString(tree.Digest())
		}
		v.Paths, v.Foreign = treePaths(d.ID, &tree), !mayAll(tx, a, d.Project, &tree)
		v.FolderView, err = folderView(tx, a, d)
		return err
	})
	return v, err
}

// mayAll tells whether the actor may change all that is in a tree.
func mayAll(tx *state.Tx, a Actor, project string, tree *state.FolderTree) bool {
	if may(tx, a, project, auth.UpdateAllFiles) == nil {
		return true
	}
	for _, d := range tree.Folders {
		if d.Owner != a.User.ID {
			return false
		}
	}
	for _, f := range tree.Files {
		if f.Owner != a.User.ID {
			return false
		}
	}
	return true
}

// treePaths are the paths of a tree below the folder top, in the tree's order.
func treePaths(top string, tree *state.FolderTree) (paths []string) {
	below := map[string]string{top: ""}
	for _, d := range tree.Folders { // parents come first
		below[d.ID] = below[d.Parent] + d.Name + "/"
		paths = append(paths, below[d.ID])
	}
	for _, f := range tree.Files {
		paths = append(paths, below[f.Folder]+f.Name)
	}
	return paths
}

var errForeign = state.Errorf(state.Forbidden,
	"The folder has files or folders of others in it. Only an owner or delegate of the project can delete it with them.")

// RemoveFolder deletes a folder: an empty one, or one with what FolderContents has shown and called seen.
func (s *Service) RemoveFolder(ctx context.Context, a Actor, id, seen string) error {
	d, err := s.changeFolder(a, id)
	if err != nil {
		return err
	}
	digest, err := hex.DecodeString(seen)
	if err != nil {
		return state.Errorf(state.Invalid, "What is to be deleted is not clear. Look at the list again.")
	}
	err = s.store.View(func(tx *state.Tx) error {
		tree, err := tx.FolderTree(&d)
		if err == nil && !mayAll(tx, a, d.Project, &tree) {
			err = errForeign
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = act[any](ctx, s, &state.FolderRemoved{ID: id, Seen: digest}, fileEvent(a, "folder", d.Project, d.ID, d.Name, "folder_delete", "delete folder {folder} with all in it"))
	return err
}

// File returns one file.
func (s *Service) File(a Actor, id string) (v FileView, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		f, err := fileFor(tx, a, id)
		if err != nil {
			return err
		}
		v, err = fileView(tx, a, f)
		return err
	})
	return v, err
}

// OpenFile returns a file and its content. Reading fails with state.ErrFileGone when the file is replaced meanwhile.
func (s *Service) OpenFile(a Actor, id string) (FileView, *state.FileContent, error) {
	v, err := s.File(a, id)
	if err != nil {
		return v, nil, err
	}
	return v, s.store.FileContent(&v.File), nil
}

// ChangeFile renames, describes or moves a file.
func (s *Service) ChangeFile(ctx context.Context, a Actor, id string, in FileInput) (f state.File, err error) {
	if f, err = s.changeFile(a, id); err != nil {
		return f, err
	}
	in.trim()
	f.Name, f.Description = in.Name, in.Description
	if err := f.Validate(); err != nil {
		return f, err
	}
	return act[state.File](ctx, s, &state.FileChanged{ID: id, Folder: in.Folder, Name: in.Name, Description: in.Description, At: now()},
		fileEvent(a, "file", f.Project, f.ID, f.Name, "file_update", "update file {file}"))
}

// RemoveFile deletes a file.
func (s *Service) RemoveFile(ctx context.Context, a Actor, id string) error {
	f, err := s.changeFile(a, id)
	if err != nil {
		return err
	}
	_, err = act[any](ctx, s, &state.FileRemoved{ID: id}, fileEvent(a, "file", f.Project, f.ID, f.Name, "file_delete", "delete file {file}"))
	return err
}

// FileLink is where containers of a project fetch one of its files.
type FileLink struct{ Label, URL string }

// FileLinks lists the links of all files of a project.
func (s *Service) FileLinks(a Actor, project string) (links []FileLink, err error) {
	err = s.store.View(func(tx *state.Tx) error {
		if err := may(tx, a, project, auth.ViewFiles); err != nil {
			return err
		}
		all, err := tx.FilesOf(project)
		if err != nil {
			return err
		}
		paths := treePaths("", &all)[len(all.Folders):]
		for i := range all.Files {
			links = append(links, FileLink{Label: "/" + paths[i], URL: s.FileLink(&all.Files[i])})
		}
		return nil
	})
	return links, err
}

// linkSafe escapes what a shell within a command would take for its own.
var linkSafe = strings.NewReplacer("$", "%24", "&", "%26")

// FileLink is where containers of the file's project fetch it.
func (s *Service) FileLink(f *state.File) string {
	return "http://" + s.files.WebServer + ":8080/containers/file/serve/" + f.ID + "/" + linkSafe.Replace(url.PathEscape(f.Name))
}

// DropIdleUploads drops uploads that were begun and have stopped, as with the manager that took them.
func (s *Service) DropIdleUploads(ctx context.Context) (summary string, err error) {
	at, dropped := now().Add(-state.UploadLife), 0
	for {
		var ids []string
		err := s.store.View(func(tx *state.Tx) (err error) {
			ids, err = tx.IdleUploads(at)
			return err
		})
		if err != nil || len(ids) == 0 {
			return fmt.Sprintf("%d uploads dropped", dropped), err
		}
		if _, err := s.node.Propose(ctx, &state.UploadsDropped{IDs: ids, Idle: at}); err != nil {
			return "", err
		}
		dropped += len(ids)
	}
}
