#include "draw.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ALTERNATE_SCREEN "\033[?1049h\033[?25l"
#define NORMAL_SCREEN "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_TO_END_OF_LINE "\033[K"
#define CLEAR_BELOW "\033[J"
#define BOLD "\033[1m"
#define GREEN "\033[32m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

static bool live;

void draw_begin(void) {
    live = isatty(STDOUT_FILENO);
    if (live) {
        fputs(ALTERNATE_SCREEN, stdout);
        fflush(stdout);
    }
}

void draw_end(void) {
    if (live) {
        fputs(NORMAL_SCREEN, stdout);
        fflush(stdout);
        live = false;
    }
}

bool draw_live(void) {
    return live;
}

static size_t columns(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The newest `width` values as a row of bars; percentages are drawn against 100, others against their
 * largest. */
static void sparkline(const struct signal_state *state, bool percent, size_t width) {
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    uint64_t shown = state->count < width ? state->count : width;
    double most = percent ? 100 : 0;
    for (uint64_t n = state->count - shown; n < state->count; n++) {
        double value = state->values[n % SIGNALS_HISTORY];
        most = value > most ? value : most;
    }
    for (uint64_t n = 0; n < width - shown; n++) {
        putchar(' ');
    }
    for (uint64_t n = state->count - shown; n < state->count; n++) {
        double value = state->values[n % SIGNALS_HISTORY];
        int bar = most > 0 && value > 0 ? (int)(value / most * 8 + 0.5) : 0;
        fputs(bars[bar < 0 ? 0 : bar > 8 ? 8 : bar], stdout);
    }
}

static double newest(const struct signal_state *state) {
    return state->count > 0 ? state->values[(state->count - 1) % SIGNALS_HISTORY] : 0;
}

/* Latency of the newest point in milliseconds. */
static double newest_latency(const struct signals *signals) {
    uint64_t last = signals->latency_count;
    return last > 0 ? (double)signals->latencies[(last - 1) % SIGNALS_LATENCIES] / 1e6 : -1;
}

static void draw_screen(const struct signals *signals, double seconds, int64_t now_ns) {
    size_t fixed = 28 + 14 + 12;
    size_t width = columns() > fixed + 10 ? columns() - fixed : 10;
    width = width > SIGNALS_HISTORY ? SIGNALS_HISTORY : width;
    uint64_t lost = signals_lost(signals);

    printf(HOME BOLD "iSCP telemetry of %s" PLAIN "  %.1f s" CLEAR_TO_END_OF_LINE "\n", TELEMETRY_NODE,
           seconds);
    printf("session %s" CLEAR_TO_END_OF_LINE "\n" CLEAR_TO_END_OF_LINE "\n",
           signals->have_stream ? signals->session : "(waiting for the sender)");
    for (size_t i = 0; i < TELEMETRY_SIGNALS; i++) {
        const struct signal_state *state = &signals->state[i];
        char value[32] = "-";
        if (state->count > 0) {
            signals_format(i, newest(state), value, sizeof value);
        }
        printf("%-28s" BOLD "%12s" PLAIN "  " GREEN, telemetry_names[i], value);
        sparkline(state, strstr(telemetry_names[i], "percent") != NULL, width);
        printf(PLAIN "%8.0f /s" CLEAR_TO_END_OF_LINE "\n", signals_rate(state, now_ns));
    }
    printf(CLEAR_TO_END_OF_LINE "\npoints %llu   chunks %llu   %slost %llu" PLAIN,
           (unsigned long long)signals->points, (unsigned long long)signals->chunks, lost > 0 ? RED : "",
           (unsigned long long)lost);
    if (signals->latency_count > 0) {
        printf("   latency %.1f ms, p99 %.1f ms", newest_latency(signals), signals_latency_ms(signals, 0.99));
    }
    fputs(CLEAR_TO_END_OF_LINE "\n" CLEAR_BELOW, stdout);
}

static void draw_line(const struct signals *signals, double seconds) {
    printf("%5.1f s  %llu points", seconds, (unsigned long long)signals->points);
    for (size_t i = 0; i < TELEMETRY_SIGNALS && signals->points > 0; i++) {
        char value[32];
        signals_format(i, newest(&signals->state[i]), value, sizeof value);
        printf("  %.*s %s", (int)strcspn(telemetry_names[i], "_"), telemetry_names[i], value);
    }
    if (signals->latency_count > 0) {
        printf("  latency %.1f ms", newest_latency(signals));
    }
    putchar('\n');
}

void draw_update(const struct signals *signals, double seconds, int64_t now_ns) {
    if (live) {
        draw_screen(signals, seconds, now_ns);
    } else {
        draw_line(signals, seconds);
    }
    fflush(stdout);
}

void draw_summary(const struct signals *signals, double seconds) {
    printf("Telemetry of %s, session %s\n", TELEMETRY_NODE, signals->session);
    if (signals->closed) {
        printf("  sent      %llu points\n", (unsigned long long)signals->total_points);
    } else {
        printf("  sent      unknown, the source did not close its stream\n");
    }
    printf("  received  %llu points in %llu chunks, %.1f s\n", (unsigned long long)signals->points,
           (unsigned long long)signals->chunks, seconds);
    if (signals->chunks > 0 && signals->first_sequence != 1) {
        printf("  joined    at chunk %lu; what was sent before does not count\n",
               (unsigned long)signals->first_sequence);
    }
    printf("  lost      %llu points\n", (unsigned long long)signals_lost(signals));
    if (signals->latency_count > 0) {
        printf("  latency   p50 %.2f ms, p99 %.2f ms\n", signals_latency_ms(signals, 0.5),
               signals_latency_ms(signals, 0.99));
    }
    for (size_t i = 0; i < TELEMETRY_SIGNALS; i++) {
        const struct signal_state *state = &signals->state[i];
        char value[32] = "-";
        if (state->count > 0) {
            signals_format(i, newest(state), value, sizeof value);
        }
        printf("  %-28s%12s %6llu points\n", telemetry_names[i], value, (unsigned long long)state->count);
    }
    fflush(stdout);
}
