package main

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/transport/compress"
	"github.com/aptpod/iscp-go/transport/quic"
	"github.com/aptpod/iscp-go/transport/websocket"
	"github.com/aptpod/iscp-go/transport/webtransport"
)

func connect(f fields) (*iscp.Conn, error) {
	compression, err := compression(f["compression"])
	if err != nil {
		return nil, err
	}
	encoding := iscp.EncodingNameProtobuf
	if f["encoding"] == "json" {
		encoding = iscp.EncodingNameJSON
	}
	options := []iscp.ConnOption{
		iscp.WithConnNodeID(f["node_id"]),
		iscp.WithConnEncoding(encoding),
		iscp.WithConnCompress(compression),
		iscp.WithConnReconnectedEventHandler(iscp.ReconnectedEventHandlerFunc(
			func(*iscp.ReconnectedEvent) { emit("reconnected") })),
	}
	if token, given := f["token"]; given {
		options = append(options, iscp.WithConnTokenSource(iscp.NewStaticTokenSource(token)))
	}
	if text, given := f["ping_interval_ms"]; given {
		interval, err := milliseconds(text)
		if err != nil {
			return nil, err
		}
		options = append(options, iscp.WithConnPingInterval(interval))
	}
	if f["links"] != "" {
		return connectMulti(f, options)
	}
	scheme, address, path, err := splitURL(f["url"])
	if err != nil {
		return nil, err
	}
	insecure := &tls.Config{InsecureSkipVerify: true}
	transport := iscp.TransportNameWebSocket
	switch scheme {
	case "ws", "wss":
		config := websocket.DialerConfig{Path: path, EnableTLS: scheme == "wss", TLSConfig: insecure}
		options = append(options, iscp.WithConnWebSocket(config))
	case "quic":
		transport = iscp.TransportNameQUIC
		options = append(options, iscp.WithConnQUIC(quic.DialerConfig{TLSConfig: insecure}))
	case "webtransport":
		transport = iscp.TransportNameWebTransport
		config := webtransport.DialerConfig{Path: path, TLSConfig: insecure}
		options = append(options, iscp.WithConnWebTransport(config))
	}
	return iscp.Connect(address, transport, options...)
}

func splitURL(url string) (scheme, address, path string, err error) {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		return "", "", "", fmt.Errorf("not a URL: %s", url)
	}
	address, path, _ = strings.Cut(rest, "/")
	return scheme, address, path, nil
}

// As docs/options.md describes it: none, per-message:LEVEL or context-takeover:LEVEL:WINDOW_BITS.
func compression(text string) (compress.Config, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 {
		return compress.Config{}, nil
	}
	level, err := strconv.Atoi(parts[1])
	config := compress.Config{Enable: true, Level: level, DisableContextTakeover: parts[0] == "per-message"}
	if err == nil && len(parts) > 2 {
		config.WindowBits, err = strconv.Atoi(parts[2])
	}
	return config, err
}
