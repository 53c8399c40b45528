// Package iscp sends and receives time series with iSCP, the intdash Stream Control Protocol. It calls the C library
// libiscp, which pkg-config must find.
//
//	conn, err := iscp.Connect(ctx, iscp.ConnOptions{URL: "ws://127.0.0.1:8080", NodeID: "sensor-1"})
//	up, err := conn.OpenUpstream(ctx, iscp.UpstreamOptions{QoS: iscp.Reliable})
//	id, err := up.DataID("room/temperature", "string")
//	err = up.Write(id, 0, []byte("20.5"))
//	err = up.Close(ctx)
//
// Everything may be used from several goroutines. What talks to the server waits without occupying a thread, until it
// is done or its context is; the operation then goes on in the background, and what it opens is closed again.
package iscp

/*
#cgo pkg-config: iscp
#include "bridge.h"
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Version of the library that is running.
func Version() string { return C.GoString(C.iscp_version()) }

// QoS of a stream.
type QoS int32

const (
	// Unreliable points may be lost; they go by datagrams where the transport has them.
	Unreliable QoS = C.ISCP_QOS_UNRELIABLE
	// Reliable points are confirmed by the server, or reported as not delivered.
	Reliable QoS = C.ISCP_QOS_RELIABLE
	// Partial takes the reliable channel, but sends nothing again after a loss of the connection.
	Partial QoS = C.ISCP_QOS_PARTIAL
)

// A handle is a pointer of the library that is freed once, and not while a goroutine is in a call with it.
type handle struct {
	pointer unsafe.Pointer
	free    func(unsafe.Pointer)
	gone    chan struct{} // closed when the handle is released

	mu       sync.Mutex
	users    int
	released bool
}

func wrap(pointer unsafe.Pointer, free func(unsafe.Pointer)) *handle {
	return &handle{pointer: pointer, free: free, gone: make(chan struct{})}
}

func (h *handle) acquire() (unsafe.Pointer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released {
		return nil, newError(ErrClosed, nil)
	}
	h.users++
	return h.pointer, nil
}

func (h *handle) done() {
	h.mu.Lock()
	h.users--
	last := h.released && h.users == 0
	h.mu.Unlock()
	if last {
		h.free(h.pointer)
	}
}

// release frees the pointer once nobody uses it. It never blocks.
func (h *handle) release() {
	h.mu.Lock()
	last := !h.released && h.users == 0
	if !h.released {
		h.released = true
		close(h.gone)
	}
	h.mu.Unlock()
	if last {
		h.free(h.pointer)
	}
}

// with runs f with the pointer, unless the handle was released.
func (h *handle) with(f func(unsafe.Pointer) error) error {
	pointer, err := h.acquire()
	if err != nil {
		return err
	}
	defer h.done()
	return f(pointer)
}

// take takes the next object of a source, and waits for it on a thread of its own.
func take(h *handle, next func(unsafe.Pointer, **C.iscp_error_t) (unsafe.Pointer, C.iscp_status_t)) (unsafe.Pointer, error) {
	var taken unsafe.Pointer
	err := h.with(func(p unsafe.Pointer) error {
		var detail *C.iscp_error_t
		pointer, status := next(p, &detail)
		taken = pointer
		return check(status, detail)
	})
	return taken, err
}

// freeWhenForgotten is for objects that the application drops without closing them.
func freeWhenForgotten[T any](object *T, h *handle) {
	runtime.SetFinalizer(object, func(*T) { h.release() })
}

// texts are strings of C, freed together.
type texts []unsafe.Pointer

func (t *texts) add(text, what string) (*C.char, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, newError(ErrInvalidArgument, fmt.Errorf("%s contains a NUL character", what))
	}
	c := C.CString(text)
	*t = append(*t, unsafe.Pointer(c))
	return c, nil
}

func (t texts) free() {
	for _, c := range t {
		C.free(c)
	}
}

// bytes of Go for the duration of a call.
func bytesOf(payload []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.SliceData(payload)), C.size_t(len(payload))
}

// milliseconds until the context's deadline, or -1.
func milliseconds(ctx context.Context) C.int32_t {
	deadline, ok := ctx.Deadline()
	if !ok {
		return -1
	}
	left := (time.Until(deadline) + time.Millisecond - 1) / time.Millisecond
	return C.int32_t(min(max(left, 0), math.MaxInt32))
}
