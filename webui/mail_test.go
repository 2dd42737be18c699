package webui_test

import (
	"context"
	"net"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/cluster/state"
	"kiosc/manager/mail"
	"kiosc/manager/service"
)

// outbox takes mails.
type outbox struct{ to, subject, text string }

func (o *outbox) Send(_ context.Context, to, subject, text string) error {
	o.to, o.subject, o.text = to, subject, text
	return nil
}

func TestInvitesByMail(t *testing.T) {
	box := &outbox{}
	s := newSiteWith(t, service.Settings{Mail: box})
	got := s.post("owner", "/project/invites/create/"+s.Project, "email", "x@example.org", "role", string(state.Guest), "message", "Come in!")
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Contains(t, got.body, "was sent to")
	require.NotContains(t, got.body, service.InvitePath, "what was sent isn't shown")
	require.Equal(t, []string{"x@example.org", "Invite to Mice"}, []string{box.to, box.subject})
	require.Contains(t, box.text, "Come in!")
	link := regexp.MustCompile(`http://[^ ]*(` + service.InvitePath + `\S+)`).FindStringSubmatch(box.text)
	require.NotNil(t, link, box.text)
	require.Equal(t, http.StatusFound, s.post("outsider", link[1]).status)
	require.Equal(t, http.StatusOK, s.get("outsider", "/containers/"+s.Project).status, "who was invited is in")
}

func TestInvitesWithoutTheMailServer(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	mailer, err := mail.New(mail.Config{URL: "smtp://" + closed.Addr().String(), Sender: "kiosc@example.org"})
	require.NoError(t, err)
	s := newSiteWith(t, service.Settings{Mail: mailer})
	for address, why := range map[string]string{"x@example.org": "The mail server did not take the mail.", "somebody": "this is no mail address"} {
		got := s.post("owner", "/project/invites/create/"+s.Project, "email", address, "role", string(state.Guest))
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.Contains(t, got.body, why)
		link := regexp.MustCompile(service.InvitePath + `[^<]+`).FindString(got.body)
		require.NotEmpty(t, link, "the invite isn't lost")
		require.Equal(t, http.StatusOK, s.get("", link).status)
	}
}
