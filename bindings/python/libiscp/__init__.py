"""libiscp: send and receive time series with iSCP, the intdash Stream Control Protocol.

    with libiscp.connect("ws://127.0.0.1:8080", node_id="sensor-1") as conn:
        with conn.open_upstream(qos="reliable") as up:
            up.write("room/temperature", "string", 0, b"20.5")

Everything blocks until it is done, lets other threads of the interpreter run meanwhile, and may be used from several
threads. Time-outs are seconds; None is as long as the options allow. Times of the protocol are nanoseconds.
"""

from __future__ import annotations

import abc
import ctypes
import time
import uuid
from typing import Any, Callable, Iterable, Iterator, NamedTuple

from . import _core, _native
from ._core import Closed, Error, Handle, Options, TimedOut, WouldBlock, call, check, integer, live_callbacks, milliseconds
from ._core import obtain, text
from ._native import lib

__all__ = [
    "Call", "Chunk", "Closed", "Connection", "Downstream", "Error", "Event", "Metadata", "Point", "StreamEvent",
    "TimedOut", "Upstream", "UpstreamEnd", "WouldBlock", "connect", "live_callbacks", "version",
]

# Longer waits are made of such pieces, so that Ctrl-C is seen between them.
_SLICE_MS = 200

_EVENTS = {
    _native.EVENT_CONNECTED: "connected",
    _native.EVENT_DISCONNECTED: "disconnected",
    _native.EVENT_RECONNECTING: "reconnecting",
    _native.EVENT_RECONNECTED: "reconnected",
    _native.EVENT_CLOSED: "closed",
}
_STREAM_EVENTS = {_native.STREAM_EVENT_RESUMED: "resumed", _native.STREAM_EVENT_REOPENED: "reopened"}
_STATES = {
    _native.CONN_STATE_CONNECTED: "connected",
    _native.CONN_STATE_RECONNECTING: "reconnecting",
    _native.CONN_STATE_CLOSED: "closed",
}


class Event(NamedTuple):
    """What happened to a connection: "connected", "disconnected", "reconnecting", "reconnected" or "closed"."""

    kind: str
    attempt: int
    delay: float
    error: Error | None


class StreamEvent(NamedTuple):
    """What happened to a stream whose connection was lost: "resumed", or "reopened" with another id."""

    kind: str
    stream_id: uuid.UUID
    former_stream_id: uuid.UUID


class UpstreamEnd(NamedTuple):
    """How an upstream ended. `error` is None when this program closed it and the server confirmed everything."""

    error: Error | None
    undelivered_points: int
    undelivered_chunks: list[int]


class Point(NamedTuple):
    """A data point and its data id."""

    name: str
    type: str
    elapsed_time_ns: int
    payload: bytes


class Chunk(NamedTuple):
    """Points of one upstream that travelled together. Iterate over `points`.

    `filters` has the numbers of the filters of the downstream that a data id, `(name, type)`, matches; nothing where
    the server does not say. The filters given to `open_downstream` come behind those of its option `filter`.
    """

    source_node_id: str
    session_id: str
    upstream_id: uuid.UUID
    sequence_number: int
    points: list[Point]
    filters: dict[tuple[str, str], list[int]]


class Metadata(NamedTuple):
    """What happened beside the data. `kind` is a name such as "base_time"; fields it does not have are 0 or empty."""

    kind: str
    source_node_id: str
    session_id: str
    stream_id: uuid.UUID
    name: str
    priority: int
    elapsed_time_ns: int
    base_time_ns: int
    total_points: int
    final_sequence_number: int


def version() -> str:
    """Version of the library that is running."""
    return lib.iscp_version().decode()


def connect(
    url: str,
    *,
    timeout: float | None = None,
    token_source: Callable[[], str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Connection:
    """Connects to a server.

    `token_source` gives an access token, and is asked before every attempt to connect. `on_event` is told what happens
    to the connection. Both are called on a thread of the library and should return soon; blocking calls of this package
    fail inside them. The other options are those of docs/options.md, for example `node_id`, `token`, `tls_ca_file`.
    """
    with Options("conn", {"url": url, **options}) as collected:
        collected.handler("token_callback", _core.on_token, token_source)
        if on_event is not None:
            def handler(event: int, attempt: int, delay: float, error: Error | None) -> None:
                on_event(Event(_EVENTS.get(event, str(event)), attempt, delay, error))

            collected.handler("event_callback", _core.on_conn_event, handler)
        handle = obtain(lib.iscp_conn_free, lib.iscp_connect_wait, collected.pointer, milliseconds(timeout))
    return Connection(handle)


def _take(handle: Handle, function: Any, free: Any, timeout: float | None) -> Handle:
    """Waits for the next object of a source."""
    end = None if timeout is None else time.monotonic() + timeout
    with handle as pointer:
        while True:
            left = _SLICE_MS if end is None else milliseconds(max(0.0, end - time.monotonic()))
            try:
                return obtain(free, function, pointer, min(left, _SLICE_MS))
            except TimedOut:
                if left <= _SLICE_MS and end is not None:
                    raise


class _Object(abc.ABC):
    """A handle with a context manager that closes it; in the background when an exception is on its way."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self.close()
            else:
                with self._handle as pointer:
                    self._wake(pointer)
        except Closed:
            pass
        finally:
            self._handle.release()

    @abc.abstractmethod
    def close(self) -> None:
        """Closes it and waits for that."""

    def _wake(self, pointer: int) -> None:
        """Begins to close, so that nobody waits for ever with the handle."""


class Connection(_Object):
    """A connection to a server, from `connect`."""

    @property
    def state(self) -> str:
        """ "connected", "reconnecting" or "closed"."""
        try:
            with self._handle as pointer:
                return _STATES[lib.iscp_conn_state(pointer)]
        except Closed:
            return "closed"

    def stat(self, number: int) -> int:
        """A number about the connection: one of the ISCP_CONN_STAT constants of the header."""
        return _stat(self._handle, lib.iscp_conn_stat, number)

    def open_upstream(
        self,
        *,
        timeout: float | None = None,
        on_ack: Callable[[int, int, str], None] | None = None,
        on_event: Callable[[StreamEvent], None] | None = None,
        on_closed: Callable[[UpstreamEnd], None] | None = None,
        **options: Any,
    ) -> Upstream:
        """Opens a stream of points from this node.

        `on_ack` is told the sequence number, the result code (0 when the server took it) and the text of the server
        for every chunk, `on_event` what became of the stream after the connection was lost, and `on_closed`, once and
        last, how it ended; all on a thread of the library. Options: docs/options.md, for example `qos="reliable"`.
        """
        with Options("upstream", options) as collected, self._handle as pointer:
            collected.handler("ack_callback", _core.on_ack, on_ack)
            collected.handler("event_callback", _core.on_stream_event, _told_of_event(on_event))
            if on_closed is not None:
                collected.handler(
                    "closed_callback", _core.on_upstream_closed, lambda *end: on_closed(UpstreamEnd(*end))
                )
            open_wait, wait = lib.iscp_upstream_open_wait, milliseconds(timeout)
            return Upstream(obtain(lib.iscp_upstream_free, open_wait, pointer, collected.pointer, wait))

    def open_downstream(
        self,
        source_node_id: str,
        *filters: str,
        timeout: float | None = None,
        on_event: Callable[[StreamEvent], None] | None = None,
        on_closed: Callable[[Error | None], None] | None = None,
        **options: Any,
    ) -> Downstream:
        """Opens a stream of the points of a node.

        The filters are patterns `type:name`, all if there is none. The option `filter` adds those of other nodes, as
        "NODE TYPE:NAME" or a list of such texts. `on_event` is told what became of the stream after the connection was
        lost, and `on_closed`, once and last, why it ended, None when this program closed it; both on a thread of the
        library. Options: docs/options.md, for example `chunk_order="strict"`.
        """
        with Options("downstream", options) as collected, self._handle as pointer:
            collected.handler("event_callback", _core.on_stream_event, _told_of_event(on_event))
            collected.handler("closed_callback", _core.on_closed, on_closed)
            for pattern in filters or ("#:#",):
                add = lib.iscp_downstream_options_add_filter
                call(add, collected.pointer, text(source_node_id), text(pattern))
            open_wait, wait = lib.iscp_downstream_open_wait, milliseconds(timeout)
            return Downstream(obtain(lib.iscp_downstream_free, open_wait, pointer, collected.pointer, wait))

    def send_base_time(
        self,
        session_id: str,
        name: str,
        base_time_ns: int,
        *,
        elapsed_time_ns: int = 0,
        priority: int = 0,
        persist: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Ties the elapsed times of a session to a clock; readers receive it as metadata."""
        with self._handle as pointer:
            call(
                lib.iscp_conn_send_base_time_wait, pointer, text(session_id), text(name),
                integer("priority", priority, 32), integer("elapsed_time_ns", elapsed_time_ns, -64),
                integer("base_time_ns", base_time_ns, -64), persist, milliseconds(timeout),
            )

    def call(
        self, node_id: str, name: str, type: str, payload: bytes = b"", *, timeout: float | None = None
    ) -> Call:
        """Calls another node and waits for its reply."""
        with self._handle as pointer:
            reply = obtain(
                lib.iscp_call_free, lib.iscp_conn_call_wait, pointer, text(node_id), text(name), text(type), payload,
                len(payload), milliseconds(timeout),
            )
        return Call(self, reply)

    def next_call(self, timeout: float | None = None) -> Call:
        """Takes the next call of another node."""
        return Call(self, _take(self._handle, lib.iscp_conn_next_call_wait, lib.iscp_call_free, timeout))

    def close(self, timeout: float | None = None) -> None:
        """Flushes and closes all streams, then the connection. `Closed` when it was closed before."""
        with self._handle as pointer:
            call(lib.iscp_conn_close_wait, pointer, milliseconds(timeout))
        self._handle.release()

    def _wake(self, pointer: int) -> None:
        lib.iscp_conn_close(pointer, _native.done_cb(), None, None)


class Call:
    """A call of another node, or the reply to one."""

    def __init__(self, conn: Connection, handle: Handle) -> None:
        self._conn = conn
        self._handle = handle
        payload, length = ctypes.c_void_p(), ctypes.c_size_t()
        with handle as pointer:
            self.id: str = lib.iscp_call_id(pointer).decode()
            self.source_node_id: str = lib.iscp_call_source_node_id(pointer).decode()
            self.name: str = lib.iscp_call_name(pointer).decode()
            self.type: str = lib.iscp_call_type(pointer).decode()
            check(lib.iscp_call_payload(pointer, ctypes.byref(payload), ctypes.byref(length)))
            self.payload: bytes = ctypes.string_at(payload.value, length.value)

    def reply(self, name: str, type: str, payload: bytes = b"", *, timeout: float | None = None) -> None:
        """Replies to its sender."""
        with self._conn._handle as conn, self._handle as pointer:
            call(
                lib.iscp_conn_send_reply_wait, conn, pointer, text(name), text(type), payload, len(payload),
                milliseconds(timeout),
            )


class Upstream(_Object):
    """A stream of points from this node, from `Connection.open_upstream`."""

    def __init__(self, handle: Handle) -> None:
        super().__init__(handle)
        self._data_ids: dict[tuple[str, str], int] = {}
        with handle as pointer:
            self.id: uuid.UUID = _core.to_uuid(lib.iscp_upstream_id(pointer))

    def write(self, name: str, type: str, elapsed_time_ns: int, payload: bytes) -> None:
        """Writes a point. It is sent when the flush policy says so; waits only when the buffer is full."""
        with self._handle as pointer:
            data_id = self._data_id(pointer, name, type)
            elapsed = integer("elapsed_time_ns", elapsed_time_ns, -64)
            check(lib.iscp_upstream_write(pointer, data_id, elapsed, payload, len(payload)))

    def write_together(self, points: Iterable[Point]) -> None:
        """Writes several points, each with its data id, in order: all into one chunk or, when it fails, none."""
        points = list(points)
        array = (_native.UpstreamPoint * len(points))()
        with self._handle as pointer:
            for place, (name, type, elapsed_time_ns, payload) in zip(array, points):
                place.data_id = self._data_id(pointer, name, type)
                place.point.elapsed_time_ns = integer("elapsed_time_ns", elapsed_time_ns, -64)
                # The bytes stay where they are as long as the list has them.
                place.point.payload = ctypes.cast(ctypes.c_char_p(payload), ctypes.c_void_p)
                place.point.payload_len = len(payload)
            check(lib.iscp_upstream_write_together(pointer, array, len(points)))

    def write_acknowledged(
        self, name: str, type: str, elapsed_time_ns: int, payload: bytes, *, timeout: float | None = None
    ) -> None:
        """Writes a point and waits until the server acknowledged it."""
        with self._handle as pointer:
            call(
                lib.iscp_upstream_write_acknowledged_wait, pointer, self._data_id(pointer, name, type),
                integer("elapsed_time_ns", elapsed_time_ns, -64), payload, len(payload), milliseconds(timeout),
            )

    def _data_id(self, pointer: int, name: str, type: str) -> int:
        data_id = self._data_ids.get((name, type))
        if data_id is None:
            out = ctypes.c_uint32()
            call(lib.iscp_upstream_data_id, pointer, text(name), text(type), ctypes.byref(out))
            data_id = self._data_ids[name, type] = out.value
        return data_id

    def flush(self, *, acknowledged: bool = True, timeout: float | None = None) -> None:
        """Sends everything written before, and waits until the server answered for it unless told otherwise."""
        level = _native.FLUSH_ACKNOWLEDGED if acknowledged else _native.FLUSH_SENT
        with self._handle as pointer:
            call(lib.iscp_upstream_flush_wait, pointer, level, milliseconds(timeout))

    def stat(self, number: int) -> int:
        """A number about the stream: one of the ISCP_UPSTREAM_STAT constants of the header."""
        return _stat(self._handle, lib.iscp_upstream_stat, number)

    def close(self, *, close_session: bool = False, timeout: float | None = None) -> None:
        """Sends everything, waits until the server confirmed it, and closes the stream."""
        with self._handle as pointer:
            call(lib.iscp_upstream_close_wait, pointer, close_session, milliseconds(timeout))
        self._handle.release()


class Downstream(_Object):
    """A stream of the points of other nodes, from `Connection.open_downstream`.

    `for chunk in downstream` ends when this program closes the stream, and raises when it ends otherwise.
    """

    def __init__(self, handle: Handle) -> None:
        super().__init__(handle)
        with handle as pointer:
            self.id: uuid.UUID = _core.to_uuid(lib.iscp_downstream_id(pointer))

    def next_chunk(self, timeout: float | None = None) -> Chunk:
        """Takes the next chunk. With a time-out of 0 it raises `WouldBlock` when there is none."""
        chunk = _take(self._handle, lib.iscp_downstream_next_chunk_wait, lib.iscp_chunk_free, timeout)
        try:
            with chunk as pointer:
                return _read_chunk(pointer)
        finally:
            chunk.release()

    def next_metadata(self, timeout: float | None = None) -> Metadata:
        """Takes the next metadata. With a time-out of 0 it raises `WouldBlock` when there is none."""
        metadata = _take(self._handle, lib.iscp_downstream_next_metadata_wait, lib.iscp_metadata_free, timeout)
        try:
            with metadata as pointer:
                return _read_metadata(pointer)
        finally:
            metadata.release()

    def __iter__(self) -> Iterator[Chunk]:
        try:
            while True:
                yield self.next_chunk()
        except Closed:
            return

    def metadata(self) -> Iterator[Metadata]:
        """Metadata, as iterating over the stream gives chunks."""
        try:
            while True:
                yield self.next_metadata()
        except Closed:
            return

    def stat(self, number: int) -> int:
        """A number about the stream: one of the ISCP_DOWNSTREAM_STAT constants of the header."""
        return _stat(self._handle, lib.iscp_downstream_stat, number)

    def close(self, timeout: float | None = None) -> None:
        """Acknowledges what was taken and closes the stream. Threads that wait for a chunk are woken."""
        with self._handle as pointer:
            call(lib.iscp_downstream_close_wait, pointer, milliseconds(timeout))
        self._handle.release()

    def _wake(self, pointer: int) -> None:
        lib.iscp_downstream_close(pointer, _native.done_cb(), None, None)


def _told_of_event(handler: Callable[[StreamEvent], None] | None) -> Callable[..., None] | None:
    if handler is None:
        return None
    return lambda event, *ids: handler(StreamEvent(_STREAM_EVENTS.get(event, str(event)), *ids))


def _stat(handle: Handle, function: Any, number: int) -> int:
    out = ctypes.c_uint64()
    with handle as pointer:
        check(function(pointer, number, ctypes.byref(out)))
    return out.value


def _read_chunk(pointer: int) -> Chunk:
    """Copies a chunk."""
    points: list[Point] = []
    filters: dict[tuple[str, str], list[int]] = {}
    numbers, matched = ctypes.POINTER(ctypes.c_uint32)(), ctypes.c_size_t()
    name, type, array = ctypes.c_char_p(), ctypes.c_char_p(), ctypes.POINTER(_native.DataPoint)()
    count = ctypes.c_size_t()
    for group in range(lib.iscp_chunk_group_count(pointer)):
        check(lib.iscp_chunk_group(
            pointer, group, ctypes.byref(name), ctypes.byref(type), ctypes.byref(array), ctypes.byref(count)
        ))
        name_text, type_text = name.value.decode(), type.value.decode()
        for point in array[: count.value]:
            payload = ctypes.string_at(point.payload, point.payload_len) if point.payload_len else b""
            points.append(Point(name_text, type_text, point.elapsed_time_ns, payload))
        check(lib.iscp_chunk_group_filters(pointer, group, ctypes.byref(numbers), ctypes.byref(matched)))
        filters[name_text, type_text] = numbers[: matched.value]
    return Chunk(
        lib.iscp_chunk_source_node_id(pointer).decode(),
        lib.iscp_chunk_session_id(pointer).decode(),
        _core.to_uuid(lib.iscp_chunk_upstream_id(pointer)),
        lib.iscp_chunk_sequence_number(pointer),
        points,
        filters,
    )


def _read_metadata(pointer: int) -> Metadata:
    """Copies metadata."""
    return Metadata(
        lib.iscp_metadata_kind_name(lib.iscp_metadata_kind(pointer)).decode(),
        lib.iscp_metadata_source_node_id(pointer).decode(),
        lib.iscp_metadata_session_id(pointer).decode(),
        _core.to_uuid(lib.iscp_metadata_stream_id(pointer)),
        lib.iscp_metadata_name(pointer).decode(),
        lib.iscp_metadata_priority(pointer),
        lib.iscp_metadata_elapsed_time_ns(pointer),
        lib.iscp_metadata_base_time_ns(pointer),
        lib.iscp_metadata_total_points(pointer),
        lib.iscp_metadata_final_sequence_number(pointer),
    )
