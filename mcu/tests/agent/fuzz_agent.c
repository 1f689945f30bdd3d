/* The agent against hostile frames, in one process under sanitizers.
 *
 *   fuzz_agent FRAMES SEED [MODEL.ekm ...]
 *
 * Random bytes, valid frames with changed fields, damaged, cut, repeated and reordered ones, whole command sequences
 * with something wrong, models with changed records and a right checksum, a store that fails. Everything that the agent
 * sends must be whole frames; every 1000 frames it must identify itself, and at the end load and run a model. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "port.h"

#define ARENA_BYTES 65536u
#define STORE_BYTES (65536u - ERASE_BYTES / 2)
#define ERASE_BYTES 4096u
#define MOST_MODELS 8u
#define KEPT 8u

/* Flash whose blocks are larger than the piece with which the store begins, as on the STM32F746. */
static _Alignas(EK_ALIGN) uint8_t arena[ARENA_BYTES];
static _Alignas(ERASE_BYTES) uint8_t flash[STORE_BYTES + ERASE_BYTES / 2];
static uint8_t *const store = flash + ERASE_BYTES / 2;
static ek_agent *agent;
static jmp_buf restart;
static uint64_t random_state;
static uint32_t fails_of_1000, frames_sent, requests_answered, refusals, resets, models_opened, runs_done;

/* The last frame that the agent sent, other than a sign of work. */
static ek_cobs_decoder from_agent;
static uint8_t from_agent_raw[EK_FRAME_BYTES];
static uint8_t last_type;
static uint8_t last_payload[EK_PAYLOAD_BYTES];
static uint32_t last_payload_bytes;

static struct { uint8_t bytes[EK_FRAME_BYTES + 16]; uint32_t count; } kept[KEPT];
static struct { uint8_t *bytes; uint32_t count; } models[MOST_MODELS];
static uint32_t model_count;
static uint16_t session = 1, sequence;

const ek_board ek_port_board = {
    .board = "fuzz", .core = "fuzz", .clock_hz = 1, .counts = EK_COUNTS_CYCLES, .counter_mul = 1, .counter_div = 1,
    .sram_bytes = ARENA_BYTES, .flash_bytes = STORE_BYTES, .arena = arena, .arena_bytes = ARENA_BYTES,
    .store = flash + ERASE_BYTES / 2, .store_bytes = STORE_BYTES, .store_is_flash = 1, .store_write_bytes = 8,
    .store_erase_bytes = ERASE_BYTES};

static void die(const char *what)
{
    fprintf(stderr, "fuzz_agent: %s after %u frames\n", what, frames_sent);
    exit(1);
}

static uint32_t rnd(void) /* splitmix64 */
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

static uint32_t below(uint32_t limit)
{
    return (uint32_t)((uint64_t)rnd() * limit >> 32);
}

/* The port. */

void ek_port_init(void) {}

int ek_port_getc(void)
{
    return -1;
}

void ek_port_write(const uint8_t *bytes, uint32_t count)
{
    if (count < 2 || bytes[count - 1] != 0 || memchr(bytes, 0, count - 1)) {
        die("the agent sent something that is no frame");
    }
    for (uint32_t i = 0; i < count; i++) {
        ek_frame frame;
        if (ek_cobs_byte(&from_agent, bytes[i]) == EK_COBS_MORE) {
            continue;
        }
        if (ek_frame_parse(from_agent_raw, from_agent.count, &frame) != EK_FRAME_OK || !(frame.type & EK_ANSWER)) {
            die("the agent sent a damaged frame");
        }
        if (frame.type != EK_WORKING) {
            last_type = frame.type;
            last_payload_bytes = frame.payload_bytes;
            memcpy(last_payload, frame.payload, frame.payload_bytes);
            requests_answered++;
            refusals += frame.type == EK_ERROR;
        }
    }
}

uint32_t ek_port_overruns(void)
{
    return 0;
}

uint32_t ek_port_counter(void)
{
    static uint32_t ticks;
    return ticks += 3;
}

uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes)
{
    if (bytes > STORE_BYTES || offset > STORE_BYTES - bytes) {
        die("the agent erased outside the store");
    }
    const uint32_t start = (uint32_t)(store - flash) + offset, first = start / ERASE_BYTES * ERASE_BYTES;
    const uint32_t end = (start + bytes + ERASE_BYTES - 1) / ERASE_BYTES * ERASE_BYTES;
    for (uint32_t kind = 0; kind < EK_BLOBS; kind++) {
        const ek_blob *blob = &agent->blobs[kind];
        const uint32_t at = (uint32_t)(store - flash) + blob->offset;
        if (blob->state != EK_BLOB_EMPTY && at < end && first < at + blob->bytes) {
            die("the agent erased what it still takes for loaded");
        }
    }
    if (below(1000) < fails_of_1000) {
        return 7;
    }
    memset(flash + first, 0xff, end - first);
    return 0;
}

uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    if (count > STORE_BYTES || offset > STORE_BYTES - count || offset % 8 || count % 8) {
        die("the agent wrote outside the store, or not in its units");
    }
    if (agent->is_open) {
        const ek_blob *model = &agent->blobs[EK_BLOB_MODEL];
        if (offset < model->offset + model->bytes && model->offset < offset + count) {
            die("the agent wrote over the model that is open");
        }
    }
    if (below(1000) < fails_of_1000) {
        return 8;
    }
    memcpy(store + offset, bytes, count);
    return 0;
}

uint32_t ek_port_stack_used(void)
{
    return 0;
}

void ek_port_stack_repaint(void) {}

uint32_t ek_port_static_bytes(void)
{
    return sizeof *agent;
}

void ek_port_reset(void)
{
    longjmp(restart, 1);
}

/* Frames. */

static void feed(const uint8_t *bytes, uint32_t count)
{
    for (volatile uint32_t i = 0; i < count; i++) {
        if (setjmp(restart)) {
            ek_agent_start(agent);
            resets++;
            continue;
        }
        ek_agent_byte(agent, bytes[i]);
    }
    frames_sent++;
}

static void keep(const uint8_t *bytes, uint32_t count)
{
    const uint32_t at = below(KEPT);
    memcpy(kept[at].bytes, bytes, count);
    kept[at].count = count;
}

/* Send a frame whose checksum is right; damage it afterwards in one of `damaged` of 1000 cases. */
static void send_frame(uint8_t protocol, uint8_t type, uint16_t of_session, uint16_t number, const uint8_t *payload,
                       uint32_t bytes, uint32_t damaged)
{
    uint8_t buffer[EK_WIRE_BYTES];
    const ek_frame frame = {.protocol = protocol, .type = type, .session = of_session, .sequence = number,
                            .payload_bytes = bytes};
    if (bytes) {
        memcpy(buffer + EK_PAYLOAD_AT, payload, bytes);
    }
    uint32_t count = ek_frame_encode(buffer, &frame);
    keep(buffer, count);
    if (below(1000) < damaged) {
        buffer[below(count)] ^= (uint8_t)(1u << below(8));
        if (below(3) == 0) {
            count -= below(count);
        }
    }
    feed(buffer, count);
}

/* The next request of the session, as a host would send it. */
static void request(uint8_t type, const uint8_t *payload, uint32_t bytes, uint32_t damaged)
{
    const uint32_t answered = requests_answered;
    last_type = 0;
    send_frame(EK_PROTOCOL, type, session, sequence++, payload, bytes, damaged);
    if (!damaged && requests_answered == answered) {
        die("a request was not answered");
    }
}

static void identify(void)
{
    static uint16_t sessions;
    const uint8_t zero = 0;
    sessions = (uint16_t)(sessions == 0xffff ? 1 : sessions + 1);
    if (sessions == session) {
        sessions++;
    }
    session = sessions ? sessions : 1;
    sequence = (uint16_t)rnd();
    feed(&zero, 1);
    request(EK_IDENTIFY, NULL, 0, 0);
    if (last_type != (EK_IDENTIFY | EK_ANSWER)) {
        die("the agent does not identify itself");
    }
}

static uint32_t interesting(void)
{
    static const uint32_t values[] = {0, 1, 2, 16, 31, 32, 64, 4095, 4096, 32768, STORE_BYTES - 32, STORE_BYTES,
                                      STORE_BYTES + 1, 0x7fffffff, 0x80000000u, 0xfffffff0u, 0xffffffffu};
    return below(4) ? values[below(sizeof values / sizeof values[0])] : rnd();
}

/* One number of a payload becomes another one, or its length changes. */
static void spoil(uint8_t *payload, uint32_t *bytes, uint32_t of_1000)
{
    if (below(1000) >= of_1000) {
        return;
    }
    if (*bytes >= 4 && below(4)) {
        ek_put32(payload + 4 * below(*bytes / 4), interesting());
    } else {
        *bytes = below(2) ? below(*bytes + 1) : below(EK_PAYLOAD_BYTES + 1);
    }
}

static void load(uint32_t kind, uint32_t offset, const uint8_t *bytes, uint32_t count, uint32_t wrong)
{
    uint8_t payload[EK_PAYLOAD_BYTES] = {0};
    uint32_t length = 12 + EK_SHA256_BYTES;
    ek_put32(payload, kind);
    ek_put32(payload + 4, offset);
    ek_put32(payload + 8, count);
    ek_sha256(bytes, count, payload + 12);
    spoil(payload, &length, wrong);
    request(EK_LOAD_BEGIN, payload, length, wrong);
    uint32_t at = last_type == (EK_LOAD_BEGIN | EK_ANSWER) && last_payload_bytes == 4 ? ek_get32(last_payload) : 0;
    while (at < count) {
        const uint32_t left = count - at, here = left < EK_BULK_BYTES ? left : EK_BULK_BYTES;
        length = 4 + here;
        ek_put32(payload, at);
        memcpy(payload + 4, bytes + at, here);
        spoil(payload, &length, wrong / 4);
        request(EK_LOAD_DATA, payload, length, wrong / 4);
        at += here;
    }
    length = 0;
    spoil(payload, &length, wrong);
    request(EK_LOAD_END, payload, length, wrong);
}

/* One of the models; sometimes with some changed bytes outside magic, version and length, and the right checksum. */
static uint32_t make_model(uint8_t *out, uint32_t changed_of_1000)
{
    const uint32_t which = below(model_count), count = models[which].count;
    memcpy(out, models[which].bytes, count);
    if (below(1000) < changed_of_1000) {
        ek_header *header = (void *)out;
        const uint32_t head_only = below(2) && count > 512 ? 512 : count;
        for (uint32_t i = 1 + below(3); i; i--) {
            const uint32_t at = 48 + 4 * below((head_only - 48) / 4);
            ek_put32(out + at, below(2) ? interesting() : ek_get32(out + at) ^ 1u << below(32));
        }
        header->crc32 = ek_crc32(0, out + 16, count - 16);
    }
    return count;
}

static void exercise(uint32_t wrong)
{
    uint8_t payload[EK_PAYLOAD_BYTES] = {0};
    uint32_t length = 0, inputs, outputs;
    request(EK_OPEN, payload, length, wrong);
    if (last_type != (EK_OPEN | EK_ANSWER) || ek_get32(last_payload) != EK_OK) {
        return;
    }
    models_opened++;
    inputs = ek_get32(last_payload + 24);
    outputs = ek_get32(last_payload + 28);
    for (uint32_t at = 0; at < inputs; at += EK_BULK_BYTES) {
        length = 4 + (inputs - at < EK_BULK_BYTES ? inputs - at : EK_BULK_BYTES);
        ek_put32(payload, at);
        spoil(payload, &length, wrong);
        request(EK_INPUT, payload, length, wrong);
    }
    request(EK_RUN, payload, 0, wrong);
    runs_done += last_type == (EK_RUN | EK_ANSWER);
    length = 8;
    ek_put32(payload, 0);
    ek_put32(payload + 4, outputs < EK_PAYLOAD_BYTES ? outputs : EK_PAYLOAD_BYTES);
    spoil(payload, &length, wrong);
    request(EK_OUTPUT, payload, length, wrong);
    if (inputs <= 16384 && (!wrong || below(2))) {
        static const uint8_t blob[16384];
        load(EK_BLOB_INPUTS, wrong && below(2) ? 32 * below(512) : 49152, blob, inputs, wrong);
    }
    length = 8;
    ek_put32(payload, below(2));
    ek_put32(payload + 4, below(3));
    spoil(payload, &length, wrong);
    if (length != 8 || (ek_get32(payload) < 4 && ek_get32(payload + 4) < 4) || ek_get32(payload + 4) > 1000) {
        request(EK_BENCH, payload, length, wrong);
    }
    length = 4;
    ek_put32(payload, 0);
    spoil(payload, &length, wrong);
    request(EK_PROFILE, payload, length, wrong);
}

/* What a host does, with something wrong in `wrong` of 1000 places. */
static void whole_sequence(uint32_t wrong)
{
    static _Alignas(EK_ALIGN) uint8_t model[STORE_BYTES];
    identify();
    const uint32_t count = make_model(model, wrong ? 700 : 0);
    load(EK_BLOB_MODEL, wrong && below(4) == 0 ? 32 * below(512) : 0, model, count, wrong);
    exercise(wrong);
}

static void any_frame(void)
{
    uint8_t payload[EK_PAYLOAD_BYTES];
    const uint32_t bytes = below(3) ? 4 * below(14) : below(EK_PAYLOAD_BYTES + 1);
    for (uint32_t i = 0; i < bytes; i++) {
        payload[i] = below(3) ? (uint8_t)rnd() : 0;
    }
    for (uint32_t i = 0; i + 4 <= bytes && i < 16; i += 4) {
        ek_put32(payload + i, interesting());
    }
    if (below(10)) { /* in order, or nothing would be carried out after the first frame that got lost */
        session = agent->session;
        sequence = agent->expected;
    }
    const uint8_t type = (uint8_t)(below(5) ? 1 + below(13) : rnd());
    if (type == EK_BENCH && bytes == 8) {
        ek_put32(payload, below(3)); /* many runs are only slow */
    }
    send_frame(below(50) ? EK_PROTOCOL : (uint8_t)rnd(), type, below(20) ? session : (uint16_t)rnd(),
               below(5) ? sequence++ : (uint16_t)(sequence + below(9) - 4), payload, bytes, 50);
}

static void noise(void)
{
    uint8_t bytes[2048];
    const uint32_t count = 1 + below(sizeof bytes);
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = below(100) ? (uint8_t)rnd() : 0;
    }
    feed(bytes, count);
}

static void again(void)
{
    const uint32_t at = below(KEPT);
    feed(kept[at].bytes, kept[at].count);
}

/* A model without much in it: one table look-up over 64 bytes. */
static void add_small_model(void)
{
    enum { DATA = 256, BYTES = 576 };
    static _Alignas(EK_ALIGN) uint8_t file[BYTES];
    ek_header header = {.magic = EK_MAGIC, .version = EK_FORMAT_VERSION, .file_bytes = BYTES, .arena_bytes = 128,
                        .operators = 1, .operators_offset = 96, .inputs = 1, .outputs = 1, .tensors_offset = 128,
                        .data_offset = DATA, .data_bytes = 256, .names_offset = DATA + 256, .names_bytes = 4};
    const uint32_t operators[] = {100, EK_OP_LOOKUP | 20u << 16, 0, 64, 64, 0};
    ek_tensor tensors[] = {{.offset = 0, .bytes = 64, .scale = 1, .rank = 1, .dims = {64}},
                           {.offset = 64, .bytes = 64, .scale = 1, .rank = 1, .dims = {64}}};
    memcpy(file + 96, operators, sizeof operators);
    memcpy(file + 128, tensors, sizeof tensors);
    for (uint32_t i = 0; i < 256; i++) {
        file[DATA + i] = (uint8_t)(255 - i);
    }
    memcpy(file + DATA + 256, "m\0l", 4);
    memcpy(file, &header, sizeof header);
    header.crc32 = ek_crc32(0, file + 16, BYTES - 16);
    memcpy(file, &header, sizeof header);
    models[model_count].bytes = file;
    models[model_count++].count = BYTES;
}

static void add_model(const char *path)
{
    static uint8_t bytes[STORE_BYTES];
    FILE *file = fopen(path, "rb");
    const size_t count = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (count < 96 || model_count == MOST_MODELS || (models[model_count].bytes = malloc(count)) == NULL) {
        die("a model can't be read");
    }
    fclose(file);
    memcpy(models[model_count].bytes, bytes, count);
    models[model_count++].count = (uint32_t)count;
}

static void fuzz(uint32_t frames)
{
    uint32_t asked_at = 0;
    while (frames_sent < frames) {
        const uint32_t kind = below(100);
        fails_of_1000 = below(10) ? 0 : 20;
        if (kind < 3) {
            whole_sequence(below(3) ? 30 : 200);
        } else if (kind < 60) {
            any_frame();
        } else if (kind < 80) {
            again();
        } else {
            noise();
        }
        if (frames_sent - asked_at >= 1000) {
            identify();
            asked_at = frames_sent;
        }
    }
}

int main(int count, char **arguments)
{
    if (count < 3) {
        fprintf(stderr, "usage: fuzz_agent FRAMES SEED [MODEL.ekm ...]\n");
        return 2;
    }
    random_state = strtoull(arguments[2], NULL, 10);
    agent = malloc(sizeof *agent); /* on the heap the sanitizer watches its ends */
    if (!agent) {
        return 1;
    }
    ek_agent_start(agent);
    ek_cobs_start(&from_agent, from_agent_raw, sizeof from_agent_raw);
    add_small_model();
    for (int i = 3; i < count; i++) {
        add_model(arguments[i]);
    }
    fuzz((uint32_t)strtoul(arguments[1], NULL, 10));
    const uint32_t opened = models_opened, ran = runs_done;
    fails_of_1000 = 0;
    whole_sequence(0);
    if (models_opened != opened + 1 || runs_done != ran + 1 || last_type != (EK_PROFILE | EK_ANSWER)) {
        die("the agent does not run a model any more");
    }
    printf("{\"frames\": %u, \"answers\": %u, \"refusals\": %u, \"resets\": %u, \"models_opened\": %u, \"runs\": %u}\n",
           frames_sent, requests_answered, refusals, resets, models_opened, runs_done);
    for (uint32_t i = 1; i < model_count; i++) {
        free(models[i].bytes);
    }
    free(agent);
    return 0;
}
