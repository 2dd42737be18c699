package guard_test

import (
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"kiosc/agent/guard"
)

func TestPlaces(t *testing.T) {
	for text, want := range map[string]guard.Place{
		"192.0.2.7":       {Prefix: netip.MustParsePrefix("192.0.2.7/32")},
		"192.0.2.7/24":    {Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		"192.0.2.7:53":    {Prefix: netip.MustParsePrefix("192.0.2.7/32"), Port: 53},
		"192.0.2.0/24:53": {Prefix: netip.MustParsePrefix("192.0.2.0/24"), Port: 53},
	} {
		got, err := guard.ParsePlace(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"", "host", "192.0.2.7:", "192.0.2.7:0", "192.0.2.7:65536", "192.0.2.7/33", "::1", "2001:db8::/32", "192.0.2.7:53 -j ACCEPT", "192.0.2.7:x"} {
		_, err := guard.ParsePlace(bad)
		require.Error(t, err, bad)
	}
}

// TestWithoutTheRight changes nothing as a user who isn't root.
func TestWithoutTheRight(t *testing.T) {
	t.Parallel()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and ends with the goroutine
		if os.Geteuid() == 0 {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
				result <- errno
				return
			}
		}
		result <- guard.New("0123456789").Apply(t.Context(), guard.Rules{Networks: []guard.Network{
			{Bridge: "br-none", Gateway: netip.MustParseAddrPort("192.0.2.1:8080")}}})
	}()
	err := <-result
	if err != guard.ErrMissing { // then there is nothing to forbid
		require.ErrorIs(t, err, guard.ErrNotAllowed)
	}
}
