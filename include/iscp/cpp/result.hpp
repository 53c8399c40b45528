/**
 * @file
 * @brief Errors: with exceptions and without.
 */
#ifndef ISCP_CPP_RESULT_HPP
#define ISCP_CPP_RESULT_HPP

#include <iscp/cpp/base.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>

/** Whether `result::value` throws, by the options of the compiler. Not for applications. */
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define ISCP_CPP_EXCEPTIONS 1
#else
#define ISCP_CPP_EXCEPTIONS 0
#endif

namespace iscp {

/**
 * What went wrong: a status, and what the library knows about it.
 *
 * A plain value that may be copied and outlives what it came from. What `result::value` throws is both an
 * `error` and a `std::exception`.
 */
class error {
  public:
    /** A status without detail; `ISCP_OK` for "nothing". */
    explicit error(iscp_status_t status = ISCP_OK) noexcept : status_(status) {}

    /** Copies the detail of an error of the C interface, which stays its owner's; NULL means `status`. */
    error(iscp_status_t status, const iscp_error_t *raw) : status_(status) {
        if (raw != nullptr) {
            status_ = iscp_error_code(raw);
            detail_ = std::make_shared<const details>(
                details{iscp_error_message(raw), iscp_error_result_string(raw), iscp_error_result_code(raw),
                        iscp_error_is_retriable(raw), iscp_error_is_fatal(raw)});
        }
    }

    /** One of the `ISCP_ERR_…` codes of iscp.h, or `ISCP_OK`. */
    iscp_status_t code() const noexcept {
        return status_;
    }

    /** Name of the code, such as "ISCP_ERR_TIMEOUT". */
    std::string_view name() const noexcept {
        return iscp_status_name(status_);
    }

    /** What happened, naming the culprit. Valid as long as this error or a copy. */
    std::string_view message() const noexcept {
        return detail_ ? std::string_view(detail_->message) : iscp_status_text(status_);
    }

    /** The same as message(). */
    const char *what() const noexcept {
        return detail_ ? detail_->message.c_str() : iscp_status_text(status_);
    }

    /** Result code of the protocol, or -1 when it was not the server that refused. */
    std::int32_t result_code() const noexcept {
        return detail_ ? detail_->result_code : -1;
    }

    /** What the server wrote about it, or "". */
    std::string_view result_string() const noexcept {
        return detail_ ? std::string_view(detail_->result_string) : std::string_view();
    }

    /** Whether the same call may succeed later. */
    bool is_retriable() const noexcept {
        return detail_ && detail_->retriable;
    }

    /** Whether the connection or stream has ended with it. */
    bool is_fatal() const noexcept {
        return detail_ && detail_->fatal;
    }

  private:
    struct details {
        std::string message;
        std::string result_string;
        std::int32_t result_code;
        bool retriable;
        bool fatal;
    };

    iscp_status_t status_;
    std::shared_ptr<const details> detail_;
};

namespace detail {

#if ISCP_CPP_EXCEPTIONS
// Apart from `error`, which so has no virtual functions: their tables would be others without RTTI.
class thrown final : public error, public std::exception {
  public:
    explicit thrown(const error &why) : error(why) {}

    const char *what() const noexcept override {
        return error::what();
    }
};
#endif

// A template, so that files compiled with and without exceptions may be linked into one program.
template <bool Throws> [[noreturn]] void fail(const error &why) {
#if ISCP_CPP_EXCEPTIONS
    if constexpr (Throws) {
        throw thrown(why);
    }
#endif
    std::fprintf(stderr, "iscp: %s (%s)\n", why.what(), iscp_status_name(why.code()));
    std::abort();
}

} // namespace detail

/**
 * A value or the error that there is instead.
 *
 * Without exceptions: look whether there is a value, then use `*` and `->`, or `error()`. With exceptions:
 * `value()` gives the value or throws `iscp::error`; where exceptions are off it prints the error and aborts.
 */
template <class T = void> class [[nodiscard]] result {
  public:
    result(T value) : value_(std::move(value)) {}

    result(iscp::error why) noexcept : error_(std::move(why)) {}

    bool has_value() const noexcept {
        return value_.has_value();
    }

    explicit operator bool() const noexcept {
        return value_.has_value();
    }

    /** `ISCP_OK`, or the code of the error. */
    iscp_status_t status() const noexcept {
        return error_.code();
    }

    /** Why there is no value; of code `ISCP_OK` when there is one. */
    const iscp::error &error() const noexcept {
        return error_;
    }

    /** The value, or the exception, see the class. */
    template <bool Throws = ISCP_CPP_EXCEPTIONS> T &value() & {
        require<Throws>();
        return *value_;
    }

    template <bool Throws = ISCP_CPP_EXCEPTIONS> const T &value() const & {
        require<Throws>();
        return *value_;
    }

    template <bool Throws = ISCP_CPP_EXCEPTIONS> T value() && {
        require<Throws>();
        return std::move(*value_);
    }

    /** The value, which must be there. */
    T &operator*() &noexcept {
        return *value_;
    }

    const T &operator*() const &noexcept {
        return *value_;
    }

    T &&operator*() &&noexcept {
        return std::move(*value_);
    }

    T *operator->() noexcept {
        return &*value_;
    }

    const T *operator->() const noexcept {
        return &*value_;
    }

    /** The value, or another. */
    template <class U> T value_or(U &&other) && {
        return value_ ? std::move(*value_) : static_cast<T>(std::forward<U>(other));
    }

  private:
    template <bool Throws> void require() const {
        if (!value_) {
            detail::fail<Throws>(error_);
        }
    }

    std::optional<T> value_;
    iscp::error error_;
};

/** Success, or the error. As `result<T>` without a value. */
template <> class [[nodiscard]] result<void> {
  public:
    result() noexcept = default;

    result(iscp::error why) noexcept : error_(std::move(why)) {}

    bool has_value() const noexcept {
        return error_.code() == ISCP_OK;
    }

    explicit operator bool() const noexcept {
        return has_value();
    }

    /** `ISCP_OK`, or the code of the error. */
    iscp_status_t status() const noexcept {
        return error_.code();
    }

    /** What went wrong; of code `ISCP_OK` when nothing did. */
    const iscp::error &error() const noexcept {
        return error_;
    }

    /** Nothing, or the exception, see `result`. */
    template <bool Throws = ISCP_CPP_EXCEPTIONS> void value() const {
        if (!has_value()) {
            detail::fail<Throws>(error_);
        }
    }

  private:
    iscp::error error_;
};

namespace detail {

struct error_deleter {
    void operator()(iscp_error_t *raw) const noexcept {
        iscp_error_free(raw);
    }
};

/** Calls a function of the C interface that ends with `out_error`; gives what became of it. */
template <class... Parameters, class... Arguments>
result<> invoke(iscp_status_t (*function)(Parameters...), Arguments &&...arguments) {
    iscp_error_t *raw = nullptr;
    iscp_status_t status = function(std::forward<Arguments>(arguments)..., &raw);
    std::unique_ptr<iscp_error_t, error_deleter> owner(raw);
    if (status == ISCP_OK) {
        return {};
    }
    return error(status, raw);
}

/** The same with an output before `out_error`: a handle that `Owner` takes over, or a plain value. */
template <class Owner, class Output, class... Parameters, class... Arguments>
result<Owner> invoke_for(iscp_status_t (*function)(Parameters...), Arguments &&...arguments) {
    Output output{};
    result<> done = invoke(function, std::forward<Arguments>(arguments)..., &output);
    if (!done) {
        return done.error();
    }
    return Owner(output);
}

/** What a callback is told: NULL means success. */
inline result<> from_callback(const iscp_error_t *raw) {
    if (raw == nullptr) {
        return {};
    }
    return error(ISCP_ERR_INTERNAL, raw);
}

/** What a function without `out_error` returned. */
inline result<> from_status(iscp_status_t status) noexcept {
    return iscp::error(status);
}

} // namespace detail
} // namespace iscp

#endif
