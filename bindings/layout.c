/* Prints the sizes and offsets of the structures in iscp.h, one a line, for the tests of the bindings. */
#include <iscp/iscp.h>
#include <stdio.h>

#define SIZE(type) printf("%s %zu\n", #type, sizeof(type))
#define OFFSET(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(type, field))

int main(void) {
    SIZE(iscp_uuid_t);
    OFFSET(iscp_uuid_t, bytes);
    SIZE(iscp_data_point_t);
    OFFSET(iscp_data_point_t, elapsed_time_ns);
    OFFSET(iscp_data_point_t, payload);
    OFFSET(iscp_data_point_t, payload_len);
    SIZE(iscp_upstream_point_t);
    OFFSET(iscp_upstream_point_t, data_id);
    OFFSET(iscp_upstream_point_t, point);
    return 0;
}
