/* A delegate with the two functions that libedgetpu.so.1 is loaded by, for machines without one.

   It takes over the reshapes of a network, which are copies, and leaves the rest to the interpreter. While the file
   named in EDGE_TPU_UNPLUGGED exists, it cannot be made, and what it runs fails: as if the device were pulled out.
   The structs are as much of TensorFlow Lite's C interface as is needed here, whose layout is kept stable. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, ERROR = 1, RESHAPE = 22 };

typedef struct { int size; int data[]; } Ints;
typedef struct { int type; void *data; Ints *dims; struct { float scale; int zero; } params; int allocation;
    size_t bytes; const void *mapped; const char *name; void *delegate; int handle; char stale, variable;
    struct { int type; void *params; } quantization; void *sparsity; const Ints *signature; } Tensor;
typedef struct { Ints *inputs, *outputs, *intermediates, *temporaries; void *user_data; } Node;
typedef struct Context Context;
typedef struct { void *(*init)(Context *, const char *, size_t); void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *); int (*invoke)(Context *, Node *); const char *(*profiling)(const Context *,
    const Node *); int32_t builtin_code; const char *custom_name; int version; void *spare[8]; } Registration;
typedef struct Delegate { void *data; int (*prepare)(Context *, struct Delegate *); void *copies[3]; int64_t flags;
    void *spare[4]; } Delegate;
struct Context { size_t tensors_size; int (*plan)(Context *, Ints **); Tensor *tensors; void *impl, *resize;
    void (*report)(Context *, const char *, ...); void *add;
    int (*node)(Context *, int, Node **, Registration **);
    int (*replace)(Context *, Registration, const Ints *, Delegate *); };
typedef struct { Delegate *delegate; Ints *nodes; } Params;
typedef struct { int count, from[64], to[64]; } Copies;

static int unplugged(void) {
    const char *path = getenv("EDGE_TPU_UNPLUGGED");
    return path && access(path, F_OK) == 0;
}

static void *init(Context *context, const char *buffer, size_t length) {
    const Params *params = (const Params *)buffer;
    Copies *copies = calloc(1, sizeof *copies);
    (void)length;
    for (int i = 0; i < params->nodes->size && i < 64; i++) {
        Node *node;
        Registration *registration;
        context->node(context, params->nodes->data[i], &node, &registration);
        copies->from[copies->count] = node->inputs->data[0];
        copies->to[copies->count++] = node->outputs->data[0];
    }
    return copies;
}

static void release(Context *context, void *copies) {
    (void)context;
    free(copies);
}

static int kernel_prepare(Context *context, Node *node) {
    (void)context, (void)node;
    return OK;
}

static int invoke(Context *context, Node *node) {
    const Copies *copies = node->user_data;
    if (unplugged()) {
        context->report(context, "the device is gone");
        return ERROR;
    }
    for (int i = 0; i < copies->count; i++) {
        Tensor *from = &context->tensors[copies->from[i]], *to = &context->tensors[copies->to[i]];
        memcpy(to->data, from->data, from->bytes);
    }
    return OK;
}

static int prepare(Context *context, Delegate *delegate) {
    Ints *plan, *taken;
    Registration kernel = {init, release, kernel_prepare, invoke, NULL, 0, "TestEdgeTpu", 1, {NULL}};
    if (context->plan(context, &plan) != OK) return ERROR;
    taken = calloc(1, sizeof *taken + plan->size * sizeof(int));
    for (int i = 0; i < plan->size; i++) {
        Node *node;
        Registration *registration;
        context->node(context, plan->data[i], &node, &registration);
        if (registration->builtin_code == RESHAPE) taken->data[taken->size++] = plan->data[i];
    }
    int status = taken->size ? context->replace(context, kernel, taken, delegate) : OK;
    free(taken);
    return status;
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    (void)keys, (void)values, (void)count;
    if (getenv("EDGE_TPU_CRASHES")) abort();
    if (unplugged()) {
        report("no device");
        return NULL;
    }
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->prepare = prepare;
    return delegate;
}

void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
