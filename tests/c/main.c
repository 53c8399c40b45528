/* Apart from test.c, so that programs with a main of their own can use the rest. */
#include "test.h"

int main(int argc, char **argv) {
    return test_main(argc, argv);
}
