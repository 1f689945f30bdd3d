/* Damaged models: what ek_open() accepts must run without leaving its memory, whatever the numbers in it say.
 *
 * The sanitizers are the judges. They see every byte too far: file, arena and data are allocations of exactly the size
 * that the model states, the data a copy of its own.
 */
#include <stdbool.h>

#include "edgekit/runtime.h"
#include "tests.h"

#define MAX_ARENA (1u << 20)

typedef struct {
    uint8_t *bytes;
    uint32_t count;
} content;

typedef struct {
    uint32_t opened, refused[8];
} tally;

static content read_file(const char *path)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) {
        fprintf(stderr, "%s can't be opened\n", path);
        exit(2);
    }
    fseek(stream, 0, SEEK_END);
    content file = {NULL, (uint32_t)ftell(stream)};
    file.bytes = exact_memory(file.count);
    rewind(stream);
    if (fread(file.bytes, 1, file.count, stream) != file.count || file.count < sizeof(ek_header)) {
        fprintf(stderr, "%s can't be read\n", path);
        exit(2);
    }
    fclose(stream);
    return file;
}

static uint32_t word_at(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* A number that tends to break bounds, or one close to what was there. */
static uint32_t troubled(ek_random *random, uint32_t was, const ek_header *header)
{
    const uint32_t edges[] = {
        0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 127, 128, 255, 4096, 65535, 65536, 0x7fffffffu, 0x80000000u, 0xffffffffu,
        (uint32_t)-128, (uint32_t)-2, header->arena_bytes, header->arena_bytes - 1, header->arena_bytes + 1,
        header->data_bytes, header->data_bytes - 4, header->data_bytes + 4, header->file_bytes,
    };
    switch (random_below(random, 6)) {
    case 0:
        return was ^ (1u << random_below(random, 32));
    case 1:
        return was + random_below(random, 9) - 4;
    case 2:
        return was * 2;
    case 3:
        return was / 2;
    case 4:
        return random_word(random);
    default:
        return edges[random_below(random, sizeof edges / sizeof edges[0])];
    }
}

static void disturb_word(ek_random *random, content file, uint32_t from, uint32_t bytes, const ek_header *header)
{
    uint8_t *at = file.bytes + from + random_below(random, bytes / 4) * 4;
    const uint32_t word = troubled(random, word_at(at), header);
    memcpy(at, &word, sizeof word);
}

static void disturb_record(ek_random *random, content file, const ek_header *header)
{
    const uint32_t index = random_below(random, header->operators);
    const uint32_t start = word_at(file.bytes + header->operators_offset + 4 * index);
    ek_op_head head;
    memcpy(&head, file.bytes + start, sizeof head);
    const uint32_t times = 1 + random_below(random, 3);
    for (uint32_t i = 0; i < times; i++) {
        disturb_word(random, file, start + sizeof head, head.bytes - sizeof head, header);
    }
}

/* Leaves the checksum alone; `header` is that of the sound model. */
static void disturb(ek_random *random, content file, const ek_header *header)
{
    const uint32_t tensors = (header->inputs + header->outputs) * (uint32_t)sizeof(ek_tensor);
    switch (random_below(random, 8)) {
    case 0:
        disturb_word(random, file, 0, sizeof *header, header);
        break;
    case 1:
        disturb_word(random, file, header->tensors_offset, tensors, header);
        break;
    case 2:
        disturb_word(random, file, header->operators_offset, header->operators * 4, header);
        break;
    case 3:
        disturb_word(random, file, header->data_offset, header->data_bytes, header);
        break;
    case 4:
        file.bytes[random_below(random, file.count)] ^= (uint8_t)(1u << random_below(random, 8));
        break;
    default:
        disturb_record(random, file, header);
    }
}

/* The checksum that fits, if the length in the header allows one. */
static void seal(content file)
{
    ek_header *header = (void *)file.bytes;
    const uint32_t start = offsetof(ek_header, source_sha256);
    if (header->file_bytes >= start && header->file_bytes <= file.count) {
        header->crc32 = ek_crc32(0, file.bytes + start, header->file_bytes - start);
    }
}

static void run_opened(ek_random *random, ek_model *model)
{
    uint8_t *data = exact_memory(model->header->data_bytes);
    memcpy(data, model->data, model->header->data_bytes);
    model->data = data;
    for (uint32_t i = 0; i + 4 <= model->header->arena_bytes; i += 4) {
        const uint32_t word = random_word(random);
        memcpy(model->arena + i, &word, sizeof word);
    }
    ek_run(model);
    free(data);
}

static void try_model(ek_random *random, content file, tally *result)
{
    const ek_header *header = (const void *)file.bytes;
    /* What a board has is some size; the model's own, where that is possible, shows every byte too far. */
    const uint32_t arena_bytes = header->arena_bytes <= MAX_ARENA ? header->arena_bytes : MAX_ARENA;
    uint8_t *arena = exact_memory(arena_bytes);
    ek_model model;
    uint32_t bad;
    const ek_status status = ek_open(&model, file.bytes, file.count, arena, arena_bytes, &bad);
    if (status == EK_OK) {
        result->opened++;
        run_opened(random, &model);
    } else {
        result->refused[status]++;
    }
    free(arena);
}

static void one_case(ek_random *random, content sound, tally *result)
{
    const ek_header *header = (const void *)sound.bytes;
    const bool cut = random_below(random, 16) == 0;
    content file = {NULL, cut ? random_below(random, sound.count) : sound.count};
    if (file.count < sizeof *header) {
        file.count = sizeof *header;
    }
    file.bytes = exact_memory(file.count);
    memcpy(file.bytes, sound.bytes, file.count);
    if (cut) {
        ((ek_header *)(void *)file.bytes)->file_bytes = file.count;
    } else {
        disturb(random, file, header);
    }
    if (random_below(random, 16) != 0) {
        seal(file);
    }
    try_model(random, file, result);
    free(file.bytes);
}

int test_fuzz(const char *path, uint32_t seed, uint32_t cases)
{
    content sound = read_file(path);
    ek_random random = random_from(seed);
    tally result = {0, {0}};
    try_model(&random, sound, &result);
    if (result.opened != 1) {
        fprintf(stderr, "the model itself is refused\n");
        return 1;
    }
    for (uint32_t i = 0; i < cases; i++) {
        one_case(&random, sound, &result);
    }
    printf("{\"cases\": %u, \"opened\": %u, \"refused\": [", (unsigned)cases, (unsigned)result.opened - 1);
    for (int i = 0; i < 8; i++) {
        printf("%s%u", i > 0 ? ", " : "", (unsigned)result.refused[i]);
    }
    printf("]}\n");
    free(sound.bytes);
    return 0;
}
