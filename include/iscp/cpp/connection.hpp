/**
 * @file
 * @brief Connections: streams are opened on them, and calls go through them.
 */
#ifndef ISCP_CPP_CONNECTION_HPP
#define ISCP_CPP_CONNECTION_HPP

#include <iscp/cpp/connection_options.hpp>
#include <iscp/cpp/downstream.hpp>
#include <iscp/cpp/upstream.hpp>

namespace iscp {

/** State of a connection. Later versions may have more. */
enum class conn_state : iscp_conn_state_t {
    connected = ISCP_CONN_STATE_CONNECTED,
    closed = ISCP_CONN_STATE_CLOSED,
    reconnecting = ISCP_CONN_STATE_RECONNECTING,
};

/** A number about a connection. */
enum class conn_stat : iscp_conn_stat_t {
    messages_sent = ISCP_CONN_STAT_MESSAGES_SENT,
    messages_received = ISCP_CONN_STAT_MESSAGES_RECEIVED,
    bytes_sent = ISCP_CONN_STAT_BYTES_SENT,
    bytes_received = ISCP_CONN_STAT_BYTES_RECEIVED,
    round_trip_ns = ISCP_CONN_STAT_ROUND_TRIP_NS,
    messages_dropped = ISCP_CONN_STAT_MESSAGES_DROPPED,
    calls_received = ISCP_CONN_STAT_CALLS_RECEIVED,
    calls_dropped = ISCP_CONN_STAT_CALLS_DROPPED,
    calls_waiting = ISCP_CONN_STAT_CALLS_WAITING,
    replies_received = ISCP_CONN_STAT_REPLIES_RECEIVED,
    replies_dropped = ISCP_CONN_STAT_REPLIES_DROPPED,
    replies_waiting = ISCP_CONN_STAT_REPLIES_WAITING,
    losses = ISCP_CONN_STAT_LOSSES,
    reconnects = ISCP_CONN_STAT_RECONNECTS,
    spool_bytes = ISCP_CONN_STAT_SPOOL_BYTES,
    spool_dropped = ISCP_CONN_STAT_SPOOL_DROPPED,
    spool_recovered = ISCP_CONN_STAT_SPOOL_RECOVERED,
    paths = ISCP_CONN_STAT_PATHS,
    events_dropped = ISCP_CONN_STAT_EVENTS_DROPPED,
    points_sent = ISCP_CONN_STAT_POINTS_SENT,
    points_received = ISCP_CONN_STAT_POINTS_RECEIVED,
};

/** A number about a path. Those that the system or transport does not know answer `ISCP_ERR_UNSUPPORTED`. */
enum class path_stat : iscp_path_stat_t {
    round_trip_ns = ISCP_PATH_STAT_ROUND_TRIP_NS,
    round_trip_variance_ns = ISCP_PATH_STAT_ROUND_TRIP_VARIANCE_NS,
    min_round_trip_ns = ISCP_PATH_STAT_MIN_ROUND_TRIP_NS,
    congestion_window = ISCP_PATH_STAT_CONGESTION_WINDOW,
    mtu = ISCP_PATH_STAT_MTU,
    unacked_segments = ISCP_PATH_STAT_UNACKED_SEGMENTS,
    retransmitted_segments = ISCP_PATH_STAT_RETRANSMITTED_SEGMENTS,
    sent_packets = ISCP_PATH_STAT_SENT_PACKETS,
    lost_packets = ISCP_PATH_STAT_LOST_PACKETS,
    congestion_events = ISCP_PATH_STAT_CONGESTION_EVENTS,
};

/**
 * A path of a connection: what was agreed on it, and how it does. From `connection::path`.
 *
 * Its texts are valid as long as the path, and "" where nothing is known. May be used from any thread.
 */
class path : public detail::handle<iscp_path_t, iscp_path_free> {
  public:
    using handle::handle;

    /** Another owner of the same path. */
    path share() const noexcept {
        return path(iscp_path_ref(get()));
    }

    /** A number about it, at this moment. */
    result<std::uint64_t> stat(path_stat which) const noexcept {
        std::uint64_t value = 0;
        iscp_status_t status = iscp_path_stat(get(), static_cast<iscp_path_stat_t>(which), &value);
        return status == ISCP_OK ? result<std::uint64_t>(value) : result<std::uint64_t>(error(status));
    }

    /** Address that it leads to. */
    std::string_view url() const noexcept {
        return iscp_path_url(get());
    }

    /** Such as "websocket". */
    std::string_view transport() const noexcept {
        return iscp_path_transport(get());
    }

    /** "tcp", "mptcp" or "udp". */
    std::string_view protocol() const noexcept {
        return iscp_path_protocol(get());
    }

    /** Address and port on this machine. */
    std::string_view local_address() const noexcept {
        return iscp_path_local_address(get());
    }

    /** Address and port of the other side. */
    std::string_view peer_address() const noexcept {
        return iscp_path_peer_address(get());
    }

    std::string_view tls_version() const noexcept {
        return iscp_path_tls_version(get());
    }

    std::string_view tls_cipher() const noexcept {
        return iscp_path_tls_cipher(get());
    }

    std::string_view alpn() const noexcept {
        return iscp_path_alpn(get());
    }

    /** "protobuf" or "json". */
    std::string_view encoding() const noexcept {
        return iscp_path_encoding(get());
    }

    std::string_view compression() const noexcept {
        return iscp_path_compression(get());
    }
};

/** How many messages of a kind there were. */
struct message_counts {
    std::uint64_t sent;     /**< by this side */
    std::uint64_t received; /**< from the server */
};

/** Name of a kind of messages, such as "UpstreamChunk", by a number from 0; "" behind the last. */
inline std::string_view message_name(std::size_t index) noexcept {
    return detail::or_empty(iscp_message_name(index));
}

/** A base time to send: it ties the elapsed times of a session to a clock. */
struct base_time {
    std::string session_id;                   /**< session it belongs to */
    std::string name;                         /**< name of the clock, such as "edge_rtc" */
    std::uint32_t priority = 0;               /**< among the base times of the session */
    std::chrono::nanoseconds elapsed_time{0}; /**< elapsed time that corresponds to `time`, not negative */
    time_point time;                          /**< the clock */
    bool persist = false;                     /**< whether the server stores it in the session */
};

/**
 * A connection to a server.
 *
 * Closed by close() or close_wait(), or in the background when it and every stream on it have ended; it may
 * end before its streams. May be used from any thread; only moving, reset() and the destructor need the
 * object for themselves.
 *
 * Handlers of one connection run one at a time on its dispatcher thread. Every function may be called in them
 * but those that wait, which answer `ISCP_ERR_IN_CALLBACK`. A handler must not throw: an exception that
 * leaves one ends the program with `std::terminate`.
 */
class connection : public detail::handle<iscp_conn_t, iscp_conn_free> {
  public:
    using handle::handle;

    /** Connects in the background. `handler(result<connection>)` is told how it ended, unless this fails. */
    template <class F> static result<> connect(const connection_options &options, F &&handler) {
        if (!options.check()) {
            return options.check();
        }
        return detail::start_open<connection, iscp_conn_t>(
            iscp_connect, std::forward<F>(handler), static_cast<const iscp_conn_options_t *>(options.get()));
    }

    /** Connects, and waits. Not on a thread of the library. */
    static result<connection> connect_wait(const connection_options &options, timeout limit) {
        if (!options.check()) {
            return options.check().error();
        }
        return detail::invoke_for<connection, iscp_conn_t *>(iscp_connect_wait, options.get(),
                                                             limit.milliseconds());
    }

    /** Another owner of the same connection. */
    connection share() const noexcept {
        return connection(iscp_conn_ref(get()));
    }

    /** Closes in the background, streams included. `handler(result<>)` may be left out. */
    template <class F = std::nullptr_t> result<> close(F &&handler = nullptr) {
        return detail::start_done(iscp_conn_close, std::forward<F>(handler), get());
    }

    /** Closes, streams included, and waits. Not on a thread of the library. */
    result<> close_wait(timeout limit) {
        return detail::invoke(iscp_conn_close_wait, get(), limit.milliseconds());
    }

    /** Opens an upstream in the background. `handler(result<upstream>)` is told how it ended, unless this
     * fails. */
    template <class F> result<> open_upstream(const upstream_options &options, F &&handler) {
        if (!options.check()) {
            return options.check();
        }
        return detail::start_open<upstream, iscp_upstream_t>(iscp_upstream_open, std::forward<F>(handler),
                                                             get(), options.get());
    }

    /** Opens an upstream, and waits. Not on a thread of the library. */
    result<upstream> open_upstream_wait(const upstream_options &options, timeout limit) {
        if (!options.check()) {
            return options.check().error();
        }
        return detail::invoke_for<upstream, iscp_upstream_t *>(iscp_upstream_open_wait, get(), options.get(),
                                                               limit.milliseconds());
    }

    /** Opens a downstream in the background. `handler(result<downstream>)` is told how it ended, unless this
     * fails. */
    template <class F> result<> open_downstream(const downstream_options &options, F &&handler) {
        if (!options.check()) {
            return options.check();
        }
        return detail::start_open<downstream, iscp_downstream_t>(
            iscp_downstream_open, std::forward<F>(handler), get(), options.get());
    }

    /** Opens a downstream, and waits. Not on a thread of the library. */
    result<downstream> open_downstream_wait(const downstream_options &options, timeout limit) {
        if (!options.check()) {
            return options.check().error();
        }
        return detail::invoke_for<downstream, iscp_downstream_t *>(iscp_downstream_open_wait, get(),
                                                                   options.get(), limit.milliseconds());
    }

    /** Sends a base time in the background. `handler(result<>)` may be left out. */
    template <class F = std::nullptr_t>
    result<> send_base_time(const base_time &base, F &&handler = nullptr) {
        const text session_id(base.session_id), name(base.name);
        return detail::start_done(iscp_conn_send_base_time, std::forward<F>(handler), get(),
                                  session_id.c_str(), name.c_str(), base.priority, base.elapsed_time.count(),
                                  base.time.time_since_epoch().count(), base.persist);
    }

    /** Sends a base time, and waits until the server took it. Not on a thread of the library. */
    result<> send_base_time_wait(const base_time &base, timeout limit) {
        const text session_id(base.session_id), name(base.name);
        return detail::invoke(iscp_conn_send_base_time_wait, get(), session_id.c_str(), name.c_str(),
                              base.priority, base.elapsed_time.count(), base.time.time_since_epoch().count(),
                              base.persist, limit.milliseconds());
    }

    /**
     * Calls another node and does not wait for its reply. Gives the id of the call, by which the reply names
     * it. `handler(result<>)`, told whether the server passed it on, may be left out.
     */
    template <class F = std::nullptr_t>
    result<std::string> send_call(const text &destination_node_id, const text &name, const text &type,
                                  bytes payload, F &&handler = nullptr) {
        std::array<char, ISCP_CALL_ID_SIZE> id{};
        return call_id(id, detail::start_done(iscp_conn_send_call, std::forward<F>(handler), get(),
                                              destination_node_id.c_str(), name.c_str(), type.c_str(),
                                              payload.data(), payload.size(), id.data()));
    }

    /** The same, waiting until the server passed it on. Not on a thread of the library. */
    result<std::string> send_call_wait(const text &destination_node_id, const text &name, const text &type,
                                       bytes payload, timeout limit) {
        std::array<char, ISCP_CALL_ID_SIZE> id{};
        return call_id(id, detail::invoke(iscp_conn_send_call_wait, get(), destination_node_id.c_str(),
                                          name.c_str(), type.c_str(), payload.data(), payload.size(),
                                          limit.milliseconds(), id.data()));
    }

    /** Replies to a call, in the background. `handler(result<>)` may be left out. */
    template <class F = std::nullptr_t>
    result<> send_reply(const incoming_call_view &call, const text &name, const text &type, bytes payload,
                        F &&handler = nullptr) {
        return detail::start_done(iscp_conn_send_reply, std::forward<F>(handler), get(), call.get(),
                                  name.c_str(), type.c_str(), payload.data(), payload.size());
    }

    /** Replies to a call, and waits until the server passed it on. Not on a thread of the library. */
    result<> send_reply_wait(const incoming_call_view &call, const text &name, const text &type,
                             bytes payload, timeout limit) {
        return detail::invoke(iscp_conn_send_reply_wait, get(), call.get(), name.c_str(), type.c_str(),
                              payload.data(), payload.size(), limit.milliseconds());
    }

    /**
     * Calls another node. `handler(result<incoming_call>)` gets the reply, unless this fails. With `forever`
     * it waits as long as the option reply_timeout says.
     */
    template <class F>
    result<> call(const text &destination_node_id, const text &name, const text &type, bytes payload,
                  timeout limit, F &&handler) {
        auto callback = [](const iscp_call_t *reply, const iscp_error_t *why, void *user_data) noexcept {
            auto owner = detail::take_handler<std::decay_t<F>>(user_data);
            (*owner)(why == nullptr ? result<incoming_call>(incoming_call_view(reply).keep())
                                    : result<incoming_call>(error(ISCP_ERR_INTERNAL, why)));
        };
        return detail::start(iscp_conn_call, callback, std::forward<F>(handler), get(),
                             destination_node_id.c_str(), name.c_str(), type.c_str(), payload.data(),
                             payload.size(), limit.milliseconds());
    }

    /** Calls another node, and waits for its reply. Not on a thread of the library. */
    result<incoming_call> call_wait(const text &destination_node_id, const text &name, const text &type,
                                    bytes payload, timeout limit) {
        return detail::invoke_for<incoming_call, iscp_call_t *>(
            iscp_conn_call_wait, get(), destination_node_id.c_str(), name.c_str(), type.c_str(),
            payload.data(), payload.size(), limit.milliseconds());
    }

    /** Hands the calls of other nodes to `handler(incoming_call_view)` from now on. Can be set once. */
    template <class F> result<> set_call_handler(F &&handler) {
        return detail::set_handler(iscp_conn_set_call_handler, receive<std::decay_t<F>>,
                                   std::forward<F>(handler), get());
    }

    /** Hands replies for which nobody waits to `handler(incoming_call_view)` from now on. Can be set once. */
    template <class F> result<> set_reply_handler(F &&handler) {
        return detail::set_handler(iscp_conn_set_reply_handler, receive<std::decay_t<F>>,
                                   std::forward<F>(handler), get());
    }

    /** Takes the next call, as `downstream::next_chunk_wait` takes a chunk. */
    result<incoming_call> next_call_wait(timeout limit) {
        return detail::invoke_for<incoming_call, iscp_call_t *>(iscp_conn_next_call_wait, get(),
                                                                limit.milliseconds());
    }

    /** Takes the next reply for which nobody waits. */
    result<incoming_call> next_reply_wait(timeout limit) {
        return detail::invoke_for<incoming_call, iscp_call_t *>(iscp_conn_next_reply_wait, get(),
                                                                limit.milliseconds());
    }

    /** A descriptor for event loops, readable while there is a call to take; see `downstream::pollable`. */
    result<int> call_pollable() {
        return detail::invoke_for<int, std::int32_t>(iscp_conn_call_pollable, get());
    }

    /** A descriptor for event loops, readable while there is a reply to take; see `downstream::pollable`. */
    result<int> reply_pollable() {
        return detail::invoke_for<int, std::int32_t>(iscp_conn_reply_pollable, get());
    }

    /**
     * Takes the next event of the connection and its streams, as `downstream::next_chunk_wait` takes a chunk.
     * `ISCP_ERR_INVALID_STATE` when the options have a handler for them.
     */
    result<event> next_event_wait(timeout limit) {
        return detail::invoke_for<event, iscp_event_t *>(iscp_conn_next_event_wait, get(),
                                                         limit.milliseconds());
    }

    /** A descriptor for event loops, readable while there is an event to take; see `downstream::pollable`. */
    result<int> event_pollable() {
        return detail::invoke_for<int, std::int32_t>(iscp_conn_event_pollable, get());
    }

    /**
     * Waits until the connection has ended. Success when the application closed it, otherwise why it ended;
     * `ISCP_ERR_WOULD_BLOCK` or `ISCP_ERR_TIMEOUT` when it has not. Not on a thread of the library, unless
     * the time-out is 0.
     */
    result<> wait_closed(timeout limit) {
        return detail::invoke(iscp_conn_wait_closed, get(), limit.milliseconds());
    }

    conn_state state() const noexcept {
        return static_cast<conn_state>(iscp_conn_state(get()));
    }

    /** Protocol version that was agreed with the server, such as "3.0.0"; valid as long as the connection. */
    std::string_view protocol_version() const noexcept {
        return iscp_conn_protocol_version(get());
    }

    /** Asks the server for a sign of life. `handler(result<std::chrono::nanoseconds>)` is told how long it
     * took. */
    template <class F> result<> ping(F &&handler) {
        auto callback = [](std::int64_t round_trip_ns, const iscp_error_t *why, void *user_data) noexcept {
            using told = result<std::chrono::nanoseconds>;
            auto owner = detail::take_handler<std::decay_t<F>>(user_data);
            (*owner)(why == nullptr ? told(std::chrono::nanoseconds(round_trip_ns))
                                    : told(error(ISCP_ERR_INTERNAL, why)));
        };
        return detail::start(iscp_conn_ping, callback, std::forward<F>(handler), get());
    }

    /** The same, waiting. With `forever` as long as the option response_timeout says. Not on a thread of the
     * library. */
    result<std::chrono::nanoseconds> ping_wait(timeout limit) {
        return detail::invoke_for<std::chrono::nanoseconds, std::int64_t>(iscp_conn_ping_wait, get(),
                                                                          limit.milliseconds());
    }

    /** How many messages of a kind there were, by its name, see message_name(). */
    result<message_counts> message_count(const text &name) const {
        message_counts counts{};
        iscp_status_t status = iscp_conn_message_count(get(), name.c_str(), &counts.sent, &counts.received);
        return status == ISCP_OK ? result<message_counts>(counts) : result<message_counts>(error(status));
    }

    /** Name of the transport: "websocket", "quic", "webtransport", or "multi" over several paths. */
    std::string_view transport_name() const noexcept {
        return iscp_conn_transport_name(get());
    }

    /** Encoding of the messages: "protobuf" or "json". */
    std::string_view encoding() const noexcept {
        return iscp_conn_encoding(get());
    }

    /** A path by its number, from 0; `ISCP_ERR_INVALID_ARGUMENT` when there are less. */
    result<iscp::path> path(std::size_t index) {
        return detail::invoke_for<iscp::path, iscp_path_t *>(iscp_conn_path, get(), index);
    }

    /** A number about the connection. */
    result<std::uint64_t> stat(conn_stat which) const noexcept {
        std::uint64_t value = 0;
        iscp_status_t status = iscp_conn_stat(get(), static_cast<iscp_conn_stat_t>(which), &value);
        return status == ISCP_OK ? result<std::uint64_t>(value) : result<std::uint64_t>(error(status));
    }

  private:
    template <class Handler> static void receive(const iscp_call_t *call, void *user_data) noexcept {
        (*static_cast<Handler *>(user_data))(incoming_call_view(call));
    }

    static result<std::string> call_id(const std::array<char, ISCP_CALL_ID_SIZE> &id, const result<> &sent) {
        if (!sent) {
            return sent.error();
        }
        return std::string(id.data());
    }
};

} // namespace iscp

#endif
