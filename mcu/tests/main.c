/* mcu_tests edges
 * mcu_tests fuzz MODEL SEED CASES
 * mcu_tests geometry SEED CASES
 */
#include "tests.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "edges") == 0) {
        return test_edges();
    }
    if (argc == 5 && strcmp(argv[1], "fuzz") == 0) {
        return test_fuzz(argv[2], (uint32_t)strtoul(argv[3], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10));
    }
    if (argc == 4 && strcmp(argv[1], "geometry") == 0) {
        return test_geometry((uint32_t)strtoul(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
    }
    fprintf(stderr, "usage: mcu_tests edges | fuzz MODEL SEED CASES | geometry SEED CASES\n");
    return 2;
}
