package iscp

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"time"
	"unsafe"
)

// UpstreamOptions say how points are sent.
type UpstreamOptions struct {
	SessionID string
	QoS       QoS
	DataIDs   []string // announced from the start, as "type:name"

	// OnAck is told what the server said about every chunk, on a thread of the library, in order. It should return
	// soon; what waits for the server fails inside it with ErrInCallback.
	OnAck func(Ack)
	// OnEvent is told what became of the stream after the connection was lost, as OnAck is told.
	OnEvent func(StreamEvent)
	// OnClosed is told how the stream ended, once and last, as OnAck is told.
	OnClosed func(UpstreamEnd)

	// Extra are options by their name in docs/options.md, such as "flush_policy".
	Extra map[string]string
}

// StreamEventKind says what happened to a stream whose connection was lost.
type StreamEventKind int32

// The kinds of events of streams.
const (
	// StreamResumed goes on where it was.
	StreamResumed StreamEventKind = C.ISCP_STREAM_EVENT_RESUMED
	// StreamReopened was forgotten by the server, and another was opened in its place.
	StreamReopened StreamEventKind = C.ISCP_STREAM_EVENT_REOPENED
)

// StreamEvent is what happened to a stream whose connection was lost.
type StreamEvent struct {
	Kind           StreamEventKind
	StreamID       [16]byte // that it has now
	FormerStreamID [16]byte // that it had
}

// UpstreamEnd is how an upstream ended.
type UpstreamEnd struct {
	Err               error // nil when this program closed it and the server confirmed everything
	UndeliveredPoints uint64
	UndeliveredChunks []uint32 // numbers of the chunks that were sent and not confirmed
}

// Ack is what the server said about a chunk.
type Ack struct {
	SequenceNumber uint32
	ResultCode     int32 // 0 when the server took it
	ResultString   string
}

// DataID is a data id of one upstream.
type DataID uint32

// DataPoint is a time and a payload.
type DataPoint struct {
	Elapsed time.Duration // since the time origin of the session
	Payload []byte
}

// UpstreamPoint is a data point and what it belongs to.
type UpstreamPoint struct {
	ID DataID
	DataPoint
}

// Upstream is a stream of points from this node.
type Upstream struct {
	// ID that the server gave the stream.
	ID     [16]byte
	handle *handle
}

// OpenUpstream opens a stream of points from this node.
func (c *Conn) OpenUpstream(ctx context.Context, options UpstreamOptions) (*Upstream, error) {
	o := C.iscp_upstream_options_new()
	defer C.iscp_upstream_options_free(o)
	set := func(key, value *C.char, detail **C.iscp_error_t) C.iscp_status_t {
		return C.iscp_upstream_options_set(o, key, value, detail)
	}
	values := [][2]string{{"session_id", options.SessionID}, {"qos", qosName(options.QoS)}}
	for _, id := range options.DataIDs {
		values = append(values, [2]string{"data_id", id})
	}
	if err := setOptions(set, values, options.Extra); err != nil {
		return nil, err
	}
	var detail *C.iscp_error_t
	if options.OnAck != nil {
		h := C.uintptr_t(newHandle(options.OnAck))
		if err := check(C.goiscp_set_on_ack(o, h, &detail), detail); err != nil {
			return nil, err
		}
	}
	if options.OnEvent != nil {
		h := C.uintptr_t(newHandle(options.OnEvent))
		if err := check(C.goiscp_upstream_set_on_event(o, h, &detail), detail); err != nil {
			return nil, err
		}
	}
	if options.OnClosed != nil {
		h := C.uintptr_t(newHandle(options.OnClosed))
		if err := check(C.goiscp_upstream_set_on_closed(o, h, &detail), detail); err != nil {
			return nil, err
		}
	}
	var up *Upstream
	err := c.handle.with(func(p unsafe.Pointer) error {
		pointer, err := await(ctx, freeUpstream, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
			return C.goiscp_upstream_open((*C.iscp_conn_t)(p), o, h, detail)
		})
		if err == nil {
			up = &Upstream{handle: wrap(pointer, freeUpstream)}
			up.ID = uuid(C.iscp_upstream_id((*C.iscp_upstream_t)(pointer)))
			freeWhenForgotten(up, up.handle)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("iscp: open upstream: %w", err)
	}
	return up, nil
}

func freeUpstream(pointer unsafe.Pointer) { C.iscp_upstream_free((*C.iscp_upstream_t)(pointer)) }

// DataID makes a data id known to the stream, so that points can be written to it.
func (u *Upstream) DataID(name, typ string) (DataID, error) {
	var all texts
	defer func() { all.free() }()
	n, ty, err := all.pair(name, typ)
	if err != nil {
		return 0, err
	}
	var id C.iscp_data_id_t
	err = u.handle.with(func(p unsafe.Pointer) error {
		var detail *C.iscp_error_t
		return check(C.iscp_upstream_data_id((*C.iscp_upstream_t)(p), n, ty, &id, &detail), detail)
	})
	return DataID(id), err
}

// Write writes a point. It is sent when the flush policy says so. When the buffer is full, it waits or fails as the
// option "buffer_policy" says.
func (u *Upstream) Write(id DataID, elapsed time.Duration, payload []byte) error {
	pointer, err := u.handle.acquire()
	if err != nil {
		return err
	}
	defer u.handle.done()
	data, length := bytesOf(payload)
	return check(C.iscp_upstream_write(
		(*C.iscp_upstream_t)(pointer), C.iscp_data_id_t(id), C.int64_t(elapsed), data, length), nil)
}

// WriteAcknowledged writes a point and waits until the server acknowledged it.
func (u *Upstream) WriteAcknowledged(ctx context.Context, id DataID, elapsed time.Duration, payload []byte) error {
	return u.handle.with(func(p unsafe.Pointer) error {
		_, err := await(ctx, nil, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
			data, length := bytesOf(payload)
			return C.goiscp_upstream_write_acknowledged((*C.iscp_upstream_t)(p), C.iscp_data_id_t(id),
				C.int64_t(elapsed), data, length, h, detail)
		})
		return err
	})
}

// WritePoints writes several points of one data id, in order: all of them or, when it fails, none.
func (u *Upstream) WritePoints(id DataID, points []DataPoint) error {
	pointer, err := u.handle.acquire()
	if err != nil {
		return err
	}
	defer u.handle.done()
	var pinner runtime.Pinner
	defer pinner.Unpin()
	array := make([]C.iscp_data_point_t, len(points))
	for i, point := range points {
		array[i] = pinned(&pinner, point)
	}
	return check(C.iscp_upstream_write_points((*C.iscp_upstream_t)(pointer), C.iscp_data_id_t(id),
		unsafe.SliceData(array), C.size_t(len(array))), nil)
}

// WriteTogether writes several points, each with its data id, in order: all of them into one chunk or, when it fails,
// none.
func (u *Upstream) WriteTogether(points []UpstreamPoint) error {
	pointer, err := u.handle.acquire()
	if err != nil {
		return err
	}
	defer u.handle.done()
	var pinner runtime.Pinner
	defer pinner.Unpin()
	array := make([]C.iscp_upstream_point_t, len(points))
	for i, point := range points {
		array[i] = C.iscp_upstream_point_t{data_id: C.iscp_data_id_t(point.ID), point: pinned(&pinner, point.DataPoint)}
	}
	return check(C.iscp_upstream_write_together((*C.iscp_upstream_t)(pointer),
		unsafe.SliceData(array), C.size_t(len(array))), nil)
}

// pinned is a point whose payload stays where it is.
func pinned(pinner *runtime.Pinner, point DataPoint) C.iscp_data_point_t {
	data, length := bytesOf(point.Payload)
	if length == 0 {
		data = nil
	} else {
		pinner.Pin(data)
	}
	return C.iscp_data_point_t{elapsed_time_ns: C.int64_t(point.Elapsed), payload: data, payload_len: length}
}

// FlushLevel is what a flush waits for.
type FlushLevel int32

const (
	// FlushSent waits until everything written before is on its way.
	FlushSent FlushLevel = C.ISCP_FLUSH_SENT
	// FlushAcknowledged waits until the server answered for it.
	FlushAcknowledged FlushLevel = C.ISCP_FLUSH_ACKNOWLEDGED
)

// Flush sends everything written before, whatever the flush policy.
func (u *Upstream) Flush(ctx context.Context, level FlushLevel) error {
	return u.handle.with(func(p unsafe.Pointer) error {
		_, err := await(ctx, nil, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
			return C.goiscp_upstream_flush((*C.iscp_upstream_t)(p), C.iscp_flush_level_t(level), milliseconds(ctx), h, detail)
		})
		return err
	})
}

// Close sends everything, waits until the server confirmed it, and closes the stream.
func (u *Upstream) Close(ctx context.Context) error {
	return u.close(ctx, false)
}

// CloseSession is Close, and the server closes the session too.
func (u *Upstream) CloseSession(ctx context.Context) error {
	return u.close(ctx, true)
}

func (u *Upstream) close(ctx context.Context, session bool) error {
	return u.handle.close(ctx, "upstream", func(p unsafe.Pointer, h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
		return C.goiscp_upstream_close((*C.iscp_upstream_t)(p), C.bool(session), h, detail)
	})
}

func uuid(id C.iscp_uuid_t) (out [16]byte) {
	for i := range out {
		out[i] = byte(id.bytes[i])
	}
	return out
}
