// Bytesapp is an app for tests that takes and gives any number of bytes. GET /?n=N answers with N bytes, of which chunked=1
// doesn't tell the number beforehand; POST / takes bytes and answers with their number. GET /fetch?url=U answers with the
// status and the body that U answers it with, and X-Fetch-* headers go to U without that prefix. What its arguments lead to
// is fetched at the start, and written to the log.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	http.HandleFunc("GET /{$}", give)
	http.HandleFunc("POST /{$}", take)
	http.HandleFunc("GET /fetch", fetch)
	for _, url := range os.Args[1:] {
		status, body := ask(url, http.Header{})
		fmt.Printf("%s: %d %s\n", url, status, body)
	}
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func give(w http.ResponseWriter, r *http.Request) {
	left, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil {
		http.Error(w, "n has to be a number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.FormValue("chunked") == "" {
		w.Header().Set("Content-Length", strconv.FormatInt(left, 10))
	}
	piece := make([]byte, 1<<20)
	for left > 0 {
		n, err := w.Write(piece[:min(left, int64(len(piece)))])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

func take(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	fmt.Fprint(w, n)
}

func fetch(w http.ResponseWriter, r *http.Request) {
	header := http.Header{}
	for name, values := range r.Header {
		if to, ok := strings.CutPrefix(name, "X-Fetch-"); ok {
			header[to] = values
		}
	}
	status, body := ask(r.FormValue("url"), header)
	fmt.Fprintf(w, "%d %s", status, body)
}

func ask(url string, header http.Header) (status int, body string) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	r.Header = header
	answer, err := (&http.Client{Timeout: 5 * time.Second}).Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}
