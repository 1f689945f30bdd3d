/* Loading blobs into the board's store. */
#include <string.h>

#include "commands.h"
#include "port.h"

_Static_assert(EK_WRITE_BYTES_MAX % EK_ALIGN == 0 && EK_BULK_BYTES % EK_WRITE_BYTES_MAX == 0, "what offsets keep to");

static uint8_t equal(const uint8_t *a, const uint8_t *b)
{
    uint8_t differs = 0;
    for (uint32_t i = 0; i < EK_SHA256_BYTES; i++) {
        differs |= a[i] ^ b[i];
    }
    return differs == 0;
}

static uint8_t digest_matches(uint32_t offset, uint32_t bytes, const uint8_t *wanted, uint8_t *digest)
{
    ek_sha256(ek_port_board.store + offset, bytes, digest);
    return equal(digest, wanted);
}

static void forget(ek_agent *agent, uint32_t kind)
{
    agent->blobs[kind].state = EK_BLOB_EMPTY;
    if (kind == EK_BLOB_MODEL) {
        agent->is_open = 0;
    }
}

/* How many bytes writing `bytes` really takes. */
static uint32_t padded(uint32_t bytes)
{
    const uint32_t unit = ek_port_board.store_write_bytes ? ek_port_board.store_write_bytes : 1;
    return (bytes + unit - 1) / unit * unit;
}

/* The block of the store's memory that a byte lies in. Blocks lie at multiples of their size, the store may begin
 * within one. */
static uint64_t block_of(uint32_t offset)
{
    const uint32_t block = ek_port_board.store_erase_bytes ? ek_port_board.store_erase_bytes : EK_ALIGN;
    return ((uint64_t)(uintptr_t)ek_port_board.store + offset) / block;
}

/* Erasing takes whole blocks, so what shares one with the new blob is gone as well. No two blobs may lie in one place:
 * a model that was opened must not change. No blob is empty. */
static void forget_neighbours(ek_agent *agent, uint32_t offset, uint32_t bytes)
{
    const uint64_t first = block_of(offset), last = block_of(offset + padded(bytes) - 1);
    for (uint32_t kind = 0; kind < EK_BLOBS; kind++) {
        const ek_blob *blob = &agent->blobs[kind];
        if (blob->state != EK_BLOB_EMPTY && block_of(blob->offset) <= last &&
            first <= block_of(blob->offset + padded(blob->bytes) - 1)) {
            forget(agent, kind);
        }
    }
}

/* u32 kind, u32 offset, u32 bytes, sha256. Answer: u32 bytes that are there already. */
ek_failure ek_load_begin(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    uint8_t digest[EK_SHA256_BYTES];
    if (request->payload_bytes != 12 + EK_SHA256_BYTES) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    const uint32_t kind = ek_get32(request->payload), offset = ek_get32(request->payload + 4);
    const uint32_t count = ek_get32(request->payload + 8), size = ek_port_board.store_bytes;
    const uint8_t *sha256 = request->payload + 12;
    if (kind >= EK_BLOBS || count == 0 || offset % EK_WRITE_BYTES_MAX) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    if (offset > size || count > size - offset || padded(count) > size - offset) {
        return (ek_failure){EK_OUTSIDE_STORE, size};
    }
    ek_blob *blob = &agent->blobs[kind];
    const uint8_t same = blob->state != EK_BLOB_EMPTY && blob->offset == offset && blob->bytes == count &&
                         equal(blob->sha256, sha256);
    agent->loading = kind;
    *bytes = 4;
    if (!same) {
        forget(agent, kind);
        const uint8_t there = digest_matches(offset, count, sha256, digest);
        forget_neighbours(agent, offset, count);
        if (!there) {
            const uint32_t failed = ek_port_store_begin(offset, count);
            if (failed) {
                return (ek_failure){EK_STORE_FAILED, failed};
            }
        }
        *blob = (ek_blob){.state = EK_BLOB_LOADING, .offset = offset, .bytes = count, .received = there ? count : 0};
        memcpy(blob->sha256, sha256, EK_SHA256_BYTES);
    }
    ek_put32(answer, blob->received);
    return EK_NO_FAILURE;
}

/* u32 offset in the blob, data. Whatever is wrong with it ends the loading, so that no later frame can hide it. */
ek_failure ek_load_data(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    ek_blob *blob = &agent->blobs[agent->loading];
    (void)answer;
    *bytes = 0;
    if (blob->state != EK_BLOB_LOADING) {
        return (ek_failure){EK_NOT_LOADING, 0};
    }
    const uint32_t count = request->payload_bytes < 4 ? 0 : request->payload_bytes - 4;
    const uint32_t left = blob->bytes - blob->received;
    if (count == 0 || count > EK_BULK_BYTES || count > left || ek_get32(request->payload) != blob->received ||
        (count != left && count % EK_WRITE_BYTES_MAX)) {
        const uint32_t received = blob->received;
        forget(agent, agent->loading);
        return (ek_failure){EK_NOT_LOADING, received};
    }
    /* The payload lies in agent->received, which has room for the padding behind it. */
    uint8_t *data = agent->received + EK_HEADER_BYTES + 4;
    const uint32_t whole = padded(count);
    memset(data + count, 0xff, whole - count);
    const uint32_t failed = ek_port_store_write(blob->offset + blob->received, data, whole);
    if (failed) {
        forget(agent, agent->loading);
        return (ek_failure){EK_STORE_FAILED, failed};
    }
    blob->received += count;
    return EK_NO_FAILURE;
}

/* Answer: the sha256 of what lies in the store. */
ek_failure ek_load_end(ek_agent *agent, const ek_frame *request, uint8_t *answer, uint32_t *bytes)
{
    ek_blob *blob = &agent->blobs[agent->loading];
    if (request->payload_bytes != 0) {
        return (ek_failure){EK_BAD_REQUEST, request->type};
    }
    if (blob->state == EK_BLOB_EMPTY || blob->received != blob->bytes) {
        return (ek_failure){EK_NOT_LOADING, blob->state == EK_BLOB_EMPTY ? 0 : blob->received};
    }
    if (!digest_matches(blob->offset, blob->bytes, blob->sha256, answer)) {
        forget(agent, agent->loading);
        return (ek_failure){EK_DIGEST_DIFFERS, 0};
    }
    blob->state = EK_BLOB_VERIFIED;
    *bytes = EK_SHA256_BYTES;
    return EK_NO_FAILURE;
}
