package iscp

// #include "bridge.h"
// #include <stdlib.h>
import "C"

import (
	"context"
	"runtime/cgo"
	"sync/atomic"
	"time"
	"unsafe"
)

// The library is given numbers that stand for Go values, since it must not keep pointers of Go.
var liveHandles atomic.Int64

func newHandle(value any) cgo.Handle {
	liveHandles.Add(1)
	return cgo.NewHandle(value)
}

func deleteHandle(h cgo.Handle) {
	h.Delete()
	liveHandles.Add(-1)
}

// An outcome of an operation: the object that it made, if it makes one, or the reason why not.
type outcome struct {
	pointer unsafe.Pointer
	err     error
}

type startFunc func(handle C.uintptr_t, detail **C.iscp_error_t) C.iscp_status_t

// await starts an operation and waits for its outcome. What is made after the context ended is given to discard.
func await(ctx context.Context, discard func(unsafe.Pointer), start startFunc) (unsafe.Pointer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return awaitStarted(ctx, discard, start)
}

// awaitStarted is await for what is done even if the context has ended already.
func awaitStarted(ctx context.Context, discard func(unsafe.Pointer), start startFunc) (unsafe.Pointer, error) {
	outcomes := make(chan outcome, 1)
	handle := newHandle(outcomes)
	var detail *C.iscp_error_t
	if err := check(start(C.uintptr_t(handle), &detail), detail); err != nil {
		deleteHandle(handle)
		return nil, err
	}
	select {
	case o := <-outcomes:
		return o.pointer, o.err
	case <-ctx.Done():
		if discard != nil {
			go func() {
				if o := <-outcomes; o.pointer != nil {
					discard(o.pointer)
				}
			}()
		}
		return nil, ctx.Err()
	}
}

//export goiscpDone
func goiscpDone(pointer unsafe.Pointer, err *C.iscp_error_t, handle C.uintptr_t) {
	h := cgo.Handle(handle)
	outcomes := h.Value().(chan outcome)
	deleteHandle(h)
	outcomes <- outcome{pointer, borrowedError(err)}
}

//export goiscpRelease
func goiscpRelease(handle C.uintptr_t) { deleteHandle(cgo.Handle(handle)) }

//export goiscpToken
func goiscpToken(request *C.iscp_token_request_t, handle C.uintptr_t) {
	source := cgo.Handle(handle).Value().(func() (string, error))
	go func() {
		var all texts
		defer func() { all.free() }()
		token, err := source()
		var c *C.char
		if err == nil {
			c, err = all.add(token, "the token")
		}
		if err == nil {
			if C.iscp_token_request_resolve(request, c, nil) == C.ISCP_OK {
				return
			}
			err = newError(ErrInvalidArgument, nil)
		}
		reason, invalid := all.add(err.Error(), "the reason")
		if invalid == nil && C.iscp_token_request_reject(request, reason, nil) == C.ISCP_OK {
			return
		}
		// Without an answer the attempt would wait for its time-out.
		reason, _ = all.add("the token source failed", "the reason")
		C.iscp_token_request_reject(request, reason, nil)
	}()
}

//export goiscpEvent
func goiscpEvent(event C.int32_t, attempt, delay C.uint32_t, err *C.iscp_error_t, handle C.uintptr_t) {
	cgo.Handle(handle).Value().(func(Event))(Event{
		Kind:    EventKind(event),
		Attempt: uint32(attempt),
		Delay:   time.Duration(delay) * time.Millisecond,
		Err:     borrowedError(err),
	})
}

//export goiscpAck
func goiscpAck(sequenceNumber C.uint32_t, resultCode C.int32_t, resultString *C.char, handle C.uintptr_t) {
	cgo.Handle(handle).Value().(func(Ack))(Ack{
		SequenceNumber: uint32(sequenceNumber),
		ResultCode:     int32(resultCode),
		ResultString:   C.GoString(resultString),
	})
}

//export goiscpStreamEvent
func goiscpStreamEvent(event C.int32_t, streamID, former C.iscp_uuid_t, handle C.uintptr_t) {
	cgo.Handle(handle).Value().(func(StreamEvent))(StreamEvent{StreamEventKind(event), uuid(streamID), uuid(former)})
}

//export goiscpUpstreamClosed
func goiscpUpstreamClosed(err *C.iscp_error_t, points C.uint64_t, chunks *C.uint32_t, count C.size_t, handle C.uintptr_t) {
	cgo.Handle(handle).Value().(func(UpstreamEnd))(UpstreamEnd{borrowedError(err), uint64(points), copyNumbers(chunks, count)})
}

//export goiscpDownstreamClosed
func goiscpDownstreamClosed(err *C.iscp_error_t, handle C.uintptr_t) {
	cgo.Handle(handle).Value().(func(error))(borrowedError(err))
}
