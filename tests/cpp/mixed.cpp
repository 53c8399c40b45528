// Compiled without exceptions and RTTI, and linked with files that have both.
#include <iscp/iscp.hpp>

iscp::result<int> failure_without_exceptions();
iscp::connection_options options_without_exceptions(iscp::text &&url);

iscp::result<int> failure_without_exceptions() {
    iscp::result<int> failure(iscp::error(ISCP_ERR_CLOSED));
    if (failure) {
        // Never, but here it is compiled.
        failure.value();
    }
    return failure;
}

iscp::connection_options options_without_exceptions(iscp::text &&url) {
    iscp::connection_options options;
    options.url(url);
    return options;
}
