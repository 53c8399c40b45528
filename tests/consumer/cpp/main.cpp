// The C++ header from where it was installed: it compiles, and reaches the library.
#include <iscp/iscp.hpp>

#include <iostream>

int main() {
    iscp::connection_options options;
    options.url("nonsense");
    if (options.check().status() != ISCP_ERR_INVALID_OPTION || !iscp::check_version()) {
        std::cerr << "header is " << ISCP_VERSION_STRING << ", library is " << iscp::version() << "\n";
        return 1;
    }
    std::cout << iscp::version() << "\n";
}
