package pki_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/pki"
)

const keyBytes = 32

func TestSealBindsKeyAndContext(t *testing.T) {
	key := bytes.Repeat([]byte{7}, keyBytes)
	sealed, err := pki.Seal(key, []byte("secret"), "place")
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "secret")
	other, err := pki.Seal(key, []byte("secret"), "place")
	require.NoError(t, err)
	require.NotEqual(t, sealed, other)
	plain, err := pki.Open(key, sealed, "place")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	_, err = pki.Open(key, sealed, "elsewhere")
	require.Error(t, err)
	_, err = pki.Open(bytes.Repeat([]byte{1}, keyBytes), sealed, "place")
	require.Error(t, err)
	for n := range sealed {
		_, err = pki.Open(key, sealed[:n], "place")
		require.Error(t, err)
		damaged := bytes.Clone(sealed)
		damaged[n] ^= 1
		_, err = pki.Open(key, damaged, "place")
		require.Error(t, err)
	}
}

func TestAPassphraseWrapsAKey(t *testing.T) {
	key := bytes.Repeat([]byte{7}, keyBytes)
	wrapped, err := pki.WrapKey(key, "a passphrase")
	require.NoError(t, err)
	require.EqualValues(t, 1, wrapped[0], "the format's number")
	require.NotContains(t, string(wrapped), string(key))
	got, err := pki.UnwrapKey(wrapped, "a passphrase")
	require.NoError(t, err)
	require.Equal(t, key, got)
	again, err := pki.WrapKey(key, "a passphrase")
	require.NoError(t, err)
	require.NotEqual(t, wrapped[7:23], again[7:23], "each has a salt of its own")

	_, err = pki.UnwrapKey(wrapped, "another")
	require.ErrorIs(t, err, pki.ErrPassphrase)
	_, err = pki.UnwrapKey(wrapped, "")
	require.ErrorIs(t, err, pki.ErrPassphrase)

	// One offset of each field: form, memory, passes, lanes, salt, the sealed value's form, nonce, text and tag.
	for _, n := range []int{0, 4, 5, 6, 7, 22, 23, 24, 48, len(wrapped) - 1} {
		altered := bytes.Clone(wrapped)
		altered[n] ^= 1
		_, err := pki.UnwrapKey(altered, "a passphrase")
		require.Error(t, err, n)
	}
	for _, n := range []int{0, 1, 6, 22, 23, 24, 48, len(wrapped) - 1} {
		_, err := pki.UnwrapKey(wrapped[:n], "a passphrase")
		require.Error(t, err, n)
	}
	_, err = pki.UnwrapKey(append(bytes.Clone(wrapped), 0), "a passphrase")
	require.Error(t, err)
}

func TestAForgedWrappedKeyCostsNothing(t *testing.T) {
	wrapped, err := pki.WrapKey(make([]byte, keyBytes), "a passphrase")
	require.NoError(t, err)
	for name, costs := range map[string][]byte{
		"4 TiB of memory":              {0xff, 0xff, 0xff, 0xff, 3, 2},
		"a little more than is let in": {0, 4, 0, 1, 3, 2},
		"255 passes":                   {0, 1, 0, 0, 255, 2},
		"no pass":                      {0, 1, 0, 0, 0, 2},
		"255 lanes":                    {0, 1, 0, 0, 3, 255},
		"no lane":                      {0, 1, 0, 0, 3, 0},
	} {
		forged := bytes.Clone(wrapped)
		copy(forged[1:], costs)
		_, err := pki.UnwrapKey(forged, "a passphrase")
		require.ErrorContains(t, err, "damaged: it asks for", name)
	}
}

func TestTheClusterKeyIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cluster.key")
	_, err := pki.LoadKey(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	made, err := pki.LoadOrCreateKey(path)
	require.NoError(t, err)
	require.Len(t, made, keyBytes)
	again, err := pki.LoadOrCreateKey(path)
	require.NoError(t, err)
	require.Equal(t, made, again)

	require.Error(t, pki.SaveKey(path, []byte{1}), "too short")
	given := bytes.Repeat([]byte{7}, keyBytes)
	require.NoError(t, pki.SaveKey(path, given))
	got, err := pki.LoadKey(path)
	require.NoError(t, err)
	require.Equal(t, given, got)
	onlyFile(t, dir, "cluster.key")

	require.NoError(t, os.WriteFile(path, []byte("short"), 0o600))
	_, err = pki.LoadOrCreateKey(path)
	require.ErrorContains(t, err, "damaged", "a damaged key isn't replaced")
}

func TestOneKeyIsMadeByManyAtOnce(t *testing.T) {
	for range 10 {
		dir := t.TempDir()
		path := filepath.Join(dir, "cluster.key")
		var keys [8][]byte
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				key, err := pki.LoadOrCreateKey(path)
				assert.NoError(t, err)
				keys[i] = key
			})
		}
		wg.Wait()
		kept, err := pki.LoadKey(path)
		require.NoError(t, err)
		for _, key := range keys {
			require.Equal(t, kept, key)
		}
		onlyFile(t, dir, "cluster.key")
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cluster.key")
	require.NoError(t, os.Mkdir(path, 0o700))
	require.Error(t, pki.SaveKey(path, make([]byte, keyBytes)), "a directory is in the way")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no copy of the key lies about")
}

func TestTheCAIsKept(t *testing.T) {
	dir := t.TempDir()
	_, _, err := pki.LoadCA(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	ca := newCA(t)
	require.NoError(t, pki.SaveCA(dir, []byte("former"), []byte("former")))
	require.NoError(t, pki.SaveCA(dir, ca.Certificate.Raw, []byte{3}), "saving again replaces")
	certificate, sealed, err := pki.LoadCA(dir)
	require.NoError(t, err)
	require.Equal(t, ca.Certificate.Raw, certificate)
	require.Equal(t, []byte{3}, sealed)
	onlyFile(t, dir, "ca.pem")

	path := filepath.Join(dir, "ca.pem")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 10} {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		_, _, err = pki.LoadCA(dir)
		require.ErrorContains(t, err, "damaged", n)
	}
}

// onlyFile checks that nothing else is in dir and that only the owner can read it.
func onlyFile(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, name, entries[0].Name())
	info, err := entries[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}
