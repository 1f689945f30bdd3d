#include "commands.h"

#include "port.h"

/* Both are set by the build. */
#ifndef EK_AGENT_VERSION
#error "EK_AGENT_VERSION is not set"
#endif
#ifndef EK_BUILD_HASH
#error "EK_BUILD_HASH is not set"
#endif

#ifdef EK_DSP
#define HAS_DSP 1u
#else
#define HAS_DSP 0u
#endif

typedef ek_failure handler(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes);

/* Append text and a zero; what does not fit any more is left out. */
static uint32_t put_text(uint8_t *answer, uint32_t at, const char *text)
{
    for (; *text && at < EK_PAYLOAD_BYTES - 1; text++) {
        answer[at++] = (uint8_t)*text;
    }
    answer[at++] = 0;
    return at;
}

static ek_failure identify(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    const ek_board *board = &ek_port_board;
    const uint32_t numbers[] = {
        EK_WINDOW, EK_BULK_BYTES, HAS_DSP | board->store_is_flash << 1, board->clock_hz, board->counts,
        board->counter_mul, board->counter_div, board->sram_bytes, board->flash_bytes, board->arena_bytes,
        board->store_bytes, board->store_write_bytes, board->store_erase_bytes, ek_port_static_bytes()};
    uint32_t at = 0;
    (void)agent;
    if (request->payload_bytes != 0) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    for (; at < sizeof numbers; at += 4) {
        ek_put32(answer + at, numbers[at / 4]);
    }
    at = put_text(answer, at, EK_AGENT_VERSION);
    at = put_text(answer, at, EK_BUILD_HASH);
    at = put_text(answer, at, board->board);
    *bytes = put_text(answer, at, board->core);
    return EK_NO_FAILURE;
}

/* Bit 0 of the request: paint the stack anew after its high-water mark is read. */
static ek_failure memory(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    if (request->payload_bytes != 4 || ek_get32(request->payload) > 1) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    ek_put32(answer, ek_port_static_bytes());
    ek_put32(answer + 4, agent->is_open ? agent->model.header->arena_bytes : 0);
    ek_put32(answer + 8, ek_port_board.arena_bytes);
    ek_put32(answer + 12, ek_port_stack_used());
    ek_put32(answer + 16, ek_port_overruns());
    *bytes = 20;
    if (ek_get32(request->payload)) {
        ek_port_stack_repaint();
    }
    return EK_NO_FAILURE;
}

/* The board starts again when the answer is on its way. */
static ek_failure reset(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    (void)answer;
    *bytes = 0;
    if (request->payload_bytes != 0) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    agent->is_resetting = 1;
    return EK_NO_FAILURE;
}

static handler *const handlers[] = {
    [EK_IDENTIFY] = identify, [EK_LOAD_BEGIN] = ek_load_begin, [EK_LOAD_DATA] = ek_load_data,
    [EK_LOAD_END] = ek_load_end, [EK_OPEN] = ek_open_loaded, [EK_INPUT] = ek_input, [EK_RUN] = ek_run_once,
    [EK_OUTPUT] = ek_output, [EK_BENCH] = ek_bench, [EK_PROFILE] = ek_profile, [EK_MEMORY] = memory,
    [EK_RESET] = reset};

ek_failure ek_command(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    *bytes = 0;
    if (request->type >= sizeof handlers / sizeof handlers[0] || !handlers[request->type]) {
        return (ek_failure){EK_UNKNOWN_REQUEST, request->type};
    }
    return handlers[request->type](agent, request, answer, bytes);
}
