package iscp

// #include "bridge.h"
import "C"

import "fmt"

// Status is one of the library's reasons for a failure. It is an error itself, for errors.Is.
type Status int32

// The statuses that programs ask for; the others are in iscp.h.
const (
	ErrInvalidArgument Status = C.ISCP_ERR_INVALID_ARGUMENT
	ErrUnknownOption   Status = C.ISCP_ERR_UNKNOWN_OPTION
	ErrInvalidOption   Status = C.ISCP_ERR_INVALID_OPTION
	ErrTooLarge        Status = C.ISCP_ERR_TOO_LARGE
	ErrInCallback      Status = C.ISCP_ERR_IN_CALLBACK
	ErrWouldBlock      Status = C.ISCP_ERR_WOULD_BLOCK
	ErrTimeout         Status = C.ISCP_ERR_TIMEOUT
	ErrClosed          Status = C.ISCP_ERR_CLOSED
	ErrOverflow        Status = C.ISCP_ERR_OVERFLOW
	ErrResolve         Status = C.ISCP_ERR_RESOLVE
	ErrConnectFailed   Status = C.ISCP_ERR_CONNECT_FAILED
	ErrConnectionLost  Status = C.ISCP_ERR_CONNECTION_LOST
	ErrTLS             Status = C.ISCP_ERR_TLS
	ErrRefused         Status = C.ISCP_ERR_REFUSED
	ErrUnauthorized    Status = C.ISCP_ERR_UNAUTHORIZED
	ErrDisconnected    Status = C.ISCP_ERR_DISCONNECTED
	ErrTokenFailed     Status = C.ISCP_ERR_TOKEN_FAILED
)

// Name of the status, such as ISCP_ERR_TIMEOUT.
func (s Status) Name() string { return C.GoString(C.iscp_status_name(C.iscp_status_t(s))) }

func (s Status) Error() string { return C.GoString(C.iscp_status_text(C.iscp_status_t(s))) }

// Error is what the library or the server has to complain about. errors.Is(err, ErrTimeout) asks for its status.
type Error struct {
	Status  Status
	Message string // names the culprit: the option, the address, the stream
	// ResultCode is that of the server, or -1 when it did not refuse anything.
	ResultCode   int32
	ResultString string
	Retriable    bool // the same call may succeed later
	Fatal        bool // the connection or stream has ended
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Status.Name()) }

// Unwrap returns the status.
func (e *Error) Unwrap() error { return e.Status }

// Timeout is true for a time-out, as for the errors of package net.
func (e *Error) Timeout() bool { return e.Status == ErrTimeout }

func newError(status Status, cause error) *Error {
	message := status.Error()
	if cause != nil {
		message = cause.Error()
	}
	return &Error{Status: status, Message: message, ResultCode: -1}
}

// borrowedError copies an error that the library keeps. It is nil for NULL.
func borrowedError(detail *C.iscp_error_t) error {
	if detail == nil {
		return nil
	}
	return &Error{
		Status:       Status(C.iscp_error_code(detail)),
		Message:      C.GoString(C.iscp_error_message(detail)),
		ResultCode:   int32(C.iscp_error_result_code(detail)),
		ResultString: C.GoString(C.iscp_error_result_string(detail)),
		Retriable:    bool(C.iscp_error_is_retriable(detail)),
		Fatal:        bool(C.iscp_error_is_fatal(detail)),
	}
}

// check makes an error of a status, and frees the detail.
func check(status C.iscp_status_t, detail *C.iscp_error_t) error {
	if status == C.ISCP_OK {
		return nil
	}
	if detail == nil {
		return newError(Status(status), nil)
	}
	defer C.iscp_error_free(detail)
	return borrowedError(detail)
}
