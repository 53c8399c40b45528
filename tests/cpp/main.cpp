#include "support.h"

#include <gtest/gtest.h>

int main(int argc, char **argv) {
    testing::InitGoogleTest(&argc, argv);
    test_begin();
    int status = RUN_ALL_TESTS();
    test_end();
    return status;
}
