package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// badRequest is a request the proxy does not serve because of its form.
type badRequest struct {
	status int
	reason string
}

func (b *badRequest) Error() string { return b.reason }

func malformed(reason string) error { return &badRequest{http.StatusBadRequest, reason} }

// chunked is the length of a body whose length its chunks tell.
const chunked = -1

// request is a request head that passed the strict check.
type request struct {
	raw    []byte // as it came
	method string
	target string      // a path with its query, as it came, or "*"
	minor  int         // of HTTP/1.x
	host   string      // as the sender named it
	header http.Header // without Host and what frames the body
	length int64       // of the body in bytes, or chunked

	scheme  string // http or https, as the sender reached Kiosc
	address string // the sender's
}

// body reads a request's body and knows when all of it was read.
type body interface {
	io.Reader
	done() bool
}

// readHead reads a head up to and with its empty line.
func readHead(br *bufio.Reader) ([]byte, error) {
	raw := make([]byte, 0, max(512, br.Buffered()))
	start, skipped := 0, false
	for {
		part, err := br.ReadSlice('\n')
		if len(raw)+len(part) > maxHead {
			return nil, &badRequest{http.StatusRequestHeaderFieldsTooLarge, "the head of the request is too large"}
		}
		raw = append(raw, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		line := raw[start:]
		switch {
		case !bytes.HasSuffix(line, []byte("\r\n")):
			return nil, malformed("a line does not end with CR LF")
		case len(line) > 2:
			start = len(raw)
		case start > 0:
			return raw, nil
		case skipped:
			return nil, malformed("the head of the request is empty")
		default:
			// One empty line before a request is tolerated: old clients send
			// it after a body.
			raw, skipped = raw[:0], true
		}
	}
}

// parseHead checks a head strictly. What it accepts has one meaning only, for
// the proxy, for fasthttp and for whatever runs in a container.
func parseHead(raw []byte) (*request, error) {
	text, ok := strings.CutSuffix(string(raw), "\r\n\r\n")
	if !ok {
		return nil, malformed("the head of the request is incomplete")
	}
	first, rest, more := strings.Cut(text, "\r\n")
	fields := strings.Count(text, "\r\n")
	req := &request{raw: raw, header: make(http.Header, fields)}
	authority, err := req.parseLine(first)
	if err != nil {
		return nil, err
	}
	values := make([]string, 0, fields) // one allocation for the first value of each
	for more {
		var line string
		line, rest, more = strings.Cut(rest, "\r\n")
		name, value, err := parseField(line)
		if err != nil {
			return nil, err
		}
		if have := req.header[name]; have != nil {
			req.header[name] = append(have, value)
			continue
		}
		values = append(values, value)
		req.header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if err := req.parseHost(authority); err != nil {
		return nil, err
	}
	return req, req.parseLength()
}

// parseLine reads the request line. It returns the authority of a target in
// absolute form, which is what clients of a forward proxy send.
func (r *request) parseLine(line string) (authority string, err error) {
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if isVersion(version) && version != "HTTP/1.1" && version != "HTTP/1.0" {
		return "", &badRequest{http.StatusHTTPVersionNotSupported, "the version is not HTTP/1.0 or HTTP/1.1"}
	}
	absolute := false
	if scheme, after, ok := strings.Cut(target, "://"); ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) {
		absolute = true
		end := strings.IndexAny(after+"/", "/?#")
		authority, target = after[:end], after[end:]
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	switch {
	case !isToken(method) || method == http.MethodConnect:
		return "", malformed("the method is not served")
	case absolute && !isHost(authority):
		return "", malformed("the host in the target is not valid")
	case !isTarget(target) && (target != "*" || method != http.MethodOptions):
		return "", malformed("the target is not a path")
	case !isVersion(version):
		return "", malformed("the version is not HTTP/1.0 or HTTP/1.1")
	}
	r.method, r.target = method, target
	if version == "HTTP/1.1" {
		r.minor = 1
	}
	return authority, nil
}

func isVersion(v string) bool {
	digits, ok := strings.CutPrefix(v, "HTTP/")
	return ok && len(digits) == 3 && digits[0] >= '0' && digits[0] <= '9' && digits[1] == '.' && digits[2] >= '0' && digits[2] <= '9'
}

func isTarget(t string) bool {
	if !strings.HasPrefix(t, "/") {
		return false
	}
	for i := 0; i < len(t); i++ {
		if t[i] <= ' ' || t[i] == 0x7f || t[i] == '#' {
			return false
		}
	}
	return true
}

// parseField splits a field line of a head or of trailers.
func parseField(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isToken(name) {
		// Covers folded lines and spaces before the colon as well.
		return "", "", malformed("a header field has no valid name")
	}
	for i := 0; i < len(value); i++ {
		if value[i] < ' ' && value[i] != '\t' || value[i] == 0x7f {
			return "", "", malformed("a header field contains a control character")
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t"), nil
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' {
			continue
		}
		if !strings.ContainsRune("!#$%&'*+.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// parseHost takes the Host out of the header. Where the target names a host
// too, both must be the same: which one counts is a matter of opinion.
func (r *request) parseHost(authority string) error {
	hosts := r.header["Host"]
	if len(hosts) > 1 || len(hosts) == 0 && r.minor == 1 {
		return malformed("the request needs exactly one Host")
	}
	if len(hosts) == 0 {
		r.host = authority
		return nil
	}
	if !isHost(hosts[0]) {
		return malformed("the Host is not valid")
	}
	if authority != "" && !strings.EqualFold(authority, hosts[0]) {
		return malformed("the Host is not the one of the target")
	}
	r.host = hosts[0]
	delete(r.header, "Host")
	return nil
}

func isHost(h string) bool {
	return h != "" && !strings.ContainsAny(h, " \t/\\?#@,<>\"%")
}

func (r *request) parseLength() error {
	lengths, codings := r.header["Content-Length"], r.header["Transfer-Encoding"]
	delete(r.header, "Content-Length")
	delete(r.header, "Transfer-Encoding")
	switch {
	case len(codings) > 0 && len(lengths) > 0:
		return malformed("both Content-Length and Transfer-Encoding")
	case len(codings) > 0:
		if len(codings) > 1 || !strings.EqualFold(codings[0], "chunked") || r.minor == 0 {
			return malformed("the Transfer-Encoding is not chunked")
		}
		r.length = chunked
	case len(lengths) > 1:
		return malformed("more than one Content-Length")
	case len(lengths) == 1:
		n, err := strconv.ParseUint(lengths[0], 10, 62)
		if err != nil {
			return malformed("the Content-Length is not a number")
		}
		r.length = int64(n)
	}
	return nil
}

// keepAlive tells whether the client wants to send another request.
func (r *request) keepAlive() bool {
	if r.minor == 0 {
		return hasToken(r.header, "Connection", "keep-alive") && !hasToken(r.header, "Connection", "close")
	}
	return !hasToken(r.header, "Connection", "close")
}

// upgrade returns the protocol the client asks to change to, or "".
func (r *request) upgrade() string {
	if r.minor == 1 && hasToken(r.header, "Connection", "upgrade") {
		return r.header.Get("Upgrade")
	}
	return ""
}

// isRepeatable tells whether the request may be sent again when the connection
// to the app ends before an answer.
func (r *request) isRepeatable() bool {
	switch r.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return r.length == 0
	}
	return false
}

func (r *request) body(br *bufio.Reader) body {
	if r.length == chunked {
		return &chunkBody{br: br}
	}
	return &lengthBody{br: br, left: r.length}
}

// split finds the container and the rest of the target after its id.
func split(target string) (id, rest string, ok bool) {
	after, ok := strings.CutPrefix(target, Prefix)
	if !ok || len(after) < 36 || !isUUID(after[:36]) {
		return "", "", false
	}
	id, rest = after[:36], after[36:]
	return id, rest, rest == "" || rest[0] == '/' || rest[0] == '?'
}

func isUUID(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 36
}

// lengthBody reads a body of known length.
type lengthBody struct {
	br   *bufio.Reader
	left int64
}

func (b *lengthBody) done() bool { return b.left == 0 }

func (b *lengthBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.br.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// chunkBody reads a chunked body and yields it chunked, checked and written
// in one canonical way: extensions are dropped, and so are trailers which
// would be dropped among the headers.
type chunkBody struct {
	br      *bufio.Reader
	pending []byte
	left    int64
	state   int
	trailer int
}

const (
	chunkSize = iota
	chunkData
	chunkEnd
	chunkTrailer
	chunkDone
)

func (b *chunkBody) done() bool { return b.state == chunkDone && len(b.pending) == 0 }

func (b *chunkBody) Read(p []byte) (n int, err error) {
	for n < len(p) && !b.done() && (n == 0 || b.ready()) {
		var m int
		switch {
		case len(b.pending) > 0:
			m = copy(p[n:], b.pending)
			b.pending = b.pending[m:]
		case b.state == chunkData:
			m, err = b.br.Read(p[n:min(int64(len(p)), int64(n)+b.left)])
			b.left -= int64(m)
			if b.left == 0 {
				b.state = chunkEnd
			}
		default:
			err = b.line()
		}
		n += m
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	if n == 0 && b.done() {
		return 0, io.EOF
	}
	return n, nil
}

// ready tells whether the next step is possible without waiting for bytes, so
// that what was read so far is passed on at once.
func (b *chunkBody) ready() bool {
	if len(b.pending) > 0 {
		return true
	}
	buffered, _ := b.br.Peek(b.br.Buffered())
	if b.state == chunkData {
		return len(buffered) > 0
	}
	return bytes.IndexByte(buffered, '\n') >= 0
}

func (b *chunkBody) line() error {
	line, err := b.br.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return malformed("a line between chunks is too long")
		}
		return err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return malformed("a line between chunks does not end with CR LF")
	}
	switch b.state {
	case chunkSize:
		return b.size(text)
	case chunkEnd:
		if text != "" {
			return malformed("a chunk is longer than it says")
		}
		b.pending, b.state = []byte("\r\n"), chunkSize
		return nil
	}
	return b.trailerLine(text)
}

func (b *chunkBody) size(text string) error {
	digits, ext, _ := strings.Cut(text, ";")
	digits = strings.TrimRight(digits, " \t")
	n, err := strconv.ParseUint(digits, 16, 60)
	if err != nil || len(digits) > 16 || len(ext) > 4<<10 || strings.ContainsAny(ext, "\r\x00") {
		return malformed("the size of a chunk is not a number")
	}
	b.pending = fmt.Appendf(nil, "%x\r\n", n)
	b.left, b.state = int64(n), chunkData
	if n == 0 {
		b.state = chunkTrailer
	}
	return nil
}

func (b *chunkBody) trailerLine(text string) error {
	if text == "" {
		b.pending, b.state = []byte("\r\n"), chunkDone
		return nil
	}
	if b.trailer += len(text); b.trailer > maxHead {
		return malformed("the trailers are too large")
	}
	name, value, err := parseField(text)
	if err != nil {
		return err
	}
	if !isUntrusted(name) && !noTrailer[name] {
		b.pending = []byte(name + ": " + value + "\r\n")
	}
	return nil
}

// noTrailer are fields that frame, route or authenticate and have no meaning
// behind a body; a backend that merges trailers into headers must not see them.
var noTrailer = map[string]bool{
	"Authorization": true, "Connection": true, "Content-Length": true, "Cookie": true, "Host": true,
	"Keep-Alive": true, "Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Origin": true, "Expect": true, "Set-Cookie": true,
}
