# Fails when HEADER defines a macro that SOURCE does not use.
file(STRINGS "${HEADER}" definitions REGEX "^#define ISCP_[A-Z0-9_]+")
file(READ "${SOURCE}" source)
foreach(definition IN LISTS definitions)
    string(REGEX REPLACE "^#define (ISCP_[A-Z0-9_]+).*" "\\1" name "${definition}")
    if(NOT name STREQUAL "ISCP_ISCP_H" AND NOT source MATCHES "[^A-Z0-9_]${name}[^A-Z0-9_]")
        message(SEND_ERROR "macros.c does not use ${name}")
    endif()
endforeach()
