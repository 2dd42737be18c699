package wire

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// accepted dials an address and tells which of the listeners has taken the connection.
func accepted(t *testing.T, address string, by ...net.Listener) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	took := make(chan int, len(by))
	for i, l := range by {
		go func() {
			for {
				got, err := l.Accept()
				if err != nil {
					return
				}
				if got.RemoteAddr().String() == conn.LocalAddr().String() { // others looked whether the port is in use
					took <- i
				}
				got.Close()
			}
		}()
	}
	return <-took
}

func TestAnAgentAndAManagerShareAPort(t *testing.T) {
	for name, order := range map[string][]int{"the manager first": {0, 1}, "the agent first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			probe, err := net.Listen("tcp", "0.0.0.0:0")
			require.NoError(t, err)
			_, port, _ := net.SplitHostPort(probe.Addr().String())
			require.NoError(t, probe.Close())
			addresses := []string{"0.0.0.0:" + port, "127.0.0.9:" + port}
			listeners := make([]net.Listener, 2)
			for _, i := range order {
				listeners[i], err = ListenShared(addresses[i])
				require.NoError(t, err)
				defer listeners[i].Close()
			}
			require.Equal(t, 1, accepted(t, "127.0.0.9:"+port, listeners...), "the single address is the agent's")
			for _, address := range addresses {
				_, err = net.Listen("tcp", address)
				require.ErrorIs(t, err, syscall.EADDRINUSE)
			}
			_, err = ListenShared(addresses[0])
			require.ErrorIs(t, err, syscall.EADDRINUSE, "a second manager")
		})
	}
}

func TestASecondAgentIsExcluded(t *testing.T) {
	first, err := ListenShared("127.0.0.9:0")
	require.NoError(t, err)
	defer first.Close()
	_, err = ListenShared(first.Addr().String())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}
