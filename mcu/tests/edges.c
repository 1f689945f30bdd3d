/* Records and headers at the edge of what may pass, each built to do harm if it did: in memory of exactly its size, so
 * that the sanitizers see what check() lets through.
 */
#include <stdbool.h>

#include "edgekit/op_depthwise.h"
#include "edgekit/op_softmax.h"
#include "edgekit/runtime.h"
#include "tests.h"

#define ARENA_BYTES 64u

static const ek_operator *operator_of(uint16_t kind)
{
    for (uint32_t i = 0; i < ek_operator_count; i++) {
        if (ek_operators[i]->kind == kind) {
            return ek_operators[i];
        }
    }
    fprintf(stderr, "operator %u is not in the table\n", (unsigned)kind);
    exit(2);
}

static int expect(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "%s\n", what);
    }
    return right ? 0 : 1;
}

/* An output over a later part of its own input changes what is still to be read: a value above the greatest, and the
 * table has no entry for a negative difference. */
static int softmax_overlaps(uint32_t *passed)
{
    const ek_operator *operator = operator_of(EK_OP_SOFTMAX);
    int32_t *table = exact_memory(1024);
    for (int32_t i = 0; i < 256; i++) {
        table[i] = INT32_MAX >> (i < 31 ? i : 30);
    }
    int failed = 0;
    for (int32_t input = 0; input <= 32; input++) {
        const ek_limits limits = {ARENA_BYTES, 1024, (const uint8_t *)table};
        const ek_softmax record = {{EK_OP_SOFTMAX, sizeof record}, input, 16, 2, 8, 0};
        uint8_t *arena = exact_memory(ARENA_BYTES);
        memset(arena, 0x80, ARENA_BYTES);
        arena[input] = 0x81; /* gets the greatest share */
        const bool safe = input >= 16 || input + 16 <= 16;
        const bool taken = operator->check(&record, &limits) == EK_OK;
        if (taken) {
            operator->run(&record, arena, (const uint8_t *)table);
        }
        failed |= expect(taken == safe, "a softmax over its own input was judged wrongly");
        *passed += taken;
        free(arena);
    }
    free(table);
    return failed;
}

/* Offsets in records are int32, and products of sides are computed in int32: nothing larger may be opened. */
static int arenas_of_two_gigabytes(void)
{
    ek_header *file = exact_memory(sizeof *file + 16);
    memset(file, 0, sizeof *file + 16);
    *file = (ek_header){.magic = EK_MAGIC, .version = EK_FORMAT_VERSION, .file_bytes = sizeof *file + 16,
                        .operators_offset = 96, .tensors_offset = 96, .data_offset = 96, .data_bytes = 0,
                        .names_offset = 96, .names_bytes = 1};
    int failed = 0;
    for (uint32_t more = 0; more < 2; more++) {
        ek_model model;
        file->arena_bytes = (uint32_t)INT32_MAX + more;
        file->crc32 = ek_crc32(0, file->source_sha256, file->file_bytes - offsetof(ek_header, source_sha256));
        /* Nothing of so large an arena is touched: no operator, no tensor. */
        const ek_status status = ek_open(&model, file, file->file_bytes, file, UINT32_MAX, NULL);
        failed |= expect(status == (more ? EK_DAMAGED : EK_OK), "an arena of 2 GiB was judged wrongly");
    }
    free(file);
    return failed;
}

/* The offsets of the taps lie in scratch: an output over them would send the next pixel's reads anywhere. The host runs
 * this layout in another way, but must refuse what a board refuses. */
static int taps_under_their_output(void)
{
    enum { CHANNELS = 4, WORDS = 4 + 4 + 12, SCRATCH = 16 };
    const ek_operator *operator = operator_of(EK_OP_DEPTHWISE);
    int32_t *stream = exact_memory(WORDS * 4);
    memset(stream, 0, WORDS * 4);
    ek_depthwise record = {
        .head = {EK_OP_DEPTHWISE, sizeof record}, .input = 32, .scratch_bytes = SCRATCH, .in_h = 1, .in_w = 2,
        .in_c = CHANNELS, .out_h = 1, .out_w = 2, .out_c = CHANNELS, .k_h = 1, .k_w = 1, .stride_h = 1, .stride_w = 1,
        .dilation_h = 1, .dilation_w = 1, .depth_multiplier = 1, .act_min = -128, .act_max = 127,
        .layout = EK_DEPTHWISE_TAPS, .order = EK_ORDER_ROWS};
    const ek_limits limits = {ARENA_BYTES, WORDS * 4, (const uint8_t *)stream};
    int failed = 0;
    for (record.output = 8; record.output <= 24; record.output += 8) {
        const bool taken = operator->check(&record, &limits) == EK_OK;
        failed |= expect(taken == (record.output >= SCRATCH), "an output over the offsets of taps was judged wrongly");
    }
    free(stream);
    return failed;
}

int test_edges(void)
{
    uint32_t passed = 0;
    const int failed = softmax_overlaps(&passed) | arenas_of_two_gigabytes() | taps_under_their_output();
    printf("{\"passed\": %u}\n", (unsigned)passed);
    return failed;
}
