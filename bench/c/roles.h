/* What the worker can be asked to do; bench/README.md describes the roles. Each prints one JSON object. */
#ifndef BENCH_ROLES_H
#define BENCH_ROLES_H

#include "common/options.h"

void run_pub(const struct options *options);
void run_start(const struct options *options);
void run_sub(const struct options *options);
void run_ack(const struct options *options);
void run_e2e(const struct options *options);
void run_idle(const struct options *options);
void run_write(const struct options *options);

#endif
