/* Points of every size over every combination of transport, encoding, compression and QoS.
 *
 * A case is a transport. It runs the cells that cover every pair of settings; with the environment variable
 * MATRIX=whole it runs all of them (`make test-matrix`). */
#include "client.h"

static const char *const transports[] = {"ws", "wss", "quic", "webtransport"};
static const char *const encodings[] = {"protobuf", "json"};
static const char *const compressions[] = {
    "none",
    "per-message:1",
    "per-message:6",
    "per-message:9",
    "context-takeover:6:9",
    "context-takeover:6:10",
    "context-takeover:1:11",
    "context-takeover:6:12",
    "context-takeover:9:13",
    "context-takeover:6:14",
    "context-takeover:6:15",
};
static const char *const qualities[] = {"reliable", "unreliable", "partial"};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FACTORS 4
#define MOST_LEVELS COUNT(compressions)

static const size_t levels[FACTORS] = {COUNT(transports), COUNT(encodings), COUNT(compressions),
                                       COUNT(qualities)};

/* A level of each factor. */
struct cell {
    size_t level[FACTORS];
};

/* --- Which cells ------------------------------------------------------------------------------------------
 */

#define CELLS (COUNT(transports) * COUNT(encodings) * COUNT(compressions) * COUNT(qualities))

static struct cell cell_number(size_t number) {
    struct cell cell;
    for (size_t factor = 0; factor < FACTORS; factor++) {
        cell.level[factor] = number % levels[factor];
        number /= levels[factor];
    }
    return cell;
}

static bool covered[FACTORS][MOST_LEVELS][FACTORS][MOST_LEVELS];

/* Pairs of levels of a cell that no chosen cell has; marks them when it is chosen. */
static int new_pairs(const struct cell *cell, bool choose) {
    int pairs = 0;
    for (size_t a = 0; a < FACTORS; a++) {
        for (size_t b = a + 1; b < FACTORS; b++) {
            bool *mark = &covered[a][cell->level[a]][b][cell->level[b]];
            pairs += !*mark;
            *mark |= choose;
        }
    }
    return pairs;
}

/* Chooses cells until every pair of levels is in one, each time one with most new pairs. */
static size_t choose_pairwise(struct cell chosen[CELLS]) {
    size_t count = 0;
    memset(covered, 0, sizeof covered);
    for (;;) {
        struct cell best = {{0}};
        int most = 0;
        for (size_t i = 0; i < CELLS; i++) {
            struct cell cell = cell_number(i);
            int pairs = new_pairs(&cell, false);
            if (pairs > most) {
                most = pairs;
                best = cell;
            }
        }
        if (most == 0) {
            return count;
        }
        new_pairs(&best, true);
        chosen[count++] = best;
    }
}

/* --- One cell ---------------------------------------------------------------------------------------------
 */

#define BATCH 60
#define DATA_IDS 3
#define LARGE ((size_t)1 << 20)

/* Mostly small, a few empty, of 64 KiB and of 1 MiB. */
static size_t payload_size(uint32_t point, uint32_t points) {
    if (point == points / 2) {
        return LARGE;
    }
    switch (point % 199) {
    case 50:
        return 0;
    case 100:
        return 65536;
    default:
        return (point * 7919u) % 180;
    }
}

/* Half of the payloads compress well, the others not at all. */
static void payload_fill(uint8_t *bytes, size_t size, uint32_t point) {
    uint32_t state = point * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = point % 2 == 0 ? (uint8_t)(i / 7 + point) : (uint8_t)(state >> 24);
    }
}

struct received {
    uint32_t points; /* that were sent */
    uint32_t count;  /* different ones that arrived */
    bool *seen;      /* by number */
    bool ordered;    /* and once only */
    int64_t last[DATA_IDS];
    uint8_t *expected;
};

static void take_chunk(struct received *received, const iscp_chunk_t *chunk) {
    for (size_t group = 0; group < iscp_chunk_group_count(chunk); group++) {
        const char *name, *type;
        const iscp_data_point_t *points;
        size_t count;
        CHECK_STATUS(iscp_chunk_group(chunk, group, &name, &type, &points, &count), ISCP_OK);
        CHECK_TEXT(type, "matrix");
        for (size_t i = 0; i < count; i++) {
            int64_t number = points[i].elapsed_time_ns / 1000 - 5;
            CHECK(number >= 0 && number < received->points);
            uint32_t point = (uint32_t)number, id = point % DATA_IDS;
            char expected_name[16];
            snprintf(expected_name, sizeof expected_name, "id/%u", (unsigned)id);
            CHECK_TEXT(name, expected_name);
            size_t size = payload_size(point, received->points);
            CHECK_EQ(points[i].payload_len, size);
            payload_fill(received->expected, size, point);
            CHECK(size == 0 || memcmp(points[i].payload, received->expected, size) == 0);
            if (received->ordered && number <= received->last[id]) {
                FAIL("point %lld came after point %lld", (long long)number, (long long)received->last[id]);
            }
            received->last[id] = number;
            received->count += !received->seen[point];
            received->seen[point] = true;
        }
    }
}

/* Reads what comes within a time-out; false when nothing did. */
static bool take_some(struct received *received, iscp_downstream_t *down, int timeout_ms) {
    iscp_chunk_t *chunk = NULL;
    iscp_error_t *error = NULL;
    iscp_status_t status = iscp_downstream_next_chunk_wait(down, timeout_ms, &chunk, &error);
    if (status == ISCP_ERR_TIMEOUT || status == ISCP_ERR_WOULD_BLOCK) {
        iscp_error_free(error);
        return false;
    }
    if (status != ISCP_OK) {
        FAIL("reading gives %s: %s", iscp_status_name(status), iscp_error_message(error));
    }
    take_chunk(received, chunk);
    iscp_chunk_free(chunk);
    return true;
}

static uint32_t first_missing(const struct received *received, uint32_t from, uint32_t to) {
    while (from < to && received->seen[from]) {
        from++;
    }
    return from;
}

static iscp_conn_t *connect_cell(const struct cell *cell, const char *url, const char *ca, const char *node) {
    /* Points of PARTIAL streams do not outlive a connection, so none may be lost to a machine that is busy.
     */
    iscp_conn_options_t *options =
        conn_options(url, node, "encoding", encodings[cell->level[1]], "compression",
                     compressions[cell->level[2]], "reconnect", "false", "ping_timeout_ms", "60000", NULL);
    if (cell->level[0] > 0) {
        OK(iscp_conn_options_set(options, "tls_ca_file", ca, &error));
    }
    iscp_conn_t *conn = NULL;
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    return conn;
}

static iscp_downstream_t *open_downstream(iscp_conn_t *conn, const char *qos) {
    iscp_downstream_t *down = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(options, "matrix", "matrix:#", &error));
    OK(iscp_downstream_options_set(options, "qos", qos, &error));
    OK(iscp_downstream_open_wait(conn, options, -1, &down, &error));
    iscp_downstream_options_free(options);
    return down;
}

static void run_cell(const struct cell *cell, const char *url, const char *ca) {
    const char *qos = qualities[cell->level[3]];
    bool unreliable = strcmp(qos, "unreliable") == 0, datagrams = unreliable && cell->level[0] >= 2;
    iscp_conn_t *reader = connect_cell(cell, url, ca, "reader");
    iscp_conn_t *sender = connect_cell(cell, url, ca, "matrix");
    iscp_downstream_t *down = open_downstream(reader, qos);
    iscp_upstream_t *up = client_upstream(sender, "qos", qos, "flush_policy", "none", NULL);
    iscp_data_id_t ids[DATA_IDS];
    for (int i = 0; i < DATA_IDS; i++) {
        char name[16];
        snprintf(name, sizeof name, "id/%d", i);
        OK(iscp_upstream_data_id(up, name, "matrix", &ids[i], &error));
    }
    struct received received = {.points = 3000, .ordered = !datagrams, .last = {-1, -1, -1}};
    received.seen = calloc(received.points, sizeof *received.seen);
    received.expected = malloc(LARGE);
    uint8_t *payload = malloc(LARGE);
    int lost = 0;
    for (uint32_t from = 0; from < received.points; from += BATCH) {
        uint32_t to = from + BATCH;
        /* Whatever has not arrived by datagram is sent again. */
        for (uint32_t missing = from; missing < to; missing = first_missing(&received, from, to)) {
            for (uint32_t point = missing; point < to; point++) {
                if (!received.seen[point]) {
                    size_t size = payload_size(point, received.points);
                    payload_fill(payload, size, point);
                    CHECK_STATUS(iscp_upstream_write(up, ids[point % DATA_IDS], ((int64_t)point + 5) * 1000,
                                                     payload, size),
                                 ISCP_OK);
                }
            }
            OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
            if (!datagrams) {
                break;
            }
            while (first_missing(&received, from, to) < to && take_some(&received, down, 300)) {
            }
            lost += first_missing(&received, from, to) < to;
            CHECK(lost < 300);
        }
        while (!datagrams && take_some(&received, down, 0)) {
        }
    }
    while (received.count < received.points) {
        if (!take_some(&received, down, 60000)) {
            FAIL("%s %s %s %s: nothing comes any more after %u points; of %llu sent %llu are not "
                 "acknowledged and "
                 "%llu failed; chunks missing: %llu, dropped: %llu, waiting: %llu",
                 transports[cell->level[0]], encodings[cell->level[1]], compressions[cell->level[2]], qos,
                 (unsigned)received.count,
                 (unsigned long long)upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS),
                 (unsigned long long)upstream_stat(up, ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS),
                 (unsigned long long)upstream_stat(up, ISCP_UPSTREAM_STAT_FAILED_POINTS),
                 (unsigned long long)downstream_stat(down, ISCP_DOWNSTREAM_STAT_LOST_CHUNKS),
                 (unsigned long long)downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS),
                 (unsigned long long)downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS));
        }
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    OK(iscp_downstream_close_wait(down, -1, &error));
    /* Reliable channels deliver once. */
    CHECK(datagrams || upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS) == received.points);
    printf("%-12s %-8s %-22s %-10s ok", transports[cell->level[0]], encodings[cell->level[1]],
           compressions[cell->level[2]], qos);
    if (datagrams) {
        printf(", %d batches sent again", lost);
    }
    printf("\n");
    free(payload);
    free(received.expected);
    free(received.seen);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(sender);
    iscp_conn_free(reader);
}

static void run_transport(size_t transport) {
    static struct cell cells[CELLS];
    const char *mode = getenv("MATRIX");
    size_t count = CELLS, ran = 0;
    if (mode != NULL && strcmp(mode, "whole") == 0) {
        for (size_t i = 0; i < CELLS; i++) {
            cells[i] = cell_number(i);
        }
    } else {
        count = choose_pairwise(cells);
    }
    struct broker broker;
    broker_start_transport(&broker, transports[transport]);
    for (size_t i = 0; i < count; i++) {
        if (cells[i].level[0] == transport) {
            run_cell(&cells[i], broker.url, broker.ca);
            ran++;
        }
    }
    printf("%zu cells of %s\n", ran, transports[transport]);
    /* Each pair with a compression is in one of them. */
    CHECK(ran >= COUNT(compressions));
    client_shutdown();
    broker_stop(&broker);
}

TEST(ws) {
    run_transport(0);
}

TEST(wss) {
    run_transport(1);
}

TEST(quic) {
    run_transport(2);
}

TEST(webtransport) {
    run_transport(3);
}
