// Bytesapp is an app for tests that takes and gives any number of bytes. GET /?n=N answers with N bytes, of which chunked=1
// doesn't tell the number beforehand; POST / takes bytes and answers with their number.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
)

func main() {
	http.HandleFunc("GET /{$}", give)
	http.HandleFunc("POST /{$}", take)
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
