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

// ConnOptions say where and how to connect.
type ConnOptions struct {
	URL    string // ws, wss, quic or webtransport://host:port/path
	NodeID string // under which others receive what this node sends; empty: the server chooses
	Token  string // an access token that never changes

	// TokenSource gives an access token before every attempt to connect, on a goroutine of its own.
	TokenSource func() (string, error)
	// OnEvent is told what happens to the connection, on a thread of the library, in order. It should return soon;
	// what waits for the server fails inside it with ErrInCallback.
	OnEvent func(Event)

	// Extra are options by their name in docs/options.md, such as "tls_ca_file".
	Extra map[string]string
}

// EventKind says what happened to a connection.
type EventKind int32

// The kinds of events.
const (
	EventConnected    EventKind = C.ISCP_EVENT_CONNECTED
	EventDisconnected EventKind = C.ISCP_EVENT_DISCONNECTED
	EventReconnecting EventKind = C.ISCP_EVENT_RECONNECTING
	EventReconnected  EventKind = C.ISCP_EVENT_RECONNECTED
	EventClosed       EventKind = C.ISCP_EVENT_CLOSED
)

// Event is what happened to a connection.
type Event struct {
	Kind    EventKind
	Attempt uint32        // of reconnecting, from 1
	Delay   time.Duration // until that attempt
	Err     error         // why
}

// State of a connection.
type State int32

// The states.
const (
	StateConnected    State = C.ISCP_CONN_STATE_CONNECTED
	StateReconnecting State = C.ISCP_CONN_STATE_RECONNECTING
	StateClosed       State = C.ISCP_CONN_STATE_CLOSED
)

// Conn is a connection to a server.
type Conn struct {
	handle *handle
	once   sync.Once
	calls  chan *Call
}

// Connect connects to a server.
func Connect(ctx context.Context, options ConnOptions) (*Conn, error) {
	o := C.iscp_conn_options_new()
	defer C.iscp_conn_options_free(o)
	set := func(key, value *C.char, detail **C.iscp_error_t) C.iscp_status_t {
		return C.iscp_conn_options_set(o, key, value, detail)
	}
	values := [][2]string{{"url", options.URL}}
	if options.NodeID != "" {
		values = append(values, [2]string{"node_id", options.NodeID})
	}
	if options.Token != "" {
		values = append(values, [2]string{"token", options.Token})
	}
	if err := setOptions(set, values, options.Extra); err != nil {
		return nil, err
	}
	var detail *C.iscp_error_t
	if options.TokenSource != nil {
		h := C.uintptr_t(newHandle(options.TokenSource))
		if err := check(C.goiscp_set_token_source(o, h, &detail), detail); err != nil {
			return nil, err
		}
	}
	if options.OnEvent != nil {
		h := C.uintptr_t(newHandle(options.OnEvent))
		if err := check(C.goiscp_set_on_event(o, h, &detail), detail); err != nil {
			return nil, err
		}
	}
	pointer, err := await(ctx, freeConn, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
		return C.goiscp_connect(o, h, detail)
	})
	if err != nil {
		return nil, fmt.Errorf("iscp: connect: %w", err)
	}
	c := &Conn{handle: wrap(pointer, freeConn)}
	freeWhenForgotten(c, c.handle)
	return c, nil
}

func freeConn(pointer unsafe.Pointer) { C.iscp_conn_free((*C.iscp_conn_t)(pointer)) }

// State of the connection.
func (c *Conn) State() State {
	state := StateClosed
	_ = c.handle.with(func(p unsafe.Pointer) error {
		state = State(C.iscp_conn_state((*C.iscp_conn_t)(p)))
		return nil
	})
	return state
}

// Close flushes and closes all streams, then the connection, and waits for it.
func (c *Conn) Close(ctx context.Context) error {
	return c.handle.close(ctx, "connection", func(p unsafe.Pointer, h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
		return C.goiscp_conn_close((*C.iscp_conn_t)(p), h, detail)
	})
}

// close runs an operation that closes, and releases the handle however it ends. It runs even if the context has ended:
// what waits for the next object must wake up.
func (h *handle) close(
	ctx context.Context, what string, start func(unsafe.Pointer, C.uintptr_t, **C.iscp_error_t) C.iscp_status_t,
) error {
	err := h.with(func(p unsafe.Pointer) error {
		_, err := awaitStarted(ctx, nil, func(handle C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
			return start(p, handle, detail)
		})
		return err
	})
	if !errors.Is(err, ErrInCallback) {
		h.release()
	}
	if err != nil {
		return fmt.Errorf("iscp: close %s: %w", what, err)
	}
	return nil
}

// BaseTime ties the elapsed times of a session to a clock.
type BaseTime struct {
	SessionID string
	Name      string // of the clock, such as "edge_rtc"
	Priority  uint32
	Elapsed   time.Duration // that corresponds to Time
	Time      time.Time
	Persist   bool // whether the server stores it in the session
}

// SendBaseTime sends a base time, which readers receive as metadata.
func (c *Conn) SendBaseTime(ctx context.Context, t BaseTime) error {
	var all texts
	defer func() { all.free() }()
	session, err := all.add(t.SessionID, "the session id")
	if err != nil {
		return err
	}
	name, err := all.add(t.Name, "the name")
	if err != nil {
		return err
	}
	return c.handle.with(func(p unsafe.Pointer) error {
		_, err := await(ctx, nil, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
			return C.goiscp_send_base_time((*C.iscp_conn_t)(p), session, name, C.uint32_t(t.Priority),
				C.int64_t(t.Elapsed), C.int64_t(t.Time.UnixNano()), C.bool(t.Persist), h, detail)
		})
		return err
	})
}

// setOptions sets options by name, those of a struct first.
func setOptions(
	set func(key, value *C.char, detail **C.iscp_error_t) C.iscp_status_t, values [][2]string, extra map[string]string,
) error {
	for key, value := range extra {
		values = append(values, [2]string{key, value})
	}
	var all texts
	defer func() { all.free() }()
	for _, pair := range values {
		key, err := all.add(pair[0], "an option's name")
		if err != nil {
			return err
		}
		value, err := all.add(pair[1], "option "+pair[0])
		if err != nil {
			return err
		}
		var detail *C.iscp_error_t
		if err := check(set(key, value, &detail), detail); err != nil {
			return err
		}
	}
	return nil
}

func qosName(q QoS) string {
	switch q {
	case Unreliable:
		return "unreliable"
	case Reliable:
		return "reliable"
	case Partial:
		return "partial"
	}
	return fmt.Sprint(int32(q)) // which the library refuses, naming it
}
