package iscp

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"
)

// Filter selects points of a node. Pattern is "type:name", with "+" for one level and "#" for the rest.
type Filter struct {
	SourceNodeID string
	Pattern      string
}

// DownstreamOptions say what is received, and how.
type DownstreamOptions struct {
	Filters []Filter
	QoS     QoS
	DataIDs []string // announced from the start, as "type:name"

	// OnEvent is told what became of the stream after the connection was lost, on a thread of the library. It should
	// return soon; what waits for the server fails inside it with ErrInCallback.
	OnEvent func(StreamEvent)
	// OnClosed is told why the stream ended, nil when this program closed it: once and last, as OnEvent is told.
	OnClosed func(error)

	// Extra are options by their name in docs/options.md, such as "chunk_order".
	Extra map[string]string
}

// Chunk is points of one upstream that travelled together.
type Chunk struct {
	SourceNodeID   string
	SessionID      string
	UpstreamID     [16]byte
	SequenceNumber uint32
	Groups         []Group
}

// Group is a run of points of one data id.
type Group struct {
	Name, Type string
	Points     []DataPoint
	Filters    []uint32 // that it matches, by their place in DownstreamOptions; none where the server does not say
}

// MetadataKind says what metadata is about.
type MetadataKind int32

// The kinds of metadata.
const (
	MetadataBaseTime                MetadataKind = C.ISCP_METADATA_BASE_TIME
	MetadataUpstreamOpen            MetadataKind = C.ISCP_METADATA_UPSTREAM_OPEN
	MetadataUpstreamAbnormalClose   MetadataKind = C.ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE
	MetadataUpstreamResume          MetadataKind = C.ISCP_METADATA_UPSTREAM_RESUME
	MetadataUpstreamNormalClose     MetadataKind = C.ISCP_METADATA_UPSTREAM_NORMAL_CLOSE
	MetadataDownstreamOpen          MetadataKind = C.ISCP_METADATA_DOWNSTREAM_OPEN
	MetadataDownstreamAbnormalClose MetadataKind = C.ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE
	MetadataDownstreamResume        MetadataKind = C.ISCP_METADATA_DOWNSTREAM_RESUME
	MetadataDownstreamNormalClose   MetadataKind = C.ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE
)

func (k MetadataKind) String() string {
	return C.GoString(C.iscp_metadata_kind_name(C.iscp_metadata_kind_t(k)))
}

// Metadata is what happened beside the data. Fields that its kind does not have are zero.
type Metadata struct {
	Kind                MetadataKind
	SourceNodeID        string
	SessionID           string
	StreamID            [16]byte
	Name                string
	Priority            uint32
	Elapsed             time.Duration
	BaseTime            time.Time
	TotalPoints         uint64
	FinalSequenceNumber uint32
}

// Downstream is a stream of points and metadata of other nodes.
type Downstream struct {
	// ID that the server gave the stream.
	ID       [16]byte
	handle   *handle
	chunks   source[*Chunk]
	metadata source[*Metadata]
}

// OpenDownstream opens a stream of points of other nodes.
func (c *Conn) OpenDownstream(ctx context.Context, options DownstreamOptions) (*Downstream, error) {
	o := C.iscp_downstream_options_new()
	defer C.iscp_downstream_options_free(o)
	set := func(key, value *C.char, detail **C.iscp_error_t) C.iscp_status_t {
		return C.iscp_downstream_options_set(o, key, value, detail)
	}
	values := [][2]string{{"qos", qosName(options.QoS)}}
	for _, id := range options.DataIDs {
		values = append(values, [2]string{"data_id", id})
	}
	if err := setOptions(set, values, options.Extra); err != nil {
		return nil, err
	}
	for _, filter := range options.Filters {
		if err := addFilter(o, filter); err != nil {
			return nil, err
		}
	}
	var detail *C.iscp_error_t
	if options.OnEvent != nil {
		h := C.uintptr_t(newHandle(options.OnEvent))
		if err := check(C.goiscp_downstream_set_on_event(o, h, &detail), detail); err != nil {
			return nil, err
		}
	}
	if options.OnClosed != nil {
		h := C.uintptr_t(newHandle(options.OnClosed))
		if err := check(C.goiscp_downstream_set_on_closed(o, h, &detail), detail); err != nil {
			return nil, err
		}
	}
	var down *Downstream
	err := c.handle.with(func(p unsafe.Pointer) error {
		pointer, err := await(ctx, freeDownstream, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
			return C.goiscp_downstream_open((*C.iscp_conn_t)(p), o, h, detail)
		})
		if err == nil {
			down = &Downstream{handle: wrap(pointer, freeDownstream)}
			down.ID = uuid(C.iscp_downstream_id((*C.iscp_downstream_t)(pointer)))
			freeWhenForgotten(down, down.handle)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("iscp: open downstream: %w", err)
	}
	return down, nil
}

func addFilter(options *C.iscp_downstream_options_t, filter Filter) error {
	var all texts
	defer func() { all.free() }()
	node, err := all.add(filter.SourceNodeID, "a filter's node id")
	if err != nil {
		return err
	}
	pattern, err := all.add(filter.Pattern, "a filter's pattern")
	if err != nil {
		return err
	}
	var detail *C.iscp_error_t
	return check(C.iscp_downstream_options_add_filter(options, node, pattern, &detail), detail)
}

func freeDownstream(pointer unsafe.Pointer) { C.iscp_downstream_free((*C.iscp_downstream_t)(pointer)) }

// Chunks gives the chunks of the stream. The channel is closed when the stream ends; Err then says why. The first use
// starts a goroutine that occupies a thread while it waits, and keeps the stream from being collected: close it.
func (d *Downstream) Chunks() <-chan *Chunk {
	return d.chunks.start(d, func() (*Chunk, error) {
		pointer, err := take(d.handle, func(p unsafe.Pointer, detail **C.iscp_error_t) (unsafe.Pointer, C.iscp_status_t) {
			var chunk *C.iscp_chunk_t
			status := C.iscp_downstream_next_chunk_wait((*C.iscp_downstream_t)(p), -1, &chunk, detail)
			return unsafe.Pointer(chunk), status
		})
		if err != nil {
			return nil, err
		}
		return readChunk((*C.iscp_chunk_t)(pointer)), nil
	})
}

// Metadata gives the metadata of the stream, as Chunks gives its chunks.
func (d *Downstream) Metadata() <-chan *Metadata {
	return d.metadata.start(d, func() (*Metadata, error) {
		pointer, err := take(d.handle, func(p unsafe.Pointer, detail **C.iscp_error_t) (unsafe.Pointer, C.iscp_status_t) {
			var metadata *C.iscp_metadata_t
			status := C.iscp_downstream_next_metadata_wait((*C.iscp_downstream_t)(p), -1, &metadata, detail)
			return unsafe.Pointer(metadata), status
		})
		if err != nil {
			return nil, err
		}
		return readMetadata((*C.iscp_metadata_t)(pointer)), nil
	})
}

// Next takes the next chunk. After the end of the stream it fails with the reason, or with ErrClosed.
func (d *Downstream) Next(ctx context.Context) (*Chunk, error) {
	select {
	case chunk, ok := <-d.Chunks():
		if ok {
			return chunk, nil
		}
		if err := d.Err(); err != nil {
			return nil, err
		}
		return nil, newError(ErrClosed, nil)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Err says why the stream ended, once the channel of Chunks is closed: nil when this program closed it.
func (d *Downstream) Err() error {
	if err := d.chunks.reason(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// Close acknowledges what was taken and closes the stream and its channels.
func (d *Downstream) Close(ctx context.Context) error {
	return d.handle.close(ctx, "downstream", func(p unsafe.Pointer, h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
		return C.goiscp_downstream_close((*C.iscp_downstream_t)(p), h, detail)
	})
}

// A source is a channel, filled by a goroutine from the first use on.
type source[T any] struct {
	once  sync.Once
	items chan T
	mu    sync.Mutex
	err   error
}

func (s *source[T]) start(d *Downstream, next func() (T, error)) <-chan T {
	s.once.Do(func() {
		s.items = make(chan T)
		go func() {
			defer close(s.items)
			for {
				item, err := next()
				if err != nil {
					s.mu.Lock()
					s.err = err
					s.mu.Unlock()
					return
				}
				select {
				case s.items <- item:
				case <-d.handle.gone:
					return
				}
			}
		}()
	})
	return s.items
}

func (s *source[T]) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// readChunk copies a chunk and frees it.
func readChunk(p *C.iscp_chunk_t) *Chunk {
	defer C.iscp_chunk_free(p)
	chunk := &Chunk{
		SourceNodeID:   C.GoString(C.iscp_chunk_source_node_id(p)),
		SessionID:      C.GoString(C.iscp_chunk_session_id(p)),
		UpstreamID:     uuid(C.iscp_chunk_upstream_id(p)),
		SequenceNumber: uint32(C.iscp_chunk_sequence_number(p)),
		Groups:         make([]Group, C.iscp_chunk_group_count(p)),
	}
	for i := range chunk.Groups {
		var name, typ *C.char
		var points *C.iscp_data_point_t
		var count C.size_t
		if C.iscp_chunk_group(p, C.size_t(i), &name, &typ, &points, &count) != C.ISCP_OK {
			continue
		}
		group := Group{Name: C.GoString(name), Type: C.GoString(typ), Points: make([]DataPoint, count)}
		for j, point := range unsafe.Slice(points, count) {
			group.Points[j] = DataPoint{time.Duration(point.elapsed_time_ns), copyBytes(point.payload, point.payload_len)}
		}
		var filters *C.uint32_t
		if C.iscp_chunk_group_filters(p, C.size_t(i), &filters, &count) == C.ISCP_OK {
			group.Filters = copyNumbers(filters, count)
		}
		chunk.Groups[i] = group
	}
	return chunk
}

// readMetadata copies metadata and frees it.
func readMetadata(p *C.iscp_metadata_t) *Metadata {
	defer C.iscp_metadata_free(p)
	metadata := &Metadata{
		Kind:                MetadataKind(C.iscp_metadata_kind(p)),
		SourceNodeID:        C.GoString(C.iscp_metadata_source_node_id(p)),
		SessionID:           C.GoString(C.iscp_metadata_session_id(p)),
		StreamID:            uuid(C.iscp_metadata_stream_id(p)),
		Name:                C.GoString(C.iscp_metadata_name(p)),
		Priority:            uint32(C.iscp_metadata_priority(p)),
		Elapsed:             time.Duration(C.iscp_metadata_elapsed_time_ns(p)),
		TotalPoints:         uint64(C.iscp_metadata_total_points(p)),
		FinalSequenceNumber: uint32(C.iscp_metadata_final_sequence_number(p)),
	}
	if metadata.Kind == MetadataBaseTime {
		metadata.BaseTime = time.Unix(0, int64(C.iscp_metadata_base_time_ns(p)))
	}
	return metadata
}

func copyBytes(data *C.uint8_t, length C.size_t) []byte {
	copied := make([]byte, length)
	copy(copied, unsafe.Slice((*byte)(data), length))
	return copied
}

func copyNumbers(numbers *C.uint32_t, count C.size_t) []uint32 {
	copied := make([]uint32, count)
	copy(copied, unsafe.Slice((*uint32)(unsafe.Pointer(numbers)), count))
	return copied
}
