package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/managertest"
)

// part is a field of a form, or a file where it has a name.
type part struct{ field, file, value string }

func form(t *testing.T, parts ...part) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		to, err := w.CreateFormField(p.field)
		if p.file != "" {
			to, err = w.CreateFormFile(p.field, p.file)
		}
		require.NoError(t, err)
		_, err = io.WriteString(to, p.value)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return w.FormDataContentType(), b.String()
}

func (c caller) sendForm(method, path string, parts ...part) answer {
	c.s.T.Helper()
	contentType, body := form(c.s.T, parts...)
	return c.and("Content-Type", contentType).send(method, path, body)
}

// item is a file or folder as the API tells of it.
type item struct {
	UUID        string  `json:"sodar_uuid"`
	Name        string  `json:"name"`
	Folder      *string `json:"folder"`
	Description string  `json:"description"`
	Owner       string  `json:"owner"`
	Size        int     `json:"size"`
	ContentType string  `json:"content_type"`
}

func (a answer) item(t *testing.T, status int) (i item) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.NoError(t, json.Unmarshal([]byte(a.body), &i))
	return i
}

// begun counts the uploads that have not ended.
func (s *site) begun() (n int) {
	s.View(func(tx *state.Tx) error {
		ids, err := tx.IdleUploads(time.Now().Add(time.Hour))
		n = len(ids)
		return err
	})
	return n
}

func (s *site) fileBytes() int64 {
	var u state.FileUsage
	s.View(func(tx *state.Tx) (err error) {
		u, err = tx.FileUsage()
		return err
	})
	return u.Bytes
}

func TestFilesAndFolders(t *testing.T) {
	s := newSite(t)
	c := s.as("contributor")
	folders, files := "/files/api/folder/list-create/"+s.Project, "/files/api/file/list-create/"+s.Project
	one, other := "/files/api/file/retrieve-update-destroy/", "/files/api/folder/retrieve-update-destroy/"

	data := c.send("POST", folders, `{"name": " data ", "description": null, "folder": null, "flag": "IMPORTANT"}`).item(t, 201)
	require.Equal(t, item{UUID: data.UUID, Name: "data", Owner: s.Users["contributor"]}, data)
	sub := c.and("Content-Type", "application/x-www-form-urlencoded").send("POST", folders,
		url.Values{"name": {"sub"}, "folder": {data.UUID}, "description": {"a & b"}}.Encode()).item(t, 201)
	require.Equal(t, []string{data.UUID, "a & b"}, []string{*sub.Folder, sub.Description})
	require.Equal(t, 400, c.send("POST", folders, `{"name": "data"}`).status)
	require.JSONEq(t, `{"name": ["This field is required."]}`, c.send("POST", folders, `{}`).body)

	content := strings.Repeat("x,y\n1,2\n", 100_000) // several chunks
	f := c.sendForm("POST", files, part{"name", "", "t.csv"}, part{"folder", "", sub.UUID}, part{"file", "other name.csv", content}).item(t, 201)
	require.Equal(t, item{UUID: f.UUID, Name: "t.csv", Folder: &sub.UUID, Owner: s.Users["contributor"], Size: len(content), ContentType: "text/csv; charset=utf-8"}, f)
	html := c.sendForm("POST", files, part{"file", "p.html", "<script>"}, part{"name", "", "ü <p>.html"}).item(t, 201) // the file first
	require.Nil(t, html.Folder)
	var list []item
	c.get(files, &list)
	require.Len(t, list, 2)
	c.get(folders, &list)
	require.Len(t, list, 2)

	got := s.as("guest").send("GET", "/files/api/file/serve/"+html.UUID, "")
	require.Equal(t, []string{"<script>", "attachment; filename*=UTF-8''%C3%BC%20%3Cp%3E.html", "nosniff", "sandbox; default-src 'none'"}, []string{got.body,
		got.header.Get("Content-Disposition"), got.header.Get("X-Content-Type-Options"), got.header.Get("Content-Security-Policy")})
	require.Equal(t, content, c.send("GET", "/files/api/file/serve/"+f.UUID, "").body)

	require.Equal(t, "t2.csv", c.send("PATCH", one+f.UUID, `{"name": "t2.csv"}`).item(t, 200).Name)
	after := c.sendForm("PUT", one+f.UUID, part{"file", "t.txt", "new"}, part{"name", "", "t3.csv"}).item(t, 200)
	require.Equal(t, []any{f.UUID, "t3.csv", 3, (*string)(nil)}, []any{after.UUID, after.Name, after.Size, after.Folder})
	require.Equal(t, "new", c.send("GET", "/files/api/file/serve/"+f.UUID, "").body)
	require.Equal(t, int64(len("new<script>")), s.fileBytes())
	require.Equal(t, 400, c.send("PUT", one+f.UUID, `{"description": "no name"}`).status)
	require.Equal(t, data.UUID, *c.send("PATCH", one+f.UUID, fmt.Sprintf(`{"folder": %q}`, strings.ToUpper(data.UUID))).item(t, 200).Folder)
	require.Equal(t, 400, c.send("PATCH", one+f.UUID, `{"folder": "nowhere"}`).status)

	require.Equal(t, 409, c.send("DELETE", other+data.UUID, "").status, "there is something in it")
	require.Equal(t, 204, c.send("DELETE", other+sub.UUID, "").status)
	require.Equal(t, 204, c.send("DELETE", one+f.UUID, "").status)
	require.Equal(t, 404, c.send("GET", one+f.UUID, "").status)
	require.Equal(t, 204, c.send("DELETE", other+data.UUID, "").status)
	require.Zero(t, s.begun())
}

func TestWhoMayDoWhatWithFiles(t *testing.T) {
	s := newSite(t)
	files, one := "/files/api/file/list-create/"+s.Project, "/files/api/file/retrieve-update-destroy/"
	send := func(who string) answer {
		return s.as(who).sendForm("POST", files, part{"name", "", who}, part{"file", "f", who})
	}
	ofOwner, ofContributor := send("owner").item(t, 201), send("contributor").item(t, 201)
	require.Equal(t, 403, send("guest").status)
	require.Equal(t, 404, send("outsider").status)
	for who, want := range map[string][3]int{"owner": {200, 200, 200}, "contributor": {200, 403, 200}, "guest": {200, 403, 403},
		"outsider": {404, 404, 404}, "root": {200, 200, 200}} {
		require.Equal(t, want, [3]int{s.as(who).send("GET", one+ofOwner.UUID, "").status, s.as(who).send("PATCH", one+ofOwner.UUID, `{"description": "x"}`).status,
			s.as(who).sendForm("PATCH", one+ofContributor.UUID, part{"file", "f", who}).status}, who)
	}
	require.Equal(t, 404, s.as("outsider").send("GET", "/files/api/file/serve/"+ofOwner.UUID, "").status)
	require.Equal(t, 401, s.with().send("GET", "/files/api/file/serve/"+ofOwner.UUID, "").status)
	require.Equal(t, 403, s.by("owner").sendForm("POST", files, part{"name", "", "x"}, part{"file", "f", "x"}).status, "without the CSRF token")
}

func TestUploadsThatAreNotTaken(t *testing.T) {
	s := newSite(t)
	c, files := s.as("owner"), "/files/api/file/list-create/"+s.Project
	require.JSONEq(t, `{"file": ["No file was submitted."]}`, c.sendForm("POST", files, part{"name", "", "x"}).body)
	require.Equal(t, 400, c.sendForm("POST", files, part{"name", "", "x"}, part{"file", "a", "1"}, part{"file", "b", "2"}).status)
	require.Equal(t, 400, c.sendForm("POST", files, part{"name", "", "x/y"}, part{"file", "a", "1"}).status)
	require.Equal(t, 400, c.sendForm("POST", files, part{"name", "", "x"}, part{"files", "a", "1"}).status)
	require.Equal(t, 400, c.and("Content-Type", "multipart/form-data").send("POST", files, "x").status)
	require.Equal(t, 415, c.and("Content-Type", "multipart/form-data; boundary=x").and("Content-Encoding", "gzip").send("POST", files, "x").status)
	large := strings.Repeat("x", state.DefaultFileSize+1)
	got := c.sendForm("POST", files, part{"name", "", "large"}, part{"file", "large", large})
	require.JSONEq(t, `{"file": ["The file is too large. A small file may have 10 MiB at most."]}`, got.body)
	require.Equal(t, 201, c.sendForm("POST", files, part{"name", "", "largest"}, part{"file", "largest", large[1:]}).status)
	require.Zero(t, s.begun())
	require.Equal(t, int64(state.DefaultFileSize), s.fileBytes())
}

// TestAnUploadThatBreaksOffLeavesNothing ends the connection within the file, with and without a length.
func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	s := newSite(t)
	contentType, body := form(t, part{"name", "", "x"}, part{"file", "f", strings.Repeat("y", 3*state.FileChunk)})
	for name, head := range map[string]string{"length": fmt.Sprintf("Content-Length: %d", len(body)), "chunks": "Transfer-Encoding: chunked"} {
		conn, err := net.Dial("tcp", s.Uploads)
		require.NoError(t, err, name)
		fmt.Fprintf(conn, "POST /files/api/file/list-create/%s HTTP/1.1\r\nHost: x\r\nAuthorization: token %s\r\nContent-Type: %s\r\n%s\r\n\r\n",
			s.Project, s.token["owner"], contentType, head)
		sent := body[:2*state.FileChunk]
		if name == "chunks" {
			sent = fmt.Sprintf("%x\r\n%s\r\n", len(sent), sent)
		}
		_, err = io.WriteString(conn, sent)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.begun() == 1 }, managertest.Patience, time.Millisecond, name)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(got), "broke off", name)
		conn.Close()
		require.Zero(t, s.begun())
		require.Zero(t, s.fileBytes())
	}
}
