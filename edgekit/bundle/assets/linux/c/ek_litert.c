/* LiteRT: the first signature of a .tflite on the CPU, by CompiledModel's C API (litert/c/litert_*.h of LiteRT 2.3).
 * The library is loaded while the program runs, so that neither its headers nor it are needed to build. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ek_engine.h"

#define LIBRARY "libLiteRt.so"

typedef void *handle;

/* LiteRtRankedTensorType: the rank and a flag share one word. */
struct tensor_type {
    int element_type;
    uint32_t rank : 7;
    uint32_t has_strides : 1;
    int32_t sizes[8];
    uint32_t strides[8];
};
_Static_assert(sizeof(struct tensor_type) == 72, "LiteRtRankedTensorType has another layout");

enum { CPU = 1, READ = 0, WRITE = 1 };

struct numbered_type {
    int number;
    const char *dtype;
};

/* LiteRtElementType, of the types that numpy has. */
static const struct numbered_type types[] = {
    {1, "float32"}, {2, "int32"}, {3, "uint8"},    {4, "int64"},   {6, "bool"},    {7, "int16"},
    {9, "int8"},    {10, "float16"}, {11, "float64"}, {13, "uint64"}, {16, "uint32"}, {17, "uint16"},
};

struct api {
    int (*create_environment)(int, const void *, handle *);
    void (*destroy_environment)(handle);
    int (*create_model)(handle, const char *, handle *);
    void (*destroy_model)(handle);
    int (*create_options)(handle *);
    void (*destroy_options)(handle);
    int (*set_accelerators)(handle, int);
    int (*create_opaque)(const char *, void *, void (*)(void *), handle *);
    int (*add_opaque)(handle, handle);
    int (*create_compiled)(handle, handle, handle, handle *);
    void (*destroy_compiled)(handle);
    int (*get_signature)(handle, size_t, handle *);
    int (*num_inputs)(handle, size_t *);
    int (*num_outputs)(handle, size_t *);
    int (*input_tensor)(handle, size_t, handle *);
    int (*output_tensor)(handle, size_t, handle *);
    int (*ranked_type)(handle, struct tensor_type *);
    int (*input_requirements)(handle, size_t, size_t, handle *);
    int (*output_requirements)(handle, size_t, size_t, handle *);
    int (*create_buffer)(handle, const struct tensor_type *, handle, handle *);
    void (*destroy_buffer)(handle);
    int (*buffer_size)(handle, size_t *);
    int (*lock)(handle, void **, int);
    int (*unlock)(handle);
    int (*run)(handle, size_t, size_t, handle *, size_t, handle *);
};

struct name {
    const char *text;
    size_t offset;
};

/* Each row is one member of struct api. */
static const struct name names[] = {
    {"LiteRtCreateEnvironment", offsetof(struct api, create_environment)},
    {"LiteRtDestroyEnvironment", offsetof(struct api, destroy_environment)},
    {"LiteRtCreateModelFromFile", offsetof(struct api, create_model)},
    {"LiteRtDestroyModel", offsetof(struct api, destroy_model)},
    {"LiteRtCreateOptions", offsetof(struct api, create_options)},
    {"LiteRtDestroyOptions", offsetof(struct api, destroy_options)},
    {"LiteRtSetOptionsHardwareAccelerators", offsetof(struct api, set_accelerators)},
    {"LiteRtCreateOpaqueOptions", offsetof(struct api, create_opaque)},
    {"LiteRtAddOpaqueOptions", offsetof(struct api, add_opaque)},
    {"LiteRtCreateCompiledModel", offsetof(struct api, create_compiled)},
    {"LiteRtDestroyCompiledModel", offsetof(struct api, destroy_compiled)},
    {"LiteRtGetModelSignature", offsetof(struct api, get_signature)},
    {"LiteRtGetNumSignatureInputs", offsetof(struct api, num_inputs)},
    {"LiteRtGetNumSignatureOutputs", offsetof(struct api, num_outputs)},
    {"LiteRtGetSignatureInputTensorByIndex", offsetof(struct api, input_tensor)},
    {"LiteRtGetSignatureOutputTensorByIndex", offsetof(struct api, output_tensor)},
    {"LiteRtGetRankedTensorType", offsetof(struct api, ranked_type)},
    {"LiteRtGetCompiledModelInputBufferRequirements", offsetof(struct api, input_requirements)},
    {"LiteRtGetCompiledModelOutputBufferRequirements", offsetof(struct api, output_requirements)},
    {"LiteRtCreateManagedTensorBufferFromRequirements", offsetof(struct api, create_buffer)},
    {"LiteRtDestroyTensorBuffer", offsetof(struct api, destroy_buffer)},
    {"LiteRtGetTensorBufferSize", offsetof(struct api, buffer_size)},
    {"LiteRtLockTensorBuffer", offsetof(struct api, lock)},
    {"LiteRtUnlockTensorBuffer", offsetof(struct api, unlock)},
    {"LiteRtRunCompiledModel", offsetof(struct api, run)},
};

struct litert {
    struct api api;
    const struct ek_contract *contract;
    handle environment, model, options, compiled;
    handle inputs[EK_MAX_TENSORS], outputs[EK_MAX_TENSORS];
};

/* The library stays loaded: its threads outlive a model. */
static int load_library(struct litert *self, const char *folder)
{
    char path[EK_MAX_PATH];
    void *library;
    if ((size_t)snprintf(path, sizeof path, "%s/" LIBRARY, folder) >= sizeof path) {
        return ek_fail(EK_WRONG_ARGUMENT, "The path of the bundle is too long.");
    }
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        return ek_fail(EK_NO_RUNTIME, "LiteRT can't be loaded: %s", dlerror());
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *found = dlsym(library, names[i].text);
        if (!found) {
            return ek_fail(EK_NO_RUNTIME, "%s has no %s.", path, names[i].text);
        }
        memcpy((char *)&self->api + names[i].offset, &found, sizeof found);
    }
    return EK_OK;
}

static int refused(const char *what, int status)
{
    return ek_fail(EK_REFUSED, "LiteRT could not %s (status %d).", what, status);
}

static int set_threads(struct litert *self, int threads)
{
    char text[64];
    char *payload;
    handle made = NULL;
    snprintf(text, sizeof text, "num_threads = %d\n", threads);
    payload = strdup(text);
    if (!payload) {
        return ek_fail(EK_NO_MEMORY, "There is no memory left.");
    }
    /* The options own the text from here on, and free it by the function given. */
    int status = self->api.create_opaque("xnnpack", payload, free, &made);
    if (status == 0) {
        status = self->api.add_opaque(self->options, made);
    }
    return status == 0 ? EK_OK : refused("take the number of threads", status);
}

static int compile(struct litert *self, const struct ek_load *load)
{
    const struct api *api = &self->api;
    int status = api->create_environment(0, NULL, &self->environment);
    if (status == 0) {
        status = api->create_model(self->environment, load->path, &self->model);
    }
    if (status == 0) {
        status = api->create_options(&self->options);
    }
    if (status == 0) {
        status = api->set_accelerators(self->options, CPU);
    }
    if (status != 0) {
        return refused("read the model", status);
    }
    status = set_threads(self, load->threads);
    if (status != EK_OK) {
        return status;
    }
    status = api->create_compiled(self->environment, self->model, self->options, &self->compiled);
    return status == 0 ? EK_OK : refused("compile the model", status);
}

static int same(const struct tensor_type *type, const struct ek_tensor *tensor)
{
    int equal = type->rank == tensor->rank;
    for (size_t i = 0; equal && i < tensor->rank; i++) {
        equal = type->sizes[i] == tensor->shape[i];
    }
    for (size_t i = 0; equal && i < sizeof types / sizeof *types; i++) {
        if (types[i].number == type->element_type) {
            return strcmp(types[i].dtype, tensor->dtype) == 0;
        }
    }
    return 0;
}

/* A buffer for one tensor of the file, which must be as the contract has it. */
static int make_buffer(struct litert *self, handle tensor, handle wants, const struct ek_tensor *expected, handle *made)
{
    struct tensor_type type;
    size_t size = 0;
    int status = self->api.ranked_type(tensor, &type);
    if (status == 0 && !same(&type, expected)) {
        return ek_fail(EK_REFUSED, "The file's tensor %s has another type or shape than the bundle says.",
                       expected->name);
    }
    if (status == 0) {
        status = self->api.create_buffer(self->environment, &type, wants, made);
    }
    if (status == 0) {
        status = self->api.buffer_size(*made, &size);
    }
    return status == 0 && size >= expected->bytes ? EK_OK : refused("make a buffer", status);
}

static int make_buffers(struct litert *self)
{
    const struct api *api = &self->api;
    const struct ek_contract *contract = self->contract;
    handle signature = NULL, tensor = NULL, wants = NULL;
    size_t inputs = 0, outputs = 0;
    int status = api->get_signature(self->model, 0, &signature);
    if (status != 0 || api->num_inputs(signature, &inputs) != 0 || api->num_outputs(signature, &outputs) != 0) {
        return refused("read the model's signature", status);
    }
    if (inputs != contract->input_count || outputs != contract->output_count) {
        return ek_fail(EK_REFUSED, "The file has %zu inputs and %zu outputs, the bundle says %zu and %zu.", inputs,
                       outputs, contract->input_count, contract->output_count);
    }
    for (size_t i = 0; i < inputs + outputs; i++) {
        const int is_input = i < inputs;
        const size_t k = is_input ? i : i - inputs;
        status = is_input ? api->input_tensor(signature, k, &tensor) : api->output_tensor(signature, k, &tensor);
        if (status == 0) {
            status = is_input ? api->input_requirements(self->compiled, 0, k, &wants)
                              : api->output_requirements(self->compiled, 0, k, &wants);
        }
        if (status != 0) {
            return refused("describe its tensors", status);
        }
        status = make_buffer(self, tensor, wants, is_input ? &contract->inputs[k] : &contract->outputs[k],
                             is_input ? &self->inputs[k] : &self->outputs[k]);
        if (status != EK_OK) {
            return status;
        }
    }
    return EK_OK;
}

static void close_model(void *made)
{
    struct litert *self = made;
    const struct api *api = &self->api;
    for (size_t i = 0; i < EK_MAX_TENSORS; i++) {
        if (self->inputs[i]) {
            api->destroy_buffer(self->inputs[i]);
        }
        if (self->outputs[i]) {
            api->destroy_buffer(self->outputs[i]);
        }
    }
    if (self->compiled) {
        api->destroy_compiled(self->compiled);
    }
    if (self->options) {
        api->destroy_options(self->options);
    }
    if (self->model) {
        api->destroy_model(self->model);
    }
    if (self->environment) {
        api->destroy_environment(self->environment);
    }
    free(self);
}

static int open_model(const struct ek_load *load, void **made)
{
    struct litert *self = calloc(1, sizeof *self);
    if (!self) {
        return ek_fail(EK_NO_MEMORY, "There is no memory left.");
    }
    self->contract = load->contract;
    int status = load_library(self, load->runtime);
    if (status == EK_OK) {
        status = compile(self, load);
    }
    if (status == EK_OK) {
        status = make_buffers(self);
    }
    if (status != EK_OK) {
        close_model(self);
        return status;
    }
    *made = self;
    return EK_OK;
}

static int copy_in(struct litert *self, size_t k, const void *from)
{
    void *address = NULL;
    int status = self->api.lock(self->inputs[k], &address, WRITE);
    if (status == 0) {
        memcpy(address, from, self->contract->inputs[k].bytes);
        status = self->api.unlock(self->inputs[k]);
    }
    return status;
}

static int copy_out(struct litert *self, size_t k, void *to)
{
    void *address = NULL;
    int status = self->api.lock(self->outputs[k], &address, READ);
    if (status == 0) {
        memcpy(to, address, self->contract->outputs[k].bytes);
        status = self->api.unlock(self->outputs[k]);
    }
    return status;
}

static int run_model(void *made, const void *const *inputs, void *const *outputs)
{
    struct litert *self = made;
    const struct ek_contract *contract = self->contract;
    int status = 0;
    for (size_t k = 0; status == 0 && k < contract->input_count; k++) {
        status = copy_in(self, k, inputs[k]);
    }
    if (status == 0) {
        status = self->api.run(self->compiled, 0, contract->input_count, self->inputs, contract->output_count,
                               self->outputs);
    }
    for (size_t k = 0; status == 0 && k < contract->output_count; k++) {
        status = copy_out(self, k, outputs[k]);
    }
    return status == 0 ? EK_OK : refused("run the model", status);
}

const struct ek_engine ek_litert = {"litert", open_model, run_model, close_model};
