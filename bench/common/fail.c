#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The threads of a client may be at work: nothing that they use is torn down. */
_Noreturn static void end(int status, const char *format, va_list arguments) {
    fflush(stdout);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    _Exit(status);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end(EXIT_FAILURE, format, arguments);
}

void unsupported(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end(EXIT_UNSUPPORTED, format, arguments);
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        fail("no memory for %zu times %zu bytes", count, size);
    }
    return memory;
}
