package mail_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kiosc/manager/mail"
)

// server is a mail server on this machine that speaks as much of SMTP as is needed, and keeps what it is given.
type server struct {
	net.Listener
	tls      *tls.Config // nil for one without TLS
	implicit bool        // TLS from the start
	reply    string      // instead of taking a mail; empty for taking it
	mails    chan given
	running  sync.WaitGroup
}

type given struct {
	from, to, login, text string
	secure                bool
}

func serve(t *testing.T, s *server) *server {
	t.Helper()
	var err error
	s.Listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.mails = make(chan given, 10)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			s.running.Add(1)
			go func() {
				defer s.running.Done()
				defer conn.Close()
				s.talk(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		s.running.Wait()
	})
	return s
}

func (s *server) talk(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	var m given
	if s.implicit {
		conn, m.secure = tls.Server(conn, s.tls), true
	}
	text := textproto.NewConn(conn)
	_ = text.PrintfLine("220 test")
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			_ = text.PrintfLine("250-test")
			if s.tls != nil && !m.secure {
				_ = text.PrintfLine("250-STARTTLS")
			}
			_ = text.PrintfLine("250 AUTH PLAIN")
		case "STARTTLS":
			_ = text.PrintfLine("220 go on")
			conn, m.secure = tls.Server(conn, s.tls), true
			text = textproto.NewConn(conn)
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			m.login = strings.ReplaceAll(string(raw), "\x00", "/")
			_ = text.PrintfLine("235 welcome")
		case "MAIL":
			m.from = rest
			_ = text.PrintfLine("250 ok")
		case "RCPT":
			m.to += rest
			_ = text.PrintfLine("250 ok")
		case "DATA":
			if s.reply != "" {
				_ = text.PrintfLine("%s", s.reply)
				continue
			}
			_ = text.PrintfLine("354 go on")
			raw, err := io.ReadAll(text.DotReader())
			if err != nil {
				return
			}
			m.text = string(raw)
			s.mails <- m
			_ = text.PrintfLine("250 taken")
		case "QUIT":
			_ = text.PrintfLine("221 bye")
			return
		default:
			_ = text.PrintfLine("500 what?")
		}
	}
}

// certificate is for this machine, and the pool that trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	raw, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}, pool
}

func TestMailsArrive(t *testing.T) {
	own, pool := certificate(t)
	for name, row := range map[string]struct {
		server *server
		scheme string
	}{
		"in the clear on this machine": {&server{}, "smtp"},
		"with STARTTLS":                {&server{tls: own}, "smtp"},
		"with TLS":                     {&server{tls: own, implicit: true}, "smtps"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, row.server)
			m, err := mail.New(mail.Config{URL: row.scheme + "://kiosc:s%3Acret@" + s.Addr().String(), Sender: "Kiosc of Ünit <kiosc@example.org>",
				SubjectPrefix: "[Kiosc]", CAs: pool})
			require.NoError(t, err)
			const text = "Hällo,\nthis is a line that is longer than those seventy-six characters that a line of quoted-printable text may have.\n.\nEnd"
			require.NoError(t, m.Send(context.Background(), "ana@example.org", "Invite to Mäuse\r\nBcc: eve@example.org", text))
			got := <-s.mails
			require.Equal(t, s.tls != nil, got.secure)
			require.Equal(t, "/kiosc/s:cret", got.login)
			require.True(t, strings.HasPrefix(got.from, "FROM:<kiosc@example.org>"), got.from)
			require.Equal(t, "TO:<ana@example.org>", got.to)
			read, err := netmail.ReadMessage(bufio.NewReader(strings.NewReader(got.text)))
			require.NoError(t, err)
			require.Empty(t, read.Header.Get("Bcc"))
			subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
			require.NoError(t, err)
			require.Equal(t, "[Kiosc] Invite to Mäuse Bcc: eve@example.org", subject)
			body, err := io.ReadAll(quotedprintable.NewReader(read.Body))
			require.NoError(t, err)
			require.Equal(t, text, strings.TrimSuffix(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n"))
		})
	}
}

func TestMailsThatCannotBeSent(t *testing.T) {
	own, pool := certificate(t)
	trusted := serve(t, &server{tls: own})
	full := serve(t, &server{reply: "452 no room"})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	send := func(to, address string, cas *x509.CertPool) error {
		m, err := mail.New(mail.Config{URL: "smtp://u:hidden@" + address, Sender: "kiosc@example.org", CAs: cas})
		require.NoError(t, err)
		return m.Send(context.Background(), to, "x", "x")
	}
	for _, to := range []string{"", "ana", "ana@example.org\r\nRCPT TO:<eve@example.org>", "ana@example.org, eve@example.org", "Ana <ana@example.org>",
		"<ana@example.org>", "ana@example.org>\r\nDATA"} {
		require.ErrorIs(t, send(to, trusted.Addr().String(), pool), mail.ErrAddress, "%q", to)
	}
	for why, err := range map[string]error{
		"certificate": send("ana@example.org", trusted.Addr().String(), nil),
		"no room":     send("ana@example.org", full.Addr().String(), nil),
		"refused":     send("ana@example.org", closed.Addr().String(), nil),
	} {
		require.ErrorContains(t, err, why)
		require.NotContains(t, err.Error(), "hidden")
	}
	require.Empty(t, trusted.mails)

	// A server that says nothing keeps nobody waiting for longer than the caller does.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	m, err := mail.New(mail.Config{URL: "smtp://" + silent.Addr().String(), Sender: "kiosc@example.org"})
	require.NoError(t, err)
	require.Error(t, m.Send(ctx, "ana@example.org", "x", "x"))
}

// TestNothingGoesInTheClear takes a server on this machine for one elsewhere.
func TestNothingGoesInTheClear(t *testing.T) {
	own, pool := certificate(t)
	for _, s := range []*server{serve(t, &server{}), serve(t, &server{tls: own})} {
		m, err := mail.New(mail.Config{URL: "smtp://127.0.0.1", Sender: "kiosc@example.org", CAs: pool})
		require.NoError(t, err)
		client, err := smtp.Dial(s.Addr().String())
		require.NoError(t, err)
		err = m.Secure(client, false)
		_, secure := client.TLSConnectionState()
		require.Equal(t, s.tls != nil, secure)
		if s.tls == nil {
			require.ErrorContains(t, err, "no STARTTLS")
		} else {
			require.NoError(t, err)
		}
		require.NoError(t, client.Close())
	}
}

func TestSettings(t *testing.T) {
	for _, wrong := range []mail.Config{{URL: "http://example.org", Sender: "a@example.org"}, {URL: "smtp://", Sender: "a@example.org"},
		{URL: "smtp://u:hidden@host:port", Sender: "a@example.org"}, {URL: "smtp://example.org", Sender: "nobody"},
		{URL: "smtp://example.org", Sender: "a@example.org", SubjectPrefix: "a\nb"}} {
		_, err := mail.New(wrong)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hidden")
	}
}
