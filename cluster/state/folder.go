package state

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"
)

const (
	// MaxFileName bounds the name of a file or folder, and MaxFileDescription its description, in bytes.
	MaxFileName        = 255
	MaxFileDescription = 255
	// MaxFolderDepth is how deep folders may be nested.
	MaxFolderDepth = 32
	// MaxFileObjects bounds the files and folders of one project.
	MaxFileObjects = 10_000
)

// Folder holds small files and other folders of one project.
type Folder struct {
	ID, Project string
	Parent      string // id of a folder; empty at the top
	Name        string // unique among the folders of Parent
	Description string
	Owner       string // user id
	CreatedAt   time.Time
	ModifiedAt  time.Time
}

// Validate checks the rules that hold for every folder.
func (d *Folder) Validate() error { return validFileMeta(d.Name, d.Description) }

func validFileMeta(name, description string) error {
	f := fieldErrors{}
	requireText(f, "name", name, MaxFileName)
	switch {
	case name == "." || name == "..":
		f.add("name", "A name must not be . or ..")
	case strings.ContainsAny(name, `/\`):
		f.add("name", `A name can't contain / or \.`)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		f.add("name", "A name can't contain line breaks or other control characters.")
	}
	checkText(f, "description", description, MaxFileDescription)
	return f.err()
}

// The kinds of what has a name in a folder. Each kind has its names for itself.
const (
	nameOfFolder = "d"
	nameOfFile   = "f"
)

func (d *Folder) nameKey() []byte { return key(d.Project, d.Parent, nameOfFolder, d.Name) }

// FolderAdded makes a folder.
type FolderAdded struct{ Folder Folder }

func (c *FolderAdded) apply(tx *Tx) (any, error) {
	if err := c.Folder.Validate(); err != nil {
		return nil, err
	}
	if err := tx.filesProject(c.Folder.Project); err != nil {
		return nil, err
	}
	if err := tx.folderFor(c.Folder.Project, c.Folder.Parent, 1); err != nil {
		return nil, err
	}
	if err := tx.freeName(c.Folder.nameKey(), c.Folder.ID); err != nil {
		return nil, err
	}
	if err := tx.useFiles(c.Folder.Project, 0, 1); err != nil {
		return nil, err
	}
	return c.Folder, tx.putFolder(&c.Folder)
}

// FolderChanged gives a folder another name, description or place.
type FolderChanged struct {
	ID, Parent, Name, Description string
	At                            time.Time
}

func (c *FolderChanged) apply(tx *Tx) (any, error) {
	old, ok, err := tx.Folder(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, noFolder)
	}
	changed := old
	changed.Parent, changed.Name, changed.Description, changed.ModifiedAt = c.Parent, c.Name, c.Description, c.At
	if err := changed.Validate(); err != nil {
		return nil, err
	}
	height, err := tx.folderHeight(&old)
	if err != nil {
		return nil, err
	}
	if err := tx.folderFor(old.Project, c.Parent, height); err != nil {
		return nil, err
	}
	if err := tx.notBelow(c.Parent, c.ID); err != nil {
		return nil, err
	}
	if err := tx.freeName(changed.nameKey(), c.ID); err != nil {
		return nil, err
	}
	if err := tx.delete(bucketFileNames, old.nameKey()); err != nil {
		return nil, err
	}
	return changed, tx.putFolder(&changed)
}

// FolderRemoved removes a folder: one that is empty, or with all in it if that is what somebody has seen and agreed to.
type FolderRemoved struct {
	ID string
	// Seen is the FolderTree.Digest of what is to go; empty for a folder with nothing in it.
	Seen []byte
}

func (c *FolderRemoved) apply(tx *Tx) (any, error) {
	d, ok, err := tx.Folder(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, noFolder)
	}
	tree, err := tx.FolderTree(&d)
	if err != nil {
		return nil, err
	}
	switch {
	case tree.Empty():
	case len(c.Seen) == 0:
		return nil, Errorf(Conflict, "The folder is not empty. Delete what is in it first, or agree to delete all of it.")
	case string(c.Seen) != string(tree.Digest()):
		return nil, Errorf(Conflict, "What is in the folder has changed, so nothing was deleted. Look at the list again.")
	}
	for i := range tree.Files {
		if err := tx.removeFile(&tree.Files[i]); err != nil {
			return nil, err
		}
	}
	for _, below := range append(tree.Folders, d) {
		if err := tx.removeFolder(&below); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

const (
	noFolder = "There is no such folder."
	noFile   = "There is no such file."
)

// Folder returns a folder by id.
func (tx *Tx) Folder(id string) (d Folder, ok bool, err error) {
	return get[Folder](tx, bucketFolders, []byte(id))
}

// FolderTree is all that is in a folder, at any depth, in an order that stays the same.
type FolderTree struct {
	Folders []Folder
	Files   []File
}

// Empty tells whether there is nothing in the folder.
func (t *FolderTree) Empty() bool { return len(t.Folders)+len(t.Files) == 0 }

// Digest stands for exactly these folders and files, with their content.
func (t *FolderTree) Digest() []byte {
	h := sha256.New()
	for _, d := range t.Folders {
		h.Write(key(nameOfFolder, d.ID, d.Name, ""))
	}
	for _, f := range t.Files {
		h.Write(key(nameOfFile, f.ID, f.Name, string(f.Hash), ""))
	}
	return h.Sum(nil)
}

// FolderTree lists all that is in a folder.
func (tx *Tx) FolderTree(d *Folder) (tree FolderTree, err error) {
	todo := []string{d.ID}
	for len(todo) > 0 {
		folders, files, err := tx.FilesIn(d.Project, todo[0])
		if err != nil {
			return tree, err
		}
		todo = todo[1:]
		for _, below := range folders {
			todo = append(todo, below.ID)
		}
		tree.Folders, tree.Files = append(tree.Folders, folders...), append(tree.Files, files...)
	}
	return tree, nil
}

// FilesIn lists what is in one folder of a project, "" for its top, each by name.
func (tx *Tx) FilesIn(project, folder string) (folders []Folder, files []File, err error) {
	var ids [][2]string
	prefix := append(key(project, folder), 0)
	c := tx.btx.Bucket(bucketFileNames).Cursor()
	for k, id := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, id = c.Next() {
		ids = append(ids, [2]string{string(k[len(prefix) : len(prefix)+1]), string(id)})
	}
	for _, kindAndID := range ids {
		if kindAndID[0] == nameOfFolder {
			d, _, err := tx.Folder(kindAndID[1])
			if err != nil {
				return nil, nil, err
			}
			folders = append(folders, d)
			continue
		}
		f, _, err := tx.File(kindAndID[1])
		if err != nil {
			return nil, nil, err
		}
		files = append(files, f)
	}
	return folders, files, nil
}

// FolderPath lists the folders on the way to a folder, from the top, with itself at the end; nothing for the top.
func (tx *Tx) FolderPath(id string) (path []Folder, err error) {
	for id != "" && len(path) <= MaxFolderDepth {
		d, ok, err := tx.Folder(id)
		if err != nil || !ok {
			return nil, orNotFound(err, noFolder)
		}
		path = append(path, d)
		id = d.Parent
	}
	slices.Reverse(path)
	return path, nil
}

// filesProject refuses what can't have files.
func (tx *Tx) filesProject(id string) error {
	p, ok, err := tx.Project(id)
	if err != nil || !ok {
		return orNotFound(err, "There is no such project.")
	}
	if p.Type != TypeProject {
		return Errorf(Invalid, "A category can't have small files. Put them into a project.")
	}
	return nil
}

// folderFor refuses a folder of another project, and one that is too deep for what is so many levels high. "" is the top.
func (tx *Tx) folderFor(project, id string, height int) error {
	path, err := tx.FolderPath(id)
	if CodeOf(err) == NotFound || err == nil && len(path) > 0 && path[len(path)-1].Project != project {
		return &Error{Code: Invalid, Message: noFolder, Fields: map[string][]string{"folder": {noFolder}}}
	}
	if err != nil {
		return err
	}
	if len(path)+height > MaxFolderDepth {
		text := "Folders can be nested " + itoa(MaxFolderDepth) + " levels deep at most."
		return &Error{Code: Invalid, Message: text, Fields: map[string][]string{"folder": {text}}}
	}
	return nil
}

// folderHeight is how many levels of folders a folder has, with itself.
func (tx *Tx) folderHeight(d *Folder) (int, error) {
	folders, _, err := tx.FilesIn(d.Project, d.ID)
	if err != nil {
		return 0, err
	}
	height := 0
	for i := range folders {
		below, err := tx.folderHeight(&folders[i])
		if err != nil {
			return 0, err
		}
		height = max(height, below)
	}
	return height + 1, nil
}

// notBelow refuses to put a folder into itself.
func (tx *Tx) notBelow(id, folder string) error {
	path, err := tx.FolderPath(id)
	if err != nil {
		return err
	}
	for _, d := range path {
		if d.ID == folder {
			const text = "A folder can't be moved into itself."
			return &Error{Code: Invalid, Message: text, Fields: map[string][]string{"folder": {text}}}
		}
	}
	return nil
}

// freeName refuses a name that something else has.
func (tx *Tx) freeName(name []byte, id string) error {
	if has := tx.btx.Bucket(bucketFileNames).Get(name); has != nil && string(has) != id {
		const text = "There is one of this name in this folder already."
		return &Error{Code: Invalid, Message: text, Fields: map[string][]string{"name": {text}}}
	}
	return nil
}

func (tx *Tx) putFolder(d *Folder) error {
	if err := tx.putRaw(bucketFileNames, d.nameKey(), []byte(d.ID)); err != nil {
		return err
	}
	return tx.put(bucketFolders, []byte(d.ID), d)
}

func (tx *Tx) removeFolder(d *Folder) error {
	if err := tx.delete(bucketFileNames, d.nameKey()); err != nil {
		return err
	}
	if err := tx.delete(bucketFolders, []byte(d.ID)); err != nil {
		return err
	}
	return tx.useFiles(d.Project, 0, -1)
}
