/* The header needs nothing before it, and may be included again. */
#include <iscp/iscp.h>

iscp_status_t header_twice(iscp_error_t **error);
iscp_status_t header_twice(iscp_error_t **error) {
    return iscp_shutdown(0, error);
}
