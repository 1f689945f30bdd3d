/* What the agent does for each request. */
#ifndef EDGEKIT_COMMANDS_H
#define EDGEKIT_COMMANDS_H

#include "agent.h"

typedef struct {
    uint16_t error;           /* 0: none */
    uint32_t detail;
} ek_failure;

#define EK_NO_FAILURE ((ek_failure){0, 0})

/* Carry out one request. The answer's content goes to `answer` (EK_PAYLOAD_BYTES long), its length to *bytes. */
ek_failure ek_command(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);

/* store.c: loading. */
ek_failure ek_load_begin(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);
ek_failure ek_load_data(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);
ek_failure ek_load_end(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);

/* execute.c: the open model. */
ek_failure ek_open_loaded(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);
ek_failure ek_input(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);
ek_failure ek_run_once(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);
ek_failure ek_output(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);
ek_failure ek_bench(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);
ek_failure ek_profile(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);

#endif
