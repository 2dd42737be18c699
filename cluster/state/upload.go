package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

const (
	// FileChunk is the size of a file's chunks, the last of which may be shorter: with what goes with it, an entry of the
	// log stays below 256 KiB, so that no heartbeat waits for long.
	FileChunk = 252 << 10
	// MaxUploads bounds the uploads that are under way in the whole cluster.
	MaxUploads = 256
	// UploadLife is how long an upload may wait for its next chunk, or for its end, before it is dropped.
	UploadLife = 15 * time.Minute
	// maxDropped bounds the uploads that one command drops.
	maxDropped = 100
)

// Upload is content that is on its way into the state. Nobody can read it before it has become that of a file.
type Upload struct {
	ID, Project string
	User        string // user id
	Chunks      uint32
	Bytes       int64
	At          time.Time // when the last chunk came
}

// ChunkUploaded adds the next chunk to an upload. The first begins it. The last one may come again.
type ChunkUploaded struct {
	Upload, Project, User string
	Number                uint32 // from 0
	Data                  []byte // FileChunk bytes, or fewer in the last
	At                    time.Time
	Limits                FileLimits
}

func (c *ChunkUploaded) apply(tx *Tx) (any, error) {
	u, ok, err := get[Upload](tx, bucketUploads, []byte(c.Upload))
	switch {
	case err != nil:
		return nil, err
	case !ok && c.Number > 0:
		return nil, errUploadGone
	case !ok:
		if u, err = tx.beginUpload(c); err != nil {
			return nil, err
		}
	}
	if u.Project == c.Project && u.Chunks == c.Number+1 {
		return nil, nil // it is there, and its sender didn't hear of it
	}
	switch {
	case u.Project != c.Project || u.Chunks != c.Number || len(c.Data) == 0 || len(c.Data) > FileChunk,
		u.Bytes != int64(u.Chunks)*FileChunk: // a short one was the last
		return nil, errUploadGone
	case u.Bytes+int64(len(c.Data)) > min(c.Limits.File, MaxFileSize):
		return nil, fileError(TooLargeText(c.Limits.File))
	}
	if err := tx.roomForFiles(u.Project, c.Limits, int64(len(c.Data))); err != nil {
		return nil, err
	}
	u.Chunks, u.Bytes, u.At = u.Chunks+1, u.Bytes+int64(len(c.Data)), c.At
	if err := tx.putRaw(bucketFileChunks, chunkKey(u.ID, c.Number), c.Data); err != nil {
		return nil, err
	}
	if err := tx.useSite(int64(len(c.Data))); err != nil {
		return nil, err
	}
	if err := tx.useFiles(u.Project, int64(len(c.Data)), 0); err != nil {
		return nil, err
	}
	return nil, tx.put(bucketUploads, []byte(u.ID), u)
}

// TooLargeText tells people that a file is larger than limit bytes.
func TooLargeText(limit int64) string {
	return "The file is too large. A small file may have " + sizeText(min(limit, MaxFileSize)) + " at most."
}

var errUploadGone = Errorf(Conflict, "The upload was interrupted and nothing was stored. Upload the file again.")

func (tx *Tx) beginUpload(c *ChunkUploaded) (u Upload, err error) {
	if err := tx.filesProject(c.Project); err != nil {
		return u, err
	}
	if tx.count(bucketUploads, MaxUploads) >= MaxUploads {
		return u, Errorf(TooMany, "Too many files are being uploaded at the moment. Try again in a minute.")
	}
	return Upload{ID: c.Upload, Project: c.Project, User: c.User}, nil
}

// count is the number of keys in a bucket, which is not counted beyond limit.
func (tx *Tx) count(bucket []byte, limit int) (n int) {
	c := tx.btx.Bucket(bucket).Cursor()
	for k, _ := c.First(); k != nil && n < limit; k, _ = c.Next() {
		n++
	}
	return n
}

func chunkKey(content string, number uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(content), 0), number)
}

// UploadedContent is what an upload must be for a file to be made of it.
type UploadedContent struct {
	Upload string
	Chunks uint32
	Size   int64
	Hash   []byte // SHA-256
}

// storedContent is the content of one or more files.
type storedContent struct {
	Chunks string // the first part of its chunks' keys
	Count  uint32
	Size   int64
	Files  int // that have it
}

// takeUpload makes the content of an upload that of one file more, after it was checked. Content that is there already
// is not stored twice. The bytes of the upload no longer count for the project.
func (tx *Tx) takeUpload(project string, c *UploadedContent) error {
	u, ok, err := get[Upload](tx, bucketUploads, []byte(c.Upload))
	if err != nil {
		return err
	}
	if !ok && c.Chunks == 0 { // an empty file has no chunk that would have begun an upload
		u = Upload{ID: c.Upload, Project: project}
	} else if !ok || u.Project != project {
		return errUploadGone
	}
	if u.Chunks != c.Chunks || u.Bytes != c.Size {
		return errUploadGone
	}
	hash := sha256.New()
	for n := range u.Chunks {
		hash.Write(tx.btx.Bucket(bucketFileChunks).Get(chunkKey(u.ID, n)))
	}
	if !bytes.Equal(hash.Sum(nil), c.Hash) {
		return Errorf(Conflict, "The file did not arrive as it was sent, and nothing was stored. Upload it again.")
	}
	if err := tx.delete(bucketUploads, []byte(u.ID)); err != nil {
		return err
	}
	if err := tx.useFiles(project, -u.Bytes, 0); err != nil {
		return err
	}
	content, known, err := get[storedContent](tx, bucketFileContents, c.Hash)
	if err != nil {
		return err
	}
	if known {
		if err := tx.removeChunks(u.ID, u.Chunks, u.Bytes); err != nil {
			return err
		}
	} else {
		content = storedContent{Chunks: u.ID, Count: u.Chunks, Size: u.Bytes}
	}
	content.Files++
	return tx.put(bucketFileContents, c.Hash, content)
}

// leaveContent removes content with the last file that has it.
func (tx *Tx) leaveContent(hash []byte) error {
	content, ok, err := get[storedContent](tx, bucketFileContents, hash)
	if err != nil || !ok {
		return err
	}
	if content.Files--; content.Files > 0 {
		return tx.put(bucketFileContents, hash, content)
	}
	if err := tx.removeChunks(content.Chunks, content.Count, content.Size); err != nil {
		return err
	}
	return tx.delete(bucketFileContents, hash)
}

func (tx *Tx) removeChunks(content string, count uint32, size int64) error {
	for n := range count {
		if err := tx.delete(bucketFileChunks, chunkKey(content, n)); err != nil {
			return err
		}
	}
	return tx.useSite(-size)
}

// FileChunk returns a chunk of the content with this hash, from 0; false when there is no such content, as after the file
// was replaced. The bytes are the caller's.
func (tx *Tx) FileChunk(hash []byte, number uint32) (chunk []byte, ok bool, err error) {
	content, ok, err := get[storedContent](tx, bucketFileContents, hash)
	if err != nil || !ok || number >= content.Count {
		return nil, false, err
	}
	return bytes.Clone(tx.btx.Bucket(bucketFileChunks).Get(chunkKey(content.Chunks, number))), true, nil
}

// UploadsDropped removes uploads that won't come to an end.
type UploadsDropped struct {
	IDs []string
	// Idle keeps those whose last chunk came after it; zero drops them whenever that was.
	Idle time.Time
}

func (c *UploadsDropped) apply(tx *Tx) (any, error) {
	if len(c.IDs) > maxDropped {
		return nil, Errorf(Invalid, "More than "+itoa(maxDropped)+" uploads in one command.")
	}
	for _, id := range c.IDs {
		u, ok, err := get[Upload](tx, bucketUploads, []byte(id))
		if err != nil {
			return nil, err
		}
		if !ok || !c.Idle.IsZero() && u.At.After(c.Idle) {
			continue
		}
		if err := tx.dropUpload(&u); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (tx *Tx) dropUpload(u *Upload) error {
	if err := tx.removeChunks(u.ID, u.Chunks, u.Bytes); err != nil {
		return err
	}
	if err := tx.useFiles(u.Project, -u.Bytes, 0); err != nil {
		return err
	}
	return tx.delete(bucketUploads, []byte(u.ID))
}

// IdleUploads lists the ids of uploads whose last chunk came before a time, at most as many as one UploadsDropped takes.
func (tx *Tx) IdleUploads(before time.Time) (ids []string, err error) {
	err = each(tx, bucketUploads, nil, func(_ []byte, u Upload) bool {
		if !u.At.After(before) {
			ids = append(ids, u.ID)
		}
		return len(ids) < maxDropped
	})
	return ids, err
}

// ErrFileGone says that content was removed or replaced while it was read.
var ErrFileGone = Errorf(Conflict, "The file was changed or deleted while it was read. Try again.")

// FileContent reads content of the state, a chunk at a time. It is for one goroutine.
type FileContent struct {
	store  *Store
	hash   []byte
	size   int64
	at     int64
	chunk  []byte // the one with number
	number int64
}

// FileContent begins to read the content of a file.
func (s *Store) FileContent(f *File) *FileContent {
	return &FileContent{store: s, hash: f.Hash, size: f.Size, number: -1}
}

// Read returns ErrFileGone where the content is there no more.
func (r *FileContent) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if number := r.at / FileChunk; number != r.number {
		err := r.store.View(func(tx *Tx) error {
			chunk, ok, err := tx.FileChunk(r.hash, uint32(number))
			if err == nil && !ok {
				err = ErrFileGone
			}
			r.chunk, r.number = chunk, number
			return err
		})
		if err != nil {
			r.number = -1
			return 0, err
		}
	}
	n := copy(p, r.chunk[min(r.at%FileChunk, int64(len(r.chunk))):])
	if n == 0 {
		return 0, ErrFileGone
	}
	r.at += int64(n)
	return n, nil
}

// Seek moves to a place within the content.
func (r *FileContent) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 || offset > r.size {
		return r.at, fmt.Errorf("a place %d in a file of %d bytes", offset, r.size)
	}
	r.at = offset
	return r.at, nil
}
