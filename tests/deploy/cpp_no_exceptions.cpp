// luthier.hpp where exceptions and RTTI are off: every failure is a Result.
#include <luthier.hpp>

#include "small.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

constexpr std::size_t size = 37 * 11;

int main()
{
    std::optional<luthier::Model> model;
    CHECK(luthier::Model::try_create(nullptr, model).status() == LUTHIER_NULL_POINTER && !model);
    CHECK(luthier::Model::try_create(luthier_small(), model) && model->name() == "small");

    std::optional<luthier::Pool> pool;
    CHECK(luthier::Pool::try_create(*model, 0, pool).status() == LUTHIER_BAD_THREADS && !pool);
    CHECK(luthier::Pool::try_create(*model, 2, pool) && pool->get()->threads == 2);

    std::optional<luthier::Instance> instance, shared;
    luthier::Result failed = luthier::Instance::try_create(*model, 5000, instance);
    CHECK(!failed && failed.status() == LUTHIER_BAD_THREADS && !instance);
    CHECK(std::strstr(failed.message(), "5000") != nullptr);
    CHECK(luthier::Instance::try_create(*model, 1, instance) && instance);
    CHECK(luthier::Instance::try_create(*model, *pool, shared) && shared);

    std::vector<float> x(size, 1.0f), scaled(size), minus(size), again(size), flat(size), y(size);
    std::vector<float> weights(11), few(3);
    CHECK(instance->try_run({x, x}, {scaled, minus, again, flat, y, weights}));
    CHECK(scaled[10] == 22 && flat[1] == -16 && y[5] == 1);
    CHECK(shared->try_run({x, few}, {scaled, minus, again, flat, y, weights}).status() ==
          LUTHIER_WRONG_SIZE);

    std::vector<luthier::In> in{x, x};
    std::vector<luthier::Out> out{scaled, minus, again, flat, y, weights};
    std::vector<double> seconds;
    CHECK(shared->try_profile(in, out, seconds) && seconds.size() == 4);
    CHECK(instance->try_profile({}, out, seconds).status() == LUTHIER_WRONG_COUNT);
    std::vector<luthier::In> many(40, in[0]);
    CHECK(instance->try_run(many, out).status() == LUTHIER_WRONG_COUNT);
    return 0;
}
