package main

import (
	"fmt"
	"slices"
	"strings"
)

// table has the results of one workload by target, a result for each round.
type table struct {
	title, unit string
	of          map[string][]result
}

// spread is of one figure over the rounds.
type spread struct{ median, min, max float64 }

func over(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	slices.Sort(values)
	middle := values[len(values)/2]
	if len(values)%2 == 0 {
		middle = (middle + values[len(values)/2-1]) / 2
	}
	return spread{middle, values[0], values[len(values)-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.median, s.min, s.max) }

func (t *table) median(name string, of func(result) float64) float64 {
	var values []float64
	for _, r := range t.of[name] {
		values = append(values, of(r))
	}
	return over(values).median
}

// ratio is of the rates in the same round, which is when both had the same machine.
func (t *table) ratio(a, b string) string {
	var values []float64
	for i := range min(len(t.of[a]), len(t.of[b])) {
		if t.of[b][i].rate > 0 {
			values = append(values, t.of[a][i].rate/t.of[b][i].rate)
		}
	}
	if len(values) == 0 || a == b {
		return "–"
	}
	return over(values).String()
}

// cpu is empty for the way that no process of ours carries.
func (t *table) cpu(name string) string {
	if name == "direct" {
		return "–"
	}
	return fmt.Sprintf("%.1f", t.median(name, func(r result) float64 { return r.cpu }))
}

// print writes Markdown.
func (t *table) print(names []string) {
	fmt.Printf("\n### %s\n\n| | %s | p50 ms | p99 ms | CPU µs each | of direct | of nginx | of nginx-pair | of caddy |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n", t.title, t.unit)
	for _, name := range names {
		cells := []string{name,
			fmt.Sprintf("%.0f", t.median(name, func(r result) float64 { return r.rate })),
			fmt.Sprintf("%.2f", t.median(name, func(r result) float64 { return r.p50 })),
			fmt.Sprintf("%.2f", t.median(name, func(r result) float64 { return r.p99 })),
			t.cpu(name),
			t.ratio(name, "direct"), t.ratio(name, "nginx"), t.ratio(name, "nginx-pair"), t.ratio(name, "caddy")}
		fmt.Println("| " + strings.Join(cells, " | ") + " |")
	}
}
