"""Small random graphs whose runs find sizes, and do with these what differs for none and one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROWS, COLUMNS = 6, 4
FINDERS = ("NonZero", "Compress", "Unique", "NonMaxSuppression")


class FoundGraph:
    """``model`` takes rows ``x`` and which of them are found, ``mask``; ``used`` is what it does.

    The same seed gives the same graph.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[str] = []
        self._is_whole = self._random.random() < 0.4
        self._dtype = np.dtype("int64" if self._is_whole else "float32")
        self._kind = TensorProto.INT64 if self._is_whole else TensorProto.FLOAT
        finder = self._random.choice(FINDERS)
        self._first = self._some = getattr(self, f"_by_{finder.lower()}")("mask")
        self.used = [finder]
        for _ in range(self._random.randint(1, 4)):
            name = self._random.choice(list(_STEPS))
            self.used.append(name)
            _STEPS[name](self)
        outputs = dict.fromkeys([*self._outputs, self._some])
        inputs = {"x": (self._kind, [ROWS, COLUMNS]), "mask": (TensorProto.BOOL, [ROWS])}
        graph = helper.make_graph(
            self._nodes,
            "found",
            [helper.make_tensor_value_info(name, *of) for name, of in inputs.items()],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self._constants,
        )
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        self.model = onnx.shape_inference.infer_shapes(model)

    def inputs(self, found: int, seed: int) -> Mapping[str, Any]:
        """Of which so many rows are found."""
        rng = np.random.default_rng(seed)
        mask = np.zeros(ROWS, bool)
        mask[rng.permutation(ROWS)[:found]] = True
        return {"x": rng.integers(-5, 6, (ROWS, COLUMNS)).astype(self._dtype), "mask": mask}

    # ---- building ----

    def _op(self, op: str, inputs: Sequence[Any], **attrs: Any) -> str:
        """The first result; arrays among the inputs become constants."""
        name, names = f"v{len(self._nodes)}", list[str]()
        for each in inputs:
            names.append(each if isinstance(each, str) else f"c{len(self._constants)}")
            if not isinstance(each, str):
                array = np.asarray(each, None if isinstance(each, np.ndarray) else np.int64)
                self._constants.append(numpy_helper.from_array(array, names[-1]))
        results = [name, f"{name}_places"] if op in ("TopK", "Split") else [name]
        self._nodes.append(helper.make_node(op, names, results, f"{op} {name}", **attrs))
        return name

    def _numbers(self, *numbers: float) -> Any:
        return np.array(numbers, self._dtype)

    def _count(self) -> str:
        """How many rows there are, a list of one."""
        return self._op("Gather", [self._op("Shape", [self._some]), [0]], axis=0)

    def _other_count(self) -> str:
        """A number that follows from it."""
        count, kind = self._count(), self._random.choice(("min", "max", "more", "any", "twice"))
        if kind == "min":
            return self._op("Min", [count, [self._random.randint(1, 3)]])
        if kind == "max":
            return self._op("Max", [count, [1]])
        if kind == "more":
            return self._op("Add", [count, [1]])
        if kind == "twice":
            return self._op("Mul", [count, [2]])
        return self._op("Cast", [self._op("Greater", [count, [0]])], to=TensorProto.INT64)

    def _rows_of(self, mask: str) -> str:
        places = self._op("NonZero", [mask])
        return self._op("Gather", ["x", self._op("Squeeze", [places, [0]])], axis=0)

    # ---- finders ----

    def _by_nonzero(self, mask: str) -> str:
        return self._rows_of(mask)

    def _by_compress(self, mask: str) -> str:
        return self._op("Compress", ["x", mask], axis=0)

    def _by_unique(self, mask: str) -> str:
        column = self._op("Gather", ["x", np.array(0)], axis=1)
        some = self._op("Where", [mask, column, self._numbers(0)])
        values = self._op("Unsqueeze", [self._op("Unique", [some], sorted=1), [1]])
        return self._op("Mul", [values, self._numbers(1, 2, 3, 4)])

    def _by_nonmaxsuppression(self, mask: str) -> str:
        corners = np.array([[[9 * i, 0, 9 * i + 5, 5] for i in range(ROWS)]], np.float32)
        scores = self._op("Cast", [mask], to=TensorProto.FLOAT)
        scores = self._op("Reshape", [scores, [1, 1, ROWS]])
        half = np.array([0.5], np.float32)
        kept = self._op("NonMaxSuppression", [corners, scores, [ROWS], half, half])
        return self._op("Gather", ["x", self._op("Gather", [kept, np.array(2)], axis=1)], axis=0)

    # ---- what is done with rows ----

    def best(self) -> None:
        most = self._op("Min", [self._count(), [self._random.choice((1, 2, 3, 5))]])
        self._some = self._op("TopK", [self._some, most], axis=0)

    def counted(self) -> None:
        last = self._op("Squeeze", [self._other_count(), [0]])
        self._outputs.append(self._op("Range", [np.array(0), last, np.array(1)]))

    def squeezed(self) -> None:
        self._outputs.append(self._op("Squeeze", [self._some]))

    def spread(self) -> None:
        shape = self._op("Concat", [self._other_count(), [COLUMNS]], axis=0)
        rows = self._op("Expand", [self._op("Slice", ["x", [0], [1], [0]]), shape])
        self._some = self._op("Concat", [rows, self._some], axis=0)

    def filled(self) -> None:
        shape = self._op("Concat", [self._other_count(), [COLUMNS]], axis=0)
        value = numpy_helper.from_array(self._numbers(3))
        rows = self._op("ConstantOfShape", [shape], value=value)
        self._some = self._op("Concat", [self._some, rows], axis=0)

    def repeated(self) -> None:
        times = self._op("Concat", [self._other_count(), [1]], axis=0)
        self._outputs.append(self._op("Tile", [self._op("Slice", ["x", [0], [2], [0]]), times]))

    def beside(self) -> None:
        """A sum over the rows, beside each."""
        total = self._op("ReduceSum", [self._first, [0]], keepdims=1)
        self._some = self._op("Add", [self._some, total])

    def picked(self) -> None:
        place = np.array(self._random.choice((0, -1, 1)))
        self._outputs.append(self._op("Gather", [self._some, place], axis=0))

    def cut(self) -> None:
        last = np.iinfo(np.int64).max
        first, end = self._random.choice(((0, 1), (1, last), (-1, last), (0, -1), (1, 3)))
        self._some = self._op("Slice", [self._some, [first], [end], [0]])

    def joined(self) -> None:
        self._some = self._op("Concat", [self._some, self._first], axis=0)

    def scaled(self) -> None:
        self._some = self._op(
            "Mul", [self._some, self._op("Cast", [self._other_count()], to=self._kind)]
        )

    def chosen(self) -> None:
        """By how many there are."""
        count = self._op("Gather", [self._op("Shape", [self._some]), np.array(0)], axis=0)
        op = self._random.choice(("Greater", "Equal"))
        condition = self._op(op, [count, np.array(self._random.randint(0, 2))])
        name, graphs = f"v{len(self._nodes)}", []
        for each in ("Neg", "Abs"):
            own = f"{name}_{each}"
            result = helper.make_tensor_value_info(own, self._kind, None)
            node = helper.make_node(each, [self._some], [own])
            graphs.append(helper.make_graph([node], each, [], [result]))
        self._nodes.append(
            helper.make_node(
                "If", [condition], [name], then_branch=graphs[0], else_branch=graphs[1]
            )
        )
        self._some = name

    def summed(self) -> None:
        keeps = self._random.choice((0, 1))
        self._outputs.append(self._op("ReduceSum", [self._some], keepdims=keeps))

    def padded(self) -> None:
        self._some = self._op("Pad", [self._some, [self._random.choice((0, 1)), 0, 1, 0]])

    def numbered(self) -> None:
        self._outputs.append(self._op("CumSum", [self._some, np.array(0)]))


_STEPS: Mapping[str, Callable[[FoundGraph], None]] = {
    name: make
    for name, make in vars(FoundGraph).items()
    if not name.startswith("_") and name != "inputs"
}
