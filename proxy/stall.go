package proxy

import (
	"net"
	"syscall"
	"time"
)

// stallTimeout is how long a client may take nothing of what is sent to it, such as a download that it has stopped reading or a
// machine that has left without a word. The connection is ended then, and with it the app's. It holds for every kind of answer, so it
// is far longer than a browser pauses one.
const stallTimeout = 5 * time.Minute

// userTimeout is Linux's TCP_USER_TIMEOUT, which package syscall doesn't name.
const userTimeout = 0x12

// endStalls has the kernel end the connection where its other side takes nothing for so long. That costs nothing while bytes move,
// unlike a deadline for each write.
func (c *client) endStalls(limit time.Duration) {
	t, ok := c.transport().(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout, int(limit.Milliseconds()))
	})
}
