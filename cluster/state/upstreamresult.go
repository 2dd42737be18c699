package state

import "time"

// TopicUpstream wakes those who look at remote sites, and at the sync with the upstream one.
const TopicUpstream = "upstream"

// MaxUpstreamSkips is how many of the things that could not be taken over are kept by name.
const MaxUpstreamSkips = 100

// UpstreamResult is what the syncs with the upstream site have come to. It changes with what there is to tell, not with each
// sync.
type UpstreamResult struct {
	// Error is a sentence that says why the last sync took nothing, or not everything, over; empty where it went well.
	Error string
	// Skips are the first MaxUpstreamSkips things that the last sync that went well could not take over, Skipped counts all.
	Skips   []UpstreamSkip
	Skipped int
	// Since is when this was first so.
	Since time.Time
	// ChangedAt is when a sync has last changed anything here; the others say what.
	ChangedAt              time.Time
	Users, Projects, Roles UpstreamCounts
}

// UpstreamSynced replaces the result.
type UpstreamSynced struct {
	Result UpstreamResult
}

func (c *UpstreamSynced) apply(tx *Tx) (any, error) {
	f := fieldErrors{}
	checkText(f, "error", c.Result.Error, MaxTaskSummary)
	if len(c.Result.Skips) > MaxUpstreamSkips {
		f.add("skips", "Too many things are named that could not be taken over.")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	tx.touch(TopicUpstream)
	return nil, tx.put(bucketMeta, metaUpstream, c.Result)
}

var metaUpstream = []byte("upstream")

// UpstreamResult returns what the syncs have come to; ok is false where there was none.
func (tx *Tx) UpstreamResult() (r UpstreamResult, ok bool, err error) {
	return get[UpstreamResult](tx, bucketMeta, metaUpstream)
}
