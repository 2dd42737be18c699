package figures

import (
	"math"
	"time"
)

// Usage is what one or several containers use.
type Usage struct {
	// CPU is in CPUs: 0.5 is half of one.
	CPU float64 `json:"cpu"`
	// Memory is in bytes.
	Memory float64 `json:"memory"`
	// Received and Sent are in bytes a second.
	Received float64 `json:"received"`
	Sent     float64 `json:"sent"`
}

func (u *Usage) add(v Usage) {
	u.CPU += v.CPU
	u.Memory += v.Memory
	u.Received += v.Received
	u.Sent += v.Sent
}

// Point is the use at a time, in seconds since 1970.
type Point struct {
	At int64 `json:"at"`
	Usage
}

// Report tells of one container, or of several together.
type Report struct {
	// Now is nil where it isn't known: nothing runs, or the leader has just begun.
	Now *Usage `json:"now"`
	// MemoryLimit is the sum of what Docker lets the containers have, in bytes; without a limit that is what the host has.
	MemoryLimit uint64 `json:"memory_limit"`
	// Containers is how many of them Now has.
	Containers int `json:"containers"`
	// Restarts is how often they were seen to start anew since the first of Points.
	Restarts int `json:"restarts"`
	// Step is the time between two Points in seconds; one that is missing wasn't known. They are in order of time.
	Step   int     `json:"step"`
	Points []Point `json:"points"`
}

// use is the mean use between two samples, with the memory of the later.
func use(a, b sample) Usage {
	seconds := float64(b.at-a.at) / 1000
	return Usage{CPU: float64(b.cpu-a.cpu) / 1e9 / seconds, Memory: float64(b.memory),
		Received: float64(b.received-a.received) / seconds, Sent: float64(b.sent-a.sent) / seconds}
}

// sum reports on containers together. Each one's samples have times of their own; a point's use is that of the samples
// between which it lies.
func (b *Book) sum(ids []string, now time.Time) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	step := b.cfg.Every.Milliseconds()
	last := now.UnixMilli() / step * step
	r := Report{Step: int(math.Round(b.cfg.Every.Seconds())), Points: []Point{}}
	var totals [Kept]Usage
	var known [Kept]bool
	for _, id := range ids {
		s := b.of[id]
		if s == nil || s.len() < 2 {
			continue
		}
		if newest := s.last(); now.UnixMilli()-newest.at <= b.fresh() && newest.at-s.at(s.len()-2).at <= b.fresh() {
			if r.Now == nil {
				r.Now = &Usage{}
			}
			r.Now.add(use(s.at(s.len()-2), newest))
			r.MemoryLimit += s.limit
			r.Containers++
		}
		r.Restarts += len(s.restarts)
		b.spread(s, last, &totals, &known)
	}
	for i := range totals {
		if known[i] {
			r.Points = append(r.Points, Point{At: (last - int64(Kept-1-i)*step) / 1000, Usage: totals[i]})
		}
	}
	return r
}

// fresh is how old the last figure may be, in milliseconds, for it to say what is used now. It is also the longest time
// between two figures for which a mean says something: Docker may be slow, and one may be missing.
func (b *Book) fresh() int64 { return (b.cfg.Every * 5 / 2).Milliseconds() }

// spread adds a container's use to the points that it is known at. The last samples stand for the time since, as long as
// they are fresh: the next ones are still to come.
func (b *Book) spread(s *series, last int64, totals *[Kept]Usage, known *[Kept]bool) {
	step := b.cfg.Every.Milliseconds()
	from := last - (Kept-1)*step
	for i := 1; i < s.len(); i++ {
		a, z := s.at(i-1), s.at(i)
		if z.at-a.at > b.fresh() {
			continue
		}
		until := z.at
		if i == s.len()-1 {
			until = max(until, min(last, z.at+b.fresh()))
		}
		u := use(a, z)
		// The points after a.at, up to until.
		for k := max(0, (a.at-from)/step+1); k < Kept && from+k*step <= until; k++ {
			if from+k*step <= a.at {
				continue
			}
			totals[k].add(u)
			known[k] = true
		}
	}
}

// Recent tells what a container has used in the time up to now: seconds of one CPU, and bytes that went over its networks
// in either direction. ok is false where that isn't known for all of that time: on a manager that doesn't lead or has led
// for less, and where the container didn't run. over is at most what Kept
// figures cover, an hour by default.
func (b *Book) Recent(container string, over time.Duration) (cpuSeconds float64, networkBytes uint64, ok bool) {
	return b.recent(container, over, time.Now())
}

func (b *Book) recent(container string, over time.Duration, now time.Time) (cpuSeconds float64, networkBytes uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.of[container]
	if s == nil || now.UnixMilli()-s.last().at > b.fresh() {
		return 0, 0, false
	}
	since := now.Add(-over).UnixMilli()
	last := s.last()
	for i := s.len() - 1; i >= 0; i-- {
		one := s.at(i)
		if i+1 < s.len() && s.at(i+1).at-one.at > b.fresh() {
			return 0, 0, false
		}
		if one.at <= since {
			return float64(last.cpu-one.cpu) / 1e9, last.received - one.received + last.sent - one.sent, true
		}
	}
	return 0, 0, false
}
