/**
 * @file
 * @brief What the other parts of iscp.hpp take and give: texts, bytes, times, ids.
 */
#ifndef ISCP_CPP_BASE_HPP
#define ISCP_CPP_BASE_HPP

#include <iscp/iscp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace iscp {

/** Time of the protocol: nanoseconds since the Unix epoch. */
using time_point = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

/** The type of `forever`. */
struct forever_t {
    explicit constexpr forever_t() = default;
};

/** A time-out that never passes. */
inline constexpr forever_t forever{};

/**
 * How long a call may wait: any duration of `std::chrono`, or `forever`.
 *
 * It is rounded up to milliseconds. Nothing and less than nothing, such as what is left of a deadline that
 * has passed, does not wait; more than 24 days waits 24 days.
 */
class timeout {
  public:
    constexpr timeout(forever_t) noexcept : milliseconds_(-1) {}

    template <class Rep, class Period>
    constexpr timeout(std::chrono::duration<Rep, Period> duration) noexcept
        : milliseconds_(round(duration)) {}

    /** As the C interface takes it. */
    constexpr std::int32_t milliseconds() const noexcept {
        return milliseconds_;
    }

  private:
    template <class Rep, class Period>
    static constexpr std::int32_t round(std::chrono::duration<Rep, Period> duration) noexcept {
        constexpr std::chrono::milliseconds longest(std::numeric_limits<std::int32_t>::max());
        if (duration <= duration.zero()) {
            return 0;
        }
        // Compared as floating point, because converting whole numbers could overflow.
        if (std::chrono::duration<double>(duration) >= std::chrono::duration<double>(longest)) {
            return std::numeric_limits<std::int32_t>::max();
        }
        return static_cast<std::int32_t>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
    }

    std::int32_t milliseconds_;
};

/**
 * A text as an argument: UTF-8, borrowed for the call.
 *
 * What ends with a NUL already (`const char *`, `std::string`) is passed on as it is, a `std::string_view` is
 * copied. The C interface cannot take a NUL inside a text; such a text is refused with
 * `ISCP_ERR_INVALID_UTF8`, and never cut.
 */
class text {
  public:
    /** NULL is passed on, and refused with `ISCP_ERR_NULL_ARGUMENT`. */
    text(const char *terminated) noexcept : terminated_(terminated) {}

    text(const std::string &string) noexcept : terminated_(has_nul(string) ? invalid : string.c_str()) {}

    text(std::string_view view) : copy_(view), terminated_(has_nul(view) ? invalid : nullptr) {
        if (terminated_ == nullptr) {
            terminated_ = copy_.c_str();
        }
    }

    // It may point into itself, and is made where it is needed.
    text(const text &) = delete;
    text &operator=(const text &) = delete;

    /** As the C interface takes it. */
    const char *c_str() const noexcept {
        return terminated_;
    }

  private:
    static bool has_nul(std::string_view view) noexcept {
        return view.find('\0') != std::string_view::npos;
    }

    // No UTF-8, so that the C interface refuses it and names the argument.
    static constexpr const char *invalid = "\xff";

    std::string copy_;
    const char *terminated_;
};

/** A view of an array: as `std::span<const T>` of C++20. Borrowed, never owned. */
template <class T> class view {
  public:
    using value_type = T;
    using iterator = const T *;

    constexpr view() noexcept = default;

    constexpr view(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <std::size_t N> constexpr view(const T (&array)[N]) noexcept : data_(array), size_(N) {}

    /** A `std::vector`, `std::array`, `std::span`: what has `data()` and `size()`. */
    template <class Container,
              class Element = std::remove_pointer_t<decltype(std::declval<const Container &>().data())>,
              class = std::enable_if_t<!std::is_same_v<std::decay_t<Container>, view> &&
                                       std::is_convertible_v<Element (*)[], const T (*)[]>>>
    constexpr view(const Container &container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr const T *data() const noexcept {
        return data_;
    }

    constexpr std::size_t size() const noexcept {
        return size_;
    }

    constexpr bool empty() const noexcept {
        return size_ == 0;
    }

    constexpr iterator begin() const noexcept {
        return data_;
    }

    constexpr iterator end() const noexcept {
        return size_ == 0 ? data_ : data_ + size_;
    }

    constexpr const T &operator[](std::size_t index) const noexcept {
        return data_[index];
    }

  private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

/**
 * A view of bytes: payloads, as arguments and as results. Borrowed, never owned.
 *
 * It is made from texts, and from every array of `std::uint8_t`, `char` or `std::byte` that has `data()` and
 * `size()`; from a `const char *` up to its NUL.
 */
class bytes {
  public:
    using value_type = std::uint8_t;
    using iterator = const std::uint8_t *;

    constexpr bytes() noexcept = default;

    constexpr bytes(const std::uint8_t *data, std::size_t size) noexcept : data_(data), size_(size) {}

    bytes(const void *data, std::size_t size) noexcept
        : data_(static_cast<const std::uint8_t *>(data)), size_(size) {}

    /** NULL is nothing. */
    bytes(const char *terminated) noexcept
        : bytes(terminated != nullptr ? std::string_view(terminated) : std::string_view()) {}

    template <std::size_t N>
    constexpr bytes(const std::uint8_t (&array)[N]) noexcept : data_(array), size_(N) {}

    template <class Container,
              class Element = std::remove_pointer_t<decltype(std::declval<const Container &>().data())>,
              class = std::enable_if_t<!std::is_same_v<std::decay_t<Container>, bytes> &&
                                       (std::is_same_v<std::remove_cv_t<Element>, char> ||
                                        std::is_same_v<std::remove_cv_t<Element>, std::uint8_t> ||
                                        std::is_same_v<std::remove_cv_t<Element>, std::byte>)>>
    bytes(const Container &container) noexcept
        : bytes(static_cast<const void *>(container.data()), container.size()) {}

    constexpr const std::uint8_t *data() const noexcept {
        return data_;
    }

    constexpr std::size_t size() const noexcept {
        return size_;
    }

    constexpr bool empty() const noexcept {
        return size_ == 0;
    }

    constexpr iterator begin() const noexcept {
        return data_;
    }

    constexpr iterator end() const noexcept {
        return size_ == 0 ? data_ : data_ + size_;
    }

    constexpr std::uint8_t operator[](std::size_t index) const noexcept {
        return data_[index];
    }

    /** The same bytes as text. */
    std::string_view as_text() const noexcept {
        return {reinterpret_cast<const char *>(data_), size_};
    }

  private:
    const std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/** A UUID: the id of a stream, in the order of its text form. */
class uuid {
  public:
    constexpr uuid() noexcept = default;

    constexpr uuid(const iscp_uuid_t &raw) noexcept : raw_(raw) {}

    constexpr view<std::uint8_t> data() const noexcept {
        return raw_.bytes;
    }

    /** All zero: no id. */
    bool is_nil() const noexcept {
        return std::all_of(std::begin(raw_.bytes), std::end(raw_.bytes),
                           [](std::uint8_t byte) { return byte == 0; });
    }

    /** The text form, such as "0af3c1c8-3c6e-4e9b-9a50-3f0b0ecb5b1f". */
    std::string to_string() const {
        static constexpr char digits[] = "0123456789abcdef";
        std::string result;
        result.reserve(36);
        for (std::size_t i = 0; i < sizeof raw_.bytes; i++) {
            if (i == 4 || i == 6 || i == 8 || i == 10) {
                result += '-';
            }
            result += digits[raw_.bytes[i] >> 4];
            result += digits[raw_.bytes[i] & 15];
        }
        return result;
    }

    friend bool operator==(const uuid &left, const uuid &right) noexcept {
        return std::equal(std::begin(left.raw_.bytes), std::end(left.raw_.bytes),
                          std::begin(right.raw_.bytes));
    }

    friend bool operator!=(const uuid &left, const uuid &right) noexcept {
        return !(left == right);
    }

    friend bool operator<(const uuid &left, const uuid &right) noexcept {
        return std::lexicographical_compare(std::begin(left.raw_.bytes), std::end(left.raw_.bytes),
                                            std::begin(right.raw_.bytes), std::end(right.raw_.bytes));
    }

  private:
    iscp_uuid_t raw_{};
};

/** A data point: a time and a payload, which it borrows. */
class point {
  public:
    /** To write: `elapsed_time` counts from the time origin of the session and may be negative. */
    constexpr point(std::chrono::nanoseconds elapsed_time, bytes payload) noexcept
        : raw_{elapsed_time.count(), payload.data(), payload.size()} {}

    constexpr point(const iscp_data_point_t &raw) noexcept : raw_(raw) {}

    constexpr std::chrono::nanoseconds elapsed_time() const noexcept {
        return std::chrono::nanoseconds(raw_.elapsed_time_ns);
    }

    /** Of a received point, valid as long as its chunk. */
    constexpr bytes payload() const noexcept {
        return {raw_.payload, raw_.payload_len};
    }

    constexpr operator const iscp_data_point_t &() const noexcept {
        return raw_;
    }

  private:
    iscp_data_point_t raw_;
};

/** QoS of a stream. */
enum class qos : iscp_qos_t {
    unreliable = ISCP_QOS_UNRELIABLE, /**< what is lost is lost */
    reliable = ISCP_QOS_RELIABLE,     /**< sent again until it was acknowledged */
    partial = ISCP_QOS_PARTIAL,       /**< in order, without acknowledgements of the application */
};

/** What happened to a stream. Later versions may have more. */
enum class stream_event_kind : iscp_stream_event_t {
    resumed = ISCP_STREAM_EVENT_RESUMED,   /**< it goes on where it was */
    reopened = ISCP_STREAM_EVENT_REOPENED, /**< the server had forgotten it; it has a new id */
};

/** What the event handler of a stream is told. */
struct stream_event {
    stream_event_kind kind; /**< what happened */
    uuid stream_id;         /**< the id the stream has now */
    uuid former_stream_id;  /**< the id it had, the same unless it was opened anew */
};

/** Implementation. Nothing in it is meant for applications. */
namespace detail {

inline std::string_view or_empty(const char *terminated) noexcept {
    return terminated != nullptr ? std::string_view(terminated) : std::string_view();
}

inline time_point to_time_point(std::int64_t nanoseconds) noexcept {
    return time_point(std::chrono::nanoseconds(nanoseconds));
}

} // namespace detail
} // namespace iscp

#endif
