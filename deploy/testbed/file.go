package testbed

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"

	"github.com/stretchr/testify/require"
)

// Upload makes a small file of a project and returns its id.
func (c *Client) Upload(project, name string, content []byte) string {
	c.Helper()
	return c.sendFile(http.MethodPost, "/files/api/file/list-create/"+project, name, content, http.StatusCreated)
}

// Replace gives a small file other content.
func (c *Client) Replace(file, name string, content []byte) {
	c.Helper()
	c.sendFile(http.MethodPut, "/files/api/file/retrieve-update-destroy/"+file, name, content, http.StatusOK)
}

func (c *Client) sendFile(method, path, name string, content []byte, want int) string {
	c.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	require.NoError(c, form.WriteField("name", name))
	part, err := form.CreateFormFile("file", name)
	require.NoError(c, err)
	_, err = part.Write(content)
	require.NoError(c, err)
	require.NoError(c, form.Close())
	addr := c.Addr
	if c.choose != nil {
		addr = c.choose()
	}
	r, err := http.NewRequest(method, "http://"+addr+path, &body)
	require.NoError(c, err)
	r.Header.Set("Authorization", "token "+c.Token)
	r.Header.Set("Content-Type", form.FormDataContentType())
	answer, err := httpClient.Do(r)
	require.NoError(c, err)
	defer answer.Body.Close()
	var made struct {
		UUID string `json:"sodar_uuid"`
	}
	err = json.NewDecoder(answer.Body).Decode(&made)
	require.Equal(c, want, answer.StatusCode)
	require.NoError(c, err)
	return made.UUID
}
