// Connects with a token of an OAuth2 server, and closes.
package main

import (
	"context"
	"log"

	"interop/samples/dial"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	conn, err := dial.Connect(ctx, dial.Parse())
	if err != nil {
		log.Fatal(err)
	}
	log.Print("connected")
	if err := conn.Close(ctx); err != nil {
		log.Fatal(err)
	}
	log.Print("closed")
}
