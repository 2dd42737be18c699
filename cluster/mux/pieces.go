package mux

import "sync"

const (
	// pieceSize is the largest body of a frame that this side sends, and what a reader gets at a time at most.
	pieceSize = 64 << 10
	// smallSize is enough for a request or an answer without much in it. Frames up to it pass through the read buffer.
	smallSize = 4 << 10
)

// piece is a part of what came in on a stream.
type piece struct {
	buf  []byte // of smallSize or pieceSize
	read int    // where the rest begins
	end  int    // of what is in buf
}

var (
	smallPieces = sync.Pool{New: func() any { return &piece{buf: make([]byte, smallSize)} }}
	largePieces = sync.Pool{New: func() any { return &piece{buf: make([]byte, pieceSize)} }}
)

// newPiece returns one with room for n bytes, or for pieceSize if that is less.
func newPiece(n int) *piece {
	if n <= smallSize {
		return smallPieces.Get().(*piece)
	}
	return largePieces.Get().(*piece)
}

// free takes a piece back.
func (p *piece) free() {
	p.read, p.end = 0, 0
	if len(p.buf) == smallSize {
		smallPieces.Put(p)
	} else {
		largePieces.Put(p)
	}
}

func (p *piece) rest() []byte { return p.buf[p.read:p.end] }
func (p *piece) room() []byte { return p.buf[p.end:] }

// pieces are what waits to be read.
type pieces struct {
	list  []*piece
	first int // of those in list that are not yet taken
	size  int // bytes in all of them
}

// add puts a piece at the end, which owns it from here on. Neighbours that fit into one piece become one, which bounds
// what small frames can take.
func (q *pieces) add(p *piece) {
	n := len(p.rest())
	q.size += n
	if last := q.last(); last != nil && n <= len(last.room()) {
		last.end += copy(last.room(), p.rest())
		p.free()
		return
	}
	q.list = append(q.list, p)
}

// copyIn is add for bytes that stay the caller's, up to smallSize.
func (q *pieces) copyIn(b []byte) {
	q.size += len(b)
	last := q.last()
	if last == nil || len(b) > len(last.room()) {
		size := len(b)
		if last != nil {
			size = pieceSize // for what is read later than it comes
		}
		last = newPiece(size)
		q.list = append(q.list, last)
	}
	last.end += copy(last.room(), b)
}

// last returns nil when there is none.
func (q *pieces) last() *piece {
	if q.first == len(q.list) {
		return nil
	}
	return q.list[len(q.list)-1]
}

// take removes the first piece, which the caller frees. There must be one.
func (q *pieces) take() *piece {
	p := q.list[q.first]
	q.list[q.first] = nil
	q.first++
	if q.first == len(q.list) {
		q.list, q.first = q.list[:0], 0
	}
	q.size -= len(p.rest())
	return p
}

// read copies what fits into b.
func (q *pieces) read(b []byte) (n int) {
	for n < len(b) && q.size > 0 {
		p := q.list[q.first]
		k := copy(b[n:], p.rest())
		p.read += k
		q.size -= k
		n += k
		if len(p.rest()) == 0 {
			q.take().free()
		}
	}
	return n
}

// drop frees all.
func (q *pieces) drop() {
	for q.size > 0 {
		q.take().free()
	}
	q.list = nil
}
