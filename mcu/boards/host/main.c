/* edgekit-mcu-agent: the agent as a process of this machine, for tests, fuzzing and sanitizers.
 *
 *   edgekit-mcu-agent [--stdio | --pty | --tcp] [--until-eof]
 *
 * --pty prints the name of a pseudo-terminal, --tcp a port of 127.0.0.1 (one peer at a time); then it serves for ever.
 */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "host.h"
#include "port.h"

static ek_agent agent;

static int usage(void)
{
    fprintf(stderr, "usage: edgekit-mcu-agent [--stdio | --pty | --tcp] [--until-eof]\n");
    return 2;
}

int main(int count, char **arguments)
{
    int failed = 0;
    host_use_stdio();
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--pty") == 0) {
            failed = host_use_pty();
        } else if (strcmp(arguments[i], "--tcp") == 0) {
            failed = host_use_tcp();
        } else if (strcmp(arguments[i], "--until-eof") == 0) {
            host_end_with_stdin();
        } else if (strcmp(arguments[i], "--stdio") != 0) {
            return usage();
        }
        if (failed) {
            perror(arguments[i]);
            return 1;
        }
    }
    (void)setjmp(host_restart);
    ek_port_init();
    ek_agent_start(&agent);
    for (;;) {
        ek_agent_poll(&agent);
    }
}
