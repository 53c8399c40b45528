// What the C++ tests share: a broker, connections and streams, and waiting with the deadline of the program.
#ifndef FIXTURE_HPP
#define FIXTURE_HPP

#include "support.h"

#include <iscp/iscp.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

// Longer than anything takes; what hangs ends with the deadline of the program.
inline constexpr auto ample = 30s;

class broker {
  public:
    explicit broker(const char *token = nullptr) : raw_(support_broker_start(token)) {}

    std::string url() const {
        return support_broker_url(raw_.get());
    }

    support_broker *get() const {
        return raw_.get();
    }

    void stop() {
        raw_.reset();
    }

  private:
    struct stopper {
        void operator()(support_broker *raw) const {
            support_broker_stop(raw);
        }
    };

    std::unique_ptr<support_broker, stopper> raw_;
};

class proxy {
  public:
    explicit proxy(const broker &behind) : raw_(support_proxy_start(behind.get())) {}

    std::string url() const {
        return support_proxy_url(raw_.get());
    }

    void tell(const char *command) {
        support_proxy_do(raw_.get(), command);
    }

  private:
    struct stopper {
        void operator()(support_proxy *raw) const {
            support_proxy_stop(raw);
        }
    };

    std::unique_ptr<support_proxy, stopper> raw_;
};

// Values that handlers put in and a test takes out.
template <class T> class mailbox {
  public:
    void put(T value) {
        std::lock_guard<std::mutex> lock(mutex_);
        values_.push_back(std::move(value));
        changed_.notify_all();
    }

    T take() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return !values_.empty(); });
        T value = std::move(values_.front());
        values_.erase(values_.begin());
        return value;
    }

    std::size_t size() const {
        std::lock_guard<std::mutex> lock(mutex_);
        return values_.size();
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<T> values_;
};

// Tells a mailbox when it ends: kept in a handler it shows that the handler was destroyed, and how often.
class sentinel {
  public:
    explicit sentinel(mailbox<int> &ended) : ended_(&ended) {}

    sentinel(sentinel &&other) noexcept : ended_(std::exchange(other.ended_, nullptr)) {}

    sentinel &operator=(sentinel &&) = delete;

    ~sentinel() {
        if (ended_ != nullptr) {
            ended_->put(1);
        }
    }

  private:
    mailbox<int> *ended_;
};

// Asks again and again until something holds.
template <class Condition> void eventually(Condition condition) {
    while (!condition()) {
        std::this_thread::sleep_for(2ms);
    }
}

inline iscp::connection connect(const std::string &url, const char *node) {
    iscp::connection_options options;
    options.url(url).node_id(node);
    return iscp::connection::connect_wait(options, ample).value();
}

inline iscp::upstream open_upstream(iscp::connection &conn, const char *session = "session") {
    iscp::upstream_options options;
    options.session_id(session).qos(iscp::qos::reliable);
    return conn.open_upstream_wait(options, ample).value();
}

inline iscp::downstream open_downstream(iscp::connection &conn, const char *source) {
    iscp::downstream_options options;
    options.add_filter(source, "#:#").qos(iscp::qos::reliable).omit_empty_chunk(true);
    return conn.open_downstream_wait(options, ample).value();
}

#endif
