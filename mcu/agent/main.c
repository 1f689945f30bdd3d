/* The agent as the board's whole program. */
#include "agent.h"
#include "port.h"

static ek_agent agent;

int main(void)
{
    ek_port_init();
    ek_agent_start(&agent);
    for (;;) {
        ek_agent_poll(&agent);
    }
}
