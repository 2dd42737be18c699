package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	floodEvery = 20 * time.Millisecond
	floodLine  = 100 // bytes
)

// Flood prints numbered lines, so many MB a second or as many as w takes, until ctx ends or w fails.
func Flood(ctx context.Context, w io.Writer, megabytes int) {
	tick := time.NewTicker(floodEvery)
	defer tick.Stop()
	var batch bytes.Buffer
	for n := 0; ; {
		batch.Reset()
		for range megabytes * 1e6 / floodLine * int(floodEvery) / int(time.Second) {
			n++
			number := fmt.Sprint("flood ", n, " ")
			batch.WriteString(number)
			batch.WriteString(strings.Repeat("x", floodLine-1-len(number)))
			batch.WriteByte('\n')
		}
		if _, err := w.Write(batch.Bytes()); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
