package matrix_test

import (
	"strings"

	"kiosc/manager/auth"
	"kiosc/manager/service"
)

func upload(c *cell, up *service.Upload, err error) (*service.Upload, error) {
	if err == nil {
		err = up.Take(c.ctx, strings.NewReader("hello"), "hello.txt", "text/plain")
	}
	return up, err
}

func named() service.FileInput { return service.FileInput{Name: title()} }

var fileOperations = append([]operation{
	{name: "list files", right: auth.ViewFiles,
		call: func(c *cell, a service.Actor) error {
			_, _, err := c.Service.AllFiles(a, c.place.id)
			if err == nil {
				_, err = c.Service.Files(a, c.place.id)
			}
			return err
		},
		rest: []string{"GET /files/api/file/list-create/{project}", "GET /files/api/folder/list-create/{project}"}, pages: []string{"GET /files/{project}"}},
	{name: "see links to files", right: auth.ViewFiles,
		call: func(c *cell, a service.Actor) error { _, err := c.Service.FileLinks(a, c.place.id); return err }},
	{name: "see a folder", right: auth.ViewFiles, sees: auth.ViewFiles,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.Folder(a, c.id("folder"))
			if err == nil {
				_, err = c.Service.FilesIn(a, c.id("folder"))
			}
			return err
		},
		rest: []string{"GET /files/api/folder/retrieve-update-destroy/{folder}"}, pages: []string{"GET /files/folder/{folder}"}},
	{name: "download a file", right: auth.ViewFiles, sees: auth.ViewFiles,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.File(a, c.id("file"))
			if err == nil {
				_, _, err = c.Service.OpenFile(a, c.id("file"))
			}
			return err
		},
		rest: []string{"GET /files/api/file/retrieve-update-destroy/{file}", "GET /files/api/file/serve/{file}"}, pages: []string{"GET /files/download/{file}/hello.txt"}},
	{name: "add a folder", right: auth.AddFiles,
		call: func(c *cell, a service.Actor) error {
			_, err := c.Service.AddFolder(c.ctx, a, c.place.id, named())
			return err
		},
		rest:  []string{`POST /files/api/folder/list-create/{project} {"name":"{n}"}`},
		pages: []string{"GET /files/folder/add/{project}", "POST /files/folder/add/{project} name={n}"}},
	{name: "add in a folder", right: auth.AddFiles, sees: auth.ViewFiles,
		pages: []string{"GET /files/folder/add/in/{folder}", "POST /files/folder/add/in/{folder} name={n}", "POST /files/upload/in/{folder} file:name={n}"}},
	{name: "upload a file", right: auth.AddFiles,
		call: func(c *cell, a service.Actor) error {
			begun, err := c.Service.BeginUpload(c.ctx, a, c.place.id)
			up, err := upload(c, begun, err)
			defer func() { up.Close() }()
			if err == nil {
				_, err = up.Add(c.ctx, named())
			}
			return err
		},
		rest: []string{"POST /files/api/file/list-create/{project} file:name={n}"}, pages: []string{"POST /files/upload/{project} file:name={n}"}},
}, append(changes("own ", auth.UpdateOwnFiles), changes("", auth.UpdateAllFiles)...)...)

// changes are the operations on files and folders of one's own, or of others.
func changes(own string, right auth.Right) []operation {
	return []operation{
		{name: "change a folder: " + own, right: right, sees: auth.ViewFiles,
			call: func(c *cell, a service.Actor) error {
				_, err := c.Service.ChangeFolder(c.ctx, a, c.id(own+"folder"), named())
				return err
			},
			rest: []string{`PATCH /files/api/folder/retrieve-update-destroy/{` + own + `folder} {"name":"{n}"}`,
				`PUT /files/api/folder/retrieve-update-destroy/{` + own + `folder} {"name":"{n}"}`},
			pages: []string{"GET /files/folder/update/{" + own + "folder}", "POST /files/folder/update/{" + own + "folder} name={n}"}},
		{name: "delete a folder: " + own, right: right, sees: auth.ViewFiles,
			call:  func(c *cell, a service.Actor) error { return c.Service.RemoveFolder(c.ctx, a, c.id(own+"folder"), "") },
			rest:  []string{"DELETE /files/api/folder/retrieve-update-destroy/{" + own + "folder}"},
			pages: []string{"GET /files/folder/delete/{" + own + "folder}", "POST /files/folder/delete/{" + own + "folder} seen="}},
		{name: "change a file: " + own, right: right, sees: auth.ViewFiles,
			call: func(c *cell, a service.Actor) error {
				_, err := c.Service.ChangeFile(c.ctx, a, c.id(own+"file"), named())
				return err
			},
			rest:  []string{`PATCH /files/api/file/retrieve-update-destroy/{` + own + `file} {"name":"{n}"}`},
			pages: []string{"GET /files/update/{" + own + "file}"}},
		{name: "replace a file: " + own, right: right, sees: auth.ViewFiles,
			call: func(c *cell, a service.Actor) error {
				begun, err := c.Service.BeginReplacement(c.ctx, a, c.id(own+"file"))
				up, err := upload(c, begun, err)
				defer func() { up.Close() }()
				if err == nil {
					_, err = up.Replace(c.ctx, c.id(own+"file"))
				}
				return err
			},
			rest:  []string{`PUT /files/api/file/retrieve-update-destroy/{` + own + `file} file:name={n}`},
			pages: []string{"POST /files/update/{" + own + "file} file:name={n}"}},
		{name: "delete a file: " + own, right: right, sees: auth.ViewFiles,
			call:  func(c *cell, a service.Actor) error { return c.Service.RemoveFile(c.ctx, a, c.id(own+"file")) },
			rest:  []string{"DELETE /files/api/file/retrieve-update-destroy/{" + own + "file}"},
			pages: []string{"GET /files/delete/{" + own + "file}", "POST /files/delete/{" + own + "file}"}},
	}
}
