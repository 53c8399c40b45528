#include "counter.h"

#include "measure.h"

#include <time.h>

void counter_init(struct counter *counter) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    atomic_init(&counter->value, 0);
    atomic_init(&counter->wanted, UINT64_MAX);
    pthread_mutex_init(&counter->mutex, NULL);
    pthread_cond_init(&counter->reached, &attributes);
    pthread_condattr_destroy(&attributes);
}

uint64_t counter_add(struct counter *counter, uint64_t count) {
    /* Sequentially consistent, as what the waiting thread does: one of the two sees what the other one wrote.
     */
    uint64_t value = atomic_fetch_add(&counter->value, count) + count;
    if (value >= atomic_load(&counter->wanted)) {
        pthread_mutex_lock(&counter->mutex);
        pthread_cond_broadcast(&counter->reached);
        pthread_mutex_unlock(&counter->mutex);
    }
    return value;
}

uint64_t counter_get(struct counter *counter) {
    return atomic_load(&counter->value);
}

bool counter_wait(struct counter *counter, uint64_t wanted, double limit_s) {
    pthread_mutex_lock(&counter->mutex);
    atomic_store(&counter->wanted, wanted);
    uint64_t value = atomic_load(&counter->value);
    bool grows = true;
    while (value < wanted && grows) {
        struct timespec deadline = timespec_of(clock_ns() + (int64_t)(limit_s * 1e9));
        int status = 0;
        while (status == 0 && atomic_load(&counter->value) < wanted) {
            status = pthread_cond_timedwait(&counter->reached, &counter->mutex, &deadline);
        }
        uint64_t now = atomic_load(&counter->value);
        grows = now > value;
        value = now;
    }
    atomic_store(&counter->wanted, UINT64_MAX);
    pthread_mutex_unlock(&counter->mutex);
    return value >= wanted;
}
