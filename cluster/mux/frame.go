package mux

import (
	"encoding/binary"
	"fmt"
)

const headSize = 12

const (
	typeData   = 0
	typeWindow = 1
	typePing   = 2
	typeGoAway = 3
)

const (
	flagSYN = 1
	flagACK = 2
	flagFIN = 4
	flagRST = 8
)

// firstWindow is what either side of a stream may send before it is told more.
const firstWindow = 256 << 10

// head is the head of a frame.
type head struct {
	kind   byte
	flags  uint16
	stream uint32
	length uint32
}

func (h head) append(b []byte) []byte {
	b = append(b, 0, h.kind)
	b = binary.BigEndian.AppendUint16(b, h.flags)
	b = binary.BigEndian.AppendUint32(b, h.stream)
	return binary.BigEndian.AppendUint32(b, h.length)
}

// parseHead reads a head from exactly headSize bytes.
func parseHead(b []byte) (head, error) {
	if b[0] != 0 || b[1] > typeGoAway {
		return head{}, fmt.Errorf("%w: a frame begins with %x", ErrProtocol, b[:headSize])
	}
	return head{
		kind:   b[1],
		flags:  binary.BigEndian.Uint16(b[2:]),
		stream: binary.BigEndian.Uint32(b[4:]),
		length: binary.BigEndian.Uint32(b[8:]),
	}, nil
}
