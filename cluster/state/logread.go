package state

import "slices"

// maxLogRead bounds the text that one reading of a log unpacks, in bytes, beyond one chunk. Lines may be long.
const maxLogRead = 8 << 20

// LogTail returns the container's last n lines in time order, fewer where they are very long, and the place after which
// LogSince goes on.
func (tx *Tx) LogTail(container string, n int) ([]LogEntry, uint64, error) {
	meta, err := tx.LogMeta(container)
	if err != nil {
		return nil, 0, err
	}
	all, _, err := tx.logBefore(container, meta, meta.Next, n)
	return all[max(0, len(all)-n):], meta.Next, err
}

// LogBefore returns the lines stored before place, at most one chunk more than n lines, in time order, and the place of
// the first of them; it is the same place where there are none.
func (tx *Tx) LogBefore(container string, place uint64, n int) ([]LogEntry, uint64, error) {
	meta, err := tx.LogMeta(container)
	if err != nil {
		return nil, place, err
	}
	return tx.logBefore(container, meta, place, n)
}

func (tx *Tx) logBefore(container string, meta LogMeta, place uint64, n int) ([]LogEntry, uint64, error) {
	var chunks [][]LogEntry
	lines, size := 0, 0
	seq := min(place, meta.Next)
	for ; seq > meta.First && lines < n && size < maxLogRead; seq-- {
		entries, err := tx.logChunk(container, seq-1)
		if err != nil {
			return nil, place, err
		}
		chunks = append(chunks, entries)
		lines += len(entries)
		size += textSize(entries)
	}
	slices.Reverse(chunks)
	all := slices.Concat(chunks...)
	SortLog(all)
	return all, seq, nil
}

// LogSince returns the lines stored after place, at most one chunk more than n lines and fewer where they are very long,
// and the new place. more says that there are further ones already.
func (tx *Tx) LogSince(container string, place uint64, n int) (all []LogEntry, next uint64, more bool, err error) {
	meta, err := tx.LogMeta(container)
	if err != nil {
		return nil, 0, false, err
	}
	size := 0
	seq := max(place, meta.First)
	for ; seq < meta.Next && len(all) < n && size < maxLogRead; seq++ {
		entries, err := tx.logChunk(container, seq)
		if err != nil {
			return nil, 0, false, err
		}
		all = append(all, entries...)
		size += textSize(entries)
	}
	return all, seq, seq < meta.Next, nil
}

func textSize(entries []LogEntry) (n int) {
	for i := range entries {
		n += len(entries[i].Text)
	}
	return n
}

// SortLog brings lines in time order; those of one time stay as they are.
func SortLog(entries []LogEntry) {
	slices.SortStableFunc(entries, func(a, b LogEntry) int { return a.Time.Compare(b.Time) })
}

func (tx *Tx) logChunk(container string, seq uint64) ([]LogEntry, error) {
	chunk, ok, err := get[LogChunk](tx, bucketLogs, logKey(container, seq))
	if err != nil || !ok {
		return nil, err
	}
	return chunk.unpack()
}
