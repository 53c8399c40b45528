/* The plugin of lifecycle_host.c. */
#include "lifecycle.h"

__attribute__((visibility("default"))) int plugin_run(int leave);

static void *handles[MAX_TYPES];

/* Makes one of everything and ends it, or leaves everything as it is. */
int plugin_run(int leave) {
    struct family family;
    family_start(&family);
    family_make(&family, handles);
    if (leave) {
        /* Answered, so that nothing is left that would call the plugin. */
        handle_end(&handle_types[handle_type_count - 1], handles[handle_type_count - 1]);
        broker_stop(&family.broker);
        return 0;
    }
    for (size_t i = 0; i < handle_type_count; i++) {
        handle_end(&handle_types[i], handles[i]);
    }
    family_stop(&family);
    return 0;
}
