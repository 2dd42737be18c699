package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"
)

// JoinToken is what an operator carries to a new node: which cluster to trust, and the proof that the cluster wants it.
// Its text is kioscjoin-1-<role>-<fingerprint of the CA>-<secret>.
type JoinToken struct {
	Role        Role
	Fingerprint [sha256.Size]byte
	Secret      string
}

const (
	tokenBegin  = "kioscjoin-1-"
	secretBytes = 20
)

var secretText = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewJoinToken makes a token with a fresh secret.
func NewJoinToken(role Role, ca *x509.Certificate) JoinToken {
	raw := make([]byte, secretBytes)
	rand.Read(raw) // never fails: the runtime ends the process where there is no randomness
	return JoinToken{Role: role, Fingerprint: Fingerprint(ca), Secret: strings.ToLower(secretText.EncodeToString(raw))}
}

func (t JoinToken) String() string {
	return tokenBegin + string(t.Role) + "-" + hex.EncodeToString(t.Fingerprint[:]) + "-" + t.Secret
}

var errToken = errors.New("this is no join token; it begins with " + tokenBegin + " and is printed by \"kiosc join-token agent\" or \"kiosc join-token manager\"")

// ParseJoinToken reads a token's text.
func ParseJoinToken(text string) (t JoinToken, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), tokenBegin)
	parts := strings.Split(rest, "-")
	if !ok || len(parts) != 3 {
		return t, errToken
	}
	sum, err := hex.DecodeString(parts[1])
	if err != nil || len(sum) != sha256.Size || len(parts[2]) != secretText.EncodedLen(secretBytes) {
		return t, errToken
	}
	t = JoinToken{Role: Role(parts[0]), Secret: parts[2]}
	if t.Role != RoleAgent && t.Role != RoleManager {
		return t, errToken
	}
	copy(t.Fingerprint[:], sum)
	return t, nil
}

// HashSecret is the hash under which a token's secret is stored. The secret can't be guessed, so a plain SHA-256 does.
func HashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
