// luthier.hpp with two models linked into one program: small (w = 2 (j + 1)), other (w = 3 (j + 1)).
#include "small.h"

#include "other.h"

#include <luthier.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <thread>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

constexpr std::size_t rows = 37, columns = 11, size = rows * columns;

struct Outputs {
    std::vector<float> scaled = std::vector<float>(size), minus = scaled, again = scaled,
                       flat = scaled, y = scaled;
    std::array<float, columns> weights{};

    void check(float weight) const
    {
        for (std::size_t j = 0; j < size; j++) {
            float w = weight * static_cast<float>(j % columns + 1);
            CHECK(scaled[j] == w && minus[j] == w * w && again[j] == w * w && flat[j] == -w * w);
            CHECK(y[j] == 5);
        }
        CHECK(weights[10] == 11 * weight);
    }
};

static const std::vector<float> ones(size, 1.0f), fives(size, 5.0f);

static void run(luthier::Instance &instance, float weight)
{
    Outputs o;
    instance.run({ones, fives}, {o.scaled, o.minus, o.again, o.flat, o.y, o.weights});
    o.check(weight);
}

template <typename Call> static luthier_status thrown(Call call)
{
    try {
        call();
    } catch (const luthier::Error &error) {
        CHECK(std::string(error.what()).size() > 5);
        return error.status();
    }
    return LUTHIER_OK;
}

static void describes_models()
{
    luthier::Model model(luthier_small());
    CHECK(model.name() == "small" && model.inputs().size() == 2 && model.outputs().size() == 6);
    luthier::Tensor x = model.inputs()[0];
    CHECK(x.name == "x" && x.shape == (std::vector<std::int64_t>{rows, columns}));
    CHECK(x.dtype == LUTHIER_FLOAT32 && x.bytes == size * 4 && x.size() == size);
    CHECK(model.threads() == 2 && model.arena_bytes() > 0 && model.scratch_bytes() == 44);
    CHECK(model.weight_bytes() == 64 + 44 && model.features().back() == "popcnt");
    CHECK(model.step_names() ==
          (std::vector<std::string>{"first", "second", "third", "fourth"}));
    CHECK(thrown([] { luthier::Model none(nullptr); }) == LUTHIER_NULL_POINTER);
}

static void runs_two_models_at_once()
{
    luthier::Model small(luthier_small()), other(luthier_other());
    luthier::Pool pool(small, 2);
    luthier::Instance a(small, pool), b(other, pool), c(other, 1);
    auto often = [](luthier::Instance &instance, float weight) {
        for (int i = 0; i < 100; i++)
            run(instance, weight);
    };
    std::thread first(often, std::ref(a), 2.0f), second(often, std::ref(b), 3.0f);
    often(c, 3.0f);
    first.join();
    second.join();
}

static void moves()
{
    luthier::Model model(luthier_small());
    luthier::Instance a(model, 1), b(std::move(a));
    run(b, 2);
    CHECK(thrown([&] { run(a, 2); }) == LUTHIER_NULL_POINTER);
    a = std::move(b);
    run(a, 2);
    luthier::Pool p(model, 2), q(std::move(p));
    CHECK(p.get() == nullptr && q.get()->threads == 2);
}

static void reports_errors()
{
    luthier::Model model(luthier_small());
    luthier::Instance instance(model, 1);
    Outputs o;
    std::vector<double> doubles(size);
    std::vector<float> few(3);
    CHECK(thrown([&] { instance.run({ones}, {}); }) == LUTHIER_WRONG_COUNT);
    luthier::Result r = instance.try_run({ones, few}, {o.scaled, o.minus, o.again, o.flat, o.y,
                                                       o.weights});
    CHECK(!r && r.status() == LUTHIER_WRONG_SIZE && std::string(r.message()).find("'y'") < 99);
    r = instance.try_run({doubles, fives},
                         {o.scaled, o.minus, o.again, o.flat, o.y, o.weights});
    CHECK(r.status() == LUTHIER_WRONG_TYPE);
    r = instance.try_run({ones, fives}, {o.scaled, few, o.again, o.flat, o.y, o.weights});
    CHECK(r.status() == LUTHIER_TOO_SMALL);
    CHECK(thrown([&] { luthier::Instance i(model, 5000); }) == LUTHIER_BAD_THREADS);
    CHECK(thrown([&] { luthier::Pool p(model, 0); }) == LUTHIER_BAD_THREADS);

    std::optional<luthier::Instance> made;
    CHECK(!luthier::Instance::try_create(nullptr, {LUTHIER_ABI, 1, nullptr}, made) && !made);
    CHECK(luthier::Instance::try_create(model.get(), {LUTHIER_ABI, 1, nullptr}, made) && made);
    run(*made, 2);
}

static void profiles()
{
    luthier::Model model(luthier_small());
    luthier::Instance instance(model, 2), taken(std::move(instance));
    Outputs o;
    std::vector<luthier::In> in{ones, fives};
    std::vector<luthier::Out> out{o.scaled, o.minus, o.again, o.flat, o.y, o.weights};
    std::vector<double> seconds = taken.profile(in, out);
    o.check(2);
    CHECK(seconds.size() == 4);
    for (double s : seconds)
        CHECK(s >= 0 && s < 10);
    CHECK(thrown([&] { taken.profile({}, out); }) == LUTHIER_WRONG_COUNT);
    CHECK(thrown([&] { instance.profile(in, out); }) == LUTHIER_NULL_POINTER);
}

// Lists made at run time, pointers with counts, untyped bytes; more tensors than fit on the stack.
static void takes_many_kinds_of_buffers()
{
    luthier::Model model(luthier_small());
    luthier::Instance instance(model, 1);
    Outputs o;
    std::vector<luthier::In> in{{ones.data(), size},
                                {static_cast<const void *>(fives.data()), size * 4}};
    std::vector<luthier::Out> out{o.scaled, o.minus, {o.again.data(), size}, o.flat, o.y,
                                  {static_cast<void *>(o.weights.data()), columns * 4}};
    instance.run(in, out);
    o.check(2);
    std::vector<luthier::In> many(40, in[0]);
    CHECK(instance.try_run(many, out).status() == LUTHIER_WRONG_COUNT);
    static_assert(luthier::detail::dtype<std::int64_t>() == LUTHIER_INT64);
    static_assert(luthier::detail::dtype<std::uint8_t>() == LUTHIER_UINT8);
    static_assert(luthier::detail::dtype<bool>() == LUTHIER_BOOL);
}

int main()
{
    describes_models();
    runs_two_models_at_once();
    moves();
    reports_errors();
    profiles();
    takes_many_kinds_of_buffers();
    return 0;
}
