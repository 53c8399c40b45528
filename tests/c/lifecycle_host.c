/* A program without the library that loads a plugin which uses it, unloads it, and loads it again; the last
 * time while the plugin is connected. */
#include <dlfcn.h>
#include <stdio.h>

/* Asked by AddressSanitizer: what the plugin left is out of reach once it is unloaded. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

static int run(const char *path, int leave) {
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    /* ISO C has no conversion between pointers to objects and to functions; POSIX has this one. */
    int (*plugin_run)(int);
    *(void **)&plugin_run = dlsym(plugin, "plugin_run");
    if (plugin_run == NULL || plugin_run(leave) != 0 || dlclose(plugin) != 0) {
        return 1;
    }
    if (dlopen(path, RTLD_NOW | RTLD_NOLOAD) != NULL) {
        fprintf(stderr, "the plugin was not unloaded\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    for (int round = 0; round < 3; round++) {
        if (run(argv[1], 0) != 0) {
            return 1;
        }
    }
    if (run(argv[1], 1) != 0) {
        return 1;
    }
    /* Its threads run on, and what they run is still there. */
    if (dlopen(ISCP_LIBRARY, RTLD_NOW | RTLD_NOLOAD) == NULL) {
        fprintf(stderr, "%s was unloaded\n", ISCP_LIBRARY);
        return 1;
    }
    printf("the library stays\n");
    return 0;
}
