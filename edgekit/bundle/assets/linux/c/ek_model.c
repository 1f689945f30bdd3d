#define _POSIX_C_SOURCE 200809L
#include "ek_model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ek_engine.h"
#include "ek_sha256.h"

#define MAX_THREADS 1024

struct ek_model {
    const struct ek_contract *contract;
    const struct ek_variant *variant;
    const struct ek_engine *engine;
    void *loaded;
    int threads;
};

static const struct ek_engine *const engines[] = {
#ifdef EK_WITH_LITERT
    &ek_litert,
#endif
#ifdef EK_WITH_EXECUTORCH
    &ek_executorch,
#endif
    NULL,
};

static _Thread_local char message[512];

const char *ek_last_error(void)
{
    return message;
}

int ek_fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return status;
}

/* The value of `key` if the line is "key : value", white space collapsed as edgekit does; else nothing. */
static int value_of(const char *line, const char *key, char *value, size_t size)
{
    const char *colon = strchr(line, ':');
    const size_t length = strlen(key);
    size_t used = 0;
    if (!colon || strncmp(line, key, length) != 0 || strspn(line + length, " \t") != (size_t)(colon - line) - length) {
        return 0;
    }
    for (const char *at = colon + 1; *at && used + 2 < size; at++) {
        const int blank = strchr(" \t\r\n", *at) != NULL;
        if (!blank) {
            value[used++] = *at;
        } else if (used && value[used - 1] != ' ') {
            value[used++] = ' ';
        }
    }
    used -= used && value[used - 1] == ' ';
    value[used] = 0;
    return used > 0;
}

void ek_device_name(char *name, size_t size)
{
    static const char *const keys[] = {"model name", "Hardware", "Processor"};
    if (size < 3) {
        return;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char line[1024];
        FILE *file = fopen("/proc/cpuinfo", "r");
        while (file && fgets(line, sizeof line, file)) {
            if (value_of(line, keys[i], name, size)) {
                fclose(file);
                return;
            }
        }
        if (file) {
            fclose(file);
        }
    }
    name[0] = 0;
}

/* The variant and threads to run: the asked ones, or the device's, or the first. */
static int choose(const struct ek_contract *contract, const char *variant, int threads, struct ek_model *model)
{
    char name[256];
    model->variant = variant ? NULL : contract->variants;
    for (size_t i = 0; variant && i < contract->variant_count; i++) {
        if (strcmp(contract->variants[i].id, variant) == 0) {
            model->variant = &contract->variants[i];
        }
    }
    if (!model->variant) {
        return ek_fail(EK_WRONG_ARGUMENT, "%s has no variant %s here.", contract->name, variant);
    }
    model->threads = model->variant->threads;
    ek_device_name(name, sizeof name);
    for (size_t i = 0; i < contract->device_count; i++) {
        const struct ek_device *row = &contract->devices[i];
        const struct ek_variant *best = &contract->variants[row->variant];
        if (name[0] && (!variant || best == model->variant) &&
            (strcmp(row->name, name) == 0 || (row->soc && strcmp(row->soc, name) == 0))) {
            model->variant = best;
            model->threads = row->threads;
            break;
        }
    }
    model->threads = threads ? threads : model->threads;
    if (model->threads < 1 || model->threads > MAX_THREADS) {
        return ek_fail(EK_WRONG_ARGUMENT, "%d threads were asked for; 1 to %d can be.", model->threads, MAX_THREADS);
    }
    return EK_OK;
}

/* The runtime opens the file again by its path: what nobody but its owner can write is what was verified. */
static int verify(const char *path, const struct ek_variant *variant)
{
    char found[65];
    if (ek_sha256_file(path, found) != 0) {
        return ek_fail(EK_NO_FILE, "%s can't be read: %s", path, strerror(errno));
    }
    if (strcmp(found, variant->sha256) != 0) {
        return ek_fail(EK_CHANGED, "%s was changed: its sha256 is %.16s..., the bundle's is %.16s...", path, found,
                       variant->sha256);
    }
    return EK_OK;
}

static int load(struct ek_model *model, const char *bundle)
{
    char path[EK_MAX_PATH], runtime[EK_MAX_PATH];
    const struct ek_load request = {model->contract, path, runtime, model->threads};
    const int a = snprintf(path, sizeof path, "%s/%s", bundle, model->variant->path);
    const int b = snprintf(runtime, sizeof runtime, "%s/runner/runtime", bundle);
    if (a < 0 || b < 0 || (size_t)a >= sizeof path || (size_t)b >= sizeof runtime) {
        return ek_fail(EK_WRONG_ARGUMENT, "The path of the bundle is too long.");
    }
    const int status = verify(path, model->variant);
    if (status != EK_OK) {
        return status;
    }
    for (const struct ek_engine *const *engine = engines; *engine; engine++) {
        if (strcmp((*engine)->name, model->variant->engine) == 0) {
            model->engine = *engine;
            return model->engine->open(&request, &model->loaded);
        }
    }
    return ek_fail(EK_NO_RUNTIME, "This program was built without %s, which %s needs.", model->variant->engine,
                   model->variant->id);
}

int ek_open(const struct ek_contract *contract, const char *bundle, const char *variant, int threads,
            struct ek_model **made)
{
    struct ek_model *model;
    if (!made || !contract || !bundle) {
        return ek_fail(EK_WRONG_ARGUMENT, "A null pointer was given.");
    }
    *made = NULL;
    model = calloc(1, sizeof *model);
    if (!model) {
        return ek_fail(EK_NO_MEMORY, "There is no memory left.");
    }
    model->contract = contract;
    int status = choose(contract, variant, threads, model);
    if (status == EK_OK) {
        status = load(model, bundle);
    }
    if (status != EK_OK) {
        ek_close(model);
        return status;
    }
    *made = model;
    return EK_OK;
}

int ek_run(struct ek_model *model, const void *const *inputs, void *const *outputs)
{
    if (!model || !inputs || !outputs) {
        return ek_fail(EK_WRONG_ARGUMENT, "A null pointer was given.");
    }
    for (size_t i = 0; i < model->contract->input_count; i++) {
        if (!inputs[i]) {
            return ek_fail(EK_WRONG_ARGUMENT, "Input %s is null.", model->contract->inputs[i].name);
        }
    }
    for (size_t i = 0; i < model->contract->output_count; i++) {
        if (!outputs[i]) {
            return ek_fail(EK_WRONG_ARGUMENT, "Output %s is null.", model->contract->outputs[i].name);
        }
    }
    return model->engine->run(model->loaded, inputs, outputs);
}

const struct ek_variant *ek_variant_of(const struct ek_model *model)
{
    return model->variant;
}

int ek_threads_of(const struct ek_model *model)
{
    return model->threads;
}

void ek_close(struct ek_model *model)
{
    if (model && model->loaded) {
        model->engine->close(model->loaded);
    }
    free(model);
}
