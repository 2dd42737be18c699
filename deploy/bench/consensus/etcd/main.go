// Command etcd puts values of 256 bytes into an etcd cluster, with 64 writers over one connection to each endpoint, and
// prints how many were confirmed in a second, and the median and 99th percentile of the time that one took in
// milliseconds. It is the anchor of Kiosc's own figures, and a module of its own so that Kiosc's has none of etcd.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	writers = 64
	warmUp  = time.Second
	measure = 3 * time.Second
)

func main() {
	if err := run(strings.Split(os.Args[1], ",")); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

func run(endpoints []string) error {
	var clients []*clientv3.Client
	for _, endpoint := range endpoints {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second})
		if err != nil {
			return err
		}
		defer c.Close()
		clients = append(clients, c)
	}
	value := strings.Repeat("x", 256)
	begin := time.Now().Add(warmUp)
	end := begin.Add(measure)
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var running sync.WaitGroup
	for w := range writers {
		running.Add(1)
		go func() {
			defer running.Done()
			var mine []time.Duration
			for i := 0; time.Now().Before(end); i++ {
				at := time.Now()
				if _, err := clients[w%len(clients)].Put(context.Background(), fmt.Sprint("key-", w, "-", i%16), value); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				if at.After(begin) {
					mine = append(mine, time.Since(at))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		}()
	}
	running.Wait()
	if failed != nil || len(took) == 0 {
		return fmt.Errorf("%d puts were confirmed: %w", len(took), failed)
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Printf("%.0f %.1f %.1f %.1f\n", float64(len(took))/measure.Seconds(), ms(took[len(took)/2]), ms(took[len(took)*99/100]), ms(took[len(took)-1]))
	return nil
}
