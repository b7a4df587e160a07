"""Steps of a training's optimiser: what a gradient makes of a weight, by ONNX's operators.

Of the domain ai.onnx.preview.training. A node may step several weights; of all of them the first
operands come first, then the second ones, and so on, and so do results. A step's rate and the
number of the steps before it are one number each, and computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnx import TensorProto

from luthier.schedules import ModelError

from .microsoft.spelling import Results, Spelled, Spelling, attributes

DOMAIN = "ai.onnx.preview.training"
_ANY = 1 << 16  # operands of a node


def _adagrad(call: Spelling) -> Results:
    """Duchi et al. 2011."""
    rate, steps = _rate(call), _steps(call)
    slower = call.emit("Mul", steps, _double(call, call.attr("decay_factor", 0.0)))
    rate = call.emit("Div", rate, call.emit("Add", slower, _double(call, 1.0)))
    epsilon = call.attr("epsilon", 1e-6)

    def step(operands: Sequence[str]) -> Sequence[str]:
        x, gradient, squares = operands
        g = _regularized(call, x, gradient)
        squares = call.emit("Add", squares, call.emit("Mul", g, g))
        root = call.emit("Add", call.emit("Sqrt", squares), call.number(epsilon, x))
        change = call.emit("Div", call.emit("Mul", _like(call, rate, x), g), root)
        return call.emit("Sub", x, change), squares

    return _of_all(call, 3, step)


def _adam(call: Spelling) -> Results:
    """Kingma and Ba 2015; from the second step on the averages' beginning at 0 is made up for."""
    alpha, beta = call.attr("alpha", 0.9), call.attr("beta", 0.999)
    epsilon, after = call.attr("epsilon", 1e-6), call.attr("norm_coefficient_post", 0.0)
    rate, steps, one = _rate(call), _steps(call), _double(call, 1.0)
    missing = [
        call.emit("Sub", one, call.emit("Pow", _double(call, each), steps))
        for each in (beta, alpha)
    ]
    corrected = call.emit("Div", call.emit("Mul", rate, call.emit("Sqrt", missing[0])), missing[1])
    rate = call.emit("Where", _later(call, steps), corrected, rate)

    def step(operands: Sequence[str]) -> Sequence[str]:
        x, gradient, average, squares = operands
        g = _regularized(call, x, gradient)
        average = _mixed(call, average, g, alpha)
        squares = _mixed(call, squares, call.emit("Mul", g, g), beta)
        root = call.emit("Add", call.emit("Sqrt", squares), call.number(epsilon, x))
        change = call.emit("Mul", _like(call, rate, x), call.emit("Div", average, root))
        new = call.emit("Sub", x, change)
        new = call.emit("Mul", new, call.number(1 - after, x)) if after else new
        return new, average, squares

    return _of_all(call, 4, step)


def _momentum(call: Spelling) -> Results:
    """Polyak 1964, and Nesterov's as Sutskever et al. 2013 have it; the first gradient counts
    whole."""
    named = {attribute.name for attribute in call.node.attribute}
    for name in ("alpha", "beta", "norm_coefficient"):
        if name not in named:
            raise ModelError(f"{call.label}: its attribute '{name}' is missing")
    mode, alpha, beta = call.attr("mode", ""), call.attr("alpha", 0.0), call.attr("beta", 0.0)
    if mode not in ("standard", "nesterov"):
        raise ModelError(f"{call.label}: its mode is '{mode}', not 'standard' or 'nesterov'")
    rate, steps = _rate(call), _steps(call)
    share = call.emit("Where", _later(call, steps), _double(call, beta), _double(call, 1.0))

    def step(operands: Sequence[str]) -> Sequence[str]:
        x, gradient, momentum = operands
        g = _regularized(call, x, gradient)
        own = call.emit("Mul", _like(call, share, x), g)
        momentum = call.emit("Add", call.emit("Mul", momentum, call.number(alpha, x)), own)
        change = momentum
        if mode == "nesterov":
            change = call.emit("Add", call.emit("Mul", momentum, call.number(alpha, x)), g)
        change = call.emit("Mul", _like(call, rate, x), change)
        return call.emit("Sub", x, change), momentum

    return _of_all(call, 3, step)


def _of_all(call: Spelling, kinds: int, step: Callable[[Sequence[str]], Sequence[str]]) -> Results:
    """The results of a step of each weight, of which there are operands of so many kinds."""
    count, left = divmod(len(call.node.input) - 2, kinds)
    if left or count < 1:
        raise ModelError(
            f"{call.label}: it has {len(call.node.input)} inputs, not 2 and {kinds} of each weight"
        )
    of_each = [
        step([call.given(2 + kind * count + i) for kind in range(kinds)]) for i in range(count)
    ]
    return [each for of_kind in zip(*of_each, strict=True) for each in of_kind]


def _regularized(call: Spelling, x: str, gradient: str) -> str:
    factor = call.attr("norm_coefficient", 0.0)
    if not factor:
        return gradient
    return call.emit("Add", call.emit("Mul", x, call.number(factor, x)), gradient)


def _mixed(call: Spelling, old: str, new: str, share: float) -> str:
    """A moving average."""
    parts = ((old, share), (new, 1 - share))
    return call.emit("Add", *(call.emit("Mul", x, call.number(s, x)) for x, s in parts))


def _rate(call: Spelling) -> str:
    return call.cast(call.reshape(call.given(0)), TensorProto.DOUBLE)


def _steps(call: Spelling) -> str:
    return call.cast(call.reshape(call.given(1)), TensorProto.DOUBLE)


def _later(call: Spelling, steps: str) -> str:
    """Whether there was a step before."""
    return call.emit("Greater", steps, _double(call, 0.0))


def _like(call: Spelling, number: str, x: str) -> str:
    return call.cast(number, call.dtype(x))


def _double(call: Spelling, number: float) -> str:
    return call.constant(number, "float64")


def _operator(write: Callable[[Spelling], Results], names: str) -> Spelled:
    return Spelled(write, _ANY, attributes(f"norm_coefficient {names}"), since=9)


OPERATORS: Mapping[str, Spelled] = {
    "Adagrad": _operator(_adagrad, "decay_factor epsilon"),
    "Adam": _operator(_adam, "alpha beta epsilon norm_coefficient_post"),
    "Momentum": _operator(_momentum, "alpha beta mode"),
}
