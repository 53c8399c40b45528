package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/message"
	"github.com/aptpod/iscp-go/transport/compress"
	"github.com/aptpod/iscp-go/transport/quic"
	"github.com/aptpod/iscp-go/transport/websocket"
	"github.com/google/uuid"
)

// The data type of all points.
const dataType = "bench"

func connect(o *options, nodeID string) (*iscp.Conn, error) {
	encoding := iscp.EncodingNameProtobuf
	if o.json {
		encoding = iscp.EncodingNameJSON
	}
	settings := []iscp.ConnOption{
		iscp.WithConnNodeID(nodeID),
		iscp.WithConnEncoding(encoding),
		iscp.WithConnCompress(compress.Config{
			Enable:                 o.compression > 0,
			Level:                  o.compression,
			DisableContextTakeover: true,
		}),
		// A ping waits behind what is sent as fast as possible: that is no reason to give up the connection.
		iscp.WithConnPingTimeout(answerLimit),
		iscp.WithConnReconnectedEventHandler(iscp.ReconnectedEventHandlerFunc(func(*iscp.ReconnectedEvent) {
			fatal(errors.New("the connection was lost"))
		})),
	}
	scheme, rest, _ := strings.Cut(o.url, "://")
	address, path, _ := strings.Cut(rest, "/")
	switch scheme {
	case "ws":
		settings = append(settings, iscp.WithConnWebSocket(websocket.DialerConfig{Path: "/" + path}))
		return iscp.Connect(address, iscp.TransportNameWebSocket, settings...)
	case "quic":
		trust, err := trusted(o.ca)
		if err != nil {
			return nil, err
		}
		settings = append(settings, iscp.WithConnQUIC(quic.DialerConfig{TLSConfig: trust}))
		return iscp.Connect(address, iscp.TransportNameQUIC, settings...)
	}
	return nil, unsupported(o.url + ": the client is measured over ws:// and quic://")
}

func trusted(ca string) (*tls.Config, error) {
	if ca == "" {
		return &tls.Config{InsecureSkipVerify: true}, nil
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no certificate", ca)
	}
	return &tls.Config{RootCAs: pool}, nil
}

func qos(o *options) message.QoS {
	if o.reliable {
		return message.QoSReliable
	}
	return message.QoSUnreliable
}

func dataIDs(o *options) []*message.DataID {
	ids := make([]*message.DataID, o.ids)
	for i := range ids {
		ids[i] = &message.DataID{Name: fmt.Sprintf("d%d", i), Type: dataType}
	}
	return ids
}

// An upstream that knows what of it is acknowledged.
type sender struct {
	upstream *iscp.Upstream
	ids      []*message.DataID
	written  uint64
	acked    atomic.Uint64
	refused  atomic.Bool
	changed  chan struct{}
}

// oneByOne: whether every point is a chunk that is acknowledged by itself.
func openSender(ctx context.Context, conn *iscp.Conn, o *options, oneByOne bool) (*sender, error) {
	s := &sender{ids: dataIDs(o), changed: make(chan struct{}, 1)}
	settings := []iscp.UpstreamOption{
		iscp.WithUpstreamQoS(qos(o)),
		iscp.WithUpstreamDataIDs(s.ids),
		iscp.WithUpstreamReceiveAckHooker(iscp.ReceiveAckHookerFunc(s.onAck)),
	}
	if oneByOne {
		settings = append(settings, iscp.WithUpstreamAckInterval(0))
	}
	if oneByOne || o.immediate {
		settings = append(settings, iscp.WithUpstreamFlushPolicyImmediately())
	}
	upstream, err := conn.OpenUpstream(ctx, o.session, settings...)
	s.upstream = upstream
	return s, err
}

func (s *sender) onAck(_ uuid.UUID, result iscp.UpstreamChunkResult) {
	if result.ResultCode == message.ResultCodeSucceeded {
		s.acked.Add(1)
	} else {
		s.refused.Store(true)
	}
	select {
	case s.changed <- struct{}{}:
	default:
		// The one who waits has been told already.
	}
}

// One call of the client for one point.
func (s *sender) write(ctx context.Context, point int64, payload []byte) error {
	s.written++
	return s.upstream.WriteDataPoints(ctx, s.ids[point%int64(len(s.ids))], &message.DataPoint{
		ElapsedTime: time.Duration(point) * time.Microsecond,
		Payload:     payload,
	})
}

// Waits until so many chunks are acknowledged; an error when nothing is acknowledged for long.
func (s *sender) waitAcked(chunks uint64) error {
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	for !s.refused.Load() {
		if s.acked.Load() >= chunks {
			return nil
		}
		select {
		case <-s.changed:
			limit.Reset(answerLimit)
		case <-limit.C:
			return fmt.Errorf("%d of %d chunks were acknowledged", s.acked.Load(), chunks)
		}
	}
	return errors.New("the broker refused a chunk")
}

// Flushes, and waits until everything is acknowledged where acknowledgements cannot be lost.
func (s *sender) finish(ctx context.Context, o *options) error {
	if err := s.upstream.Flush(ctx); err != nil {
		return err
	}
	state := s.upstream.State()
	if state.TotalDataPoints != s.written {
		return fmt.Errorf("%d of %d points were sent", state.TotalDataPoints, s.written)
	}
	if !o.reliable {
		return nil
	}
	return s.waitAcked(uint64(state.LastIssuedSequenceNumber))
}

// A downstream of everything that the node of the session sends.
func openDownstream(ctx context.Context, conn *iscp.Conn, o *options) (*iscp.Downstream, error) {
	filters := []*message.DownstreamFilter{{
		SourceNodeID: o.session,
		DataFilters:  []*message.DataFilter{{Name: "#", Type: "#"}},
	}}
	downstream, err := conn.OpenDownstream(ctx, filters, iscp.WithDownstreamQoS(qos(o)),
		iscp.WithDownstreamDataIDs(dataIDs(o)))
	if err != nil {
		return nil, err
	}
	// What nobody reads would hold up the points.
	go func() {
		for {
			if _, err := downstream.ReadMetadata(ctx); err != nil {
				return
			}
		}
	}()
	return downstream, nil
}

// Reads the points that the options announce and calls arrived for the payloads of every chunk.
func readPoints(ctx context.Context, downstream *iscp.Downstream, o *options,
	arrived func(payloads []*message.DataPoint, at time.Time)) (count int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// One timer that is set anew, rather than one for every read.
	limit := time.AfterFunc(answerLimit, stop)
	defer limit.Stop()
	for count < o.points {
		chunk, err := downstream.ReadDataPoints(ctx)
		if errors.Is(err, context.Canceled) {
			if !o.reliable && count > 0 {
				return count, nil
			}
			return count, fmt.Errorf("%d of %d points arrived", count, o.points)
		}
		if err != nil {
			return count, err
		}
		at := time.Now()
		if o.reliable {
			limit.Reset(answerLimit)
		} else {
			limit.Reset(lossLimit)
		}
		for _, group := range chunk.DataPointGroups {
			for _, point := range group.DataPoints {
				if len(point.Payload) != o.payload {
					return count, fmt.Errorf("a point of %d bytes arrived", len(point.Payload))
				}
			}
			count += int64(len(group.DataPoints))
			arrived(group.DataPoints, at)
		}
	}
	if count > o.points {
		return count, fmt.Errorf("more than the %d points of the measurement arrived", o.points)
	}
	return count, nil
}
