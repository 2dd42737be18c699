package proxy

import (
	"encoding/binary"
	"io"
)

// frames passes a browser's half of a WebSocket on as it is, and tells of each
// piece of a message in it. Pings, pongs and the end are none: browsers and
// proxies send them for tabs that nobody looks at (RFC 6455, section 5).
type frames struct {
	to      io.Writer
	message func()

	head [10]byte // of the frame that begins, as far as it has come: all but its mask
	have int
	left uint64 // what is still to come of the frame's mask and payload
}

const (
	controlFrame = 0x08 // in the first byte: a ping, a pong or the end
	masked       = 0x80 // in the second byte
	maskSize     = 4
)

// Write passes p on, and is told apart from a plain one by nobody.
func (f *frames) Write(p []byte) (int, error) {
	f.follow(p)
	return f.to.Write(p)
}

func (f *frames) follow(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			skip := min(f.left, uint64(len(p)))
			p, f.left = p[skip:], f.left-skip
			continue
		}
		f.head[f.have] = p[0]
		p = p[1:]
		f.have++
		if f.have < f.headSize() {
			continue
		}
		if f.head[0]&controlFrame == 0 {
			f.message()
		}
		f.left, f.have = f.size(), 0
	}
}

// headSize is how long the head is without its mask, as far as that is known.
func (f *frames) headSize() int {
	switch length := f.head[1] &^ masked; {
	case f.have < 2:
		return 2
	case length == 126:
		return 4
	case length == 127:
		return 10
	}
	return 2
}

// size is that of the frame's mask and payload.
func (f *frames) size() (n uint64) {
	switch length := f.head[1] &^ masked; length {
	case 126:
		n = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		n = binary.BigEndian.Uint64(f.head[2:]) &^ (1 << 63)
	default:
		n = uint64(length)
	}
	if f.head[1]&masked != 0 {
		n += maskSize
	}
	return n
}
