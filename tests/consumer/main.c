/* What every consumer project builds: a program that needs the header and the library. */
#include <iscp/iscp.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    if (strcmp(iscp_version(), ISCP_VERSION_STRING) != 0) {
        fprintf(stderr, "header is %s, library is %s\n", ISCP_VERSION_STRING, iscp_version());
        return 1;
    }
    printf("%s\n", iscp_version());
    return 0;
}
