#include "agent.h"

#include <string.h>

#include "commands.h"
#include "port.h"

/* Frames without an answer's content are made on the stack, so that the kept answer stays. */
static void send_short(const ek_agent *agent, uint8_t type, uint16_t session, uint16_t sequence,
                       const ek_failure *failure)
{
    uint8_t buffer[EK_PAYLOAD_AT + 8 + EK_CRC_BYTES + 1]; /* and the zero at the end */
    ek_frame frame = {.protocol = EK_PROTOCOL, .type = type, .session = session, .sequence = sequence,
                      .next = agent->expected};
    if (failure) {
        ek_put16(buffer + EK_PAYLOAD_AT, failure->error);
        ek_put16(buffer + EK_PAYLOAD_AT + 2, 0);
        ek_put32(buffer + EK_PAYLOAD_AT + 4, failure->detail);
        frame.payload_bytes = 8;
    }
    ek_port_write(buffer, ek_frame_encode(buffer, &frame));
}

static void ask_again(ek_agent *agent)
{
    if (agent->resend_asked) {
        return;
    }
    agent->resend_asked = 1;
    send_short(agent, EK_RESEND, agent->session, agent->expected, NULL);
}

static uint8_t takes_long(uint8_t type)
{
    return type == EK_LOAD_BEGIN || type == EK_LOAD_END || type == EK_OPEN || type == EK_RUN || type == EK_BENCH ||
           type == EK_PROFILE;
}

/* Run the request that is next in order, and keep its answer. */
static void carry_out(ek_agent *agent, const ek_frame *request)
{
    uint8_t *payload = agent->answer + EK_PAYLOAD_AT;
    ek_frame answer = {.protocol = EK_PROTOCOL, .session = request->session, .sequence = request->sequence};
    agent->expected = (uint16_t)(request->sequence + 1);
    agent->resend_asked = 0;
    answer.next = agent->expected;
    if (takes_long(request->type)) {
        send_short(agent, EK_WORKING, request->session, request->sequence, NULL);
    }
    const ek_failure failure = ek_command(agent, request, payload, &answer.payload_bytes);
    answer.type = (uint8_t)(request->type | EK_ANSWER);
    if (failure.error) {
        answer.type = EK_ERROR;
        answer.payload_bytes = 8;
        ek_put16(payload, failure.error);
        ek_put16(payload + 2, 0);
        ek_put32(payload + 4, failure.detail);
    }
    agent->answer_bytes = ek_frame_encode(agent->answer, &answer);
    ek_port_write(agent->answer, agent->answer_bytes);
    if (agent->is_resetting) {
        ek_port_reset();
    }
}

/* A request that was taken before: its answer is repeated if it is still known. */
static void repeat(const ek_agent *agent, const ek_frame *request)
{
    if ((uint16_t)(request->sequence + 1) == agent->expected && agent->answer_bytes) {
        ek_port_write(agent->answer, agent->answer_bytes);
    } else {
        send_short(agent, EK_ACKNOWLEDGED, request->session, request->sequence, NULL);
    }
}

static void take(ek_agent *agent, const ek_frame *request)
{
    if (request->type & EK_ANSWER) {
        return; /* an echo of this side */
    }
    if (request->protocol != EK_PROTOCOL) {
        const ek_failure other = {EK_OTHER_PROTOCOL, EK_PROTOCOL};
        send_short(agent, EK_ERROR, request->session, request->sequence, &other);
        return;
    }
    if (request->type == EK_IDENTIFY && request->session != 0 && request->session != agent->session) {
        agent->session = request->session;
        agent->expected = request->sequence;
        agent->answer_bytes = 0;
    }
    if (agent->session == 0 || request->session != agent->session) {
        const ek_failure none = {EK_NO_SESSION, 0};
        send_short(agent, EK_ERROR, request->session, request->sequence, &none);
        return;
    }
    const uint16_t ahead = (uint16_t)(request->sequence - agent->expected);
    if (ahead == 0) {
        carry_out(agent, request);
    } else if (ahead < 0x8000) {
        ask_again(agent);
    } else {
        repeat(agent, request);
    }
}

void ek_agent_start(ek_agent *agent)
{
    memset(agent, 0, sizeof *agent);
    ek_cobs_start(&agent->decoder, agent->received, EK_FRAME_BYTES);
}

void ek_agent_byte(ek_agent *agent, uint8_t byte)
{
    ek_frame request;
    const ek_cobs_event event = ek_cobs_byte(&agent->decoder, byte);
    if (event == EK_COBS_MORE) {
        return;
    }
    if (event == EK_COBS_FRAME &&
        ek_frame_parse(agent->received, agent->decoder.count, &request) == EK_FRAME_OK) {
        take(agent, &request);
    } else {
        ask_again(agent);
    }
}

void ek_agent_poll(ek_agent *agent)
{
    for (int byte = ek_port_getc(); byte >= 0; byte = ek_port_getc()) {
        ek_agent_byte(agent, (uint8_t)byte);
    }
}
