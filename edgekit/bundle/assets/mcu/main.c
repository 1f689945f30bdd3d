/* make host-test: the golden inputs on this machine, by the same runtime, with the loops of its assembly in C. */
#include <stdio.h>

@INCLUDES@

int main(void)
{
    const struct {
        const char *name;
        int status;
    } results[] = {
@ROWS@
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        printf("%s: %s\n", results[i].name, results[i].status == 0 ? "bit-equal" : "FAILED");
        failed |= results[i].status;
    }
    return failed == 0 ? 0 : 1;
}
