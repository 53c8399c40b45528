// Prints what the node go-sensor sends: go run ./examples/receive ws://127.0.0.1:8080
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	iscp "github.com/aptpod/libiscp/bindings/go"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := receive(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func receive(ctx context.Context, url string) error {
	conn, err := iscp.Connect(ctx, iscp.ConnOptions{URL: url, NodeID: "go-viewer"})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	down, err := conn.OpenDownstream(ctx, iscp.DownstreamOptions{
		Filters: []iscp.Filter{{SourceNodeID: "go-sensor", Pattern: "#:room/#"}},
		QoS:     iscp.Reliable,
	})
	if err != nil {
		return err
	}
	defer down.Close(ctx)
	fmt.Println("listening")
	seen := 0
	for seen < 10 {
		chunk, err := down.Next(ctx) // or range over down.Chunks(), a channel
		if err != nil {
			return err
		}
		for _, group := range chunk.Groups {
			for _, point := range group.Points {
				fmt.Printf("%s %.1f s: %s\n", group.Name, point.Elapsed.Seconds(), point.Payload)
				seen++
			}
		}
	}
	return nil
}
