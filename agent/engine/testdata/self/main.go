// Command self tells which Docker containers an engine takes for Kiosc itself, one name a line.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"kiosc/agent/engine"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := engine.Open(ctx, engine.Config{ClusterID: "test", NodeID: "test", NetworkMode: engine.ModeHost})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	stock, err := e.Stock(ctx, false)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range stock.Containers {
		if c.Self {
			fmt.Println(c.Name)
		}
	}
}
