/**
 * @file iscp.h
 * @brief libiscp: iSCP (intdash Stream Control Protocol) for C and C++.
 *
 * Connect (`iscp_connect_wait`), open an upstream and write points (`iscp_upstream_open_wait`,
 * `iscp_upstream_data_id`, `iscp_upstream_write`), or open a downstream and read them
 * (`iscp_downstream_open_wait`, `iscp_downstream_next_chunk_wait`). The README has a complete program.
 *
 * What holds for every function:
 *
 * - Handles are pointers to opaque objects. Each is freed once with the `free` function of its type,
 *   in any order, on any thread, inside callbacks too; freeing never blocks, and freeing NULL does
 *   nothing. A handle that was freed answers `ISCP_ERR_BAD_HANDLE` (best effort: its memory may have
 *   become another handle), and after a fork a handle of the parent answers `ISCP_ERR_FORKED`.
 * - Functions return `ISCP_OK` or a negative status. Those with `out_error` store an object there
 *   with the detail, which the caller frees with `iscp_error_free`; NULL means no interest. Every
 *   other output is set to NULL or 0 on failure.
 * - Each function lists the statuses that it returns, or names the function that does. Not listed are
 *   what may happen to all: `ISCP_ERR_FORKED`; `ISCP_ERR_INVALID_ARGUMENT` for a `timeout_ms` below
 *   -1; `ISCP_ERR_PANIC`, a defect of the library that was caught.
 * - Every function may be called on any thread, and by several threads at once with one handle. Only
 *   options and errors are for one thread at a time.
 * - Text is UTF-8 and NUL-terminated. Arguments are borrowed for the call and copied if kept.
 * - Times of the protocol are `int64_t` nanoseconds (`_ns`), time-outs are milliseconds (`_ms`): -1
 *   waits for ever and 0 does not wait. So `iscp_downstream_next_chunk_wait` with 0 never blocks.
 *
 * Callbacks:
 *
 * - A function that talks to the server returns at once and calls back exactly once: on success,
 *   failure, time-out or cancellation, or when the connection ends. Its `user_data` is needed until
 *   then. If it returns a failure, it does not call back. Its twin `..._wait` blocks instead; after a
 *   time-out of its own the operation goes on in the background.
 * - Long-lived callbacks come with a `release` function, which is called exactly once with the
 *   `user_data`, after the last callback has returned, also when the operation failed.
 * - The callbacks of one connection run one at a time and in order on that connection's dispatcher
 *   thread; those of different connections run on different threads. No library lock is held, and a
 *   slow callback delays the callbacks of its connection only, never the network. Log messages come on
 *   a thread of their own, one at a time.
 * - Inside a callback every function may be called, `free` included, except those that block:
 *   `iscp_shutdown`, `iscp_log_set`, and what has `_wait` in its name. They answer
 *   `ISCP_ERR_IN_CALLBACK` at once. With a time-out of 0 taking (`iscp_..._next_..._wait`) does not
 *   block, and is allowed; a write that would block answers `ISCP_ERR_WOULD_BLOCK`.
 * - Arguments of a callback are valid until it returns, unless its documentation says that the
 *   application owns them.
 * - A callback must return: no C++ exception, no `longjmp`.
 */

#ifndef ISCP_ISCP_H
#define ISCP_ISCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Version of the header as text. */
#define ISCP_VERSION_STRING "0.1.0"

/** Version of the header as a number: major * 10000 + minor * 100 + patch. */
#define ISCP_VERSION_NUMBER (ISCP_VERSION_MAJOR * 10000 + ISCP_VERSION_MINOR * 100 + ISCP_VERSION_PATCH)

/**
 * Marks what the library exports. Define ISCP_DLL before including the header to import it from a
 * Windows DLL.
 */
#if defined(_WIN32) && defined(ISCP_DLL)
#define ISCP_API __declspec(dllimport)
#else
#define ISCP_API
#endif

/**
 * Major version of the header.
 */
#define ISCP_VERSION_MAJOR 0

/**
 * Minor version of the header.
 */
#define ISCP_VERSION_MINOR 1

/**
 * Patch version of the header.
 */
#define ISCP_VERSION_PATCH 0

/**
 * Bytes of the text of a call id of this library, its terminating NUL included.
 */
#define ISCP_CALL_ID_SIZE 37

/**
 * Largest payload of one point, in bytes.
 */
#define ISCP_MAX_PAYLOAD 15728640

/**
 * Most bytes of points that `iscp_upstream_write_together` writes: each point counts its payload and 23
 * bytes.
 */
#define ISCP_MAX_TOGETHER 524288

/**
 * A received call, or a reply to one.
 *
 * It never changes and may be read from any thread. Everything read from it, the payload included, is
 * valid until it is freed.
 */
typedef struct iscp_call_t iscp_call_t;

/**
 * A received chunk: points of one upstream that travelled together, grouped by data id.
 *
 * A chunk never changes and may be read from any thread. Everything read from it, payloads included,
 * is valid until it is freed.
 */
typedef struct iscp_chunk_t iscp_chunk_t;

/**
 * Settings of a connection, collected before `iscp_connect`, which copies them.
 */
typedef struct iscp_conn_options_t iscp_conn_options_t;

/**
 * A connection to a server.
 *
 * It is closed by `iscp_conn_close`, or in the background when the connection and every stream on it
 * have been freed; freeing the connection before its streams is fine. It may be used from any thread.
 */
typedef struct iscp_conn_t iscp_conn_t;

/**
 * Settings of a downstream, collected before `iscp_downstream_open`, which copies them.
 */
typedef struct iscp_downstream_options_t iscp_downstream_options_t;

/**
 * A stream of points and metadata of other nodes.
 *
 * It is closed by `iscp_downstream_close`, or in the background when it is freed. It may be used from
 * any thread. Chunks, and metadata, are either handed to a callback or pulled; a chunk counts as
 * received, towards the server, when the application takes it, unless `buffer_policy` is `fail`.
 */
typedef struct iscp_downstream_t iscp_downstream_t;

/**
 * What went wrong, in detail.
 *
 * Functions with an `out_error` parameter store a new object there when they fail; the caller owns
 * it and frees it with `iscp_error_free`. Objects given to callbacks belong to the library and are
 * valid until the callback returns. Passing NULL for `out_error` means that nobody wants to know.
 */
typedef struct iscp_error_t iscp_error_t;

/**
 * Something that happened to a connection or to a stream of it.
 *
 * Which accessors mean something depends on the kind; the others answer 0, NULL or an all-zero id. An event
 * never changes and may be read from any thread. Everything read from it is valid until it is freed.
 */
typedef struct iscp_event_t iscp_event_t;

/**
 * Received metadata: what happened to a node, a session or a stream beside its data.
 *
 * Which accessors mean something depends on the kind; the others answer 0, "" or an all-zero id.
 * Metadata never changes and may be read from any thread.
 */
typedef struct iscp_metadata_t iscp_metadata_t;

/**
 * A path of a connection: one transport to the server.
 *
 * What was agreed when it was made never changes; numbers are those of the moment in which they are asked
 * for. A path may be kept when the connection has left it, and may be read from any thread.
 */
typedef struct iscp_path_t iscp_path_t;

/**
 * Settings of the library's threads, collected before `iscp_runtime_configure`, which copies them.
 */
typedef struct iscp_runtime_options_t iscp_runtime_options_t;

/**
 * A question for an access token.
 *
 * The application answers it once, with `iscp_token_request_resolve` or `iscp_token_request_reject`,
 * inside the callback or later from any thread. The answer ends the object.
 */
typedef struct iscp_token_request_t iscp_token_request_t;

/**
 * Settings of an upstream, collected before `iscp_upstream_open`, which copies them.
 */
typedef struct iscp_upstream_options_t iscp_upstream_options_t;

/**
 * A stream of points from this node.
 *
 * It is closed by `iscp_upstream_close`, or in the background when it is freed. It may be used from
 * any thread; writes of several threads to one data id are in the order in which they happened.
 */
typedef struct iscp_upstream_t iscp_upstream_t;

/**
 * Outcome of a function: `ISCP_OK` or one of the negative `ISCP_ERR_…` codes.
 *
 * The codes come in families, and no number is ever given a second meaning: usage (-1 …), state
 * (-100 …), input and output (-200 …), protocol (-300 …), answers of the server (-400 …), defects
 * (-900 …).
 */
typedef int32_t iscp_status_t;

/**
 * Importance of a log message: one of the `ISCP_LOG_…` constants.
 */
typedef int32_t iscp_log_level_t;

/**
 * Receives log messages.
 *
 * Called on the library's log thread, one message at a time. Any function may be called inside,
 * blocking twins excepted.
 *
 * `level` is the importance, `target` the part of the library, `message` the text; both texts are
 * valid until the callback returns. `user_data` is as given to `iscp_log_set`.
 */
typedef void (*iscp_log_cb)(iscp_log_level_t level, const char *target, const char *message, void *user_data);

/**
 * Tells the application that its pointer is not needed any more.
 *
 * Called exactly once, after the last callback that was given the pointer has returned, also when
 * the operation the callback was meant for failed. NULL when there is nothing to release.
 *
 * Called on the connection's dispatcher thread when a stream or connection was the last to need the
 * pointer, on the library's log thread or by `iscp_log_set` for a log callback, and otherwise by the
 * call that freed the options or failed.
 */
typedef void (*iscp_release_cb)(void *user_data);

/**
 * What a thread of the library does: one of the `ISCP_THREAD_…` constants. Later versions may have more.
 */
typedef int32_t iscp_thread_kind_t;

/**
 * Called on a thread of the library when it starts, or ends.
 *
 * `kind` is one of the `ISCP_THREAD_…` constants. What it does to the calling thread, such as setting its
 * priority or attaching a virtual machine, holds for everything that runs on it. Several threads may call it
 * at once.
 */
typedef void (*iscp_thread_cb)(iscp_thread_kind_t kind, void *user_data);

/**
 * What an event says: one of the `ISCP_EVENT_…` constants. Later versions may have more.
 */
typedef int32_t iscp_event_kind_t;

/**
 * A UUID, in the order of its text form.
 */
typedef struct iscp_uuid_t {
    /**
     * The 16 bytes.
     */
    uint8_t bytes[16];
} iscp_uuid_t;

/**
 * Asked for an access token before every attempt to connect.
 *
 * Called on the connection's dispatcher thread. `request` is the application's from now on and must
 * be answered; the attempt fails when `token_timeout_ms` passes first. `user_data` is as given to
 * `iscp_conn_options_set_token_callback` or `iscp_conn_options_set_header_token_callback`.
 */
typedef void (*iscp_token_cb)(struct iscp_token_request_t *request, void *user_data);

/**
 * Told that a connection or stream has ended.
 *
 * Called once on the connection's dispatcher thread, and never for one that could not be opened.
 * `error` is NULL when the application closed it and otherwise says why it ended; it is valid until
 * the callback returns.
 */
typedef void (*iscp_closed_cb)(const struct iscp_error_t *error, void *user_data);

/**
 * Told what happens to a connection and its streams.
 *
 * Called on the connection's dispatcher thread. `event` is valid until the callback returns;
 * `iscp_event_ref` keeps it longer.
 */
typedef void (*iscp_event_cb)(const struct iscp_event_t *event, void *user_data);

/**
 * Told what became of points that an earlier process left in the spool.
 *
 * Called on the connection's dispatcher thread, once for each stream whose points were left. `session_id` is the
 * session of the points, `former_stream_id` the stream on which they were last sent (all zero if they never were)
 * and `stream_id` the one on which they were delivered: the same if the server still had it, and then nothing
 * arrives twice. `points` is how many were delivered and `missing_points` how many are lost because their file is
 * damaged. `error` says why the points stay in the spool, and is NULL when they were delivered. The pointers are
 * valid until the callback returns.
 */
typedef void (*iscp_spool_cb)(const char *session_id,
                              const struct iscp_uuid_t *former_stream_id,
                              const struct iscp_uuid_t *stream_id,
                              uint64_t points,
                              uint64_t missing_points,
                              const struct iscp_error_t *error,
                              void *user_data);

/**
 * Told how an attempt to connect ended.
 *
 * Called once on the connection's dispatcher thread. On success `conn` is the application's, to be
 * freed with `iscp_conn_free`, and `error` is NULL; on failure `conn` is NULL and `error` is valid
 * until the callback returns.
 */
typedef void (*iscp_connect_cb)(struct iscp_conn_t *conn, const struct iscp_error_t *error, void *user_data);

/**
 * Told how an operation ended.
 *
 * Called once on the connection's dispatcher thread. `error` is NULL on success and otherwise valid
 * until the callback returns.
 */
typedef void (*iscp_done_cb)(const struct iscp_error_t *error, void *user_data);

/**
 * State of a connection: one of the `ISCP_CONN_STATE_…` constants.
 */
typedef int32_t iscp_conn_state_t;

/**
 * A number about a connection: one of the `ISCP_CONN_STAT_…` constants.
 */
typedef int32_t iscp_conn_stat_t;

/**
 * Told how long the server took to answer a ping.
 *
 * Called once on the connection's dispatcher thread. On success `error` is NULL and `round_trip_ns` the
 * nanoseconds from when the ping left to its answer; on failure `round_trip_ns` is 0 and `error` is valid
 * until the callback returns.
 */
typedef void (*iscp_ping_cb)(int64_t round_trip_ns, const struct iscp_error_t *error, void *user_data);

/**
 * A number about a path: one of the `ISCP_PATH_STAT_…` constants.
 */
typedef int32_t iscp_path_stat_t;

/**
 * Told how a call ended.
 *
 * Called once on the connection's dispatcher thread. On success `error` is NULL and `reply` is valid
 * until the callback returns; `iscp_call_ref` keeps it longer. On failure `reply` is NULL and `error`
 * is valid until the callback returns.
 */
typedef void (*iscp_reply_cb)(const struct iscp_call_t *reply,
                              const struct iscp_error_t *error,
                              void *user_data);

/**
 * Receives calls, or replies.
 *
 * Called on the connection's dispatcher thread, one at a time and in order. `call` is valid until the
 * callback returns; `iscp_call_ref` keeps it longer.
 */
typedef void (*iscp_call_cb)(const struct iscp_call_t *call, void *user_data);

/**
 * QoS of a stream: one of the `ISCP_QOS_…` constants.
 */
typedef int32_t iscp_qos_t;

/**
 * Told what the server said about a chunk.
 *
 * Called on the connection's dispatcher thread for every chunk, except those of UNRELIABLE and PARTIAL
 * streams that are lost. `result_code` is 0 when the server took it, otherwise a result code of the protocol,
 * among them 70, `ACK_TIMEOUT`, when the acknowledgement did not come within `ack_timeout_ms`;
 * `result_string` is valid until the callback returns.
 */
typedef void (*iscp_ack_cb)(uint32_t sequence_number,
                            int32_t result_code,
                            const char *result_string,
                            void *user_data);

/**
 * Shown a chunk that is about to be sent.
 *
 * Called on the connection's dispatcher thread for every chunk, one at a time, in the order of their sequence
 * numbers, before every other callback about the chunk or a point in it. `chunk` is valid until the callback
 * returns; `iscp_chunk_ref` keeps it longer. It shares the memory of what is sent: nothing is copied.
 *
 * The callback observes and does not hold up the chunk: it is asked for before the chunk is handed to the
 * transport, and may run before, while or after the bytes leave. Only when it lags behind so far that 16384
 * calls of it and of the acknowledgement callback wait, or chunks of `in_flight_limit` bytes, no further chunk is
 * made until it catches up; the write buffer fills meanwhile. A chunk that is sent again after the connection
 * was lost is not shown again, also when it has another number then (option `reopen`).
 */
typedef void (*iscp_before_send_cb)(const struct iscp_chunk_t *chunk, void *user_data);

/**
 * Told how an upstream ended.
 *
 * Called once on the connection's dispatcher thread, after every other callback of the stream, and
 * never for one that could not be opened.
 * `error` is NULL when the application closed the stream and the server confirmed everything, or what it
 * did not was lost as the QoS allows: by datagrams, or with the connection.
 * `undelivered_points` counts the points whose delivery the server did not confirm, those included that were
 * dropped because the buffer was full (option `buffer_policy`);
 * `undelivered_chunks` holds the sequence numbers of `undelivered_chunk_count` chunks that were sent
 * and not confirmed, in order; points that never left the buffer have no number. Once the stream was opened
 * anew (option `reopen`) the numbers are those of its last id. Error and array are valid until the callback
 * returns.
 */
typedef void (*iscp_upstream_closed_cb)(const struct iscp_error_t *error,
                                        uint64_t undelivered_points,
                                        const uint32_t *undelivered_chunks,
                                        size_t undelivered_chunk_count,
                                        void *user_data);

/**
 * What happened to a stream: one of the `ISCP_STREAM_EVENT_…` constants.
 */
typedef int32_t iscp_stream_event_t;

/**
 * Told what happened to a stream whose connection had been lost.
 *
 * Called on the connection's dispatcher thread. `event` is one of the `ISCP_STREAM_EVENT_…` constants; later
 * versions may have more. `stream_id` is the id the stream has now and `former_stream_id` the one it had,
 * the same unless it was opened anew; both are valid until the callback returns.
 */
typedef void (*iscp_stream_event_cb)(iscp_stream_event_t event,
                                     const struct iscp_uuid_t *stream_id,
                                     const struct iscp_uuid_t *former_stream_id,
                                     void *user_data);

/**
 * Told how opening an upstream ended.
 *
 * Called once on the connection's dispatcher thread. On success `upstream` is the application's, to
 * be freed with `iscp_upstream_free`, and `error` is NULL; on failure `upstream` is NULL and `error`
 * is valid until the callback returns.
 */
typedef void (*iscp_upstream_open_cb)(struct iscp_upstream_t *upstream,
                                      const struct iscp_error_t *error,
                                      void *user_data);

/**
 * A data id of one upstream, from `iscp_upstream_data_id`. Never 0.
 */
typedef uint32_t iscp_data_id_t;

/**
 * What a flush waits for: one of the `ISCP_FLUSH_…` constants.
 */
typedef int32_t iscp_flush_level_t;

/**
 * A number about an upstream: one of the `ISCP_UPSTREAM_STAT_…` constants.
 */
typedef int32_t iscp_upstream_stat_t;

/**
 * State of an upstream: one of the `ISCP_UPSTREAM_STATE_…` constants.
 */
typedef int32_t iscp_upstream_state_t;

/**
 * A data point.
 */
typedef struct iscp_data_point_t {
    /**
     * Nanoseconds since the time origin of the session; may be negative.
     */
    int64_t elapsed_time_ns;
    /**
     * Bytes of the application; NULL only when there are none.
     */
    const uint8_t *payload;
    /**
     * How many there are.
     */
    size_t payload_len;
} iscp_data_point_t;

/**
 * A data point to be written and what it belongs to.
 */
typedef struct iscp_upstream_point_t {
    /**
     * What the point belongs to, from `iscp_upstream_data_id` of the upstream.
     */
    iscp_data_id_t data_id;
    /**
     * The point.
     */
    struct iscp_data_point_t point;
} iscp_upstream_point_t;

/**
 * Kind of metadata: one of the `ISCP_METADATA_…` constants.
 */
typedef int32_t iscp_metadata_kind_t;

/**
 * Told how opening a downstream ended.
 *
 * Called once on the connection's dispatcher thread. On success `downstream` is the application's, to
 * be freed with `iscp_downstream_free`, and `error` is NULL; on failure `downstream` is NULL and
 * `error` is valid until the callback returns.
 */
typedef void (*iscp_downstream_open_cb)(struct iscp_downstream_t *downstream,
                                        const struct iscp_error_t *error,
                                        void *user_data);

/**
 * State of a downstream: one of the `ISCP_DOWNSTREAM_STATE_…` constants.
 */
typedef int32_t iscp_downstream_state_t;

/**
 * A number about a downstream: one of the `ISCP_DOWNSTREAM_STAT_…` constants.
 */
typedef int32_t iscp_downstream_stat_t;

/**
 * Receives chunks.
 *
 * Called on the connection's dispatcher thread, for one chunk at a time and in the order of `chunk_order`. A chunk may be
 * empty: unless told otherwise by `iscp_downstream_options_set_omit_empty_chunk`, the server sends one
 * for every chunk of the node of which no point matches. `chunk` is valid until the callback returns;
 * `iscp_chunk_ref` keeps it longer.
 */
typedef void (*iscp_chunk_cb)(const struct iscp_chunk_t *chunk, void *user_data);

/**
 * Receives metadata.
 *
 * Called on the connection's dispatcher thread, in order with the chunks if they go to a callback
 * too. `metadata` is valid until the callback returns; `iscp_metadata_ref` keeps it longer.
 */
typedef void (*iscp_metadata_cb)(const struct iscp_metadata_t *metadata, void *user_data);

/**
 * Success.
 */
#define ISCP_OK 0

/**
 * An argument has a value the function does not take.
 */
#define ISCP_ERR_INVALID_ARGUMENT -1

/**
 * A pointer that must not be NULL is NULL.
 */
#define ISCP_ERR_NULL_ARGUMENT -2

/**
 * The handle is not, or no longer, a live handle of the type the function takes.
 */
#define ISCP_ERR_BAD_HANDLE -3

/**
 * A text is not valid UTF-8.
 */
#define ISCP_ERR_INVALID_UTF8 -4

/**
 * There is no option of this name.
 */
#define ISCP_ERR_UNKNOWN_OPTION -5

/**
 * An option's value cannot be used.
 */
#define ISCP_ERR_INVALID_OPTION -6

/**
 * A value exceeds a limit of the library.
 */
#define ISCP_ERR_TOO_LARGE -7

/**
 * A blocking function was called on one of the library's threads.
 */
#define ISCP_ERR_IN_CALLBACK -8

/**
 * The process was forked; the handle belongs to the parent.
 */
#define ISCP_ERR_FORKED -9

/**
 * The library was built without this feature.
 */
#define ISCP_ERR_UNSUPPORTED -10

/**
 * The operation would have to wait.
 */
#define ISCP_ERR_WOULD_BLOCK -100

/**
 * The time-out passed.
 */
#define ISCP_ERR_TIMEOUT -101

/**
 * The connection or stream is closed.
 */
#define ISCP_ERR_CLOSED -102

/**
 * The operation was cancelled.
 */
#define ISCP_ERR_CANCELLED -103

/**
 * A buffer reached its limit.
 */
#define ISCP_ERR_OVERFLOW -104

/**
 * The operation does not fit the state of the object.
 */
#define ISCP_ERR_INVALID_STATE -105

/**
 * The sequence numbers of the stream are used up.
 */
#define ISCP_ERR_SEQUENCE_EXHAUSTED -106

/**
 * Chunks of an upstream are missing, or came in another order than was promised.
 */
#define ISCP_ERR_OUT_OF_ORDER -107

/**
 * The host name was not found.
 */
#define ISCP_ERR_RESOLVE -200

/**
 * No connection to the server could be made.
 */
#define ISCP_ERR_CONNECT_FAILED -201

/**
 * The server refused the transport's handshake.
 */
#define ISCP_ERR_HANDSHAKE -202

/**
 * The connection was lost.
 */
#define ISCP_ERR_CONNECTION_LOST -203

/**
 * The peer stopped answering keep-alive messages.
 */
#define ISCP_ERR_KEEP_ALIVE_TIMEOUT -204

/**
 * TLS failed: a certificate is not trusted, or not usable.
 */
#define ISCP_ERR_TLS -205

/**
 * The spool on disk cannot be used: another process has it, or the system refuses it.
 */
#define ISCP_ERR_SPOOL -206

/**
 * The peer sent something that is not a valid message.
 */
#define ISCP_ERR_MALFORMED_MESSAGE -300

/**
 * The peer broke the rules of the protocol.
 */
#define ISCP_ERR_PROTOCOL_VIOLATION -301

/**
 * The peers have no protocol version in common.
 */
#define ISCP_ERR_INCOMPATIBLE_VERSION -302

/**
 * The server refused the request.
 */
#define ISCP_ERR_REFUSED -400

/**
 * The server refused the credentials.
 */
#define ISCP_ERR_UNAUTHORIZED -401

/**
 * The server ended the connection.
 */
#define ISCP_ERR_DISCONNECTED -402

/**
 * The token source failed.
 */
#define ISCP_ERR_TOKEN_FAILED -403

/**
 * A defect of the library; please report it.
 */
#define ISCP_ERR_INTERNAL -900

/**
 * A panic was caught; please report it.
 */
#define ISCP_ERR_PANIC -901

/**
 * The system refused a thread, memory or a descriptor.
 */
#define ISCP_ERR_RESOURCE -902

/**
 * Nothing is logged.
 */
#define ISCP_LOG_OFF 0

/**
 * Something failed and the application may not learn of it otherwise.
 */
#define ISCP_LOG_ERROR 1

/**
 * Something is not as it should be.
 */
#define ISCP_LOG_WARN 2

/**
 * Connections and streams that come and go.
 */
#define ISCP_LOG_INFO 3

/**
 * What helps to find out why something does not work.
 */
#define ISCP_LOG_DEBUG 4

/**
 * Everything.
 */
#define ISCP_LOG_TRACE 5

/**
 * Drives every connection; there is one. Its name ends with `-runtime`.
 */
#define ISCP_THREAD_RUNTIME 1

/**
 * Runs the callbacks of a connection, from the first to the last. Its name ends with `-dispatch`.
 */
#define ISCP_THREAD_DISPATCHER 2

/**
 * Asks the system for the addresses of a host name, and ends some seconds later. Its name ends with
 * `-resolve`.
 */
#define ISCP_THREAD_RESOLVER 3

/**
 * Reads points back from a spool. Its name ends with `-spool`.
 */
#define ISCP_THREAD_SPOOL 4

/**
 * Runs the log callback. Its name ends with `-log`.
 */
#define ISCP_THREAD_LOG 5

/**
 * The server accepted the connection for the first time.
 */
#define ISCP_EVENT_CONNECTED 1

/**
 * The connection was lost; the error says why. There will be attempts to make it anew.
 */
#define ISCP_EVENT_DISCONNECTED 2

/**
 * There will be an attempt to make the connection anew: see `iscp_event_attempt` and
 * `iscp_event_delay_ms`. The error says why it was lost, or why the attempt before failed.
 */
#define ISCP_EVENT_RECONNECTING 3

/**
 * The server accepted the connection again. Its streams come back afterwards, each with an event of its
 * own.
 */
#define ISCP_EVENT_RECONNECTED 4

/**
 * The connection ended: the error says why, and is NULL when the application closed it. Nothing follows but
 * the callback of `iscp_conn_options_set_closed_callback`.
 */
#define ISCP_EVENT_CLOSED 5

/**
 * An upstream goes on after the connection was lost.
 */
#define ISCP_EVENT_UPSTREAM_RESUMED 6

/**
 * The server had forgotten an upstream, and another was opened in its place.
 */
#define ISCP_EVENT_UPSTREAM_REOPENED 7

/**
 * An upstream ended: the error says why, and is NULL as that of `iscp_upstream_closed_cb` is. What was not
 * delivered is counted.
 */
#define ISCP_EVENT_UPSTREAM_CLOSED 8

/**
 * A downstream goes on after the connection was lost.
 */
#define ISCP_EVENT_DOWNSTREAM_RESUMED 9

/**
 * The server had forgotten a downstream, and another was opened in its place.
 */
#define ISCP_EVENT_DOWNSTREAM_REOPENED 10

/**
 * A downstream ended: the error says why, and is NULL when the application closed it.
 */
#define ISCP_EVENT_DOWNSTREAM_CLOSED 11

/**
 * Events before the next one were dropped, because more than `event_queue_limit` waited for the application:
 * see `iscp_event_dropped`.
 */
#define ISCP_EVENT_DROPPED 12

/**
 * The stream goes on after the connection was lost.
 */
#define ISCP_STREAM_EVENT_RESUMED 1

/**
 * The server had forgotten the stream, and another was opened in its place.
 */
#define ISCP_STREAM_EVENT_REOPENED 2

/**
 * In use.
 */
#define ISCP_CONN_STATE_CONNECTED 1

/**
 * Ended, by the application or otherwise.
 */
#define ISCP_CONN_STATE_CLOSED 2

/**
 * Lost, and about to be made anew; streams and calls wait for it.
 */
#define ISCP_CONN_STATE_RECONNECTING 3

/**
 * Messages sent.
 */
#define ISCP_CONN_STAT_MESSAGES_SENT 1

/**
 * Messages received.
 */
#define ISCP_CONN_STAT_MESSAGES_RECEIVED 2

/**
 * Bytes of the messages sent, without the transport's framing.
 */
#define ISCP_CONN_STAT_BYTES_SENT 3

/**
 * Bytes of the messages received, without the transport's framing.
 */
#define ISCP_CONN_STAT_BYTES_RECEIVED 4

/**
 * Nanoseconds the last ping and its answer took; 0 before the first.
 */
#define ISCP_CONN_STAT_ROUND_TRIP_NS 5

/**
 * Messages of UNRELIABLE upstreams that were dropped because datagrams left too slowly.
 */
#define ISCP_CONN_STAT_MESSAGES_DROPPED 6

/**
 * Calls of other nodes received, those that were dropped included.
 */
#define ISCP_CONN_STAT_CALLS_RECEIVED 7

/**
 * Calls dropped because too many waited for the application (`call_queue_limit`, `call_queue_bytes`).
 */
#define ISCP_CONN_STAT_CALLS_DROPPED 8

/**
 * Calls that wait for the application.
 */
#define ISCP_CONN_STAT_CALLS_WAITING 9

/**
 * Replies received for which nobody waited, those that were dropped included.
 */
#define ISCP_CONN_STAT_REPLIES_RECEIVED 10

/**
 * Replies dropped because too many waited for the application.
 */
#define ISCP_CONN_STAT_REPLIES_DROPPED 11

/**
 * Replies that wait for the application.
 */
#define ISCP_CONN_STAT_REPLIES_WAITING 12

/**
 * Times the connection was lost and was to be made anew.
 */
#define ISCP_CONN_STAT_LOSSES 13

/**
 * Times it was made anew.
 */
#define ISCP_CONN_STAT_RECONNECTS 14

/**
 * Bytes that the spool takes on disk.
 */
#define ISCP_CONN_STAT_SPOOL_BYTES 15

/**
 * Points given up because the spool was full (`spool_full`).
 */
#define ISCP_CONN_STAT_SPOOL_DROPPED 16

/**
 * Points of earlier processes that were delivered.
 */
#define ISCP_CONN_STAT_SPOOL_RECOVERED 17

/**
 * Paths of which the connection consists at present: 1 without `iscp_conn_options_add_path`, 0 while it is lost.
 */
#define ISCP_CONN_STAT_PATHS 18

/**
 * Events dropped because too many waited for the application (`event_queue_limit`).
 */
#define ISCP_CONN_STAT_EVENTS_DROPPED 19

/**
 * Points sent, those that were sent again included.
 */
#define ISCP_CONN_STAT_POINTS_SENT 20

/**
 * Points received, those that came again included.
 */
#define ISCP_CONN_STAT_POINTS_RECEIVED 21

/**
 * Nanoseconds of a round trip, as TCP or QUIC estimates it.
 */
#define ISCP_PATH_STAT_ROUND_TRIP_NS 1

/**
 * Nanoseconds by which the round trips vary. TCP only.
 */
#define ISCP_PATH_STAT_ROUND_TRIP_VARIANCE_NS 2

/**
 * Nanoseconds of the shortest round trip. QUIC only.
 */
#define ISCP_PATH_STAT_MIN_ROUND_TRIP_NS 3

/**
 * Bytes that may be under way: the congestion window.
 */
#define ISCP_PATH_STAT_CONGESTION_WINDOW 4

/**
 * Bytes of the largest packet: for TCP with the headers of IP, for QUIC what is in a datagram.
 */
#define ISCP_PATH_STAT_MTU 5

/**
 * Segments that are under way and not acknowledged. TCP only.
 */
#define ISCP_PATH_STAT_UNACKED_SEGMENTS 6

/**
 * Segments that were sent again. TCP only.
 */
#define ISCP_PATH_STAT_RETRANSMITTED_SEGMENTS 7

/**
 * Packets that were sent. QUIC only.
 */
#define ISCP_PATH_STAT_SENT_PACKETS 8

/**
 * Packets that were lost. QUIC only.
 */
#define ISCP_PATH_STAT_LOST_PACKETS 9

/**
 * Times the path was found congested. QUIC only.
 */
#define ISCP_PATH_STAT_CONGESTION_EVENTS 10

/**
 * Points may be lost; datagrams where the transport has them.
 */
#define ISCP_QOS_UNRELIABLE 0

/**
 * The server confirms every point; one that could not be delivered is reported.
 */
#define ISCP_QOS_RELIABLE 1

/**
 * The reliable channel, but nothing is sent again after a loss of the connection.
 */
#define ISCP_QOS_PARTIAL 2

/**
 * Everything written before was handed to the transport. It may still be in a buffer of the operating system; if
 * the connection is lost, RELIABLE points are sent again and others may be lost. While there is no connection
 * what waits in the write buffer is waited for.
 */
#define ISCP_FLUSH_SENT 0

/**
 * The server answered for everything written before; a chunk that it refused since the last flush of
 * this level makes the flush fail with `ISCP_ERR_REFUSED`, one that was lost with `ISCP_ERR_TIMEOUT`.
 */
#define ISCP_FLUSH_ACKNOWLEDGED 1

/**
 * Points that left in chunks; since the stream was last opened anew, if it was (option `reopen`).
 */
#define ISCP_UPSTREAM_STAT_TOTAL_POINTS 1

/**
 * Sequence number of the newest chunk; 0 before the first.
 */
#define ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER 2

/**
 * Points that wait to be sent.
 */
#define ISCP_UPSTREAM_STAT_BUFFERED_POINTS 3

/**
 * Bytes of the points that wait to be sent, with their framing.
 */
#define ISCP_UPSTREAM_STAT_BUFFERED_BYTES 4

/**
 * Chunks sent and not acknowledged.
 */
#define ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS 5

/**
 * Bytes of the points in chunks sent and not acknowledged.
 */
#define ISCP_UPSTREAM_STAT_IN_FLIGHT_BYTES 6

/**
 * Points that the server refused, or that were given up.
 */
#define ISCP_UPSTREAM_STAT_FAILED_POINTS 7

/**
 * Points that were dropped because the buffer was full (option `buffer_policy`).
 */
#define ISCP_UPSTREAM_STAT_DROPPED_POINTS 8

/**
 * Data ids that travel as aliases, which the server has given so far.
 */
#define ISCP_UPSTREAM_STAT_ALIASES 9

/**
 * In use.
 */
#define ISCP_UPSTREAM_STATE_OPEN 1

/**
 * The connection was lost, or the server forgot the stream, and it is about to come back. Points may be written.
 */
#define ISCP_UPSTREAM_STATE_RESUMING 2

/**
 * Being closed: no points are taken any more, and what was written is being delivered.
 */
#define ISCP_UPSTREAM_STATE_CLOSING 3

/**
 * Ended, in order or not.
 */
#define ISCP_UPSTREAM_STATE_CLOSED 4

/**
 * The node sent a base time: session, name, priority, elapsed time and base time.
 */
#define ISCP_METADATA_BASE_TIME 1

/**
 * An upstream was opened: stream, session and QoS.
 */
#define ISCP_METADATA_UPSTREAM_OPEN 2

/**
 * An upstream ended without being closed: stream and session.
 */
#define ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE 3

/**
 * An upstream was resumed: stream, session and QoS.
 */
#define ISCP_METADATA_UPSTREAM_RESUME 4

/**
 * An upstream was closed: stream, session, total points and final sequence number.
 */
#define ISCP_METADATA_UPSTREAM_NORMAL_CLOSE 5

/**
 * The node opened a downstream: stream, filters and QoS.
 */
#define ISCP_METADATA_DOWNSTREAM_OPEN 6

/**
 * A downstream of the node ended without being closed: stream.
 */
#define ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE 7

/**
 * A downstream of the node was resumed: stream, filters and QoS.
 */
#define ISCP_METADATA_DOWNSTREAM_RESUME 8

/**
 * A downstream of the node was closed: stream.
 */
#define ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE 9

/**
 * In use.
 */
#define ISCP_DOWNSTREAM_STATE_OPEN 1

/**
 * Its connection was lost, and it did not come back yet.
 */
#define ISCP_DOWNSTREAM_STATE_RESUMING 2

/**
 * The application closes it.
 */
#define ISCP_DOWNSTREAM_STATE_CLOSING 3

/**
 * Ended, by the application or otherwise. What was received can still be taken.
 */
#define ISCP_DOWNSTREAM_STATE_CLOSED 4

/**
 * Chunks received, those that were dropped because the application was too slow included.
 */
#define ISCP_DOWNSTREAM_STAT_CHUNKS 1

/**
 * Points received.
 */
#define ISCP_DOWNSTREAM_STAT_POINTS 2

/**
 * Chunks dropped because the application did not take them in time; never of a RELIABLE stream.
 */
#define ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS 3

/**
 * Points in the chunks that were dropped.
 */
#define ISCP_DOWNSTREAM_STAT_DROPPED_POINTS 4

/**
 * Metadata dropped because the application did not take it and more than 4096 waited.
 */
#define ISCP_DOWNSTREAM_STAT_DROPPED_METADATA 5

/**
 * Chunks that wait for the application.
 */
#define ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS 6

/**
 * Bytes of the payloads received.
 */
#define ISCP_DOWNSTREAM_STAT_BYTES 7

/**
 * Metadata received, those that were dropped included.
 */
#define ISCP_DOWNSTREAM_STAT_METADATA 8

/**
 * Bytes that the chunks occupy that wait for the application: what `buffer_limit` limits.
 */
#define ISCP_DOWNSTREAM_STAT_BUFFERED_BYTES 9

/**
 * Metadata that wait for the application.
 */
#define ISCP_DOWNSTREAM_STAT_BUFFERED_METADATA 10

/**
 * Chunks that came again and were not handed out a second time. A stream that is not RELIABLE hands them out
 * again when its `chunk_order` is `as_received`, and does not count them.
 */
#define ISCP_DOWNSTREAM_STAT_DUPLICATE_CHUNKS 11

/**
 * Chunks lost as far as is known: sequence numbers that were left out, since the first one seen of their
 * upstream, and have not come by now. One that comes later is subtracted. Always 0 with `omit_empty_chunk`.
 */
#define ISCP_DOWNSTREAM_STAT_LOST_CHUNKS 12

/**
 * Chunks that came before an earlier one and waited for it, with another `chunk_order` than `as_received`.
 */
#define ISCP_DOWNSTREAM_STAT_REORDERED_CHUNKS 13

/**
 * Chunks that wait for an earlier one.
 */
#define ISCP_DOWNSTREAM_STAT_WAITING_CHUNKS 14

/**
 * Missing chunks that were waited for in vain: up to `reorder_wait_ms`, `reorder_limit`, or the end.
 */
#define ISCP_DOWNSTREAM_STAT_GIVEN_UP_CHUNKS 15

/**
 * Chunks that came when later ones had been handed out, with another `chunk_order` than `as_received`.
 */
#define ISCP_DOWNSTREAM_STAT_LATE_CHUNKS 16

/**
 * Late chunks that were dropped because the `chunk_order` is `strict`; never of a RELIABLE upstream read by a
 * RELIABLE stream.
 */
#define ISCP_DOWNSTREAM_STAT_LATE_DROPPED_CHUNKS 17

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Version of the library that is running.
 *
 * @return the version, such as "0.1.0"; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_version(void);

/**
 * Version of the library that is running, as a number to compare with `ISCP_VERSION_NUMBER`.
 *
 * @return major * 10000 + minor * 100 + patch
 *
 * Thread: any. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint32_t iscp_version_number(void);

/**
 * Highest version of the iSCP protocol that the library speaks.
 *
 * @return the version, "3.0.0"; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_protocol_version(void);

/**
 * Whether the library was built with a feature.
 *
 * @param name a feature: a transport ("websocket", "quic", "webtransport"), an encoding ("protobuf",
 *             "json"), or "tls", "compression", "oauth2", "proxy", "multi"
 * @return true if it was; false for everything else, unknown names and NULL included
 *
 * Thread: any. Blocking: no. Lifetime: borrows `name` for the call. Since: 0.1.0.
 */
ISCP_API bool iscp_has_feature(const char *name);

/**
 * Closes every connection, waits until they and their callbacks have ended, and stops the library's
 * threads. Connecting again starts them again.
 *
 * Not needed before the process exits: the library does nothing at exit, and its threads end with
 * the process. Points that were not flushed are then lost.
 *
 * @param timeout_ms milliseconds to wait; -1 for ever
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_TIMEOUT` when something has not ended, in which case the call may be
 *         repeated; `ISCP_ERR_IN_CALLBACK` on a thread of the library; `ISCP_ERR_INVALID_ARGUMENT`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: handles stay valid and must still be
 * freed; their connections are closed. Since: 0.1.0.
 */
ISCP_API iscp_status_t iscp_shutdown(int32_t timeout_ms, struct iscp_error_t **out_error);

/**
 * Name of a status, such as `ISCP_ERR_TIMEOUT`.
 *
 * @param status a status
 * @return the name, or "ISCP_ERR_UNKNOWN" for a number that is no status; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_status_name(iscp_status_t status);

/**
 * One sentence about a status, without a capital and a period.
 *
 * @param status a status
 * @return the text, or "unknown status" for a number that is no status; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_status_text(iscp_status_t status);

/**
 * Name of a result code of the protocol, such as `AUTH_FAILED`.
 *
 * @param result_code a result code, as in `iscp_error_result_code` and `iscp_ack_cb`
 * @return the name in the protocol's schema (docs/protocol/messages.md, section 3), or "UNKNOWN" for
 *         a number the protocol does not assign; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_result_code_name(int32_t result_code);

/**
 * Status of the error, the same that the function returned.
 *
 * @param error an error, or NULL
 * @return the status; `ISCP_OK` for NULL, `ISCP_ERR_BAD_HANDLE` for something that is no error,
 *         `ISCP_ERR_FORKED` for an error of the process that forked this one
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API iscp_status_t iscp_error_code(const struct iscp_error_t *error);

/**
 * Message that names the culprit: the option, the address, the stream, what the server said.
 *
 * @param error an error, or NULL
 * @return the message in English, UTF-8; "" for NULL; never NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: valid as long as the error. Since: 0.1.0.
 */
ISCP_API const char *iscp_error_message(const struct iscp_error_t *error);

/**
 * Result code of the server, if it was the server that refused.
 *
 * @param error an error, or NULL
 * @return the protocol's result code (docs/protocol/messages.md, section 3), or -1 when the error
 *         does not come from an answer of the server
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API int32_t iscp_error_result_code(const struct iscp_error_t *error);

/**
 * What the server said besides its result code.
 *
 * @param error an error, or NULL
 * @return the server's text; "" when there is none; never NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: valid as long as the error. Since: 0.1.0.
 */
ISCP_API const char *iscp_error_result_string(const struct iscp_error_t *error);

/**
 * Whether the same call may succeed later.
 *
 * @param error an error, or NULL
 * @return true for time-outs, lost and refused connections, full buffers; false otherwise and for NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API bool iscp_error_is_retriable(const struct iscp_error_t *error);

/**
 * Whether the error ended the connection or stream it is about, which must then be opened anew.
 *
 * @param error an error, or NULL
 * @return true when it did; false otherwise and for NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API bool iscp_error_is_fatal(const struct iscp_error_t *error);

/**
 * Frees an error. Nothing happens for NULL.
 *
 * @param error an error that a function stored in `out_error`; not one that a callback was given
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: the error and its texts end here. Since: 0.1.0.
 */
ISCP_API void iscp_error_free(struct iscp_error_t *error);

/**
 * Sends log messages to a callback, or stops sending them.
 *
 * Without a callback the environment variable `ISCP_LOG` (`error`, `warn`, `info`, `debug` or
 * `trace`) sends messages to standard error; it is read when the first connection is made.
 *
 * @param callback  receives the messages; NULL stops logging
 * @param level     least important level that is logged, `ISCP_LOG_OFF` … `ISCP_LOG_TRACE`
 * @param user_data handed to the callback
 * @param release   called with `user_data` after the last message, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for an unknown level; `ISCP_ERR_IN_CALLBACK` on a
 *         thread of the library; `ISCP_ERR_RESOURCE` when there is no thread for it
 *
 * Thread: any but the library's own. Blocking: until the former callback has returned. Lifetime:
 * `user_data` is needed until `release` is called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_log_set(iscp_log_cb callback,
                           iscp_log_level_t level,
                           void *user_data,
                           iscp_release_cb release,
                           struct iscp_error_t **out_error);

/**
 * Takes a data id apart that is written as one text, `type:name`.
 *
 * Neither part may contain `:`, `#` or `+`, and the name must not be empty. Nothing is copied: the parts are
 * places in the text. The type is not followed by a NUL; the name is, since it ends the text.
 *
 * @param text         the data id, such as "string:room/temperature"
 * @param out_type     receives where the type begins, or NULL; NULL on failure
 * @param out_type_len receives the length of the type in bytes, or NULL; 0 on failure
 * @param out_name     receives where the name begins, or NULL; NULL on failure
 * @param out_name_len receives the length of the name in bytes, or NULL; 0 on failure
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for a text of another form; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the parts are valid as long as the text.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_data_id_parse(const char *text,
                                 const char **out_type,
                                 size_t *out_type_len,
                                 const char **out_name,
                                 size_t *out_name_len,
                                 struct iscp_error_t **out_error);

/**
 * Makes runtime options with every option at its default.
 *
 * There is no option for the number of threads: one drives every connection, however many there are, and
 * callbacks run on one thread for each connection that has any.
 *
 * @return new options, to be freed with `iscp_runtime_options_free`; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
 */
ISCP_API struct iscp_runtime_options_t *iscp_runtime_options_new(void);

/**
 * Frees options. What was configured with them is not affected. Nothing happens for NULL.
 *
 * @param options the options, or NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
 */
ISCP_API void iscp_runtime_options_free(struct iscp_runtime_options_t *options);

/**
 * Sets an option by its name, as the typed setters do: for configuration files and bindings.
 *
 * The name is that of the typed setter after `set_`; numbers are decimal.
 *
 * @param options   the options
 * @param key       name of the option, such as "thread_name"
 * @param value     its value as text
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_UNKNOWN_OPTION` when there is no such option; `ISCP_ERR_INVALID_OPTION`
 *         for a value it does not take; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_runtime_options_set(struct iscp_runtime_options_t *options,
                                       const char *key,
                                       const char *value,
                                       struct iscp_error_t **out_error);

/**
 * Sets what the names of the library's threads begin with, as debuggers and `top` show them. Default: iscp.
 *
 * What follows is `-runtime`, `-dispatch`, `-resolve`, `-spool` or `-log`.
 *
 * @param options     the options
 * @param thread_name 1 to 6 letters, digits, '-', '_' or '.'
 * @param out_error   receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_runtime_options_set_thread_name(struct iscp_runtime_options_t *options,
                                                   const char *thread_name,
                                                   struct iscp_error_t **out_error);

/**
 * Sets how large the stacks of the library's threads are, those of callbacks included. Default: 0, which
 * means two mebibytes.
 *
 * @param options    the options
 * @param stack_size bytes, 65536 to 1073741824, or 0
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_runtime_options_set_stack_size(struct iscp_runtime_options_t *options,
                                                  size_t stack_size,
                                                  struct iscp_error_t **out_error);

/**
 * Sets callbacks that every thread of the library calls when it starts and when it ends.
 *
 * There they can be given a priority or processors, or be attached to a virtual machine and detached from it.
 * Blocking functions answer `ISCP_ERR_IN_CALLBACK` there.
 *
 * @param options   the options
 * @param on_start  called first on each thread, or NULL
 * @param on_stop   called last on each thread, or NULL
 * @param user_data handed to the callbacks
 * @param release   called with `user_data` when neither the options nor the library need it, or NULL: the
 *                  library does until other options are configured and its threads have ended
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT` also when both callbacks are NULL; `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_runtime_options_set_thread_callbacks(struct iscp_runtime_options_t *options,
                                                        iscp_thread_cb on_start,
                                                        iscp_thread_cb on_stop,
                                                        void *user_data,
                                                        iscp_release_cb release,
                                                        struct iscp_error_t **out_error);

/**
 * Sets how the library starts its threads. It is possible while none of them runs: before the first
 * connection and the first log callback, and after `iscp_shutdown`.
 *
 * @param options   the settings, or NULL for the defaults
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when a thread of the library runs; `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_FORKED`
 *
 * Thread: any. Blocking: no. Lifetime: `options` may be freed at once. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_runtime_configure(const struct iscp_runtime_options_t *options,
                                     struct iscp_error_t **out_error);

/**
 * What an event says.
 *
 * @param event the event
 * @return one of the `ISCP_EVENT_…` constants; 0 for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API iscp_event_kind_t iscp_event_kind(const struct iscp_event_t *event);

/**
 * When an event happened, by the clock of this machine.
 *
 * @param event the event
 * @return nanoseconds since the Unix epoch; 0 for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API int64_t iscp_event_time_ns(const struct iscp_event_t *event);

/**
 * Why it happened.
 *
 * @param event the event
 * @return an error of the event, which is not to be freed; NULL when there is none, as the kind says, and for
 *         something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the event. Since: 0.1.0.
 */
ISCP_API const struct iscp_error_t *iscp_event_error(const struct iscp_event_t *event);

/**
 * Which attempt to connect will follow, with `ISCP_EVENT_RECONNECTING`.
 *
 * @param event the event
 * @return its number in this outage, from 1; 0 for other kinds and for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint32_t iscp_event_attempt(const struct iscp_event_t *event);

/**
 * How long the connection waits before the attempt, with `ISCP_EVENT_RECONNECTING`.
 *
 * @param event the event
 * @return milliseconds; 0 for other kinds and for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint32_t iscp_event_delay_ms(const struct iscp_event_t *event);

/**
 * Stream that an event of a stream is about.
 *
 * @param event the event
 * @return the id it has, or had when it ended; all zero for other kinds and for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API struct iscp_uuid_t iscp_event_stream_id(const struct iscp_event_t *event);

/**
 * Id that the stream had before.
 *
 * @param event the event
 * @return the former id of a stream that was opened anew, otherwise the same as `iscp_event_stream_id`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API struct iscp_uuid_t iscp_event_former_stream_id(const struct iscp_event_t *event);

/**
 * How many points were not delivered, with `ISCP_EVENT_UPSTREAM_CLOSED`.
 *
 * @param event the event
 * @return points whose delivery the server did not confirm; 0 for other kinds and for something that is no
 *         event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint64_t iscp_event_undelivered_points(const struct iscp_event_t *event);

/**
 * How many chunks were sent and not confirmed, with `ISCP_EVENT_UPSTREAM_CLOSED`.
 *
 * @param event the event
 * @return their number; 0 for other kinds and for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API size_t iscp_event_undelivered_chunk_count(const struct iscp_event_t *event);

/**
 * Sequence numbers of the chunks that were sent and not confirmed, with `ISCP_EVENT_UPSTREAM_CLOSED`.
 *
 * @param event the event
 * @return `iscp_event_undelivered_chunk_count` numbers, in order; NULL when there are none
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the event. Since: 0.1.0.
 */
ISCP_API const uint32_t *iscp_event_undelivered_chunks(const struct iscp_event_t *event);

/**
 * How many events were dropped, with `ISCP_EVENT_DROPPED`.
 *
 * @param event the event
 * @return their number; 0 for other kinds and for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint64_t iscp_event_dropped(const struct iscp_event_t *event);

/**
 * Name of a kind of events, for messages.
 *
 * @param kind one of the `ISCP_EVENT_…` constants
 * @return its name, such as "upstream resumed"; "unknown event" for another number; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_event_kind_name(iscp_event_kind_t kind);

/**
 * Adds an owner to an event, also to one that a callback was given: it then takes one more
 * `iscp_event_free`.
 *
 * @param event the event
 * @return the same event; NULL for NULL and for something that is no event
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_event_t *iscp_event_ref(const struct iscp_event_t *event);

/**
 * Frees an event. Nothing happens for NULL.
 *
 * @param event the event, or NULL; not one that a callback was given, unless it was kept with
 *              `iscp_event_ref`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the event and what was read from it end here.
 * Since: 0.1.0.
 */
ISCP_API void iscp_event_free(struct iscp_event_t *event);

/**
 * Answers with a token.
 *
 * @param request   the question; freed by this call
 * @param token     the access token, without a scheme word such as "Bearer"
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_BAD_HANDLE` when it was answered already; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_INVALID_UTF8` for the token, in which case the question is still open
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows `token` for the call; the request
 * ends. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_token_request_resolve(struct iscp_token_request_t *request,
                                         const char *token,
                                         struct iscp_error_t **out_error);

/**
 * Answers that there is no token. The attempt to connect fails with `ISCP_ERR_TOKEN_FAILED`.
 *
 * @param request   the question; freed by this call
 * @param reason    why, for the error message
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_BAD_HANDLE` when it was answered already; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_INVALID_UTF8` for the reason, in which case the question is still open
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows `reason` for the call; the
 * request ends. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_token_request_reject(struct iscp_token_request_t *request,
                                        const char *reason,
                                        struct iscp_error_t **out_error);

/**
 * Makes connection options with every option at its default.
 *
 * @return new options, to be freed with `iscp_conn_options_free`; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
 */
ISCP_API struct iscp_conn_options_t *iscp_conn_options_new(void);

/**
 * Frees options. What was opened with them is not affected. Nothing happens for NULL.
 *
 * @param options the options, or NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
 */
ISCP_API void iscp_conn_options_free(struct iscp_conn_options_t *options);

/**
 * Sets an option by its name, as the typed setters do: for configuration files and bindings.
 *
 * The name is that of the typed setter after `set_`; numbers are decimal, booleans `true` or `false`.
 *
 * @param options   the options
 * @param key       name of the option, such as "url"
 * @param value     its value as text
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_UNKNOWN_OPTION` when there is no such option; `ISCP_ERR_INVALID_OPTION`
 *         for a value it does not take; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set(struct iscp_conn_options_t *options,
                                    const char *key,
                                    const char *value,
                                    struct iscp_error_t **out_error);

/**
 * Sets the address of the server. There is no default: connecting without one fails.
 *
 * @param options   the options
 * @param url       the address, `ws://host:port/path`, or with `wss`, `quic` (without path) or
 *                  `webtransport`; intdash servers use the path `/api/iscp/connect`, which is also
 *                  meant by an address without one
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something that is no such address;
 *         `ISCP_ERR_UNSUPPORTED` for one whose transport this build lacks; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_url(struct iscp_conn_options_t *options,
                                        const char *url,
                                        struct iscp_error_t **out_error);

/**
 * Sets the id of this node, under which others receive its data. Default: empty, the server then
 * chooses one.
 *
 * @param options   the options
 * @param node_id   the id, usually a UUID as text
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_node_id(struct iscp_conn_options_t *options,
                                            const char *node_id,
                                            struct iscp_error_t **out_error);

/**
 * Sets the intdash project the connection belongs to. Default: none.
 *
 * @param options      the options
 * @param project_uuid the UUID as text, or "" for none
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_project_uuid(struct iscp_conn_options_t *options,
                                                 const char *project_uuid,
                                                 struct iscp_error_t **out_error);

/**
 * Sets an access token that never changes. Default: none. Replaces a token callback.
 *
 * @param options   the options
 * @param token     the token, without a scheme word such as "Bearer"; "" for none
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_token(struct iscp_conn_options_t *options,
                                          const char *token,
                                          struct iscp_error_t **out_error);

/**
 * Sets the encoding of the messages, in both directions. Default: protobuf.
 *
 * JSON takes several times the time and bytes; it is there for servers and captures that want text.
 *
 * @param options   the options
 * @param encoding  "protobuf" or "json"
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_UNSUPPORTED` when the build
 *         lacks the feature "json"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_encoding(struct iscp_conn_options_t *options,
                                             const char *encoding,
                                             struct iscp_error_t **out_error);

/**
 * Sets the compression of the messages, in both directions. Default: off.
 *
 * With `per-message` each message is compressed on its own; with `context-takeover` what was sent before
 * is the dictionary of the next message, which pays for many small messages that resemble each other.
 * A higher LEVEL takes more time and gives less bytes, 6 unless it is given; WINDOW_BITS is the
 * dictionary's size as an exponent of two, 15 unless it is given. QUIC and WebTransport compress each
 * message on its own in either mode.
 *
 * @param options     the options
 * @param compression "none", "per-message", "per-message:LEVEL", "context-takeover",
 *                    "context-takeover:LEVEL" or "context-takeover:LEVEL:WINDOW_BITS"
 * @param out_error   receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_UNSUPPORTED` when the build
 *         lacks the feature "compression"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_compression(struct iscp_conn_options_t *options,
                                                const char *compression,
                                                struct iscp_error_t **out_error);

/**
 * Sets a callback that provides the access token, before every attempt to connect. Replaces a fixed
 * token.
 *
 * @param options   the options
 * @param callback  asked for a token on the connection's dispatcher thread
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a connection need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_token_callback(struct iscp_conn_options_t *options,
                                                   iscp_token_cb callback,
                                                   void *user_data,
                                                   iscp_release_cb release,
                                                   struct iscp_error_t **out_error);

/**
 * Sets a callback that is told when the connection ended.
 *
 * @param options   the options
 * @param callback  told once per connection, after every other callback of it: the error is NULL when
 *                  the application closed the connection
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a connection need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_closed_callback(struct iscp_conn_options_t *options,
                                                    iscp_closed_cb callback,
                                                    void *user_data,
                                                    iscp_release_cb release,
                                                    struct iscp_error_t **out_error);

/**
 * Sets how the server is reached, instead of in the URL. Default: empty, which means as the URL says, or
 * `wss` without one.
 *
 * Each part of the address that is set by itself, `transport`, `host`, `port` and `url_path`, takes the place
 * of that of the URL; a URL that is set later replaces them all. Parts that do not go together, such as QUIC
 * and a path, are refused when connecting.
 *
 * @param options   the options
 * @param transport "ws", "wss", "quic" or "webtransport", or ""
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_UNSUPPORTED` for what this
 *         build lacks; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_transport(struct iscp_conn_options_t *options,
                                              const char *transport,
                                              struct iscp_error_t **out_error);

/**
 * Sets the host of the server, instead of in the URL. Default: empty, which means as the URL says.
 *
 * @param options   the options
 * @param host      a name or an IP address, or ""
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_host(struct iscp_conn_options_t *options,
                                         const char *host,
                                         struct iscp_error_t **out_error);

/**
 * Sets the port of the server, instead of in the URL. Default: 0, which means as the URL says, or the usual one
 * of the transport: 80 for `ws`, 443 for others.
 *
 * @param options   the options
 * @param port      1 to 65535, or 0
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_port(struct iscp_conn_options_t *options,
                                         uint16_t port,
                                         struct iscp_error_t **out_error);

/**
 * Sets the path at the server, instead of in the URL. Default: empty, which means as the URL says, or
 * `/api/iscp/connect`.
 *
 * @param options   the options
 * @param url_path  a path that begins with a slash, or ""
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_url_path(struct iscp_conn_options_t *options,
                                             const char *url_path,
                                             struct iscp_error_t **out_error);

/**
 * Sets how often both sides ask whether the other is still there. Default: 10000.
 *
 * @param options          the options
 * @param ping_interval_ms milliseconds, a multiple of 1000, 1000 to 3600000
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_ping_interval_ms(struct iscp_conn_options_t *options,
                                                     uint32_t ping_interval_ms,
                                                     struct iscp_error_t **out_error);

/**
 * Sets how long both sides wait for the answer before they give the connection up. Default: 1000.
 *
 * @param options         the options
 * @param ping_timeout_ms milliseconds, a multiple of 1000, 1000 to 3600000
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_ping_timeout_ms(struct iscp_conn_options_t *options,
                                                    uint32_t ping_timeout_ms,
                                                    struct iscp_error_t **out_error);

/**
 * Sets how long the transport may take when connecting: the name service, the proxy, TLS and the
 * handshake together. Default: 10000.
 *
 * @param options            the options
 * @param connect_timeout_ms milliseconds, 1 to 3600000
 * @param out_error          receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_connect_timeout_ms(struct iscp_conn_options_t *options,
                                                       uint32_t connect_timeout_ms,
                                                       struct iscp_error_t **out_error);

/**
 * Sets how long the server may take to answer a request. Default: 10000.
 *
 * @param options             the options
 * @param response_timeout_ms milliseconds, 1 to 3600000
 * @param out_error           receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_response_timeout_ms(struct iscp_conn_options_t *options,
                                                        uint32_t response_timeout_ms,
                                                        struct iscp_error_t **out_error);

/**
 * Sets how long closing the connection may take, its streams included. Default: 10000.
 *
 * The goodbye of the transport comes afterwards and takes 2 seconds at most, if the server does not answer
 * it.
 *
 * @param options          the options
 * @param close_timeout_ms milliseconds, 1 to 3600000
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_close_timeout_ms(struct iscp_conn_options_t *options,
                                                     uint32_t close_timeout_ms,
                                                     struct iscp_error_t **out_error);

/**
 * Sets how long a call waits for its reply unless it says otherwise. Default: 60000.
 *
 * @param options          the options
 * @param reply_timeout_ms milliseconds, 1 to 3600000
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_reply_timeout_ms(struct iscp_conn_options_t *options,
                                                     uint32_t reply_timeout_ms,
                                                     struct iscp_error_t **out_error);

/**
 * Sets the largest message accepted from the server. Default: 67108864.
 *
 * @param options          the options
 * @param max_message_size bytes, 1024 to 1073741824
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_max_message_size(struct iscp_conn_options_t *options,
                                                     size_t max_message_size,
                                                     struct iscp_error_t **out_error);

/**
 * Sets how many calls of other nodes, and how many replies for which nobody waits, may wait for the
 * application. When more come they are dropped and counted. Default: 1024.
 *
 * @param options          the options
 * @param call_queue_limit calls, and replies, 1 to 1048576
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_call_queue_limit(struct iscp_conn_options_t *options,
                                                     size_t call_queue_limit,
                                                     struct iscp_error_t **out_error);

/**
 * Sets how many bytes of calls of other nodes, and of replies for which nobody waits, may wait for the
 * application; a single one may be larger. When more come they are dropped and counted.
 * Default: 67108864.
 *
 * @param options          the options
 * @param call_queue_bytes bytes, 1024 to 1073741824
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_call_queue_bytes(struct iscp_conn_options_t *options,
                                                     size_t call_queue_bytes,
                                                     struct iscp_error_t **out_error);

/**
 * Sets how many bytes of calls and replies may wait to be sent; a single one may be larger. Sending
 * more answers `ISCP_ERR_WOULD_BLOCK`. Default: 16777216.
 *
 * @param options         the options
 * @param call_send_limit bytes, 1024 to 1073741824
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_call_send_limit(struct iscp_conn_options_t *options,
                                                    size_t call_send_limit,
                                                    struct iscp_error_t **out_error);

/**
 * Sets how many events may wait for the application, or for its event callback to return. When more come
 * the oldest are dropped, and an event says so. Default: 256.
 *
 * @param options           the options
 * @param event_queue_limit events, 1 to 1048576
 * @param out_error         receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_event_queue_limit(struct iscp_conn_options_t *options,
                                                      size_t event_queue_limit,
                                                      struct iscp_error_t **out_error);

/**
 * Sets how long a source of tokens may take: a callback, or an OAuth2 server. Default: 10000.
 *
 * Connecting fails with `ISCP_ERR_TOKEN_FAILED` when it takes longer.
 *
 * @param options          the options
 * @param token_timeout_ms milliseconds, 1 to 3600000
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_token_timeout_ms(struct iscp_conn_options_t *options,
                                                     uint32_t token_timeout_ms,
                                                     struct iscp_error_t **out_error);

/**
 * Sets the value of an HTTP header that WebSocket and WebTransport begin with. Default: none. Replaces a
 * header token callback.
 *
 * For gateways in front of the server; the server itself looks at the access token. It is sent as it is:
 * write the scheme word, such as "Bearer", yourself. With QUIC, which has no headers, connecting fails with
 * `ISCP_ERR_INVALID_OPTION`.
 *
 * @param options      the options
 * @param header_token the value, printable ASCII; "" for none
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_header_token(struct iscp_conn_options_t *options,
                                                 const char *header_token,
                                                 struct iscp_error_t **out_error);

/**
 * Sets the name of the header that carries the header token. Default: authorization.
 *
 * @param options           the options
 * @param header_token_name name of an HTTP header, in whatever case, that the handshake itself does not
 *                          use
 * @param out_error         receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_header_token_name(struct iscp_conn_options_t *options,
                                                      const char *header_token_name,
                                                      struct iscp_error_t **out_error);

/**
 * Sets a callback that provides the header token, before every attempt to connect. Replaces a fixed
 * header token.
 *
 * @param options   the options
 * @param callback  asked for a token on the connection's dispatcher thread, before the access token is
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a connection need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_header_token_callback(struct iscp_conn_options_t *options,
                                                          iscp_token_cb callback,
                                                          void *user_data,
                                                          iscp_release_cb release,
                                                          struct iscp_error_t **out_error);

/**
 * Sets the token endpoint of an OAuth2 server that gives the access token. Default: none.
 *
 * With endpoint, id and secret the library asks for a token by client credentials (RFC 6749 section 4.4)
 * before it connects. It uses the token again, also for other connections with the same options, until 60
 * seconds before it ends, or a quarter of its life if that is less; one that the server did not take is not
 * used again. The TLS options hold for the endpoint too, `tls_server_name` and
 * `tls_insecure_skip_verify` only if it is on the host of the server. Excludes a token and a token callback. intdash servers use the path `/api/auth/oauth2/token`.
 *
 * @param options          the options
 * @param oauth2_token_url `https://host:port/path`, or `http://` where everybody on the way may read
 *                         the secret; "" for none
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something that is no such address;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_oauth2_token_url(struct iscp_conn_options_t *options,
                                                     const char *oauth2_token_url,
                                                     struct iscp_error_t **out_error);

/**
 * Sets the id of the client for the OAuth2 server. Default: none.
 *
 * @param options          the options
 * @param oauth2_client_id the id
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_oauth2_client_id(struct iscp_conn_options_t *options,
                                                     const char *oauth2_client_id,
                                                     struct iscp_error_t **out_error);

/**
 * Sets the secret of the client for the OAuth2 server. Default: none.
 *
 * It goes into the header `Authorization` of the request, is never logged and stands in no error message.
 *
 * @param options              the options
 * @param oauth2_client_secret the secret
 * @param out_error            receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_oauth2_client_secret(struct iscp_conn_options_t *options,
                                                         const char *oauth2_client_secret,
                                                         struct iscp_error_t **out_error);

/**
 * Sets the scopes to ask the OAuth2 server for. Default: none, the server chooses.
 *
 * @param options      the options
 * @param oauth2_scope scopes separated by spaces
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_oauth2_scope(struct iscp_conn_options_t *options,
                                                 const char *oauth2_scope,
                                                 struct iscp_error_t **out_error);

/**
 * Sets a file of certificates to trust when the server shows its own. Default: none, the system's are.
 *
 * They replace those that the system trusts, and those set before, by file or by text. The server's
 * certificate, or one of the chain it shows, must be issued by one of them, or be one of them.
 *
 * @param options     the options
 * @param tls_ca_file path of a PEM file with one or more certificates; "" for those of the
 *                    system
 * @param out_error   receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a file that cannot be read or holds no certificate;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: reads a file. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_ca_file(struct iscp_conn_options_t *options,
                                                const char *tls_ca_file,
                                                struct iscp_error_t **out_error);

/**
 * Sets certificates to trust when the server shows its own, as text. Default: none, the system's are.
 *
 * They replace those that the system trusts, and those set before, by file or by text. The server's
 * certificate, or one of the chain it shows, must be issued by one of them, or be one of them.
 *
 * @param options    the options
 * @param tls_ca_pem PEM text with one or more certificates; "" for those of the system
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a text that holds no certificate;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_ca_pem(struct iscp_conn_options_t *options,
                                               const char *tls_ca_pem,
                                               struct iscp_error_t **out_error);

/**
 * Sets a file with the certificate to show a server that demands one. Default: none.
 *
 * Its key is needed too. Without a certificate such a server refuses the connection with `ISCP_ERR_TLS`.
 *
 * @param options              the options
 * @param tls_client_cert_file path of a PEM file: the certificate first, then those between it and one
 *                             that the server knows; "" for none
 * @param out_error            receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a file that cannot be read or holds no certificate;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: reads a file. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_client_cert_file(struct iscp_conn_options_t *options,
                                                         const char *tls_client_cert_file,
                                                         struct iscp_error_t **out_error);

/**
 * Sets the certificate to show a server that demands one, as text. Default: none.
 *
 * As `iscp_conn_options_set_tls_client_cert_file`, whose value it replaces.
 *
 * @param options             the options
 * @param tls_client_cert_pem PEM text, "" for none
 * @param out_error           receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a text that holds no certificate;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_client_cert_pem(struct iscp_conn_options_t *options,
                                                        const char *tls_client_cert_pem,
                                                        struct iscp_error_t **out_error);

/**
 * Sets a file with the key of the client's certificate. Default: none.
 *
 * Connecting fails with `ISCP_ERR_INVALID_OPTION` when it is not the key of the certificate. The key is
 * never logged.
 *
 * @param options             the options
 * @param tls_client_key_file path of a PEM file with a private key, PKCS #8, PKCS #1 or SEC 1, without
 *                            a password; "" for none
 * @param out_error           receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a file that cannot be read or holds no such key;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: reads a file. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_client_key_file(struct iscp_conn_options_t *options,
                                                        const char *tls_client_key_file,
                                                        struct iscp_error_t **out_error);

/**
 * Sets the key of the client's certificate, as text. Default: none.
 *
 * As `iscp_conn_options_set_tls_client_key_file`, whose value it replaces.
 *
 * @param options            the options
 * @param tls_client_key_pem PEM text, "" for none
 * @param out_error          receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a text that holds no such key; `ISCP_ERR_UNSUPPORTED`
 *         when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_client_key_pem(struct iscp_conn_options_t *options,
                                                       const char *tls_client_key_pem,
                                                       struct iscp_error_t **out_error);

/**
 * Sets the name that the server's certificate must be for. Default: empty, the host of the address.
 *
 * For servers that are reached by an address that their certificate does not name. It is also the name
 * that the server is told (SNI).
 *
 * @param options         the options
 * @param tls_server_name a DNS name or IP address, "" for the host of the address
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_server_name(struct iscp_conn_options_t *options,
                                                    const char *tls_server_name,
                                                    struct iscp_error_t **out_error);

/**
 * Sets whether to take any certificate of the server: whoever answers is believed. Default: false.
 *
 * For tests only. Every connect logs a warning. An OAuth2 server on another host than that of the address is
 * verified nevertheless: it gets the client's secret.
 *
 * @param options                  the options
 * @param tls_insecure_skip_verify true to take any certificate
 * @param out_error                receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls";
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_tls_insecure_skip_verify(struct iscp_conn_options_t *options,
                                                             bool tls_insecure_skip_verify,
                                                             struct iscp_error_t **out_error);

/**
 * Sets the HTTP proxy that WebSockets go through, with the method CONNECT. Default: none.
 *
 * Without this option the environment is not looked at. With `env` it is, when a connection is made:
 * `HTTPS_PROXY` for `wss`, `HTTP_PROXY` for `ws`, `ALL_PROXY` for both, in capitals or not, and `NO_PROXY`
 * for hosts to reach directly. OAuth2 servers are asked through the proxy too. QUIC and WebTransport cannot
 * go through a proxy: connecting then fails with `ISCP_ERR_INVALID_OPTION`.
 *
 * @param options   the options
 * @param proxy     `http://host:port` or `http://user:password@host:port`, user and password
 *                  percent-encoded; "env"; "" for none
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something that is no such address;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "proxy"; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_proxy(struct iscp_conn_options_t *options,
                                          const char *proxy,
                                          struct iscp_error_t **out_error);

/**
 * Sets the IP address of this machine to connect from. Default: empty, the system chooses.
 *
 * Of the server's addresses only those of the same family are tried.
 *
 * @param options       the options
 * @param local_address an IPv4 or IPv6 address without port, "" for any
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_local_address(struct iscp_conn_options_t *options,
                                                  const char *local_address,
                                                  struct iscp_error_t **out_error);

/**
 * Sets the network interface that the connection takes, whatever the routes say. Default: empty, as the
 * routes say.
 *
 * Linux only; older kernels than 5.7 want the capability `CAP_NET_RAW` for it. Both families work.
 *
 * @param options   the options
 * @param interface name of an interface, such as "eth0", at most 15 bytes; "" for any
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_interface(struct iscp_conn_options_t *options,
                                              const char *interface,
                                              struct iscp_error_t **out_error);

/**
 * Sets how QUIC and WebTransport find out how fast they may send. Default: `cubic`.
 *
 * `cubic` (RFC 9438) and `new-reno` (RFC 9002) slow down when packets are lost; `cubic` recovers faster on
 * long paths. `bbr` measures rate and delay instead, which suits links that lose packets without being
 * congested, such as radio; it is experimental.
 *
 * @param options         the options
 * @param quic_congestion "cubic", "new-reno" or "bbr"
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "quic"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_quic_congestion(struct iscp_conn_options_t *options,
                                                    const char *quic_congestion,
                                                    struct iscp_error_t **out_error);

/**
 * Sets the largest datagram of QUIC and WebTransport, in which the chunks of UNRELIABLE upstreams go.
 * Default: 0, as large as the path carries.
 *
 * A chunk that does not fit is cut into several; it is lost as a whole when one of them is. The path's own
 * limit applies in any case.
 *
 * @param options            the options
 * @param quic_datagram_size bytes of content, 64 to 65527; 0 for what the path carries
 * @param out_error          receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "quic"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_quic_datagram_size(struct iscp_conn_options_t *options,
                                                       size_t quic_datagram_size,
                                                       struct iscp_error_t **out_error);

/**
 * Sets whether WebSockets use Multipath TCP (RFC 8684), so that a connection may go on over another network when
 * the system knows one, as `ip mptcp` says. Default: false.
 *
 * Where the system or the server has none, plain TCP is used; a line in the log says the former, and
 * `iscp_path_protocol` which it is. Linux only. For paths that the library chooses itself see
 * `iscp_conn_options_add_path`.
 *
 * @param options       the options
 * @param multipath_tcp whether to use it
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`. With QUIC or WebTransport, which have
 *         no TCP, connecting fails with `ISCP_ERR_INVALID_OPTION`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_multipath_tcp(struct iscp_conn_options_t *options,
                                                  bool multipath_tcp,
                                                  struct iscp_error_t **out_error);

/**
 * Adds a path, up to 16. The connection then consists of transports by all its paths, which are dialled at the same
 * time and again whenever they are lost; it is there as long as one of them is. By key it is the option "path", whose
 * value has the words `url=`, `local_address=` and `interface=` with their values, those that are needed.
 *
 * For a vehicle with two modems: `iscp_conn_options_add_path(options, "", "", "wwan0", &error)`, and the same with
 * "wwan1". The option "url" is needed also when every path has an address of its own; the options "local_address" and
 * "interface" are for connections without paths. Nothing is lost, and all stays in order, toward servers that number
 * messages as the broker of this library does; with others the connection is lost with the first of its paths, and
 * made anew as any other (docs/multi-transport.md).
 *
 * @param options       the options
 * @param url           where this path connects to: as the option "url", "" for the address of the connection
 * @param local_address IP address of this machine to connect from, "" for any
 * @param interface     network interface that the path takes, "" for any
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value of another form or too many paths;
 *         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "multi" or the transport of the address;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_add_path(struct iscp_conn_options_t *options,
                                         const char *url,
                                         const char *local_address,
                                         const char *interface,
                                         struct iscp_error_t **out_error);

/**
 * Sets how messages are spread over the paths of a connection. Default: `min-rtt`.
 *
 * `round-robin` takes each path in its turn. `min-rtt` takes the one with the shortest round trip that has room.
 * `ecf`, earliest completion first, weighs in what is under way already, and waits for a faster path where a message
 * would come later by the one that has room; that suits paths of very different speed.
 *
 * @param options         the options
 * @param multi_scheduler "round-robin", "min-rtt" or "ecf"
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_multi_scheduler(struct iscp_conn_options_t *options,
                                                    const char *multi_scheduler,
                                                    struct iscp_error_t **out_error);

/**
 * Sets the pause before a path that was lost, or could not be connected, is dialled again. Default: 1000.
 *
 * @param options                  the options
 * @param multi_redial_interval_ms milliseconds, 1 to 3600000
 * @param out_error                receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_multi_redial_interval_ms(struct iscp_conn_options_t *options,
                                                             uint32_t multi_redial_interval_ms,
                                                             struct iscp_error_t **out_error);

/**
 * Sets how often each path is asked whether it carries anything, which also measures its round trip.
 * Default: 1000.
 *
 * A path that does not answer for a second, or for four of its round trips, carries nothing new, and what it had
 * under way goes by the others.
 *
 * @param options                the options
 * @param multi_ping_interval_ms milliseconds, 10 to 3600000
 * @param out_error              receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_multi_ping_interval_ms(struct iscp_conn_options_t *options,
                                                           uint32_t multi_ping_interval_ms,
                                                           struct iscp_error_t **out_error);

/**
 * Sets how long a path may leave a question unanswered before it is closed and dialled again. Default: 10000.
 *
 * @param options               the options
 * @param multi_path_timeout_ms milliseconds, 10 to 3600000
 * @param out_error             receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_multi_path_timeout_ms(struct iscp_conn_options_t *options,
                                                          uint32_t multi_path_timeout_ms,
                                                          struct iscp_error_t **out_error);

/**
 * Sets how long a connection lasts without any of its paths. Default: 10000.
 *
 * The pings of the connection itself go by its paths, too: it ends earlier when they are lost for the interval and the
 * timeout of those.
 *
 * @param options               the options
 * @param multi_lost_timeout_ms milliseconds, 1 to 3600000
 * @param out_error             receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
 *         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_multi_lost_timeout_ms(struct iscp_conn_options_t *options,
                                                          uint32_t multi_lost_timeout_ms,
                                                          struct iscp_error_t **out_error);

/**
 * Sets whether a connection that is lost is made anew, with its streams. Default: true.
 *
 * Without it the loss of the connection is its end. The first attempt to connect is never repeated by the
 * library: `iscp_connect` reports how it failed.
 *
 * @param options   the options
 * @param reconnect whether it is
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_reconnect(struct iscp_conn_options_t *options,
                                              bool reconnect,
                                              struct iscp_error_t **out_error);

/**
 * Sets the shortest wait before an attempt to reconnect. Default: 100.
 *
 * Each wait is drawn at random between this one and a limit that doubles with every attempt, up to
 * `reconnect_max_interval_ms`, so that many clients do not return all at once.
 *
 * @param options   the options
 * @param reconnect_min_interval_ms milliseconds, 10 to 3600000
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_reconnect_min_interval_ms(struct iscp_conn_options_t *options,
                                                              uint32_t reconnect_min_interval_ms,
                                                              struct iscp_error_t **out_error);

/**
 * Sets the longest wait before an attempt to reconnect. Default: 5000.
 *
 * @param options   the options
 * @param reconnect_max_interval_ms milliseconds, 10 to 3600000; not less than the shortest wait, which connecting checks
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_reconnect_max_interval_ms(struct iscp_conn_options_t *options,
                                                              uint32_t reconnect_max_interval_ms,
                                                              struct iscp_error_t **out_error);

/**
 * Sets how many attempts in one outage may fail before the connection ends. Default: 0, no limit.
 *
 * Whatever this says, the connection ends when the server refuses the protocol version or a setting, and
 * when it refuses the credentials, asked for anew each time, three times in a row.
 *
 * @param options   the options
 * @param reconnect_attempts attempts, or 0 for no limit
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_reconnect_attempts(struct iscp_conn_options_t *options,
                                                       uint32_t reconnect_attempts,
                                                       struct iscp_error_t **out_error);

/**
 * Sets how long an outage may take before the connection ends. Default: 0, no limit.
 *
 * @param options   the options
 * @param reconnect_total_ms milliseconds, or 0 for no limit
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_reconnect_total_ms(struct iscp_conn_options_t *options,
                                                       uint32_t reconnect_total_ms,
                                                       struct iscp_error_t **out_error);

/**
 * Sets a callback that is told what happens to the connection and its streams: that it is made, lost, made
 * anew, and that it ended. Without it the events can be pulled, with `iscp_conn_next_event_wait`.
 *
 * @param options   the options
 * @param callback  told of every event
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a connection need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_event_callback(struct iscp_conn_options_t *options,
                                                   iscp_event_cb callback,
                                                   void *user_data,
                                                   iscp_release_cb release,
                                                   struct iscp_error_t **out_error);

/**
 * Sets the directory in which the points of RELIABLE upstreams are kept until the server acknowledged them, so
 * that they survive the process. Default: empty, they are kept in memory only.
 *
 * What an earlier process left there is delivered once the connection is up, if it was written by the same node of
 * the same project: on the stream on which it was sent when the server still has that, otherwise on another one of
 * the same session, with the same elapsed times. One connection of one process uses a directory at a time.
 *
 * A stream that ends with points that were not delivered leaves them for the next process.
 *
 * @param options   the options
 * @param spool_dir a directory, which is created if necessary; "" for none
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`; that the directory
 *         cannot be used is an `ISCP_ERR_SPOOL` of connecting
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_spool_dir(struct iscp_conn_options_t *options,
                                              const char *spool_dir,
                                              struct iscp_error_t **out_error);

/**
 * Sets how many bytes the spool may take on disk. Default: 268435456.
 *
 * @param options           the options
 * @param spool_limit_bytes bytes, 65536 to 1099511627776
 * @param out_error         receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_spool_limit_bytes(struct iscp_conn_options_t *options,
                                                      uint64_t spool_limit_bytes,
                                                      struct iscp_error_t **out_error);

/**
 * Sets what a write survives once it succeeded. Default: `process`.
 *
 * With `process` it survives the process, however that ends; a write costs a system call. With `disk` it survives
 * a power cut too: a write waits for the disk.
 *
 * @param options    the options
 * @param spool_sync "process" or "disk"
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_spool_sync(struct iscp_conn_options_t *options,
                                               const char *spool_sync,
                                               struct iscp_error_t **out_error);

/**
 * Sets what happens when the spool is full. Default: `refuse`.
 *
 * With `refuse` writes wait or fail, as the upstream's option `buffer_policy` says. With `drop_oldest` the oldest
 * points of the upstream on disk are given up, several at a time, and counted (`ISCP_CONN_STAT_SPOOL_DROPPED`);
 * those among them that are in memory already may arrive nevertheless.
 *
 * @param options    the options
 * @param spool_full "refuse" or "drop_oldest"
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_spool_full(struct iscp_conn_options_t *options,
                                               const char *spool_full,
                                               struct iscp_error_t **out_error);

/**
 * Sets a callback that is told what became of points that an earlier process left in the spool.
 *
 * @param options   the options
 * @param callback  told once for each stream whose points were left
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a connection need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_options_set_spool_callback(struct iscp_conn_options_t *options,
                                                   iscp_spool_cb callback,
                                                   void *user_data,
                                                   iscp_release_cb release,
                                                   struct iscp_error_t **out_error);

/**
 * Connects to a server: asks the token source, opens the transport, and introduces itself.
 *
 * @param options   where and how; copied
 * @param callback  told how it ended; must not be NULL
 * @param user_data handed to the callback
 * @param out_error receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_INVALID_OPTION` when there is no address or options contradict each other,
 *         `ISCP_ERR_UNSUPPORTED` when this build lacks what the address needs, `ISCP_ERR_SPOOL` when the directory
 *         of the option `spool_dir` cannot be used, `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`, `ISCP_ERR_INVALID_STATE` during a shutdown,
 *         `ISCP_ERR_RESOURCE` when no thread can be started
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: `options` may be freed at once.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_connect(const struct iscp_conn_options_t *options,
                           iscp_connect_cb callback,
                           void *user_data,
                           struct iscp_error_t **out_error);

/**
 * Connects to a server and waits for it, as `iscp_connect` does without waiting.
 *
 * @param options    where and how; copied
 * @param timeout_ms milliseconds to wait; -1 as long as the time-outs of the options allow. An attempt
 *                   that takes longer is abandoned
 * @param out_conn   receives the connection, to be freed with `iscp_conn_free`; NULL on failure
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_connect` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_RESOLVE`, `ISCP_ERR_CONNECT_FAILED`, `ISCP_ERR_HANDSHAKE` for the transport;
 *         `ISCP_ERR_TOKEN_FAILED`, `ISCP_ERR_UNAUTHORIZED`, `ISCP_ERR_REFUSED`,
 *         `ISCP_ERR_INCOMPATIBLE_VERSION`, `ISCP_ERR_DISCONNECTED`, `ISCP_ERR_CONNECTION_LOST`,
 *         `ISCP_ERR_MALFORMED_MESSAGE`, `ISCP_ERR_PROTOCOL_VIOLATION` for the server
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the connection is owned by the caller.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_connect_wait(const struct iscp_conn_options_t *options,
                                int32_t timeout_ms,
                                struct iscp_conn_t **out_conn,
                                struct iscp_error_t **out_error);

/**
 * Flushes and closes every stream, says goodbye to the server and closes the transport.
 *
 * @param conn      the connection
 * @param callback  told how it ended, or NULL
 * @param user_data handed to the callback
 * @param out_error receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED` when the connection has ended, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the connection must still be freed.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_close(struct iscp_conn_t *conn,
                              iscp_done_cb callback,
                              void *user_data,
                              struct iscp_error_t **out_error);

/**
 * Closes a connection and waits for it, as `iscp_conn_close` does without waiting.
 *
 * @param conn       the connection
 * @param timeout_ms milliseconds to wait; -1 as long as the close time-out of the options allows
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_conn_close` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_CONNECTION_LOST` and others when the connection broke meanwhile
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the connection must still be freed.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_close_wait(struct iscp_conn_t *conn,
                                   int32_t timeout_ms,
                                   struct iscp_error_t **out_error);

/**
 * Sends a base time, which ties the elapsed times of a session to a clock; readers receive it as
 * metadata.
 *
 * @param conn            the connection
 * @param session_id      session the time belongs to
 * @param name            name of the clock, such as "edge_rtc" or "manual"
 * @param priority        priority among the base times of the session; Go clients keep the low 8 bits
 * @param elapsed_time_ns elapsed time that corresponds to `base_time_ns`, in nanoseconds, not negative
 * @param base_time_ns    the clock, nanoseconds since the Unix epoch
 * @param persist         whether the server stores it in the session
 * @param callback        told whether the server took it, or NULL
 * @param user_data       handed to the callback
 * @param out_error       receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows the texts for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_send_base_time(struct iscp_conn_t *conn,
                                       const char *session_id,
                                       const char *name,
                                       uint32_t priority,
                                       int64_t elapsed_time_ns,
                                       int64_t base_time_ns,
                                       bool persist,
                                       iscp_done_cb callback,
                                       void *user_data,
                                       struct iscp_error_t **out_error);

/**
 * Sends a base time and waits until the server took it, as `iscp_conn_send_base_time` does without
 * waiting.
 *
 * @param conn            the connection
 * @param session_id      session the time belongs to
 * @param name            name of the clock
 * @param priority        priority among the base times of the session
 * @param elapsed_time_ns elapsed time that corresponds to `base_time_ns`, in nanoseconds, not negative
 * @param base_time_ns    the clock, nanoseconds since the Unix epoch
 * @param persist         whether the server stores it in the session
 * @param timeout_ms      milliseconds to wait; -1 as long as the response time-out allows
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_conn_send_base_time` returns; `ISCP_ERR_IN_CALLBACK`;
 *         `ISCP_ERR_TIMEOUT`; `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: borrows the texts for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_send_base_time_wait(struct iscp_conn_t *conn,
                                            const char *session_id,
                                            const char *name,
                                            uint32_t priority,
                                            int64_t elapsed_time_ns,
                                            int64_t base_time_ns,
                                            bool persist,
                                            int32_t timeout_ms,
                                            struct iscp_error_t **out_error);

/**
 * State of a connection.
 *
 * @param conn the connection
 * @return `ISCP_CONN_STATE_CONNECTED`, `ISCP_CONN_STATE_RECONNECTING` or `ISCP_CONN_STATE_CLOSED`; the last
 *         for something that is no connection too
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API iscp_conn_state_t iscp_conn_state(const struct iscp_conn_t *conn);

/**
 * Protocol version that was agreed with the server when the connection was first made.
 *
 * @param conn the connection
 * @return the version, such as "3.0.0"; "" for something that is no connection; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the connection is not
 * freed. Since: 0.1.0.
 */
ISCP_API const char *iscp_conn_protocol_version(const struct iscp_conn_t *conn);

/**
 * A number about a connection.
 *
 * @param conn      the connection
 * @param stat      which number: one of the `ISCP_CONN_STAT_…` constants
 * @param out_value receives the number; 0 on failure
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for another constant; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_stat(const struct iscp_conn_t *conn,
                             iscp_conn_stat_t stat,
                             uint64_t *out_value);

/**
 * Adds an owner to a connection: it then takes one more `iscp_conn_free`.
 *
 * @param conn the connection
 * @return the same connection; NULL for NULL and for something that is no connection
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_conn_t *iscp_conn_ref(struct iscp_conn_t *conn);

/**
 * Frees a connection. Unless it was closed, it is closed in the background once its streams have
 * been freed too. Nothing happens for NULL.
 *
 * @param conn the connection, or NULL
 *
 * Thread: any, callbacks included. Blocking: never. Lifetime: the handle ends here; calls in progress
 * on other threads end in order. Since: 0.1.0.
 */
ISCP_API void iscp_conn_free(struct iscp_conn_t *conn);

/**
 * Id of a call, chosen by its sender.
 *
 * @param call the call
 * @return the id, usually a UUID as text; "" for something that is no call; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
 */
ISCP_API const char *iscp_call_id(const struct iscp_call_t *call);

/**
 * Id of the call to which this is the reply.
 *
 * @param call the reply
 * @return the id that `iscp_conn_send_call` gave; "" for a call and for something that is none; never
 *         NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the reply. Since: 0.1.0.
 */
ISCP_API const char *iscp_call_request_call_id(const struct iscp_call_t *call);

/**
 * Node that sent a call.
 *
 * @param call the call
 * @return its id; "" for something that is no call; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
 */
ISCP_API const char *iscp_call_source_node_id(const struct iscp_call_t *call);

/**
 * Name of a call, such as that of a procedure. What it means is between the two nodes.
 *
 * @param call the call
 * @return the name; "" for something that is no call; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
 */
ISCP_API const char *iscp_call_name(const struct iscp_call_t *call);

/**
 * Type of a call, such as that of its payload. What it means is between the two nodes.
 *
 * @param call the call
 * @return the type; "" for something that is no call; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
 */
ISCP_API const char *iscp_call_type(const struct iscp_call_t *call);

/**
 * Payload of a call.
 *
 * @param call            the call
 * @param out_payload     receives the bytes, which are not NULL; NULL on failure
 * @param out_payload_len receives how many there are; 0 on failure
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the bytes are valid as long as the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_call_payload(const struct iscp_call_t *call,
                                const uint8_t **out_payload,
                                size_t *out_payload_len);

/**
 * Adds an owner to a call: it then takes one more `iscp_call_free`. Keeps a call beyond the callback
 * that received it, to reply later.
 *
 * @param call the call
 * @return the same call; NULL for NULL and for something that is no call
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_call_t *iscp_call_ref(const struct iscp_call_t *call);

/**
 * Frees a call. Nothing happens for NULL.
 *
 * @param call a call from one of the `_wait` functions or `iscp_call_ref`, or NULL; not one that a
 *             callback was given
 *
 * Thread: any, callbacks included. Blocking: never. Lifetime: everything read from it ends with its
 * last owner. Since: 0.1.0.
 */
ISCP_API void iscp_call_free(struct iscp_call_t *call);

/**
 * Takes the next event of a connection and its streams.
 *
 * Events wait for the application, `event_queue_limit` of them; when more come the oldest are dropped, and an
 * event of the kind `ISCP_EVENT_DROPPED` says how many. The last event is `ISCP_EVENT_CLOSED`.
 *
 * @param conn       the connection
 * @param timeout_ms milliseconds to wait; -1 until there is one or the connection ends; 0 to try
 * @param out_event  receives the event, to be freed with `iscp_event_free`; NULL on failure
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
 *         `ISCP_ERR_TIMEOUT`; once every event was taken, `ISCP_ERR_CLOSED` or why the connection ended;
 *         `ISCP_ERR_INVALID_STATE` when the options have an event callback; `ISCP_ERR_IN_CALLBACK`
 *         unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
 * the event is owned by the caller. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_next_event_wait(struct iscp_conn_t *conn,
                                        int32_t timeout_ms,
                                        struct iscp_event_t **out_event,
                                        struct iscp_error_t **out_error);

/**
 * A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is an event to take
 * with `iscp_conn_next_event_wait`, or the connection has ended.
 *
 * It is level-triggered and belongs to the connection: never read, write or close it. When it is
 * readable, take with a `timeout_ms` of 0 until the answer is `ISCP_ERR_WOULD_BLOCK` or that the
 * connection has ended.
 *
 * @param conn      the connection
 * @param out_fd    receives the descriptor; -1 on failure
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the descriptor is valid until the connection
 * is freed. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_event_pollable(struct iscp_conn_t *conn,
                                       int32_t *out_fd,
                                       struct iscp_error_t **out_error);

/**
 * Waits until a connection has ended: its transport is closed and nothing is under way any more. Its last
 * callbacks may still run.
 *
 * @param conn       the connection
 * @param timeout_ms milliseconds to wait; -1 until it has ended; 0 to try
 * @param out_error  receives why the connection ended, or the detail of another failure, or NULL
 * @return `ISCP_OK` when the application closed it; why it ended otherwise; `ISCP_ERR_WOULD_BLOCK` when it
 *         has not ended and `timeout_ms` is 0; `ISCP_ERR_TIMEOUT` when it has not, or because closing it took
 *         too long, which `iscp_conn_state` tells apart; `ISCP_ERR_CLOSED` when another thread freed the
 *         connection; `ISCP_ERR_IN_CALLBACK` unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`,
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime: the
 * connection must still be freed. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_wait_closed(struct iscp_conn_t *conn,
                                    int32_t timeout_ms,
                                    struct iscp_error_t **out_error);

/**
 * Asks the server for a sign of life, beside what the connection does by itself, and measures how long the
 * answer takes. It is also what `ISCP_CONN_STAT_ROUND_TRIP_NS` then says.
 *
 * @param conn      the connection
 * @param callback  told how long it took; must not be NULL
 * @param user_data handed to the callback
 * @param out_error receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED`, `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_ping(struct iscp_conn_t *conn,
                             iscp_ping_cb callback,
                             void *user_data,
                             struct iscp_error_t **out_error);

/**
 * Asks the server for a sign of life and waits for it, as `iscp_conn_ping` does without waiting.
 *
 * @param conn              the connection
 * @param timeout_ms        milliseconds to wait; -1 as long as the response time-out of the options allows
 * @param out_round_trip_ns receives the nanoseconds from when the ping left to its answer; 0 on failure
 * @param out_error         receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_conn_ping` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_WOULD_BLOCK` when 64 wait for their answers already; `ISCP_ERR_CONNECTION_LOST` while the
 *         connection is lost, and that or another reason when it is lost meanwhile
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_ping_wait(struct iscp_conn_t *conn,
                                  int32_t timeout_ms,
                                  int64_t *out_round_trip_ns,
                                  struct iscp_error_t **out_error);

/**
 * Name of a kind of messages of the protocol, to go through all of them.
 *
 * @param index 0, 1 and so on; which number a kind has may be another in later versions
 * @return the name, such as "UpstreamChunk"; NULL behind the last
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_message_name(size_t index);

/**
 * Counts the messages of one kind on a connection, reconnections included.
 *
 * @param conn         the connection
 * @param name         name of the kind, see `iscp_message_name`
 * @param out_sent     receives how many were sent; 0 on failure
 * @param out_received receives how many were received; 0 on failure
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such kind; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_message_count(const struct iscp_conn_t *conn,
                                      const char *name,
                                      uint64_t *out_sent,
                                      uint64_t *out_received);

/**
 * Name of the transport of a connection. What was agreed with the server besides is told by `iscp_conn_path`.
 *
 * @param conn the connection
 * @return "websocket", "quic" or "webtransport"; "multi" for a connection over several paths; "" for something
 *         that is no connection; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API
const char *iscp_conn_transport_name(const struct iscp_conn_t *conn);

/**
 * Encoding of the messages of a connection.
 *
 * @param conn the connection
 * @return "protobuf" or "json", as in the options; "" for something that is no connection; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_conn_encoding(const struct iscp_conn_t *conn);

/**
 * Gives a path of a connection.
 *
 * There is one, number 0, unless `iscp_conn_options_add_path` made it several; `ISCP_CONN_STAT_PATHS` says how
 * many, without those that have gone silent. Which number a path has changes when one is lost or comes back.
 *
 * @param conn      the connection
 * @param index     number of the path, from 0
 * @param out_path  receives the path, to be freed with `iscp_path_free`; NULL on failure
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there are less; `ISCP_ERR_CONNECTION_LOST` while the
 *         connection is lost; `ISCP_ERR_CLOSED` when it has ended; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the path is owned by the caller. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_path(struct iscp_conn_t *conn,
                             size_t index,
                             struct iscp_path_t **out_path,
                             struct iscp_error_t **out_error);

/**
 * Number about a path, as the system or QUIC knows it at this moment. Through a proxy it is about the way to
 * the proxy.
 *
 * @param path      the path
 * @param stat      which number
 * @param out_value receives it; 0 on failure
 * @return `ISCP_OK`; `ISCP_ERR_UNSUPPORTED` for a number that this system or transport does not know;
 *         `ISCP_ERR_CLOSED` when the path has ended; `ISCP_ERR_INVALID_ARGUMENT` when there is no such number;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_path_stat(const struct iscp_path_t *path,
                             iscp_path_stat_t stat,
                             uint64_t *out_value);

/**
 * Address that a path leads to.
 *
 * @param path the path
 * @return the address with its port and path; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API const char *iscp_path_url(const struct iscp_path_t *path);

/**
 * Name of the transport of a path.
 *
 * @param path the path
 * @return "websocket", "quic" or "webtransport"; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API const char *iscp_path_transport(const struct iscp_path_t *path);

/**
 * Protocol that carries a path.
 *
 * @param path the path
 * @return "tcp"; "mptcp" when both sides speak Multipath TCP; "udp" under QUIC and WebTransport; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API
const char *iscp_path_protocol(const struct iscp_path_t *path);

/**
 * Address and port of a path on this machine.
 *
 * @param path the path
 * @return such as "192.0.2.1:49152", or "[2001:db8::1]:49152"; "" where it is not known, as with QUIC; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API
const char *iscp_path_local_address(const struct iscp_path_t *path);

/**
 * Address and port of the other end of a path: that of the server, or of the proxy.
 *
 * @param path the path
 * @return such as "192.0.2.1:443", or "[2001:db8::1]:443"; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API const char *iscp_path_peer_address(const struct iscp_path_t *path);

/**
 * Version of TLS that was agreed.
 *
 * @param path the path
 * @return "TLSv1.2" or "TLSv1.3"; "" without TLS; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API const char *iscp_path_tls_version(const struct iscp_path_t *path);

/**
 * Cipher suite that was agreed.
 *
 * @param path the path
 * @return such as "TLS13_AES_256_GCM_SHA384"; "" without TLS, and with QUIC, which does not tell; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API
const char *iscp_path_tls_cipher(const struct iscp_path_t *path);

/**
 * Protocol that TLS agreed on for what is inside (ALPN).
 *
 * @param path the path
 * @return "http/1.1", "iscp" or "h3"; "" when the server chose none, and without TLS; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API
const char *iscp_path_alpn(const struct iscp_path_t *path);

/**
 * Encoding of the messages on a path.
 *
 * @param path the path
 * @return "protobuf" or "json", as in the options; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API const char *iscp_path_encoding(const struct iscp_path_t *path);

/**
 * Compression of the messages on a path, with its level and the size of the dictionary.
 *
 * @param path the path
 * @return "none", "per-message:LEVEL" or "context-takeover:LEVEL:WINDOW_BITS"; "" for something that is no path; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
 */
ISCP_API
const char *iscp_path_compression(const struct iscp_path_t *path);

/**
 * Adds an owner to a path: it then takes one more `iscp_path_free`.
 *
 * @param path the path
 * @return the same path; NULL for NULL and for something that is no path
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_path_t *iscp_path_ref(const struct iscp_path_t *path);

/**
 * Frees a path; the connection goes on. Nothing happens for NULL.
 *
 * @param path the path, or NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the path and its texts end here. Since: 0.1.0.
 */
ISCP_API void iscp_path_free(struct iscp_path_t *path);

/**
 * Sends a call to another node and does not wait for a reply. A reply that comes is received as others
 * are, see `iscp_conn_set_reply_handler`.
 *
 * Success means that the server has passed the call on. What the other node does with it, it does not
 * say: an application that wants to know waits for a reply, most simply with `iscp_conn_call_wait`.
 *
 * @param conn                the connection
 * @param destination_node_id node to call
 * @param name                name of the call, for the other node
 * @param type                type of the call, for the other node
 * @param payload             the bytes, or NULL with a length of 0
 * @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
 * @param out_call_id         receives the id of the call, with which the reply names it: a text of
 *                            `ISCP_CALL_ID_SIZE` bytes with the NUL at its end; "" on failure; or NULL
 * @param callback            told whether the server took it, or NULL
 * @param user_data           handed to the callback
 * @param out_error           receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_WOULD_BLOCK` when too much waits to be sent (`call_send_limit`),
 *         `ISCP_ERR_TOO_LARGE`, `ISCP_ERR_CLOSED`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows texts and payload for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_send_call(struct iscp_conn_t *conn,
                                  const char *destination_node_id,
                                  const char *name,
                                  const char *type,
                                  const uint8_t *payload,
                                  size_t payload_len,
                                  char *out_call_id,
                                  iscp_done_cb callback,
                                  void *user_data,
                                  struct iscp_error_t **out_error);

/**
 * Sends a call and waits until the server took it, as `iscp_conn_send_call` does without waiting.
 *
 * @param conn                the connection
 * @param destination_node_id node to call
 * @param name                name of the call, for the other node
 * @param type                type of the call, for the other node
 * @param payload             the bytes, or NULL with a length of 0
 * @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
 * @param timeout_ms          milliseconds to wait; -1 as long as the response time-out allows
 * @param out_call_id         receives the id of the call, as for `iscp_conn_send_call`; or NULL
 * @param out_error           receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_conn_send_call` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_REFUSED`, for example when there is no such node; `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: borrows texts and payload for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_send_call_wait(struct iscp_conn_t *conn,
                                       const char *destination_node_id,
                                       const char *name,
                                       const char *type,
                                       const uint8_t *payload,
                                       size_t payload_len,
                                       int32_t timeout_ms,
                                       char *out_call_id,
                                       struct iscp_error_t **out_error);

/**
 * Replies to a call.
 *
 * @param conn        the connection, usually the one that received the call
 * @param call        the call; its sender gets the reply
 * @param name        name of the reply, for the other node
 * @param type        type of the reply, for the other node
 * @param payload     the bytes, or NULL with a length of 0
 * @param payload_len how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
 * @param callback    told whether the server took it, or NULL
 * @param user_data   handed to the callback
 * @param out_error   receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_WOULD_BLOCK` when too much waits to be sent (`call_send_limit`),
 *         `ISCP_ERR_TOO_LARGE`, `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT` for a
 *         call without an id or a source, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows the call, texts and payload for the
 * call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_send_reply(struct iscp_conn_t *conn,
                                   const struct iscp_call_t *call,
                                   const char *name,
                                   const char *type,
                                   const uint8_t *payload,
                                   size_t payload_len,
                                   iscp_done_cb callback,
                                   void *user_data,
                                   struct iscp_error_t **out_error);

/**
 * Replies to a call and waits until the server took the reply, as `iscp_conn_send_reply` does without
 * waiting.
 *
 * @param conn        the connection, usually the one that received the call
 * @param call        the call; its sender gets the reply
 * @param name        name of the reply, for the other node
 * @param type        type of the reply, for the other node
 * @param payload     the bytes, or NULL with a length of 0
 * @param payload_len how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
 * @param timeout_ms  milliseconds to wait; -1 as long as the response time-out allows
 * @param out_error   receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_conn_send_reply` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_REFUSED`, for example when the caller has gone; `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: borrows the call, texts and payload for
 * the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_send_reply_wait(struct iscp_conn_t *conn,
                                        const struct iscp_call_t *call,
                                        const char *name,
                                        const char *type,
                                        const uint8_t *payload,
                                        size_t payload_len,
                                        int32_t timeout_ms,
                                        struct iscp_error_t **out_error);

/**
 * Calls another node and waits for its reply in the background.
 *
 * The reply is given to the callback and to nobody else. One that comes after the time-out is received
 * as replies are for which nobody waits, see `iscp_conn_set_reply_handler`.
 *
 * @param conn                the connection
 * @param destination_node_id node to call
 * @param name                name of the call, for the other node
 * @param type                type of the call, for the other node
 * @param payload             the bytes, or NULL with a length of 0
 * @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
 * @param timeout_ms          milliseconds to wait for the reply; -1 as long as the reply time-out of the options
 * @param callback            receives the reply, or the reason why there is none; must not be NULL
 * @param user_data           handed to the callback
 * @param out_error           receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_WOULD_BLOCK` when too much waits to be sent (`call_send_limit`),
 *         `ISCP_ERR_TOO_LARGE`, `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT`,
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows texts and payload for the call.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_call(struct iscp_conn_t *conn,
                             const char *destination_node_id,
                             const char *name,
                             const char *type,
                             const uint8_t *payload,
                             size_t payload_len,
                             int32_t timeout_ms,
                             iscp_reply_cb callback,
                             void *user_data,
                             struct iscp_error_t **out_error);

/**
 * Calls another node and waits for its reply, as `iscp_conn_call` does without waiting.
 *
 * @param conn                the connection
 * @param destination_node_id node to call
 * @param name                name of the call, for the other node
 * @param type                type of the call, for the other node
 * @param payload             the bytes, or NULL with a length of 0
 * @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
 * @param timeout_ms          milliseconds to wait for the reply; -1 as long as the reply time-out of the options
 * @param out_reply           receives the reply, to be freed with `iscp_call_free`; NULL on failure
 * @param out_error           receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_conn_call` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT` when no
 *         reply came; `ISCP_ERR_REFUSED`, for example when there is no such node;
 *         `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the reply is owned by the caller.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_call_wait(struct iscp_conn_t *conn,
                                  const char *destination_node_id,
                                  const char *name,
                                  const char *type,
                                  const uint8_t *payload,
                                  size_t payload_len,
                                  int32_t timeout_ms,
                                  struct iscp_call_t **out_reply,
                                  struct iscp_error_t **out_error);

/**
 * Hands the calls of other nodes to a callback from now on, beginning with those received before. Can be
 * set once.
 *
 * @param conn      the connection
 * @param callback  receives the calls
 * @param user_data handed to the callback
 * @param release   called with `user_data` after the last call, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
 *         why the connection ended, in which case what was received before can still be pulled;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_set_call_handler(struct iscp_conn_t *conn,
                                         iscp_call_cb callback,
                                         void *user_data,
                                         iscp_release_cb release,
                                         struct iscp_error_t **out_error);

/**
 * Hands replies to a callback from now on, beginning with those received before. Can be set once.
 *
 * These are the replies to calls sent with `iscp_conn_send_call`, which `iscp_call_request_call_id` names,
 * and those that came too late for `iscp_conn_call`.
 *
 * @param conn      the connection
 * @param callback  receives the replies
 * @param user_data handed to the callback
 * @param release   called with `user_data` after the last reply, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
 *         why the connection ended, in which case what was received before can still be pulled;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_set_reply_handler(struct iscp_conn_t *conn,
                                          iscp_call_cb callback,
                                          void *user_data,
                                          iscp_release_cb release,
                                          struct iscp_error_t **out_error);

/**
 * Takes the next call of another node.
 *
 * @param conn       the connection
 * @param timeout_ms milliseconds to wait; -1 until there is one or the connection ends; 0 to try
 * @param out_call   receives the call, to be freed with `iscp_call_free`; NULL on failure
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
 *         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the
 *         connection ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK`
 *         unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
 * the call is owned by the caller. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_next_call_wait(struct iscp_conn_t *conn,
                                       int32_t timeout_ms,
                                       struct iscp_call_t **out_call,
                                       struct iscp_error_t **out_error);

/**
 * Takes the next reply, of those for which nobody waits, see `iscp_conn_set_reply_handler`.
 *
 * @param conn       the connection
 * @param timeout_ms milliseconds to wait; -1 until there is one or the connection ends; 0 to try
 * @param out_reply  receives the reply, to be freed with `iscp_call_free`; NULL on failure
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
 *         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the
 *         connection ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK`
 *         unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
 * the reply is owned by the caller. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_next_reply_wait(struct iscp_conn_t *conn,
                                        int32_t timeout_ms,
                                        struct iscp_call_t **out_reply,
                                        struct iscp_error_t **out_error);

/**
 * A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is a call to take
 * with `iscp_conn_next_call_wait`, or the connection has ended.
 *
 * It is level-triggered and belongs to the connection: never read, write or close it. When it is
 * readable, take with a `timeout_ms` of 0 until the answer is `ISCP_ERR_WOULD_BLOCK` or that the
 * connection has ended.
 *
 * @param conn      the connection
 * @param out_fd    receives the descriptor; -1 on failure
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the descriptor is valid until the connection
 * is freed. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_call_pollable(struct iscp_conn_t *conn,
                                      int32_t *out_fd,
                                      struct iscp_error_t **out_error);

/**
 * A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is a reply to take
 * with `iscp_conn_next_reply_wait`, or the connection has ended.
 *
 * It is level-triggered and belongs to the connection: never read, write or close it. When it is
 * readable, take with a `timeout_ms` of 0 until the answer is `ISCP_ERR_WOULD_BLOCK` or that the
 * connection has ended.
 *
 * @param conn      the connection
 * @param out_fd    receives the descriptor; -1 on failure
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the descriptor is valid until the connection
 * is freed. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_conn_reply_pollable(struct iscp_conn_t *conn,
                                       int32_t *out_fd,
                                       struct iscp_error_t **out_error);

/**
 * Makes upstream options with every option at its default.
 *
 * @return new options, to be freed with `iscp_upstream_options_free`; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
 */
ISCP_API struct iscp_upstream_options_t *iscp_upstream_options_new(void);

/**
 * Frees options. What was opened with them is not affected. Nothing happens for NULL.
 *
 * @param options the options, or NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
 */
ISCP_API void iscp_upstream_options_free(struct iscp_upstream_options_t *options);

/**
 * Sets an option by its name, as the typed setters do: for configuration files and bindings.
 *
 * The name is that of the typed setter after `set_`; numbers are decimal, booleans `true` or `false`.
 *
 * @param options   the options
 * @param key       name of the option, such as "qos"
 * @param value     its value as text
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_UNKNOWN_OPTION` when there is no such option; `ISCP_ERR_INVALID_OPTION`
 *         for a value it does not take; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set(struct iscp_upstream_options_t *options,
                                        const char *key,
                                        const char *value,
                                        struct iscp_error_t **out_error);

/**
 * Sets the session the data belongs to. Default: empty.
 *
 * @param options    the options
 * @param session_id the id, usually a UUID as text
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_session_id(struct iscp_upstream_options_t *options,
                                                   const char *session_id,
                                                   struct iscp_error_t **out_error);

/**
 * Sets the QoS. Default: `ISCP_QOS_UNRELIABLE`, as in every other client of the protocol.
 *
 * @param options   the options
 * @param qos       `ISCP_QOS_UNRELIABLE`, `ISCP_QOS_RELIABLE` or `ISCP_QOS_PARTIAL`
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_qos(struct iscp_upstream_options_t *options,
                                            iscp_qos_t qos,
                                            struct iscp_error_t **out_error);

/**
 * Sets how often the server acknowledges. Default: 100.
 *
 * @param options         the options
 * @param ack_interval_ms milliseconds, 0 to 60000; 0 for an acknowledgement of every chunk at
 *                        once
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_ack_interval_ms(struct iscp_upstream_options_t *options,
                                                        uint32_t ack_interval_ms,
                                                        struct iscp_error_t **out_error);

/**
 * Sets how long the server keeps the stream after the connection was lost. Default: 60000.
 *
 * @param options            the options
 * @param expiry_interval_ms milliseconds, a multiple of 1000, at most 3600000
 * @param out_error          receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_expiry_interval_ms(struct iscp_upstream_options_t *options,
                                                           uint32_t expiry_interval_ms,
                                                           struct iscp_error_t **out_error);

/**
 * Sets whether the server stores the data in the session. Default: false.
 *
 * @param options   the options
 * @param persist   whether it does
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_persist(struct iscp_upstream_options_t *options,
                                                bool persist,
                                                struct iscp_error_t **out_error);

/**
 * Announces a data id when the stream is opened, so that the server gives it an alias from the start.
 * May be called several times; data ids that are not announced may be written all the same.
 *
 * @param options   the options
 * @param data_id   the data id as text, `type:name`
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_add_data_id(struct iscp_upstream_options_t *options,
                                                const char *data_id,
                                                struct iscp_error_t **out_error);

/**
 * Sets how long closing waits for outstanding acknowledgements. Default: 10000.
 *
 * @param options          the options
 * @param close_timeout_ms milliseconds, 1 to 3600000
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_close_timeout_ms(struct iscp_upstream_options_t *options,
                                                         uint32_t close_timeout_ms,
                                                         struct iscp_error_t **out_error);

/**
 * Sets when written points are sent: `none` (only by `iscp_upstream_flush`, by closing, and when the
 * buffer is full), `interval`, `size`, `interval_or_size`, or `immediate` (at every write). Default:
 * `interval_or_size`.
 *
 * @param options      the options
 * @param flush_policy the name of the policy
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_flush_policy(struct iscp_upstream_options_t *options,
                                                     const char *flush_policy,
                                                     struct iscp_error_t **out_error);

/**
 * Sets how long a point stays buffered, for the policies `interval` and `interval_or_size`. Default:
 * 100.
 *
 * @param options           the options
 * @param flush_interval_ms milliseconds, 1 to 3600000
 * @param out_error         receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_flush_interval_ms(struct iscp_upstream_options_t *options,
                                                          uint32_t flush_interval_ms,
                                                          struct iscp_error_t **out_error);

/**
 * Sets how many payload bytes are buffered before they are sent, for the policies `size` and
 * `interval_or_size`. Default: 10000.
 *
 * @param options    the options
 * @param flush_size bytes, 1 to 1073741824
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_flush_size(struct iscp_upstream_options_t *options,
                                                   size_t flush_size,
                                                   struct iscp_error_t **out_error);

/**
 * Sets how many bytes of points may wait to be sent. Default: 8388608.
 *
 * @param options      the options
 * @param buffer_limit bytes, 1024 to 1073741824
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_buffer_limit(struct iscp_upstream_options_t *options,
                                                     size_t buffer_limit,
                                                     struct iscp_error_t **out_error);

/**
 * Sets how many bytes of sent points may wait for their acknowledgement when the QoS is RELIABLE;
 * further points stay in the buffer. Default: 33554432.
 *
 * They are kept to be sent again after a loss of the connection. Beside its points a chunk counts 160 bytes,
 * and 64 for each of its data ids.
 *
 * @param options         the options
 * @param in_flight_limit bytes, 1024 to 1073741824
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_in_flight_limit(struct iscp_upstream_options_t *options,
                                                        size_t in_flight_limit,
                                                        struct iscp_error_t **out_error);

/**
 * Sets what a write does when the buffer is full: `block` waits for space, at most the write time-out,
 * and inside a callback answers `ISCP_ERR_WOULD_BLOCK` at once; `would_block` always does that; `drop_oldest`
 * drops the oldest points that wait, and `drop_newest` the one that is written, and both succeed. Default:
 * `block`.
 *
 * Points of a RELIABLE upstream are never dropped: opening one with a policy that does is refused.
 * `drop_oldest` drops the points that would have been the next chunk, at most a sixteenth of the buffer
 * at a time unless a single point or those of `iscp_upstream_write_together` take more.
 * `ISCP_UPSTREAM_STAT_DROPPED_POINTS` counts what was dropped; a flush does not wait for it.
 *
 * @param options       the options
 * @param buffer_policy the name of the policy
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_buffer_policy(struct iscp_upstream_options_t *options,
                                                      const char *buffer_policy,
                                                      struct iscp_error_t **out_error);

/**
 * Sets whether the points of each data id are sorted by their elapsed times within a chunk. Those of one time
 * stay in the order in which they were written. Default: false.
 *
 * Points in different chunks are not sorted. A chunk of an earlier process that a spool sends again is not, either.
 *
 * @param options       the options
 * @param points_sorted whether they are
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_points_sorted(struct iscp_upstream_options_t *options,
                                                      bool points_sorted,
                                                      struct iscp_error_t **out_error);

/**
 * Sets how long a write waits for space in the buffer. Default: 10000.
 *
 * @param options          the options
 * @param write_timeout_ms milliseconds, 1 to 3600000
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_write_timeout_ms(struct iscp_upstream_options_t *options,
                                                         uint32_t write_timeout_ms,
                                                         struct iscp_error_t **out_error);

/**
 * Sets how long the acknowledgement of a chunk may take before its points count as undelivered. Default: 0, as
 * long as the connection lives.
 *
 * The acknowledgement callback is then told `ACK_TIMEOUT` (70) for the chunk, a flush that waits for it fails,
 * and an acknowledgement that comes later changes nothing. While the connection is lost the time stands
 * still; a chunk that is sent again has all of it again.
 *
 * @param options   the options
 * @param ack_timeout_ms milliseconds, at most 3600000; 0 for as long as the connection lives
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_ack_timeout_ms(struct iscp_upstream_options_t *options,
                                                       uint32_t ack_timeout_ms,
                                                       struct iscp_error_t **out_error);

/**
 * Sets whether the stream is opened anew when the server has forgotten it: because it was restarted, or because
 * the connection was lost for longer than the expiry interval. Default: false, the stream then ends.
 *
 * The new stream belongs to the same session and has another id. It goes on with what was not acknowledged
 * and what waits to be sent, elapsed times unchanged, in chunks numbered from 1. What the server had
 * received without saying so before it forgot is there twice. Base times are not sent again.
 *
 * @param options   the options
 * @param reopen whether it is
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_reopen(struct iscp_upstream_options_t *options,
                                               bool reopen,
                                               struct iscp_error_t **out_error);

/**
 * Sets a callback that is told what the server said about every chunk.
 *
 * @param options   the options
 * @param callback  told once per chunk
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a stream need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_ack_callback(struct iscp_upstream_options_t *options,
                                                     iscp_ack_cb callback,
                                                     void *user_data,
                                                     iscp_release_cb release,
                                                     struct iscp_error_t **out_error);

/**
 * Sets a callback that is shown every chunk that is about to be sent, with its sequence number and its points.
 *
 * @param options   the options
 * @param callback  shown every chunk once
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a stream need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_before_send_callback(struct iscp_upstream_options_t *options,
                                                             iscp_before_send_cb callback,
                                                             void *user_data,
                                                             iscp_release_cb release,
                                                             struct iscp_error_t **out_error);

/**
 * Sets a callback that is told how the stream ended, and what could not be delivered.
 *
 * @param options   the options
 * @param callback  told once per stream
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a stream need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_closed_callback(struct iscp_upstream_options_t *options,
                                                        iscp_upstream_closed_cb callback,
                                                        void *user_data,
                                                        iscp_release_cb release,
                                                        struct iscp_error_t **out_error);

/**
 * Sets a callback that is told when the stream came back after the connection was lost.
 *
 * @param options   the options
 * @param callback  told of every event
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a stream need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_options_set_event_callback(struct iscp_upstream_options_t *options,
                                                       iscp_stream_event_cb callback,
                                                       void *user_data,
                                                       iscp_release_cb release,
                                                       struct iscp_error_t **out_error);

/**
 * Opens an upstream.
 *
 * @param conn      the connection
 * @param options   how; copied; NULL for the defaults
 * @param callback  told how it ended; must not be NULL
 * @param user_data handed to the callback
 * @param out_error receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED` when the connection has ended, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`; `ISCP_ERR_INVALID_OPTION` when the buffer policy drops
 *         points and the QoS is RELIABLE; `ISCP_ERR_SPOOL`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: `options` may be freed at once.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_open(struct iscp_conn_t *conn,
                                 const struct iscp_upstream_options_t *options,
                                 iscp_upstream_open_cb callback,
                                 void *user_data,
                                 struct iscp_error_t **out_error);

/**
 * Opens an upstream and waits for it, as `iscp_upstream_open` does without waiting.
 *
 * @param conn         the connection
 * @param options      how; copied; NULL for the defaults
 * @param timeout_ms   milliseconds to wait; -1 as long as the response time-out allows
 * @param out_upstream receives the upstream, to be freed with `iscp_upstream_free`; NULL on failure
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_upstream_open` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the upstream is owned by the caller.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_open_wait(struct iscp_conn_t *conn,
                                      const struct iscp_upstream_options_t *options,
                                      int32_t timeout_ms,
                                      struct iscp_upstream_t **out_upstream,
                                      struct iscp_error_t **out_error);

/**
 * Makes a data id known to an upstream, so that points can be written to it.
 *
 * @param upstream    the upstream
 * @param name        name; `/` separates levels; not empty, no `#` and `+`
 * @param type        type; `/` separates levels; no `#` and `+`
 * @param out_data_id receives the data id, the same for the same name and type; 0 on failure
 * @param out_error   receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for a name or type that is not allowed;
 *         `ISCP_ERR_TOO_LARGE` when the upstream has 65536 data ids already; with the option `spool_dir`
 *         `ISCP_ERR_CLOSED` once the stream has ended, and `ISCP_ERR_SPOOL`;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: borrows the texts for the call; the data
 * id is valid as long as the upstream. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_data_id(struct iscp_upstream_t *upstream,
                                    const char *name,
                                    const char *type,
                                    iscp_data_id_t *out_data_id,
                                    struct iscp_error_t **out_error);

/**
 * Sends everything written before, whatever the flush policy.
 *
 * @param upstream   the upstream
 * @param level      what counts as done: `ISCP_FLUSH_SENT` or `ISCP_FLUSH_ACKNOWLEDGED`
 * @param timeout_ms milliseconds the operation may take; then it fails with `ISCP_ERR_TIMEOUT`, and
 *                   the points stay on their way; -1 as long as the connection lives
 * @param callback   told how it ended, or NULL
 * @param user_data  handed to the callback
 * @param out_error  receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`; `ISCP_ERR_SPOOL` or `ISCP_ERR_RESOURCE` when points that wait
 *         on disk (option `spool_dir`) cannot be read back
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: nothing is kept. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_flush(struct iscp_upstream_t *upstream,
                                  iscp_flush_level_t level,
                                  int32_t timeout_ms,
                                  iscp_done_cb callback,
                                  void *user_data,
                                  struct iscp_error_t **out_error);

/**
 * Sends everything written before and waits, as `iscp_upstream_flush` does without waiting.
 *
 * @param upstream   the upstream
 * @param level      what to wait for: `ISCP_FLUSH_SENT` or `ISCP_FLUSH_ACKNOWLEDGED`
 * @param timeout_ms milliseconds to wait; -1 as long as the connection lives
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_upstream_flush` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_REFUSED` when the server refused a chunk; `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: nothing is kept. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_flush_wait(struct iscp_upstream_t *upstream,
                                       iscp_flush_level_t level,
                                       int32_t timeout_ms,
                                       struct iscp_error_t **out_error);

/**
 * Sends everything written, waits until the server confirmed it, and closes the stream.
 *
 * Chunks of an UNRELIABLE stream may be lost where the transport has datagrams. That is no failure: the
 * closed callback and `ISCP_UPSTREAM_STAT_FAILED_POINTS` count them.
 *
 * @param upstream      the upstream
 * @param close_session whether the server closes the session too
 * @param callback      told how it ended, or NULL
 * @param user_data     handed to the callback
 * @param out_error     receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED` when the upstream was closed before, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the upstream must still be freed; writes
 * fail from now on. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_close(struct iscp_upstream_t *upstream,
                                  bool close_session,
                                  iscp_done_cb callback,
                                  void *user_data,
                                  struct iscp_error_t **out_error);

/**
 * Closes an upstream and waits for it, as `iscp_upstream_close` does without waiting.
 *
 * @param upstream      the upstream
 * @param close_session whether the server closes the session too
 * @param timeout_ms    milliseconds to wait; -1 as long as the time-outs of the options allow
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK` when the server confirmed every point that datagrams did not lose; what
 *         `iscp_upstream_close` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`; `ISCP_ERR_REFUSED` when the server refused a
 *         chunk or the request; `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the upstream must still be freed;
 * writes fail from now on. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_close_wait(struct iscp_upstream_t *upstream,
                                       bool close_session,
                                       int32_t timeout_ms,
                                       struct iscp_error_t **out_error);

/**
 * A number about an upstream.
 *
 * @param upstream  the upstream
 * @param stat      which number: one of the `ISCP_UPSTREAM_STAT_…` constants
 * @param out_value receives the number; 0 on failure
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for another constant; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_stat(const struct iscp_upstream_t *upstream,
                                 iscp_upstream_stat_t stat,
                                 uint64_t *out_value);

/**
 * Where an upstream stands. There is no state before it is open, since there is no handle.
 *
 * @param upstream the upstream
 * @return one of the `ISCP_UPSTREAM_STATE_…` constants; `ISCP_UPSTREAM_STATE_CLOSED` for something that is no
 *         upstream too
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value; it may change at any moment.
 * Since: 0.1.0.
 */
ISCP_API
iscp_upstream_state_t iscp_upstream_state(const struct iscp_upstream_t *upstream);

/**
 * Id that the server gave an upstream.
 *
 * @param upstream the upstream
 * @return the id; all zero for something that is no upstream
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API struct iscp_uuid_t iscp_upstream_id(const struct iscp_upstream_t *upstream);

/**
 * Clock of the server when an upstream was opened.
 *
 * @param upstream the upstream
 * @return nanoseconds since the Unix epoch; 0 when the server did not say, and for something that is
 *         no upstream
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API int64_t iscp_upstream_server_time_ns(const struct iscp_upstream_t *upstream);

/**
 * Adds an owner to an upstream: it then takes one more `iscp_upstream_free`.
 *
 * @param upstream the upstream
 * @return the same upstream; NULL for NULL and for something that is no upstream
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_upstream_t *iscp_upstream_ref(struct iscp_upstream_t *upstream);

/**
 * Frees an upstream: the last owner ends it. Unless it was closed, it is closed in the background: what was written is still
 * sent as long as the connection lives. Nothing happens for NULL.
 *
 * @param upstream the upstream, or NULL
 *
 * Thread: any, callbacks included. Blocking: never. Lifetime: the handle ends with its last owner; calls in
 * progress on other threads end in order. Since: 0.1.0.
 */
ISCP_API
void iscp_upstream_free(struct iscp_upstream_t *upstream);

/**
 * Writes a point. It is sent when the flush policy says so.
 *
 * @param upstream        the upstream
 * @param data_id         what the point belongs to, from `iscp_upstream_data_id` of this upstream
 * @param elapsed_time_ns nanoseconds since the time origin of the session; may be negative
 * @param payload         the bytes; NULL only when there are none
 * @param payload_len     how many there are, at most `ISCP_MAX_PAYLOAD`
 * @return `ISCP_OK` when the point is in the buffer; `ISCP_ERR_WOULD_BLOCK` or `ISCP_ERR_TIMEOUT` when
 *         the buffer is full and stays so, by the buffer policy; `ISCP_ERR_INVALID_ARGUMENT` for an
 *         unknown data id; `ISCP_ERR_TOO_LARGE`; `ISCP_ERR_CLOSED`; `ISCP_ERR_SEQUENCE_EXHAUSTED`;
 *         `ISCP_ERR_SPOOL` when it could not be kept on disk (option `spool_dir`); `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: only when the buffer is full, by the buffer policy; never
 * inside a callback. Lifetime: the payload is copied. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_write(struct iscp_upstream_t *upstream,
                                  iscp_data_id_t data_id,
                                  int64_t elapsed_time_ns,
                                  const uint8_t *payload,
                                  size_t payload_len);

/**
 * Writes several points of one data id, in order: all of them or, when it fails, none.
 *
 * Together they may take as much as the buffer of the upstream has room for (option `buffer_limit`). They may
 * travel in several chunks.
 *
 * @param upstream    the upstream
 * @param data_id     what the points belong to, from `iscp_upstream_data_id` of this upstream
 * @param points      the points; NULL only when there are none
 * @param point_count how many there are
 * @return as `iscp_upstream_write`; `ISCP_ERR_TOO_LARGE` too when the buffer can never hold all of them
 *
 * Thread: any, callbacks included. Blocking: as `iscp_upstream_write`. Lifetime: the payloads are
 * copied. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_write_points(struct iscp_upstream_t *upstream,
                                         iscp_data_id_t data_id,
                                         const struct iscp_data_point_t *points,
                                         size_t point_count);

/**
 * Writes several points, each with its data id, in order: all of them into one chunk or, when it fails, none.
 *
 * What is measured at one moment so stays together. Only points that waited in a spool (option `spool_dir`)
 * for room in the buffer may travel in several chunks.
 *
 * @param upstream    the upstream
 * @param points      the points; NULL only when there are none
 * @param point_count how many there are
 * @return as `iscp_upstream_write`; `ISCP_ERR_TOO_LARGE` too when several points take more than
 *         `ISCP_MAX_TOGETHER` bytes, or more than the buffer of the upstream can ever hold
 *
 * Thread: any, callbacks included. Blocking: as `iscp_upstream_write`. Lifetime: the payloads are
 * copied. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_write_together(struct iscp_upstream_t *upstream,
                                           const struct iscp_upstream_point_t *points,
                                           size_t point_count);

/**
 * Writes a point and tells when it is delivered. It is sent when the flush policy says so, like any other.
 *
 * The callback is called once: with NULL when the server acknowledged the chunk that holds the point, otherwise
 * with the reason why that is not known or will not happen: `ISCP_ERR_REFUSED` when the server refused the chunk,
 * `ISCP_ERR_TIMEOUT` when its acknowledgement did not come in time (option `ack_timeout_ms`, or the time-out of
 * closing) or the chunk was lost as the QoS allows, `ISCP_ERR_OVERFLOW` when the point was dropped because
 * the buffer was full (options `buffer_policy`, `spool_full`), `ISCP_ERR_CLOSED` or the error of the connection
 * when the stream ended first. A RELIABLE point waits through an outage.
 *
 * It costs more than `iscp_upstream_write`: at most 65536 points of an upstream are waited for at a time, those
 * included whose callback has not returned. To know that all points up to some moment are delivered,
 * `iscp_upstream_flush` is enough.
 *
 * @param upstream        the upstream
 * @param data_id         what the point belongs to, from `iscp_upstream_data_id` of this upstream
 * @param elapsed_time_ns nanoseconds since the time origin of the session; may be negative
 * @param payload         the bytes; NULL only when there are none
 * @param payload_len     how many there are, at most `ISCP_MAX_PAYLOAD`
 * @param callback        told what became of the point; NULL for nobody
 * @param user_data       handed to the callback
 * @param out_error       receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when the point was taken, and the callback is called once; otherwise it is not called: as
 *         `iscp_upstream_write`; `ISCP_ERR_WOULD_BLOCK` too when 65536 points are waited for
 *
 * Thread: any, callbacks included. Blocking: as `iscp_upstream_write`. Lifetime: the payload is copied.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_write_acknowledged(struct iscp_upstream_t *upstream,
                                               iscp_data_id_t data_id,
                                               int64_t elapsed_time_ns,
                                               const uint8_t *payload,
                                               size_t payload_len,
                                               iscp_done_cb callback,
                                               void *user_data,
                                               struct iscp_error_t **out_error);

/**
 * Writes a point and waits until it is delivered, as `iscp_upstream_write_acknowledged` does without waiting.
 *
 * The point is sent when the flush policy says so: with the policy `none` somebody has to flush meanwhile.
 *
 * @param upstream        the upstream
 * @param data_id         what the point belongs to, from `iscp_upstream_data_id` of this upstream
 * @param elapsed_time_ns nanoseconds since the time origin of the session; may be negative
 * @param payload         the bytes; NULL only when there are none
 * @param payload_len     how many there are, at most `ISCP_MAX_PAYLOAD`
 * @param timeout_ms      milliseconds to wait for the acknowledgement; then it fails with `ISCP_ERR_TIMEOUT`,
 *                        and the point stays on its way; -1 as long as the stream lives
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK` when the server acknowledged it; what `iscp_upstream_write_acknowledged` returns, or tells its
 *         callback; `ISCP_ERR_IN_CALLBACK`, and the point is not written
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the payload is copied. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_upstream_write_acknowledged_wait(struct iscp_upstream_t *upstream,
                                                    iscp_data_id_t data_id,
                                                    int64_t elapsed_time_ns,
                                                    const uint8_t *payload,
                                                    size_t payload_len,
                                                    int32_t timeout_ms,
                                                    struct iscp_error_t **out_error);

/**
 * Number of a chunk in its upstream.
 *
 * @param chunk the chunk
 * @return the sequence number, from 1; 0 for something that is no chunk
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint32_t iscp_chunk_sequence_number(const struct iscp_chunk_t *chunk);

/**
 * Node that sent a chunk.
 *
 * @param chunk the chunk
 * @return its id; "" for something that is no chunk; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the chunk. Since: 0.1.0.
 */
ISCP_API const char *iscp_chunk_source_node_id(const struct iscp_chunk_t *chunk);

/**
 * Session that a chunk belongs to.
 *
 * @param chunk the chunk
 * @return its id; "" for something that is no chunk; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the chunk. Since: 0.1.0.
 */
ISCP_API const char *iscp_chunk_session_id(const struct iscp_chunk_t *chunk);

/**
 * Upstream that a chunk belongs to.
 *
 * @param chunk the chunk
 * @return id of the upstream; all zero for something that is no chunk
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API struct iscp_uuid_t iscp_chunk_upstream_id(const struct iscp_chunk_t *chunk);

/**
 * Number of groups in a chunk: one for each run of points of a data id. 0 for an empty chunk.
 *
 * @param chunk the chunk
 * @return the number; 0 for something that is no chunk too
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API size_t iscp_chunk_group_count(const struct iscp_chunk_t *chunk);

/**
 * Number of points in all groups of a chunk.
 *
 * @param chunk the chunk
 * @return the number; 0 for something that is no chunk too
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API size_t iscp_chunk_point_count(const struct iscp_chunk_t *chunk);

/**
 * One group of a chunk: its data id and its points.
 *
 * @param chunk           the chunk
 * @param group           number of the group, from 0
 * @param out_name        receives the name of the data id, or NULL; NULL on failure
 * @param out_type        receives the type of the data id, or NULL; NULL on failure
 * @param out_points      receives an array of points in the sender's order, or NULL; NULL on failure
 * @param out_point_count receives how many there are, or NULL; 0 on failure
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such group;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: texts, points and their payloads are valid
 * as long as the chunk. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_chunk_group(const struct iscp_chunk_t *chunk,
                               size_t group,
                               const char **out_name,
                               const char **out_type,
                               const struct iscp_data_point_t **out_points,
                               size_t *out_point_count);

/**
 * Filters that one group of a chunk matched.
 *
 * A filter is told by its number: 0 for the first that was added to the options of the downstream with
 * `iscp_downstream_options_add_filter`, 1 for the next, and so on. Servers below protocol version 3.0.0
 * do not say which filters matched.
 *
 * @param chunk            the chunk
 * @param group            number of the group, from 0
 * @param out_filters      receives an array of numbers, or NULL when there are none; NULL on failure
 * @param out_filter_count receives how many there are; 0 when the server does not say, and on failure
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such group;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the array is valid as long as the chunk.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_chunk_group_filters(const struct iscp_chunk_t *chunk,
                                       size_t group,
                                       const uint32_t **out_filters,
                                       size_t *out_filter_count);

/**
 * Adds an owner to a chunk: it then takes one more `iscp_chunk_free`. Keeps a chunk beyond the
 * callback that received it.
 *
 * @param chunk the chunk
 * @return the same chunk; NULL for NULL and for something that is no chunk
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_chunk_t *iscp_chunk_ref(const struct iscp_chunk_t *chunk);

/**
 * Frees a chunk. Nothing happens for NULL.
 *
 * @param chunk a chunk from `iscp_downstream_next_chunk_wait` or `iscp_chunk_ref`, or NULL; not one
 *              that a callback was given
 *
 * Thread: any, callbacks included. Blocking: never. Lifetime: everything read from it ends with its
 * last owner. Since: 0.1.0.
 */
ISCP_API void iscp_chunk_free(struct iscp_chunk_t *chunk);

/**
 * Kind of metadata.
 *
 * @param metadata the metadata
 * @return one of the `ISCP_METADATA_…` constants, or one of a later version; 0 for something that is
 *         no metadata
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API iscp_metadata_kind_t iscp_metadata_kind(const struct iscp_metadata_t *metadata);

/**
 * Node that metadata is about.
 *
 * @param metadata the metadata
 * @return its id; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the metadata. Since: 0.1.0.
 */
ISCP_API const char *iscp_metadata_source_node_id(const struct iscp_metadata_t *metadata);

/**
 * Session that metadata is about.
 *
 * @param metadata the metadata
 * @return its id, for base times and upstreams; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the metadata. Since: 0.1.0.
 */
ISCP_API const char *iscp_metadata_session_id(const struct iscp_metadata_t *metadata);

/**
 * Stream that metadata is about.
 *
 * @param metadata the metadata
 * @return its id, for upstreams and downstreams
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API struct iscp_uuid_t iscp_metadata_stream_id(const struct iscp_metadata_t *metadata);

/**
 * QoS of the stream that metadata is about.
 *
 * @param metadata the metadata
 * @return the QoS, for opened and resumed streams
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API iscp_qos_t iscp_metadata_qos(const struct iscp_metadata_t *metadata);

/**
 * Name of the clock of a base time.
 *
 * @param metadata the metadata
 * @return the name; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the metadata. Since: 0.1.0.
 */
ISCP_API const char *iscp_metadata_name(const struct iscp_metadata_t *metadata);

/**
 * Priority of a base time among those of its session.
 *
 * @param metadata the metadata
 * @return the priority
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint32_t iscp_metadata_priority(const struct iscp_metadata_t *metadata);

/**
 * Elapsed time that corresponds to a base time.
 *
 * @param metadata the metadata
 * @return nanoseconds since the time origin of the session
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API int64_t iscp_metadata_elapsed_time_ns(const struct iscp_metadata_t *metadata);

/**
 * The clock of a base time.
 *
 * @param metadata the metadata
 * @return nanoseconds since the Unix epoch
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API int64_t iscp_metadata_base_time_ns(const struct iscp_metadata_t *metadata);

/**
 * Points that the sender of a closed upstream counted.
 *
 * @param metadata the metadata
 * @return the number
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint64_t iscp_metadata_total_points(const struct iscp_metadata_t *metadata);

/**
 * Last sequence number of a closed upstream.
 *
 * @param metadata the metadata
 * @return the number; 0 when it sent no chunk
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API uint32_t iscp_metadata_final_sequence_number(const struct iscp_metadata_t *metadata);

/**
 * Number of filters of an opened or resumed downstream: patterns for the data of a node.
 *
 * @param metadata the metadata
 * @return the number; 0 for other kinds too
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API size_t iscp_metadata_filter_count(const struct iscp_metadata_t *metadata);

/**
 * One filter of an opened or resumed downstream.
 *
 * @param metadata           the metadata
 * @param filter             number of the filter, from 0
 * @param out_source_node_id receives the node whose data the downstream receives; NULL on failure
 * @param out_name           receives the pattern for the name; NULL on failure
 * @param out_type           receives the pattern for the type; NULL on failure
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such filter;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the texts are valid as long as the metadata.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_metadata_filter(const struct iscp_metadata_t *metadata,
                                   size_t filter,
                                   const char **out_source_node_id,
                                   const char **out_name,
                                   const char **out_type);

/**
 * Name of a kind of metadata, such as "upstream_open".
 *
 * @param kind a kind
 * @return the name, or "unknown"; never NULL
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
 */
ISCP_API const char *iscp_metadata_kind_name(iscp_metadata_kind_t kind);

/**
 * Adds an owner to metadata: it then takes one more `iscp_metadata_free`. Keeps metadata beyond the
 * callback that received it.
 *
 * @param metadata the metadata
 * @return the same metadata; NULL for NULL and for something that is no metadata
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_metadata_t *iscp_metadata_ref(const struct iscp_metadata_t *metadata);

/**
 * Frees metadata. Nothing happens for NULL.
 *
 * @param metadata metadata from `iscp_downstream_next_metadata_wait` or `iscp_metadata_ref`, or NULL;
 *                 not that which a callback was given
 *
 * Thread: any, callbacks included. Blocking: never. Lifetime: everything read from it ends with its
 * last owner. Since: 0.1.0.
 */
ISCP_API void iscp_metadata_free(struct iscp_metadata_t *metadata);

/**
 * Makes downstream options with every option at its default.
 *
 * @return new options, to be freed with `iscp_downstream_options_free`; never NULL
 *
 * Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
 */
ISCP_API struct iscp_downstream_options_t *iscp_downstream_options_new(void);

/**
 * Frees options. What was opened with them is not affected. Nothing happens for NULL.
 *
 * @param options the options, or NULL
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
 */
ISCP_API void iscp_downstream_options_free(struct iscp_downstream_options_t *options);

/**
 * Sets an option by its name, as the typed setters do: for configuration files and bindings.
 *
 * The name is that of the typed setter after `set_`; numbers are decimal, booleans `true` or `false`.
 *
 * @param options   the options
 * @param key       name of the option, such as "qos"
 * @param value     its value as text
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_UNKNOWN_OPTION` when there is no such option; `ISCP_ERR_INVALID_OPTION`
 *         for a value it does not take; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
 *         `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set(struct iscp_downstream_options_t *options,
                                          const char *key,
                                          const char *value,
                                          struct iscp_error_t **out_error);

/**
 * Adds a filter: points of a node whose data id matches. May be called several times; a point is
 * received once, however many filters match it. By key it is the option "filter", whose value is the
 * node id, a space and the pattern.
 *
 * `/` separates the levels of names and types; `+` stands for one level, `#` for the rest, and alone
 * for everything (docs/protocol/behaviour.md, section 6.2). Metadata of the node is received too.
 *
 * @param options        the options
 * @param source_node_id id of the node whose data is wanted
 * @param filter         pattern as text, `type:name`; "#:#" for everything of the node
 * @param out_error      receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a pattern of another form; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_add_filter(struct iscp_downstream_options_t *options,
                                                 const char *source_node_id,
                                                 const char *filter,
                                                 struct iscp_error_t **out_error);

/**
 * Adds a filter for everything of a node, as `iscp_downstream_options_add_filter` does with "#:#". By key it is the
 * option "node".
 *
 * @param options   the options
 * @param node      id of the node whose data is wanted
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` when the id is empty or too long; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_add_node(struct iscp_downstream_options_t *options,
                                               const char *node,
                                               struct iscp_error_t **out_error);

/**
 * Sets the QoS. Default: `ISCP_QOS_UNRELIABLE`, as in every other client of the protocol.
 *
 * @param options   the options
 * @param qos       `ISCP_QOS_UNRELIABLE`, `ISCP_QOS_RELIABLE` or `ISCP_QOS_PARTIAL`
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_qos(struct iscp_downstream_options_t *options,
                                              iscp_qos_t qos,
                                              struct iscp_error_t **out_error);

/**
 * Sets how long the server keeps the stream after the connection was lost. Default: 60000.
 *
 * @param options            the options
 * @param expiry_interval_ms milliseconds, a multiple of 1000, at most 3600000
 * @param out_error          receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_expiry_interval_ms(struct iscp_downstream_options_t *options,
                                                             uint32_t expiry_interval_ms,
                                                             struct iscp_error_t **out_error);

/**
 * Announces a data id when the stream is opened, so that the server uses an alias for it from the
 * start. May be called several times.
 *
 * @param options   the options
 * @param data_id   the data id as text, `type:name`
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_add_data_id(struct iscp_downstream_options_t *options,
                                                  const char *data_id,
                                                  struct iscp_error_t **out_error);

/**
 * Sets how often chunks that the application took are acknowledged. Default: 100.
 *
 * @param options         the options
 * @param ack_interval_ms milliseconds, 1 to 60000
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_ack_interval_ms(struct iscp_downstream_options_t *options,
                                                          uint32_t ack_interval_ms,
                                                          struct iscp_error_t **out_error);

/**
 * Sets whether the server leaves out chunks of which no point matches. Default: false.
 *
 * Then nobody can tell what is missing: it contradicts every `chunk_order` but `as_received`.
 *
 * @param options          the options
 * @param omit_empty_chunk whether it does
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_omit_empty_chunk(struct iscp_downstream_options_t *options,
                                                           bool omit_empty_chunk,
                                                           struct iscp_error_t **out_error);

/**
 * Sets how long closing waits for the last acknowledgement to be confirmed. Default: 10000.
 *
 * @param options          the options
 * @param close_timeout_ms milliseconds, 1 to 3600000
 * @param out_error        receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_close_timeout_ms(struct iscp_downstream_options_t *options,
                                                           uint32_t close_timeout_ms,
                                                           struct iscp_error_t **out_error);

/**
 * Sets whether the stream is opened anew when the server has forgotten it: because it was restarted, or because
 * the connection was lost for longer than the expiry interval. Default: false, the stream then ends.
 *
 * The new stream has the same filters and another id. What was sent to readers meanwhile is not received.
 *
 * @param options   the options
 * @param reopen whether it is
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_reopen(struct iscp_downstream_options_t *options,
                                                 bool reopen,
                                                 struct iscp_error_t **out_error);

/**
 * Sets in which order the chunks of each upstream are received: `as_received`, as they come; `best_effort`, by
 * their sequence numbers, where a missing one is waited for within the limits `reorder_limit` and
 * `reorder_wait_ms`, and is received late if it comes after that; or `strict`, never in another order: what comes
 * too late is dropped and counted, and a RELIABLE stream does not give up what is missing but ends with
 * `ISCP_ERR_OUT_OF_ORDER` when `reorder_limit` is exceeded. Default: `as_received`.
 *
 * Chunks of different upstreams do not wait for each other. The order needs all chunks, empty ones too: other
 * values than `as_received` contradict `omit_empty_chunk`, and opening with both fails with
 * `ISCP_ERR_INVALID_OPTION`.
 *
 * @param options     the options
 * @param chunk_order the name of the order
 * @param out_error   receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_chunk_order(struct iscp_downstream_options_t *options,
                                                      const char *chunk_order,
                                                      struct iscp_error_t **out_error);

/**
 * Sets how many chunks of one upstream may wait for an earlier one, unless `chunk_order` is `as_received`.
 * Default: 255, as in the official Rust client.
 *
 * Together, those of all upstreams take at most `buffer_limit` bytes.
 *
 * @param options       the options
 * @param reorder_limit chunks, 1 to 65536
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_reorder_limit(struct iscp_downstream_options_t *options,
                                                        size_t reorder_limit,
                                                        struct iscp_error_t **out_error);

/**
 * Sets how long a chunk may wait for an earlier one, unless `chunk_order` is `as_received`, or the earlier one
 * must come because the order is `strict` and downstream and upstream are RELIABLE. Default: 100.
 *
 * @param options         the options
 * @param reorder_wait_ms milliseconds, 1 to 3600000
 * @param out_error       receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_reorder_wait_ms(struct iscp_downstream_options_t *options,
                                                          uint32_t reorder_wait_ms,
                                                          struct iscp_error_t **out_error);

/**
 * Sets how many bytes of chunks may wait for the application; a single one may be larger. What happens beyond
 * it is what `buffer_policy` says. Default: 67108864.
 *
 * A RELIABLE stream needs more than the server sends without an acknowledgement, which is 16 MiB with the open
 * broker.
 *
 * @param options      the options
 * @param buffer_limit bytes, 1024 to 1073741824
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_buffer_limit(struct iscp_downstream_options_t *options,
                                                       size_t buffer_limit,
                                                       struct iscp_error_t **out_error);

/**
 * Sets what happens when chunks arrive faster than the application takes them: `pause`, chunks are acknowledged
 * when the application takes them, so that the server stops sending; `fail`, chunks are acknowledged when they
 * arrive, and the stream ends with `ISCP_ERR_OVERFLOW` when one does not fit; `drop_oldest` or `drop_newest`,
 * chunks that do not fit are dropped and counted; or `auto`, which is `pause` for RELIABLE streams and
 * `drop_oldest` for others. Default: `auto`.
 *
 * A server that goes on sending beyond `buffer_limit` although nothing is acknowledged ends a stream that pauses
 * with `ISCP_ERR_OVERFLOW`. Opening a RELIABLE stream that drops, or another that pauses, fails with
 * `ISCP_ERR_INVALID_OPTION`. Other streams of the connection and its keep-alive go on in any case.
 *
 * @param options       the options
 * @param buffer_policy the name of the policy
 * @param out_error     receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_buffer_policy(struct iscp_downstream_options_t *options,
                                                        const char *buffer_policy,
                                                        struct iscp_error_t **out_error);

/**
 * Sets a callback that is told how the stream ended.
 *
 * @param options   the options
 * @param callback  told once per stream, after every other callback of it: the error is NULL when the
 *                  application closed the stream
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a stream need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_closed_callback(struct iscp_downstream_options_t *options,
                                                          iscp_closed_cb callback,
                                                          void *user_data,
                                                          iscp_release_cb release,
                                                          struct iscp_error_t **out_error);

/**
 * Sets a callback that is told when the stream came back after the connection was lost.
 *
 * @param options   the options
 * @param callback  told of every event
 * @param user_data handed to the callback
 * @param release   called with `user_data` when neither the options nor a stream need it, or NULL
 * @param out_error receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
 *
 * Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_options_set_event_callback(struct iscp_downstream_options_t *options,
                                                         iscp_stream_event_cb callback,
                                                         void *user_data,
                                                         iscp_release_cb release,
                                                         struct iscp_error_t **out_error);

/**
 * Opens a downstream.
 *
 * @param conn      the connection
 * @param options   what to receive, and how; copied; must not be NULL, since without a filter nothing
 *                  is received
 * @param callback  told how it ended; must not be NULL
 * @param user_data handed to the callback
 * @param out_error receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED` when the connection has ended, `ISCP_ERR_INVALID_OPTION` for options that
 *         contradict each other, `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: `options` may be freed at once.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_open(struct iscp_conn_t *conn,
                                   const struct iscp_downstream_options_t *options,
                                   iscp_downstream_open_cb callback,
                                   void *user_data,
                                   struct iscp_error_t **out_error);

/**
 * Opens a downstream and waits for it, as `iscp_downstream_open` does without waiting.
 *
 * @param conn           the connection
 * @param options        what to receive, and how; copied; must not be NULL
 * @param timeout_ms     milliseconds to wait; -1 as long as the response time-out allows
 * @param out_downstream receives the downstream, to be freed with `iscp_downstream_free`; NULL on
 *                       failure
 * @param out_error      receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_downstream_open` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
 *         `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the downstream is owned by the caller.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_open_wait(struct iscp_conn_t *conn,
                                        const struct iscp_downstream_options_t *options,
                                        int32_t timeout_ms,
                                        struct iscp_downstream_t **out_downstream,
                                        struct iscp_error_t **out_error);

/**
 * Acknowledges what the application took and closes the stream. What was received stays readable.
 *
 * @param downstream the downstream
 * @param callback   told how it ended, or NULL
 * @param user_data  handed to the callback
 * @param out_error  receives the detail of a failure to begin, or NULL
 * @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
 *         `ISCP_ERR_CLOSED` when the downstream was closed before, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the downstream must still be freed.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_close(struct iscp_downstream_t *downstream,
                                    iscp_done_cb callback,
                                    void *user_data,
                                    struct iscp_error_t **out_error);

/**
 * Closes a downstream and waits for it, as `iscp_downstream_close` does without waiting.
 *
 * @param downstream the downstream
 * @param timeout_ms milliseconds to wait; -1 as long as the time-outs of the options allow
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; what `iscp_downstream_close` returns; `ISCP_ERR_IN_CALLBACK`;
 *         `ISCP_ERR_TIMEOUT`; `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`; `ISCP_ERR_OUT_OF_ORDER` when
 *         the `chunk_order` is `strict` and something is missing
 *
 * Thread: any but the library's own. Blocking: yes. Lifetime: the downstream must still be freed.
 * Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_close_wait(struct iscp_downstream_t *downstream,
                                         int32_t timeout_ms,
                                         struct iscp_error_t **out_error);

/**
 * State of a downstream.
 *
 * @param downstream the downstream
 * @return one of the `ISCP_DOWNSTREAM_STATE_…` constants; `ISCP_DOWNSTREAM_STATE_CLOSED` for something that is no
 *         downstream too
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API
iscp_downstream_state_t iscp_downstream_state(const struct iscp_downstream_t *downstream);

/**
 * A number about a downstream.
 *
 * @param downstream the downstream
 * @param stat       which number: one of the `ISCP_DOWNSTREAM_STAT_…` constants
 * @param out_value  receives the number; 0 on failure
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for another constant; `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_stat(const struct iscp_downstream_t *downstream,
                                   iscp_downstream_stat_t stat,
                                   uint64_t *out_value);

/**
 * Id that the server gave a downstream.
 *
 * @param downstream the downstream
 * @return the id; all zero for something that is no downstream
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API struct iscp_uuid_t iscp_downstream_id(const struct iscp_downstream_t *downstream);

/**
 * Clock of the server when a downstream was opened.
 *
 * @param downstream the downstream
 * @return nanoseconds since the Unix epoch; 0 when the server did not say, and for something that is
 *         no downstream
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
ISCP_API int64_t iscp_downstream_server_time_ns(const struct iscp_downstream_t *downstream);

/**
 * Adds an owner to a downstream: it then takes one more `iscp_downstream_free`.
 *
 * @param downstream the downstream
 * @return the same downstream; NULL for NULL and for something that is no downstream
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
 */
ISCP_API struct iscp_downstream_t *iscp_downstream_ref(struct iscp_downstream_t *downstream);

/**
 * Frees a downstream: the last owner ends it. Unless it was closed, it is closed in the background. Nothing happens for NULL.
 *
 * @param downstream the downstream, or NULL
 *
 * Thread: any, callbacks included. Blocking: never. Lifetime: the handle ends with its last owner; calls in progress
 * on other threads end in order, and its callbacks are released once they have returned.
 * Since: 0.1.0.
 */
ISCP_API
void iscp_downstream_free(struct iscp_downstream_t *downstream);

/**
 * Hands chunks to a callback from now on, beginning with those received before. Can be set once.
 *
 * @param downstream the downstream
 * @param callback   receives the chunks
 * @param user_data  handed to the callback
 * @param release    called with `user_data` after the last chunk, or NULL
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
 *         why the stream ended, in which case what was received before can still be pulled;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_read(struct iscp_downstream_t *downstream,
                                   iscp_chunk_cb callback,
                                   void *user_data,
                                   iscp_release_cb release,
                                   struct iscp_error_t **out_error);

/**
 * Hands metadata to a callback from now on, beginning with that received before. Can be set once.
 *
 * @param downstream the downstream
 * @param callback   receives the metadata
 * @param user_data  handed to the callback
 * @param release    called with `user_data` after the last metadata, or NULL
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
 *         why the stream ended, in which case what was received before can still be pulled;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
 * called, also on failure. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_read_metadata(struct iscp_downstream_t *downstream,
                                            iscp_metadata_cb callback,
                                            void *user_data,
                                            iscp_release_cb release,
                                            struct iscp_error_t **out_error);

/**
 * Takes the next chunk.
 *
 * @param downstream   the downstream
 * @param timeout_ms   milliseconds to wait; -1 until there is one or the stream ends; 0 to try
 * @param out_chunk receives the chunk, to be freed with `iscp_chunk_free`; NULL on failure
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
 *         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the stream
 *         ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK` unless
 *         `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
 * the chunk is owned by the caller. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_next_chunk_wait(struct iscp_downstream_t *downstream,
                                              int32_t timeout_ms,
                                              struct iscp_chunk_t **out_chunk,
                                              struct iscp_error_t **out_error);

/**
 * Takes the next metadata.
 *
 * @param downstream   the downstream
 * @param timeout_ms   milliseconds to wait; -1 until there is some or the stream ends; 0 to try
 * @param out_metadata receives the metadata, to be freed with `iscp_metadata_free`; NULL on failure
 * @param out_error    receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
 *         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the stream
 *         ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK` unless
 *         `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
 *         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
 * the metadata is owned by the caller. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_next_metadata_wait(struct iscp_downstream_t *downstream,
                                                 int32_t timeout_ms,
                                                 struct iscp_metadata_t **out_metadata,
                                                 struct iscp_error_t **out_error);

/**
 * A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is a chunk or
 * metadata to take, or the stream has ended.
 *
 * It is level-triggered and belongs to the stream: never read, write or close it. When it is
 * readable, take chunks and metadata with a `timeout_ms` of 0 until both answer
 * `ISCP_ERR_WOULD_BLOCK` or that the stream has ended. Once `iscp_downstream_metadata_pollable` was
 * called, metadata make that descriptor readable and not this one.
 *
 * @param downstream the downstream
 * @param out_fd     receives the descriptor, the same at every call; -1 on failure
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor left;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the downstream is not
 * freed. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_pollable(struct iscp_downstream_t *downstream,
                                       int32_t *out_fd,
                                       struct iscp_error_t **out_error);

/**
 * Makes a file descriptor that polls readable (`POLLIN`) as long as there is metadata to take, or the stream has
 * ended. The descriptor of `iscp_downstream_pollable` is for chunks only from then on.
 *
 * It is level-triggered and belongs to the stream: never read, write or close it. When it is
 * readable, take metadata with a `timeout_ms` of 0 until the answer is `ISCP_ERR_WOULD_BLOCK` or that the
 * stream has ended.
 *
 * @param downstream the downstream
 * @param out_fd     receives the descriptor, the same at every call; -1 on failure
 * @param out_error  receives the detail of a failure, or NULL
 * @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor left;
 *         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
 *
 * Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the downstream is not
 * freed. Since: 0.1.0.
 */
ISCP_API
iscp_status_t iscp_downstream_metadata_pollable(struct iscp_downstream_t *downstream,
                                                int32_t *out_fd,
                                                struct iscp_error_t **out_error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Whether the library that is running fits the header: not older, of the same major version, and
 * before 1.0 of the same minor version too.
 *
 * @return true when it does
 *
 * Thread: any. Blocking: no. Lifetime: plain value. Since: 0.1.0.
 */
static inline bool iscp_check_version(void) {
    uint32_t running = iscp_version_number();
    uint32_t family = ISCP_VERSION_MAJOR == 0 ? 100 : 10000;
    return running / family == ISCP_VERSION_NUMBER / family && running >= ISCP_VERSION_NUMBER;
}

#ifdef __cplusplus
}
#endif

#endif /* ISCP_ISCP_H */
