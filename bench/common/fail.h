/* How a worker ends that cannot go on. */
#ifndef BENCH_COMMON_FAIL_H
#define BENCH_COMMON_FAIL_H

#include <stddef.h>

/* The exit status for a role or an option that the client does not have. */
#define EXIT_UNSUPPORTED 64

/* Ends the program with status 1 and a message on standard error. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the program with EXIT_UNSUPPORTED and a message on standard error. */
_Noreturn void unsupported(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* calloc that ends the program when there is no memory. */
void *allocate(size_t count, size_t size);

#endif
