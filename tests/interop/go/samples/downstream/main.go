// Prints what a node sends, until its upstream is closed; here it is the node that the program itself connects as.
package main

import (
	"context"
	"log"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/message"

	"interop/samples/dial"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithCancel(context.Background())
	flags := dial.Parse()
	conn, err := dial.Connect(ctx, flags)
	if err != nil {
		log.Fatal(err)
	}
	filters := []*message.DownstreamFilter{message.NewDownstreamFilterAllFor(flags.Node)}
	down, err := conn.OpenDownstream(ctx, filters, iscp.WithDownstreamQoS(message.QoSReliable))
	if err != nil {
		log.Fatal(err)
	}
	log.Print("subscribed")
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for {
			chunk, err := down.ReadDataPoints(ctx)
			if err != nil {
				return
			}
			for _, group := range chunk.DataPointGroups {
				for _, point := range group.DataPoints {
					log.Printf("chunk %d: %s %s", chunk.SequenceNumber, group.DataID, point.Payload)
					if string(point.Payload) == "hello 3" {
						return
					}
				}
			}
		}
	}()
	for closed := false; !closed; {
		received, err := down.ReadMetadata(ctx)
		if err != nil {
			log.Fatal(err)
		}
		switch metadata := received.Metadata.(type) {
		case *message.UpstreamOpen:
			log.Print("upstream opened")
		case *message.BaseTime:
			log.Printf("base time %s", metadata.Name)
		case *message.UpstreamNormalClose:
			log.Printf("upstream closed after %d points", metadata.TotalDataPoints)
			closed = true
		}
	}
	<-printed
	if err := down.Close(ctx); err != nil {
		log.Fatal(err)
	}
	cancel()
	if err := conn.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
}
