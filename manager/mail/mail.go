// Package mail sends mails of Kiosc through a mail server.
//
// It owns the settings of that server, the form of a mail and the time that sending may take. It keeps no queue: who sends is
// told whether the server took the mail, and says so to people.
//
// What must always hold: a password goes over TLS only, unless the server is on this machine, and neither addresses nor
// subjects can add a header or a recipient.
package mail

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/netip"
	"net/smtp"
	"net/url"
	"strings"
	"time"
)

// Config says through which server mails go, and from whom they are.
type Config struct {
	// URL is smtp://user:password@host:port, or smtps:// for TLS from the start. User and port may be left out.
	URL string
	// Sender is the address that mails are from, such as kiosc@example.org or Kiosc <kiosc@example.org>.
	Sender string
	// SubjectPrefix begins each subject; it may be empty.
	SubjectPrefix string
	// CAs may have signed the server's certificate; nil for those of the system.
	CAs *x509.CertPool
}

const (
	dialTimeout = 5 * time.Second
	// sendTimeout bounds the whole of a mail. Somebody waits for the page.
	sendTimeout = 15 * time.Second
	plainPort   = "25"
	tlsPort     = "465"
)

// Mailer sends mails. It may be used by many goroutines.
type Mailer struct {
	host, port string
	user       *url.Userinfo // nil for none
	tls        bool          // from the start
	cas        *x509.CertPool
	sender     *mail.Address
	prefix     string
}

// New checks the settings. It asks no server. Its errors have no password in them.
func New(c Config) (*Mailer, error) {
	at, err := url.Parse(strings.TrimSpace(c.URL))
	if err != nil || at.Hostname() == "" || at.Scheme != "smtp" && at.Scheme != "smtps" || strings.Trim(at.Path, "/") != "" {
		return nil, errors.New("the mail server's address is not of the form smtp://user:password@host:port or smtps://…")
	}
	m := &Mailer{host: at.Hostname(), port: at.Port(), user: at.User, tls: at.Scheme == "smtps", cas: c.CAs}
	m.port = cmp.Or(m.port, map[bool]string{false: plainPort, true: tlsPort}[m.tls])
	if m.sender, err = mail.ParseAddress(c.Sender); err != nil {
		return nil, fmt.Errorf("the sender of mails %q is no mail address", c.Sender)
	}
	if m.prefix = strings.TrimSpace(c.SubjectPrefix); strings.ContainsAny(m.prefix, "\r\n") {
		return nil, errors.New("the prefix of subjects has more than one line")
	}
	return m, nil
}

// ErrAddress says that somebody can't be sent a mail.
var ErrAddress = errors.New("this is no mail address")

// Send gives a mail to the server and returns once that has taken it.
func (m *Mailer) Send(ctx context.Context, to, subject, text string) error {
	// Only a plain address: a name before it would be somebody else's text.
	address, err := mail.ParseAddress(to)
	if err != nil || address.Name != "" || address.Address != strings.TrimSpace(to) {
		return ErrAddress
	}
	whole, err := m.compose(address, subject, text, time.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	client, err := m.dial(ctx)
	if err != nil {
		return fmt.Errorf("reaching the mail server %s: %w", m.host, err)
	}
	defer client.Close()
	if err := m.hand(client, address.Address, whole); err != nil {
		return fmt.Errorf("giving a mail to the server %s: %w", m.host, err)
	}
	return nil
}

func (m *Mailer) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: m.host, RootCAs: m.cas, MinVersion: tls.VersionTLS12}
}

// dial connects and secures the connection, whose deadline is that of ctx.
func (m *Mailer) dial(ctx context.Context) (*smtp.Client, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(m.host, m.port))
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	local := isLoopback(conn.RemoteAddr())
	if m.tls {
		conn = tls.Client(conn, m.tlsConfig())
	}
	client, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := m.secure(client, local); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

var errNoTLS = errors.New("it offers no STARTTLS, and mails with links that give access do not go over a network in the clear")

func (m *Mailer) secure(client *smtp.Client, local bool) error {
	if m.tls {
		return nil
	}
	if offered, _ := client.Extension("STARTTLS"); offered {
		return client.StartTLS(m.tlsConfig())
	}
	if !local {
		return errNoTLS
	}
	return nil
}

func isLoopback(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// hand gives the mail to the server.
func (m *Mailer) hand(client *smtp.Client, to string, whole []byte) error {
	if m.user != nil {
		password, _ := m.user.Password()
		// Where there is no TLS, the server was found to be on this machine.
		if err := client.Auth(login{m.user.Username(), password}); err != nil {
			return err
		}
	}
	if err := client.Mail(m.sender.Address); err != nil {
		return err
	}
	if err := client.Rcpt(to); err != nil {
		return err
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(whole); err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return err
	}
	_ = client.Quit() // the server has the mail
	return nil
}

// login is PLAIN. That of net/smtp decides by the server's name whether it is on this machine; secure has seen the address.
type login struct{ user, password string }

func (l login) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "PLAIN", []byte("\x00" + l.user + "\x00" + l.password), nil
}

func (l login) Next(_ []byte, more bool) ([]byte, error) {
	if more {
		return nil, errors.New("the server asks for more than a user and a password")
	}
	return nil, nil
}

// compose makes the text of a mail with its headers.
func (m *Mailer) compose(to *mail.Address, subject, text string, at time.Time) ([]byte, error) {
	if m.prefix != "" {
		subject = m.prefix + " " + subject
	}
	subject = strings.Join(strings.Fields(subject), " ") // no lines of their own
	_, domain, _ := strings.Cut(m.sender.Address, "@")
	var out bytes.Buffer
	for _, header := range [][2]string{{"From", m.sender.String()}, {"To", to.String()}, {"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", at.Format(time.RFC1123Z)}, {"Message-ID", "<" + rand.Text() + "@" + domain + ">"}, {"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"}} {
		out.WriteString(header[0] + ": " + header[1] + "\r\n")
	}
	out.WriteString("\r\n")
	body := quotedprintable.NewWriter(&out)
	if _, err := body.Write([]byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"))); err != nil {
		return nil, err
	}
	err := body.Close()
	return out.Bytes(), err
}
