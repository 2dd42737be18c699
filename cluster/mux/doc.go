// Package mux carries many streams over one connection. It speaks the yamux protocol, version 0, and so understands every
// node that has hashicorp/yamux in its place; the tests hold it against that.
//
// It owns frames, flow control, the order in which frames leave, and the signs of life of a connection. It knows nothing of
// what streams carry.
//
// It exists because of what a byte costs. A frame goes from its writer straight into the buffer that leaves next, without
// another goroutine, a timer or a second copy; one write carries what all streams have gathered meanwhile. What comes in is
// read into pieces that the stream's reader gets as they are.
//
// # Frames
//
//	offset 0   1 byte    version, 0
//	offset 1   1 byte    type: 0 data, 1 window update, 2 ping, 3 going away
//	offset 2   2 bytes   flags: 1 opens a stream, 2 accepts it, 4 ends one direction, 8 resets
//	offset 4   4 bytes   the stream; those of the dialling side are odd; 0 for types 2 and 3
//	offset 8   4 bytes   data: length of the body that follows; window update: bytes more that may be sent;
//	                     ping: a number that its answer repeats; going away: the reason
//
// Numbers are big-endian. Either side of a new stream may send 256 KiB before it was told of a larger window.
//
// # What must always hold
//
//   - A frame is never cut by another one, and after the end of a direction nothing more of that direction is sent.
//   - What a stream has buffered is at most twice its window, however it was cut into frames, and a stream on which
//     nothing waits has no buffer. The buffer of frames that wait to leave is bounded.
//   - Writers that wait for room in that buffer get it in the order in which they came, a frame at a time, so that one stream
//     with much to send can't keep out the others. Frames without data never wait for room.
//   - What the other side does wrong ends the session and nothing else.
package mux
