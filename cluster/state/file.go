package state

import (
	"mime"
	"time"
	"unicode/utf8"
)

const (
	// DefaultFileSize is how large a small file may be where no setting says otherwise, MaxFileSize how large a setting may
	// let it be; in bytes. Each node computes the hash of a file as it is stored, so there is an end to it.
	DefaultFileSize = 10 << 20
	MaxFileSize     = 128 << 20
	// DefaultFilesLimit bounds all small files of the site together, in bytes: each snapshot has all of them.
	DefaultFilesLimit = 1 << 30
	// MaxContentType is in bytes.
	MaxContentType = 255
)

// File is a small file of a project. Its content lies in chunks, see Content.
type File struct {
	ID, Project string
	Folder      string // id; empty at the top
	Name        string // unique among the files of Folder
	Description string
	Owner       string // user id
	CreatedAt   time.Time
	// ModifiedAt is when the content or anything else of the file was changed.
	ModifiedAt  time.Time
	Size        int64  // bytes
	ContentType string // as its uploader has said; nothing to rely on
	Hash        []byte // SHA-256 of the content, by which the content is found
}

// Validate checks the rules that hold for every file.
func (f *File) Validate() error {
	if err := validFileMeta(f.Name, f.Description); err != nil {
		return err
	}
	_, _, err := mime.ParseMediaType(f.ContentType)
	if err != nil || len(f.ContentType) > MaxContentType || !utf8.ValidString(f.ContentType) {
		const text = "The content type is not valid."
		return &Error{Code: Invalid, Message: text, Fields: map[string][]string{"content_type": {text}}}
	}
	return nil
}

func (f *File) nameKey() []byte { return key(f.Project, f.Folder, nameOfFile, f.Name) }

// FileAdded makes a file of an upload.
type FileAdded struct {
	// File has everything but what Content says.
	File    File
	Content UploadedContent
}

func (c *FileAdded) apply(tx *Tx) (any, error) {
	f := c.File
	f.Size, f.Hash = c.Content.Size, c.Content.Hash
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if err := tx.filesProject(f.Project); err != nil {
		return nil, err
	}
	if err := tx.folderFor(f.Project, f.Folder, 0); err != nil {
		return nil, err
	}
	if err := tx.freeName(f.nameKey(), f.ID); err != nil {
		return nil, err
	}
	if err := tx.takeUpload(f.Project, &c.Content); err != nil {
		return nil, err
	}
	if err := tx.useFiles(f.Project, f.Size, 1); err != nil {
		return nil, err
	}
	return f, tx.putFile(&f)
}

// FileReplaced gives a file the content of an upload. Everything else of it stays.
type FileReplaced struct {
	ID, ContentType string
	At              time.Time
	Content         UploadedContent
}

func (c *FileReplaced) apply(tx *Tx) (any, error) {
	f, ok, err := tx.File(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, noFile)
	}
	old := f
	f.ContentType, f.ModifiedAt, f.Size, f.Hash = c.ContentType, c.At, c.Content.Size, c.Content.Hash
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if err := tx.takeUpload(f.Project, &c.Content); err != nil {
		return nil, err
	}
	if err := tx.leaveContent(old.Hash); err != nil {
		return nil, err
	}
	if err := tx.useFiles(f.Project, f.Size-old.Size, 0); err != nil {
		return nil, err
	}
	return f, tx.putFile(&f)
}

// FileChanged gives a file another name, description or folder.
type FileChanged struct {
	ID, Folder, Name, Description string
	At                            time.Time
}

func (c *FileChanged) apply(tx *Tx) (any, error) {
	old, ok, err := tx.File(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, noFile)
	}
	f := old
	f.Folder, f.Name, f.Description, f.ModifiedAt = c.Folder, c.Name, c.Description, c.At
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if err := tx.folderFor(f.Project, f.Folder, 0); err != nil {
		return nil, err
	}
	if err := tx.freeName(f.nameKey(), f.ID); err != nil {
		return nil, err
	}
	if err := tx.delete(bucketFileNames, old.nameKey()); err != nil {
		return nil, err
	}
	return f, tx.putFile(&f)
}

// FileRemoved removes a file.
type FileRemoved struct{ ID string }

func (c *FileRemoved) apply(tx *Tx) (any, error) {
	f, ok, err := tx.File(c.ID)
	if err != nil || !ok {
		return nil, orNotFound(err, noFile)
	}
	return nil, tx.removeFile(&f)
}

// File returns a file by id.
func (tx *Tx) File(id string) (f File, ok bool, err error) {
	return get[File](tx, bucketFiles, []byte(id))
}

// FilesOf lists all folders and files of a project.
func (tx *Tx) FilesOf(project string) (FolderTree, error) {
	return tx.FolderTree(&Folder{Project: project})
}

func (tx *Tx) putFile(f *File) error {
	if err := tx.putRaw(bucketFileNames, f.nameKey(), []byte(f.ID)); err != nil {
		return err
	}
	return tx.put(bucketFiles, []byte(f.ID), f)
}

func (tx *Tx) removeFile(f *File) error {
	if err := tx.delete(bucketFileNames, f.nameKey()); err != nil {
		return err
	}
	if err := tx.delete(bucketFiles, []byte(f.ID)); err != nil {
		return err
	}
	if err := tx.leaveContent(f.Hash); err != nil {
		return err
	}
	return tx.useFiles(f.Project, -f.Size, -1)
}

// removeFilesOf removes all folders, files and begun uploads of a project.
func (tx *Tx) removeFilesOf(project string) error {
	all, err := tx.FilesOf(project)
	if err != nil {
		return err
	}
	for i := range all.Files {
		if err := tx.removeFile(&all.Files[i]); err != nil {
			return err
		}
	}
	for i := range all.Folders {
		if err := tx.removeFolder(&all.Folders[i]); err != nil {
			return err
		}
	}
	var begun []Upload
	err = each(tx, bucketUploads, nil, func(_ []byte, u Upload) bool {
		if u.Project == project {
			begun = append(begun, u)
		}
		return true
	})
	for i := range begun {
		if err == nil {
			err = tx.dropUpload(&begun[i])
		}
	}
	if err != nil {
		return err
	}
	return tx.delete(bucketFileUsage, []byte(project))
}

// FileUsage is how much the small files of a project, or of the site, take.
type FileUsage struct {
	// Bytes are those of its files and of begun uploads. The site's count content that several files share once.
	Bytes   int64
	Objects int // files and folders
}

// siteUsage is the key of the whole site's usage; no project has this id.
const siteUsage = "site"

// FileUsageOf tells how much the small files of a project take.
func (tx *Tx) FileUsageOf(project string) (FileUsage, error) {
	u, _, err := get[FileUsage](tx, bucketFileUsage, []byte(project))
	return u, err
}

// FileUsage tells how much all small files take.
func (tx *Tx) FileUsage() (FileUsage, error) { return tx.FileUsageOf(siteUsage) }

// FileLimits are the bounds that the settings of the proposing manager set, in bytes.
type FileLimits struct {
	File int64 // of one file
	Site int64 // of all together
}

// roomForFiles refuses so many bytes more in a project where they are beyond a limit.
func (tx *Tx) roomForFiles(project string, limits FileLimits, more int64) error {
	if err := tx.checkFileQuota(project, more); err != nil {
		return err
	}
	site, err := tx.FileUsage()
	if err != nil {
		return err
	}
	if site.Bytes+more > limits.Site {
		return fileError("There is no room for this file: all small files of this site together may have " + sizeText(limits.Site) +
			". Delete some that nobody needs, or ask the people who run this site.")
	}
	return nil
}

// useFiles counts what a project has more or less. The bytes of the site are counted where content comes and goes.
func (tx *Tx) useFiles(project string, bytes int64, objects int) error {
	u, err := tx.FileUsageOf(project)
	if err != nil {
		return err
	}
	u.Bytes, u.Objects = u.Bytes+bytes, u.Objects+objects
	if objects > 0 && u.Objects > MaxFileObjects {
		return Errorf(Conflict, "A project can have "+itoa(MaxFileObjects)+" files and folders at most. Delete some that nobody needs.")
	}
	return tx.put(bucketFileUsage, []byte(project), u)
}

func (tx *Tx) useSite(bytes int64) error { return tx.useFiles(siteUsage, bytes, 0) }

func fileError(text string) error {
	return &Error{Code: Invalid, Message: text, Fields: map[string][]string{"file": {text}}}
}

// sizeText is a limit in bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return itoa(int(n>>30)) + " GiB"
	case n >= 1<<20 && n%(1<<20) == 0:
		return itoa(int(n>>20)) + " MiB"
	}
	return itoa(int(n)) + " bytes"
}
