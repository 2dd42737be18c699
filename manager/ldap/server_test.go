package ldap_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	kioscldap "kiosc/manager/ldap"
)

// odd is a server that answers as no good directory does: it takes every password, and every search finds the entries of
// these DNs, each with the uid alice.
type odd struct {
	dns []string
	// result is that of all searches.
	result int
	// answers is after how many a connection is closed; 0 for never.
	answers int
	binds   atomic.Int32
}

// start returns the server's address.
func (o *odd) start(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				for n := 0; o.answers == 0 || n < o.answers; n++ {
					if !o.answer(c) {
						return
					}
				}
				ber.ReadPacket(c) // is asked once more, and says nothing
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

func (o *odd) answer(c net.Conn) bool {
	request, err := ber.ReadPacket(c)
	if err != nil {
		return false
	}
	send := func(op *ber.Packet) {
		message := ber.NewSequence("")
		message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, request.Children[0].Value, ""))
		message.AppendChild(op)
		c.Write(message.Bytes())
	}
	switch request.Children[1].Tag {
	case ldap.ApplicationBindRequest:
		o.binds.Add(1)
		send(result(ldap.ApplicationBindResponse, 0))
	case ldap.ApplicationSearchRequest:
		for _, dn := range o.dns {
			send(entry(dn))
		}
		send(result(ldap.ApplicationSearchResultDone, o.result))
	default:
		return false
	}
	return true
}

func result(tag ber.Tag, code int) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	p.AppendChild(text(""))
	p.AppendChild(text(""))
	return p
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func entry(dn string) *ber.Packet {
	values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	values.AppendChild(text("alice"))
	attribute, all := ber.NewSequence(""), ber.NewSequence("")
	attribute.AppendChild(text("uid"))
	attribute.AppendChild(values)
	all.AppendChild(attribute)
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(text(dn))
	p.AppendChild(all)
	return p
}

func (o *odd) open(t *testing.T) *kioscldap.Directory {
	cfg := testConfig("ACME")
	cfg.URIs, cfg.UserFilter, cfg.Timeout = []string{"ldap://" + o.start(t)}, "(uid=%(user)s)", 5*time.Second
	d, err := kioscldap.New(cfg, logger(t))
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

// TestAServerThatTakesEveryPassword must not let in whom it doesn't name.
func TestAServerThatTakesEveryPassword(t *testing.T) {
	for name, c := range map[string]struct {
		server *odd
		let    bool
	}{
		"one entry":                 {&odd{dns: []string{"uid=alice"}}, true},
		"no entry":                  {&odd{}, false},
		"two entries":               {&odd{dns: []string{"uid=alice", "uid=alice,ou=b"}}, false},
		"an entry without a name":   {&odd{dns: []string{""}}, false},
		"more entries than it says": {&odd{dns: []string{"uid=alice"}, result: ldap.LDAPResultSizeLimitExceeded}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.server.open(t).Login(context.Background(), "alice@ACME", "any")
			if c.let {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, kioscldap.ErrRefused)
			}
			require.EqualValues(t, 1, c.server.binds.Load(), "each login takes the same steps")
		})
	}
}

func TestUnclearAnswers(t *testing.T) {
	for name, server := range map[string]*odd{"a referral": {result: ldap.LDAPResultReferral}, "busy": {result: ldap.LDAPResultBusy},
		"a part": {result: ldap.LDAPResultTimeLimitExceeded}, "its base is gone": {}} {
		t.Run(name, func(t *testing.T) {
			d := server.open(t)
			_, err := d.Find(context.Background(), "alice@ACME")
			require.Error(t, err)
			require.NotErrorIs(t, err, kioscldap.ErrNoSuchUser)
			if server.result != 0 {
				_, err = d.Login(context.Background(), "alice@ACME", "any")
				require.Error(t, err)
				require.NotErrorIs(t, err, kioscldap.ErrRefused)
			}
		})
	}
}

// TestAConnectionThatBreaksWhileIdle has each connection answer once and break at the next question.
func TestAConnectionThatBreaksWhileIdle(t *testing.T) {
	server := odd{dns: []string{"uid=alice"}, answers: 1}
	d := server.open(t)
	for range 5 {
		p, err := d.Find(context.Background(), "alice@ACME")
		require.NoError(t, err)
		require.Equal(t, "uid=alice", p.DN)
	}
}
