// The C++ API's promises about open sizes and entry points, on the library of open_models.py.
#include "luthier.hpp"

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

static void check_prefill(luthier::Instance &instance, std::int64_t batch, std::int64_t tokens)
{
    luthier::Shape shape{batch, tokens, 11};
    CHECK(instance.input_shape(0) == shape && instance.output_shape(0) == shape);
    CHECK(instance.input_shape(1) == luthier::Shape{tokens + 1});
    std::vector<float> x(luthier::elements(shape), 2), y(x.size());
    std::vector<float> mask(static_cast<std::size_t>(tokens) + 1, 3), same(mask.size());
    instance.run({x, mask}, {y, same});
    for (std::size_t i = 0; i < y.size(); i++)
        CHECK(y[i] == -2 * static_cast<float>(i % 11 + 1));
    CHECK(same == mask);
}

int main()
{
    luthier::Model model(luthier_open());
    CHECK(model.entry() == "prefill");
    CHECK((model.entries() == std::vector<std::string>{"prefill", "decode"}));
    CHECK(!model.find_entry("encode"));
    luthier::Model decode = *model.find_entry("decode");
    CHECK(decode.get() == luthier_open_decode());
    CHECK(model.level() == "x86-64-v2" && !model.accuracy().empty() && !model.luthier().empty());
    CHECK(model.model_sha256().size() == 64 && model.versions().size() >= 3);
    CHECK((model.inputs()[0].dims == std::vector<std::string>{"batch", "tokens", "11"}));
    std::vector<luthier::Size> sizes = model.sizes();
    CHECK(sizes.size() == 2 && sizes[0].name == "batch" && sizes[1].most == 12);
    CHECK((sizes[0].exact == luthier::Shape{1, 2}) && sizes[1].exact.empty());

    luthier::Instance instance(model);
    check_prefill(instance, 2, 12);
    instance.set_sizes({1, 4});
    check_prefill(instance, 1, 4);
    instance.set_sizes(std::vector<std::int64_t>{2, 0});
    check_prefill(instance, 2, 0);
    instance.set_shapes({{2, 5, 11}, {6}});
    check_prefill(instance, 2, 5);
    CHECK((instance.sizes() == luthier::Shape{2, 5}));

    CHECK(instance.try_set_sizes({3, 1}).status() == LUTHIER_BAD_SIZE);
    CHECK(instance.try_set_sizes({1}).status() == LUTHIER_WRONG_COUNT);
    CHECK(instance.try_set_shapes({{2, 5, 11}, {5}}).status() == LUTHIER_BAD_SHAPE);
    CHECK(instance.try_set_shapes({{2, 5}, {6}}).status() == LUTHIER_BAD_SHAPE);
    CHECK(instance.try_set_shapes({}).status() == LUTHIER_WRONG_COUNT);
    CHECK(instance.try_set_shapes(std::vector<luthier::Shape>(40)).status() == LUTHIER_WRONG_COUNT);
    luthier::Shape shape;
    CHECK(instance.try_output_shape(2, shape).status() == LUTHIER_WRONG_COUNT && shape.empty());
    try {
        instance.set_shapes({{2, 13, 11}, {14}});
        CHECK(false);
    } catch (const luthier::Error &error) {
        CHECK(error.status() == LUTHIER_BAD_SIZE);
        CHECK(std::string(error.what()).find("'tokens' is 13, not in 0..12") != std::string::npos);
    }
    check_prefill(instance, 2, 5);

    std::optional<luthier::Instance> first(std::move(instance));
    luthier::Instance second(decode, *first);
    std::optional<luthier::Instance> third;
    CHECK(luthier::Instance::try_create(model, second, third));
    CHECK(luthier::Instance::try_create(decode, instance, third).status() == LUTHIER_NULL_POINTER);
    CHECK(instance.try_set_sizes({1, 1}).status() == LUTHIER_NULL_POINTER); // it was moved
    CHECK(instance.try_set_shapes({{1}}).status() == LUTHIER_NULL_POINTER);
    CHECK(instance.try_sizes(shape).status() == LUTHIER_NULL_POINTER);
    CHECK(instance.try_input_shape(0, shape).status() == LUTHIER_NULL_POINTER);
    first.reset();
    second.set_sizes({1});
    std::vector<float> cache(11, 1), x(11, 2), whole(22);
    second.run({cache, x}, {whole});
    CHECK(whole[0] == -1 && whole[21] == -2);
    check_prefill(*third, 2, 12);
}
