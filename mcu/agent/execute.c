/* The open model: inputs, runs, outputs, measurements. */
#include <string.h>

#include "commands.h"
#include "port.h"

#define MOST_WARM_UP 1000u
#define MOST_VALUES ((EK_PAYLOAD_BYTES - 16) / 4)

/* Sum of the tensors' bytes; UINT32_MAX if one leaves the arena or the sum is too large. */
static uint32_t total_bytes(const ek_tensor *tensors, uint32_t count, uint32_t arena_bytes)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (tensors[i].offset > arena_bytes || tensors[i].bytes > arena_bytes - tensors[i].offset ||
            tensors[i].bytes >= UINT32_MAX - total) {
            return UINT32_MAX;
        }
        total += tensors[i].bytes;
    }
    return total;
}

/* Answer: u32 ek_status, u32 bad operator, and of a model that was opened u32 operators, inputs, outputs, arena bytes,
 * bytes of all inputs, bytes of all outputs. */
ek_failure ek_open_loaded(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    const ek_blob *blob = &agent->blobs[EK_BLOB_MODEL];
    uint32_t bad_operator = UINT32_MAX;
    if (request->payload_bytes != 0) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    agent->is_open = 0;
    if (blob->state != EK_BLOB_VERIFIED) {
        return (ek_failure){EK_NO_MODEL, 0};
    }
    ek_model *model = &agent->model;
    ek_status status = ek_open(model, ek_port_board.store + blob->offset, blob->bytes, ek_port_board.arena,
                               ek_port_board.arena_bytes, &bad_operator);
    memset(answer, 0, 32);
    if (status == EK_OK) {
        const ek_header *header = model->header;
        agent->input_bytes = total_bytes(model->tensors, header->inputs, ek_port_board.arena_bytes);
        agent->output_bytes = total_bytes(model->tensors + header->inputs, header->outputs, ek_port_board.arena_bytes);
        if (agent->input_bytes == UINT32_MAX || agent->output_bytes == UINT32_MAX) {
            status = EK_DAMAGED;
        }
    }
    if (status == EK_OK) {
        const ek_header *header = model->header;
        const uint32_t facts[] = {header->operators, header->inputs, header->outputs, header->arena_bytes,
                                  agent->input_bytes, agent->output_bytes};
        for (uint32_t i = 0; i < 6; i++) {
            ek_put32(answer + 8 + 4 * i, facts[i]);
        }
        agent->is_open = 1;
        agent->input_have = 0;
    }
    ek_put32(answer, status);
    ek_put32(answer + 4, bad_operator);
    *bytes = 32;
    return EK_NO_FAILURE;
}

/* Copy bytes [offset, offset + count) of the tensors, taken as one sequence, between arena and `outside`. */
static void copy_tensors(const ek_agent *agent, const ek_tensor *tensors, uint32_t offset, uint32_t count,
                         uint8_t *read_into, const uint8_t *write_from)
{
    for (uint32_t done = 0; done < count; tensors++) {
        if (offset >= tensors->bytes) {
            offset -= tensors->bytes;
            continue;
        }
        const uint32_t here = tensors->bytes - offset, piece = here < count - done ? here : count - done;
        uint8_t *place = agent->model.arena + tensors->offset + offset;
        if (read_into) {
            memcpy(read_into + done, place, piece);
        } else {
            memcpy(place, write_from + done, piece);
        }
        done += piece;
        offset = 0;
    }
}

/* u32 offset in the sequence of all inputs, data; from 0 on, without a gap. */
ek_failure ek_input(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    (void)answer;
    *bytes = 0;
    if (!agent->is_open) {
        return (ek_failure){EK_NOT_OPEN, 0};
    }
    const uint32_t count = request->payload_bytes < 4 ? 0 : request->payload_bytes - 4;
    const uint32_t offset = count ? ek_get32(request->payload) : 0;
    const uint32_t have = offset ? agent->input_have : 0;
    agent->input_have = 0;
    if (count == 0) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    if (offset != have || count > agent->input_bytes - offset) {
        return (ek_failure){EK_NO_INPUTS, agent->input_bytes};
    }
    copy_tensors(agent, agent->model.tensors, offset, count, NULL, request->payload + 4);
    agent->input_have = offset + count;
    return EK_NO_FAILURE;
}

static uint32_t measure_run(const ek_agent *agent)
{
    const uint32_t before = ek_port_counter();
    ek_run(&agent->model);
    return ek_port_counter() - before;
}

/* What measuring nothing counts: the least of some. */
static uint32_t overhead(void)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < 16; i++) {
        const uint32_t before = ek_port_counter();
        const uint32_t taken = ek_port_counter() - before;
        least = taken < least ? taken : least;
    }
    return least;
}

/* Run on the inputs that were written; they count as used up, for a run may overwrite them. Answer: u32 counter. */
ek_failure ek_run_once(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    if (request->payload_bytes != 0) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    if (!agent->is_open) {
        return (ek_failure){EK_NOT_OPEN, 0};
    }
    if (agent->input_have != agent->input_bytes) {
        return (ek_failure){EK_NO_INPUTS, agent->input_bytes};
    }
    agent->input_have = 0;
    ek_put32(answer, measure_run(agent));
    *bytes = 4;
    return EK_NO_FAILURE;
}

/* u32 offset in the sequence of all outputs, u32 bytes. Answer: the bytes. */
ek_failure ek_output(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    if (request->payload_bytes != 8) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    if (!agent->is_open) {
        return (ek_failure){EK_NOT_OPEN, 0};
    }
    const uint32_t offset = ek_get32(request->payload), count = ek_get32(request->payload + 4);
    if (count == 0 || count > EK_PAYLOAD_BYTES || offset > agent->output_bytes ||
        count > agent->output_bytes - offset) {
        return (ek_failure){EK_OUT_OF_RANGE, agent->output_bytes};
    }
    copy_tensors(agent, agent->model.tensors + agent->model.header->inputs, offset, count, answer, NULL);
    *bytes = count;
    return EK_NO_FAILURE;
}

/* Whether there is a model and a blob of inputs for it. */
static ek_failure can_measure(const ek_agent *agent)
{
    const ek_blob *inputs = &agent->blobs[EK_BLOB_INPUTS];
    if (!agent->is_open) {
        return (ek_failure){EK_NOT_OPEN, 0};
    }
    if (agent->input_bytes && (inputs->state != EK_BLOB_VERIFIED || inputs->bytes != agent->input_bytes)) {
        return (ek_failure){EK_NO_INPUTS, agent->input_bytes};
    }
    return EK_NO_FAILURE;
}

static void refill(ek_agent *agent)
{
    const uint8_t *inputs = ek_port_board.store + agent->blobs[EK_BLOB_INPUTS].offset;
    copy_tensors(agent, agent->model.tensors, 0, agent->input_bytes, NULL, inputs);
    agent->input_have = 0;
}

/* u32 warm-up runs, u32 measured runs. Answer: u32 overhead, u32 count, u32 counter of each. */
ek_failure ek_bench(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    if (request->payload_bytes != 8) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    const uint32_t warm_up = ek_get32(request->payload), runs = ek_get32(request->payload + 4);
    if (warm_up > MOST_WARM_UP || runs > MOST_VALUES) {
        return (ek_failure){EK_OUT_OF_RANGE, warm_up > MOST_WARM_UP ? MOST_WARM_UP : MOST_VALUES};
    }
    const ek_failure failure = can_measure(agent);
    if (failure.error) {
        return failure;
    }
    for (uint32_t i = 0; i < warm_up; i++) {
        refill(agent);
        ek_run(&agent->model);
    }
    ek_put32(answer, overhead());
    ek_put32(answer + 4, runs);
    for (uint32_t i = 0; i < runs; i++) {
        refill(agent);
        ek_put32(answer + 8 + 4 * i, measure_run(agent));
    }
    *bytes = 8 + 4 * runs;
    return EK_NO_FAILURE;
}

/* u32 first operator. Answer: u32 overhead, u32 operators of the model, u32 count, u32 counter of each from the first
 * on, as many as fit. */
ek_failure ek_profile(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    if (request->payload_bytes != 4) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    const ek_failure failure = can_measure(agent);
    if (failure.error) {
        return failure;
    }
    const uint32_t first = ek_get32(request->payload), operators = agent->model.header->operators;
    if (first > operators) {
        return (ek_failure){EK_OUT_OF_RANGE, operators};
    }
    const uint32_t count = operators - first < MOST_VALUES ? operators - first : MOST_VALUES;
    ek_put32(answer, overhead());
    ek_put32(answer + 4, operators);
    ek_put32(answer + 8, count);
    refill(agent);
    for (uint32_t i = 0; i < operators; i++) {
        const uint32_t before = ek_port_counter();
        ek_run_operator(&agent->model, i);
        const uint32_t taken = ek_port_counter() - before;
        if (i >= first && i - first < count) {
            ek_put32(answer + 12 + 4 * (i - first), taken);
        }
    }
    *bytes = 12 + 4 * count;
    return EK_NO_FAILURE;
}
