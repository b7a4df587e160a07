// The C++ API's promises about states, on the library of kept_models.py.
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

int main()
{
    luthier::Model many(luthier_kept()), one(luthier_kept_one());
    std::vector<luthier::State> states = many.states();
    CHECK(states.size() == 2 && states[0].name == "past" && states[0].becomes == "present");
    CHECK((states[0].shape == luthier::Shape{2, 10, 3}) && states[0].axis == 1);
    CHECK(states[1].axis == -1 && states[1].bytes == 20);
    luthier::Instance first(many), step(one, first);
    std::vector<float> four(24, 1), next(6, 2), x(5, 1), sum(6), was(5);
    first.set_sizes({4});
    first.run({four, x}, {sum, was});
    step.run({next, x}, {sum, was});
    CHECK(sum[0] == 6 && was[0] == 1 && step.state_length(0) == 5);
    luthier::Instance other(one);
    other.copy_states(step);
    step.reset();
    CHECK(step.state_length(0) == 0 && other.state_length(0) == 5);
    std::vector<float> held(30), h{1, 2, 3, 4, 5}, seen(5);
    other.read_state(0, held.data(), held.size() * sizeof(float));
    CHECK(held[0] == 1 && held[14] == 2 && held[29] == 2);
    other.write_state(1, h.data(), 20, 0);
    other.read_state(1, seen.data(), 20);
    CHECK(seen == h);
    CHECK(other.try_write_state(0, held.data(), 120, 11).status() == LUTHIER_BAD_STATE);
    CHECK(!other.try_read_state(0, held.data(), 4));
}
