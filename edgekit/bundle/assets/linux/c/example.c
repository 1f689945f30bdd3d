/* Runs @NAME@ on a picture or on tensors from files. Made by edgekit: copy from here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_@API@.h"
#include "ek_npy.h"

#define PROGRAM "example_@API@"
#define BEST 5u

static const char usage[] =
    "usage: " PROGRAM " [OPTION...] PICTURE.rgb WIDTH HEIGHT    8-bit RGB, row by row, without padding\n"
    "       " PROGRAM " [OPTION...] --tensors FILE.npy...       one per input, samples first\n"
    "  --bundle DIR    the bundle's folder (default: .)\n"
    "  --variant ID    default: the one measured best on this device, else the first\n"
    "  --threads N     default: as measured\n"
    "  --out DIR       keep input_K.npy and output_K.npy there\n";

struct options {
    const char *bundle, *variant, *out, *picture;
    int threads, width, height;
    char **tensors; /* null for a picture */
};

/* All tensors of a run, one stack of samples each. */
struct tensors {
    void *inputs[EK_MAX_TENSORS], *outputs[EK_MAX_TENSORS];
    size_t samples;
};

static int number(const char *text, int *value)
{
    char *end;
    errno = 0;
    const long found = strtol(text, &end, 10);
    *value = (int)found;
    return errno == 0 && end != text && !*end && found >= 1 && found <= 1 << 20;
}

/* 0, or -1 if the arguments are wrong. */
static int parse(int count, char **arguments, struct options *options)
{
    int at = 1;
    *options = (struct options){.bundle = "."};
    for (; at < count && strncmp(arguments[at], "--", 2) == 0; at += 2) {
        const char *name = arguments[at], *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (strcmp(name, "--tensors") == 0) {
            options->tensors = arguments + at + 1;
            return (size_t)(count - at - 1) == @API@_contract.input_count ? 0 : -1;
        }
        if (!value) {
            return -1;
        } else if (strcmp(name, "--bundle") == 0) {
            options->bundle = value;
        } else if (strcmp(name, "--variant") == 0) {
            options->variant = value;
        } else if (strcmp(name, "--out") == 0) {
            options->out = value;
        } else if (strcmp(name, "--threads") != 0 || !number(value, &options->threads)) {
            return -1;
        }
    }
    if (count - at != 3 || !number(arguments[at + 1], &options->width) || !number(arguments[at + 2], &options->height)) {
        return -1;
    }
    options->picture = arguments[at];
    return 0;
}

static int fail(const char *what)
{
    fprintf(stderr, PROGRAM ": %s\n", what);
    return 1;
}

@PICTURE@
static int read_tensors(const struct options *options, struct tensors *tensors)
{
    for (size_t k = 0; k < @API@_contract.input_count; k++) {
        size_t samples;
        if (ek_npy_read(options->tensors[k], &@API@_contract.inputs[k], &tensors->inputs[k], &samples) != EK_OK) {
            return fail(ek_last_error());
        }
        if (k && samples != tensors->samples) {
            return fail("the files have different numbers of samples");
        }
        tensors->samples = samples;
    }
    return 0;
}

static int make_outputs(struct tensors *tensors)
{
    for (size_t k = 0; k < @API@_contract.output_count; k++) {
        tensors->outputs[k] = calloc(tensors->samples, @API@_contract.outputs[k].bytes);
        if (!tensors->outputs[k]) {
            return fail("there is no memory left");
        }
    }
    return 0;
}

/* Sample i of tensor k. */
static void *in(const struct tensors *tensors, size_t k, size_t i)
{
    return (char *)tensors->inputs[k] + i * @API@_contract.inputs[k].bytes;
}

static void *out(const struct tensors *tensors, size_t k, size_t i)
{
    return (char *)tensors->outputs[k] + i * @API@_contract.outputs[k].bytes;
}

static int run(struct @API@ *model, const struct tensors *tensors)
{
    for (size_t i = 0; i < tensors->samples; i++) {
        if (@API@_run(model, @RUN_ARGUMENTS@) != EK_OK) {
            return fail(ek_last_error());
        }
    }
    return 0;
}

/* The best classes of sample i where the first output is a list of scores. */
static void show(const struct tensors *tensors, size_t i)
{
    const struct ek_tensor *scores = &@API@_contract.outputs[0];
    const void *data = out(tensors, 0, i);
    size_t chosen[BEST], found = 0;
    if (scores->rank != 2 || scores->shape[0] != 1) {
        printf("%s has no list of scores; --out keeps it\n", scores->name);
        return;
    }
    const size_t classes = (size_t)scores->shape[1];
    for (; found < BEST && found < classes; found++) {
        size_t best = classes;
        for (size_t c = 0; c < classes; c++) {
            size_t taken = 0;
            for (size_t j = 0; j < found; j++) {
                taken |= chosen[j] == c;
            }
            if (!taken && (best == classes || ek_value(scores, data, c) > ek_value(scores, data, best))) {
                best = c;
            }
        }
        chosen[found] = best;
        printf("%12.6g  @LABEL_FORMAT@\n", ek_value(scores, data, best), @LABEL@);
    }
}

static int keep(const char *folder, const struct tensors *tensors)
{
    char path[EK_MAX_PATH];
    for (size_t k = 0; k < @API@_contract.input_count + @API@_contract.output_count; k++) {
        const int is_input = k < @API@_contract.input_count;
        const size_t at = is_input ? k : k - @API@_contract.input_count;
        const struct ek_tensor *tensor = is_input ? &@API@_contract.inputs[at] : &@API@_contract.outputs[at];
        const int length = snprintf(path, sizeof path, "%s/%s_%zu.npy", folder, is_input ? "input" : "output", at);
        if (length < 0 || (size_t)length >= sizeof path) {
            return fail("the folder's path is too long");
        }
        const void *data = is_input ? tensors->inputs[at] : tensors->outputs[at];
        if (ek_npy_write(path, tensor, data, tensors->samples) != EK_OK) {
            return fail(ek_last_error());
        }
    }
    return 0;
}

static int work(const struct options *options, struct @API@ *model, struct tensors *tensors)
{
    if (@API@_open(model, options->bundle, options->variant, options->threads) != EK_OK) {
        return fail(ek_last_error());
    }
    if ((options->tensors ? read_tensors(options, tensors) : read_picture(options, tensors)) != 0 ||
        make_outputs(tensors) != 0 || run(model, tensors) != 0) {
        return 1;
    }
    printf("%s, variant %s, threads: %d\n", @API@_contract.name, ek_variant_of(model->model)->id,
           ek_threads_of(model->model));
    for (size_t i = 0; i < tensors->samples; i++) {
        if (tensors->samples > 1) {
            printf("sample %zu\n", i);
        }
        show(tensors, i);
    }
    return options->out ? keep(options->out, tensors) : 0;
}

/* 0, 1 if the bundle or the input is at fault (said on stderr), 2 for wrong arguments. */
int main(int count, char **arguments)
{
    struct options options;
    struct @API@ model = {NULL};
    struct tensors tensors = {.samples = 0};
    if (parse(count, arguments, &options) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    const int code = work(&options, &model, &tensors);
    for (size_t k = 0; k < EK_MAX_TENSORS; k++) {
        free(tensors.inputs[k]);
        free(tensors.outputs[k]);
    }
    @API@_close(&model);
    return code;
}
