package state

import (
	"encoding/base64"
	"time"
)

// Session is one login of a person in a browser. The secret is in the cookie only; the state has its SHA-256.
type Session struct {
	Hash      []byte
	User      string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// SessionOpened stores a session and forgets the user's expired ones.
type SessionOpened struct {
	Session Session
}

// maxSessions bounds the sessions of one user; the oldest goes first.
const maxSessions = 50

func (c *SessionOpened) apply(tx *Tx) (any, error) {
	var mine []Session
	err := each(tx, bucketSessions, nil, func(_ []byte, s Session) bool {
		if s.User == c.Session.User {
			mine = append(mine, s)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	oldest := -1
	for i, s := range mine {
		if !s.ExpiresAt.After(c.Session.CreatedAt) {
			if err := tx.delete(bucketSessions, s.Hash); err != nil {
				return nil, err
			}
			continue
		}
		if oldest < 0 || s.CreatedAt.Before(mine[oldest].CreatedAt) {
			oldest = i
		}
	}
	if len(mine) >= maxSessions && oldest >= 0 {
		if err := tx.delete(bucketSessions, mine[oldest].Hash); err != nil {
			return nil, err
		}
	}
	return nil, tx.put(bucketSessions, c.Session.Hash, c.Session)
}

// SessionClosed forgets a session. An unknown one is no error.
type SessionClosed struct {
	Hash []byte
}

func (c *SessionClosed) apply(tx *Tx) (any, error) { return nil, tx.delete(bucketSessions, c.Hash) }

// Session returns the session with this hash. The caller checks ExpiresAt.
func (tx *Tx) Session(hash []byte) (s Session, ok bool, err error) {
	return get[Session](tx, bucketSessions, hash)
}

// Token is an API token. The secret is shown once; the state has its SHA-256.
type Token struct {
	ID        string
	Hash      []byte
	User      string
	Name      string
	CreatedAt time.Time
	// ExpiresAt is zero for a token that doesn't expire.
	ExpiresAt time.Time
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
	return nil, tx.put(bucketTokens, c.Token.Hash, c.Token)
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
			return nil, tx.delete(bucketTokens, t.Hash)
		}
	}
	return nil, Errorf(NotFound, "There is no such API token.")
}

// Token returns the token with this hash. The caller checks ExpiresAt.
func (tx *Tx) Token(hash []byte) (t Token, ok bool, err error) {
	return get[Token](tx, bucketTokens, hash)
}

// TokensOf returns a user's tokens, in an order that stays the same.
func (tx *Tx) TokensOf(user string) (tokens []Token, err error) {
	err = each(tx, bucketTokens, nil, func(_ []byte, t Token) bool {
		if t.User == user {
			tokens = append(tokens, t)
		}
		return true
	})
	return tokens, err
}

// HashText is a hash in the form in which programs show it.
func HashText(hash []byte) string { return base64.RawURLEncoding.EncodeToString(hash) }
