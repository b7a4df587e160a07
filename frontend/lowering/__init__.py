"""From the rewritten graph to a program: kernels, their workloads, and where values lie."""
