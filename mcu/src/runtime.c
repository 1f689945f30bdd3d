/* Opening a packed model, which checks everything that running it relies on, and running it. */
#include <stddef.h>

#include "edgekit/check.h"
#include "edgekit/runtime.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a model is little-endian and read where it lies");
_Static_assert(sizeof(ek_header) == 96 && sizeof(ek_tensor) == 48, "the file's layout must not depend on the compiler");

#define FLAGS_KNOWN 1u
#define MAX_RANK 6

static bool table_inside(const ek_header *header, uint32_t offset, uint32_t entries, uint32_t entry_bytes)
{
    return offset % 4 == 0 && offset >= sizeof *header &&
           ek_inside(offset, (int64_t)entries * entry_bytes, header->file_bytes);
}

static ek_status check_file(const uint8_t *file, uint32_t bytes)
{
    const ek_header *header = (const void *)file;
    if ((uintptr_t)file % EK_ALIGN != 0) {
        return EK_MISALIGNED;
    }
    if (bytes < sizeof *header) {
        return EK_DAMAGED;
    }
    if (header->magic != EK_MAGIC) {
        return EK_NOT_A_MODEL;
    }
    if (header->version != EK_FORMAT_VERSION || (header->flags & ~FLAGS_KNOWN) != 0) {
        return EK_OTHER_VERSION;
    }
    if (header->file_bytes > bytes || header->file_bytes < sizeof *header) {
        return EK_DAMAGED;
    }
    const uint32_t start = offsetof(ek_header, source_sha256);
    return ek_crc32(0, file + start, header->file_bytes - start) == header->crc32 ? EK_OK : EK_DAMAGED;
}

static ek_status check_tables(const ek_header *header)
{
    const uint64_t tensors = (uint64_t)header->inputs + header->outputs;
    /* Offsets in records are int32, and operators multiply sides in int32. */
    const bool inside = header->arena_bytes <= INT32_MAX && header->data_bytes <= INT32_MAX &&
                        tensors <= header->file_bytes &&
                        table_inside(header, header->tensors_offset, (uint32_t)tensors, sizeof(ek_tensor)) &&
                        table_inside(header, header->operators_offset, header->operators, sizeof(uint32_t)) &&
                        ek_inside(header->data_offset, header->data_bytes, header->file_bytes) &&
                        ek_inside(header->names_offset, header->names_bytes, header->file_bytes);
    return inside && header->data_offset % EK_ALIGN == 0 ? EK_OK : EK_DAMAGED;
}

/* The model's name and one per operator, each terminated. */
static ek_status check_names(const uint8_t *file, const ek_header *header)
{
    const uint8_t *names = file + header->names_offset;
    uint32_t terminated = 0;
    for (uint32_t i = 0; i < header->names_bytes; i++) {
        terminated += names[i] == 0;
    }
    return terminated > header->operators && names[header->names_bytes - 1] == 0 ? EK_OK : EK_DAMAGED;
}

/* Positive, finite. By its bits: this file then needs no floating point. */
static bool scale_ok(const float *scale)
{
    uint32_t bits;
    memcpy(&bits, scale, sizeof bits);
    return bits > 0 && bits < 0x7f800000u;
}

static bool tensor_ok(const ek_tensor *tensor, uint32_t arena_bytes)
{
    if (!ek_inside(tensor->offset, tensor->bytes, arena_bytes) || !ek_between(tensor->rank, 0, MAX_RANK) ||
        !scale_ok(&tensor->scale) || !ek_is_int8(tensor->zero_point) || !ek_between(tensor->float_outside, 0, 1)) {
        return false;
    }
    int64_t elements = 1;
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] < 1 || tensor->dims[i] > (int64_t)tensor->bytes) {
            return false;
        }
        elements *= tensor->dims[i];
        if (elements > (int64_t)tensor->bytes) {
            return false;
        }
    }
    return elements == (int64_t)tensor->bytes;
}

static ek_status check_tensors(const ek_model *model)
{
    const uint32_t count = model->header->inputs + model->header->outputs;
    for (uint32_t i = 0; i < count; i++) {
        if (!tensor_ok(&model->tensors[i], model->header->arena_bytes)) {
            return EK_DAMAGED;
        }
    }
    return EK_OK;
}

static const ek_operator *operator_of(uint16_t kind)
{
    for (uint32_t i = 0; i < ek_operator_count; i++) {
        if (ek_operators[i]->kind == kind) {
            return ek_operators[i];
        }
    }
    return NULL;
}

static ek_status check_operator(const ek_model *model, uint32_t index)
{
    const ek_header *header = model->header;
    const uint32_t offset = model->records[index];
    if (!table_inside(header, offset, 1, sizeof(ek_op_head))) {
        return EK_DAMAGED;
    }
    const ek_op_head *head = (const void *)(model->file + offset);
    if (!table_inside(header, offset, 1, head->bytes)) {
        return EK_DAMAGED;
    }
    const ek_operator *operator = operator_of(head->kind);
    if (operator == NULL) {
        return EK_NO_OPERATOR;
    }
    const ek_limits limits = {header->arena_bytes, header->data_bytes, model->data};
    return head->bytes == operator->bytes ? operator->check(head, &limits) : EK_BAD_OPERATOR;
}

static ek_status check_operators(const ek_model *model, uint32_t *bad_operator)
{
    for (uint32_t i = 0; i < model->header->operators; i++) {
        const ek_status status = check_operator(model, i);
        if (status != EK_OK) {
            *bad_operator = i;
            return status;
        }
    }
    return EK_OK;
}

ek_status ek_open(ek_model *model, const void *file, uint32_t bytes, void *arena, uint32_t arena_bytes,
                  uint32_t *bad_operator)
{
    uint32_t ignored;
    uint32_t *bad = bad_operator != NULL ? bad_operator : &ignored;
    *bad = UINT32_MAX;
    memset(model, 0, sizeof *model);
    const ek_header *header = file;
    ek_status status = check_file(file, bytes);
    if (status == EK_OK) {
        status = check_tables(header);
    }
    if (status == EK_OK) {
        status = check_names(file, header);
    }
    if (status != EK_OK) {
        return status;
    }
    if ((uintptr_t)arena % EK_ALIGN != 0) {
        return EK_MISALIGNED;
    }
    if (header->arena_bytes > arena_bytes) {
        return EK_ARENA_TOO_SMALL;
    }
    const uint8_t *start = file;
    *model = (ek_model){
        .file = start,
        .header = header,
        .records = (const void *)(start + header->operators_offset),
        .tensors = (const void *)(start + header->tensors_offset),
        .data = start + header->data_offset,
        .arena = arena,
        .arena_bytes = arena_bytes,
    };
    status = check_tensors(model);
    return status == EK_OK ? check_operators(model, bad) : status;
}

void ek_run_operator(const ek_model *model, uint32_t index)
{
    const ek_op_head *head = (const void *)(model->file + model->records[index]);
    operator_of(head->kind)->run(head, model->arena, model->data);
}

void ek_run(const ek_model *model)
{
    for (uint32_t i = 0; i < model->header->operators; i++) {
        ek_run_operator(model, i);
    }
}
