package auth

import (
	"strings"
	"sync"
	"time"
)

// allowance is how many wrong passwords may come at once, and after which time one more.
type allowance struct {
	burst int
	every time.Duration
}

// What one account, one address, and one account from one address are allowed. Somebody who guesses from one address
// therefore neither keeps the account's owner out, who is elsewhere, nor learns much. An address may be that of a whole
// institute, and is allowed more.
var (
	fromAddress = allowance{100, time.Second}
	toAccount   = allowance{100, 5 * time.Second}
	toBoth      = allowance{5, 10 * time.Second}
)

// maxGuessers bounds what Attempts remembers, of which each takes about 200 bytes. Above it nobody is let in until some
// are forgotten; it takes thousands of addresses to come there.
const maxGuessers = 100_000

// Attempts slows the guessing of passwords, on this manager alone and in memory. Its methods may be called by many
// goroutines at once. The zero value is ready.
type Attempts struct {
	mu      sync.Mutex
	guesses map[string]*guesses
	swept   time.Time
}

// guesses are one account's or address's. Each takes its share of the allowance with it until it is given back.
type guesses struct {
	allowance
	spent float64 // at time at
	at    time.Time
}

// Begin takes a login's share before its password is looked at, so that a flood costs no hashes. It answers how long to
// wait where nothing is left, and then takes nothing.
func (a *Attempts) Begin(account, address string, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sweep(now)
	if len(a.guesses) >= maxGuessers {
		return time.Second
	}
	all := a.of(account, address, now)
	for _, g := range all {
		g.recover(now)
		if over := g.spent + 1 - float64(g.burst); over > 0 {
			wait = max(wait, time.Duration(over*float64(g.every)))
		}
	}
	if wait > 0 {
		return wait
	}
	for _, g := range all {
		g.spent++
	}
	return 0
}

// Right gives the share of a login back whose password was right, or wasn't looked at.
func (a *Attempts) Right(account, address string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.of(account, address, now) {
		g.spent = max(0, g.spent-1)
	}
}

func (a *Attempts) of(account, address string, now time.Time) (all [3]*guesses) {
	account = strings.ToLower(account)
	for i, of := range [3]struct {
		key string
		allowance
	}{{"@" + address, fromAddress}, {"u" + account, toAccount}, {"b" + account + "\x00" + address, toBoth}} {
		g := a.guesses[of.key]
		if g == nil {
			if a.guesses == nil {
				a.guesses = make(map[string]*guesses)
			}
			g = &guesses{allowance: of.allowance, at: now}
			a.guesses[of.key] = g
		}
		all[i] = g
	}
	return all
}

func (g *guesses) recover(now time.Time) {
	g.spent = max(0, g.spent-now.Sub(g.at).Seconds()/g.every.Seconds())
	g.at = now
}

// sweep forgets who has everything back, at most once a second.
func (a *Attempts) sweep(now time.Time) {
	if now.Sub(a.swept) < time.Second {
		return
	}
	a.swept = now
	for key, g := range a.guesses {
		if g.recover(now); g.spent == 0 {
			delete(a.guesses, key)
		}
	}
}
