package webui

import (
	"io"
	"time"
)

// Hurry shortens the intervals of event streams and sets how many there may be.
func (ui *UI) Hurry(recheck time.Duration, limit int) {
	ui.pace.recheck, ui.pace.heartbeat = recheck, recheck
	ui.streams.limit = limit
}

// OpenStreams tells how many event streams are open.
func (ui *UI) OpenStreams() int {
	ui.streams.mu.Lock()
	defer ui.streams.mu.Unlock()
	return ui.streams.total
}

// ZeroPages are all pages with nothing in them.
func ZeroPages() map[string]interface{ Render(io.Writer) error } {
	f := frame{Assets: &assets{}}
	return map[string]interface{ Render(io.Writer) error }{
		"error": errorPage{frame: f}, "login": loginPage{frame: f}, "logout": logoutPage{f}, "home": homePage{frame: f},
		"containers": containersPage{frame: f}, "detail": detailPage{frame: f}, "spec": specPage{frame: f},
		"templates": templatesPage{frame: f}, "template": templatePage{frame: f}, "template delete": templateDeletePage{frame: f},
		"registries": registriesPage{frame: f},
		"delete":     deletePage{frame: f}, "lobby": lobbyPage{frame: f}, "tokens": tokensPage{frame: f},
		"token form": tokenFormPage{frame: f}, "token shown": tokenShownPage{frame: f},
		"account": accountPage{frame: f}, "form": formPage{frame: f}, "project": projectPage{frame: f}, "members": membersPage{frame: f},
		"invite shown": inviteShownPage{frame: f}, "api": apiPage{frame: f}, "accept": acceptPage{frame: f}, "users": adminUsersPage{adminFrame: adminFrame{frame: f}},
		"timeline": timelinePage{frame: f}, "password": passwordPage{frame: f}, "remote": remotePage{adminFrame: adminFrame{frame: f}},
		"upstream": remotePage{adminFrame: adminFrame{frame: f}, Upstream: &upstreamPart{}}, "remote site": remoteSitePage{adminFrame: adminFrame{frame: f}},
		"remote secret": remoteSecretPage{adminFrame: adminFrame{frame: f}},
	}
}

// FullPages are pages with everything in them that the routes' tests may not reach.
func FullPages() map[string]interface{ Render(io.Writer) error } {
	f := frame{Title: "T", UserName: "u", CSRF: "c", Version: "v", Flash: &flash{Bad: true, Text: "<b>"},
		Assets: &assets{Built: true, Script: "/s.js", Style: "/s.css", Theme: "/t.js", Icons: "/i.svg"}}
	all := controls{ID: "i", CanOpen: true, Running: true, Actions: buttons, CanDelete: true}
	on := liveState{Ongoing: true, Percent: 40, Step: "Pulling"}
	return map[string]interface{ Render(io.Writer) error }{
		"containers": containersPage{frame: f, CanCreate: true, Head: projectHead{Background: "d", Archived: true, Deleting: true, Upstream: true, Public: "p"},
			Rows: []containerRow{{ID: "i", State: on, Controls: all}}},
		"detail": detailPage{frame: f, State: on, Controls: all, CanViewLogs: true, Log: "l", Choices: lineChoices,
			Rows: []detailRow{{Label: "a", Key: "k", Value: "v", Block: true}}},
		"lobby":      lobbyPage{frame: f, State: on, Failed: true, CanLogs: true, Log: "l"},
		"token form": tokenFormPage{frame: f, Error: "e", Label: field{Errors: []string{"x"}, Help: "h", Max: 3}},
		"tokens":     tokensPage{frame: f, Tokens: []tokenRow{{Expired: true, Expires: "2001"}, {Name: "n"}}},
		"account":    accountPage{frame: f, FullName: "n", Email: "e", Superuser: true, Error: "e", Old: field{Name: "old_password", Kind: "password"}},
		"login":      loginPage{frame: f, Error: "e", Name: "n", Next: "/"},
		"form":       formPage{frame: f, Error: "e", Text: "t", Warning: "w", Lost: []string{"l"}, Danger: true, Fields: []field{{Errors: []string{"x"}}}},
		"accept":     acceptPage{frame: f, Error: "e", Fields: accountFields()},
		"remote": remotePage{adminFrame: adminFrame{frame: f}, Error: "e", All: field{Kind: "check"},
			Sites: []remoteRow{{ID: "i", Name: "n", URL: "u", Given: "g"}}},
		"upstream": remotePage{adminFrame: adminFrame{frame: f}, Error: "e", Secret: field{Name: "secret", Kind: "password", Errors: []string{"x"}},
			Upstream: &upstreamPart{Name: "n", URL: "u", Options: []string{"o"}, Running: "r", Last: "l", Took: "t", Result: "r", Failed: true,
				Changed: "c", Skips: []skipRow{{"k", "n", "r"}}, Skipped: 3, MoreSkipped: 2}},
		"remote site": remoteSitePage{adminFrame: adminFrame{frame: f}, Error: "e",
			Projects: []levelRow{{ID: "i", Title: "t", Levels: []levelChoice{{Chosen: true}}}}},
		"docker": adminDockerPage{adminFrame: adminFrame{frame: f}, Hosts: []hostPart{{Error: "e"}, {ID: "i", SweepImages: true, SweepVolumes: true,
			Networks: []networkRow{{Ours: true}}, Images: []imageRow{{removableRow: removableRow{CanRemove: true, Note: "n", Users: "u"}}},
			Volumes: []volumeRow{{Ours: true, removableRow: removableRow{CanRemove: true, Note: "n", Users: "u"}}}}}},
		"removed": adminRemovedPage{adminFrame: adminFrame{frame: f}, Rows: []removedRow{{Bad: true}}},
		"members": membersPage{frame: f, CanUpdate: true, CanTransfer: true, CanInvite: true, CanLeave: true, Error: "e",
			Rows: []memberRow{{Why: "w", Choices: []roleChoice{{Here: true}}}}, Invites: []inviteRow{{Email: "e"}}},
	}
}

// LocalPath checks where a login may lead to.
var LocalPath = localPath

// AppURL is the address of an app.
var AppURL = appURL
