"""Templates: which workloads they compute, the knobs they offer, the kernels they make."""
