package state_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
)

var limits = state.FileLimits{File: 2 << 20, Site: 4 << 20}

// upload sends content as chunks of an upload and returns what a command that takes it says of it.
func (f *fixture) upload(id string, content []byte) state.UploadedContent {
	f.Helper()
	hash := sha256.Sum256(content)
	c := state.UploadedContent{Upload: id, Size: int64(len(content)), Hash: hash[:]}
	for chunk := range slices.Chunk(content, state.FileChunk) {
		f.must(&state.ChunkUploaded{Upload: id, Project: "p1", User: "u1", Number: c.Chunks, Data: chunk, At: t0, Limits: limits})
		c.Chunks++
	}
	return c
}

func file(id, name string) state.File {
	return state.File{ID: id, Project: "p1", Name: name, Owner: "u1", CreatedAt: t0, ModifiedAt: t0, ContentType: "text/plain"}
}

func (f *fixture) addFile(id, name string, content []byte) state.File {
	f.Helper()
	return f.must(&state.FileAdded{File: file(id, name), Content: f.upload("up-"+id, content)}).(state.File)
}

func folder(id, parent, name string) *state.FolderAdded {
	return &state.FolderAdded{Folder: state.Folder{ID: id, Project: "p1", Parent: parent, Name: name, Owner: "u1", CreatedAt: t0}}
}

// content is what a reader of the file gets; nil where it is not there.
func (f *fixture) content(id string) (all []byte) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) error {
		file, ok, err := tx.File(id)
		for n := uint32(0); err == nil && ok; n++ {
			var chunk []byte
			chunk, ok, err = tx.FileChunk(file.Hash, n)
			all = append(all, chunk...)
		}
		return err
	}))
	return all
}

func (f *fixture) fileUsage() (site, project state.FileUsage) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		if site, err = tx.FileUsage(); err != nil {
			return err
		}
		project, err = tx.FileUsageOf("p1")
		return err
	}))
	return site, project
}

func (f *fixture) idle(before time.Time) (ids []string) {
	f.Helper()
	require.NoError(f, f.store.View(func(tx *state.Tx) (err error) {
		ids, err = tx.IdleUploads(before)
		return err
	}))
	return ids
}

func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i/251) ^ byte(i) ^ seed
	}
	return b
}

func TestAFileIsWhatWasSent(t *testing.T) {
	f := newFixture(t)
	for i, size := range []int{0, 1, state.FileChunk - 1, state.FileChunk, state.FileChunk + 1, 3*state.FileChunk + 5} {
		id, content := fmt.Sprint("f", i), pattern(size, byte(i))
		made := f.addFile(id, id, content)
		require.Equal(t, int64(size), made.Size)
		require.True(t, bytes.Equal(content, f.content(id)), size)
	}
	require.Empty(t, f.idle(t0))
}

func TestAnUploadThatIsNotWhatItSaysIsRefused(t *testing.T) {
	f := newFixture(t)
	content := pattern(2*state.FileChunk+7, 1)
	whole := f.upload("whole", content)
	for name, spoil := range map[string]func(*state.UploadedContent){
		"a chunk is missing":   func(c *state.UploadedContent) { c.Chunks++ },
		"a chunk too many":     func(c *state.UploadedContent) { c.Chunks-- },
		"another size":         func(c *state.UploadedContent) { c.Size++ },
		"another hash":         func(c *state.UploadedContent) { c.Hash = bytes.Repeat([]byte{1}, 32) },
		"no hash":              func(c *state.UploadedContent) { c.Hash = nil },
		"an unknown upload":    func(c *state.UploadedContent) { c.Upload = "other" },
		"empty, but it is not": func(c *state.UploadedContent) { c.Upload, c.Chunks = "other", 0 },
	} {
		c := whole
		spoil(&c)
		require.Equal(t, state.Conflict, state.CodeOf(f.apply(&state.FileAdded{File: file("f1", "a"), Content: c}).Err), name)
	}
	f.must(&state.FileAdded{File: file("f1", "a"), Content: whole})
	f.refused(state.Conflict, &state.FileAdded{File: file("f2", "b"), Content: whole})
	require.True(t, bytes.Equal(content, f.content("f1")))
}

func TestChunksComeInOrderOnce(t *testing.T) {
	f := newFixture(t)
	chunk := func(number uint32, size int) *state.ChunkUploaded {
		return &state.ChunkUploaded{Upload: "up", Project: "p1", Number: number, Data: pattern(size, 1), At: t0, Limits: limits}
	}
	f.refused(state.Conflict, chunk(1, 5)) // the first was lost
	f.refused(state.Conflict, chunk(0, 0))
	f.refused(state.Conflict, chunk(0, state.FileChunk+1))
	f.must(chunk(0, state.FileChunk))
	f.must(chunk(0, state.FileChunk)) // whose sender did not hear that it was stored
	f.refused(state.Conflict, chunk(2, 5))
	foreign := chunk(1, 5)
	foreign.Project = "p2"
	f.refused(state.Conflict, foreign)
	f.must(chunk(1, 5))
	f.refused(state.Conflict, chunk(0, state.FileChunk))
	f.refused(state.Conflict, chunk(2, 5)) // behind a short one nothing can come
	site, project := f.fileUsage()
	require.Equal(t, int64(state.FileChunk+5), site.Bytes)
	require.Equal(t, site.Bytes, project.Bytes)
}

func TestUploadsThatStopAreDropped(t *testing.T) {
	f := newFixture(t)
	f.upload("old", pattern(state.FileChunk+1, 1))
	f.must(&state.ChunkUploaded{Upload: "young", Project: "p1", Data: []byte("x"), At: t0.Add(time.Hour), Limits: limits})
	require.Equal(t, []string{"old"}, f.idle(t0.Add(time.Minute)))
	f.must(&state.UploadsDropped{IDs: []string{"old", "young", "unknown"}, Idle: t0.Add(time.Minute)})
	require.Equal(t, []string{"young"}, f.idle(t0.Add(2*time.Hour)))
	f.must(&state.UploadsDropped{IDs: []string{"young"}})
	require.Empty(t, f.idle(t0.Add(2*time.Hour)))
	site, project := f.fileUsage()
	require.Equal(t, []state.FileUsage{{}, {}}, []state.FileUsage{site, project})
	f.refused(state.Conflict, &state.ChunkUploaded{Upload: "old", Project: "p1", Number: 2, Data: []byte("x"), At: t0, Limits: limits})
}

func TestUploadsAtOnceAreBounded(t *testing.T) {
	f := newFixture(t)
	for i := range state.MaxUploads + 1 {
		begin := &state.ChunkUploaded{Upload: fmt.Sprint("up", i), Project: "p1", Data: []byte("x"), At: t0, Limits: limits}
		if i < state.MaxUploads {
			f.must(begin)
		} else {
			f.refused(state.TooMany, begin)
		}
	}
}

func TestTheSameContentIsStoredOnce(t *testing.T) {
	f := newFixture(t)
	content := pattern(state.FileChunk+9, 1)
	f.addFile("f1", "a", content)
	f.addFile("f2", "b", content)
	site, project := f.fileUsage()
	require.Equal(t, int64(len(content)), site.Bytes)
	require.Equal(t, state.FileUsage{Bytes: 2 * int64(len(content)), Objects: 2}, project)
	f.must(&state.FileRemoved{ID: "f1"})
	require.True(t, bytes.Equal(content, f.content("f2")))
	f.must(&state.FileRemoved{ID: "f2"})
	site, project = f.fileUsage()
	require.Equal(t, []state.FileUsage{{}, {}}, []state.FileUsage{site, project})
}

func TestReplacingSwapsTheContentWhole(t *testing.T) {
	f := newFixture(t)
	f.addFile("f1", "a", pattern(2*state.FileChunk, 1))
	one, two := pattern(state.FileChunk+1, 2), pattern(3*state.FileChunk, 3)
	// Two replace it at once: their chunks come in turns.
	first, second := f.upload("one", one), f.upload("two", two)
	later := t0.Add(time.Hour)
	f.must(&state.FileReplaced{ID: "f1", ContentType: "text/csv", At: later, Content: first})
	require.True(t, bytes.Equal(one, f.content("f1")))
	changed := f.must(&state.FileReplaced{ID: "f1", ContentType: "text/csv", At: later, Content: second}).(state.File)
	require.True(t, bytes.Equal(two, f.content("f1")))
	require.Equal(t, []any{"f1", "a", "u1", t0, later, "text/csv"},
		[]any{changed.ID, changed.Name, changed.Owner, changed.CreatedAt, changed.ModifiedAt, changed.ContentType})
	site, project := f.fileUsage()
	require.Equal(t, int64(len(two)), site.Bytes)
	require.Equal(t, state.FileUsage{Bytes: int64(len(two)), Objects: 1}, project)

	same := f.upload("same", two)
	f.must(&state.FileReplaced{ID: "f1", ContentType: "text/csv", At: later, Content: same})
	require.True(t, bytes.Equal(two, f.content("f1")), "its own content")
	gone := f.upload("gone", one)
	f.refused(state.NotFound, &state.FileReplaced{ID: "f2", ContentType: "text/csv", At: later, Content: gone})
}

func TestLimitsOfSize(t *testing.T) {
	f := newFixture(t)
	chunk := &state.ChunkUploaded{Upload: "up", Project: "p1", Data: pattern(state.FileChunk, 1), At: t0,
		Limits: state.FileLimits{File: state.FileChunk + 1, Site: 2*state.FileChunk + 1}}
	f.must(chunk)
	chunk.Number = 1
	result := f.apply(chunk)
	require.EqualError(t, result.Err, fmt.Sprintf("The file is too large. A small file may have %d bytes at most.", state.FileChunk+1))
	chunk.Data = []byte("x")
	f.must(chunk)

	chunk.Upload, chunk.Number, chunk.Data = "up2", 0, pattern(state.FileChunk, 1)
	f.must(chunk)
	chunk.Number, chunk.Data = 1, []byte("x")
	require.ErrorContains(t, f.apply(chunk).Err, "There is no room for this file")
	f.must(&state.UploadsDropped{IDs: []string{"up"}})
	f.must(chunk)
}

func TestNamesAreUniqueInTheirFolder(t *testing.T) {
	f := newFixture(t)
	f.must(folder("d1", "", "data"))
	f.refused(state.Invalid, folder("d2", "", "data"))
	f.must(folder("d2", "d1", "data"))
	f.addFile("f1", "data", []byte("1")) // a folder and a file may have the same name
	f.refused(state.Invalid, &state.FileAdded{File: file("f2", "data"), Content: f.upload("x", []byte("2"))})
	below := file("f2", "data")
	below.Folder = "d1"
	f.must(&state.FileAdded{File: below, Content: f.upload("y", []byte("2"))})
	f.refused(state.Invalid, &state.FileChanged{ID: "f2", Name: "data", At: t0})
	f.must(&state.FileChanged{ID: "f2", Name: "more", Description: "moved", At: t0})
	f.must(&state.FileChanged{ID: "f2", Name: "more", Description: "the same name", At: t0})
	f.must(&state.FileChanged{ID: "f1", Folder: "d1", Name: "data", At: t0})
	f.must(&state.FolderChanged{ID: "d2", Parent: "", Name: "other", At: t0})
	f.refused(state.Invalid, &state.FolderChanged{ID: "d2", Parent: "", Name: "data", At: t0})
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		folders, files, err := tx.FilesIn("p1", "")
		require.Len(t, folders, 2)
		require.Len(t, files, 1)
		require.Equal(t, "the same name", files[0].Description)
		path, err2 := tx.FolderPath("d1")
		require.NoError(t, err2)
		require.Len(t, path, 1)
		return err
	}))
	for _, name := range []string{"", "  ", ".", "..", "a/b", `a\b`, "a\nb", string(bytes.Repeat([]byte("x"), 256))} {
		f.refused(state.Invalid, folder("bad", "", name))
	}
	require.Error(t, (&state.Folder{Name: "\xff"}).Validate())
	require.Error(t, (&state.File{Name: "a", ContentType: "text/plain; a=\"\xff\""}).Validate())
	f.must(folder("d9", "", string(bytes.Repeat([]byte("x"), 255))))
}

func TestFoldersStayATree(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Rats", Type: state.TypeProject}, Owner: "u1"})
	f.must(folder("d1", "", "1"))
	for i := 2; i <= state.MaxFolderDepth; i++ {
		f.must(folder(fmt.Sprint("d", i), fmt.Sprint("d", i-1), fmt.Sprint(i)))
	}
	f.refused(state.Invalid, folder("deep", fmt.Sprint("d", state.MaxFolderDepth), "deep"))
	f.refused(state.Invalid, &state.FolderChanged{ID: "d1", Parent: "d3", Name: "1", At: t0})
	f.refused(state.Invalid, &state.FolderChanged{ID: "d1", Parent: "d1", Name: "1", At: t0})
	f.refused(state.Invalid, &state.FolderChanged{ID: "d1", Parent: "nowhere", Name: "1", At: t0})
	f.must(folder("e1", "", "e"))
	f.refused(state.Invalid, &state.FolderChanged{ID: "d1", Parent: "e1", Name: "1", At: t0}) // too deep then
	foreign := folder("x", "d1", "x")
	foreign.Folder.Project = "p2"
	f.refused(state.Invalid, foreign)
	lost := folder("x", "", "x")
	lost.Folder.Project = "p3"
	f.refused(state.NotFound, lost)
}

func TestAFolderGoesWithWhatWasSeen(t *testing.T) {
	f := newFixture(t)
	f.must(folder("d1", "", "data"))
	f.must(folder("d2", "d1", "more"))
	f.must(folder("d3", "", "stays"))
	inner := file("f1", "a")
	inner.Folder = "d2"
	f.must(&state.FileAdded{File: inner, Content: f.upload("x", []byte("1"))})
	digest := func() (d []byte) {
		require.NoError(t, f.store.View(func(tx *state.Tx) error {
			at, _, err := tx.Folder("d1")
			require.NoError(t, err)
			tree, err := tx.FolderTree(&at)
			d = tree.Digest()
			return err
		}))
		return d
	}
	seen := digest()
	f.refused(state.Conflict, &state.FolderRemoved{ID: "d1"})
	f.must(&state.FileReplaced{ID: "f1", ContentType: "text/plain", At: t0, Content: f.upload("y", []byte("2"))})
	f.refused(state.Conflict, &state.FolderRemoved{ID: "d1", Seen: seen})
	f.must(&state.FolderRemoved{ID: "d1", Seen: digest()})
	f.must(&state.FolderRemoved{ID: "d3"})
	site, project := f.fileUsage()
	require.Equal(t, []state.FileUsage{{}, {}}, []state.FileUsage{site, project})
	f.refused(state.NotFound, &state.FileRemoved{ID: "f1"})
}

func TestASnapshotHasTheFiles(t *testing.T) {
	f := newFixture(t)
	content := pattern(3*state.FileChunk+1, 5)
	f.addFile("f1", "a", content)
	snap, err := f.store.Snapshot()
	require.NoError(t, err)
	var copied bytes.Buffer
	_, err = snap.WriteTo(&copied)
	require.NoError(t, err)
	require.NoError(t, snap.Close())
	other := newFixture(t)
	require.NoError(t, other.store.Restore(&copied))
	require.True(t, bytes.Equal(content, other.content("f1")))
}

func TestAnEntryWithAChunkIsSmall(t *testing.T) {
	raw, err := state.Encode(&state.ChunkUploaded{Upload: "0e2c8a1e-6d1f-4d55-8f0e-2f1f1f1f1f1f", Project: "0e2c8a1e-6d1f-4d55-8f0e-2f1f1f1f1f1f",
		User: "0e2c8a1e-6d1f-4d55-8f0e-2f1f1f1f1f1f", Number: 1 << 20, Data: make([]byte, state.FileChunk), At: t0, Limits: limits})
	require.NoError(t, err)
	require.LessOrEqual(t, len(raw), 256<<10)
}

func TestFilesGoWithTheirProject(t *testing.T) {
	f := newFixture(t)
	f.must(&state.ProjectCreated{Project: state.Project{ID: "p2", Title: "Rats", Type: state.TypeProject}, Owner: "u1"})
	content := pattern(state.FileChunk+1, 1)
	f.must(folder("d1", "", "data"))
	inner := file("f1", "a")
	inner.Folder = "d1"
	f.must(&state.FileAdded{File: inner, Content: f.upload("x", content)})
	f.must(&state.ChunkUploaded{Upload: "y", Project: "p2", Data: []byte("kept"), At: t0, Limits: limits})
	f.upload("begun", content)
	require.NoError(t, f.store.RemoveFilesOf("p1"))
	site, project := f.fileUsage()
	require.Equal(t, []state.FileUsage{{Bytes: 4}, {}}, []state.FileUsage{site, project})
	require.Equal(t, []string{"y"}, f.idle(t0))
	require.NoError(t, f.store.View(func(tx *state.Tx) error {
		all, err := tx.FilesOf("p1")
		require.True(t, all.Empty())
		return err
	}))
}
