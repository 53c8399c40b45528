/**
 * @file
 * @brief Events: what happens to a connection and its streams.
 */
#ifndef ISCP_CPP_EVENT_HPP
#define ISCP_CPP_EVENT_HPP

#include <iscp/cpp/handler.hpp>

namespace iscp {

class event;

/** What an event says; each is explained in iscp.h. Later versions may have more. */
enum class event_kind : iscp_event_kind_t {
    connected = ISCP_EVENT_CONNECTED,
    disconnected = ISCP_EVENT_DISCONNECTED,
    reconnecting = ISCP_EVENT_RECONNECTING,
    reconnected = ISCP_EVENT_RECONNECTED,
    closed = ISCP_EVENT_CLOSED,
    upstream_resumed = ISCP_EVENT_UPSTREAM_RESUMED,
    upstream_reopened = ISCP_EVENT_UPSTREAM_REOPENED,
    upstream_closed = ISCP_EVENT_UPSTREAM_CLOSED,
    downstream_resumed = ISCP_EVENT_DOWNSTREAM_RESUMED,
    downstream_reopened = ISCP_EVENT_DOWNSTREAM_REOPENED,
    downstream_closed = ISCP_EVENT_DOWNSTREAM_CLOSED,
    dropped = ISCP_EVENT_DROPPED,
};

/** Name of a kind, such as "upstream resumed". */
inline std::string_view to_string(event_kind kind) noexcept {
    return iscp_event_kind_name(static_cast<iscp_event_kind_t>(kind));
}

/**
 * Something that happened to a connection or to a stream of it.
 *
 * As what is received: a view in handlers, valid until they return; `keep()` gives an owner. Which accessors
 * mean something depends on the kind; the others give 0, success or a nil id.
 */
class event_view {
  public:
    explicit event_view(const iscp_event_t *raw) noexcept : raw_(raw) {}

    event_kind kind() const noexcept {
        return static_cast<event_kind>(iscp_event_kind(raw_));
    }

    /** When it happened, by the clock of this machine. */
    time_point time() const noexcept {
        return detail::to_time_point(iscp_event_time_ns(raw_));
    }

    /** Why it happened; success when there is no error to tell. */
    result<> why() const {
        return detail::from_callback(iscp_event_error(raw_));
    }

    /** Of `reconnecting`: number of the attempt in this outage, from 1. */
    std::uint32_t attempt() const noexcept {
        return iscp_event_attempt(raw_);
    }

    /** Of `reconnecting`: how long the connection waits before the attempt. */
    std::chrono::milliseconds delay() const noexcept {
        return std::chrono::milliseconds(iscp_event_delay_ms(raw_));
    }

    /** The stream it is about. */
    uuid stream_id() const noexcept {
        return iscp_event_stream_id(raw_);
    }

    /** The id that a stream had that was opened anew. */
    uuid former_stream_id() const noexcept {
        return iscp_event_former_stream_id(raw_);
    }

    /** Of `upstream_closed`: points whose delivery the server did not confirm. */
    std::uint64_t undelivered_points() const noexcept {
        return iscp_event_undelivered_points(raw_);
    }

    /** Of `upstream_closed`: numbers of the chunks sent and not confirmed; valid as long as the event. */
    view<std::uint32_t> undelivered_chunks() const noexcept {
        return {iscp_event_undelivered_chunks(raw_), iscp_event_undelivered_chunk_count(raw_)};
    }

    /** Of `dropped`: how many events are missing before this one. */
    std::uint64_t dropped() const noexcept {
        return iscp_event_dropped(raw_);
    }

    /** The object of the C interface. */
    const iscp_event_t *get() const noexcept {
        return raw_;
    }

    /** An owner of the event. */
    event keep() const noexcept;

  private:
    const iscp_event_t *raw_;
};

/** An event with its owner. */
class event : public detail::kept<event_view, iscp_event_t, iscp_event_ref, iscp_event_free> {
  public:
    using kept::kept;
};

inline event event_view::keep() const noexcept {
    return event(iscp_event_ref(raw_));
}

} // namespace iscp

#endif
