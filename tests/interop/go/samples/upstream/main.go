// Sends a base time and some points, and waits until all are acknowledged.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/message"
	"github.com/google/uuid"

	"interop/samples/dial"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	conn, err := dial.Connect(ctx, dial.Parse())
	if err != nil {
		log.Fatal(err)
	}
	session := uuid.NewString()
	acknowledged := make(chan iscp.UpstreamChunkResult, 10)
	up, err := conn.OpenUpstream(ctx, session,
		iscp.WithUpstreamPersist(),
		iscp.WithUpstreamFlushPolicyImmediately(),
		iscp.WithUpstreamReceiveAckHooker(iscp.ReceiveAckHookerFunc(
			func(_ uuid.UUID, result iscp.UpstreamChunkResult) { acknowledged <- result })))
	if err != nil {
		log.Fatal(err)
	}
	start := time.Now()
	if err := conn.SendBaseTime(ctx, &message.BaseTime{
		SessionID: session,
		Name:      "edge_rtc",
		BaseTime:  start,
	}, iscp.WithSendMetadataPersist()); err != nil {
		log.Fatal(err)
	}
	id := &message.DataID{Name: "greeting", Type: "string"}
	for i := 1; i <= 3; i++ {
		point := &message.DataPoint{ElapsedTime: time.Since(start), Payload: fmt.Appendf(nil, "hello %d", i)}
		if err := up.WriteDataPoints(ctx, id, point); err != nil {
			log.Fatal(err)
		}
		result := <-acknowledged
		log.Printf("acknowledged %d: %s", result.SequenceNumber, result.ResultString)
	}
	if err := up.Close(ctx, iscp.WithUpstreamCloseEnableCloseSession()); err != nil {
		log.Fatal(err)
	}
	if err := conn.Close(ctx); err != nil {
		log.Fatal(err)
	}
}
