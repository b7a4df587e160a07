"""TensorIR expressions: indices, literals, arithmetic, comparisons, conversions."""
