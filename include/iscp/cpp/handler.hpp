/**
 * @file
 * @brief How lambdas become callbacks of the C interface. Nothing here is meant for applications.
 */
#ifndef ISCP_CPP_HANDLER_HPP
#define ISCP_CPP_HANDLER_HPP

#include <iscp/cpp/result.hpp>

namespace iscp::detail {

// Every function that the library calls is noexcept: an exception that leaves a handler ends the program, as
// it cannot pass through the library.

/** The memory of a long-lived handler, given up by the release hook. */
template <class F> void release_handler(void *user_data) noexcept {
    delete static_cast<F *>(user_data);
}

/**
 * Hands a long-lived handler to a function that ends with `(callback, user_data, release, out_error)`.
 *
 * `callback` is a captureless lambda that gets the handler as `void *`. The library releases the handler
 * exactly once, also when the function fails.
 */
template <class F, class Callback, class... Parameters, class... Arguments>
result<> set_handler(iscp_status_t (*function)(Parameters...), Callback callback, F &&handler,
                     Arguments &&...arguments) {
    using handler_t = std::decay_t<F>;
    return invoke(function, std::forward<Arguments>(arguments)..., callback,
                  static_cast<void *>(new handler_t(std::forward<F>(handler))), &release_handler<handler_t>);
}

/** Takes over a handler that is called once. */
template <class F> std::unique_ptr<F> take_handler(void *user_data) noexcept {
    return std::unique_ptr<F>(static_cast<F *>(user_data));
}

/**
 * Hands a handler that is called once to a function that ends with `(callback, user_data, out_error)`.
 *
 * `callback` takes the handler over. It is not called when the function fails, and then the handler ends
 * here.
 */
template <class F, class Callback, class... Parameters, class... Arguments>
result<> start(iscp_status_t (*function)(Parameters...), Callback callback, F &&handler,
               Arguments &&...arguments) {
    using handler_t = std::decay_t<F>;
    auto owner = std::make_unique<handler_t>(std::forward<F>(handler));
    result<> started =
        invoke(function, std::forward<Arguments>(arguments)..., callback, static_cast<void *>(owner.get()));
    if (started) {
        // The callback may have run already, and ended the handler.
        static_cast<void>(owner.release());
    }
    return started;
}

/** The same for a handler that is told `result<>`; `nullptr` for nobody. */
template <class F, class... Parameters, class... Arguments>
result<> start_done(iscp_status_t (*function)(Parameters...), F &&handler, Arguments &&...arguments) {
    if constexpr (std::is_same_v<std::decay_t<F>, std::nullptr_t>) {
        return invoke(function, std::forward<Arguments>(arguments)..., nullptr, nullptr);
    } else {
        using handler_t = std::decay_t<F>;
        auto callback = [](const iscp_error_t *why, void *user_data) noexcept {
            (*take_handler<handler_t>(user_data))(from_callback(why));
        };
        return start(function, callback, std::forward<F>(handler), std::forward<Arguments>(arguments)...);
    }
}

/** The same for a handler that is told `result<Owner>`: a new object, or why there is none. */
template <class Owner, class Raw, class F, class... Parameters, class... Arguments>
result<> start_open(iscp_status_t (*function)(Parameters...), F &&handler, Arguments &&...arguments) {
    using handler_t = std::decay_t<F>;
    auto callback = [](Raw *raw, const iscp_error_t *why, void *user_data) noexcept {
        auto owner = take_handler<handler_t>(user_data);
        (*owner)(why == nullptr ? result<Owner>(Owner(raw)) : result<Owner>(error(ISCP_ERR_INTERNAL, why)));
    };
    return start(function, callback, std::forward<F>(handler), std::forward<Arguments>(arguments)...);
}

/**
 * The settings of a connection or stream: what their classes have in common.
 *
 * The first setter that fails is remembered, and later ones still do their work.
 */
template <class Raw, Raw *(*New)(), void (*Free)(Raw *)> class options {
  public:
    options() : raw_(New()) {}

    /** What was moved from has no settings, which is a failure: NULL would mean the defaults. */
    options(options &&other) noexcept
        : raw_(std::move(other.raw_)), first_(std::exchange(other.first_, moved())) {}

    options &operator=(options &&other) noexcept {
        if (this != &other) {
            raw_ = std::move(other.raw_);
            first_ = std::exchange(other.first_, moved());
        }
        return *this;
    }

    /** Success, or why the first setter that failed did. */
    const result<> &check() const noexcept {
        return first_;
    }

    /** The object of the C interface, which stays owned by this one. */
    Raw *get() const noexcept {
        return raw_.get();
    }

  protected:
    void keep(result<> outcome) {
        if (first_ && !outcome) {
            first_ = std::move(outcome);
        }
    }

    template <class Value> void assign(iscp_status_t (*setter)(Raw *, Value, iscp_error_t **), Value value) {
        keep(invoke(setter, get(), value));
    }

    void assign(iscp_status_t (*setter)(Raw *, const char *, iscp_error_t **), const text &value) {
        keep(invoke(setter, get(), value.c_str()));
    }

    /** A time; one that milliseconds of 32 bits cannot hold goes by its name, and is refused with it. */
    void assign(iscp_status_t (*setter)(Raw *, std::uint32_t, iscp_error_t **),
                iscp_status_t (*set)(Raw *, const char *, const char *, iscp_error_t **), const char *key,
                std::chrono::milliseconds value) {
        if (value.count() >= 0 && value.count() <= std::numeric_limits<std::uint32_t>::max()) {
            keep(invoke(setter, get(), static_cast<std::uint32_t>(value.count())));
        } else {
            keep(invoke(set, get(), key, std::to_string(value.count()).c_str()));
        }
    }

  private:
    struct deleter {
        void operator()(Raw *raw) const noexcept {
            Free(raw);
        }
    };

    static result<> moved() noexcept {
        return error(ISCP_ERR_NULL_ARGUMENT);
    }

    std::unique_ptr<Raw, deleter> raw_;
    result<> first_;
};

/** The owner of a handle: freed once, moved and not copied. */
template <class Raw, void (*Free)(Raw *)> class handle {
  public:
    handle() noexcept = default;

    /** Takes over a handle of the C interface. */
    explicit handle(Raw *raw) noexcept : raw_(raw) {}

    /** Whether there is a handle; without one every call fails with `ISCP_ERR_NULL_ARGUMENT`. */
    explicit operator bool() const noexcept {
        return raw_ != nullptr;
    }

    /** The handle of the C interface, which stays owned by this object. */
    Raw *get() const noexcept {
        return raw_.get();
    }

    /** Gives the handle to the caller, to be freed by the C interface. */
    [[nodiscard]] Raw *release() noexcept {
        return raw_.release();
    }

    /** Frees the handle now. Never blocks. */
    void reset() noexcept {
        raw_.reset();
    }

  private:
    struct deleter {
        void operator()(Raw *raw) const noexcept {
            Free(raw);
        }
    };

    std::unique_ptr<Raw, deleter> raw_;
};

/** An owner of something received; `View` has its accessors. */
template <class View, class Raw, Raw *(*Ref)(const Raw *), void (*Free)(Raw *)> class kept : public View {
  public:
    kept() noexcept : View(nullptr) {}

    /** Takes over a handle of the C interface. */
    explicit kept(Raw *raw) noexcept : View(raw), raw_(raw) {}

    kept(kept &&other) noexcept : View(other.raw_), raw_(other.raw_) {
        other.forget();
    }

    kept &operator=(kept &&other) noexcept {
        if (this != &other) {
            Free(raw_);
            View::operator=(other);
            raw_ = other.raw_;
            other.forget();
        }
        return *this;
    }

    kept(const kept &) = delete;
    kept &operator=(const kept &) = delete;

    ~kept() {
        Free(raw_);
    }

    /** Gives the handle to the caller, to be freed by the C interface. */
    [[nodiscard]] Raw *release() noexcept {
        Raw *raw = raw_;
        forget();
        return raw;
    }

  private:
    void forget() noexcept {
        raw_ = nullptr;
        View::operator=(View(nullptr));
    }

    Raw *raw_ = nullptr;
};

} // namespace iscp::detail

#endif
