package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples has one of each message, with all fields set.
func samples() []any {
	at := time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)
	seen := Observed{Container: "c1", Generation: 7, Placement: 5, DockerID: "d1", ImageID: "sha256:1", State: "running", ExitCode: 3,
		IP: "10.1.2.3", HostPort: 32768, StartedAt: at, Interrupted: true}
	from := Cursor{Stdout: Place{Time: 1, Count: 2}, Stderr: Place{Time: 3, Count: 4}}
	to := Cursor{Stdout: Place{Time: at.UnixNano(), Count: 1}, Stderr: Place{Time: 3, Count: 4}}
	managers := []ManagerAddress{{ID: "m1", Address: "10.1.2.3:7443"}}
	return []any{
		&Hello{Versions: []uint16{1}, Name: "host-1", Build: "1.2.3", Labels: map[string]string{"disk": "ssd", "room": "2"},
			Engine: EngineInfo{Version: "28.5.2", APIVersion: "1.51", CPUs: 8, MemoryBytes: 1 << 35, NetworkMode: "docker-shared"}},
		&Welcome{Version: 1, ClusterID: "cl", NodeID: "n1", Managers: managers},
		&Managers{Managers: managers},
		&RenewRequest{CSR: []byte{1, 2}},
		&RenewAnswer{Certificate: []byte{3}, Refused: "no"},
		&InventoryRequest{},
		&Lease{Seq: 4, Duration: time.Minute},
		&LeaseAck{Seq: 4, DockerAway: true},
		&PeerHello{Versions: []uint16{1}, Build: "1.2.3"},
		&PeerStatus{Term: 9, Leader: "n1", Applied: 5, Last: 6, Build: "1.2.3"},
		&PeerAgents{Nodes: []string{"n1", "n2"}},
		&Visits{Open: map[string]int{"c1": 2}},
		&RelayAnswer{Error: "not connected"},
		&ForwardRequest{ID: 1, Origin: []byte("o"), Command: []byte("c")},
		&ForwardAnswer{ID: 1, Refused: "no leader"},
		&CallRequest{Method: "promote", Body: []byte("{}")},
		&CallAnswer{Code: "conflict", Message: "no", Body: []byte("{}")},
		&Refusal{Reason: "Upgrade this agent."},
		&Inventory{Containers: []Observed{seen, {Container: "c2"}}, Away: true},
		&Order{Term: 9, Container: "c1", Generation: 7, Placement: 5, Action: "start", Spec: Spec{Project: "p1", Image: "nginx:1.29",
			Command: []string{"a", "b c"}, Env: []string{"A=1", "B"}, Port: 80, Timeout: time.Minute, NoFileSoft: 1024, NoFileHard: 4096,
			LimitMilliCPUs: 1500, LimitMemory: 1 << 30, ReservedMemory: 1 << 29, FileHost: "kiosc-web"}},
		&Report{Seq: 11, Container: "c1", Generation: 7, Done: true, State: "running", Observed: seen,
			Lines: []TaskLine{{Time: at, Process: "task", Level: "info", Text: "Started — läuft"}}},
		&Ack{Seq: 11},
		&Progress{Container: "c1", Generation: 7, Text: "Pulling image", Percent: 40},
		&Remove{Term: 9, DockerIDs: []string{"d1", "d2"}},
		&LogsCursor{Cursor: from, MaxLine: MaxLine},
		&LogBatch{From: from, To: to, LeftOut: 3, Lines: []LogLine{{Time: at.UnixNano(), Text: "hello"}, {Time: 4, Stderr: true, Text: ""}}},
		&LogAck{Stored: true, Cursor: to},
		&Figures{Containers: []Figure{{Container: "c1", DockerID: "d1", Age: time.Second, CPU: 5e9, Memory: 1 << 28, MemoryLimit: 1 << 30,
			Received: 1000, Sent: 2000}}},
		&Stock{Error: "no", Containers: []StockContainer{{DockerID: "d1", Name: "web", Image: "nginx:1", State: "running", Cluster: "cl", Container: "c1"}},
			Networks: []StockNetwork{{ID: "n1", Name: "bridge", Driver: "bridge", Subnet: "10.0.0.0/8", Gateway: "10.0.0.1", Containers: []string{"web"}, Ours: true}},
			Images:   []StockImage{{ID: "i1", Tags: []string{"nginx:1"}, Size: 5, Used: 1}},
			Volumes:  []StockVolume{{Name: "v1", Driver: "local", Mountpoint: "/x", Used: 2, Ours: true}}},
		&RemoveStock{Images: []StockImageRemoval{{ID: "i1", Tags: []string{"nginx:1"}}}, Volumes: []string{"v1"}},
		&StockRemoved{ID: "i1", Refused: "no", Gone: true},
		&ProxyAnswer{Error: "connection refused", Refused: true},
		&FileAnswer{Error: "no such file", Missing: true, Hash: []byte{1, 2}, Size: 3, ContentType: "text/csv"},
		&FileWanted{},
		&JoinRequest{Versions: []uint16{1}, Secret: "s", Role: "manager", CSR: []byte{1, 2}, Name: "host-1", Address: "h:1", Former: []byte{5}},
		&JoinAnswer{NodeID: "n1", Certificate: []byte{3}, CA: []byte{4}, ClusterID: "cl", Managers: managers},
	}
}

func encoded(t testing.TB, msg any) []byte {
	var b bytes.Buffer
	require.NoError(t, Write(&b, msg))
	return b.Bytes()
}

func TestMessagesLookAsTheyAlwaysDid(t *testing.T) {
	require.Len(t, samples(), len(types), "each message needs a sample")
	for _, msg := range samples() {
		name := reflect.TypeOf(msg).Elem().Name()
		t.Run(name, func(t *testing.T) {
			got := encoded(t, msg)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, want, got)
			back, err := Read(bytes.NewReader(want))
			require.NoError(t, err)
			require.Equal(t, msg, back)
		})
	}
}

// TestAStockCarriesWhatCameLater: its sample is as older nodes send it.
func TestAStockCarriesWhatCameLater(t *testing.T) {
	empty := int64(0)
	stock := &Stock{Containers: []StockContainer{{Name: "kiosc", Self: true}}, Networks: []StockNetwork{{Name: "n", Containers: []string{"a"}, Used: 12}},
		Images: []StockImage{{ID: "i", Tags: []string{"a:1"}, Digests: []string{"a@sha256:0"}, Used: 12, UsedBy: []string{"a"}}},
		Volumes: []StockVolume{{Name: "v", UsedBy: []string{"a"}, Cluster: "c", Project: "p", Volume: "data", Size: &empty},
			{Name: "w", Anonymous: true}}}
	back, err := Read(bytes.NewReader(encoded(t, stock)))
	require.NoError(t, err)
	require.Equal(t, stock, back, "a size of nothing is not an unknown one")
}

func TestReadTakesNoByteTooMany(t *testing.T) {
	var all bytes.Buffer
	for _, msg := range samples() {
		require.NoError(t, Write(&all, msg))
	}
	all.WriteString("tail")
	r := iotest.OneByteReader(&all)
	for _, want := range samples() {
		got, err := Read(r)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	tail, _ := io.ReadAll(r)
	require.Equal(t, "tail", string(tail))
}

// countingWriter counts calls.
type countingWriter struct{ calls int }

func (w *countingWriter) Write(p []byte) (int, error) { w.calls++; return len(p), nil }

func TestWriteIsOneCall(t *testing.T) {
	for _, msg := range samples() {
		var w countingWriter
		require.NoError(t, Write(&w, msg))
		require.Equal(t, 1, w.calls)
	}
	require.Error(t, Write(io.Discard, Ack{}), "messages are pointers")
	require.Error(t, Write(io.Discard, nil))
}

func TestTruncatedMessagesAreRefused(t *testing.T) {
	for _, msg := range samples() {
		whole := encoded(t, msg)
		for n := range whole {
			_, err := Read(bytes.NewReader(whole[:n]))
			if n == 0 {
				require.Equal(t, io.EOF, err)
			} else {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%T cut after %d bytes", msg, n)
			}
		}
	}
}

// raw is a frame of any content.
func raw(code byte, body []byte) []byte {
	frame := make([]byte, 5, 5+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)+1))
	frame[4] = code
	return append(frame, body...)
}

func TestGarbageIsRefused(t *testing.T) {
	text := func(s string) []byte { b, _ := encMode.Marshal(map[string]string{"Reason": s}); return b }
	for name, frame := range map[string][]byte{
		"no type":           {0, 0, 0, 0, 1},
		"too long":          {0xff, 0xff, 0xff, 0xff, 1},
		"not CBOR":          raw(3, []byte{0xff, 0xff}),
		"not a map":         raw(3, []byte{0x83, 1, 2, 3}),
		"wrong type":        raw(7, []byte("\xa1cSeqax")),
		"invalid UTF-8":     raw(3, text("\xff")),
		"bytes after it":    raw(7, []byte("\xa1cSeq\x01\x01")),
		"a huge list":       raw(4, []byte("\xa1jContainers\x9b\x00\x00\x00\x00\xff\xff\xff\xff")),
		"nested too deeply": raw(7, append([]byte("\xa1aX"), append(bytes.Repeat([]byte{0x81}, 50), 1)...)),
	} {
		_, err := Read(bytes.NewReader(frame))
		require.Error(t, err, name)
	}
	_, err := Read(bytes.NewReader(raw(99, []byte{0xa0})))
	require.ErrorIs(t, err, ErrUnknownType)
}

func TestNeighbouringVersionsUnderstandEachOther(t *testing.T) {
	newer, err := encMode.Marshal(map[string]any{"Seq": 5, "Later": []int{1}})
	require.NoError(t, err)
	got, err := Read(bytes.NewReader(raw(7, newer)))
	require.NoError(t, err)
	require.Equal(t, &Ack{Seq: 5}, got)
	got, err = Read(bytes.NewReader(raw(7, []byte{0xa0})))
	require.NoError(t, err)
	require.Equal(t, &Ack{}, got)
}

func TestLimitsAreEnforcedOnWhatComes(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n+1) }
	labels := make(map[string]string)
	for i := range maxLabels + 1 {
		labels[fmt.Sprint(i)] = ""
	}
	for name, msg := range map[string]any{
		"name":       &Hello{Name: long(maxName)},
		"labels":     &Hello{Labels: labels},
		"containers": &Inventory{Containers: make([]Observed, maxContainers+1)},
		"id":         &Inventory{Containers: []Observed{{Container: long(maxID)}}},
		"task lines": &Report{Lines: make([]TaskLine, maxTaskLines+1)},
		"task line":  &Report{Lines: []TaskLine{{Process: "task", Text: long(maxText)}}},
		"progress":   &Progress{Text: long(maxText)},
		"log lines":  &LogBatch{Lines: make([]LogLine, maxLogLines+1)},
		"log line":   &LogBatch{Lines: []LogLine{{Text: long(MaxLine)}}},
		"figures":    &Figures{Containers: make([]Figure, maxContainers+1)},
		"figure's":   &Figures{Containers: []Figure{{DockerID: long(maxID)}}},
		"request":    &JoinRequest{CSR: make([]byte, maxCSR+1)},
	} {
		var b bytes.Buffer
		err := Write(&b, msg)
		if err == nil {
			_, err = Read(&b)
		}
		require.Error(t, err, name)
	}
	require.Error(t, Write(io.Discard, &Refusal{Reason: long(maxMessage)}))
}

func TestNegotiate(t *testing.T) {
	v, ok := Negotiate([]uint16{7, 1})
	require.True(t, ok)
	require.EqualValues(t, 1, v)
	_, ok = Negotiate([]uint16{2})
	require.False(t, ok)
	_, ok = Negotiate(nil)
	require.False(t, ok)
}

func FuzzRead(f *testing.F) {
	for _, msg := range samples() {
		f.Add(encoded(f, msg))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		msg, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := Write(&again, msg); err != nil {
			t.Fatalf("%#v was read and can't be written: %v", msg, err)
		}
		if _, err := Read(&again); err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%#v can't be read again: %v", msg, err)
		}
	})
}

func TestALoginIsNotPrinted(t *testing.T) {
	order := &Order{Spec: Spec{Registry: &RegistryLogin{Host: "registry.example.org", User: "ana", Password: "s3cret"},
		Volumes: []Volume{{Name: "data", Path: "/data"}}, GPUs: -1, PullPolicy: "always"}}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(form, order), "s3cret", form)
		require.NotContains(t, fmt.Sprintf(form, order.Spec.Registry), "s3cret", form)
	}
	back, err := Read(bytes.NewReader(encoded(t, order)))
	require.NoError(t, err)
	require.Equal(t, order, back)
}
