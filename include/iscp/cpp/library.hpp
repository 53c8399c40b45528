/**
 * @file
 * @brief The library as a whole: version, log, end.
 */
#ifndef ISCP_CPP_LIBRARY_HPP
#define ISCP_CPP_LIBRARY_HPP

#include <iscp/cpp/handler.hpp>

namespace iscp {

/** Version of the library that is running, such as "0.1.0". */
inline std::string_view version() noexcept {
    return iscp_version();
}

/** The same as a number: major * 10000 + minor * 100 + patch. */
inline std::uint32_t version_number() noexcept {
    return iscp_version_number();
}

/** Whether the library that is running fits the header. */
inline bool check_version() noexcept {
    return iscp_check_version();
}

/** Newest version of the protocol that the library speaks. */
inline std::string_view protocol_version() noexcept {
    return iscp_protocol_version();
}

/** Whether the library was built with a feature, such as "quic". */
inline bool has_feature(const text &name) {
    return iscp_has_feature(name.c_str());
}

/** Name of a result code of the protocol, such as "AUTH_FAILED". */
inline std::string_view result_code_name(std::int32_t result_code) noexcept {
    return iscp_result_code_name(result_code);
}

/** The parts of a data id that is written as one text. */
struct data_id_parts {
    std::string type; /**< what is before the colon */
    std::string name; /**< what is after it */
};

/** Takes a data id apart that is written as one text, such as "string:room/temperature". */
inline result<data_id_parts> parse_data_id(const text &whole) {
    const char *type = nullptr, *name = nullptr;
    std::size_t type_size = 0, name_size = 0;
    result<> done = detail::invoke(iscp_data_id_parse, whole.c_str(), &type, &type_size, &name, &name_size);
    if (!done) {
        return done.error();
    }
    return data_id_parts{std::string(type, type_size), std::string(name, name_size)};
}

/**
 * Closes every connection, waits until they and their handlers have ended, and stops the library's threads.
 *
 * Not needed before the process exits. Objects stay valid, with closed connections. Not on a thread of the
 * library.
 */
inline result<> shutdown(timeout limit) {
    return detail::invoke(iscp_shutdown, limit.milliseconds());
}

/** What a thread of the library does. Later versions may have more. */
enum class thread_kind : iscp_thread_kind_t {
    runtime = ISCP_THREAD_RUNTIME,       /**< drives every connection */
    dispatcher = ISCP_THREAD_DISPATCHER, /**< runs the handlers of a connection */
    resolver = ISCP_THREAD_RESOLVER,     /**< asks for the addresses of a host name */
    spool = ISCP_THREAD_SPOOL,           /**< reads points back from a spool */
    log = ISCP_THREAD_LOG,               /**< runs the log handler */
};

/**
 * Settings of the library's threads, for `configure_runtime`.
 *
 * Setters check at once and may be chained; the first failure is kept, and configuring gives it.
 */
class runtime_options
    : public detail::options<iscp_runtime_options_t, iscp_runtime_options_new, iscp_runtime_options_free> {
  public:
    /** Any option by its name, as in docs/options.md. */
    runtime_options &set(const text &key, const text &value) {
        keep(detail::invoke(iscp_runtime_options_set, get(), key.c_str(), value.c_str()));
        return *this;
    }

    /** What the names of the threads begin with. */
    runtime_options &thread_name(const text &value) {
        assign(iscp_runtime_options_set_thread_name, value);
        return *this;
    }

    /** How large their stacks are, in bytes. */
    runtime_options &stack_size(std::size_t value) {
        assign(iscp_runtime_options_set_stack_size, value);
        return *this;
    }

    /**
     * `start(thread_kind)` is called first on each thread of the library, `stop(thread_kind)` last; several
     * threads may call them at once. They end when neither the options nor the library need them.
     */
    template <class Start, class Stop> runtime_options &on_threads(Start &&start, Stop &&stop) {
        using handlers = std::pair<std::decay_t<Start>, std::decay_t<Stop>>;
        auto on_start = [](iscp_thread_kind_t kind, void *user_data) noexcept {
            static_cast<handlers *>(user_data)->first(static_cast<thread_kind>(kind));
        };
        auto on_stop = [](iscp_thread_kind_t kind, void *user_data) noexcept {
            static_cast<handlers *>(user_data)->second(static_cast<thread_kind>(kind));
        };
        keep(detail::invoke(
            iscp_runtime_options_set_thread_callbacks, get(), on_start, on_stop,
            static_cast<void *>(new handlers(std::forward<Start>(start), std::forward<Stop>(stop))),
            &detail::release_handler<handlers>));
        return *this;
    }
};

/**
 * Sets how the library starts its threads, while none of them runs: before the first connection and the first
 * log handler, or after shutdown(); otherwise `ISCP_ERR_INVALID_STATE`.
 */
inline result<> configure_runtime(const runtime_options &options) {
    if (!options.check()) {
        return options.check();
    }
    return detail::invoke(iscp_runtime_configure, options.get());
}

/** Importance of a log message. */
enum class log_level : iscp_log_level_t {
    off = ISCP_LOG_OFF,
    error = ISCP_LOG_ERROR,
    warn = ISCP_LOG_WARN,
    info = ISCP_LOG_INFO,
    debug = ISCP_LOG_DEBUG,
    trace = ISCP_LOG_TRACE,
};

/** A message of the library. Its texts are valid until the handler returns. */
struct log_message {
    log_level level;          /**< importance */
    std::string_view target;  /**< part of the library */
    std::string_view message; /**< text */
};

/**
 * Hands log messages up to a level to `handler(const log_message &)`, on the log thread of the library.
 *
 * Waits until the former handler has returned and ended; so not on a thread of the library.
 */
template <class F> result<> set_log(log_level least, F &&handler) {
    auto callback = [](iscp_log_level_t level, const char *target, const char *message,
                       void *user_data) noexcept {
        (*static_cast<std::decay_t<F> *>(user_data))(
            log_message{static_cast<log_level>(level), detail::or_empty(target), detail::or_empty(message)});
    };
    using handler_t = std::decay_t<F>;
    return detail::invoke(iscp_log_set, callback, static_cast<iscp_log_level_t>(least),
                          static_cast<void *>(new handler_t(std::forward<F>(handler))),
                          &detail::release_handler<handler_t>);
}

/** Ends logging, and waits until the handler has ended. Not on a thread of the library. */
inline result<> stop_log() {
    return detail::invoke(iscp_log_set, nullptr, static_cast<iscp_log_level_t>(ISCP_LOG_OFF), nullptr,
                          nullptr);
}

} // namespace iscp

#endif
