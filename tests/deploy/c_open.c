/* Keeps the C API's promises about open sizes and entry points, on the library of open_models.py. */
#define _GNU_SOURCE
#include "c_open.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>

static void description(void)
{
    CHECK(model->abi == 2 && LUTHIER_OPEN_SIZE_COUNT == 2 && model->size_count == 2);
    const luthier_size *batch = &model->sizes[0], *tokens = &model->sizes[1];
    CHECK(strcmp(batch->name, "batch") == 0 && batch->exact_count == 2 && batch->exact[1] == 2);
    CHECK(strcmp(tokens->name, "tokens") == 0 && tokens->exact == NULL);
    CHECK(tokens->least == 0 && tokens->most == 12);
    CHECK(model->inputs[0].shape[1] == 12 && model->inputs[0].bytes == 2 * 12 * COLUMNS * 4);
    CHECK(strcmp(model->inputs[0].dims[1], "tokens") == 0);
    CHECK(strcmp(model->inputs[0].dims[2], "11") == 0);
    CHECK(strcmp(model->inputs[1].dims[0], "tokens+1") == 0);
    CHECK(model->step_count == 4 && strcmp(model->step_names[2], "scale") == 0);
}

static void identity(void)
{
    CHECK(strlen(model->luthier) >= 5 && strcmp(model->level, "x86-64-v2") == 0);
    CHECK(strcmp(model->accuracy, "balanced") == 0 || strcmp(model->accuracy, "standard") == 0 ||
          strcmp(model->accuracy, "strict") == 0);
    CHECK(model->version_count >= 3);
    int found = 0;
    for (size_t i = 0; i < model->version_count; i++)
        found += strncmp(model->versions[i], "tvm ", 4) == 0;
    CHECK(found == 1);
#ifdef LINKED
    CHECK(strncmp(model->model_sha256, "abab", 4) == 0 && strlen(model->model_sha256) == 64);
#else
    CHECK(model->model_sha256 == NULL);
#endif
}

static void entries(void)
{
    CHECK(model == luthier_open_prefill() && strcmp(model->entry, "prefill") == 0);
    const luthier_model *decode = luthier_open_decode();
    CHECK(decode != model && decode->entry_count == 2 && decode->entries == model->entries);
    CHECK(model->entries[0] == model && model->entries[1] == decode);
    CHECK(luthier_find_entry(model, "decode") == decode);
    CHECK(luthier_find_entry(decode, "prefill") == model);
    const char *none[] = {"", "decod", "decoder", "Decode", NULL};
    for (int i = 0; i < 5; i++)
        CHECK(luthier_find_entry(model, none[i]) == NULL);
    CHECK(luthier_find_entry(NULL, "decode") == NULL);
    CHECK(decode->arena_bytes == model->arena_bytes && decode->weight_bytes == 44);
}

static void the_largest_sizes_at_first(void)
{
    luthier_instance *instance = make(model);
    int64_t sizes[2] = {0};
    expect(luthier_get_sizes(instance, sizes, 2, &error), LUTHIER_OK, "");
    CHECK(sizes[0] == 2 && sizes[1] == 12);
    run_prefill(instance, 2, 12, 0);
    luthier_destroy(instance);
}

static void all_sizes(void)
{
    luthier_instance *instance = make(model);
    for (int round = 0; round < 2; round++)
        for (int64_t batch = 1; batch <= 2; batch++)
            for (int64_t tokens = 0; tokens <= 12; tokens++) {
                set_prefill(instance, batch, tokens);
                run_prefill(instance, batch, tokens, (size_t)(tokens % 3) * 4);
                int64_t shape[3];
                size_t bytes;
                expect(luthier_output_shape(instance, 0, shape, 3, &bytes, &error), LUTHIER_OK, "");
                CHECK(shape[0] == batch && shape[1] == tokens && shape[2] == COLUMNS);
                CHECK(bytes == (size_t)(batch * tokens) * COLUMNS * 4);
                expect(luthier_input_shape(instance, 1, shape, 1, NULL, &error), LUTHIER_OK, "");
                CHECK(shape[0] == tokens + 1);
            }
    luthier_destroy(instance);
}

static void each_variant_has_its_steps(void)
{
    luthier_instance *instance = make(model);
    struct prefill p = make_prefill(1, 4, 0);
    double seconds[4];
    set_prefill(instance, 1, 4);
    expect(luthier_profile(instance, p.in, 2, p.out, 2, seconds, &error), LUTHIER_OK, "");
    CHECK(seconds[0] > 0 && seconds[1] > 0 && seconds[2] == 0 && seconds[3] == 0);
    check_prefill(&p);
    free(p.memory);
    p = make_prefill(2, 4, 0);
    set_prefill(instance, 2, 4);
    expect(luthier_profile(instance, p.in, 2, p.out, 2, seconds, &error), LUTHIER_OK, "");
    CHECK(seconds[0] == 0 && seconds[1] == 0 && seconds[2] > 0 && seconds[3] > 0);
    check_prefill(&p);
    free(p.memory);
    luthier_destroy(instance);
}

/* The instance is as it was: 2 x 7. */
static void unchanged(luthier_instance *instance)
{
    int64_t sizes[2];
    CHECK(luthier_get_sizes(instance, sizes, 2, NULL) == LUTHIER_OK);
    CHECK(sizes[0] == 2 && sizes[1] == 7);
    run_prefill(instance, 2, 7, 0);
}

static void hostile_sizes(void)
{
    luthier_instance *instance = make(model);
    set_prefill(instance, 2, 7);
    const int64_t tokens[] = {-1, 13, INT64_MIN, INT64_MAX, (int64_t)1 << 32, -((int64_t)1 << 32)};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        int64_t sizes[2] = {1, tokens[i]};
        expect(luthier_set_sizes(instance, sizes, 2, &error), LUTHIER_BAD_SIZE, "'tokens' is ");
        expect(luthier_set_sizes(instance, sizes, 2, &error), LUTHIER_BAD_SIZE, "not in 0..12");
        CHECK(luthier_set_sizes(instance, sizes, 2, NULL) == LUTHIER_BAD_SIZE);
        unchanged(instance);
    }
    for (int64_t batch = -1; batch <= 4; batch++) {
        int64_t sizes[2] = {batch, 7};
        if (batch != 1 && batch != 2)
            expect(luthier_set_sizes(instance, sizes, 2, &error), LUTHIER_BAD_SIZE,
                   "not one of 1, 2");
    }
    int64_t sizes[3] = {1, 7, 7};
    for (size_t count = 0; count < 4; count++)
        if (count != 2)
            expect(luthier_set_sizes(instance, sizes, count, &error), LUTHIER_WRONG_COUNT,
                   "'open' has 2");
    expect(luthier_set_sizes(instance, NULL, 2, &error), LUTHIER_NULL_POINTER, "sizes");
    expect(luthier_set_sizes(NULL, sizes, 2, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_get_sizes(instance, sizes, 3, &error), LUTHIER_WRONG_COUNT, "has 2");
    expect(luthier_get_sizes(instance, NULL, 2, &error), LUTHIER_NULL_POINTER, "sizes");
    expect(luthier_get_sizes(NULL, sizes, 2, &error), LUTHIER_NULL_POINTER, "instance");
    unchanged(instance);
    luthier_destroy(instance);
}

static luthier_status set_shapes(luthier_instance *instance, int64_t batch, int64_t tokens,
                                 int64_t columns, int64_t mask)
{
    const int64_t x[] = {batch, tokens, columns};
    const luthier_shape shapes[] = {{x, 3}, {&mask, 1}};
    return luthier_set_shapes(instance, shapes, 2, &error);
}

static void shapes(void)
{
    luthier_instance *instance = make(model);
    for (int64_t batch = 1; batch <= 2; batch++)
        for (int64_t tokens = 0; tokens <= 12; tokens++) {
            expect(set_shapes(instance, batch, tokens, COLUMNS, tokens + 1), LUTHIER_OK, "");
            run_prefill(instance, batch, tokens, 0);
        }
    luthier_instance *decode = make(luthier_open_decode());
    for (int64_t past = 0; past <= 16; past++) {
        const luthier_shape both[] = {{(int64_t[]){past, COLUMNS}, 2}, {(int64_t[]){1, COLUMNS}, 2}};
        expect(luthier_set_shapes(decode, both, 2, &error), LUTHIER_OK, "");
        run_decode(decode, past);
    }
    luthier_destroy(instance);
    luthier_destroy(decode);
}

static void hostile_shapes(void)
{
    luthier_instance *instance = make(model);
    set_prefill(instance, 2, 7);
    expect(set_shapes(instance, 2, 3, 11, 5), LUTHIER_BAD_SHAPE,
           "input 1 ('mask') is 5 along dimension 0, not 4 (tokens+1)");
    expect(set_shapes(instance, 2, 3, 12, 4), LUTHIER_BAD_SHAPE,
           "input 0 ('x') is 12 along dimension 2, not 11");
    expect(set_shapes(instance, 2, 13, 11, 14), LUTHIER_BAD_SIZE, "'tokens' is 13, not in 0..12");
    expect(set_shapes(instance, 3, 3, 11, 4), LUTHIER_BAD_SIZE, "'batch' is 3, not one of 1, 2");
    const int64_t bad[] = {-1, INT64_MIN, INT64_MAX, (int64_t)1 << 62};
    for (size_t i = 0; i < 4; i++) {
        expect(set_shapes(instance, bad[i], 3, 11, 4), LUTHIER_BAD_SHAPE, "input 0 ('x') is ");
        expect(set_shapes(instance, 2, bad[i], 11, 4), LUTHIER_BAD_SHAPE, "along dimension 1");
        expect(set_shapes(instance, 2, 3, bad[i], 4), LUTHIER_BAD_SHAPE, "along dimension 2");
        expect(set_shapes(instance, 2, 3, 11, bad[i]), LUTHIER_BAD_SHAPE, "input 1 ('mask')");
    }
    expect(set_shapes(instance, 2, (int64_t)1 << 61, 11, 4), LUTHIER_BAD_SIZE, "'tokens'");
    expect(set_shapes(instance, 2, 3, 11, 0), LUTHIER_BAD_SHAPE, "is 0 along dimension 0, not 4");

    const int64_t numbers[] = {2, 3, 11, 1};
    luthier_shape given[] = {{numbers, 3}, {numbers + 1, 1}, {numbers, 1}};
    expect(luthier_set_shapes(instance, given, 1, &error), LUTHIER_WRONG_COUNT, "has 2 inputs");
    expect(luthier_set_shapes(instance, given, 3, &error), LUTHIER_WRONG_COUNT, "has 2 inputs");
    expect(luthier_set_shapes(instance, NULL, 2, &error), LUTHIER_NULL_POINTER, "shapes");
    expect(luthier_set_shapes(NULL, given, 2, &error), LUTHIER_NULL_POINTER, "instance");
    const int32_t ranks[] = {-1, 0, 2, 4, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 6; i++) {
        given[0].rank = ranks[i];
        expect(luthier_set_shapes(instance, given, 2, &error), LUTHIER_BAD_SHAPE,
               "dimensions, not 3");
    }
    given[0] = (luthier_shape){NULL, 3};
    expect(luthier_set_shapes(instance, given, 2, &error), LUTHIER_NULL_POINTER, "input 0 ('x')");

    int64_t shape[4];
    expect(luthier_input_shape(instance, 2, shape, 3, NULL, &error), LUTHIER_WRONG_COUNT, "has 2");
    expect(luthier_output_shape(instance, SIZE_MAX, shape, 3, NULL, &error), LUTHIER_WRONG_COUNT,
           "has 2");
    for (int32_t rank = -1; rank <= 4; rank++)
        if (rank != 3)
            expect(luthier_output_shape(instance, 0, shape, rank, NULL, &error), LUTHIER_BAD_SHAPE,
                   "output 0 has 3 dimensions");
    expect(luthier_input_shape(NULL, 0, shape, 3, NULL, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_output_shape(NULL, 0, shape, 3, NULL, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_output_shape(instance, 0, NULL, 0, NULL, &error), LUTHIER_OK, "");
    unchanged(instance);
    luthier_destroy(instance);
}

static void runs_check_the_sizes_of_the_moment(void)
{
    luthier_instance *instance = make(model);
    set_prefill(instance, 2, 7);
    struct prefill p = make_prefill(2, 8, 0);
    expect(luthier_run(instance, p.in, 2, p.out, 2, &error), LUTHIER_WRONG_SIZE,
           "input 0 ('x') has 704 bytes, not 616");
    p.in[0].bytes = 616;
    expect(luthier_run(instance, p.in, 2, p.out, 2, &error), LUTHIER_WRONG_SIZE, "input 1 ('mask')");
    p.in[1].bytes = 32;
    p.out[0].bytes = 615;
    expect(luthier_run(instance, p.in, 2, p.out, 2, &error), LUTHIER_TOO_SMALL, "of the 616");
    free(p.memory);
    set_prefill(instance, 1, 0);
    luthier_input nothing[] = {{NULL, 0}, {&(float){5}, 4}};
    float mask = 0;
    luthier_output out[] = {{NULL, 0}, {&mask, 4}};
    expect(luthier_run(instance, nothing, 2, out, 2, &error), LUTHIER_OK, "");
    CHECK(mask == 5);
    luthier_destroy(instance);
}

static void beside_one_another(void)
{
    luthier_pool *pool;
    expect(luthier_pool_create(model, 3, &pool, &error), LUTHIER_OK, "");
    luthier_options options = {LUTHIER_ABI, 0, pool};
    for (int first = 0; first < 6; first++) {
        luthier_instance *all[3];
        const luthier_model *models[] = {model, luthier_open_decode(), model};
        expect(luthier_create(model, first % 2 ? &options : NULL, &all[0], &error), LUTHIER_OK, "");
        for (int i = 1; i < 3; i++)
            expect(luthier_create_beside(models[i], all[i - 1], &all[i], &error), LUTHIER_OK, "");
        set_prefill(all[0], 2, 3);
        set_prefill(all[2], 1, 5);
        run_prefill(all[0], 2, 3, 0);
        run_decode(all[1], 9);
        run_prefill(all[2], 1, 5, 4);
        luthier_destroy(all[first % 3]);
        for (int i = 1; i < 3; i++) {
            luthier_instance *left = all[(first + i) % 3];
            if (left == all[1])
                run_decode(left, 16);
            else
                run_prefill(left, left == all[0] ? 2 : 1, left == all[0] ? 3 : 5, 0);
            luthier_destroy(left);
        }
    }
    luthier_pool_destroy(model, pool);
}

static void errors_of_create_beside(void)
{
    luthier_instance *instance = make(model), *made = instance;
    const luthier_model *decode = luthier_open_decode();
    expect(luthier_create_beside(NULL, instance, &made, &error), LUTHIER_NULL_POINTER, "model");
    expect(luthier_create_beside(decode, NULL, &made, &error), LUTHIER_NULL_POINTER, "instance");
    CHECK(made == NULL);
    expect(luthier_create_beside(decode, instance, NULL, &error), LUTHIER_NULL_POINTER, "instance");
    luthier_model other = *decode;
    other.abi = 1;
    expect(luthier_create_beside(&other, instance, &made, &error), LUTHIER_WRONG_ABI, "version");
    other.abi = LUTHIER_ABI;
    const luthier_model *entries_of_another[] = {&other};
    other.entries = entries_of_another;
    expect(luthier_create_beside(&other, instance, &made, &error), LUTHIER_WRONG_LIBRARY, "open");
    luthier_destroy(instance);
}

static void *change_and_run(void *instance)
{
    for (int i = 0; i < 300; i++) {
        int64_t tokens = i % 13;
        set_prefill(instance, 1 + i % 2, tokens);
        run_prefill(instance, 1 + i % 2, tokens, 0);
    }
    return NULL;
}

static void *run_decode_often(void *instance)
{
    for (int i = 0; i < 300; i++)
        run_decode(instance, i % 17);
    return NULL;
}

static void threads_beside_one_another(void)
{
    luthier_instance *a = make(model), *b, *c;
    expect(luthier_create_beside(model, a, &b, &error), LUTHIER_OK, "");
    expect(luthier_create_beside(luthier_open_decode(), a, &c, &error), LUTHIER_OK, "");
    pthread_t threads[3];
    CHECK(pthread_create(&threads[0], NULL, change_and_run, a) == 0);
    CHECK(pthread_create(&threads[1], NULL, change_and_run, b) == 0);
    CHECK(pthread_create(&threads[2], NULL, run_decode_often, c) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    luthier_destroy(a);
    luthier_destroy(b);
    luthier_destroy(c);
}

static void *change_everything(void *instance)
{
    for (int i = 0; i < 20; i++) {
        expect(set_shapes(instance, 1 + i % 2, i % 13, COLUMNS, i % 13 + 1), LUTHIER_OK, "");
        run_prefill(instance, 1 + i % 2, i % 13, 4);
        expect(set_shapes(instance, 1, i % 13, COLUMNS, 20), LUTHIER_BAD_SHAPE, "mask");
        set_prefill(instance, 2, 12 - i % 13);
    }
    return NULL;
}

static void changes_on_a_stack_of_16_kib(void)
{
    luthier_instance *instance = make(model);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 16384) == 0);
    CHECK(pthread_create(&thread, &attributes, change_everything, instance) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    luthier_destroy(instance);
}

struct changing {
    luthier_instance *instance;
    atomic_bool stop;
};

static void *only_change(void *data)
{
    struct changing *changing = data;
    for (int64_t i = 0; !atomic_load(&changing->stop); i++) {
        int64_t sizes[2] = {1 + i % 2, i % 13};
        CHECK(luthier_set_sizes(changing->instance, sizes, 2, NULL) == LUTHIER_OK);
    }
    return NULL;
}

/* Whatever the moment, a child has sizes that belong together. */
static void a_child_while_sizes_change(void)
{
    struct changing changing = {make(model), false};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, only_change, &changing) == 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            int64_t sizes[2];
            CHECK(luthier_get_sizes(changing.instance, sizes, 2, NULL) == LUTHIER_OK);
            run_prefill(changing.instance, sizes[0], sizes[1], 0);
            set_prefill(changing.instance, 2, 11);
            run_prefill(changing.instance, 2, 11, 0);
            luthier_destroy(changing.instance);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    atomic_store(&changing.stop, true);
    pthread_join(thread, NULL);
    luthier_destroy(changing.instance);
}

#ifdef COUNT_ALLOCATIONS
static atomic_int allocations;
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return atomic_fetch_add(&allocations, 1), __libc_malloc(n); }
void *calloc(size_t n, size_t m) { return atomic_fetch_add(&allocations, 1), __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return atomic_fetch_add(&allocations, 1), __libc_realloc(p, n); }

static void no_allocation_in_a_change(void)
{
    luthier_instance *instance = make(model);
    int before = atomic_load(&allocations);
    CHECK(before > 0); /* the counters count */
    for (int64_t i = 0; i < 100; i++) {
        set_prefill(instance, 1 + i % 2, i % 13);
        expect(set_shapes(instance, 1, i % 13, 11, i % 13 + 1), LUTHIER_OK, "");
        expect(set_shapes(instance, 1, i % 13, 11, 20), LUTHIER_BAD_SHAPE, "mask");
    }
    CHECK(atomic_load(&allocations) == before);
    luthier_destroy(instance);
}
#endif

static const struct promise promises[] = {
#define PROMISE(name) {#name, name}
    PROMISE(description),
    PROMISE(identity),
    PROMISE(entries),
    PROMISE(the_largest_sizes_at_first),
    PROMISE(all_sizes),
    PROMISE(each_variant_has_its_steps),
    PROMISE(hostile_sizes),
    PROMISE(shapes),
    PROMISE(hostile_shapes),
    PROMISE(runs_check_the_sizes_of_the_moment),
    PROMISE(beside_one_another),
    PROMISE(errors_of_create_beside),
    PROMISE(threads_beside_one_another),
    PROMISE(changes_on_a_stack_of_16_kib),
    PROMISE(a_child_while_sizes_change),
#ifdef COUNT_ALLOCATIONS
    PROMISE(no_allocation_in_a_change),
#endif
};

int main(int argc, char **argv)
{
    model = luthier_open();
    return keep(promises, sizeof promises / sizeof *promises, argc, argv);
}
