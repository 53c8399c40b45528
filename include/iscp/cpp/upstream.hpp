/**
 * @file
 * @brief Upstreams: streams of points from this node.
 */
#ifndef ISCP_CPP_UPSTREAM_HPP
#define ISCP_CPP_UPSTREAM_HPP

#include <iscp/cpp/handler.hpp>
#include <iscp/cpp/received.hpp>

namespace iscp {

/** What the server said about a chunk. */
struct ack {
    std::uint32_t sequence_number;  /**< number of the chunk */
    std::int32_t result_code;       /**< 0 when the server took it, otherwise a result code of the protocol */
    std::string_view result_string; /**< what the server wrote about it; valid until the handler returns */
};

/** How an upstream ended. */
struct upstream_end {
    result<> why;                     /**< success when the application closed it and all was confirmed */
    std::uint64_t undelivered_points; /**< points whose delivery the server did not confirm */
    view<std::uint32_t>
        undelivered_chunks; /**< chunks sent and not confirmed; valid until the handler returns */
};

/** A data id of one upstream, from `upstream::data_id`. */
class data_id {
  public:
    constexpr data_id() noexcept = default;

    explicit constexpr data_id(iscp_data_id_t value) noexcept : value_(value) {}

    /** As the C interface has it; 0 when it is none. */
    constexpr iscp_data_id_t value() const noexcept {
        return value_;
    }

  private:
    iscp_data_id_t value_ = 0;
};

/** What a flush waits for. */
enum class flush_level : iscp_flush_level_t {
    sent = ISCP_FLUSH_SENT,                 /**< everything has left the buffer */
    acknowledged = ISCP_FLUSH_ACKNOWLEDGED, /**< the server has confirmed everything */
};

/** A number about an upstream. */
enum class upstream_stat : iscp_upstream_stat_t {
    total_points = ISCP_UPSTREAM_STAT_TOTAL_POINTS,
    last_sequence_number = ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER,
    buffered_points = ISCP_UPSTREAM_STAT_BUFFERED_POINTS,
    buffered_bytes = ISCP_UPSTREAM_STAT_BUFFERED_BYTES,
    in_flight_chunks = ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS,
    in_flight_bytes = ISCP_UPSTREAM_STAT_IN_FLIGHT_BYTES,
    failed_points = ISCP_UPSTREAM_STAT_FAILED_POINTS,
    dropped_points = ISCP_UPSTREAM_STAT_DROPPED_POINTS,
    aliases = ISCP_UPSTREAM_STAT_ALIASES,
};

/** Where an upstream stands. */
enum class upstream_state : iscp_upstream_state_t {
    open = ISCP_UPSTREAM_STATE_OPEN,         /**< in use */
    resuming = ISCP_UPSTREAM_STATE_RESUMING, /**< about to come back after a lost connection */
    closing = ISCP_UPSTREAM_STATE_CLOSING,   /**< being closed: what was written is delivered */
    closed = ISCP_UPSTREAM_STATE_CLOSED,     /**< ended */
};

/**
 * Settings of an upstream, collected before it is opened.
 *
 * Setters check at once and may be chained; the first failure is kept, and opening gives it. What they mean,
 * their ranges and defaults stand in iscp.h (`iscp_upstream_options_set_…`) and docs/options.md. One thread
 * at a time.
 */
class upstream_options
    : public detail::options<iscp_upstream_options_t, iscp_upstream_options_new, iscp_upstream_options_free> {
  public:
    /** Any option by its name, as in docs/options.md. */
    upstream_options &set(const text &key, const text &value) {
        keep(detail::invoke(iscp_upstream_options_set, get(), key.c_str(), value.c_str()));
        return *this;
    }

    /** The session the data belongs to. */
    upstream_options &session_id(const text &value) {
        assign(iscp_upstream_options_set_session_id, value);
        return *this;
    }

    /** The QoS. */
    upstream_options &qos(iscp::qos value) {
        assign(iscp_upstream_options_set_qos, static_cast<iscp_qos_t>(value));
        return *this;
    }

    /** How often the server acknowledges. */
    upstream_options &ack_interval(std::chrono::milliseconds value) {
        assign(iscp_upstream_options_set_ack_interval_ms, iscp_upstream_options_set, "ack_interval_ms",
               value);
        return *this;
    }

    /** How long the acknowledgement of a chunk may take before its points count as undelivered. */
    upstream_options &ack_timeout(std::chrono::milliseconds value) {
        assign(iscp_upstream_options_set_ack_timeout_ms, iscp_upstream_options_set, "ack_timeout_ms", value);
        return *this;
    }

    /** How long the server keeps the stream after the connection was lost. */
    upstream_options &expiry_interval(std::chrono::milliseconds value) {
        assign(iscp_upstream_options_set_expiry_interval_ms, iscp_upstream_options_set, "expiry_interval_ms",
               value);
        return *this;
    }

    /** Whether the server stores the data in the session. */
    upstream_options &persist(bool value) {
        assign(iscp_upstream_options_set_persist, value);
        return *this;
    }

    /** A data id that will be used, as "type:name". */
    upstream_options &add_data_id(const text &value) {
        assign(iscp_upstream_options_add_data_id, value);
        return *this;
    }

    /** When written points are sent. */
    upstream_options &flush_policy(const text &value) {
        assign(iscp_upstream_options_set_flush_policy, value);
        return *this;
    }

    /** How long a point stays buffered, for the policies `interval` and `interval_or_size`. */
    upstream_options &flush_interval(std::chrono::milliseconds value) {
        assign(iscp_upstream_options_set_flush_interval_ms, iscp_upstream_options_set, "flush_interval_ms",
               value);
        return *this;
    }

    /** How many payload bytes are buffered before they are sent, for the policies `size` and
     * `interval_or_size`. */
    upstream_options &flush_size(std::size_t value) {
        assign(iscp_upstream_options_set_flush_size, value);
        return *this;
    }

    /** How many bytes of points may wait to be sent. */
    upstream_options &buffer_limit(std::size_t value) {
        assign(iscp_upstream_options_set_buffer_limit, value);
        return *this;
    }

    /** What a write does when the buffer is full. */
    upstream_options &buffer_policy(const text &value) {
        assign(iscp_upstream_options_set_buffer_policy, value);
        return *this;
    }

    /** Whether the points of each data id are sorted by their elapsed times within a chunk. */
    upstream_options &points_sorted(bool value) {
        assign(iscp_upstream_options_set_points_sorted, value);
        return *this;
    }

    /** How many bytes of sent points may wait for their acknowledgement when the QoS is RELIABLE. */
    upstream_options &in_flight_limit(std::size_t value) {
        assign(iscp_upstream_options_set_in_flight_limit, value);
        return *this;
    }

    /** How long a write waits for space in the buffer. */
    upstream_options &write_timeout(std::chrono::milliseconds value) {
        assign(iscp_upstream_options_set_write_timeout_ms, iscp_upstream_options_set, "write_timeout_ms",
               value);
        return *this;
    }

    /** How long closing waits for outstanding acknowledgements. */
    upstream_options &close_timeout(std::chrono::milliseconds value) {
        assign(iscp_upstream_options_set_close_timeout_ms, iscp_upstream_options_set, "close_timeout_ms",
               value);
        return *this;
    }

    /** Whether the stream is opened anew when the server has forgotten it: because it was restarted, or
     * because the connection was lost for longer than the expiry interval. */
    upstream_options &reopen(bool value) {
        assign(iscp_upstream_options_set_reopen, value);
        return *this;
    }

    /** `handler(const ack &)`: told what the server said about each chunk. */
    template <class F> upstream_options &on_ack(F &&handler) {
        auto callback = [](std::uint32_t sequence_number, std::int32_t code, const char *string,
                           void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(
                ack{sequence_number, code, detail::or_empty(string)});
        };
        keep(detail::set_handler(iscp_upstream_options_set_ack_callback, callback, std::forward<F>(handler),
                                 get()));
        return *this;
    }

    /** `handler(chunk_view)`: shown each chunk that is about to be sent; see `iscp_before_send_cb`. */
    template <class F> upstream_options &before_send(F &&handler) {
        auto callback = [](const iscp_chunk_t *chunk, void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(chunk_view(chunk));
        };
        keep(detail::set_handler(iscp_upstream_options_set_before_send_callback, callback,
                                 std::forward<F>(handler), get()));
        return *this;
    }

    /** `handler(const upstream_end &)`: told once how the stream ended, after all its other handlers. */
    template <class F> upstream_options &on_closed(F &&handler) {
        auto callback = [](const iscp_error_t *why, std::uint64_t points, const std::uint32_t *chunks,
                           std::size_t chunk_count, void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(
                upstream_end{detail::from_callback(why), points, {chunks, chunk_count}});
        };
        keep(detail::set_handler(iscp_upstream_options_set_closed_callback, callback,
                                 std::forward<F>(handler), get()));
        return *this;
    }

    /** `handler(const stream_event &)`: told what became of the stream after a lost connection. */
    template <class F> upstream_options &on_event(F &&handler) {
        auto callback = [](iscp_stream_event_t event, const iscp_uuid_t *id, const iscp_uuid_t *former,
                           void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(
                stream_event{static_cast<stream_event_kind>(event), *id, *former});
        };
        keep(detail::set_handler(iscp_upstream_options_set_event_callback, callback, std::forward<F>(handler),
                                 get()));
        return *this;
    }
};

/**
 * A stream of points from this node; opened by `connection::open_upstream`.
 *
 * Closed by close() or close_wait(), or in the background when this object ends. May be used from any thread;
 * only moving, reset() and the destructor need the object for themselves.
 */
class upstream : public detail::handle<iscp_upstream_t, iscp_upstream_free> {
  public:
    using handle::handle;

    /** The handle by which points of a name and type are written. The same at every call. */
    result<iscp::data_id> data_id(const text &name, const text &type) {
        return detail::invoke_for<iscp::data_id, iscp_data_id_t>(iscp_upstream_data_id, get(), name.c_str(),
                                                                 type.c_str());
    }

    /**
     * Writes a point; the payload is copied.
     *
     * Waits only when the buffer is full, and then as its policy says (`ISCP_ERR_WOULD_BLOCK`,
     * `ISCP_ERR_TIMEOUT`). Allocates nothing of its own. See `iscp_upstream_write`.
     */
    result<> write(iscp::data_id id, std::chrono::nanoseconds elapsed_time, bytes payload) noexcept {
        return detail::from_status(
            iscp_upstream_write(get(), id.value(), elapsed_time.count(), payload.data(), payload.size()));
    }

    /** Writes several points of one data id in order: all of them or none. */
    result<> write_points(iscp::data_id id, view<iscp_data_point_t> points) noexcept {
        return detail::from_status(
            iscp_upstream_write_points(get(), id.value(), points.data(), points.size()));
    }

    /** Writes points of several data ids in order into one chunk: all of them or none. */
    result<> write_together(view<iscp_upstream_point_t> points) noexcept {
        return detail::from_status(iscp_upstream_write_together(get(), points.data(), points.size()));
    }

    /** Writes a point. `handler(result<>)` is told once it is delivered, or why it is not. */
    template <class F>
    result<> write_acknowledged(iscp::data_id id, std::chrono::nanoseconds elapsed_time, bytes payload,
                                F &&handler) {
        return detail::start_done(iscp_upstream_write_acknowledged, std::forward<F>(handler), get(),
                                  id.value(), elapsed_time.count(), payload.data(), payload.size());
    }

    /** Writes a point and waits until it is delivered. Not on a thread of the library. */
    result<> write_acknowledged_wait(iscp::data_id id, std::chrono::nanoseconds elapsed_time, bytes payload,
                                     timeout limit) {
        return detail::invoke(iscp_upstream_write_acknowledged_wait, get(), id.value(), elapsed_time.count(),
                              payload.data(), payload.size(), limit.milliseconds());
    }

    /** Sends what was written, in the background. `handler(result<>)` may be left out. */
    template <class F = std::nullptr_t>
    result<> flush(flush_level level, timeout limit, F &&handler = nullptr) {
        return detail::start_done(iscp_upstream_flush, std::forward<F>(handler), get(),
                                  static_cast<iscp_flush_level_t>(level), limit.milliseconds());
    }

    /** Sends what was written, and waits. Not on a thread of the library. */
    result<> flush_wait(flush_level level, timeout limit) {
        return detail::invoke(iscp_upstream_flush_wait, get(), static_cast<iscp_flush_level_t>(level),
                              limit.milliseconds());
    }

    /** Sends everything, and closes the stream, in the background. `handler(result<>)` may be left out. */
    template <class F = std::nullptr_t> result<> close(bool close_session, F &&handler = nullptr) {
        return detail::start_done(iscp_upstream_close, std::forward<F>(handler), get(), close_session);
    }

    /** Sends everything, waits until the server confirmed it, and closes. Not on a thread of the library. */
    result<> close_wait(timeout limit, bool close_session = false) {
        return detail::invoke(iscp_upstream_close_wait, get(), close_session, limit.milliseconds());
    }

    /** A number about the stream. */
    result<std::uint64_t> stat(upstream_stat which) const noexcept {
        std::uint64_t value = 0;
        iscp_status_t status = iscp_upstream_stat(get(), static_cast<iscp_upstream_stat_t>(which), &value);
        return status == ISCP_OK ? result<std::uint64_t>(value) : result<std::uint64_t>(error(status));
    }

    /** Where the stream stands. */
    upstream_state state() const noexcept {
        return static_cast<upstream_state>(iscp_upstream_state(get()));
    }

    /** Another owner of the same stream. */
    upstream share() const noexcept {
        return upstream(iscp_upstream_ref(get()));
    }

    /** Id that the server gave the stream. */
    uuid id() const noexcept {
        return iscp_upstream_id(get());
    }

    /** Clock of the server when the stream was opened; the epoch when it did not say. */
    time_point server_time() const noexcept {
        return detail::to_time_point(iscp_upstream_server_time_ns(get()));
    }
};

} // namespace iscp

#endif
