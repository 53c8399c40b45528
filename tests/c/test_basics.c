/* Versions, layouts, names of codes, and what NULL does. */
#include "test.h"

#include <stddef.h>

_Static_assert(sizeof(iscp_status_t) == 4, "a status has 32 bits");
_Static_assert(sizeof(iscp_log_level_t) == 4 && sizeof(iscp_qos_t) == 4, "constants have 32 bits");
_Static_assert(sizeof(iscp_conn_state_t) == 4 && sizeof(iscp_conn_stat_t) == 4, "constants have 32 bits");
_Static_assert(sizeof(iscp_upstream_stat_t) == 4 && sizeof(iscp_downstream_stat_t) == 4, "32 bits");
_Static_assert(sizeof(iscp_metadata_kind_t) == 4 && sizeof(iscp_flush_level_t) == 4, "32 bits");
_Static_assert(sizeof(iscp_data_id_t) == 4, "a data id has 32 bits");
_Static_assert(sizeof(iscp_uuid_t) == 16 && _Alignof(iscp_uuid_t) == 1, "16 bytes and nothing else");
_Static_assert(offsetof(iscp_data_point_t, elapsed_time_ns) == 0, "first");
_Static_assert(offsetof(iscp_data_point_t, payload) == 8, "after 64 bits");
_Static_assert(offsetof(iscp_data_point_t, payload_len) == 8 + sizeof(void *), "after the pointer");
_Static_assert(sizeof(iscp_data_point_t) == 8 + 2 * sizeof(void *), "no padding");
_Static_assert(offsetof(iscp_upstream_point_t, data_id) == 0, "first");
_Static_assert(offsetof(iscp_upstream_point_t, point) == 8, "where a point may begin");
_Static_assert(sizeof(iscp_upstream_point_t) == 8 + sizeof(iscp_data_point_t), "no further padding");

TEST(versions_agree) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", ISCP_VERSION_MAJOR, ISCP_VERSION_MINOR, ISCP_VERSION_PATCH);
    CHECK_TEXT(ISCP_VERSION_STRING, version);
    CHECK_TEXT(iscp_version(), ISCP_VERSION_STRING);
    CHECK_EQ(iscp_version_number(), ISCP_VERSION_NUMBER);
    CHECK_TEXT(iscp_protocol_version(), "3.0.0");
    CHECK(iscp_check_version());
}

TEST(features) {
    CHECK(iscp_has_feature("websocket"));
    CHECK(iscp_has_feature("protobuf"));
    CHECK(!iscp_has_feature("carrier pigeon"));
    CHECK(!iscp_has_feature(""));
    CHECK(!iscp_has_feature("\xff"));
    CHECK(!iscp_has_feature(NULL));
}

TEST(status_names_and_texts) {
    static const struct {
        iscp_status_t status;
        const char *name;
    } all[] = {
#define STATUS(name) {name, #name}
        STATUS(ISCP_OK),
        STATUS(ISCP_ERR_INVALID_ARGUMENT),
        STATUS(ISCP_ERR_NULL_ARGUMENT),
        STATUS(ISCP_ERR_BAD_HANDLE),
        STATUS(ISCP_ERR_INVALID_UTF8),
        STATUS(ISCP_ERR_UNKNOWN_OPTION),
        STATUS(ISCP_ERR_INVALID_OPTION),
        STATUS(ISCP_ERR_TOO_LARGE),
        STATUS(ISCP_ERR_IN_CALLBACK),
        STATUS(ISCP_ERR_FORKED),
        STATUS(ISCP_ERR_UNSUPPORTED),
        STATUS(ISCP_ERR_WOULD_BLOCK),
        STATUS(ISCP_ERR_TIMEOUT),
        STATUS(ISCP_ERR_CLOSED),
        STATUS(ISCP_ERR_CANCELLED),
        STATUS(ISCP_ERR_OVERFLOW),
        STATUS(ISCP_ERR_INVALID_STATE),
        STATUS(ISCP_ERR_SEQUENCE_EXHAUSTED),
        STATUS(ISCP_ERR_OUT_OF_ORDER),
        STATUS(ISCP_ERR_RESOLVE),
        STATUS(ISCP_ERR_CONNECT_FAILED),
        STATUS(ISCP_ERR_HANDSHAKE),
        STATUS(ISCP_ERR_CONNECTION_LOST),
        STATUS(ISCP_ERR_KEEP_ALIVE_TIMEOUT),
        STATUS(ISCP_ERR_TLS),
        STATUS(ISCP_ERR_MALFORMED_MESSAGE),
        STATUS(ISCP_ERR_PROTOCOL_VIOLATION),
        STATUS(ISCP_ERR_INCOMPATIBLE_VERSION),
        STATUS(ISCP_ERR_REFUSED),
        STATUS(ISCP_ERR_UNAUTHORIZED),
        STATUS(ISCP_ERR_DISCONNECTED),
        STATUS(ISCP_ERR_TOKEN_FAILED),
        STATUS(ISCP_ERR_INTERNAL),
        STATUS(ISCP_ERR_PANIC),
        STATUS(ISCP_ERR_RESOURCE),
#undef STATUS
    };
    size_t count = sizeof all / sizeof all[0];
    for (size_t i = 0; i < count; i++) {
        CHECK_TEXT(iscp_status_name(all[i].status), all[i].name);
        CHECK(iscp_status_text(all[i].status)[0] != '\0');
        CHECK(strcmp(iscp_status_text(all[i].status), "unknown status") != 0);
        for (size_t j = 0; j < i; j++) {
            CHECK(all[i].status != all[j].status);
            CHECK(strcmp(iscp_status_text(all[i].status), iscp_status_text(all[j].status)) != 0);
        }
    }
    CHECK_TEXT(iscp_status_name(1), "ISCP_ERR_UNKNOWN");
    CHECK_TEXT(iscp_status_name(INT32_MIN), "ISCP_ERR_UNKNOWN");
    CHECK_TEXT(iscp_status_text(-99), "unknown status");
}

TEST(result_code_names) {
    CHECK_TEXT(iscp_result_code_name(0), "SUCCEEDED");
    CHECK_TEXT(iscp_result_code_name(66), "AUTH_FAILED");
    CHECK_TEXT(iscp_result_code_name(-1), "UNKNOWN");
    CHECK_TEXT(iscp_result_code_name(123456), "UNKNOWN");
}

TEST(metadata_kind_names) {
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_BASE_TIME), "base_time");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_UPSTREAM_OPEN), "upstream_open");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE), "upstream_abnormal_close");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_UPSTREAM_RESUME), "upstream_resume");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_UPSTREAM_NORMAL_CLOSE), "upstream_normal_close");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_DOWNSTREAM_OPEN), "downstream_open");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE), "downstream_abnormal_close");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_DOWNSTREAM_RESUME), "downstream_resume");
    CHECK_TEXT(iscp_metadata_kind_name(ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE), "downstream_normal_close");
    CHECK_TEXT(iscp_metadata_kind_name(0), "unknown");
    CHECK_TEXT(iscp_metadata_kind_name(10), "unknown");
}

TEST(no_error_is_an_answer) {
    CHECK_STATUS(iscp_error_code(NULL), ISCP_OK);
    CHECK_TEXT(iscp_error_message(NULL), "");
    CHECK_EQ(iscp_error_result_code(NULL), -1);
    CHECK_TEXT(iscp_error_result_string(NULL), "");
    CHECK(!iscp_error_is_retriable(NULL));
    CHECK(!iscp_error_is_fatal(NULL));
}

TEST(freeing_null_does_nothing) {
    iscp_error_free(NULL);
    iscp_conn_options_free(NULL);
    iscp_upstream_options_free(NULL);
    iscp_downstream_options_free(NULL);
    iscp_conn_free(NULL);
    iscp_upstream_free(NULL);
    iscp_downstream_free(NULL);
    iscp_chunk_free(NULL);
    iscp_metadata_free(NULL);
}

TEST(accessors_of_null) {
    static const iscp_uuid_t zero;
    iscp_uuid_t id = iscp_upstream_id(NULL);
    CHECK(memcmp(&id, &zero, sizeof id) == 0);
    id = iscp_downstream_id(NULL);
    CHECK(memcmp(&id, &zero, sizeof id) == 0);
    id = iscp_chunk_upstream_id(NULL);
    CHECK(memcmp(&id, &zero, sizeof id) == 0);
    id = iscp_metadata_stream_id(NULL);
    CHECK(memcmp(&id, &zero, sizeof id) == 0);
    CHECK_EQ(iscp_conn_state(NULL), ISCP_CONN_STATE_CLOSED);
    CHECK_TEXT(iscp_conn_protocol_version(NULL), "");
    CHECK(iscp_conn_ref(NULL) == NULL);
    CHECK(iscp_chunk_ref(NULL) == NULL);
    CHECK(iscp_metadata_ref(NULL) == NULL);
    CHECK_EQ(iscp_upstream_server_time_ns(NULL), 0);
    CHECK_EQ(iscp_downstream_server_time_ns(NULL), 0);
    CHECK_EQ(iscp_chunk_sequence_number(NULL), 0);
    CHECK_TEXT(iscp_chunk_source_node_id(NULL), "");
    CHECK_TEXT(iscp_chunk_session_id(NULL), "");
    CHECK_EQ(iscp_chunk_group_count(NULL), 0);
    CHECK_EQ(iscp_chunk_point_count(NULL), 0);
    CHECK_EQ(iscp_metadata_kind(NULL), 0);
    CHECK_TEXT(iscp_metadata_source_node_id(NULL), "");
    CHECK_TEXT(iscp_metadata_session_id(NULL), "");
    CHECK_TEXT(iscp_metadata_name(NULL), "");
    CHECK_EQ(iscp_metadata_qos(NULL), 0);
    CHECK_EQ(iscp_metadata_priority(NULL), 0);
    CHECK_EQ(iscp_metadata_elapsed_time_ns(NULL), 0);
    CHECK_EQ(iscp_metadata_base_time_ns(NULL), 0);
    CHECK_EQ(iscp_metadata_total_points(NULL), 0);
    CHECK_EQ(iscp_metadata_final_sequence_number(NULL), 0);
}
