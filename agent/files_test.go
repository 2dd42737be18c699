package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/network"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"kiosc/cluster/wire"
)

// shelf has the small files of a manager, and for which containers they are.
type shelf struct {
	mu    sync.Mutex
	files map[string]*shelved
	asked []wire.FileHeader
	sent  int // whole files
	// spoil changes what is sent; nil for nothing bad.
	spoil func([]byte) []byte
}

type shelved struct {
	content    []byte
	containers []string // that may have it
}

func newShelf() *shelf { return &shelf{files: make(map[string]*shelved)} }

// put adds a file for containers and returns its id.
func (s *shelf) put(content []byte, containers ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := uuid.NewString()
	s.files[id] = &shelved{content, containers}
	return id
}

func (s *shelf) send(stream *wire.Stream, head wire.FileHeader) {
	defer stream.Close()
	s.mu.Lock()
	s.asked = append(s.asked, head)
	f := s.files[head.File]
	if f == nil || !slices.Contains(f.containers, head.Container) {
		s.mu.Unlock()
		wire.Write(stream, &wire.FileAnswer{Error: "not there", Missing: true})
		return
	}
	content := f.content
	s.mu.Unlock()
	hash := sha256.Sum256(content)
	if wire.Write(stream, &wire.FileAnswer{Hash: hash[:], Size: int64(len(content)), ContentType: "text/csv"}) != nil {
		return
	}
	if _, err := wire.ReadAs[*wire.FileWanted](stream); err != nil {
		return
	}
	s.mu.Lock()
	s.sent++
	if s.spoil != nil {
		content = s.spoil(content)
	}
	s.mu.Unlock()
	stream.Write(content)
}

func (s *shelf) transfers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

func (s *shelf) questions() []wire.FileHeader {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// fetcher is a container that makes requests when it is told to.
type fetcher struct {
	talk     *talk
	id       string
	dockerID string
}

// fetcher starts one in a project.
func (o *stream) fetcher(s *talk, project string) fetcher {
	o.w.Helper()
	id := randomHex(6)
	o.send(&wire.Order{Term: o.term, Container: id, Generation: 1, Placement: 1, Action: "start", Spec: wire.Spec{Project: project,
		Image: appImage, Command: []string{"fetch", "8080"}, Port: 8080, Timeout: time.Minute, FileHost: "kiosc-web"}})
	r := o.done(id, 1)
	require.Equal(o.w, "running", r.State, "%+v", r)
	return fetcher{s, id, r.Observed.DockerID}
}

type fetched struct {
	Error  string
	Status int
	Header http.Header
	Body   []byte
}

// ask makes a request from within the container. headers are names and values in turns.
func (f fetcher) ask(method, url string, headers ...string) (got fetched) {
	t := f.talk.w
	t.Helper()
	header := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	var stream *wire.Stream
	eventually(t.T, "the container's port", func() bool {
		var answer *wire.ProxyAnswer
		stream, answer = f.talk.visit(f.dockerID)
		return answer.Error == ""
	})
	require.NoError(t, json.NewEncoder(stream).Encode(map[string]any{"Method": method, "URL": url, "Header": header}))
	stream.SetReadDeadline(time.Now().Add(2 * patience))
	require.NoError(t, json.NewDecoder(stream).Decode(&got))
	stream.Kill()
	return got
}

func linkTo(file string) string {
	return "http://kiosc-web:8080/containers/file/serve/" + file + "/data.csv"
}

// gatewayOf is the address of a project's network on the Docker host.
func gatewayOf(t *testing.T, project string) string {
	t.Helper()
	n, err := docker.NetworkInspect(t.Context(), "kiosc-"+clusterID[:8]+"-"+project, network.InspectOptions{})
	require.NoError(t, err)
	return n.IPAM.Config[0].Gateway
}

func TestContainersFetchTheirFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.newBoss("m")
	a := w.start(w.config("", b.addr))
	s := b.session()
	o := s.lead(1)
	o.inventory()
	o.lease(1, time.Hour)
	project := "p-" + randomHex(4)
	one, other := o.fetcher(s, project), o.fetcher(s, "p-"+randomHex(4))
	content := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	hash := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(hash[:]) + `"`
	file := b.shelf.put(content, one.id)

	got := one.ask("HEAD", linkTo(file))
	require.Equal(t, []string{"200", "640000", etag}, []string{fmt.Sprint(got.Status), got.Header.Get("Content-Length"), got.Header.Get("Etag")}, got.Error)
	require.Zero(t, b.shelf.transfers(), "nothing is fetched for a HEAD")
	got = one.ask("GET", linkTo(file))
	require.Equal(t, 200, got.Status, got.Error)
	require.True(t, bytes.Equal(content, got.Body))
	require.Equal(t, []string{etag, "text/csv", "nosniff", "bytes"}, []string{got.Header.Get("Etag"), got.Header.Get("Content-Type"),
		got.Header.Get("X-Content-Type-Options"), got.Header.Get("Accept-Ranges")})
	require.Equal(t, wire.FileHeader{File: file, Container: one.id}, b.shelf.questions()[0])

	got = one.ask("GET", linkTo(file), "Range", "bytes=16-20")
	require.Equal(t, []string{"206", "01234", "bytes 16-20/640000"}, []string{fmt.Sprint(got.Status), string(got.Body), got.Header.Get("Content-Range")})
	require.Equal(t, 416, one.ask("GET", linkTo(file), "Range", "bytes=640000-").Status)
	require.Equal(t, 304, one.ask("GET", linkTo(file), "If-None-Match", etag).Status)
	got = one.ask("GET", linkTo(file), "If-Range", `"other"`, "Range", "bytes=1-2")
	require.Equal(t, []int{200, len(content)}, []int{got.Status, len(got.Body)})

	for _, c := range []struct {
		method, url string
		want        int
	}{
		{"GET", linkTo(uuid.NewString()), 404}, {"POST", linkTo(file), 405},
		{"GET", "http://kiosc-web:8080/", 404}, {"GET", linkTo(file) + "/more", 404},
		{"GET", "http://kiosc-web:8080/containers/file/serve/" + file, 404},
		{"GET", "http://kiosc-web:8080/containers/file/serve/../../../etc/passwd/x", 404},
		{"GET", "http://kiosc-web:8080/containers/proxy/" + file + "/", 404},
	} {
		require.Equal(t, c.want, one.ask(c.method, c.url).Status, c.url)
	}
	require.Equal(t, 1, b.shelf.transfers(), "the agent keeps what it has fetched")

	// Another project's container: by its own network, and by that of the file's project.
	require.Equal(t, 404, other.ask("GET", linkTo(file)).Status)
	asked := len(b.shelf.questions())
	mine, err := a.engine.Inspect(t.Context(), one.dockerID)
	require.NoError(t, err)
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Kiosc-Container"} {
		got = other.ask("GET", "http://"+gatewayOf(t, project)+":8080/containers/file/serve/"+file+"/x", header, mine.IP)
		require.NotEqual(t, 200, got.Status)
		require.Empty(t, bytes.Contains(got.Body, []byte("0123456789abcdef0")))
	}
	require.Len(t, b.shelf.questions(), asked, "the managers are not even asked")

	// The host itself is no container.
	answer, err := http.Get("http://" + gatewayOf(t, project) + ":8080/containers/file/serve/" + file + "/x")
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, 404, answer.StatusCode)
}

func TestFilesWithoutAManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.newBoss("m")
	w.start(w.config("", b.addr))
	s := b.session()
	o := s.lead(1)
	o.inventory()
	o.lease(1, time.Hour)
	one := o.fetcher(s, "p-"+randomHex(4))
	content := []byte("a,b\n1,2\n")
	file := b.shelf.put(content, one.id)

	b.shelf.mu.Lock()
	b.shelf.spoil = func(content []byte) []byte { return append([]byte("X"), content[1:]...) }
	b.shelf.mu.Unlock()
	require.Equal(t, 503, one.ask("GET", linkTo(file)).Status, "it arrived as something else")
	b.shelf.mu.Lock()
	b.shelf.spoil = func(content []byte) []byte { return content[:3] }
	b.shelf.mu.Unlock()
	require.Equal(t, 503, one.ask("GET", linkTo(file)).Status, "it broke off")
	b.shelf.mu.Lock()
	b.shelf.spoil = nil
	b.shelf.mu.Unlock()
	require.Equal(t, string(content), string(one.ask("GET", linkTo(file)).Body))

	b.restart()
	one.talk = b.session()
	o = one.talk.lead(2)
	o.inventory()
	o.lease(1, time.Hour)
	eventually(t, "the file by the new session", func() bool { return one.ask("GET", linkTo(file)).Status == 200 })
}

func TestAnAgentThatStartsAgainServesFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.newBoss("m")
	cfg := w.config("", b.addr)
	first := New(cfg)
	stop := w.runUntil(first)
	s := b.session()
	o := s.lead(1)
	o.inventory()
	o.lease(1, time.Hour)
	one := o.fetcher(s, "p-"+randomHex(4))
	file := b.shelf.put([]byte("kept"), one.id)
	require.Equal(t, 200, one.ask("GET", linkTo(file)).Status)
	stop()
	receive(t, "the end of the session", s.done)
	w.start(cfg)
	one.talk = b.session()
	o = one.talk.lead(2)
	o.inventory()
	o.lease(1, time.Hour)
	require.Equal(t, "kept", string(one.ask("GET", linkTo(file)).Body))
	require.Equal(t, 2, b.shelf.transfers(), "a cache begins empty")
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newFileCache(t.TempDir(), 100)
	require.NoError(t, c.clear())
	fills := 0
	get := func(content string) string {
		hash := sha256.Sum256([]byte(content))
		f, err := c.open(t.Context(), hash[:], int64(len(content)), func(to io.Writer) error {
			fills++
			_, err := io.WriteString(to, content)
			return err
		})
		require.NoError(t, err)
		defer f.Close()
		all, err := io.ReadAll(f)
		require.NoError(t, err)
		return string(all)
	}
	big := func(b byte) string { return string(bytes.Repeat([]byte{b}, 45)) }
	for _, want := range []string{big('a'), big('b'), big('a'), big('c'), big('a')} {
		require.Equal(t, want, get(want))
	}
	require.Equal(t, 3, fills, "the least recent one goes")
	get(big('b'))
	require.Equal(t, 4, fills)
	huge := string(bytes.Repeat([]byte("x"), 500))
	require.Equal(t, huge, get(huge))
	left, err := os.ReadDir(c.dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Empty(t, slices.Collect(maps.Keys(c.filled)))
}

func TestManyWantTheSameFile(t *testing.T) {
	t.Parallel()
	c := newFileCache(t.TempDir(), 100)
	require.NoError(t, c.clear())
	hash := sha256.Sum256([]byte("content"))
	var fills, failed int // under mu
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			f, err := c.open(t.Context(), hash[:], 7, func(to io.Writer) error {
				mu.Lock()
				fills++
				first := fills == 1
				mu.Unlock()
				if first {
					return io.ErrUnexpectedEOF // whoever waits tries for itself
				}
				_, err := io.WriteString(to, "content")
				return err
			})
			if err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
				return
			}
			f.Close()
		})
	}
	all.Wait()
	require.Equal(t, []int{2, 1}, []int{fills, failed})
}
