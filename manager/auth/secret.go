package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// TokenPrefix begins every API token, so that the proxy and secret scanners know one.
const TokenPrefix = "kiosc_"

// secretBytes is the entropy of a secret.
const secretBytes = 32

// NewSecret makes a random secret that begins with prefix, and the hash under which it is stored. A plain SHA-256 is
// enough because the secret can't be guessed.
func NewSecret(prefix string) (secret string, hash []byte) {
	raw := make([]byte, secretBytes)
	rand.Read(raw) // never fails: the runtime ends the process where there is no randomness
	secret = prefix + base64.RawURLEncoding.EncodeToString(raw)
	return secret, HashSecret(secret)
}

// HashSecret is the hash under which a secret is stored and looked up.
func HashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// CSRFToken is the value that a page of this session must send along to change anything. It tells nothing of the
// session's secret.
func CSRFToken(session string) string {
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write([]byte("kiosc csrf 1"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// CheckCSRF tells whether token is the session's.
func CheckCSRF(session, token string) bool {
	return session != "" && hmac.Equal([]byte(CSRFToken(session)), []byte(token))
}

// ParseAuthorization returns the API token in an Authorization header: "token kiosc_…" or "Bearer kiosc_…". Any other
// value isn't Kiosc's.
func ParseAuthorization(header string) (token string, ok bool) {
	scheme, value, found := strings.Cut(header, " ")
	value = strings.TrimSpace(value)
	if !found || !strings.EqualFold(scheme, "token") && !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return value, strings.HasPrefix(value, TokenPrefix)
}
