package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// Version is the protocol version that this kiosc speaks.
const Version = 1

// Negotiate chooses the best version that both sides speak.
func Negotiate(offered []uint16) (version uint16, ok bool) {
	for _, v := range offered {
		if v == Version {
			return v, true
		}
	}
	return 0, false
}

// types is the table of messages. Numbers are never reused.
var types = map[byte]func() any{
	1:  func() any { return new(Hello) },
	2:  func() any { return new(Welcome) },
	3:  func() any { return new(Refusal) },
	4:  func() any { return new(Inventory) },
	5:  func() any { return new(Order) },
	6:  func() any { return new(Report) },
	7:  func() any { return new(Ack) },
	8:  func() any { return new(Progress) },
	9:  func() any { return new(Remove) },
	10: func() any { return new(Managers) },
	11: func() any { return new(RenewRequest) },
	12: func() any { return new(RenewAnswer) },
	13: func() any { return new(InventoryRequest) },
	14: func() any { return new(Lease) },
	15: func() any { return new(LeaseAck) },
	20: func() any { return new(LogsCursor) },
	21: func() any { return new(LogBatch) },
	22: func() any { return new(LogAck) },
	23: func() any { return new(Figures) },
	24: func() any { return new(Stock) },
	25: func() any { return new(RemoveStock) },
	26: func() any { return new(StockRemoved) },
	30: func() any { return new(ProxyAnswer) },
	31: func() any { return new(FileAnswer) },
	32: func() any { return new(FileWanted) },
	40: func() any { return new(JoinRequest) },
	41: func() any { return new(JoinAnswer) },
	50: func() any { return new(PeerHello) },
	51: func() any { return new(PeerStatus) },
	52: func() any { return new(PeerAgents) },
	53: func() any { return new(Visits) },
	54: func() any { return new(RelayAnswer) },
	60: func() any { return new(ForwardRequest) },
	61: func() any { return new(ForwardAnswer) },
	62: func() any { return new(CallRequest) },
	63: func() any { return new(CallAnswer) },
}

var typeNumbers = func() map[reflect.Type]byte {
	m := make(map[reflect.Type]byte, len(types))
	for number, newMessage := range types {
		m[reflect.TypeOf(newMessage())] = number
	}
	return m
}()

var (
	encMode = must(cbor.EncOptions{Sort: cbor.SortCoreDeterministic, Time: cbor.TimeRFC3339NanoUTC}.EncMode())
	decMode = must(cbor.DecOptions{MaxArrayElements: 1 << 17, MaxMapPairs: 1 << 12, MaxNestedLevels: 8}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ErrUnknownType says that the other side sent a message that this version doesn't know.
var ErrUnknownType = errors.New("a message of an unknown type")

// frameHead is the length and the type.
const frameHead = 5

// Write sends a message, which is a pointer to a type of this package, with one call of w.Write.
func Write(w io.Writer, msg any) error {
	number, ok := typeNumbers[reflect.TypeOf(msg)]
	if !ok {
		return fmt.Errorf("%T is no message", msg)
	}
	body, err := encMode.Marshal(msg)
	if err != nil {
		return fmt.Errorf("encoding %T: %w", msg, err)
	}
	if len(body)+1 > maxMessage {
		return fmt.Errorf("a %T of %d bytes is too long to send", msg, len(body))
	}
	frame := make([]byte, frameHead, frameHead+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)+1))
	frame[4] = number
	if _, err := w.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("sending %T: %w", msg, err)
	}
	return nil
}

// Read receives a message, as a pointer to its type. It never reads beyond the message. The error is io.EOF when the
// other side ended before a message began.
func Read(r io.Reader) (any, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length < 1 || length > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes, where 1 to %d may come", length, maxMessage)
	}
	newMessage, ok := types[head[4]]
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrUnknownType, head[4])
	}
	body := make([]byte, length-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("reading a message: %w", noEOF(err))
	}
	msg := newMessage()
	if err := decMode.Unmarshal(body, msg); err != nil {
		return nil, fmt.Errorf("decoding %T: %w", msg, err)
	}
	if err := check(msg); err != nil {
		return nil, fmt.Errorf("%T breaks a limit: %w", msg, err)
	}
	return msg, nil
}

// ReadAs is Read where a message of one type belongs; any other is an error.
func ReadAs[T any](r io.Reader) (v T, err error) {
	msg, err := Read(r)
	if err != nil {
		return v, err
	}
	v, ok := msg.(T)
	if !ok {
		return v, fmt.Errorf("got %T where %T belongs", msg, v)
	}
	return v, nil
}

// noEOF makes an end in the middle recognisable as one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
