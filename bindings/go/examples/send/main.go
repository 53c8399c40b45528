// Sends ten points: go run ./examples/send ws://127.0.0.1:8080
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	iscp "github.com/aptpod/libiscp/bindings/go"
)

func main() {
	if err := send(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the server confirmed every point")
}

func send(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := iscp.Connect(ctx, iscp.ConnOptions{URL: url, NodeID: "go-sensor"})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	up, err := conn.OpenUpstream(ctx, iscp.UpstreamOptions{SessionID: "go-example", QoS: iscp.Reliable})
	if err != nil {
		return err
	}
	id, err := up.DataID("room/temperature", "string")
	if err != nil {
		return err
	}
	for i := 0; i < 10; i++ { // ten points a second on the session's clock
		value := fmt.Sprintf("%.1f", 20+float64(i)/10)
		if err := up.Write(id, time.Duration(i)*100*time.Millisecond, []byte(value)); err != nil {
			return err
		}
	}
	return up.Close(ctx) // waits until the server confirmed everything
}
