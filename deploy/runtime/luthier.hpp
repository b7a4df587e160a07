// RAII over the C API of model.h (C++17, header only).
//
//     luthier::Model model(luthier_<name>());
//     luthier::Instance instance(model);             // throws luthier::Error
//     std::vector<float> image(...), scores(...);
//     instance.run({image}, {scores});               // throws luthier::Error
//
//     luthier::Result r = instance.try_run({image}, {scores});   // does not
//     if (!r) std::cerr << r.message() << '\n';
//
// Where the model leaves sizes open, before a run:
//
//     instance.set_shapes({{1, 7, 768}, {7}});       // or set_sizes({7}); at first, the largest
//     std::vector<float> scores(luthier::elements(instance.output_shape(0)));
//
// Exceptions are thrown by these inline functions, on this side of the C API only. Whatever throws has
// a function that begins with try_ and gives a Result instead. Without exceptions (-fno-exceptions)
// these are all there is; RTTI is not needed.
#ifndef LUTHIER_HPP
#define LUTHIER_HPP

#include "model.h"

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define LUTHIER_HAS_EXCEPTIONS 1
#endif

#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace luthier {

// A status and what went wrong, empty after success.
class Result {
public:
    Result() noexcept : error_{} {}
    explicit Result(const luthier_error &error) noexcept : error_(error) {}

    explicit operator bool() const noexcept { return error_.status == LUTHIER_OK; }
    luthier_status status() const noexcept { return error_.status; }
    const char *message() const noexcept { return error_.message; }

private:
    luthier_error error_;
};

#ifdef LUTHIER_HAS_EXCEPTIONS
class Error : public std::exception {
public:
    explicit Error(const Result &result) noexcept : result_(result) {}

    const char *what() const noexcept override { return result_.message(); }
    luthier_status status() const noexcept { return result_.status(); }

private:
    Result result_;
};
#endif

namespace detail {

#ifdef LUTHIER_HAS_EXCEPTIONS
inline void check(const Result &result)
{
    if (!result)
        throw Error(result);
}
#endif

template <typename T> constexpr luthier_dtype dtype() noexcept
{
    using U = std::remove_cv_t<T>;
    if constexpr (std::is_same_v<U, bool>)
        return LUTHIER_BOOL;
    else if constexpr (std::is_same_v<U, float>)
        return LUTHIER_FLOAT32;
    else if constexpr (std::is_same_v<U, double>)
        return LUTHIER_FLOAT64;
    else {
        static_assert(std::is_integral_v<U>, "luthier::Instance::run takes arithmetic types");
        constexpr int log2 = sizeof(U) == 1 ? 0 : sizeof(U) == 2 ? 1 : sizeof(U) == 4 ? 2 : 3;
        return static_cast<luthier_dtype>((std::is_signed_v<U> ? LUTHIER_INT8 : LUTHIER_UINT8) +
                                          log2);
    }
}

} // namespace detail

// Bytes that a run reads or writes: made from anything with data() and size() (vector, array,
// span, string_view of bytes), or from a pointer and a number of elements.
class In {
public:
    template <typename C, typename T = std::remove_pointer_t<decltype(std::declval<C &>().data())>>
    In(const C &values) : In(static_cast<const T *>(values.data()), values.size())
    {
    }
    template <typename T>
    In(const T *data, std::size_t count) noexcept
        : buffer_{data, count * sizeof(T)}, dtype_(detail::dtype<T>())
    {
    }
    In(const void *data, std::size_t bytes) noexcept : buffer_{data, bytes} {}

    const luthier_input &buffer() const noexcept { return buffer_; }
    std::optional<luthier_dtype> dtype() const noexcept { return dtype_; } // none: untyped bytes

private:
    luthier_input buffer_;
    std::optional<luthier_dtype> dtype_;
};

class Out {
public:
    template <typename C, typename T = std::remove_pointer_t<decltype(std::declval<C &>().data())>>
    Out(C &&values) : Out(static_cast<T *>(values.data()), values.size())
    {
    }
    template <typename T>
    Out(T *data, std::size_t count) noexcept
        : buffer_{data, count * sizeof(T)}, dtype_(detail::dtype<T>())
    {
        static_assert(!std::is_const_v<T>, "an output is written to");
    }
    Out(void *data, std::size_t bytes) noexcept : buffer_{data, bytes} {}

    const luthier_output &buffer() const noexcept { return buffer_; }
    std::optional<luthier_dtype> dtype() const noexcept { return dtype_; }

private:
    luthier_output buffer_;
    std::optional<luthier_dtype> dtype_;
};

using Shape = std::vector<std::int64_t>;

inline std::size_t elements(const Shape &shape) noexcept
{
    std::size_t count = 1;
    for (std::int64_t size : shape)
        count *= static_cast<std::size_t>(size);
    return count;
}

// An input or output of a model, of the largest sizes where some are open.
class Tensor {
public:
    explicit Tensor(const luthier_tensor &tensor)
        : name(tensor.name), shape(tensor.shape, tensor.shape + tensor.rank), dtype(tensor.dtype),
          bytes(tensor.bytes), dims(tensor.dims, tensor.dims + tensor.rank)
    {
    }

    std::string name;
    Shape shape;
    luthier_dtype dtype;
    std::size_t bytes;
    std::vector<std::string> dims; // the shape as it is written over the sizes: "768", "past+1"

    std::size_t size() const noexcept { return elements(shape); }
};

// A size that a model leaves open: from least to most, or one of exact where there are some.
class Size {
public:
    explicit Size(const luthier_size &size)
        : name(size.name), least(size.least), most(size.most),
          exact(size.exact, size.exact + size.exact_count)
    {
    }

    std::string name;
    std::int64_t least;
    std::int64_t most;
    std::vector<std::int64_t> exact;
};

// What an instance keeps from run to run; `axis` is -1 where it does not grow.
class State {
public:
    explicit State(const luthier_state &state)
        : name(state.name), becomes(state.becomes), shape(state.shape, state.shape + state.rank),
          axis(state.axis), dtype(state.dtype), bytes(state.bytes)
    {
    }

    std::string name;
    std::string becomes;
    Shape shape; // of the most that it may hold
    std::int32_t axis;
    luthier_dtype dtype;
    std::size_t bytes; // the most
};

// A view of a model that the program is linked to, or found by dlsym(..., "luthier_model").
class Model {
public:
#ifdef LUTHIER_HAS_EXCEPTIONS
    explicit Model(const luthier_model *model) : model_(model)
    {
        luthier_error error{};
        luthier_check_model(model, &error);
        detail::check(Result(error));
    }
#endif

    // `made` is set on success.
    static Result try_create(const luthier_model *model, std::optional<Model> &made) noexcept
    {
        luthier_error error{};
        if (luthier_check_model(model, &error) == LUTHIER_OK)
            made = Model(model, Checked{});
        return Result(error);
    }

    const luthier_model *get() const noexcept { return model_; }
    std::string name() const { return model_->name; }
    std::vector<Tensor> inputs() const { return tensors(model_->inputs, model_->input_count); }
    std::vector<Tensor> outputs() const { return tensors(model_->outputs, model_->output_count); }
    // The text for which a number in an output stands; null where it stands for none.
    const char *label(std::size_t output, std::int64_t number) const noexcept
    {
        return luthier_output_label(model_, output, number);
    }
    std::int32_t threads() const noexcept { return model_->threads; } // that it was built for
    std::size_t weight_bytes() const noexcept { return model_->weight_bytes; }
    std::size_t arena_bytes() const noexcept { return model_->arena_bytes; } // of each instance
    std::size_t scratch_bytes() const noexcept { return model_->scratch_bytes; } // of each thread
    std::vector<std::string> features() const // CPU features needed, in Linux's names
    {
        return {model_->features, model_->features + model_->feature_count};
    }
    std::vector<std::string> step_names() const // what Instance::profile times
    {
        return {model_->step_names, model_->step_names + model_->step_count};
    }
    std::vector<Size> sizes() const // that are open
    {
        return {model_->sizes, model_->sizes + model_->size_count};
    }

    std::vector<State> states() const // that an instance keeps from run to run
    {
        return {model_->states, model_->states + model_->state_count};
    }

    std::string entry() const { return model_->entry; } // which entry point this is
    std::vector<std::string> entries() const            // of the library
    {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < model_->entry_count; i++)
            names.emplace_back(model_->entries[i]->entry);
        return names;
    }
    // Another entry point of the library, where there is one of the name.
    std::optional<Model> find_entry(const char *name) const noexcept
    {
        const luthier_model *found = luthier_find_entry(model_, name);
        return found == nullptr ? std::nullopt : std::optional<Model>(Model(found, Checked{}));
    }

    std::string luthier() const { return model_->luthier; } // the version that built it
    std::string model_sha256() const // of the model's file; empty where it was built from none
    {
        return model_->model_sha256 == nullptr ? "" : model_->model_sha256;
    }
    std::string level() const { return model_->level; }       // "x86-64-v3"
    std::string accuracy() const { return model_->accuracy; } // "strict", "balanced", "standard"
    std::vector<std::string> versions() const                 // of what built it: "tvm 0.27.0"
    {
        return {model_->versions, model_->versions + model_->version_count};
    }

private:
    struct Checked {};
    Model(const luthier_model *model, Checked) noexcept : model_(model) {}

    static std::vector<Tensor> tensors(const luthier_tensor *first, std::size_t count)
    {
        return {first, first + count};
    }

    const luthier_model *model_;
};

// Threads that instances of any model may share; outlives them.
class Pool {
public:
#ifdef LUTHIER_HAS_EXCEPTIONS
    Pool(const Model &model, std::int32_t threads) : model_(model.get())
    {
        luthier_error error{};
        luthier_pool_create(model_, threads, &pool_, &error);
        detail::check(Result(error));
    }
#endif

    // `made` is set on success.
    static Result try_create(const Model &model, std::int32_t threads,
                             std::optional<Pool> &made) noexcept
    {
        luthier_pool *pool = nullptr;
        luthier_error error{};
        if (luthier_pool_create(model.get(), threads, &pool, &error) == LUTHIER_OK)
            made = Pool(model.get(), pool);
        return Result(error);
    }

    Pool(Pool &&other) noexcept
        : model_(other.model_), pool_(std::exchange(other.pool_, nullptr))
    {
    }
    Pool &operator=(Pool &&other) noexcept
    {
        std::swap(model_, other.model_);
        std::swap(pool_, other.pool_);
        return *this;
    }
    ~Pool() { luthier_pool_destroy(model_, pool_); }

    luthier_pool *get() const noexcept { return pool_; }

private:
    Pool(const luthier_model *model, luthier_pool *pool) noexcept : model_(model), pool_(pool) {}

    const luthier_model *model_;
    luthier_pool *pool_ = nullptr;
};

// A model with its working memory. Runs of one instance from several threads take turns.
class Instance {
public:
#ifdef LUTHIER_HAS_EXCEPTIONS
    // With its own threads; 0: as many as the model was built for and this process may use.
    explicit Instance(const Model &model, std::int32_t threads = 0)
        : Instance(model, luthier_options{LUTHIER_ABI, threads, nullptr})
    {
    }
    // On a pool that outlives it: a luthier::Pool's, or the program's own.
    Instance(const Model &model, luthier_pool *pool)
        : Instance(model, luthier_options{LUTHIER_ABI, 0, pool})
    {
    }
    Instance(const Model &model, const Pool &pool) : Instance(model, pool.get()) {}
    Instance(const Model &model, const luthier_options &options)
    {
        luthier_error error{};
        luthier_create(model.get(), &options, &instance_, &error);
        detail::check(Result(error));
    }
    // Beside an instance of any entry point of the library, with its threads and memory: runs of the
    // two take turns, and either may be destroyed first.
    Instance(const Model &model, const Instance &other)
    {
        luthier_error error{};
        luthier_create_beside(model.get(), other.get(), &instance_, &error);
        detail::check(Result(error));
    }
#endif

    Instance(Instance &&other) noexcept : instance_(std::exchange(other.instance_, nullptr)) {}
    Instance &operator=(Instance &&other) noexcept
    {
        std::swap(instance_, other.instance_);
        return *this;
    }
    ~Instance() { luthier_destroy(instance_); }

    // `made` is set on success. The options are those of the constructors.
    static Result try_create(const luthier_model *model, const luthier_options &options,
                             std::optional<Instance> &made) noexcept
    {
        luthier_instance *instance = nullptr;
        luthier_error error{};
        if (luthier_create(model, &options, &instance, &error) == LUTHIER_OK)
            made = Instance(instance);
        return Result(error);
    }
    static Result try_create(const Model &model, std::int32_t threads,
                             std::optional<Instance> &made) noexcept
    {
        return try_create(model.get(), luthier_options{LUTHIER_ABI, threads, nullptr}, made);
    }
    static Result try_create(const Model &model, luthier_pool *pool,
                             std::optional<Instance> &made) noexcept
    {
        return try_create(model.get(), luthier_options{LUTHIER_ABI, 0, pool}, made);
    }
    static Result try_create(const Model &model, const Pool &pool,
                             std::optional<Instance> &made) noexcept
    {
        return try_create(model, pool.get(), made);
    }
    static Result try_create(const Model &model, const Instance &other,
                             std::optional<Instance> &made) noexcept
    {
        luthier_instance *instance = nullptr;
        luthier_error error{};
        if (luthier_create_beside(model.get(), other.get(), &instance, &error) == LUTHIER_OK)
            made = Instance(instance);
        return Result(error);
    }

    luthier_instance *get() const noexcept { return instance_; }

    // The sizes of the runs that follow, in the order of Model::sizes.
    Result try_set_sizes(std::initializer_list<std::int64_t> sizes) noexcept
    {
        return change_sizes(sizes.begin(), sizes.size());
    }
    Result try_set_sizes(const std::vector<std::int64_t> &sizes) noexcept
    {
        return change_sizes(sizes.data(), sizes.size());
    }
    // The same by the shapes of all inputs.
    Result try_set_shapes(const std::vector<Shape> &shapes) noexcept
    {
        luthier_shape small[few];
        std::unique_ptr<luthier_shape[]> large;
        luthier_shape *given = small;
        luthier_error error{};
        if (shapes.size() > few) {
            large.reset(given = new (std::nothrow) luthier_shape[shapes.size()]);
            if (given == nullptr) {
                luthier_reject(LUTHIER_OUT_OF_MEMORY, "out of memory: the list of shapes", &error);
                return Result(error);
            }
        }
        for (std::size_t i = 0; i < shapes.size(); i++)
            given[i] = {shapes[i].data(), static_cast<std::int32_t>(shapes[i].size())};
        luthier_set_shapes(instance_, given, shapes.size(), &error);
        return Result(error);
    }
    // What they are now.
    Result try_sizes(std::vector<std::int64_t> &sizes)
    {
        luthier_error error{};
        sizes.resize(instance_ == nullptr ? 0 : instance_->model->size_count);
        luthier_get_sizes(instance_, sizes.data(), sizes.size(), &error);
        return Result(error);
    }
    Result try_input_shape(std::size_t i, Shape &shape)
    {
        luthier_error error{};
        bool known = instance_ != nullptr && i < instance_->model->input_count;
        shape.resize(known ? static_cast<std::size_t>(instance_->model->inputs[i].rank) : 0);
        luthier_input_shape(instance_, i, shape.data(), static_cast<std::int32_t>(shape.size()),
                            nullptr, &error);
        return Result(error);
    }
    Result try_output_shape(std::size_t i, Shape &shape)
    {
        luthier_error error{};
        bool known = instance_ != nullptr && i < instance_->model->output_count;
        shape.resize(known ? static_cast<std::size_t>(instance_->model->outputs[i].rank) : 0);
        luthier_output_shape(instance_, i, shape.data(), static_cast<std::int32_t>(shape.size()),
                             nullptr, &error);
        return Result(error);
    }

    // Empties all states: a new sequence begins.
    Result try_reset() noexcept
    {
        luthier_error error{};
        luthier_reset(instance_, &error);
        return Result(error);
    }
    // How much a state holds along the axis along which it grows.
    Result try_state_length(std::size_t i, std::int64_t &length) noexcept
    {
        luthier_error error{};
        luthier_state_length(instance_, i, &length, &error);
        return Result(error);
    }
    // What it holds, dense; the buffer has as many bytes.
    Result try_read_state(std::size_t i, void *data, std::size_t bytes) noexcept
    {
        luthier_error error{};
        luthier_read_state(instance_, i, data, bytes, &error);
        return Result(error);
    }
    // Lets it hold this, which is `length` long along its axis; 0 where it has none.
    Result try_write_state(std::size_t i, const void *data, std::size_t bytes,
                           std::int64_t length) noexcept
    {
        luthier_error error{};
        luthier_write_state(instance_, i, data, bytes, length, &error);
        return Result(error);
    }
    // Lets all states hold what those of another instance of the library do.
    Result try_copy_states(const Instance &other) noexcept
    {
        luthier_error error{};
        luthier_copy_states(instance_, other.get(), &error);
        return Result(error);
    }

    // One run; inputs and outputs in the model's order. Element types and sizes are checked.
    Result try_run(std::initializer_list<In> inputs, std::initializer_list<Out> outputs) noexcept
    {
        return run_buffers(inputs.begin(), inputs.size(), outputs.begin(), outputs.size());
    }
    // The same, where the number of tensors is not known before.
    Result try_run(const std::vector<In> &inputs, const std::vector<Out> &outputs) noexcept
    {
        return run_buffers(inputs.data(), inputs.size(), outputs.data(), outputs.size());
    }
    // The same, and the seconds that each of the model's steps took.
    Result try_profile(const std::vector<In> &inputs, const std::vector<Out> &outputs,
                       std::vector<double> &seconds)
    {
        seconds.resize(instance_ == nullptr ? 0 : instance_->model->step_count);
        return run_buffers(inputs.data(), inputs.size(), outputs.data(), outputs.size(),
                           seconds.data());
    }

#ifdef LUTHIER_HAS_EXCEPTIONS
    void set_sizes(std::initializer_list<std::int64_t> sizes)
    {
        detail::check(try_set_sizes(sizes));
    }
    void set_sizes(const std::vector<std::int64_t> &sizes) { detail::check(try_set_sizes(sizes)); }
    void set_shapes(const std::vector<Shape> &shapes) { detail::check(try_set_shapes(shapes)); }
    std::vector<std::int64_t> sizes()
    {
        std::vector<std::int64_t> sizes;
        detail::check(try_sizes(sizes));
        return sizes;
    }
    void reset() { detail::check(try_reset()); }
    std::int64_t state_length(std::size_t i)
    {
        std::int64_t length = 0;
        detail::check(try_state_length(i, length));
        return length;
    }
    void read_state(std::size_t i, void *data, std::size_t bytes)
    {
        detail::check(try_read_state(i, data, bytes));
    }
    void write_state(std::size_t i, const void *data, std::size_t bytes, std::int64_t length)
    {
        detail::check(try_write_state(i, data, bytes, length));
    }
    void copy_states(const Instance &other) { detail::check(try_copy_states(other)); }
    Shape input_shape(std::size_t i)
    {
        Shape shape;
        detail::check(try_input_shape(i, shape));
        return shape;
    }
    Shape output_shape(std::size_t i)
    {
        Shape shape;
        detail::check(try_output_shape(i, shape));
        return shape;
    }
    void run(std::initializer_list<In> inputs, std::initializer_list<Out> outputs)
    {
        detail::check(try_run(inputs, outputs));
    }
    void run(const std::vector<In> &inputs, const std::vector<Out> &outputs)
    {
        detail::check(try_run(inputs, outputs));
    }
    std::vector<double> profile(const std::vector<In> &inputs, const std::vector<Out> &outputs)
    {
        std::vector<double> seconds;
        detail::check(try_profile(inputs, outputs, seconds));
        return seconds;
    }
#endif

private:
    explicit Instance(luthier_instance *instance) noexcept : instance_(instance) {}

    static constexpr std::size_t few = 16; // tensors that need no allocation

    Result change_sizes(const std::int64_t *sizes, std::size_t count) noexcept
    {
        luthier_error error{};
        luthier_set_sizes(instance_, sizes, count, &error);
        return Result(error);
    }

    // Texts are bytes of any kind.
    static bool fits(luthier_dtype given, luthier_dtype wanted) noexcept
    {
        if (wanted == LUTHIER_TEXT)
            return given == LUTHIER_INT8 || given == LUTHIER_UINT8;
        return given == wanted;
    }

    template <typename Typed>
    static Result check_types(const Typed *given, std::size_t count, const luthier_tensor *tensors,
                              std::size_t tensor_count) noexcept
    {
        for (std::size_t i = 0; i < count && i < tensor_count; i++) {
            if (given[i].dtype() && !fits(*given[i].dtype(), tensors[i].dtype)) {
                luthier_error error{};
                luthier_reject(LUTHIER_WRONG_TYPE,
                               "wrong element type: a buffer's type is not its tensor's", &error);
                return Result(error);
            }
        }
        return Result();
    }

    Result run_buffers(const In *inputs, std::size_t input_count, const Out *outputs,
                       std::size_t output_count, double *step_seconds = nullptr) noexcept
    {
        luthier_error error{};
        if (instance_ == nullptr) {
            luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance was moved", &error);
            return Result(error);
        }
        const luthier_model *model = instance_->model;
        Result typed = check_types(inputs, input_count, model->inputs, model->input_count);
        if (typed)
            typed = check_types(outputs, output_count, model->outputs, model->output_count);
        if (!typed)
            return typed;
        if (input_count <= few && output_count <= few) {
            luthier_input in[few];
            luthier_output out[few];
            return call(inputs, input_count, outputs, output_count, in, out, step_seconds);
        }
        std::unique_ptr<luthier_input[]> in(new (std::nothrow) luthier_input[input_count]);
        std::unique_ptr<luthier_output[]> out(new (std::nothrow) luthier_output[output_count]);
        if (!in || !out) {
            luthier_reject(LUTHIER_OUT_OF_MEMORY, "out of memory: the lists of tensors", &error);
            return Result(error);
        }
        return call(inputs, input_count, outputs, output_count, in.get(), out.get(), step_seconds);
    }

    Result call(const In *inputs, std::size_t input_count, const Out *outputs,
                std::size_t output_count, luthier_input *in, luthier_output *out,
                double *step_seconds) noexcept
    {
        for (std::size_t i = 0; i < input_count; i++)
            in[i] = inputs[i].buffer();
        for (std::size_t i = 0; i < output_count; i++)
            out[i] = outputs[i].buffer();
        luthier_error error{};
        instance_->model->run(instance_, in, input_count, out, output_count, step_seconds, &error);
        return Result(error);
    }

    luthier_instance *instance_ = nullptr;
};

} // namespace luthier

#endif
