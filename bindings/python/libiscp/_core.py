"""Handles, errors and callbacks: what every class of the package is built on."""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import threading
import time
import uuid
from typing import Any, Callable

from . import _native
from ._native import lib

# How long the end of the interpreter waits for the threads of the library. A connection takes at most
# `close_timeout_ms` and two seconds.
_EXIT_TIMEOUT = 15.0


class Error(Exception):
    """What the library or the server has to complain about.

    code           status of the library, such as -401
    name           its name, such as "ISCP_ERR_UNAUTHORIZED"
    message        text that names the culprit
    result_code    result code of the server, or -1 when it did not refuse anything
    result_string  what the server said besides
    retriable      the same call may succeed later
    fatal          the connection or stream has ended
    """

    def __init__(self, code: int, message: str, result_code: int = -1, result_string: str = "",
                 retriable: bool = False, fatal: bool = False) -> None:
        self.code = code
        self.name = lib.iscp_status_name(code).decode()
        self.message = message
        self.result_code = result_code
        self.result_string = result_string
        self.retriable = retriable
        self.fatal = fatal
        super().__init__(f"{message} ({self.name})")


class TimedOut(Error, TimeoutError):
    """The time-out passed."""


class Closed(Error):
    """The connection or stream was closed by this program."""


class WouldBlock(Error, BlockingIOError):
    """There is nothing to take, or no space, at present."""


_CLASSES = {
    _native.ERR_TIMEOUT: TimedOut,
    _native.ERR_CLOSED: Closed,
    _native.ERR_WOULD_BLOCK: WouldBlock,
}


def make_error(code: int, pointer: int | None = None) -> Error:
    """The exception for a status; `pointer` is an iscp_error_t, or None."""
    kind = _CLASSES.get(code, Error)
    if not pointer:
        return kind(code, lib.iscp_status_text(code).decode())
    return kind(
        code,
        lib.iscp_error_message(pointer).decode(),
        lib.iscp_error_result_code(pointer),
        lib.iscp_error_result_string(pointer).decode(),
        lib.iscp_error_is_retriable(pointer),
        lib.iscp_error_is_fatal(pointer),
    )


def borrowed_error(pointer: int | None) -> Error | None:
    """The exception for an iscp_error_t that the library keeps; None for NULL."""
    return make_error(lib.iscp_error_code(pointer), pointer) if pointer else None


def check(status: int) -> None:
    """Raises the error of a function without detail."""
    if status != _native.OK:
        raise make_error(status)


def call(function: Any, *arguments: Any) -> None:
    """Calls a function whose last parameter is `out_error`, and raises what it stores there."""
    detail = ctypes.c_void_p()
    status = function(*arguments, ctypes.byref(detail))
    if status == _native.OK:
        return
    try:
        raise make_error(status, detail.value)
    finally:
        lib.iscp_error_free(detail)


def obtain(free: Callable[[Any], None], function: Any, *arguments: Any) -> Handle:
    """Calls a function whose last parameters are the place for a new object and `out_error`."""
    out = ctypes.c_void_p()
    try:
        call(function, *arguments, ctypes.byref(out))
    except BaseException:
        # Ctrl-C may have come after the object, which nobody has then.
        free(out)
        raise
    return Handle(out.value, free)


def text(value: str) -> bytes:
    """UTF-8 for the library, which takes a NUL for the end."""
    if "\0" in value:
        raise ValueError("text for the library must not contain a NUL character")
    return value.encode()


def milliseconds(seconds: float | None) -> int:
    """A time-out as the library takes it; None waits as long as the options allow."""
    if seconds is None:
        return -1
    if seconds < 0:
        raise ValueError("a time-out must not be negative")
    return min(round(seconds * 1000), 2**31 - 1)


def integer(name: str, value: int, bits: int) -> int:
    """Checks the range of a number, which ctypes would cut off. Signed if `bits` is negative."""
    low, high = (-(2 ** (-bits - 1)), 2 ** (-bits - 1) - 1) if bits < 0 else (0, 2**bits - 1)
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, which is not within {low} to {high}")
    return value


def to_uuid(value: _native.Uuid) -> uuid.UUID:
    return uuid.UUID(bytes=bytes(value.bytes))


class Handle:
    """A pointer of the library that is freed once, and not while a thread is in a call with it.

    Used as `with handle as pointer:`. Whoever comes after `release` gets `Closed`.
    """

    __slots__ = ("_pointer", "_free", "_users", "_released", "_lock")

    def __init__(self, pointer: int, free: Callable[[int], None]) -> None:
        self._pointer = pointer
        self._free = free
        self._users = 0
        self._released = False
        self._lock = threading.Lock()

    def __enter__(self) -> int:
        with self._lock:
            if self._released:
                raise make_error(_native.ERR_CLOSED)
            self._users += 1
            return self._pointer

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            last = self._released and self._users == 0
        if last:
            self._free(self._pointer)

    def release(self) -> None:
        """Frees the pointer once nobody uses it. Never blocks."""
        with self._lock:
            if self._released:
                return
            self._released = True
            last = self._users == 0
        if last:
            self._free(self._pointer)

    # Whoever forgets an object gets here; nobody else has it then, so the lock is free.
    __del__ = release


# --- Callbacks -----------------------------------------------------------------------------------------------
#
# The library is given the functions below, which live as long as the module, and a number as user data. The number
# finds the callable of the application until the library releases it.

_numbers = itertools.count(1)
_targets: dict[int, Callable[..., None]] = {}
_lock = threading.Lock()
_watching = False
_ended = False


def live_callbacks() -> int:
    """How many callables the library holds."""
    return len(_targets)


def register(target: Callable[..., None]) -> int:
    """Keeps a callable until the library releases its number."""
    global _watching
    with _lock:
        if _ended:
            raise RuntimeError("the interpreter is ending: no more callbacks can be set")
        if not _watching:
            _watching = True
            atexit.register(_shut_down, os.getpid())
        number = next(_numbers)
        _targets[number] = target
    return number


def _shut_down(owner: int) -> None:
    # A thread of the library that called back while the interpreter ends would be terminated inside the library,
    # which ends the process with SIGABRT. So there must be none left. In a forked child there is none.
    global _ended
    if os.getpid() != owner:
        return
    with _lock:
        _ended = True
    end = time.monotonic() + _EXIT_TIMEOUT
    # Again while another thread still connects with callbacks that it has set before.
    while True:
        lib.iscp_shutdown(milliseconds(max(0.0, end - time.monotonic())), None)
        if not _targets or time.monotonic() >= end:
            return
        time.sleep(0.01)


@_native.release_cb
def on_release(user_data: int) -> None:
    del _targets[user_data]


@_native.token_cb
def on_token(request: int, user_data: int) -> None:
    try:
        token = text(_targets[user_data]())
    except Exception as error:  # whatever the application raises is the reason why there is no token
        reason = f"{type(error).__name__}: {error}".replace("\0", " ")
        lib.iscp_token_request_reject(request, reason.encode(errors="replace"), None)
    else:
        lib.iscp_token_request_resolve(request, token, None)


@_native.event_cb
def on_conn_event(event: int, user_data: int) -> None:
    kind = lib.iscp_event_kind(event)
    if kind > _native.EVENT_CLOSED:
        return  # about a stream
    error = borrowed_error(lib.iscp_event_error(event))
    _targets[user_data](kind, lib.iscp_event_attempt(event), lib.iscp_event_delay_ms(event) / 1000, error)


@_native.ack_cb
def on_ack(sequence_number: int, result_code: int, result_string: bytes, user_data: int) -> None:
    _targets[user_data](sequence_number, result_code, result_string.decode())


@_native.closed_cb
def on_closed(error: int | None, user_data: int) -> None:
    _targets[user_data](borrowed_error(error))


@_native.upstream_closed_cb
def on_upstream_closed(error: int | None, points: int, chunks: Any, chunk_count: int, user_data: int) -> None:
    _targets[user_data](borrowed_error(error), points, chunks[:chunk_count])


@_native.stream_event_cb
def on_stream_event(event: int, stream_id: int, former_stream_id: int, user_data: int) -> None:
    ids = [to_uuid(_native.Uuid.from_address(address)) for address in (stream_id, former_stream_id)]
    _targets[user_data](event, *ids)


class Options:
    """Options while they are collected, and freed at the end of a `with` block."""

    def __init__(self, kind: str, values: dict[str, Any]) -> None:
        self._kind = kind
        self._values = values

    def __enter__(self) -> Options:
        self.pointer = getattr(lib, f"iscp_{self._kind}_options_new")()
        try:
            for key, value in self._values.items():
                for one in value if isinstance(value, (list, tuple)) else [value]:
                    self._set(key, one)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        getattr(lib, f"iscp_{self._kind}_options_free")(self.pointer)

    def _set(self, key: str, value: Any) -> None:
        if isinstance(value, bool):
            value = "true" if value else "false"
        call(getattr(lib, f"iscp_{self._kind}_options_set"), self.pointer, text(key), text(str(value)))

    def handler(self, name: str, trampoline: Any, target: Callable[..., None] | None) -> None:
        """Sets a long-lived callback. The library releases it, also when this fails."""
        if target is not None:
            setter = getattr(lib, f"iscp_{self._kind}_options_set_{name}")
            call(setter, self.pointer, trampoline, register(target), on_release)
