package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Level is a log line's weight.
type Level string

const (
	Debug   Level = "debug" // for superusers only
	Info    Level = "info"
	Warning Level = "warning"
	Severe  Level = "error"
)

// Process says which part of Kiosc wrote a log line.
type Process string

const (
	ProcessObject Process = "object" // a container was made or changed
	ProcessAction Process = "action" // a user asked for an action
	ProcessTask   Process = "task"   // Kiosc carries out an action
	ProcessDocker Process = "docker" // the container's own output, and Docker's answers
	ProcessProxy  Process = "proxy"  // access to the app
)

// LogEntry is one line of a container's log.
type LogEntry struct {
	Time    time.Time `cbor:"t"`
	Level   Level     `cbor:"l,omitempty"` // empty for info
	User    string    `cbor:"u,omitempty"` // user name; empty for nobody
	Process Process   `cbor:"p"`
	Text    string    `cbor:"x"`
}

// Format gives the line as people know it: [YYYY-MM-DD HH:MM:SS LEVEL user] (Process) message.
func (e LogEntry) Format(zone *time.Location) string {
	level, user, process := e.Level, e.User, e.Process
	if level == "" {
		level = Info
	}
	if user == "" {
		user = "anonymous"
	}
	if process == "" {
		process = ProcessObject
	}
	return fmt.Sprintf("[%s %s %s] (%s%s) %s", e.Time.In(zone).Format(time.DateTime), strings.ToUpper(string(level)),
		user, strings.ToUpper(string(process[:1])), process[1:], e.Text)
}

// LogChunk is a run of log lines as stored.
type LogChunk struct {
	Zstd  bool
	Data  []byte // CBOR of []LogEntry
	Lines int
}

// Cursor is a place in a Docker log: for each output stream the time of the last stored line, and how many lines with
// that very time are stored.
type Cursor struct {
	Stdout, Stderr Place
}

// Place is a place in the log of one output stream.
type Place struct {
	Time  int64 // nanoseconds since 1970
	Count uint32
}

// LogMeta tells what a container's log consists of.
type LogMeta struct {
	First, Next uint64 // chunks First … Next-1 exist
	Lines       int
	Bytes       int
	// Docker has the cursors of the last few Docker containers, newest last.
	Docker []DockerLog
	// LastDocker is the time of the newest line that a Docker container wrote.
	LastDocker time.Time
	// LeftOut counts the lines that were left out because a Docker container wrote too many at once.
	LeftOut uint64 `cbor:",omitempty"`
}

// DockerLog is how far the log of one Docker container is stored.
type DockerLog struct {
	ID     string
	Cursor Cursor
}

// keptCursors is enough for a restart's old and new Docker container and a late batch of one before.
const keptCursors = 4

var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)))
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(64<<20)))
	})
)

// compressFrom is the size from which a chunk is compressed; below it the gain isn't worth the frame.
const compressFrom = 512

// PackLog makes a chunk of lines for LogAppended, compressed where that pays.
func PackLog(entries []LogEntry) (LogChunk, error) {
	chunk, err := packPlain(entries)
	if err == nil && len(chunk.Data) >= compressFrom {
		chunk.Zstd, chunk.Data = true, zstdEncoder().EncodeAll(chunk.Data, nil)
	}
	return chunk, err
}

// packPlain doesn't compress: what a compressor makes differs between its versions, so none runs within Apply.
func packPlain(entries []LogEntry) (LogChunk, error) {
	raw, err := encMode.Marshal(entries)
	if err != nil {
		return LogChunk{}, fmt.Errorf("encoding log lines: %w", err)
	}
	return LogChunk{Data: raw, Lines: len(entries)}, nil
}

func (c *LogChunk) unpack() (entries []LogEntry, err error) {
	raw := c.Data
	if c.Zstd {
		if raw, err = zstdDecoder().DecodeAll(raw, nil); err != nil {
			return nil, fmt.Errorf("decompressing log lines: %w", err)
		}
	}
	if err := decMode.Unmarshal(raw, &entries); err != nil {
		return nil, fmt.Errorf("decoding log lines: %w", err)
	}
	return entries, nil
}

// LogAppended stores lines that a Docker container wrote, if From is where its stored log ends. Applied, it returns a
// LogOutcome: a batch that comes twice is stored once, and one that leaves a gap isn't stored.
type LogAppended struct {
	Container string
	Node      string
	DockerID  string
	From, To  Cursor
	Last      time.Time // of the newest line
	Chunk     LogChunk
	// LeftOut is how many lines were left out at this place.
	LeftOut uint64 `cbor:",omitempty"`
}

// LogOutcome says whether a batch was stored and where the stored log ends now.
type LogOutcome struct {
	Stored bool
	Cursor Cursor
}

func (c *LogAppended) apply(tx *Tx) (any, error) {
	cont, ok, err := tx.Container(c.Container)
	if err != nil || !ok || cont.Node != c.Node {
		return nil, orNotFound(err, "There is no such container on this node.")
	}
	meta, err := tx.LogMeta(c.Container)
	if err != nil {
		return nil, err
	}
	if at := meta.cursor(c.DockerID); at != c.From {
		return LogOutcome{Cursor: at}, nil
	}
	meta.setCursor(c.DockerID, c.To)
	if c.Last.After(meta.LastDocker) {
		meta.LastDocker = c.Last
	}
	meta.LeftOut += c.LeftOut
	if err := tx.appendChunk(c.Container, &meta, c.Chunk); err != nil {
		return nil, err
	}
	return LogOutcome{Stored: true, Cursor: c.To}, nil
}

func (m *LogMeta) cursor(dockerID string) Cursor {
	for _, d := range m.Docker {
		if d.ID == dockerID {
			return d.Cursor
		}
	}
	return Cursor{}
}

func (m *LogMeta) setCursor(dockerID string, at Cursor) {
	for i := range m.Docker {
		if m.Docker[i].ID == dockerID {
			m.Docker[i].Cursor = at
			return
		}
	}
	m.Docker = append(m.Docker, DockerLog{ID: dockerID, Cursor: at})
	if len(m.Docker) > keptCursors {
		m.Docker = slices.Delete(m.Docker, 0, len(m.Docker)-keptCursors)
	}
}

// log adds lines of Kiosc's own.
func (tx *Tx) log(container string, entries ...LogEntry) error {
	if len(entries) == 0 {
		return nil
	}
	meta, err := tx.LogMeta(container)
	if err != nil {
		return err
	}
	chunk, err := packPlain(entries)
	if err != nil {
		return err
	}
	return tx.appendChunk(container, &meta, chunk)
}

func (tx *Tx) appendChunk(container string, meta *LogMeta, chunk LogChunk) error {
	tx.touch(TopicContainer(container))
	if err := tx.put(bucketLogs, logKey(container, meta.Next), chunk); err != nil {
		return err
	}
	meta.Next++
	meta.Lines += chunk.Lines
	meta.Bytes += len(chunk.Data)
	limits, err := tx.LogLimits()
	if err != nil {
		return err
	}
	for n := 0; n < maxTrim && limits.exceeded(meta) && meta.First+1 < meta.Next; n++ {
		oldest, ok, err := get[LogChunk](tx, bucketLogs, logKey(container, meta.First))
		if err != nil {
			return err
		}
		if ok {
			meta.Lines -= oldest.Lines
			meta.Bytes -= len(oldest.Data)
		}
		if err := tx.delete(bucketLogs, logKey(container, meta.First)); err != nil {
			return err
		}
		meta.First++
	}
	return tx.put(bucketLogMeta, []byte(container), meta)
}

func (tx *Tx) removeLog(container string) error {
	c := tx.btx.Bucket(bucketLogs).Cursor()
	prefix := append([]byte(container), 0)
	var keys [][]byte
	for k, _ := c.Seek(prefix); k != nil && hasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, slices.Clone(k))
	}
	for _, k := range keys {
		if err := tx.delete(bucketLogs, k); err != nil {
			return err
		}
	}
	return tx.delete(bucketLogMeta, []byte(container))
}

func logKey(container string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(container), 0), seq)
}

// LogMeta returns what the container's log consists of.
func (tx *Tx) LogMeta(container string) (LogMeta, error) {
	meta, _, err := get[LogMeta](tx, bucketLogMeta, []byte(container))
	return meta, err
}

// LogCursor returns how far the log of a Docker container is stored.
func (tx *Tx) LogCursor(container, dockerID string) (Cursor, error) {
	meta, err := tx.LogMeta(container)
	return meta.cursor(dockerID), err
}
