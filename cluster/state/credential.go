package state

import (
	"bytes"
	"encoding/base64"
	"errors"
	"time"

	"github.com/google/uuid"
)

// Session is one login of a person in a browser. The secret is in the cookie only; the state has its SHA-256.
type Session struct {
	Hash      []byte
	User      string
	CreatedAt time.Time
	ExpiresAt time.Time
	// UsedAt is when it was last used, to within a few minutes; zero for never since it was opened.
	UsedAt time.Time
}

// LastUse is when the session was last used, to within a few minutes.
func (s *Session) LastUse() time.Time {
	if s.UsedAt.After(s.CreatedAt) {
		return s.UsedAt
	}
	return s.CreatedAt
}

// SessionOpened stores a session and forgets the user's expired ones.
type SessionOpened struct {
	Session Session
}

// maxSessions bounds the sessions of one user; the oldest goes first.
const maxSessions = 50

func (c *SessionOpened) apply(tx *Tx) (any, error) {
	mine, err := openedBy[Session](tx, bucketSessionsOf, bucketSessions, c.Session.User)
	if err != nil {
		return nil, err
	}
	oldest := -1
	for i, s := range mine {
		if !s.ExpiresAt.After(c.Session.CreatedAt) {
			if err := s.forget(tx); err != nil {
				return nil, err
			}
			continue
		}
		if oldest < 0 || s.CreatedAt.Before(mine[oldest].CreatedAt) {
			oldest = i
		}
	}
	if len(mine) >= maxSessions && oldest >= 0 {
		if err := mine[oldest].forget(tx); err != nil {
			return nil, err
		}
	}
	return nil, errors.Join(tx.put(bucketSessions, c.Session.Hash, c.Session),
		tx.putRaw(bucketSessionsOf, owned(c.Session.User, c.Session.Hash), nil))
}

func (s *Session) forget(tx *Tx) error {
	return errors.Join(tx.delete(bucketSessions, s.Hash), tx.delete(bucketSessionsOf, owned(s.User, s.Hash)))
}

// SessionClosed forgets a session. An unknown one is no error.
type SessionClosed struct {
	Hash []byte
}

func (c *SessionClosed) apply(tx *Tx) (any, error) {
	s, ok, err := tx.Session(c.Hash)
	if err != nil || !ok {
		return nil, err
	}
	return nil, s.forget(tx)
}

// SessionsClosed forgets all sessions of a user but one.
type SessionsClosed struct {
	User string
	Keep []byte // hash; nil for none
}

func (c *SessionsClosed) apply(tx *Tx) (any, error) { return nil, tx.forgetSessions(c.User, c.Keep) }

func (tx *Tx) forgetSessions(user string, keep []byte) error {
	mine, err := openedBy[Session](tx, bucketSessionsOf, bucketSessions, user)
	if err != nil {
		return err
	}
	for _, s := range mine {
		if bytes.Equal(s.Hash, keep) {
			continue
		}
		if err := s.forget(tx); err != nil {
			return err
		}
	}
	return nil
}

// Session returns the session with this hash. The caller checks ExpiresAt.
func (tx *Tx) Session(hash []byte) (s Session, ok bool, err error) {
	return get[Session](tx, bucketSessions, hash)
}

// Scope is how much of what its user may do an API token may.
type Scope string

// The scopes, each with what the one before has.
const (
	ScopeRead    Scope = "read"    // look at containers and logs
	ScopeOperate Scope = "operate" // open apps, start and stop containers
	ScopeAll     Scope = "all"
)

// Token is an API token. The secret is shown once; the state has its SHA-256.
type Token struct {
	ID        string
	Hash      []byte
	User      string
	Name      string
	CreatedAt time.Time
	// ExpiresAt is zero for a token that doesn't expire.
	ExpiresAt time.Time
	// Scope is empty for all in tokens made before there were scopes.
	Scope Scope
	// Project is the one that the token is for; empty for all.
	Project string
	// UsedAt is when it was last used, to within a few minutes; zero for never.
	UsedAt time.Time
}

// CredentialUse is the last use of a session or an API token, as one manager has seen it.
type CredentialUse struct {
	Hash []byte
	At   time.Time
}

// MaxCredentialUses bounds the uses of one command.
const MaxCredentialUses = 1000

// CredentialsUsed notes when sessions and API tokens were last used. The timeline tells of a token that was used after an
// hour without.
type CredentialsUsed struct {
	Sessions, Tokens []CredentialUse
}

func (c *CredentialsUsed) apply(tx *Tx) (any, error) {
	if len(c.Sessions)+len(c.Tokens) > MaxCredentialUses {
		return nil, Errorf(Invalid, "More than "+itoa(MaxCredentialUses)+" uses in one command.")
	}
	for _, use := range c.Sessions {
		s, ok, err := tx.Session(use.Hash)
		if err != nil {
			return nil, err
		}
		if ok && use.At.After(s.UsedAt) {
			s.UsedAt = use.At
			if err := tx.put(bucketSessions, s.Hash, s); err != nil {
				return nil, err
			}
		}
	}
	for _, use := range c.Tokens {
		if err := tx.useToken(use); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (tx *Tx) useToken(use CredentialUse) error {
	t, ok, err := tx.Token(use.Hash)
	if err != nil || !ok || !use.At.After(t.UsedAt) {
		return err
	}
	if use.At.Sub(t.UsedAt) > accessEvent {
		user, _, err := tx.User(t.User)
		if err != nil {
			return err
		}
		e := Event{ID: uuid.NewSHA1(uuid.Nil, key("token", t.ID, use.At.String())).String(), Time: use.At, User: user.Name, Via: "[API]",
			App: "tokens", Name: "token_use", Description: "use the API token {token}",
			Objects: []EventObject{{Label: "token", Name: t.Name, Model: "Token", ID: t.ID}}, Status: EventOK}
		if err := tx.record(e); err != nil {
			return err
		}
	}
	t.UsedAt = use.At
	return tx.put(bucketTokens, t.Hash, t)
}

// Limits of tokens.
const (
	MaxTokenName     = 256
	maxTokensPerUser = 200
)

// TokenCreated stores a token.
type TokenCreated struct {
	Token Token
}

func (c *TokenCreated) apply(tx *Tx) (any, error) {
	f := fieldErrors{}
	checkText(f, "label", c.Token.Name, MaxTokenName)
	switch c.Token.Scope {
	case "", ScopeRead, ScopeOperate, ScopeAll:
	default:
		f.add("scope", "A scope is read, operate or all.")
	}
	if c.Token.Project != "" {
		_, ok, err := tx.Project(c.Token.Project)
		if err != nil {
			return nil, err
		}
		if !ok {
			f.add("project", "There is no such project.")
		}
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	mine, err := tx.TokensOf(c.Token.User)
	if err != nil {
		return nil, err
	}
	if len(mine) >= maxTokensPerUser {
		return nil, Errorf(TooMany, "You have 200 API tokens. Delete one that is no longer used first.")
	}
	return nil, errors.Join(tx.put(bucketTokens, c.Token.Hash, c.Token),
		tx.putRaw(bucketTokensOf, owned(c.Token.User, c.Token.Hash), nil))
}

// TokenDeleted deletes a token of a user.
type TokenDeleted struct {
	ID, User string
}

func (c *TokenDeleted) apply(tx *Tx) (any, error) {
	mine, err := tx.TokensOf(c.User)
	if err != nil {
		return nil, err
	}
	for _, t := range mine {
		if t.ID == c.ID {
			return nil, errors.Join(tx.delete(bucketTokens, t.Hash), tx.delete(bucketTokensOf, owned(t.User, t.Hash)))
		}
	}
	return nil, Errorf(NotFound, "There is no such API token.")
}

// Token returns the token with this hash. The caller checks ExpiresAt.
func (tx *Tx) Token(hash []byte) (t Token, ok bool, err error) {
	return get[Token](tx, bucketTokens, hash)
}

// TokensOf returns a user's tokens, in an order that stays the same.
func (tx *Tx) TokensOf(user string) ([]Token, error) {
	return openedBy[Token](tx, bucketTokensOf, bucketTokens, user)
}

// owned is the key of something with this hash in the index of what a user has.
func owned(user string, hash []byte) []byte { return append(key(user, ""), hash...) }

// openedBy returns what the index has of a user, in an order that stays the same.
func openedBy[T any](tx *Tx, index, bucket []byte, user string) (list []T, err error) {
	c := tx.btx.Bucket(index).Cursor()
	prefix := owned(user, nil)
	for k, _ := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, _ = c.Next() {
		v, ok, err := get[T](tx, bucket, k[len(prefix):])
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, v)
		}
	}
	return list, nil
}

// HashText is a hash in the form in which programs show it.
func HashText(hash []byte) string { return base64.RawURLEncoding.EncodeToString(hash) }
