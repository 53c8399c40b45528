/**
 * @file
 * @brief What is received: chunks, metadata, calls.
 *
 * Each comes as a pair of classes. A `…_view` is what handlers get: valid until the handler returns, copied
 * freely. Its `keep()` gives the other, which owns the object as long as it lives. Everything read from
 * either, texts and payloads included, is a view of memory of the library, valid as long as the object.
 */
#ifndef ISCP_CPP_RECEIVED_HPP
#define ISCP_CPP_RECEIVED_HPP

#include <iscp/cpp/handler.hpp>

namespace iscp {

class chunk;
class metadata;
class incoming_call;

/** The points of a group: a range of `point`. */
class point_range {
  public:
    /** Makes a `point` of what it stands at. */
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = point;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = point;

        explicit iterator(const iscp_data_point_t *at) noexcept : at_(at) {}

        point operator*() const noexcept {
            return *at_;
        }

        iterator &operator++() noexcept {
            ++at_;
            return *this;
        }

        iterator operator++(int) noexcept {
            return iterator(at_++);
        }

        friend bool operator==(iterator left, iterator right) noexcept {
            return left.at_ == right.at_;
        }

        friend bool operator!=(iterator left, iterator right) noexcept {
            return left.at_ != right.at_;
        }

      private:
        const iscp_data_point_t *at_;
    };

    explicit point_range(view<iscp_data_point_t> raw) noexcept : raw_(raw) {}

    iterator begin() const noexcept {
        return iterator(raw_.begin());
    }

    iterator end() const noexcept {
        return iterator(raw_.end());
    }

    std::size_t size() const noexcept {
        return raw_.size();
    }

    bool empty() const noexcept {
        return raw_.empty();
    }

    point operator[](std::size_t index) const noexcept {
        return raw_[index];
    }

    /** As the C interface has them. */
    view<iscp_data_point_t> raw() const noexcept {
        return raw_;
    }

  private:
    view<iscp_data_point_t> raw_;
};

/** A group of a chunk: the points of one data id. */
struct group {
    std::string_view name;       /**< name of the data id */
    std::string_view type;       /**< type of the data id */
    point_range points;          /**< in the sender's order */
    view<std::uint32_t> filters; /**< numbers of the filters of the downstream that it matches, from 0 */
};

/** The groups of a chunk: a range of `group`. */
class group_range {
  public:
    /** Makes a `group` of what it stands at. */
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = group;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = group;

        iterator(const iscp_chunk_t *chunk, std::size_t index) noexcept : chunk_(chunk), index_(index) {}

        group operator*() const noexcept {
            return group_range(chunk_)[index_];
        }

        iterator &operator++() noexcept {
            ++index_;
            return *this;
        }

        iterator operator++(int) noexcept {
            return {chunk_, index_++};
        }

        friend bool operator==(iterator left, iterator right) noexcept {
            return left.index_ == right.index_;
        }

        friend bool operator!=(iterator left, iterator right) noexcept {
            return left.index_ != right.index_;
        }

      private:
        const iscp_chunk_t *chunk_;
        std::size_t index_;
    };

    explicit group_range(const iscp_chunk_t *chunk) noexcept : chunk_(chunk) {}

    iterator begin() const noexcept {
        return {chunk_, 0};
    }

    iterator end() const noexcept {
        return {chunk_, size()};
    }

    std::size_t size() const noexcept {
        return iscp_chunk_group_count(chunk_);
    }

    /** A group by its number, which must be less than size(). */
    group operator[](std::size_t index) const noexcept {
        const char *name = nullptr, *type = nullptr;
        const iscp_data_point_t *points = nullptr;
        const std::uint32_t *filters = nullptr;
        std::size_t point_count = 0, filter_count = 0;
        static_cast<void>(iscp_chunk_group(chunk_, index, &name, &type, &points, &point_count));
        static_cast<void>(iscp_chunk_group_filters(chunk_, index, &filters, &filter_count));
        return {detail::or_empty(name), detail::or_empty(type),
                point_range(view<iscp_data_point_t>(points, point_count)),
                view<std::uint32_t>(filters, filter_count)};
    }

  private:
    const iscp_chunk_t *chunk_;
};

/** A received chunk: points of one upstream that travelled together. May be read from any thread. */
class chunk_view {
  public:
    explicit chunk_view(const iscp_chunk_t *raw) noexcept : raw_(raw) {}

    /** Number that the sender gave the chunk, from 1, within its upstream. */
    std::uint32_t sequence_number() const noexcept {
        return iscp_chunk_sequence_number(raw_);
    }

    std::string_view source_node_id() const noexcept {
        return iscp_chunk_source_node_id(raw_);
    }

    std::string_view session_id() const noexcept {
        return iscp_chunk_session_id(raw_);
    }

    uuid upstream_id() const noexcept {
        return iscp_chunk_upstream_id(raw_);
    }

    /** Points in all groups. */
    std::size_t point_count() const noexcept {
        return iscp_chunk_point_count(raw_);
    }

    group_range groups() const noexcept {
        return group_range(raw_);
    }

    /** The object of the C interface. */
    const iscp_chunk_t *get() const noexcept {
        return raw_;
    }

    /** An owner of the chunk. */
    chunk keep() const noexcept;

  private:
    const iscp_chunk_t *raw_;
};

/** A chunk with its owner. */
class chunk : public detail::kept<chunk_view, iscp_chunk_t, iscp_chunk_ref, iscp_chunk_free> {
  public:
    using kept::kept;

    group_range groups() const &noexcept {
        return chunk_view::groups();
    }

    /** Would be gone before the loop that uses it begins. */
    group_range groups() && = delete;
};

inline chunk chunk_view::keep() const noexcept {
    return chunk(iscp_chunk_ref(raw_));
}

/** What metadata is about. Later versions may have more. */
enum class metadata_kind : iscp_metadata_kind_t {
    base_time = ISCP_METADATA_BASE_TIME,
    upstream_open = ISCP_METADATA_UPSTREAM_OPEN,
    upstream_abnormal_close = ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE,
    upstream_resume = ISCP_METADATA_UPSTREAM_RESUME,
    upstream_normal_close = ISCP_METADATA_UPSTREAM_NORMAL_CLOSE,
    downstream_open = ISCP_METADATA_DOWNSTREAM_OPEN,
    downstream_abnormal_close = ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE,
    downstream_resume = ISCP_METADATA_DOWNSTREAM_RESUME,
    downstream_normal_close = ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE,
};

/** Name of a kind, such as "base_time". */
inline std::string_view to_string(metadata_kind kind) noexcept {
    return iscp_metadata_kind_name(static_cast<iscp_metadata_kind_t>(kind));
}

/** A filter of another node's downstream. */
struct metadata_filter {
    std::string_view source_node_id; /**< the node whose data it receives */
    std::string_view name;           /**< pattern for the name */
    std::string_view type;           /**< pattern for the type */
};

/**
 * Received metadata: what happened to a node, a session or a stream beside its data.
 *
 * Which accessors mean something depends on the kind, as iscp.h says of each; the others give 0, "" or a nil
 * id.
 */
class metadata_view {
  public:
    explicit metadata_view(const iscp_metadata_t *raw) noexcept : raw_(raw) {}

    metadata_kind kind() const noexcept {
        return static_cast<metadata_kind>(iscp_metadata_kind(raw_));
    }

    std::string_view source_node_id() const noexcept {
        return iscp_metadata_source_node_id(raw_);
    }

    std::string_view session_id() const noexcept {
        return iscp_metadata_session_id(raw_);
    }

    uuid stream_id() const noexcept {
        return iscp_metadata_stream_id(raw_);
    }

    iscp::qos qos() const noexcept {
        return static_cast<iscp::qos>(iscp_metadata_qos(raw_));
    }

    /** Of a base time: name of the clock. */
    std::string_view name() const noexcept {
        return iscp_metadata_name(raw_);
    }

    /** Of a base time. */
    std::uint32_t priority() const noexcept {
        return iscp_metadata_priority(raw_);
    }

    /** Of a base time: the elapsed time that corresponds to base_time(). */
    std::chrono::nanoseconds elapsed_time() const noexcept {
        return std::chrono::nanoseconds(iscp_metadata_elapsed_time_ns(raw_));
    }

    /** Of a base time: the clock. */
    time_point base_time() const noexcept {
        return detail::to_time_point(iscp_metadata_base_time_ns(raw_));
    }

    /** Of a closed upstream. */
    std::uint64_t total_points() const noexcept {
        return iscp_metadata_total_points(raw_);
    }

    /** Of a closed upstream. */
    std::uint32_t final_sequence_number() const noexcept {
        return iscp_metadata_final_sequence_number(raw_);
    }

    /** Of an opened or resumed downstream: how many filters it has. */
    std::size_t filter_count() const noexcept {
        return iscp_metadata_filter_count(raw_);
    }

    /** A filter by its number; `ISCP_ERR_INVALID_ARGUMENT` when there is none. */
    result<metadata_filter> filter(std::size_t index) const noexcept {
        const char *node = nullptr, *name = nullptr, *type = nullptr;
        iscp_status_t status = iscp_metadata_filter(raw_, index, &node, &name, &type);
        if (status != ISCP_OK) {
            return iscp::error(status);
        }
        return metadata_filter{node, name, type};
    }

    /** The object of the C interface. */
    const iscp_metadata_t *get() const noexcept {
        return raw_;
    }

    /** An owner of the metadata. */
    metadata keep() const noexcept;

  private:
    const iscp_metadata_t *raw_;
};

/** Metadata with its owner. */
class metadata : public detail::kept<metadata_view, iscp_metadata_t, iscp_metadata_ref, iscp_metadata_free> {
  public:
    using kept::kept;
};

inline metadata metadata_view::keep() const noexcept {
    return metadata(iscp_metadata_ref(raw_));
}

/** A call that another node sent, or its reply to one. */
class incoming_call_view {
  public:
    explicit incoming_call_view(const iscp_call_t *raw) noexcept : raw_(raw) {}

    /** Id that its sender gave it. */
    std::string_view id() const noexcept {
        return iscp_call_id(raw_);
    }

    /** Of a reply: id of the call that it answers. Of a call: "". */
    std::string_view request_call_id() const noexcept {
        return iscp_call_request_call_id(raw_);
    }

    std::string_view source_node_id() const noexcept {
        return iscp_call_source_node_id(raw_);
    }

    std::string_view name() const noexcept {
        return iscp_call_name(raw_);
    }

    std::string_view type() const noexcept {
        return iscp_call_type(raw_);
    }

    bytes payload() const noexcept {
        const std::uint8_t *data = nullptr;
        std::size_t size = 0;
        static_cast<void>(iscp_call_payload(raw_, &data, &size));
        return {data, size};
    }

    /** The object of the C interface. */
    const iscp_call_t *get() const noexcept {
        return raw_;
    }

    /** An owner of the call. */
    incoming_call keep() const noexcept;

  private:
    const iscp_call_t *raw_;
};

/** A call, or a reply to one, with its owner. */
class incoming_call : public detail::kept<incoming_call_view, iscp_call_t, iscp_call_ref, iscp_call_free> {
  public:
    using kept::kept;
};

inline incoming_call incoming_call_view::keep() const noexcept {
    return incoming_call(iscp_call_ref(raw_));
}

} // namespace iscp

#endif
