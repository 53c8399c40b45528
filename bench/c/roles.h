/* What the worker can be asked to do; bench/README.md describes the roles. Each prints one JSON object. */
#ifndef BENCH_ROLES_H
#define BENCH_ROLES_H

#include "settings.h"

void run_pub(const struct settings *settings);
void run_start(const struct settings *settings);
void run_sub(const struct settings *settings);
void run_ack(const struct settings *settings);
void run_e2e(const struct settings *settings);
void run_idle(const struct settings *settings);
void run_write(const struct settings *settings);

#endif
