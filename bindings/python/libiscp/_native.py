"""The functions, structures and constants of iscp.h, for ctypes. A test compares them with the header."""

from __future__ import annotations

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

# The name that the linker would record: it changes when a version breaks the ABI.
LIBRARY = "libiscp.so.0.1"

OK = 0
ERR_INVALID_ARGUMENT = -1
ERR_IN_CALLBACK = -8
ERR_WOULD_BLOCK = -100
ERR_TIMEOUT = -101
ERR_CLOSED = -102
ERR_CONNECTION_LOST = -203
ERR_REFUSED = -400
ERR_UNAUTHORIZED = -401
ERR_TOKEN_FAILED = -403

FLUSH_SENT = 0
FLUSH_ACKNOWLEDGED = 1

CONN_STATE_CONNECTED = 1
CONN_STATE_CLOSED = 2
CONN_STATE_RECONNECTING = 3

EVENT_CONNECTED = 1
EVENT_DISCONNECTED = 2
EVENT_RECONNECTING = 3
EVENT_RECONNECTED = 4
EVENT_CLOSED = 5

STREAM_EVENT_RESUMED = 1
STREAM_EVENT_REOPENED = 2

QOS_UNRELIABLE = 0
QOS_RELIABLE = 1
QOS_PARTIAL = 2


class Uuid(ctypes.Structure):
    """iscp_uuid_t"""

    _fields_ = [("bytes", c_uint8 * 16)]


class DataPoint(ctypes.Structure):
    """iscp_data_point_t"""

    _fields_ = [("elapsed_time_ns", c_int64), ("payload", c_void_p), ("payload_len", c_size_t)]


class UpstreamPoint(ctypes.Structure):
    """iscp_upstream_point_t"""

    _fields_ = [("data_id", c_uint32), ("point", DataPoint)]


release_cb = CFUNCTYPE(None, c_void_p)
done_cb = CFUNCTYPE(None, c_void_p, c_void_p)
token_cb = CFUNCTYPE(None, c_void_p, c_void_p)
event_cb = CFUNCTYPE(None, c_void_p, c_void_p)
ack_cb = CFUNCTYPE(None, c_uint32, c_int32, c_char_p, c_void_p)
closed_cb = CFUNCTYPE(None, c_void_p, c_void_p)
upstream_closed_cb = CFUNCTYPE(None, c_void_p, c_uint64, POINTER(c_uint32), c_size_t, c_void_p)
stream_event_cb = CFUNCTYPE(None, c_int32, c_void_p, c_void_p, c_void_p)

# Text and bytes that come from Python, and the places where functions store what they return.
_TEXT = c_char_p
_BYTES = c_char_p
_ERROR = POINTER(c_void_p)
_HANDLE = c_void_p
_OUT = POINTER(c_void_p)

FUNCTIONS = {
    "iscp_version": (c_char_p, []),
    "iscp_version_number": (c_uint32, []),
    "iscp_protocol_version": (c_char_p, []),
    "iscp_has_feature": (c_bool, [_TEXT]),
    "iscp_shutdown": (c_int32, [c_int32, _ERROR]),
    "iscp_status_name": (c_char_p, [c_int32]),
    "iscp_status_text": (c_char_p, [c_int32]),
    "iscp_result_code_name": (c_char_p, [c_int32]),
    "iscp_error_code": (c_int32, [c_void_p]),
    "iscp_error_message": (c_char_p, [c_void_p]),
    "iscp_error_result_code": (c_int32, [c_void_p]),
    "iscp_error_result_string": (c_char_p, [c_void_p]),
    "iscp_error_is_retriable": (c_bool, [c_void_p]),
    "iscp_error_is_fatal": (c_bool, [c_void_p]),
    "iscp_error_free": (None, [c_void_p]),
    "iscp_token_request_resolve": (c_int32, [c_void_p, _TEXT, _ERROR]),
    "iscp_token_request_reject": (c_int32, [c_void_p, _TEXT, _ERROR]),
    "iscp_conn_options_new": (c_void_p, []),
    "iscp_conn_options_free": (None, [c_void_p]),
    "iscp_conn_options_set": (c_int32, [c_void_p, _TEXT, _TEXT, _ERROR]),
    "iscp_conn_options_set_token_callback": (c_int32, [c_void_p, token_cb, c_void_p, release_cb, _ERROR]),
    "iscp_conn_options_set_event_callback": (c_int32, [c_void_p, event_cb, c_void_p, release_cb, _ERROR]),
    "iscp_event_kind": (c_int32, [c_void_p]),
    "iscp_event_error": (c_void_p, [c_void_p]),
    "iscp_event_attempt": (c_uint32, [c_void_p]),
    "iscp_event_delay_ms": (c_uint32, [c_void_p]),
    "iscp_connect_wait": (c_int32, [c_void_p, c_int32, _OUT, _ERROR]),
    "iscp_conn_close": (c_int32, [_HANDLE, done_cb, c_void_p, _ERROR]),
    "iscp_conn_close_wait": (c_int32, [_HANDLE, c_int32, _ERROR]),
    "iscp_conn_send_base_time_wait": (
        c_int32,
        [_HANDLE, _TEXT, _TEXT, c_uint32, c_int64, c_int64, c_bool, c_int32, _ERROR],
    ),
    "iscp_conn_state": (c_int32, [_HANDLE]),
    "iscp_conn_stat": (c_int32, [_HANDLE, c_int32, POINTER(c_uint64)]),
    "iscp_conn_free": (None, [c_void_p]),
    "iscp_call_id": (c_char_p, [c_void_p]),
    "iscp_call_source_node_id": (c_char_p, [c_void_p]),
    "iscp_call_name": (c_char_p, [c_void_p]),
    "iscp_call_type": (c_char_p, [c_void_p]),
    "iscp_call_payload": (c_int32, [c_void_p, _OUT, POINTER(c_size_t)]),
    "iscp_call_free": (None, [c_void_p]),
    "iscp_conn_send_reply_wait": (
        c_int32,
        [_HANDLE, c_void_p, _TEXT, _TEXT, _BYTES, c_size_t, c_int32, _ERROR],
    ),
    "iscp_conn_call_wait": (
        c_int32,
        [_HANDLE, _TEXT, _TEXT, _TEXT, _BYTES, c_size_t, c_int32, _OUT, _ERROR],
    ),
    "iscp_conn_next_call_wait": (c_int32, [_HANDLE, c_int32, _OUT, _ERROR]),
    "iscp_upstream_options_new": (c_void_p, []),
    "iscp_upstream_options_free": (None, [c_void_p]),
    "iscp_upstream_options_set": (c_int32, [c_void_p, _TEXT, _TEXT, _ERROR]),
    "iscp_upstream_options_set_ack_callback": (c_int32, [c_void_p, ack_cb, c_void_p, release_cb, _ERROR]),
    "iscp_upstream_options_set_closed_callback": (
        c_int32,
        [c_void_p, upstream_closed_cb, c_void_p, release_cb, _ERROR],
    ),
    "iscp_upstream_options_set_event_callback": (c_int32, [c_void_p, stream_event_cb, c_void_p, release_cb, _ERROR]),
    "iscp_upstream_open_wait": (c_int32, [_HANDLE, c_void_p, c_int32, _OUT, _ERROR]),
    "iscp_upstream_data_id": (c_int32, [_HANDLE, _TEXT, _TEXT, POINTER(c_uint32), _ERROR]),
    "iscp_upstream_write": (c_int32, [_HANDLE, c_uint32, c_int64, _BYTES, c_size_t]),
    "iscp_upstream_write_together": (c_int32, [_HANDLE, c_void_p, c_size_t]),
    "iscp_upstream_write_acknowledged_wait": (
        c_int32,
        [_HANDLE, c_uint32, c_int64, _BYTES, c_size_t, c_int32, _ERROR],
    ),
    "iscp_upstream_flush_wait": (c_int32, [_HANDLE, c_int32, c_int32, _ERROR]),
    "iscp_upstream_close_wait": (c_int32, [_HANDLE, c_bool, c_int32, _ERROR]),
    "iscp_upstream_stat": (c_int32, [_HANDLE, c_int32, POINTER(c_uint64)]),
    "iscp_upstream_id": (Uuid, [_HANDLE]),
    "iscp_upstream_free": (None, [c_void_p]),
    "iscp_chunk_sequence_number": (c_uint32, [c_void_p]),
    "iscp_chunk_source_node_id": (c_char_p, [c_void_p]),
    "iscp_chunk_session_id": (c_char_p, [c_void_p]),
    "iscp_chunk_upstream_id": (Uuid, [c_void_p]),
    "iscp_chunk_group_count": (c_size_t, [c_void_p]),
    "iscp_chunk_group": (
        c_int32,
        [c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_char_p), POINTER(POINTER(DataPoint)), POINTER(c_size_t)],
    ),
    "iscp_chunk_group_filters": (
        c_int32,
        [c_void_p, c_size_t, POINTER(POINTER(c_uint32)), POINTER(c_size_t)],
    ),
    "iscp_chunk_free": (None, [c_void_p]),
    "iscp_metadata_kind": (c_int32, [c_void_p]),
    "iscp_metadata_kind_name": (c_char_p, [c_int32]),
    "iscp_metadata_source_node_id": (c_char_p, [c_void_p]),
    "iscp_metadata_session_id": (c_char_p, [c_void_p]),
    "iscp_metadata_stream_id": (Uuid, [c_void_p]),
    "iscp_metadata_name": (c_char_p, [c_void_p]),
    "iscp_metadata_priority": (c_uint32, [c_void_p]),
    "iscp_metadata_elapsed_time_ns": (c_int64, [c_void_p]),
    "iscp_metadata_base_time_ns": (c_int64, [c_void_p]),
    "iscp_metadata_total_points": (c_uint64, [c_void_p]),
    "iscp_metadata_final_sequence_number": (c_uint32, [c_void_p]),
    "iscp_metadata_free": (None, [c_void_p]),
    "iscp_downstream_options_new": (c_void_p, []),
    "iscp_downstream_options_free": (None, [c_void_p]),
    "iscp_downstream_options_set": (c_int32, [c_void_p, _TEXT, _TEXT, _ERROR]),
    "iscp_downstream_options_add_filter": (c_int32, [c_void_p, _TEXT, _TEXT, _ERROR]),
    "iscp_downstream_options_set_closed_callback": (c_int32, [c_void_p, closed_cb, c_void_p, release_cb, _ERROR]),
    "iscp_downstream_options_set_event_callback": (c_int32, [c_void_p, stream_event_cb, c_void_p, release_cb, _ERROR]),
    "iscp_downstream_open_wait": (c_int32, [_HANDLE, c_void_p, c_int32, _OUT, _ERROR]),
    "iscp_downstream_next_chunk_wait": (c_int32, [_HANDLE, c_int32, _OUT, _ERROR]),
    "iscp_downstream_next_metadata_wait": (c_int32, [_HANDLE, c_int32, _OUT, _ERROR]),
    "iscp_downstream_pollable": (c_int32, [_HANDLE, POINTER(c_int32), _ERROR]),
    "iscp_downstream_close": (c_int32, [_HANDLE, done_cb, c_void_p, _ERROR]),
    "iscp_downstream_close_wait": (c_int32, [_HANDLE, c_int32, _ERROR]),
    "iscp_downstream_stat": (c_int32, [_HANDLE, c_int32, POINTER(c_uint64)]),
    "iscp_downstream_id": (Uuid, [_HANDLE]),
    "iscp_downstream_free": (None, [c_void_p]),
}


def _load() -> ctypes.CDLL:
    # CDLL and not PyDLL: it lets go of the interpreter lock during every call.
    library = ctypes.CDLL(os.environ.get("LIBISCP_LIBRARY", LIBRARY))
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


lib = _load()
