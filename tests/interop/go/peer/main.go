// The official Go client as a peer of the interoperability tests: carries out the commands of docs/interop.md that
// come on standard input, one a line, and prints what it receives, one event a line.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/message"
	"github.com/google/uuid"
)

// How long a request may take; reconnecting is part of it.
const limit = 20 * time.Second

var (
	printing sync.Mutex
	output   = os.Stdout
)

func emit(format string, args ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Fprintf(output, format+"\n", args...)
}

type peer struct {
	conn        *iscp.Conn
	upstreams   map[string]*iscp.Upstream
	downstreams map[string]*downstream

	calls    sync.Mutex
	lastCall *iscp.DownstreamCall
}

type downstream struct {
	*iscp.Downstream
	stop context.CancelFunc
	done sync.WaitGroup
}

func main() {
	// The client prints addresses to standard output.
	os.Stdout = os.Stderr
	p := &peer{upstreams: map[string]*iscp.Upstream{}, downstreams: map[string]*downstream{}}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		command, fields := parse(line)
		answer, err := p.run(command, fields)
		if err != nil {
			emit("error text=%s", escape(err.Error()))
		} else {
			emit("ok%s", answer)
		}
	}
}

func (p *peer) run(command string, f fields) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	switch command {
	case "connect":
		conn, err := connect(f)
		p.conn = conn
		return "", err
	case "up":
		up, err := p.openUp(ctx, f)
		if err != nil {
			return "", err
		}
		p.upstreams[f["as"]] = up
		return " stream_id=" + up.ID.String(), nil
	case "write":
		points, err := parsePoints(f["points"])
		if err != nil {
			return "", err
		}
		id := &message.DataID{Name: f["name"], Type: f["type"]}
		return "", p.upstreams[f["as"]].WriteDataPoints(ctx, id, points...)
	case "flush":
		return "", p.upstreams[f["as"]].Flush(ctx)
	case "close_up":
		var options []iscp.UpstreamCloseOption
		if f["close_session"] == "true" {
			options = append(options, iscp.WithUpstreamCloseEnableCloseSession())
		}
		return "", p.upstreams[f["as"]].Close(ctx, options...)
	case "down":
		down, err := p.openDown(ctx, f)
		if err != nil {
			return "", err
		}
		p.downstreams[f["as"]] = down
		return " stream_id=" + down.ID.String(), nil
	case "close_down":
		down := p.downstreams[f["as"]]
		err := down.Close(ctx)
		down.stop()
		down.done.Wait()
		return "", err
	case "base_time":
		return "", p.sendBaseTime(ctx, f)
	case "serve":
		go p.serve(f["answer"] == "true")
		go p.printReplies()
		return "", nil
	case "call", "call_wait":
		return p.call(ctx, f, command == "call_wait")
	case "reply":
		payload, err := hex.DecodeString(f["payload"])
		if err != nil {
			return "", err
		}
		p.calls.Lock()
		last := p.lastCall
		p.calls.Unlock()
		_, err = p.conn.SendReplyCall(ctx, &iscp.UpstreamReplyCall{
			RequestCallID:     last.CallID,
			DestinationNodeID: last.SourceNodeID,
			Name:              f["name"],
			Type:              f["type"],
			Payload:           payload,
		})
		return "", err
	case "close":
		return "", p.conn.Close(ctx)
	}
	return "", fmt.Errorf("unknown command %s", command)
}

var qosOf = map[string]message.QoS{
	"unreliable": message.QoSUnreliable,
	"reliable":   message.QoSReliable,
	"partial":    message.QoSPartial,
}

func dataIDs(text string) ([]*message.DataID, error) {
	var ids []*message.DataID
	for _, part := range split(text) {
		id, err := message.ParseDataID(part)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func milliseconds(text string) (time.Duration, error) {
	count, err := strconv.Atoi(text)
	return time.Duration(count) * time.Millisecond, err
}

func flushPolicy(text string) (iscp.UpstreamOption, error) {
	parts := strings.Split(text, ":")
	number := func(index int) int {
		if index >= len(parts) {
			return 0
		}
		value, _ := strconv.Atoi(parts[index])
		return value
	}
	interval := time.Duration(number(1)) * time.Millisecond
	switch parts[0] {
	case "none":
		return iscp.WithUpstreamFlushPolicyNone(), nil
	case "immediate":
		return iscp.WithUpstreamFlushPolicyImmediately(), nil
	case "interval":
		return iscp.WithUpstreamFlushPolicyIntervalOnly(interval), nil
	case "size":
		return iscp.WithUpstreamFlushPolicyBufferSizeOnly(uint32(number(1))), nil
	case "either":
		return iscp.WithUpstreamFlushPolicyIntervalOrBufferSize(interval, uint32(number(2))), nil
	}
	return nil, fmt.Errorf("unknown flush policy %s", text)
}

func (p *peer) openUp(ctx context.Context, f fields) (*iscp.Upstream, error) {
	ids, err := dataIDs(f["data_ids"])
	if err != nil {
		return nil, err
	}
	flush, err := flushPolicy(f["flush"])
	if err != nil {
		return nil, err
	}
	name := f["as"]
	options := []iscp.UpstreamOption{
		flush,
		iscp.WithUpstreamQoS(qosOf[f["qos"]]),
		iscp.WithUpstreamDataIDs(ids),
		iscp.WithUpstreamReceiveAckHooker(iscp.ReceiveAckHookerFunc(
			func(_ uuid.UUID, result iscp.UpstreamChunkResult) {
				// The client numbers codes in its own way, from success on.
				code := result.ResultCode - message.ResultCodeSucceeded
				emit("ack up=%s sequence_number=%d code=%d", name, result.SequenceNumber, code)
			})),
		iscp.WithUpstreamResumedEventHandler(iscp.UpstreamResumedEventHandlerFunc(
			func(*iscp.UpstreamResumedEvent) { emit("resumed up=%s", name) })),
	}
	if f["persist"] == "true" {
		options = append(options, iscp.WithUpstreamPersist())
	}
	if text, given := f["ack_interval_ms"]; given {
		interval, err := milliseconds(text)
		if err != nil {
			return nil, err
		}
		options = append(options, iscp.WithUpstreamAckInterval(interval))
	}
	if text, given := f["expiry_interval_ms"]; given {
		interval, err := milliseconds(text)
		if err != nil {
			return nil, err
		}
		options = append(options, iscp.WithUpstreamExpiryInterval(interval))
	}
	return p.conn.OpenUpstream(ctx, f["session_id"], options...)
}

func (p *peer) openDown(ctx context.Context, f fields) (*downstream, error) {
	ids, err := dataIDs(f["data_ids"])
	if err != nil {
		return nil, err
	}
	var filters []*message.DownstreamFilter
	for _, part := range split(f["filters"]) {
		node, text, _ := strings.Cut(part, "|")
		filter, err := message.ParseDataFilter(text)
		if err != nil {
			return nil, err
		}
		filters = append(filters, &message.DownstreamFilter{
			SourceNodeID: node,
			DataFilters:  []*message.DataFilter{filter},
		})
	}
	name := f["as"]
	options := []iscp.DownstreamOption{
		iscp.WithDownstreamQoS(qosOf[f["qos"]]),
		iscp.WithDownstreamDataIDs(ids),
		iscp.WithDownstreamResumedEventHandler(iscp.DownstreamResumedEventHandlerFunc(
			func(*iscp.DownstreamResumedEvent) { emit("resumed down=%s", name) })),
	}
	if f["omit_empty_chunk"] == "true" {
		options = append(options, iscp.WithDownstreamOmitEmptyChunk())
	}
	if text, given := f["expiry_interval_ms"]; given {
		interval, err := milliseconds(text)
		if err != nil {
			return nil, err
		}
		options = append(options, iscp.WithDownstreamExpiryInterval(interval))
	}
	opened, err := p.conn.OpenDownstream(ctx, filters, options...)
	if err != nil {
		return nil, err
	}
	reading, stop := context.WithCancel(context.Background())
	down := &downstream{Downstream: opened, stop: stop}
	down.done.Add(2)
	go down.printChunks(reading, name)
	go down.printMetadata(reading, name)
	return down, nil
}

func (d *downstream) printChunks(ctx context.Context, name string) {
	defer d.done.Done()
	for {
		chunk, err := d.ReadDataPoints(ctx)
		if err != nil {
			emit("down_ended down=%s text=%s", name, escape(err.Error()))
			return
		}
		var groups []string
		for _, group := range chunk.DataPointGroups {
			var points []string
			for _, point := range group.DataPoints {
				points = append(points, fmt.Sprintf("%d:%x", point.ElapsedTime.Nanoseconds(), point.Payload))
			}
			id := escape(group.DataID.Type) + ":" + escape(group.DataID.Name)
			groups = append(groups, id+"|"+strings.Join(points, ","))
		}
		emit("chunk down=%s source_node_id=%s session_id=%s stream_id=%s sequence_number=%d groups=%s", name,
			escape(chunk.UpstreamInfo.SourceNodeID), escape(chunk.UpstreamInfo.SessionID), chunk.UpstreamInfo.StreamID,
			chunk.SequenceNumber, strings.Join(groups, ";"))
	}
}

func (d *downstream) printMetadata(ctx context.Context, name string) {
	defer d.done.Done()
	for {
		metadata, err := d.ReadMetadata(ctx)
		if err != nil {
			return
		}
		emit("metadata down=%s source_node_id=%s %s", name, escape(metadata.SourceNodeID),
			metadataFields(metadata.Metadata))
	}
}

func filterText(filters []*message.DownstreamFilter) string {
	var all []string
	for _, filter := range filters {
		for _, data := range filter.DataFilters {
			all = append(all, fmt.Sprintf("%s|%s:%s", filter.SourceNodeID, data.Type, data.Name))
		}
	}
	return strings.Join(all, ",")
}

func metadataFields(metadata message.Metadata) string {
	switch m := metadata.(type) {
	case *message.BaseTime:
		return fmt.Sprintf("kind=base_time session_id=%s name=%s priority=%d elapsed_ns=%d base_time_ns=%d",
			escape(m.SessionID), escape(m.Name), m.Priority, m.ElapsedTime.Nanoseconds(), m.BaseTime.UnixNano())
	case *message.UpstreamOpen:
		return fmt.Sprintf("kind=upstream_open stream_id=%s session_id=%s qos=%s",
			m.StreamID, escape(m.SessionID), m.QoS)
	case *message.UpstreamAbnormalClose:
		return fmt.Sprintf("kind=upstream_abnormal_close stream_id=%s session_id=%s", m.StreamID, escape(m.SessionID))
	case *message.UpstreamResume:
		return fmt.Sprintf("kind=upstream_resume stream_id=%s session_id=%s qos=%s",
			m.StreamID, escape(m.SessionID), m.QoS)
	case *message.UpstreamNormalClose:
		return fmt.Sprintf(
			"kind=upstream_normal_close stream_id=%s session_id=%s total_points=%d final_sequence_number=%d",
			m.StreamID, escape(m.SessionID), m.TotalDataPoints, m.FinalSequenceNumber)
	case *message.DownstreamOpen:
		return fmt.Sprintf("kind=downstream_open stream_id=%s filters=%s qos=%s",
			m.StreamID, filterText(m.DownstreamFilters), m.QoS)
	case *message.DownstreamAbnormalClose:
		return fmt.Sprintf("kind=downstream_abnormal_close stream_id=%s", m.StreamID)
	case *message.DownstreamResume:
		return fmt.Sprintf("kind=downstream_resume stream_id=%s filters=%s qos=%s",
			m.StreamID, filterText(m.DownstreamFilters), m.QoS)
	case *message.DownstreamNormalClose:
		return fmt.Sprintf("kind=downstream_normal_close stream_id=%s", m.StreamID)
	}
	return fmt.Sprintf("kind=unknown text=%s", escape(fmt.Sprintf("%T", metadata)))
}

func (p *peer) sendBaseTime(ctx context.Context, f fields) error {
	priority, err := strconv.ParseUint(f["priority"], 10, 8)
	if err != nil {
		return err
	}
	elapsed, err := strconv.ParseInt(f["elapsed_ns"], 10, 64)
	if err != nil {
		return err
	}
	base, err := strconv.ParseInt(f["base_time_ns"], 10, 64)
	if err != nil {
		return err
	}
	var options []iscp.SendMetadataOption
	if f["persist"] == "true" {
		options = append(options, iscp.WithSendMetadataPersist())
	}
	return p.conn.SendBaseTime(ctx, &message.BaseTime{
		SessionID:   f["session_id"],
		Name:        f["name"],
		Priority:    uint8(priority),
		ElapsedTime: time.Duration(elapsed),
		BaseTime:    time.Unix(0, base),
	}, options...)
}

func callFields(source, name, callType string, payload []byte) string {
	return fmt.Sprintf("source_node_id=%s name=%s type=%s payload=%x", escape(source), escape(name), escape(callType),
		payload)
}

func (p *peer) serve(answer bool) {
	ctx := context.Background()
	for {
		call, err := p.conn.ReceiveCall(ctx)
		if err != nil {
			return
		}
		p.calls.Lock()
		p.lastCall = call
		p.calls.Unlock()
		emit("call call_id=%s %s", call.CallID, callFields(call.SourceNodeID, call.Name, call.Type, call.Payload))
		if !answer {
			continue
		}
		if _, err := p.conn.SendReplyCall(ctx, &iscp.UpstreamReplyCall{
			RequestCallID:     call.CallID,
			DestinationNodeID: call.SourceNodeID,
			Name:              call.Name,
			Type:              "reply",
			Payload:           append([]byte("re:"), call.Payload...),
		}); err != nil {
			fmt.Fprintln(os.Stderr, "reply:", err)
		}
	}
}

func (p *peer) printReplies() {
	for {
		reply, err := p.conn.ReceiveReplyCall(context.Background())
		if err != nil {
			return
		}
		emit("reply request_call_id=%s %s", reply.RequestCallID,
			callFields(reply.SourceNodeID, reply.Name, reply.Type, reply.Payload))
	}
}

func (p *peer) call(ctx context.Context, f fields, wait bool) (string, error) {
	payload, err := hex.DecodeString(f["payload"])
	if err != nil {
		return "", err
	}
	call := &iscp.UpstreamCall{DestinationNodeID: f["to"], Name: f["name"], Type: f["type"], Payload: payload}
	if !wait {
		id, err := p.conn.SendCall(ctx, call)
		return " call_id=" + id, err
	}
	reply, err := p.conn.SendCallAndWaitReplayCall(ctx, call)
	if err != nil {
		return "", err
	}
	return " " + callFields(reply.SourceNodeID, reply.Name, reply.Type, reply.Payload), nil
}
