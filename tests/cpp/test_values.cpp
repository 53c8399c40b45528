// What needs no server: arguments, times, results, errors, options.
#include "fixture.hpp"

#include <gtest/gtest.h>

#include <array>
#include <type_traits>

TEST(values, texts_are_passed_on_whole_or_refused) {
    EXPECT_STREQ(iscp::text("literal").c_str(), "literal");
    std::string string = "a string that is longer than what fits into the object itself";
    EXPECT_EQ(iscp::text(string).c_str(), string.c_str());
    EXPECT_STREQ(iscp::text(std::string_view(string).substr(2, 6)).c_str(), "string");

    iscp::connection_options options;
    options.node_id(std::string_view("a\0b", 3));
    EXPECT_EQ(options.check().status(), ISCP_ERR_INVALID_UTF8);
    EXPECT_NE(options.check().error().message().find("node_id"), std::string_view::npos);
    iscp::connection_options others;
    others.node_id(std::string("a\0b", 3));
    EXPECT_EQ(others.check().status(), ISCP_ERR_INVALID_UTF8);
    iscp::connection_options null;
    null.node_id(static_cast<const char *>(nullptr));
    EXPECT_EQ(null.check().status(), ISCP_ERR_NULL_ARGUMENT);
}

TEST(values, bytes_are_views_of_anything) {
    const std::vector<std::uint8_t> vector{1, 2, 3};
    EXPECT_EQ(iscp::bytes(vector).data(), vector.data());
    EXPECT_EQ(iscp::bytes(vector).size(), 3U);
    EXPECT_EQ(iscp::bytes(vector)[2], 3);
    const std::array<std::byte, 4> array{};
    EXPECT_EQ(iscp::bytes(array).size(), 4U);
    EXPECT_EQ(iscp::bytes(std::string("four")).size(), 4U);
    EXPECT_EQ(iscp::bytes("to the NUL").as_text(), "to the NUL");
    EXPECT_TRUE(iscp::bytes(static_cast<const char *>(nullptr)).empty());
    const std::uint8_t raw[] = {7, 8};
    EXPECT_EQ(iscp::bytes(raw).size(), 2U);
    int sum = 0;
    for (std::uint8_t byte : iscp::bytes(raw)) {
        sum += byte;
    }
    EXPECT_EQ(sum, 15);
    // Only of bytes: the size of others would not be theirs.
    static_assert(!std::is_convertible_v<std::vector<int>, iscp::bytes>);
    static_assert(!std::is_convertible_v<std::vector<iscp::point>, iscp::view<iscp_data_point_t>>);
}

TEST(values, timeouts_are_rounded_up_and_kept_in_range) {
    EXPECT_EQ(iscp::timeout(iscp::forever).milliseconds(), -1);
    EXPECT_EQ(iscp::timeout(2s).milliseconds(), 2000);
    EXPECT_EQ(iscp::timeout(1ns).milliseconds(), 1);
    EXPECT_EQ(iscp::timeout(1001us).milliseconds(), 2);
    EXPECT_EQ(iscp::timeout(0.0005s).milliseconds(), 1);
    EXPECT_EQ(iscp::timeout(0s).milliseconds(), 0);
    EXPECT_EQ(iscp::timeout(-5s).milliseconds(), 0);
    EXPECT_EQ(iscp::timeout(std::chrono::hours(10000)).milliseconds(), INT32_MAX);
    EXPECT_EQ(iscp::timeout(std::chrono::hours::max()).milliseconds(), INT32_MAX);
    EXPECT_EQ(iscp::timeout(std::chrono::nanoseconds::max()).milliseconds(), INT32_MAX);
}

TEST(values, a_result_gives_its_value_or_throws) {
    iscp::result<std::unique_ptr<int>> good(std::make_unique<int>(5));
    EXPECT_TRUE(good);
    EXPECT_EQ(good.status(), ISCP_OK);
    EXPECT_EQ(**good, 5);
    std::unique_ptr<int> taken = std::move(good).value();
    EXPECT_EQ(*taken, 5);

    iscp::result<int> bad(iscp::error(ISCP_ERR_TIMEOUT));
    EXPECT_FALSE(bad);
    EXPECT_EQ(std::move(bad).value_or(3), 3);
    try {
        bad.value();
        FAIL() << "no exception";
    } catch (const std::exception &caught) {
        EXPECT_STREQ(caught.what(), iscp_status_text(ISCP_ERR_TIMEOUT));
        EXPECT_EQ(dynamic_cast<const iscp::error &>(caught).name(), "ISCP_ERR_TIMEOUT");
    }
    iscp::result<> done;
    EXPECT_NO_THROW(done.value());
    EXPECT_THROW(iscp::result<>(iscp::error(ISCP_ERR_CLOSED)).value(), iscp::error);
}

// In mixed.cpp, which is compiled without exceptions and RTTI.
iscp::result<int> failure_without_exceptions();
iscp::connection_options options_without_exceptions(iscp::text &&url);

TEST(values, files_with_and_without_exceptions_in_one_program) {
    EXPECT_THROW(failure_without_exceptions().value(), iscp::error);
    try {
        failure_without_exceptions().value();
    } catch (const std::exception &caught) {
        EXPECT_NE(dynamic_cast<const iscp::error *>(&caught), nullptr);
    }
    iscp::connection_options options = options_without_exceptions("nonsense");
    EXPECT_EQ(options.check().status(), ISCP_ERR_INVALID_OPTION);
}

TEST(values, an_error_tells_everything_and_outlives_its_copies) {
    iscp::error kept;
    EXPECT_EQ(kept.code(), ISCP_OK);
    {
        iscp::connection_options options;
        options.ping_interval(-1ms);
        kept = options.check().error();
    }
    EXPECT_EQ(kept.code(), ISCP_ERR_INVALID_OPTION);
    EXPECT_NE(kept.message().find("ping_interval_ms"), std::string_view::npos) << kept.message();
    EXPECT_EQ(kept.message(), kept.what());
    EXPECT_EQ(kept.result_code(), -1);
    EXPECT_EQ(kept.result_string(), "");
    EXPECT_FALSE(kept.is_retriable());
    EXPECT_FALSE(kept.is_fatal());
}

TEST(values, options_keep_the_first_failure_and_go_on) {
    iscp::connection_options options;
    EXPECT_TRUE(options.check());
    options.url("nonsense").encoding("braille").set("node_id", "n");
    EXPECT_NE(options.check().error().message().find("nonsense"), std::string_view::npos);
    iscp::result<iscp::connection> connected = iscp::connection::connect_wait(options, ample);
    EXPECT_EQ(connected.error().message(), options.check().error().message());
    EXPECT_EQ(iscp::connection::connect(options, [](iscp::result<iscp::connection>) {}).status(),
              options.check().status());

    iscp::upstream_options up;
    up.set("no_such_option", "1");
    EXPECT_EQ(up.check().status(), ISCP_ERR_UNKNOWN_OPTION);
    iscp::downstream_options down;
    down.add_filter("node", "no colon");
    EXPECT_FALSE(down.check());
    iscp::connection none;
    EXPECT_EQ(none.open_upstream_wait(up, ample).status(), ISCP_ERR_UNKNOWN_OPTION);
    EXPECT_EQ(none.open_downstream_wait(down, ample).status(), down.check().status());
    EXPECT_EQ(none.open_upstream(up, [](auto &&) {}).status(), ISCP_ERR_UNKNOWN_OPTION);
    EXPECT_EQ(none.open_downstream(down, [](auto &&) {}).status(), down.check().status());
}

// Each setter sets the option of its name: the string form of the same option refuses the same way.
TEST(values, times_beyond_their_option_are_refused_by_name) {
    using namespace iscp;
    auto refused = [](auto options, const char *name) {
        EXPECT_EQ(options.check().status(), ISCP_ERR_INVALID_OPTION) << name;
        EXPECT_NE(options.check().error().message().find(name), std::string_view::npos)
            << options.check().error().message();
    };
    const auto wrong = -1ms;
#define REFUSED(options_type, setter) refused(std::move(options_type().setter(wrong)), #setter "_ms")
    REFUSED(connection_options, ping_interval);
    REFUSED(connection_options, ping_timeout);
    REFUSED(connection_options, connect_timeout);
    REFUSED(connection_options, response_timeout);
    REFUSED(connection_options, close_timeout);
    REFUSED(connection_options, reply_timeout);
    REFUSED(connection_options, token_timeout);
    REFUSED(connection_options, reconnect_min_interval);
    REFUSED(connection_options, reconnect_max_interval);
    REFUSED(connection_options, reconnect_total);
    REFUSED(connection_options, multi_redial_interval);
    REFUSED(connection_options, multi_ping_interval);
    REFUSED(connection_options, multi_path_timeout);
    REFUSED(connection_options, multi_lost_timeout);
    REFUSED(upstream_options, ack_interval);
    REFUSED(upstream_options, ack_timeout);
    REFUSED(upstream_options, expiry_interval);
    REFUSED(upstream_options, flush_interval);
    REFUSED(upstream_options, write_timeout);
    REFUSED(upstream_options, close_timeout);
    REFUSED(downstream_options, ack_interval);
    REFUSED(downstream_options, expiry_interval);
    REFUSED(downstream_options, close_timeout);
    REFUSED(downstream_options, reorder_wait);
#undef REFUSED
}

TEST(values, objects_that_own_nothing_say_so) {
    iscp::connection conn;
    iscp::upstream up;
    iscp::downstream down;
    iscp::chunk chunk;
    EXPECT_FALSE(conn);
    EXPECT_EQ(conn.close_wait(ample).status(), ISCP_ERR_NULL_ARGUMENT);
    EXPECT_EQ(conn.stat(iscp::conn_stat::losses).status(), ISCP_ERR_NULL_ARGUMENT);
    EXPECT_EQ(up.write(iscp::data_id(), 0s, "").status(), ISCP_ERR_NULL_ARGUMENT);
    EXPECT_TRUE(up.id().is_nil());
    EXPECT_EQ(down.next_chunk_wait(0s).status(), ISCP_ERR_NULL_ARGUMENT);
    EXPECT_EQ(down.pollable().status(), ISCP_ERR_NULL_ARGUMENT);
    EXPECT_EQ(chunk.groups().size(), 0U);
    EXPECT_EQ(chunk.point_count(), 0U);
    EXPECT_EQ(iscp::metadata().session_id(), "");
    EXPECT_EQ(iscp::incoming_call().payload().size(), 0U);
    EXPECT_FALSE(conn.share());
}

TEST(values, options_that_were_moved_from_are_no_defaults) {
    iscp::upstream_options first;
    iscp::upstream_options second = std::move(first);
    EXPECT_TRUE(second.check());
    EXPECT_EQ(first.check().status(), ISCP_ERR_NULL_ARGUMENT); // NOLINT: that is the question
    mailbox<int> ended;
    first.on_closed([guard = sentinel(ended)](const iscp::upstream_end &) {});
    EXPECT_EQ(ended.size(), 1U);
    EXPECT_EQ(iscp::connection().open_upstream_wait(first, 0s).status(), ISCP_ERR_NULL_ARGUMENT);
    first = std::move(second);
    EXPECT_TRUE(first.check());
}

TEST(values, owners_are_moved_and_never_copied) {
    using namespace iscp;
    auto only_moved = [](auto owner) {
        using type = decltype(owner);
        static_assert(std::is_nothrow_move_constructible_v<type> && std::is_nothrow_move_assignable_v<type>);
        static_assert(!std::is_copy_constructible_v<type> && !std::is_copy_assignable_v<type>);
    };
    only_moved(connection());
    only_moved(upstream());
    only_moved(downstream());
    only_moved(chunk());
    only_moved(metadata());
    only_moved(incoming_call());
    only_moved(event());
    only_moved(path());
    only_moved(runtime_options());
    only_moved(token_request(nullptr));
    only_moved(connection_options());
    only_moved(upstream_options());
    only_moved(downstream_options());
    static_assert(std::is_copy_constructible_v<iscp::error>);
}

TEST(values, uuids) {
    iscp_uuid_t raw{};
    EXPECT_TRUE(iscp::uuid(raw).is_nil());
    for (std::uint8_t i = 0; i < 16; i++) {
        raw.bytes[i] = static_cast<std::uint8_t>(i * 17);
    }
    const iscp::uuid id(raw);
    EXPECT_EQ(id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    EXPECT_EQ(id, iscp::uuid(raw));
    EXPECT_NE(id, iscp::uuid());
    EXPECT_LT(iscp::uuid(), id);
    EXPECT_EQ(id.data().size(), 16U);
}

TEST(values, the_library_itself) {
    EXPECT_EQ(iscp::version(), ISCP_VERSION_STRING);
    EXPECT_EQ(iscp::version_number(), static_cast<std::uint32_t>(ISCP_VERSION_NUMBER));
    EXPECT_TRUE(iscp::check_version());
    EXPECT_EQ(iscp::protocol_version(), iscp_protocol_version());
    EXPECT_TRUE(iscp::has_feature("websocket"));
    EXPECT_FALSE(iscp::has_feature("no such feature"));
    EXPECT_EQ(iscp::result_code_name(66), "AUTH_FAILED");
    EXPECT_EQ(iscp::to_string(iscp::metadata_kind::base_time), "base_time");
    const iscp::data_id_parts parts =
        iscp::parse_data_id(std::string_view("float64:room/temperature")).value();
    EXPECT_EQ(parts.type, "float64");
    EXPECT_EQ(parts.name, "room/temperature");
    EXPECT_EQ(iscp::parse_data_id("no colon").status(), ISCP_ERR_INVALID_ARGUMENT);
    EXPECT_TRUE(iscp::shutdown(ample));
}
