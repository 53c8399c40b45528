//go:build multi

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/transport"
	"github.com/aptpod/iscp-go/transport/multi"
	"github.com/aptpod/iscp-go/transport/websocket"
)

// One connection over several links: links=URL,URL selector=round-robin|min-rtt|ecf.
func connectMulti(f fields, options []iscp.ConnOption) (*iscp.Conn, error) {
	dialers := map[transport.TransportID]transport.Dialer{}
	var ids []transport.TransportID
	for i, url := range strings.Split(f["links"], ",") {
		scheme, address, path, err := splitURL(url)
		if err != nil {
			return nil, err
		}
		dialer := websocket.NewDialer(websocket.DialerConfig{Path: path, EnableTLS: scheme == "wss"})
		id := transport.TransportID(fmt.Sprintf("link-%d", i))
		ids = append(ids, id)
		dialers[id] = transport.DialerFunc(func(config transport.DialConfig) (transport.Transport, error) {
			config.Address = address
			// Soon enough for a test to see it.
			milliseconds := 300
			config.PingInterval = &milliseconds
			return dialer.Dial(config)
		})
	}
	config := iscp.MultiTransportConfig{
		DialerMap:            dialers,
		MaxReconnectAttempts: -1,
		ReconnectInterval:    100 * time.Millisecond,
	}
	switch f["selector"] {
	case "round-robin":
		config.TransportSelector = multi.NewRoundRobinSelector(ids)
	case "min-rtt":
		config.TransportSelector = multi.NewMinRTTSelector()
	case "ecf":
		config.TransportSelector = multi.NewECFSelector()
	default:
		return nil, fmt.Errorf("unknown selector %s", f["selector"])
	}
	return iscp.Connect("", iscp.TransportNameMulti, append(options, iscp.WithConnMultiTransport(&config))...)
}
