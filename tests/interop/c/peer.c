/* The C library as a peer of the interoperability tests: carries out the commands of docs/interop.md that
 * come on standard input, one a line, and prints what it receives, one event a line. */
#include <iscp/iscp.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STREAMS = 32, MAX_FIELDS = 32 };

typedef struct {
    char name[32];
    iscp_upstream_t *up;
    iscp_downstream_t *down;
} stream_t;

typedef struct {
    size_t count;
    char *keys[MAX_FIELDS], *values[MAX_FIELDS];
} fields_t;

static iscp_conn_t *conn;
static stream_t streams[MAX_STREAMS];
static size_t stream_count;
/* Printing, and the call below, belong to the threads of callbacks too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static iscp_call_t *last_call;
static bool serving;

static void *need(void *memory) {
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

static void fail(const char *what) {
    fprintf(stderr, "peer: %s\n", what);
    exit(2);
}

/* Text without the characters that separate: percent-encoded as in URLs. */
static void print_text(const char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == '%') {
            printf("%%%02X", (unsigned char)*text);
        } else {
            putchar(*text);
        }
    }
}

static void print_field(const char *key, const char *value) {
    printf(" %s=", key);
    print_text(value);
}

static void print_hex(const uint8_t *bytes, size_t length) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        putchar(digits[bytes[i] >> 4]);
        putchar(digits[bytes[i] & 15]);
    }
}

static void print_uuid(const char *key, iscp_uuid_t id) {
    printf(" %s=", key);
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        printf(i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id.bytes[i]);
    }
}

static void begin(const char *event) {
    pthread_mutex_lock(&lock);
    fputs(event, stdout);
}

static void end(void) {
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

/* Answers a command, and frees the error. */
static bool succeeded(iscp_status_t status, iscp_error_t *error) {
    if (status == ISCP_OK) {
        return true;
    }
    begin("error");
    print_field("text", error != NULL ? iscp_error_message(error) : iscp_status_text(status));
    end();
    iscp_error_free(error);
    return false;
}

static void ok(void) {
    begin("ok");
    end();
}

static uint8_t *parse_hex(const char *text, size_t *length) {
    *length = strcspn(text, ",") / 2;
    uint8_t *bytes = need(malloc(*length + 1));
    for (size_t i = 0; i < *length; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return bytes;
}

static fields_t parse(char *line) {
    fields_t fields = {0};
    char *rest = NULL;
    for (char *word = strtok_r(line, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
        char *value = strchr(word, '=');
        if (value == NULL || fields.count == MAX_FIELDS) {
            fail("a field is not of the form KEY=VALUE, or there are too many");
        }
        *value++ = '\0';
        fields.keys[fields.count] = word;
        fields.values[fields.count++] = value;
    }
    return fields;
}

static const char *field(const fields_t *fields, const char *key) {
    for (size_t i = 0; i < fields->count; i++) {
        if (strcmp(fields->keys[i], key) == 0) {
            return fields->values[i];
        }
    }
    fprintf(stderr, "peer: the field %s is missing\n", key);
    exit(2);
}

static stream_t *stream_new(const fields_t *fields) {
    if (stream_count == MAX_STREAMS) {
        fail("too many streams");
    }
    stream_t *stream = &streams[stream_count++];
    snprintf(stream->name, sizeof stream->name, "%s", field(fields, "as"));
    return stream;
}

static stream_t *stream_find(const fields_t *fields) {
    const char *name = field(fields, "as");
    for (size_t i = 0; i < stream_count; i++) {
        if (strcmp(streams[i].name, name) == 0) {
            return &streams[i];
        }
    }
    fail("no such stream");
    return NULL;
}

static void connect_to(const fields_t *fields) {
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_status_t status = iscp_conn_options_set_tls_insecure_skip_verify(options, true, &error);
    for (size_t i = 0; i < fields->count && status == ISCP_OK; i++) {
        status = iscp_conn_options_set(options, fields->keys[i], fields->values[i], &error);
    }
    if (status == ISCP_OK) {
        status = iscp_connect_wait(options, -1, &conn, &error);
    }
    iscp_conn_options_free(options);
    if (succeeded(status, error)) {
        ok();
    }
}

static void on_ack(uint32_t sequence_number, int32_t result_code, const char *result_string,
                   void *user_data) {
    (void)result_string;
    const stream_t *stream = user_data;
    begin("ack");
    printf(" up=%s sequence_number=%" PRIu32 " code=%" PRId32, stream->name, sequence_number, result_code);
    end();
}

static void on_stream_event(iscp_stream_event_t event, const iscp_uuid_t *stream_id,
                            const iscp_uuid_t *former_stream_id, void *user_data) {
    (void)stream_id;
    (void)former_stream_id;
    const stream_t *stream = user_data;
    if (event == ISCP_STREAM_EVENT_RESUMED) {
        begin("resumed");
        print_field("up", stream->name);
        end();
    }
}

/* The fields have the names of the options; flush=POLICY[:MS][:BYTES] is several of them. */
static iscp_status_t set_flush(iscp_upstream_options_t *options, const char *value, iscp_error_t **error) {
    unsigned interval = 0;
    size_t size = 0;
    const char *policy = value;
    if (sscanf(value, "either:%u:%zu", &interval, &size) == 2) {
        policy = "interval_or_size";
    } else if (sscanf(value, "interval:%u", &interval) == 1) {
        policy = "interval";
    } else if (sscanf(value, "size:%zu", &size) == 1) {
        policy = "size";
    }
    iscp_status_t status = iscp_upstream_options_set_flush_policy(options, policy, error);
    if (status == ISCP_OK && interval > 0) {
        status = iscp_upstream_options_set_flush_interval_ms(options, interval, error);
    }
    if (status == ISCP_OK && size > 0) {
        status = iscp_upstream_options_set_flush_size(options, size, error);
    }
    return status;
}

static void open_up(const fields_t *fields) {
    iscp_error_t *error = NULL;
    stream_t *stream = stream_new(fields);
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    iscp_status_t status = iscp_upstream_options_set_ack_callback(options, on_ack, stream, NULL, &error);
    if (status == ISCP_OK) {
        status = iscp_upstream_options_set_event_callback(options, on_stream_event, stream, NULL, &error);
    }
    for (size_t i = 0; i < fields->count && status == ISCP_OK; i++) {
        if (strcmp(fields->keys[i], "as") == 0) {
            continue;
        }
        if (strcmp(fields->keys[i], "flush") == 0) {
            status = set_flush(options, fields->values[i], &error);
        } else if (strcmp(fields->keys[i], "data_ids") == 0) {
            char *rest = NULL;
            for (char *id = strtok_r(fields->values[i], ",", &rest); id != NULL && status == ISCP_OK;
                 id = strtok_r(NULL, ",", &rest)) {
                status = iscp_upstream_options_add_data_id(options, id, &error);
            }
        } else {
            status = iscp_upstream_options_set(options, fields->keys[i], fields->values[i], &error);
        }
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_open_wait(conn, options, -1, &stream->up, &error);
    }
    iscp_upstream_options_free(options);
    if (succeeded(status, error)) {
        begin("ok");
        print_uuid("stream_id", iscp_upstream_id(stream->up));
        end();
    }
}

static void on_chunk(const iscp_chunk_t *chunk, void *user_data) {
    const stream_t *stream = user_data;
    begin("chunk");
    printf(" down=%s", stream->name);
    print_field("source_node_id", iscp_chunk_source_node_id(chunk));
    print_field("session_id", iscp_chunk_session_id(chunk));
    print_uuid("stream_id", iscp_chunk_upstream_id(chunk));
    printf(" sequence_number=%" PRIu32 " groups=", iscp_chunk_sequence_number(chunk));
    for (size_t i = 0; i < iscp_chunk_group_count(chunk); i++) {
        const char *name = NULL, *type = NULL;
        const iscp_data_point_t *points = NULL;
        size_t count = 0;
        iscp_chunk_group(chunk, i, &name, &type, &points, &count);
        printf("%s", i == 0 ? "" : ";");
        print_text(type);
        putchar(':');
        print_text(name);
        for (size_t j = 0; j < count; j++) {
            printf("%c%" PRId64 ":", j == 0 ? '|' : ',', points[j].elapsed_time_ns);
            print_hex(points[j].payload, points[j].payload_len);
        }
    }
    end();
}

static const char *qos_name(iscp_qos_t qos) {
    static const char *const names[] = {"unreliable", "reliable", "partial"};
    return names[qos];
}

static void print_filters(const iscp_metadata_t *metadata) {
    fputs(" filters=", stdout);
    for (size_t i = 0; i < iscp_metadata_filter_count(metadata); i++) {
        const char *node = NULL, *name = NULL, *type = NULL;
        iscp_metadata_filter(metadata, i, &node, &name, &type);
        printf("%s%s|%s:%s", i == 0 ? "" : ",", node, type, name);
    }
}

static void on_metadata(const iscp_metadata_t *metadata, void *user_data) {
    const stream_t *stream = user_data;
    iscp_metadata_kind_t kind = iscp_metadata_kind(metadata);
    begin("metadata");
    printf(" down=%s kind=%s", stream->name, iscp_metadata_kind_name(kind));
    print_field("source_node_id", iscp_metadata_source_node_id(metadata));
    if (kind == ISCP_METADATA_BASE_TIME) {
        print_field("session_id", iscp_metadata_session_id(metadata));
        print_field("name", iscp_metadata_name(metadata));
        printf(" priority=%" PRIu32 " elapsed_ns=%" PRId64 " base_time_ns=%" PRId64,
               iscp_metadata_priority(metadata), iscp_metadata_elapsed_time_ns(metadata),
               iscp_metadata_base_time_ns(metadata));
    } else {
        print_uuid("stream_id", iscp_metadata_stream_id(metadata));
    }
    if (kind >= ISCP_METADATA_UPSTREAM_OPEN && kind <= ISCP_METADATA_UPSTREAM_NORMAL_CLOSE) {
        print_field("session_id", iscp_metadata_session_id(metadata));
    }
    switch (kind) {
    case ISCP_METADATA_DOWNSTREAM_OPEN:
    case ISCP_METADATA_DOWNSTREAM_RESUME:
        print_filters(metadata);
        __attribute__((fallthrough));
    case ISCP_METADATA_UPSTREAM_OPEN:
    case ISCP_METADATA_UPSTREAM_RESUME:
        print_field("qos", qos_name(iscp_metadata_qos(metadata)));
        break;
    case ISCP_METADATA_UPSTREAM_NORMAL_CLOSE:
        printf(" total_points=%" PRIu64 " final_sequence_number=%" PRIu32,
               iscp_metadata_total_points(metadata), iscp_metadata_final_sequence_number(metadata));
        break;
    default:
        break;
    }
    end();
}

static void open_down(const fields_t *fields) {
    iscp_error_t *error = NULL;
    stream_t *stream = stream_new(fields);
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    iscp_status_t status = ISCP_OK;
    for (size_t i = 0; i < fields->count && status == ISCP_OK; i++) {
        if (strcmp(fields->keys[i], "as") == 0) {
            continue;
        }
        bool filters = strcmp(fields->keys[i], "filters") == 0;
        if (!filters && strcmp(fields->keys[i], "data_ids") != 0) {
            status = iscp_downstream_options_set(options, fields->keys[i], fields->values[i], &error);
            continue;
        }
        char *rest = NULL;
        for (char *item = strtok_r(fields->values[i], ",", &rest); item != NULL && status == ISCP_OK;
             item = strtok_r(NULL, ",", &rest)) {
            char *bar = strchr(item, '|');
            if (!filters) {
                status = iscp_downstream_options_add_data_id(options, item, &error);
            } else if (bar == NULL) {
                fail("a filter is not of the form NODE|TYPE:NAME");
            } else {
                *bar = '\0';
                status = iscp_downstream_options_add_filter(options, item, bar + 1, &error);
            }
        }
    }
    if (status == ISCP_OK) {
        status = iscp_downstream_open_wait(conn, options, -1, &stream->down, &error);
    }
    iscp_downstream_options_free(options);
    if (!succeeded(status, error)) {
        return;
    }
    begin("ok");
    print_uuid("stream_id", iscp_downstream_id(stream->down));
    end();
    if (iscp_downstream_read(stream->down, on_chunk, stream, NULL, NULL) != ISCP_OK ||
        iscp_downstream_read_metadata(stream->down, on_metadata, stream, NULL, NULL) != ISCP_OK) {
        fail("cannot read a downstream");
    }
}

static void write_points(const fields_t *fields) {
    iscp_error_t *error = NULL;
    iscp_data_id_t id = 0;
    iscp_upstream_t *up = stream_find(fields)->up;
    const char *text = field(fields, "points");
    size_t count = 1;
    for (const char *at = text; (at = strchr(at, ',')) != NULL; at++) {
        count++;
    }
    iscp_data_point_t *points = need(calloc(count, sizeof *points));
    for (size_t i = 0; i < count; i++) {
        char *payload;
        points[i].elapsed_time_ns = strtoll(text, &payload, 10);
        points[i].payload = parse_hex(payload + 1, &points[i].payload_len);
        text = payload + strcspn(payload, ",") + (i + 1 < count);
    }
    iscp_status_t status =
        iscp_upstream_data_id(up, field(fields, "name"), field(fields, "type"), &id, &error);
    if (status == ISCP_OK) {
        status = iscp_upstream_write_points(up, id, points, count);
    }
    for (size_t i = 0; i < count; i++) {
        free((void *)points[i].payload);
    }
    free(points);
    if (succeeded(status, error)) {
        ok();
    }
}

static void print_call(const iscp_call_t *call) {
    const uint8_t *payload = NULL;
    size_t length = 0;
    iscp_call_payload(call, &payload, &length);
    print_field("source_node_id", iscp_call_source_node_id(call));
    print_field("name", iscp_call_name(call));
    print_field("type", iscp_call_type(call));
    fputs(" payload=", stdout);
    print_hex(payload, length);
}

static void on_call(const iscp_call_t *call, void *user_data) {
    (void)user_data;
    begin("call");
    print_field("call_id", iscp_call_id(call));
    print_call(call);
    iscp_call_free(last_call);
    last_call = iscp_call_ref(call);
    bool answer = serving;
    end();
    if (answer) {
        const uint8_t *payload = NULL;
        size_t length = 0;
        iscp_call_payload(call, &payload, &length);
        uint8_t *reply = need(malloc(length + 3));
        memcpy(reply, "re:", 3);
        memcpy(reply + 3, payload, length);
        iscp_status_t status = iscp_conn_send_reply(conn, call, iscp_call_name(call), "reply", reply,
                                                    length + 3, NULL, NULL, NULL);
        free(reply);
        if (status != ISCP_OK) {
            fail("cannot reply");
        }
    }
}

static void on_reply(const iscp_call_t *reply, void *user_data) {
    (void)user_data;
    begin("reply");
    print_field("request_call_id", iscp_call_request_call_id(reply));
    print_call(reply);
    end();
}

static void serve(bool answer) {
    iscp_error_t *error = NULL;
    pthread_mutex_lock(&lock);
    serving = answer;
    pthread_mutex_unlock(&lock);
    iscp_status_t status = iscp_conn_set_call_handler(conn, on_call, NULL, NULL, &error);
    if (status == ISCP_OK) {
        status = iscp_conn_set_reply_handler(conn, on_reply, NULL, NULL, &error);
    }
    if (succeeded(status, error)) {
        ok();
    }
}

static void call(const fields_t *fields, bool wait) {
    iscp_error_t *error = NULL;
    iscp_call_t *reply = NULL;
    char id[ISCP_CALL_ID_SIZE] = "";
    size_t length = 0;
    uint8_t *payload = parse_hex(field(fields, "payload"), &length);
    const char *to = field(fields, "to"), *name = field(fields, "name"), *type = field(fields, "type");
    iscp_status_t status =
        wait ? iscp_conn_call_wait(conn, to, name, type, payload, length, 10000, &reply, &error)
             : iscp_conn_send_call_wait(conn, to, name, type, payload, length, -1, id, &error);
    free(payload);
    if (!succeeded(status, error)) {
        return;
    }
    begin("ok");
    if (wait) {
        print_call(reply);
    } else {
        print_field("call_id", id);
    }
    end();
    iscp_call_free(reply);
}

static void reply_last(const fields_t *fields) {
    iscp_error_t *error = NULL;
    size_t length = 0;
    uint8_t *payload = parse_hex(field(fields, "payload"), &length);
    pthread_mutex_lock(&lock);
    iscp_call_t *last = iscp_call_ref(last_call);
    pthread_mutex_unlock(&lock);
    iscp_status_t status = iscp_conn_send_reply_wait(conn, last, field(fields, "name"), field(fields, "type"),
                                                     payload, length, -1, &error);
    iscp_call_free(last);
    free(payload);
    if (succeeded(status, error)) {
        ok();
    }
}

static bool is_true(const fields_t *fields, const char *key) {
    return strcmp(field(fields, key), "true") == 0;
}

static void simple(const char *command, const fields_t *fields) {
    iscp_error_t *error = NULL;
    iscp_status_t status = ISCP_OK;
    if (strcmp(command, "flush") == 0) {
        status = iscp_upstream_flush_wait(stream_find(fields)->up, ISCP_FLUSH_SENT, -1, &error);
    } else if (strcmp(command, "close_up") == 0) {
        status =
            iscp_upstream_close_wait(stream_find(fields)->up, is_true(fields, "close_session"), -1, &error);
    } else if (strcmp(command, "close_down") == 0) {
        status = iscp_downstream_close_wait(stream_find(fields)->down, -1, &error);
    } else if (strcmp(command, "base_time") == 0) {
        status = iscp_conn_send_base_time_wait(conn, field(fields, "session_id"), field(fields, "name"),
                                               (uint32_t)strtoul(field(fields, "priority"), NULL, 10),
                                               strtoll(field(fields, "elapsed_ns"), NULL, 10),
                                               strtoll(field(fields, "base_time_ns"), NULL, 10),
                                               is_true(fields, "persist"), -1, &error);
    } else if (strcmp(command, "close") == 0) {
        status = iscp_conn_close_wait(conn, -1, &error);
    } else {
        fail("unknown command");
    }
    if (succeeded(status, error)) {
        ok();
    }
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        size_t length = strcspn(line, " \n");
        char *rest = line + length + (line[length] != '\0');
        line[length] = '\0';
        fields_t fields = parse(rest);
        if (strcmp(line, "connect") == 0) {
            connect_to(&fields);
        } else if (strcmp(line, "up") == 0) {
            open_up(&fields);
        } else if (strcmp(line, "down") == 0) {
            open_down(&fields);
        } else if (strcmp(line, "write") == 0) {
            write_points(&fields);
        } else if (strcmp(line, "serve") == 0) {
            serve(is_true(&fields, "answer"));
        } else if (strcmp(line, "call") == 0) {
            call(&fields, false);
        } else if (strcmp(line, "call_wait") == 0) {
            call(&fields, true);
        } else if (strcmp(line, "reply") == 0) {
            reply_last(&fields);
        } else {
            simple(line, &fields);
        }
    }
    free(line);
    for (size_t i = 0; i < stream_count; i++) {
        iscp_upstream_free(streams[i].up);
        iscp_downstream_free(streams[i].down);
    }
    iscp_conn_free(conn);
    iscp_shutdown(5000, NULL);
    iscp_call_free(last_call);
    return 0;
}
