package consensus

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// hclogLogger is the logger that Raft wants.
type hclogLogger struct{ hclog.InterceptLogger }

// newLogger brings Raft's messages to ours. What Raft calls information is of use only to one who debugs Raft.
func newLogger(to *slog.Logger) *hclogLogger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(sink{to})
	return &hclogLogger{l}
}

// firstElection is how every start of a cluster begins; it is no reason to worry.
const firstElection = "heartbeat timeout reached, starting election"

type sink struct{ to *slog.Logger }

func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	at := slog.LevelDebug
	switch {
	case level == hclog.Error:
		at = slog.LevelError
	case level == hclog.Warn && msg != firstElection:
		at = slog.LevelWarn
	}
	s.to.Log(context.Background(), at, "raft: "+msg, args...)
}
