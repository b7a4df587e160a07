"""What the ground speaks in: types, workloads, schedules, kernels."""
