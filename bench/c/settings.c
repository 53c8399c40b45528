#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static void unsupported(const char *argument) {
    fprintf(stderr, "not supported: %s\n", argument);
    exit(EXIT_UNSUPPORTED);
}

static double number(const char *argument, const char *value, double least, double most) {
    char *end = NULL;
    double result = strtod(value, &end);
    if (end == value || *end != '\0' || !(result >= least && result <= most)) {
        unsupported(argument);
    }
    return result;
}

static bool one_of(const char *argument, const char *value, const char *yes, const char *no) {
    if (strcmp(value, yes) != 0 && strcmp(value, no) != 0) {
        unsupported(argument);
    }
    return strcmp(value, yes) == 0;
}

static void set(struct settings *settings, const char *key, const char *value, const char *argument) {
    if (strcmp(key, "url") == 0) {
        settings->url = value;
    } else if (strcmp(key, "session") == 0) {
        settings->session = value;
    } else if (strcmp(key, "ca") == 0) {
        settings->ca = value;
    } else if (strcmp(key, "encoding") == 0) {
        one_of(argument, value, "protobuf", "json");
        settings->encoding = value;
    } else if (strcmp(key, "qos") == 0) {
        settings->reliable = one_of(argument, value, "reliable", "unreliable");
    } else if (strcmp(key, "flush") == 0) {
        settings->immediate = one_of(argument, value, "immediate", "default");
    } else if (strcmp(key, "payload") == 0) {
        settings->payload = (size_t)number(argument, value, 8, 1 << 24);
    } else if (strcmp(key, "points") == 0) {
        settings->points = (long)number(argument, value, 1, 1e10);
    } else if (strcmp(key, "ids") == 0) {
        settings->ids = (long)number(argument, value, 1, 10000);
    } else if (strcmp(key, "connections") == 0) {
        settings->connections = (long)number(argument, value, 1, 100000);
    } else if (strcmp(key, "compression") == 0) {
        settings->compression = (long)number(argument, value, 0, 9);
    } else if (strcmp(key, "rate") == 0) {
        settings->rate = number(argument, value, 0, 1e9);
    } else if (strcmp(key, "idle_s") == 0) {
        settings->idle_s = number(argument, value, 0, 3600);
    } else {
        unsupported(argument);
    }
}

struct settings settings_read(int argc, char **argv) {
    struct settings settings = {
        .session = "bench",
        .encoding = "protobuf",
        .payload = 32,
        .points = 1,
        .ids = 1,
        .connections = 1,
        .idle_s = 1,
        .reliable = true,
    };
    for (int i = 2; i < argc; i++) {
        char key[32];
        const char *equals = strchr(argv[i], '=');
        if (equals == NULL || (size_t)(equals - argv[i]) >= sizeof key) {
            unsupported(argv[i]);
        }
        memcpy(key, argv[i], (size_t)(equals - argv[i]));
        key[equals - argv[i]] = '\0';
        set(&settings, key, equals + 1, argv[i]);
    }
    if (settings.url == NULL) {
        unsupported("a run without url=");
    }
    return settings;
}
