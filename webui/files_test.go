package webui_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// sendForm sends a form as a browser does: fields as name and value in turns, then files as their field, name and content.
func (s *site) sendForm(user, path string, fields []string, files [][3]string, headers ...string) answer {
	s.T.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if user != "" {
		fields = append([]string{"csrf_token", auth.CSRFToken(s.Sessions[user])}, fields...)
	}
	for i := 0; i < len(fields); i += 2 {
		require.NoError(s.T, w.WriteField(fields[i], fields[i+1]))
	}
	for _, f := range files {
		part, err := w.CreateFormFile(f[0], f[1])
		require.NoError(s.T, err)
		_, err = io.WriteString(part, f[2])
		require.NoError(s.T, err)
	}
	require.NoError(s.T, w.Close())
	return s.sendBody(user, "POST", path, &b, append(headers, "Content-Type", w.FormDataContentType())...)
}

// upload stores a file and returns its id.
func (s *site) upload(user, to, name, content string) string {
	s.T.Helper()
	got := s.sendForm(user, "/files/upload/"+to, nil, [][3]string{{"file", name, content}})
	require.Equal(s.T, 302, got.status, got.body)
	return s.fileNamed(name).ID
}

func (s *site) all() (tree state.FolderTree) {
	require.NoError(s.T, s.Store().View(func(tx *state.Tx) (err error) {
		tree, err = tx.FilesOf(s.Project)
		return err
	}))
	return tree
}

func (s *site) fileNamed(name string) state.File {
	s.T.Helper()
	for _, f := range s.all().Files {
		if f.Name == name {
			return f
		}
	}
	require.Fail(s.T, "no such file", name)
	return state.File{}
}

func TestWhoSeesWhichFiles(t *testing.T) {
	s := newSite(t)
	s.post("owner", "/files/folder/add/"+s.Project, "name", "data")
	folder := s.all().Folders[0].ID
	of := map[string]string{"owner": s.upload("owner", s.Project, "a.txt", "a"), "contributor": s.upload("contributor", "in/"+folder, "b.txt", "b")}
	for _, c := range []struct {
		path string
		want [4]int // nobody, outsider, guest, contributor
	}{
		{"/files/" + s.Project, [4]int{302, 404, 200, 200}},
		{"/files/folder/" + folder, [4]int{302, 404, 200, 200}},
		{"/files/download/" + of["owner"] + "/a.txt", [4]int{302, 404, 200, 200}},
		{"/files/folder/add/" + s.Project, [4]int{302, 404, 403, 200}},
		{"/files/folder/add/in/" + folder, [4]int{302, 404, 403, 200}},
		{"/files/update/" + of["owner"], [4]int{302, 404, 403, 403}},
		{"/files/update/" + of["contributor"], [4]int{302, 404, 403, 200}},
		{"/files/delete/" + of["owner"], [4]int{302, 404, 403, 403}},
		{"/files/folder/delete/" + folder, [4]int{302, 404, 403, 403}},
		{"/files/folder/update/" + folder, [4]int{302, 404, 403, 403}},
		{"/files/folder/nowhere", [4]int{404, 404, 404, 404}},
	} {
		for i, who := range []string{"", "outsider", "guest", "contributor"} {
			require.Equal(t, c.want[i], s.get(who, c.path).status, "%s as %q", c.path, who)
		}
	}
	file := [][3]string{{"file", "x", "x"}}
	require.Equal(t, 403, s.sendForm("guest", "/files/upload/"+s.Project, nil, file).status)
	require.Equal(t, 404, s.sendForm("outsider", "/files/upload/"+s.Project, nil, file).status)
	require.Equal(t, 403, s.sendForm("contributor", "/files/update/"+of["owner"], []string{"name", "x"}, file).status)
	// Without the session's token, from elsewhere, or by a script of an app.
	require.Equal(t, 403, s.sendForm("owner", "/files/upload/"+s.Project, []string{"csrf_token", "wrong"}, file).status)
	require.Equal(t, 403, s.sendForm("owner", "/files/update/"+of["owner"], []string{"csrf_token", "wrong", "name", "x"}, nil).status)
	require.Equal(t, 403, s.sendForm("owner", "/files/upload/"+s.Project, nil, file, "Sec-Fetch-Site", "cross-site").status)
	require.Equal(t, 403, s.get("owner", "/files/"+s.Project, "Sec-Fetch-Dest", "empty").status)
	require.Equal(t, 403, s.get("owner", "/files/download/"+of["owner"]+"/a.txt", "Sec-Fetch-Dest", "iframe").status)
	require.Len(t, s.all().Files, 2)
}

func TestUploadsOnThePage(t *testing.T) {
	s := newSite(t)
	large := strings.Repeat("large", 200_000)
	got := s.sendForm("owner", "/files/upload/"+s.Project, nil, [][3]string{{"file", `C:\a <b>.csv`, large}, {"file", "empty", ""}})
	require.Equal(t, []string{"/files/" + s.Project}, got.header["Location"])
	page := s.get("guest", "/files/"+s.Project).body
	require.Contains(t, page, "a &lt;b&gt;.csv")
	require.Contains(t, page, "976.6KiB")
	require.NotContains(t, page, "/files/update/")
	require.NotContains(t, page, "data-upload")
	require.Contains(t, s.get("owner", "/files/"+s.Project).body, "data-upload")

	f := s.fileNamed("a <b>.csv")
	down := s.get("guest", "/files/download/"+f.ID+"/anything")
	require.Equal(t, large, down.body)
	require.Equal(t, []string{"attachment; filename*=UTF-8''a%20%3Cb%3E.csv", "nosniff", "sandbox; default-src 'none'"}, []string{
		down.header.Get("Content-Disposition"), down.header.Get("X-Content-Type-Options"), down.header.Get("Content-Security-Policy")})

	again := s.sendForm("owner", "/files/upload/"+s.Project, nil, [][3]string{{"file", "empty", "x"}}, "Accept", "application/json")
	require.Equal(t, 400, again.status)
	require.JSONEq(t, `{"message": "empty: There is one of this name in this folder already."}`, again.body)
	require.JSONEq(t, `{"stored": 1}`, s.sendForm("owner", "/files/upload/"+s.Project, nil, [][3]string{{"file", "n", "x"}}, "Accept", "application/json").body)
	tooLarge := s.sendForm("owner", "/files/upload/"+s.Project, nil, [][3]string{{"file", "l", strings.Repeat("x", state.DefaultFileSize+1)}}, "Accept", "application/json")
	require.Contains(t, tooLarge.body, "l: The file is too large.")
	require.Equal(t, 302, s.sendForm("owner", "/files/upload/"+s.Project, nil, nil).status, "a message on the list, and nothing stored")
	require.Len(t, s.all().Files, 3)
}

func TestChangingFilesOnThePages(t *testing.T) {
	s := newSite(t)
	s.post("contributor", "/files/folder/add/"+s.Project, "name", "data", "description", "About data")
	data := s.all().Folders[0].ID
	require.Equal(t, 400, s.post("contributor", "/files/folder/add/"+s.Project, "name", "data").status)
	s.post("contributor", "/files/folder/add/in/"+data, "name", "sub")
	file := s.upload("contributor", "in/"+data, "a.txt", "old")

	form := s.get("contributor", "/files/update/"+file).body
	require.Contains(t, form, "http://kiosc-web:8080/containers/file/serve/"+file+"/a.txt")
	require.Contains(t, form, `<option value="`+data+`" selected>/data/</option>`)
	got := s.sendForm("contributor", "/files/update/"+file, []string{"name", "b.txt", "description", "new <b>", "folder", ""}, [][3]string{{"file", "c", "new"}})
	require.Equal(t, []string{"/files/" + s.Project}, got.header["Location"], got.body)
	require.Equal(t, []string{"new", "b.txt"}, []string{s.get("guest", "/files/download/"+file+"/b.txt").body, s.fileNamed("b.txt").Name})
	bad := s.sendForm("contributor", "/files/update/"+file, []string{"name", "x/y", "description", "kept", "folder", ""}, [][3]string{{"file", "", ""}})
	require.Equal(t, 400, bad.status)
	require.Contains(t, bad.body, "A name can&#39;t contain / or \\.")
	require.Contains(t, bad.body, `value="kept"`)

	require.Equal(t, 302, s.post("contributor", "/files/folder/update/"+data, "name", "more", "description", "", "folder", "").status)
	s.upload("owner", "in/"+data, "theirs", "x")
	require.Contains(t, s.get("contributor", "/files/folder/delete/"+data).body, "Only an owner or delegate")
	require.Equal(t, 403, s.post("contributor", "/files/folder/delete/"+data).status)
	page := s.get("owner", "/files/folder/delete/"+data).body
	require.Contains(t, page, "<code class=\"wrap\">sub/</code>")
	require.Contains(t, page, "<code class=\"wrap\">theirs</code>")
	seen := regexp.MustCompile(`name="seen" value="([0-9a-f]+)"`).FindStringSubmatch(page)[1]
	late := s.upload("owner", "in/"+data, "late", "x")
	require.Equal(t, []string{"/files/folder/delete/" + data}, s.post("owner", "/files/folder/delete/"+data, "seen", seen).header["Location"], "asked again")
	require.Equal(t, 302, s.post("owner", "/files/delete/"+late).status)
	require.Equal(t, []string{"/files/" + s.Project}, s.post("owner", "/files/folder/delete/"+data, "seen", seen).header["Location"])
	require.Len(t, s.all().Files, 1)
	require.Empty(t, s.all().Folders)
}

func TestTheCommandsFiles(t *testing.T) {
	s := newSite(t)
	s.post("owner", "/files/folder/add/"+s.Project, "name", "data")
	file := s.upload("owner", "in/"+s.all().Folders[0].ID, "a b&$'.txt", "x")
	link := "http://kiosc-web:8080/containers/file/serve/" + file + "/a%20b%26%24%27.txt"
	for _, path := range []string{"/containers/create/" + s.Project, "/containers/update/" + s.Container("App")} {
		page := s.get("contributor", path).body
		require.Contains(t, page, `<option value="`+link+`">/data/a b&amp;$&#39;.txt</option>`, path)
	}
	require.NotContains(t, link, url.QueryEscape(" "))
}
