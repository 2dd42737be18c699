package service

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"kiosc/cluster/state"
	"kiosc/manager/auth"
)

// An app with a host of its own never sees the session's cookie. It gets one of its own: Kiosc's pages give the visitor
// a code, which counts once, for a short time, for this app and in this browser, and the app's host takes it for a
// cookie, which counts for this app for as long as the session lasts. Both are sealed with the cluster's key, so every
// manager knows them, and hold
//
//	offset 0   8 bytes    end of its life, Unix seconds, big-endian
//	offset 8   32 bytes   hash of the session
const passSize = 8 + sha256.Size

// appCodeLife is how long a code counts. The browser follows a redirect in that time, and clocks of managers may differ.
const appCodeLife = time.Minute

var errBadCode = state.Errorf(state.Conflict, "This link to the app has expired, was used before, or is another browser's.")

func codeContext(container, browser string) string {
	return "app-code\x00" + container + "\x00" + browser
}

func cookieContext(container string) string { return "app-cookie\x00" + container }

// AppCode makes a code with which a browser opens an app at the app's own host. browser is what this browser alone can
// show there, hashed.
func (s *Service) AppCode(session, container, browser string) (string, error) {
	a, err := s.BySession(session)
	if err != nil {
		return "", err
	}
	if _, err := s.container(a, container, auth.ProxyContainer); err != nil {
		return "", err
	}
	return s.sealPass(auth.HashSecret(session), time.Now().Add(appCodeLife), codeContext(container, browser))
}

// UseAppCode exchanges a code for the value of the app's cookie, and tells how long that counts.
func (s *Service) UseAppCode(ctx context.Context, code, container, browser string) (cookie string, life time.Duration, err error) {
	p, err := s.openPass(code, codeContext(container, browser))
	if err != nil {
		return "", 0, errBadCode
	}
	// First of all, because this manager then also knows a session that another one has opened just now.
	_, err = s.node.Propose(ctx, &state.AppCodeUsed{ID: p.id, ExpiresAt: p.ends, At: now()})
	if state.CodeOf(err) == state.Conflict {
		return "", 0, errBadCode
	}
	if err != nil {
		return "", 0, err
	}
	a, until, err := s.actor(p.session, false)
	if err != nil {
		return "", 0, err
	}
	if _, err := s.container(a, container, auth.ProxyContainer); err != nil {
		return "", 0, err
	}
	cookie, err = s.sealPass(p.session, until, cookieContext(container))
	return cookie, time.Until(until), err
}

// OpenAppByCookie decides as OpenApp does, for a request to the app's own host.
func (s *Service) OpenAppByCookie(cookie, container string) (App, error) {
	p, err := s.openPass(cookie, cookieContext(container))
	if err != nil {
		return App{}, errNotLoggedIn
	}
	return s.openApp(visit{string(p.session), false, container})
}

func (s *Service) sealPass(session []byte, ends time.Time, context string) (string, error) {
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, passSize), uint64(ends.Unix()))
	sealed, err := s.sealer.Seal(append(plain, session...), context)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// pass is what a code or a cookie says.
type pass struct {
	id      []byte // of this one alone
	session []byte // hash
	ends    time.Time
}

func (s *Service) openPass(text, context string) (pass, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return pass{}, errNotLoggedIn
	}
	plain, err := s.sealer.Open(sealed, context)
	if err != nil || len(plain) != passSize {
		return pass{}, errNotLoggedIn
	}
	// Of what was decoded, because a text can be written in more ways than one.
	id := sha256.Sum256(sealed)
	p := pass{id: id[:16], session: plain[8:], ends: time.Unix(int64(binary.BigEndian.Uint64(plain)), 0).UTC()}
	if !p.ends.After(time.Now()) {
		return pass{}, errNotLoggedIn
	}
	return p, nil
}
