/* Shows the telemetry: live in a terminal, as plain lines elsewhere. */
#ifndef DRAW_H
#define DRAW_H

#include "signals.h"

/* Takes the terminal over, if standard output is one; draw_end gives it back. */
void draw_begin(void);
void draw_end(void);

/* Whether the terminal was taken over. */
bool draw_live(void);

/* Shows the newest values, `seconds` after the start. */
void draw_update(const struct signals *signals, double seconds, int64_t now_ns);

/* Prints what arrived in all. */
void draw_summary(const struct signals *signals, double seconds);

#endif
