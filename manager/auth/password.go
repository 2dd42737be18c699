package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The cost of a password hash: 19 MiB and two passes, what OWASP gives as the least for argon2id.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	saltBytes    = 16
	hashBytes    = 32
)

// Limits of a password, in characters and bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// hashing bounds how many hashes are computed at once, so that a flood of logins can't use up the memory.
var hashing = make(chan struct{}, 4)

// minDifferent is how many different characters a password needs.
const minDifferent = 4

// CheckPassword tells in a sentence why a new password of a user is refused; nil if it isn't.
func CheckPassword(user, password string) error {
	different := make(map[rune]bool)
	for _, r := range password {
		different[r] = true
	}
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("a password needs at least %d characters", MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("a password has at most %d bytes", MaxPassword)
	case strings.EqualFold(user, password):
		return errors.New("a password can't be the user's name")
	case len(different) < minDifferent:
		return fmt.Errorf("a password needs at least %d different characters", minDifferent)
	}
	return nil
}

// HashPassword gives the argon2id hash in PHC form.
func HashPassword(password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, hashBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

// nobody is compared with where there is no such user, so that the answer takes as long.
var nobody = func() string {
	h, err := HashPassword("no password is this")
	if err != nil {
		panic(err)
	}
	return h
}()

// VerifyPassword tells whether the password fits the hash. With an empty hash it takes as long and is always false. The
// error is ctx's, when too many hashes are computed at the moment.
func VerifyPassword(ctx context.Context, hash, password string) (bool, error) {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
	case <-ctx.Done():
		return false, fmt.Errorf("waiting to check a password: %w", ctx.Err())
	}
	exists := hash != ""
	if !exists {
		hash = nobody
	}
	if len(password) > MaxPassword {
		password = ""
		exists = false
	}
	same, err := compare(hash, password)
	return same && exists, err
}

func compare(hash, password string) (bool, error) {
	var version, threads int
	var memory, time uint32
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("the stored password hash has an unknown form")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &time, &threads); err != nil {
		return false, fmt.Errorf("reading a password hash: %w", err)
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil {
		return false, fmt.Errorf("reading a password hash: %w", err)
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, uint8(threads), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
