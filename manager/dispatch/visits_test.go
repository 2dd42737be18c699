package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOnlyConnectionsInUseAreVisits(t *testing.T) {
	v := newVisits()
	now := time.Now()
	first, second := v.enter("c", nil), v.enter("c", nil)
	require.Equal(t, map[string]int{"c": 2}, v.here(now))
	first.Rest()
	first.Rest()
	require.Equal(t, map[string]int{"c": 1}, v.here(now))
	second.Rest()
	require.Equal(t, map[string]int{"c": 1}, v.here(now), "it has just ended")
	require.Empty(t, v.here(time.Now().Add(2*visitLinger)))
}
