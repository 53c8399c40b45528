/* A number that one thread raises and another one waits for. */
#ifndef BENCH_COMMON_COUNTER_H
#define BENCH_COMMON_COUNTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct counter {
    _Atomic uint64_t value;
    _Atomic uint64_t wanted;
    pthread_mutex_t mutex;
    pthread_cond_t reached;
};

void counter_init(struct counter *counter);
/* Returns the value after the addition. */
uint64_t counter_add(struct counter *counter, uint64_t count);
uint64_t counter_get(struct counter *counter);
/* Waits until the value is at least wanted; false when it has not grown for limit_s seconds. */
bool counter_wait(struct counter *counter, uint64_t wanted, double limit_s);

#endif
