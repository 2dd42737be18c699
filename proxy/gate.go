package proxy

import (
	"context"
	"net"
)

// Credentials is what a request shows of who sent it; all may be empty. A
// request to an app's own host never shows a Session, any other never an App.
type Credentials struct {
	Session string // value of the cookie Config.SessionCookie, as sent
	App     string // value of the app's own cookie, at the app's own host
	Token   string // API token, with its kiosc_ prefix
}

// Target is a running app and the user on whose behalf it is opened. The
// proxy reads Container, Node, User and Title; the rest is for the Dialer.
type Target struct {
	Container string // Kiosc's id of the container
	DockerID  string
	Node      string // where the container runs
	Port      int    // inside the container
	User      string // goes to the app as X-Forwarded-User
	Title     string // names the app on pages
	// KeepPrefix asks the app for paths as the browser has them, with Prefix
	// and the id in front. At an app's own host there is nothing in front.
	KeepPrefix bool
}

// Gate decides who may open which app. It answers a refusal with a *Denial;
// any other error is a failure of Kiosc itself, is logged, and its text is
// shown to nobody. It is asked for every request, by many goroutines at once,
// so it must answer from local state.
type Gate interface {
	Authorize(ctx context.Context, who Credentials, containerID string) (Target, error)
}

// Dialer opens a connection to an app's port. It answers ErrRefused when the
// container runs but nothing listens there, and ErrUnreachable when its node
// could not be asked. ctx ends after ten seconds; the connection outlives it.
// Many goroutines call Dial at once.
//
// The connection must answer io.EOF only for an orderly end by the app, since
// that completes a body without a length. Three methods beyond net.Conn are used
// where it has them: Wait() error, which returns when Read would, so that a
// silent connection holds no buffer; CloseWrite() error, to pass on that one
// direction of an upgraded connection ended; and Kill(), to end it at once
// where Close lets the app finish what it sends. The last two may be called
// more than once, and while other goroutines read and write.
//
// A connection that lends what has come spares a copy: Next() ([]byte, error)
// returns what came together, and never bytes with an error; that is valid until Next or Release() is
// called, and Quiet() bool tells whether Next would wait.
//
// A connection is used for several requests, also of several users, one after
// the other, if it has two more methods: Rest(), which says that it waits for
// the next request now, and Resume() bool, which says that the wait is over. It
// answers false when bytes have come meanwhile or either side has ended it;
// nothing but Kill and Close is called then.
type Dialer interface {
	Dial(ctx context.Context, t Target) (net.Conn, error)
}

// DenialKind says why a request was turned away.
type DenialKind int

// The reasons for which a Gate turns a request away.
const (
	NotLoggedIn DenialKind = iota + 1
	NoAccess               // answered as if there were no such app
	NotRunning             // browsers are sent to the lobby
	Unavailable            // the app may run, but cannot be served now
)

// Denial is a Gate's refusal. Message is shown to the client, as a sentence,
// unless Kind is NoAccess.
type Denial struct {
	Kind    DenialKind
	Message string
}

// Error returns the message of the denial.
func (d *Denial) Error() string { return d.Message }
