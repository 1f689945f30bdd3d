#include "ek_npy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ek_engine.h"

#define MAX_HEADER 4096u
#define MAGIC "\x93NUMPY"

struct numpy_type {
    const char *dtype, *code;
    size_t bytes;
};

static const struct numpy_type types[] = {
    {"float32", "<f4", 4}, {"float16", "<f2", 2}, {"float64", "<f8", 8}, {"int8", "|i1", 1},  {"uint8", "|u1", 1},
    {"bool", "|b1", 1},    {"int16", "<i2", 2},   {"uint16", "<u2", 2},  {"int32", "<i4", 4}, {"uint32", "<u4", 4},
    {"int64", "<i8", 8},   {"uint64", "<u8", 8},
};

static const struct numpy_type *type_of(const struct ek_tensor *tensor)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].dtype, tensor->dtype) == 0) {
            return &types[i];
        }
    }
    return NULL;
}

/* numpy's text of the header's facts, which is unique for them. */
static void describe(const struct ek_tensor *tensor, size_t samples, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu,",
                                   type_of(tensor)->code, samples);
    for (size_t i = 0; i < tensor->rank && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s %lld", i ? "," : "", (long long)tensor->shape[i]);
    }
    if (used < size) {
        snprintf(text + used, size - used, "), }");
    }
}

/* Where the elements begin, or -1; the header's text is left in `header`. */
static long read_header(FILE *file, char header[MAX_HEADER])
{
    unsigned char head[10];
    size_t length;
    if (fread(head, 1, sizeof head, file) != sizeof head || memcmp(head, MAGIC, 6) != 0 || head[6] != 1) {
        return -1;
    }
    length = (size_t)head[8] | (size_t)head[9] << 8;
    if (length >= MAX_HEADER || fread(header, 1, length, file) != length) {
        return -1;
    }
    header[length] = 0;
    return (long)(sizeof head + length);
}

static int read_file(FILE *file, const char *path, const struct ek_tensor *tensor, void **data, size_t *samples)
{
    char header[MAX_HEADER], wanted[512];
    const long begin = read_header(file, header);
    if (begin < 0 || fseek(file, 0, SEEK_END) != 0) {
        return ek_fail(EK_WRONG_ARGUMENT, "%s is no plain .npy file.", path);
    }
    const size_t bytes = (size_t)(ftell(file) - begin);
    *samples = bytes / tensor->bytes;
    describe(tensor, *samples, wanted, sizeof wanted);
    if (!*samples || bytes % tensor->bytes || strncmp(header, wanted, strlen(wanted)) != 0) {
        return ek_fail(EK_WRONG_ARGUMENT, "%s is no stack of %s: it begins with %.120s, not %.120s", path,
                       tensor->name, header, wanted);
    }
    *data = malloc(bytes);
    if (!*data) {
        return ek_fail(EK_NO_MEMORY, "There is no memory left.");
    }
    if (fseek(file, begin, SEEK_SET) != 0 || fread(*data, 1, bytes, file) != bytes) {
        free(*data);
        *data = NULL;
        return ek_fail(EK_NO_FILE, "%s can't be read.", path);
    }
    return EK_OK;
}

int ek_npy_read(const char *path, const struct ek_tensor *tensor, void **data, size_t *samples)
{
    FILE *file = fopen(path, "rb");
    *data = NULL;
    *samples = 0;
    if (!file) {
        return ek_fail(EK_NO_FILE, "%s can't be read: %s", path, strerror(errno));
    }
    const int status = read_file(file, path, tensor, data, samples);
    fclose(file);
    return status;
}

int ek_npy_write(const char *path, const struct ek_tensor *tensor, const void *data, size_t samples)
{
    char header[MAX_HEADER] = MAGIC "\x01";
    char text[512];
    const size_t bytes = tensor->bytes * samples;
    describe(tensor, samples, text, sizeof text);
    /* Magic, two bytes of version and two of length; the text is filled up so that the elements begin at 64 n. */
    const size_t whole = (10 + strlen(text) + 1 + 63) / 64 * 64;
    header[7] = 0;
    header[8] = (char)((whole - 10) & 0xff);
    header[9] = (char)((whole - 10) >> 8);
    memset(header + 10, ' ', whole - 10);
    memcpy(header + 10, text, strlen(text));
    header[whole - 1] = '\n';
    FILE *file = fopen(path, "wb");
    if (!file) {
        return ek_fail(EK_NO_FILE, "%s can't be written: %s", path, strerror(errno));
    }
    int failed = fwrite(header, 1, whole, file) != whole || fwrite(data, 1, bytes, file) != bytes;
    failed |= fclose(file) != 0;
    return failed ? ek_fail(EK_NO_FILE, "%s can't be written.", path) : EK_OK;
}

static double half(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) {
        value = fraction ? (double)NAN : (double)INFINITY;
    }
    return bits >> 15 ? -value : value;
}

#define READ(type)                                                            \
    do {                                                                      \
        type value;                                                           \
        memcpy(&value, (const char *)data + index * sizeof value, sizeof value); \
        return (double)value;                                                 \
    } while (0)

double ek_value(const struct ek_tensor *tensor, const void *data, size_t index)
{
    const char *code = type_of(tensor)->code + 1;
    switch (code[0] << 8 | code[1]) {
    case 'f' << 8 | '4': READ(float);
    case 'f' << 8 | '8': READ(double);
    case 'f' << 8 | '2': return half(((const uint16_t *)data)[index]);
    case 'i' << 8 | '1': READ(int8_t);
    case 'i' << 8 | '2': READ(int16_t);
    case 'i' << 8 | '4': READ(int32_t);
    case 'i' << 8 | '8': READ(int64_t);
    case 'u' << 8 | '2': READ(uint16_t);
    case 'u' << 8 | '4': READ(uint32_t);
    case 'u' << 8 | '8': READ(uint64_t);
    default: READ(uint8_t);
    }
}
