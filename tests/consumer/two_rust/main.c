/* Calls libiscp and another Rust library in one program. */
#include <iscp/iscp.h>

#include <stdint.h>
#include <stdio.h>

uint32_t other_caught_panics(void);

int main(void) {
    if (other_caught_panics() != 1) {
        fputs("the other library did not catch its panic\n", stderr);
        return 1;
    }
    printf("%s\n", iscp_version());
    return 0;
}
