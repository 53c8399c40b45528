/**
 * @file
 * @brief Settings of a connection, and what its handlers are told.
 */
#ifndef ISCP_CPP_CONNECTION_OPTIONS_HPP
#define ISCP_CPP_CONNECTION_OPTIONS_HPP

#include <iscp/cpp/event.hpp>

namespace iscp {

/**
 * A question for an access token, to be answered once, in the handler or later from any thread.
 *
 * One that ends without an answer is rejected, so that the attempt to connect does not wait for nothing.
 */
class token_request {
  public:
    /** Takes over a question of the C interface. */
    explicit token_request(iscp_token_request_t *raw) noexcept : raw_(raw) {}

    token_request(token_request &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}

    token_request &operator=(token_request &&other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }

    token_request(const token_request &) = delete;
    token_request &operator=(const token_request &) = delete;

    ~token_request() {
        if (raw_ != nullptr) {
            static_cast<void>(iscp_token_request_reject(raw_, "the question was dropped", nullptr));
        }
    }

    /** Answers with a token. With `ISCP_ERR_INVALID_UTF8` the question is still open. */
    result<> resolve(const text &token) {
        return answer(iscp_token_request_resolve, token);
    }

    /** Answers that there is no token; the attempt to connect fails with the reason. */
    result<> reject(const text &reason) {
        return answer(iscp_token_request_reject, reason);
    }

  private:
    result<> answer(iscp_status_t (*function)(iscp_token_request_t *, const char *, iscp_error_t **),
                    const text &argument) {
        result<> done = detail::invoke(function, raw_, argument.c_str());
        if (done.status() != ISCP_ERR_INVALID_UTF8 && done.status() != ISCP_ERR_NULL_ARGUMENT) {
            raw_ = nullptr;
        }
        return done;
    }

    iscp_token_request_t *raw_;
};

/** What became of points that an earlier process left in the spool. */
struct spool_event {
    std::string_view session_id;  /**< session of the points; valid until the handler returns */
    uuid former_stream_id;        /**< stream on which they were last sent, nil if they never were */
    uuid stream_id;               /**< stream on which they were delivered */
    std::uint64_t points;         /**< how many were delivered */
    std::uint64_t missing_points; /**< how many are lost because their file is damaged */
    result<> why;                 /**< success when they were delivered, or why they stay in the spool */
};

/**
 * Settings of a connection, collected before it is made.
 *
 * Setters check at once and may be chained; the first failure is kept, and connecting gives it. What they
 * mean, their ranges and defaults stand in iscp.h (`iscp_conn_options_set_…`) and docs/options.md. One thread
 * at a time.
 *
 * A handler is kept until the settings and every connection made with them have ended. With several
 * connections it may be called by several threads at the same time.
 */
class connection_options
    : public detail::options<iscp_conn_options_t, iscp_conn_options_new, iscp_conn_options_free> {
  public:
    /** Any option by its name, as in docs/options.md. */
    connection_options &set(const text &key, const text &value) {
        keep(detail::invoke(iscp_conn_options_set, get(), key.c_str(), value.c_str()));
        return *this;
    }

    /** The address of the server. */
    connection_options &url(const text &value) {
        assign(iscp_conn_options_set_url, value);
        return *this;
    }

    /** How the server is reached, instead of in the URL: "ws", "wss", "quic" or "webtransport". */
    connection_options &transport(const text &value) {
        assign(iscp_conn_options_set_transport, value);
        return *this;
    }

    /** The host of the server, instead of in the URL. */
    connection_options &host(const text &value) {
        assign(iscp_conn_options_set_host, value);
        return *this;
    }

    /** The port of the server, instead of in the URL. */
    connection_options &port(std::uint16_t value) {
        assign(iscp_conn_options_set_port, value);
        return *this;
    }

    /** The path at the server, instead of in the URL. */
    connection_options &url_path(const text &value) {
        assign(iscp_conn_options_set_url_path, value);
        return *this;
    }

    /** The id of this node, under which others receive its data. */
    connection_options &node_id(const text &value) {
        assign(iscp_conn_options_set_node_id, value);
        return *this;
    }

    /** The intdash project the connection belongs to. */
    connection_options &project_uuid(const text &value) {
        assign(iscp_conn_options_set_project_uuid, value);
        return *this;
    }

    /** The encoding of the messages, in both directions. */
    connection_options &encoding(const text &value) {
        assign(iscp_conn_options_set_encoding, value);
        return *this;
    }

    /** The compression of the messages, in both directions. */
    connection_options &compression(const text &value) {
        assign(iscp_conn_options_set_compression, value);
        return *this;
    }

    /** How long the transport may take when connecting: the name service, the proxy, TLS and the handshake
     * together. */
    connection_options &connect_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_connect_timeout_ms, iscp_conn_options_set, "connect_timeout_ms", value);
        return *this;
    }

    /** How long the server may take to answer a request. */
    connection_options &response_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_response_timeout_ms, iscp_conn_options_set, "response_timeout_ms",
               value);
        return *this;
    }

    /** How long closing the connection may take, its streams included. */
    connection_options &close_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_close_timeout_ms, iscp_conn_options_set, "close_timeout_ms", value);
        return *this;
    }

    /** How often both sides ask whether the other is still there. */
    connection_options &ping_interval(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_ping_interval_ms, iscp_conn_options_set, "ping_interval_ms", value);
        return *this;
    }

    /** How long both sides wait for the answer before they give the connection up. */
    connection_options &ping_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_ping_timeout_ms, iscp_conn_options_set, "ping_timeout_ms", value);
        return *this;
    }

    /** The largest message accepted from the server. */
    connection_options &max_message_size(std::size_t value) {
        assign(iscp_conn_options_set_max_message_size, value);
        return *this;
    }

    /** An access token that never changes. */
    connection_options &token(const text &value) {
        assign(iscp_conn_options_set_token, value);
        return *this;
    }

    /** How long a source of tokens may take: a callback, or an OAuth2 server. */
    connection_options &token_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_token_timeout_ms, iscp_conn_options_set, "token_timeout_ms", value);
        return *this;
    }

    /** The value of an HTTP header that WebSocket and WebTransport begin with. */
    connection_options &header_token(const text &value) {
        assign(iscp_conn_options_set_header_token, value);
        return *this;
    }

    /** The name of the header that carries the header token. */
    connection_options &header_token_name(const text &value) {
        assign(iscp_conn_options_set_header_token_name, value);
        return *this;
    }

    /** The token endpoint of an OAuth2 server that gives the access token. */
    connection_options &oauth2_token_url(const text &value) {
        assign(iscp_conn_options_set_oauth2_token_url, value);
        return *this;
    }

    /** The id of the client for the OAuth2 server. */
    connection_options &oauth2_client_id(const text &value) {
        assign(iscp_conn_options_set_oauth2_client_id, value);
        return *this;
    }

    /** The secret of the client for the OAuth2 server. */
    connection_options &oauth2_client_secret(const text &value) {
        assign(iscp_conn_options_set_oauth2_client_secret, value);
        return *this;
    }

    /** The scopes to ask the OAuth2 server for. */
    connection_options &oauth2_scope(const text &value) {
        assign(iscp_conn_options_set_oauth2_scope, value);
        return *this;
    }

    /** A file of certificates to trust when the server shows its own. */
    connection_options &tls_ca_file(const text &value) {
        assign(iscp_conn_options_set_tls_ca_file, value);
        return *this;
    }

    /** Certificates to trust when the server shows its own, as text. */
    connection_options &tls_ca_pem(const text &value) {
        assign(iscp_conn_options_set_tls_ca_pem, value);
        return *this;
    }

    /** A file with the certificate to show a server that demands one. */
    connection_options &tls_client_cert_file(const text &value) {
        assign(iscp_conn_options_set_tls_client_cert_file, value);
        return *this;
    }

    /** The certificate to show a server that demands one, as text. */
    connection_options &tls_client_cert_pem(const text &value) {
        assign(iscp_conn_options_set_tls_client_cert_pem, value);
        return *this;
    }

    /** A file with the key of the client's certificate. */
    connection_options &tls_client_key_file(const text &value) {
        assign(iscp_conn_options_set_tls_client_key_file, value);
        return *this;
    }

    /** The key of the client's certificate, as text. */
    connection_options &tls_client_key_pem(const text &value) {
        assign(iscp_conn_options_set_tls_client_key_pem, value);
        return *this;
    }

    /** The name that the server's certificate must be for. */
    connection_options &tls_server_name(const text &value) {
        assign(iscp_conn_options_set_tls_server_name, value);
        return *this;
    }

    /** Whether to take any certificate of the server: whoever answers is believed. */
    connection_options &tls_insecure_skip_verify(bool value) {
        assign(iscp_conn_options_set_tls_insecure_skip_verify, value);
        return *this;
    }

    /** The HTTP proxy that WebSockets go through, with the method CONNECT. */
    connection_options &proxy(const text &value) {
        assign(iscp_conn_options_set_proxy, value);
        return *this;
    }

    /** The IP address of this machine to connect from. */
    connection_options &local_address(const text &value) {
        assign(iscp_conn_options_set_local_address, value);
        return *this;
    }

    /** Whether WebSockets use Multipath TCP (RFC 8684), so that a connection may go on over another network
     * when the system knows one, as `ip mptcp` says. */
    connection_options &multipath_tcp(bool value) {
        assign(iscp_conn_options_set_multipath_tcp, value);
        return *this;
    }

    /** The network interface that the connection takes, whatever the routes say. */
    connection_options &interface(const text &value) {
        assign(iscp_conn_options_set_interface, value);
        return *this;
    }

    /** How QUIC and WebTransport find out how fast they may send. */
    connection_options &quic_congestion(const text &value) {
        assign(iscp_conn_options_set_quic_congestion, value);
        return *this;
    }

    /** The largest datagram of QUIC and WebTransport, in which the chunks of UNRELIABLE upstreams go. */
    connection_options &quic_datagram_size(std::size_t value) {
        assign(iscp_conn_options_set_quic_datagram_size, value);
        return *this;
    }

    /** How messages are spread over the paths of a connection. */
    connection_options &multi_scheduler(const text &value) {
        assign(iscp_conn_options_set_multi_scheduler, value);
        return *this;
    }

    /** The pause before a path that was lost, or could not be connected, is dialled again. */
    connection_options &multi_redial_interval(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_multi_redial_interval_ms, iscp_conn_options_set,
               "multi_redial_interval_ms", value);
        return *this;
    }

    /** How often each path is asked whether it carries anything, which also measures its round trip. */
    connection_options &multi_ping_interval(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_multi_ping_interval_ms, iscp_conn_options_set, "multi_ping_interval_ms",
               value);
        return *this;
    }

    /** How long a path may leave a question unanswered before it is closed and dialled again. */
    connection_options &multi_path_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_multi_path_timeout_ms, iscp_conn_options_set, "multi_path_timeout_ms",
               value);
        return *this;
    }

    /** How long a connection lasts without any of its paths. */
    connection_options &multi_lost_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_multi_lost_timeout_ms, iscp_conn_options_set, "multi_lost_timeout_ms",
               value);
        return *this;
    }

    /** Whether a connection that is lost is made anew, with its streams. */
    connection_options &reconnect(bool value) {
        assign(iscp_conn_options_set_reconnect, value);
        return *this;
    }

    /** The shortest wait before an attempt to reconnect. */
    connection_options &reconnect_min_interval(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_reconnect_min_interval_ms, iscp_conn_options_set,
               "reconnect_min_interval_ms", value);
        return *this;
    }

    /** The longest wait before an attempt to reconnect. */
    connection_options &reconnect_max_interval(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_reconnect_max_interval_ms, iscp_conn_options_set,
               "reconnect_max_interval_ms", value);
        return *this;
    }

    /** How many attempts in one outage may fail before the connection ends. */
    connection_options &reconnect_attempts(std::uint32_t value) {
        assign(iscp_conn_options_set_reconnect_attempts, value);
        return *this;
    }

    /** How long an outage may take before the connection ends. */
    connection_options &reconnect_total(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_reconnect_total_ms, iscp_conn_options_set, "reconnect_total_ms", value);
        return *this;
    }

    /** How long a call waits for its reply unless it says otherwise. */
    connection_options &reply_timeout(std::chrono::milliseconds value) {
        assign(iscp_conn_options_set_reply_timeout_ms, iscp_conn_options_set, "reply_timeout_ms", value);
        return *this;
    }

    /** How many calls of other nodes, and how many replies for which nobody waits, may wait for the
     * application. */
    connection_options &call_queue_limit(std::size_t value) {
        assign(iscp_conn_options_set_call_queue_limit, value);
        return *this;
    }

    /** How many bytes of calls of other nodes, and of replies for which nobody waits, may wait for the
     * application. */
    connection_options &call_queue_bytes(std::size_t value) {
        assign(iscp_conn_options_set_call_queue_bytes, value);
        return *this;
    }

    /** How many bytes of calls and replies may wait to be sent. */
    connection_options &call_send_limit(std::size_t value) {
        assign(iscp_conn_options_set_call_send_limit, value);
        return *this;
    }

    /** The directory in which the points of RELIABLE upstreams are kept until the server acknowledged them,
     * so that they survive the process. */
    connection_options &spool_dir(const text &value) {
        assign(iscp_conn_options_set_spool_dir, value);
        return *this;
    }

    /** How many bytes the spool may take on disk. */
    connection_options &spool_limit_bytes(std::uint64_t value) {
        assign(iscp_conn_options_set_spool_limit_bytes, value);
        return *this;
    }

    /** What a write survives once it succeeded. */
    connection_options &spool_sync(const text &value) {
        assign(iscp_conn_options_set_spool_sync, value);
        return *this;
    }

    /** What happens when the spool is full. */
    connection_options &spool_full(const text &value) {
        assign(iscp_conn_options_set_spool_full, value);
        return *this;
    }

    /** One of several paths of the same connection, see `iscp_conn_options_add_path`. */
    connection_options &add_path(const text &url, const text &local_address, const text &interface) {
        keep(detail::invoke(iscp_conn_options_add_path, get(), url.c_str(), local_address.c_str(),
                            interface.c_str()));
        return *this;
    }

    /** `handler(token_request)`: asked for an access token before every attempt to connect. */
    template <class F> connection_options &on_token(F &&handler) {
        keep(detail::set_handler(iscp_conn_options_set_token_callback, ask<std::decay_t<F>>,
                                 std::forward<F>(handler), get()));
        return *this;
    }

    /** `handler(token_request)`: the same for the token in an HTTP header. */
    template <class F> connection_options &on_header_token(F &&handler) {
        keep(detail::set_handler(iscp_conn_options_set_header_token_callback, ask<std::decay_t<F>>,
                                 std::forward<F>(handler), get()));
        return *this;
    }

    /** How many events may wait for the application, or for its event callback to return. */
    connection_options &event_queue_limit(std::size_t value) {
        assign(iscp_conn_options_set_event_queue_limit, value);
        return *this;
    }

    /**
     * `handler(event_view)`: told what happens to the connection and its streams. Without it the events can
     * be pulled, with `connection::next_event_wait`.
     */
    template <class F> connection_options &on_event(F &&handler) {
        auto callback = [](const iscp_event_t *event, void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(event_view(event));
        };
        keep(detail::set_handler(iscp_conn_options_set_event_callback, callback, std::forward<F>(handler),
                                 get()));
        return *this;
    }

    /** `handler(const result<> &)`: told once how the connection ended; success when the application closed
     * it. */
    template <class F> connection_options &on_closed(F &&handler) {
        auto callback = [](const iscp_error_t *why, void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(detail::from_callback(why));
        };
        keep(detail::set_handler(iscp_conn_options_set_closed_callback, callback, std::forward<F>(handler),
                                 get()));
        return *this;
    }

    /** `handler(const spool_event &)`: told what became of points that an earlier process left. */
    template <class F> connection_options &on_spool(F &&handler) {
        auto callback = [](const char *session_id, const iscp_uuid_t *former, const iscp_uuid_t *id,
                           std::uint64_t points, std::uint64_t missing, const iscp_error_t *why,
                           void *user_data) noexcept {
            (*static_cast<std::decay_t<F> *>(user_data))(spool_event{
                detail::or_empty(session_id), *former, *id, points, missing, detail::from_callback(why)});
        };
        keep(detail::set_handler(iscp_conn_options_set_spool_callback, callback, std::forward<F>(handler),
                                 get()));
        return *this;
    }

  private:
    template <class Handler> static void ask(iscp_token_request_t *request, void *user_data) noexcept {
        (*static_cast<Handler *>(user_data))(token_request(request));
    }
};

} // namespace iscp

#endif
