// Runs a model on raw input files, or on numbers of a fixed pattern, and prints the largest values
// of each output and the time that a run takes.
//
//     classify [INPUT ...]      one file for each input: its elements, row-major, in memory's form
#include <luthier.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using Bytes = std::vector<unsigned char>;

static Bytes read_file(const std::string &path, const luthier::Tensor &tensor)
{
    std::ifstream file(path, std::ios::binary);
    Bytes bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file)
        throw std::runtime_error("cannot read " + path);
    if (bytes.size() != tensor.bytes)
        throw std::runtime_error(path + " has " + std::to_string(bytes.size()) + " bytes, input '" +
                                 tensor.name + "' needs " + std::to_string(tensor.bytes));
    return bytes;
}

// Numbers between 0 and 1 for float32, zeros for other types.
static Bytes pattern(const luthier::Tensor &tensor)
{
    Bytes bytes(tensor.bytes);
    if (tensor.dtype == LUTHIER_FLOAT32) {
        for (std::size_t i = 0; i < tensor.size(); i++) {
            float value = static_cast<float>(i * 2654435761u % 1000u) / 1000.0f;
            std::memcpy(bytes.data() + 4 * i, &value, 4);
        }
    }
    return bytes;
}

static void print_top(const luthier::Tensor &tensor, const Bytes &bytes)
{
    std::printf("%s: %zu values", tensor.name.c_str(), tensor.size());
    if (tensor.dtype != LUTHIER_FLOAT32) {
        std::printf("\n");
        return;
    }
    std::vector<float> values(tensor.size());
    std::memcpy(values.data(), bytes.data(), bytes.size());
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::size_t top = std::min<std::size_t>(5, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
                      [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
    std::printf(", the largest:\n");
    for (std::size_t i = 0; i < top; i++)
        std::printf("  [%zu] %.6g\n", order[i], static_cast<double>(values[order[i]]));
}

static double median_ms(luthier::Instance &instance, const std::vector<luthier::In> &inputs,
                        const std::vector<luthier::Out> &outputs)
{
    using clock = std::chrono::steady_clock;
    std::vector<double> times(15);
    for (double &time : times) {
        auto start = clock::now();
        instance.run(inputs, outputs);
        time = std::chrono::duration<double, std::milli>(clock::now() - start).count();
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

static void classify(const std::vector<std::string> &files)
{
    luthier::Model model(LUTHIER_EXAMPLE_MODEL());
    luthier::Instance instance(model);

    std::vector<luthier::Tensor> takes = model.inputs(), gives = model.outputs();
    if (!files.empty() && files.size() != takes.size())
        throw std::runtime_error("the model has " + std::to_string(takes.size()) + " inputs");
    std::vector<Bytes> input_data, output_data;
    for (std::size_t i = 0; i < takes.size(); i++)
        input_data.push_back(files.empty() ? pattern(takes[i]) : read_file(files[i], takes[i]));
    for (const luthier::Tensor &tensor : gives)
        output_data.emplace_back(tensor.bytes);

    std::vector<luthier::In> inputs;
    std::vector<luthier::Out> outputs;
    for (Bytes &bytes : input_data)
        inputs.emplace_back(static_cast<const void *>(bytes.data()), bytes.size());
    for (Bytes &bytes : output_data)
        outputs.emplace_back(static_cast<void *>(bytes.data()), bytes.size());

    instance.run(inputs, outputs);
    for (std::size_t i = 0; i < gives.size(); i++)
        print_top(gives[i], output_data[i]);
    std::printf("%s: %.3f ms a run (median of 15)\n", model.name().c_str(),
                median_ms(instance, inputs, outputs));
}

int main(int argc, char **argv)
{
    try {
        classify(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const std::exception &error) {
        std::fprintf(stderr, "classify: %s\n", error.what());
        return 1;
    }
    return 0;
}
