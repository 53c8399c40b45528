#include <iscp/iscp.h>
