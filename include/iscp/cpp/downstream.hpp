/**
 * @file
 * @brief Downstreams: streams of points and metadata of other nodes.
 */
#ifndef ISCP_CPP_DOWNSTREAM_HPP
#define ISCP_CPP_DOWNSTREAM_HPP

#include <iscp/cpp/received.hpp>

namespace iscp {

/** A number about a downstream. */
enum class downstream_stat : iscp_downstream_stat_t {
    chunks = ISCP_DOWNSTREAM_STAT_CHUNKS,
    points = ISCP_DOWNSTREAM_STAT_POINTS,
    dropped_chunks = ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS,
    dropped_points = ISCP_DOWNSTREAM_STAT_DROPPED_POINTS,
    dropped_metadata = ISCP_DOWNSTREAM_STAT_DROPPED_METADATA,
    buffered_chunks = ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS,
    bytes = ISCP_DOWNSTREAM_STAT_BYTES,
    metadata = ISCP_DOWNSTREAM_STAT_METADATA,
    buffered_bytes = ISCP_DOWNSTREAM_STAT_BUFFERED_BYTES,
    buffered_metadata = ISCP_DOWNSTREAM_STAT_BUFFERED_METADATA,
    duplicate_chunks = ISCP_DOWNSTREAM_STAT_DUPLICATE_CHUNKS,
    lost_chunks = ISCP_DOWNSTREAM_STAT_LOST_CHUNKS,
    reordered_chunks = ISCP_DOWNSTREAM_STAT_REORDERED_CHUNKS,
    waiting_chunks = ISCP_DOWNSTREAM_STAT_WAITING_CHUNKS,
    given_up_chunks = ISCP_DOWNSTREAM_STAT_GIVEN_UP_CHUNKS,
    late_chunks = ISCP_DOWNSTREAM_STAT_LATE_CHUNKS,
    late_dropped_chunks = ISCP_DOWNSTREAM_STAT_LATE_DROPPED_CHUNKS,
};

/** Where a downstream stands. */
enum class downstream_state : iscp_downstream_state_t {
    open = ISCP_DOWNSTREAM_STATE_OPEN,         /**< in use */
    resuming = ISCP_DOWNSTREAM_STATE_RESUMING, /**< about to come back after a lost connection */
    closing = ISCP_DOWNSTREAM_STATE_CLOSING,   /**< being closed by the application */
    closed = ISCP_DOWNSTREAM_STATE_CLOSED,     /**< ended; what was received can still be taken */
};

/**
 * Settings of a downstream, collected before it is opened.
 *
 * Setters check at once and may be chained; the first failure is kept, and opening gives it. What they mean,
 * their ranges and defaults stand in iscp.h (`iscp_downstream_options_set_…`) and docs/options.md. One thread
 * at a time.
 */
class downstream_options : public detail::options<iscp_downstream_options_t, iscp_downstream_options_new,
                                                  iscp_downstream_options_free> {
  public:
    /** Any option by its name, as in docs/options.md. */
    downstream_options &set(const text &key, const text &value) {
        keep(detail::invoke(iscp_downstream_options_set, get(), key.c_str(), value.c_str()));
        return *this;
    }

    /** Adds what a node sends, as "type:name" with the wildcards `#` and `+`; "#:#" is everything. */
    downstream_options &add_filter(const text &source_node_id, const text &filter) {
        keep(detail::invoke(iscp_downstream_options_add_filter, get(), source_node_id.c_str(),
                            filter.c_str()));
        return *this;
    }

    /** Adds everything of a node. */
    downstream_options &add_node(const text &node) {
        assign(iscp_downstream_options_add_node, node);
        return *this;
    }

    /** The QoS. */
    downstream_options &qos(iscp::qos value) {
        assign(iscp_downstream_options_set_qos, static_cast<iscp_qos_t>(value));
        return *this;
    }

    /** How long the server keeps the stream after the connection was lost. */
    downstream_options &expiry_interval(std::chrono::milliseconds value) {
        assign(iscp_downstream_options_set_expiry_interval_ms, iscp_downstream_options_set,
               "expiry_interval_ms", value);
        return *this;
    }

    /** A data id that will be received, as "type:name". */
    downstream_options &add_data_id(const text &value) {
        assign(iscp_downstream_options_add_data_id, value);
        return *this;
    }

    /** How often chunks that the application took are acknowledged. */
    downstream_options &ack_interval(std::chrono::milliseconds value) {
        assign(iscp_downstream_options_set_ack_interval_ms, iscp_downstream_options_set, "ack_interval_ms",
               value);
        return *this;
    }

    /** Whether the server leaves out chunks of which no point matches. */
    downstream_options &omit_empty_chunk(bool value) {
        assign(iscp_downstream_options_set_omit_empty_chunk, value);
        return *this;
    }

    /** How long closing waits for the last acknowledgement to be confirmed. */
    downstream_options &close_timeout(std::chrono::milliseconds value) {
        assign(iscp_downstream_options_set_close_timeout_ms, iscp_downstream_options_set, "close_timeout_ms",
               value);
        return *this;
    }

    /** How many bytes of chunks may wait for the application. */
    downstream_options &buffer_limit(std::size_t value) {
        assign(iscp_downstream_options_set_buffer_limit, value);
        return *this;
    }

    /** What happens when chunks arrive faster than the application takes them. */
    downstream_options &buffer_policy(const text &value) {
        assign(iscp_downstream_options_set_buffer_policy, value);
        return *this;
    }

    /** In which order the chunks of each upstream are received. */
    downstream_options &chunk_order(const text &value) {
        assign(iscp_downstream_options_set_chunk_order, value);
        return *this;
    }

    /** How many chunks of one upstream may wait for an earlier one, unless `chunk_order` is `as_received`. */
    downstream_options &reorder_limit(std::size_t value) {
        assign(iscp_downstream_options_set_reorder_limit, value);
        return *this;
    }

    /** How long a chunk may wait for an earlier one, unless `chunk_order` is `as_received`, or the earlier
     * one must come because the order is `strict` and downstream and upstream are RELIABLE. */
    downstream_options &reorder_wait(std::chrono::milliseconds value) {
        assign(iscp_downstream_options_set_reorder_wait_ms, iscp_downstream_options_set, "reorder_wait_ms",
               value);
        return *this;
    }

    /** Whether the stream is opened anew when the server has forgotten it: because it was restarted, or
     * because the connection was lost for longer than the expiry interval. */
    downstream_options &reopen(bool value) {
        assign(iscp_downstream_options_set_reopen, value);
        return *this;
    }

    /** `handler(const result<> &)`: told once how the stream ended; success if the application closed it. */
    template <class F> downstream_options &on_closed(F &&handler) {
        auto callback = [](const iscp_error_t *why, void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(detail::from_callback(why));
        };
        keep(detail::set_handler(iscp_downstream_options_set_closed_callback, callback,
                                 std::forward<F>(handler), get()));
        return *this;
    }

    /** `handler(const stream_event &)`: told what became of the stream after a lost connection. */
    template <class F> downstream_options &on_event(F &&handler) {
        auto callback = [](iscp_stream_event_t event, const iscp_uuid_t *id, const iscp_uuid_t *former,
                           void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(
                stream_event{static_cast<stream_event_kind>(event), *id, *former});
        };
        keep(detail::set_handler(iscp_downstream_options_set_event_callback, callback,
                                 std::forward<F>(handler), get()));
        return *this;
    }
};

/**
 * A stream of points and metadata of other nodes; opened by `connection::open_downstream`.
 *
 * Chunks, and metadata, are either handed to a handler or pulled. Closed by close() or close_wait(), or in
 * the background when this object ends. May be used from any thread; only moving, reset() and the destructor
 * need the object for themselves.
 */
class downstream : public detail::handle<iscp_downstream_t, iscp_downstream_free> {
  public:
    using handle::handle;

    /**
     * Hands chunks to `handler(chunk_view)` from now on, one at a time, on the dispatcher thread of the
     * connection. The handler ends after its last call, also when this fails.
     */
    template <class F> result<> read(F &&handler) {
        auto callback = [](const iscp_chunk_t *chunk, void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(chunk_view(chunk));
        };
        return detail::set_handler(iscp_downstream_read, callback, std::forward<F>(handler), get());
    }

    /** The same for metadata: `handler(metadata_view)`. */
    template <class F> result<> read_metadata(F &&handler) {
        auto callback = [](const iscp_metadata_t *metadata, void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(metadata_view(metadata));
        };
        return detail::set_handler(iscp_downstream_read_metadata, callback, std::forward<F>(handler), get());
    }

    /**
     * Takes the next chunk. Without waiting (a time-out of 0) it is allowed in handlers too.
     *
     * `ISCP_ERR_WOULD_BLOCK` when there is none and the time-out is 0, `ISCP_ERR_TIMEOUT`; once everything
     * was taken `ISCP_ERR_CLOSED`, or why the stream ended.
     */
    result<chunk> next_chunk_wait(timeout limit) {
        return detail::invoke_for<chunk, iscp_chunk_t *>(iscp_downstream_next_chunk_wait, get(),
                                                         limit.milliseconds());
    }

    /** Takes the next metadata, as next_chunk_wait() takes a chunk. */
    result<metadata> next_metadata_wait(timeout limit) {
        return detail::invoke_for<metadata, iscp_metadata_t *>(iscp_downstream_next_metadata_wait, get(),
                                                               limit.milliseconds());
    }

    /**
     * A descriptor for event loops: readable while there is a chunk or metadata to take, or the stream has
     * ended. Never read, written or closed by the application; valid as long as this object has its handle.
     */
    result<int> pollable() {
        return detail::invoke_for<int, std::int32_t>(iscp_downstream_pollable, get());
    }

    /** The same for metadata alone; pollable() is for chunks alone from then on. */
    result<int> metadata_pollable() {
        return detail::invoke_for<int, std::int32_t>(iscp_downstream_metadata_pollable, get());
    }

    /** Acknowledges what was taken, and closes the stream, in the background. `handler(result<>)` may be left
     * out. */
    template <class F = std::nullptr_t> result<> close(F &&handler = nullptr) {
        return detail::start_done(iscp_downstream_close, std::forward<F>(handler), get());
    }

    /** Acknowledges what was taken, closes the stream, and waits. Not on a thread of the library. */
    result<> close_wait(timeout limit) {
        return detail::invoke(iscp_downstream_close_wait, get(), limit.milliseconds());
    }

    /** A number about the stream. */
    result<std::uint64_t> stat(downstream_stat which) const noexcept {
        std::uint64_t value = 0;
        iscp_status_t status =
            iscp_downstream_stat(get(), static_cast<iscp_downstream_stat_t>(which), &value);
        return status == ISCP_OK ? result<std::uint64_t>(value) : result<std::uint64_t>(error(status));
    }

    /** Where the stream stands. */
    downstream_state state() const noexcept {
        return static_cast<downstream_state>(iscp_downstream_state(get()));
    }

    /** Another owner of the same stream. */
    downstream share() const noexcept {
        return downstream(iscp_downstream_ref(get()));
    }

    /** Id that the server gave the stream. */
    uuid id() const noexcept {
        return iscp_downstream_id(get());
    }

    /** Clock of the server when the stream was opened; the epoch when it did not say. */
    time_point server_time() const noexcept {
        return detail::to_time_point(iscp_downstream_server_time_ns(get()));
    }
};

} // namespace iscp

#endif
