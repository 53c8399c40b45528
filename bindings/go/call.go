package iscp

// #include "bridge.h"
import "C"

import (
	"context"
	"unsafe"
)

// Call is a call of another node, or the reply to one.
type Call struct {
	ID           string
	SourceNodeID string
	Name         string
	Type         string
	Payload      []byte

	conn   *Conn
	handle *handle
}

func newCall(conn *Conn, pointer unsafe.Pointer) *Call {
	p := (*C.iscp_call_t)(pointer)
	call := &Call{
		ID:           C.GoString(C.iscp_call_id(p)),
		SourceNodeID: C.GoString(C.iscp_call_source_node_id(p)),
		Name:         C.GoString(C.iscp_call_name(p)),
		Type:         C.GoString(C.iscp_call_type(p)),
		conn:         conn,
		handle:       wrap(pointer, freeCall),
	}
	var payload *C.uint8_t
	var length C.size_t
	if C.iscp_call_payload(p, &payload, &length) == C.ISCP_OK {
		call.Payload = copyBytes(payload, length)
	}
	freeWhenForgotten(call, call.handle)
	return call
}

func freeCall(pointer unsafe.Pointer) { C.iscp_call_free((*C.iscp_call_t)(pointer)) }

// pair adds a name and a type.
func (t *texts) pair(name, typ string) (n, ty *C.char, err error) {
	if n, err = t.add(name, "the name"); err != nil {
		return nil, nil, err
	}
	ty, err = t.add(typ, "the type")
	return n, ty, err
}

// Call calls another node and waits for its reply.
func (c *Conn) Call(ctx context.Context, nodeID, name, typ string, payload []byte) (*Call, error) {
	var all texts
	defer func() { all.free() }()
	node, err := all.add(nodeID, "the node id")
	if err != nil {
		return nil, err
	}
	n, ty, err := all.pair(name, typ)
	if err != nil {
		return nil, err
	}
	var reply *Call
	err = c.handle.with(func(p unsafe.Pointer) error {
		pointer, err := await(ctx, freeCall, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
			data, length := bytesOf(payload)
			return C.goiscp_call((*C.iscp_conn_t)(p), node, n, ty, data, length, milliseconds(ctx), h, detail)
		})
		if err == nil {
			reply = newCall(c, pointer)
		}
		return err
	})
	return reply, err
}

// Reply replies to the sender of the call and waits until the server took the reply.
func (call *Call) Reply(ctx context.Context, name, typ string, payload []byte) error {
	var all texts
	defer func() { all.free() }()
	n, ty, err := all.pair(name, typ)
	if err != nil {
		return err
	}
	return call.conn.handle.with(func(conn unsafe.Pointer) error {
		return call.handle.with(func(p unsafe.Pointer) error {
			_, err := await(ctx, nil, func(h C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t {
				data, length := bytesOf(payload)
				return C.goiscp_reply((*C.iscp_conn_t)(conn), (*C.iscp_call_t)(p), n, ty, data, length, h, detail)
			})
			return err
		})
	})
}

// Calls gives the calls of other nodes. The channel is closed when the connection ends. The first use starts a
// goroutine that occupies a thread while it waits, and keeps the connection from being collected: close it.
func (c *Conn) Calls() <-chan *Call {
	c.once.Do(func() {
		c.calls = make(chan *Call)
		go func() {
			defer close(c.calls)
			for {
				pointer, err := take(c.handle, func(p unsafe.Pointer, detail **C.iscp_error_t) (unsafe.Pointer, C.iscp_status_t) {
					var call *C.iscp_call_t
					status := C.iscp_conn_next_call_wait((*C.iscp_conn_t)(p), -1, &call, detail)
					return unsafe.Pointer(call), status
				})
				if err != nil {
					return
				}
				select {
				case c.calls <- newCall(c, pointer):
				case <-c.handle.gone:
					return
				}
			}
		}()
	})
	return c.calls
}
