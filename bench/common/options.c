#include "options.h"

#include "fail.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const char *key, const char *value, double least, double most) {
    char *end;
    errno = 0;
    double result = strtod(value, &end);
    if (end == value || *end || errno || !(result >= least && result <= most)) {
        fail("%s=%s is not a number from %g to %g", key, value, least, most);
    }
    return result;
}

static unsigned long whole(const char *key, const char *value, unsigned long least, unsigned long most) {
    double result = number(key, value, (double)least, (double)most);
    if (result != floor(result)) {
        fail("%s=%s is not a whole number", key, value);
    }
    return (unsigned long)result;
}

/* Whether the value is the second of two words. */
static bool second(const char *key, const char *value, const char *first, const char *other) {
    bool is_second = strcmp(value, other) == 0;
    if (!is_second && strcmp(value, first) != 0) {
        fail("%s=%s is neither %s nor %s", key, value, first, other);
    }
    return is_second;
}

static void set(struct options *options, const char *key, const char *value) {
    if (strcmp(key, "url") == 0) {
        options->url = value;
    } else if (strcmp(key, "ca") == 0) {
        options->ca = value;
    } else if (strcmp(key, "session") == 0) {
        options->session = value;
    } else if (strcmp(key, "payload") == 0) {
        options->payload = whole(key, value, 0, 16 * 1024 * 1024);
    } else if (strcmp(key, "points") == 0) {
        options->points = whole(key, value, 1, 1000 * 1000 * 1000);
    } else if (strcmp(key, "ids") == 0) {
        options->ids = (unsigned)whole(key, value, 1, 10000);
    } else if (strcmp(key, "rate") == 0) {
        options->rate = number(key, value, 0, 1e9);
    } else if (strcmp(key, "qos") == 0) {
        options->reliable = second(key, value, "unreliable", "reliable");
    } else if (strcmp(key, "encoding") == 0) {
        options->json = second(key, value, "protobuf", "json");
    } else if (strcmp(key, "compression") == 0) {
        options->compression = (unsigned)whole(key, value, 0, 9);
    } else if (strcmp(key, "flush") == 0) {
        options->immediate = second(key, value, "default", "immediate");
    } else if (strcmp(key, "connections") == 0) {
        options->connections = (unsigned)whole(key, value, 1, 100000);
    } else if (strcmp(key, "idle_s") == 0) {
        options->idle_s = number(key, value, 0, 3600);
    } else {
        unsupported("there is no option %s", key);
    }
}

void options_parse(struct options *options, int argc, char **argv) {
    if (argc < 2) {
        fail("usage: %s ROLE key=value ...", program_invocation_short_name);
    }
    *options = (struct options){
        .role = argv[1],
        .session = "bench",
        .payload = 32,
        .points = 1000,
        .ids = 1,
        .reliable = true,
        .connections = 1,
        .idle_s = 5,
    };
    for (int i = 2; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) {
            fail("%s is not of the form key=value", argv[i]);
        }
        *equals = '\0';
        set(options, argv[i], equals + 1);
    }
    if (!options->url) {
        fail("url= is missing");
    }
    if (strcmp(options->role, "e2e") == 0 && options->payload < sizeof(int64_t)) {
        fail("payload=%zu has no room for the time stamp of e2e", options->payload);
    }
}

void run_role(const struct role *roles, const struct options *options) {
    for (; roles->name; roles++) {
        if (strcmp(options->role, roles->name) == 0) {
            roles->run(options);
            return;
        }
    }
    unsupported("there is no role %s", options->role);
}
