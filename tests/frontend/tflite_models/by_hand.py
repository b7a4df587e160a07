"""Writes models of what no converter writes today, or not on its own, and what the interpreter
makes of random inputs.

python tests/frontend/tflite_models/by_hand.py [NAME..]      needs ai-edge-litert
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from by_definition import mediapipe, mediapipe_results
from file import File
from flatbuffers import flexbuffers
from interpreter import ran

HERE = Path(__file__).parent
FLOAT, INT = "float32", "int32"


def random(seed: int) -> Callable[..., Any]:
    rng = np.random.default_rng(seed)
    return lambda *shape: (rng.standard_normal(shape) / 2).astype(np.float32)


def lstm_inputs(
    file: File, draw: Any, x: int, units: int, elements: int, batch: int, *, coupled: bool = False,
    peepholes: bool = False, projection: int = 0, scales: bool = False,
) -> list[int]:  # fmt: skip
    """The 24 inputs of a layer."""
    size = projection or units
    own = [file.constant(draw(units, elements)) for _ in range(4)]
    recurrent = [file.constant(draw(units, size)) for _ in range(4)]
    holes = [file.constant(draw(units)) if peepholes else -1 for _ in range(3)]
    biases = [file.constant(draw(units)) for _ in range(4)]
    ends = [file.constant(draw(projection, units)), file.constant(draw(projection))]
    states = [file.tensor((batch, n), name=f"state{n}", kept=True) for n in (size, units)]
    norms = [file.constant(draw(units)) if scales else -1 for _ in range(4)]
    if coupled:
        own[0] = recurrent[0] = holes[0] = biases[0] = -1
        norms[0] = -1
    return [x, *own, *recurrent, *holes, *biases, *(ends if projection else (-1, -1)), *states,
            *norms]  # fmt: skip


def recurrent() -> File:
    """Layers whose states are variables, over two batches of five steps."""
    file, draw = File(), random(1)
    x, one = file.input("x", (2, 5, 3)), file.input("one", (2, 3))
    kinds: dict[str, dict[str, Any]] = {
        "plain": {}, "holes": {"peepholes": True}, "coupled": {"coupled": True},
        "projected": {"projection": 3}, "normed": {"scales": True},
    }  # fmt: skip
    for name, kind in kinds.items():
        for step, given in ((False, x), (True, one)):
            if name in ("plain", "holes") and step:
                continue
            inputs = lstm_inputs(file, draw, given, 4, 3, 2, **kind)
            size = kind.get("projection", 4)
            clips = {"cellClip": 0.3, "projClip": 0.2} if name == "projected" else {}
            if step:
                (found,) = file.add("LSTM", inputs, [((2, size), FLOAT)], "LSTMOptions",
                                    fusedActivationFunction=4, kernelType=0, **clips)  # fmt: skip
            else:
                (found,) = file.add(
                    "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [((2, 5, size), FLOAT)],
                    "UnidirectionalSequenceLSTMOptions", fusedActivationFunction=4,
                    timeMajor=False, **clips,
                )  # fmt: skip
            file.output(f"{name}{'_step' if step else ''}", found)
    return file


def simple() -> File:
    """Layers with one state, layers of two directions, and filters over time."""
    file, draw = File(), random(2)
    x, y, one = file.input("x", (2, 5, 3)), file.input("y", (5, 2, 3)), file.input("one", (2, 3))

    def weights() -> list[int]:
        return [file.constant(draw(*shape)) for shape in ((4, 3), (4, 4), (4,))]

    def state(size: int = 4) -> int:
        return file.tensor((2, size), kept=True)

    for name, act in (("relu", 1), ("tanh", 4), ("six", 3)):
        (found,) = file.add(
            "UNIDIRECTIONAL_SEQUENCE_RNN", [x, *weights(), state()], [((2, 5, 4), FLOAT)],
            "SequenceRNNOptions", timeMajor=False, fusedActivationFunction=act,
        )  # fmt: skip
        file.output(f"rnn_{name}", found)
    (found,) = file.add("RNN", [one, *weights(), state()], [((2, 4), FLOAT)], "RNNOptions",
                        fusedActivationFunction=1)  # fmt: skip
    file.output("rnn_step", found)
    both = [y, *weights(), state(), *weights(), state(), -1, -1, -1]
    (found,) = file.add(
        "BIDIRECTIONAL_SEQUENCE_RNN", both, [((5, 2, 8), FLOAT)], "BidirectionalSequenceRNNOptions",
        timeMajor=True, fusedActivationFunction=4, mergeOutputs=True,
    )  # fmt: skip
    file.output("rnn_both", found)
    sides = [lstm_inputs(file, draw, y, 4, 3, 2) for _ in range(2)]
    first, second = sides
    both = [y, *first[1:18], *second[1:18], *first[18:20], *second[18:20], *[-1] * 9]
    forward, backward = file.add(
        "BIDIRECTIONAL_SEQUENCE_LSTM", both, [((5, 2, 4), FLOAT)] * 2,
        "BidirectionalSequenceLSTMOptions", timeMajor=True, fusedActivationFunction=4,
        mergeOutputs=False,
    )  # fmt: skip
    file.output("lstm_forward", forward)
    file.output("lstm_backward", backward)
    basic = [one, file.input("h", (2, 4)), file.constant(draw(16, 7)), file.constant(draw(16)),
             file.input("c", (2, 4))]  # fmt: skip
    found, after, _, _ = file.add(
        "LSTM", basic, [((2, size), FLOAT) for size in (4, 4, 7, 16)], "LSTMOptions",
        fusedActivationFunction=4, kernelType=1,
    )  # fmt: skip
    file.output("basic", found)
    file.output("basic_state", after)
    for name, rank, bias in (("one", 1, True), ("two", 2, False)):
        filters = 6 * rank
        inputs = [one, file.constant(draw(filters, 3)), file.constant(draw(filters, 4)),
                  file.constant(draw(6)) if bias else -1, state(4 * filters)]  # fmt: skip
        (found,) = file.add("SVDF", inputs, [((2, 6), FLOAT)], "SVDFOptions", rank=rank,
                            fusedActivationFunction=1 if bias else 0)  # fmt: skip
        file.output(f"svdf_{name}", found)
    return file


def detection_options(**said: Any) -> bytes:
    builder = flexbuffers.Builder()
    options = {
        "max_detections": 6, "max_classes_per_detection": 1, "num_classes": 3,
        "detections_per_class": 4, "use_regular_nms": False, "nms_score_threshold": 0.3,
        "nms_iou_threshold": 0.5, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
    } | said  # fmt: skip
    with builder.Map():
        for name, value in options.items():
            builder.Key(name)
            put = {bool: builder.Bool, int: builder.Int, float: builder.Float}[type(value)]
            put(value)
    return bytes(builder.Finish())


def detections() -> File:
    """Choices among boxes, by all ways."""
    file = File()
    rng = np.random.default_rng(5)
    anchors = np.concatenate([rng.random((20, 2)), 0.2 + 0.2 * rng.random((20, 2))], 1)
    parts, scores = file.input("parts", (1, 20, 4)), file.input("scores", (1, 20, 4))
    for name, said in {
        "fast": {}, "several": {"max_classes_per_detection": 2},
        "regular": {"use_regular_nms": True}, "none": {"nms_score_threshold": 9.0,
                                                       "use_regular_nms": True},
    }.items():  # fmt: skip
        count = 6 * said.get("max_classes_per_detection", 1)
        results = [((1, count, 4), FLOAT), ((1, count), FLOAT), ((1, count), FLOAT), ((1,), FLOAT)]
        found = file.add(
            "TFLite_Detection_PostProcess", [parts, scores, file.constant(anchors)], results,
            custom=detection_options(**said),
        )  # fmt: skip
        for part, number in zip(("boxes", "classes", "scores", "count"), found, strict=True):
            file.output(f"{name}_{part}", number)
    corners = file.input("corners", (15, 4))
    each = file.input("each", (15,))
    count = file.constant(7, INT)
    limits = [file.constant(0.4), file.constant(0.2)]
    places, valid = file.add("NON_MAX_SUPPRESSION_V4", [corners, each, count, *limits],
                             [((7,), INT), ((), INT)], "NonMaxSuppressionV4Options")  # fmt: skip
    file.output("four_places", places)
    file.output("four_count", valid)
    found = file.add(
        "NON_MAX_SUPPRESSION_V5", [corners, each, count, *limits, file.constant(0.0)],
        [((7,), INT), ((7,), FLOAT), ((), INT)], "NonMaxSuppressionV5Options",
    )  # fmt: skip
    for part, number in zip(("places", "scores", "count"), found, strict=True):
        file.output(f"five_{part}", number)
    return file


def rest() -> File:
    """Operators of old converters and rare ones."""
    file, draw = File(), random(3)
    x, n = file.input("x", (3, 7)), file.input("n", (3, 7), INT)
    image = file.input("image", (1, 6, 7, 3))

    def one(name: str, kind: str, inputs: Sequence[int], shape: Sequence[int], dtype: str = FLOAT,
            options: str = "", **fields: Any) -> None:  # fmt: skip
        (found,) = file.add(kind, inputs, [(shape, dtype)], options, **fields)
        file.output(name, found)

    one("cut", "RELU_0_TO_1", [x], (3, 7))
    (spectrum,) = file.add("RFFT2D", [x, file.constant([4, 8], INT)], [((4, 5), "complex64")],
                           "Rfft2dOptions")  # fmt: skip
    one(
        "real_parts", "CAST", [spectrum], (4, 5), options="CastOptions", inDataType=8, outDataType=0
    )
    one("shifted", "RIGHT_SHIFT", [n, file.constant(np.arange(7).reshape(1, 7).repeat(3, 0), INT)],
        (3, 7), INT)  # fmt: skip
    one(
        "looked_up",
        "EMBEDDING_LOOKUP",
        [file.constant([2, 0], INT), file.constant(draw(4, 5))],
        (2, 5),
    )
    one("pooled", "L2_POOL_2D", [image], (1, 3, 3, 3), FLOAT, "Pool2DOptions", padding=1, strideW=2,
        strideH=2, filterWidth=3, filterHeight=2, fusedActivationFunction=0)  # fmt: skip
    pairs, shape, two = (file.constant(v, INT) for v in ([[0, 1], [2, 2]], [3, 4], [1, 3]))
    one("dense", "SPARSE_TO_DENSE", [pairs, shape, file.constant([5, 6]), file.constant(-1.0)],
        (3, 4), FLOAT, "SparseToDenseOptions")  # fmt: skip
    one("dense_row", "SPARSE_TO_DENSE",
        [two, file.constant([5], INT), file.constant(2.0), file.constant(0.5)], (5,), FLOAT,
        "SparseToDenseOptions")  # fmt: skip
    at = file.input("at", (2,), INT)
    one("updated", "DYNAMIC_UPDATE_SLICE", [x, file.constant(draw(2, 3)), at], (3, 7))
    one("rows_updated", "DYNAMIC_UPDATE_SLICE", [x, file.constant(draw(1, 7)), at], (3, 7))
    one("together", "BROADCAST_ARGS", [at, file.constant([4, 1, 1], INT)], (3,), INT)
    one("faked", "FAKE_QUANT", [x], (3, 7), FLOAT, "FakeQuantOptions", min=-1.2, max=1.5,
        numBits=4, narrowRange=False)  # fmt: skip
    main, inner = file.graph, file.begin()
    given = file.input("given", (3, 7))
    doubled = file.add("ADD", [given, given], [((3, 7), FLOAT)], "AddOptions")[0]
    file.output("doubled", file.add("TANH", [doubled], [((3, 7), FLOAT)])[0])
    file.graph = main
    file.output("composed", file.composite("of.two", inner, [x], (3, 7)))
    weights = file.constant(np.arange(-8, 8, dtype=np.int8)[:14].reshape(2, 7), "int8", int4=True,
                            scale=0.25)  # fmt: skip
    one("rank", "RANK", [x], (), INT)
    sizes, zeros, logits = file.constant([5, 3], INT), file.constant(np.zeros((5, 3))), -1e6 * (
        1 - np.eye(3)[[2, 0]])  # fmt: skip
    for name, kind, options in (("below_one", "RANDOM_UNIFORM", "RandomOptions"),
                                ("real", "RANDOM_STANDARD_NORMAL", "RandomOptions")):  # fmt: skip
        (drawn,) = file.add(kind, [sizes], [((5, 3), FLOAT)], options, seed=3, seed2=4)
        # What is drawn is another thing here, and what is true of it the same.
        if name == "real":
            (drawn,) = file.add("MUL", [drawn, zeros], [((5, 3), FLOAT)], "MulOptions")
            (drawn,) = file.add("ABS", [drawn], [((5, 3), FLOAT)])
        else:
            (drawn,) = file.add("FLOOR", [drawn], [((5, 3), FLOAT)])
        file.output(name, drawn)
    one("sure", "MULTINOMIAL", [file.constant(logits), file.constant(4, INT)], (2, 4), INT,
        "RandomOptions", seed=3, seed2=4)  # fmt: skip
    one("few_bits", "DEQUANTIZE", [weights], (2, 7))
    return file


def windows() -> File:
    """What slides over elements, spreads them, and looks parts of them up."""
    file, rng = File(), np.random.default_rng(8)
    x, image = file.input("x", (3, 7)), file.input("image", (1, 7, 8, 3))
    n, c = file.input("n", (3, 7), INT), file.input("c", (3, 7), "bool")
    main = file.graph

    def one(name: str, kind: str, inputs: Sequence[int], shape: Sequence[int], dtype: str = FLOAT,
            options: str = "", **fields: Any) -> None:  # fmt: skip
        (found,) = file.add(kind, inputs, [(shape, dtype)], options, **fields)
        file.output(name, found)

    def of(kind: str, dtype: str = FLOAT) -> int:
        """The graph of one operator on two numbers."""
        number = file.begin()
        if kind:
            pair = [file.input(side, (), dtype) for side in "ab"]
            file.output("y", file.add(kind, pair, [((), dtype)])[0])
        else:
            file.input("a", (), dtype)
            file.graph.outputs.append(file.input("b", (), dtype))
        file.graph = main
        return number

    def window(*lists: Sequence[int]) -> list[int]:
        return [file.constant(each, "int64") for each in lists]

    kinds = {"sum": (1, 0.5), "product": (2, 2.0), "least": (3, 0.1), "most": (4, -0.2)}
    for name, (number, first) in kinds.items():
        one(name, "REDUCE_WINDOW", [x, file.constant(first), *window([2, 3], [1, 2], [1, 2])],
            (2, 2), FLOAT, "ReduceWindowOptions", reduceFunction=number)  # fmt: skip
    one("of_numbers", "REDUCE_WINDOW", [n, file.constant(1, INT), *window([1, 7], [1, 1], [1, 1])],
        (3, 1), INT, "ReduceWindowOptions", reduceFunction=1)  # fmt: skip
    one("pooled", "REDUCE_WINDOW",
        [image, file.constant(-9.0), *window([1, 3, 2, 1], [1, 2, 2, 1], [1] * 4)], (1, 3, 4, 3),
        FLOAT, "ReduceWindowOptions", reduceFunction=4)  # fmt: skip
    for number, (kind, first) in enumerate((("ADD", 0.0), ("MAXIMUM", -1.0), ("MINIMUM", 1.0),
                                            ("MULTIPLY", 1.0))):  # fmt: skip
        one(f"hlo_{kind.lower()}", "STABLEHLO_REDUCE_WINDOW", [x, file.constant(first)], (3, 5),
            FLOAT, "StablehloReduceWindowOptions", windowDimensions=[2, 3], windowStrides=[1, 3],
            baseDilations=[1, 2], windowDilations=[1 + number % 2, 1], padding=[
                number % 2, 0, 1, 1], bodySubgraphIndex=of(f"STABLEHLO_{kind}"))  # fmt: skip
    one("apart", "DILATE", [x, file.constant([2, 3], INT), file.constant(7.0)], (5, 19), FLOAT,
        "DilateOptions")  # fmt: skip
    one("edges", "STABLEHLO_PAD", [x, file.constant(3.0)], (7, 11), FLOAT, "StablehloPadOptions",
        edgePaddingLow=[1, -2], edgePaddingHigh=[1, 0], interiorPadding=[1, 1])  # fmt: skip
    for name, kind in {"added": "ADD", "times": "MULTIPLY", "larger": "MAXIMUM",
                       "smaller": "MINIMUM"}.items():  # fmt: skip
        one(name, f"STABLEHLO_{kind}", [x, x], (3, 7))
    one("and", "STABLEHLO_AND", [c, c], (3, 7), "bool")
    by = file.constant(rng.integers(0, 31, (3, 7)), INT)
    one("moved", "STABLEHLO_SHIFT_LEFT", [n, by], (3, 7), INT)
    rows = file.input("rows", (2, 2), INT)
    one("parts", "STABLEHLO_GATHER", [x, rows], (2, 2, 4), FLOAT, "StablehloGatherOptions",
        offsetDims=[1, 2], collapsedSliceDims=[], startIndexMap=[1, 0], indexVectorDim=1,
        sliceSizes=[2, 4])  # fmt: skip
    at = file.input("at", (2, 2, 1), INT)
    one("lines", "STABLEHLO_GATHER", [x, at], (7, 2, 2), FLOAT, "StablehloGatherOptions",
        offsetDims=[0], collapsedSliceDims=[0], startIndexMap=[0], indexVectorDim=2,
        sliceSizes=[1, 7])  # fmt: skip
    for name, kind in {
        "put": "",
        "put_sum": "STABLEHLO_ADD",
        "put_most": "STABLEHLO_MAXIMUM",
    }.items():
        one(name, "STABLEHLO_SCATTER",
            [x, file.constant([[1, 0], [2, 6], [1, 5]], INT),
             file.constant(rng.standard_normal((3, 2)))],
            (3, 7), FLOAT, "StablehloScatterOptions", updateWindowDims=[1],
            insertedWindowDims=[0], scatterDimsToOperandDims=[0, 1], indexVectorDim=1,
            updateComputationSubgraphIndex=of(kind))  # fmt: skip
    return file


def lookups() -> File:
    """Rows by numbers and keys, bytes as other types, and movements of old converters."""
    file, draw = File(), random(9)
    x, rows = file.input("x", (3, 8)), file.input("rows", (2, 3, 4))
    table = file.constant(draw(11, 5))

    def one(name: str, kind: str, inputs: Sequence[int], shape: Sequence[int], dtype: str = FLOAT,
            options: str = "", **fields: Any) -> None:  # fmt: skip
        (found,) = file.add(kind, inputs, [(shape, dtype)], options, **fields)
        file.output(name, found)

    ids, weights = file.input("ids", (5,), INT), file.input("weights", (5,))
    for number, name in enumerate(("sum", "mean", "root")):
        places = file.constant([[0, 0], [0, 3], [2, 0], [2, 1], [3, 1]], INT)
        one(name, "EMBEDDING_LOOKUP_SPARSE",
            [ids, places, file.constant([4, 4], INT), weights, table], (4, 5), FLOAT,
            "EmbeddingLookupSparseOptions", combiner=number)  # fmt: skip
    keys = file.constant([1, 4, 6, 9], INT)
    found, hits = file.add("HASHTABLE_LOOKUP", [ids, keys, file.constant(draw(4, 3))],
                           [((5, 3), FLOAT), ((5,), "uint8")])  # fmt: skip
    file.output("by_keys", found)
    file.output("hits", hits)
    for name, dtype, shape in (("as_int", INT, (3, 8)), ("as_bytes", "uint8", (3, 8, 4)),
                               ("as_short", "int16", (3, 8, 2))):  # fmt: skip
        one(name, "BITCAST", [x], shape, dtype)
    (small,) = file.add("BITCAST", [x], [((3, 8, 4), "uint8")])
    one("again", "BITCAST", [small], (3, 8))
    one("mirrored", "MIRROR_PAD", [x, file.constant([[2, 3], [5, 8]], INT)], (8, 21), FLOAT,
        "MirrorPadOptions", mode=1)  # fmt: skip
    at = file.constant([[1, 0], [3, 3]], INT)
    one("batches", "GATHER", [rows, at], (2, 3, 2), FLOAT, "GatherOptions", axis=2, batchDims=1)
    one("rows_apart", "SPACE_TO_BATCH_ND",
        [rows, file.constant([2], INT), file.constant([[1, 2]], INT)], (4, 3, 4))  # fmt: skip
    inputs = [rows, file.constant([2], INT), file.constant([[0, 1]], INT)]
    (apart,) = file.add("SPACE_TO_BATCH_ND", inputs, [((4, 2, 4), FLOAT)])
    one("rows_together", "BATCH_TO_SPACE_ND",
        [apart, file.constant([2], INT), file.constant([[1, 0]], INT)], (2, 3, 4))  # fmt: skip
    return file


def texts() -> File:
    """Lookups in hash tables, of words and to words, and what moves words."""
    file = File()
    words, n = file.input("words", (2, 3), "string"), file.input("n", (2, 3), "int64")
    main, once = file.graph, file.begin()

    def table(number: int, kinds: tuple[str, str]) -> int:
        types = [4 if kind == "int64" else 5 for kind in kinds]
        (handle,) = file.add("HASHTABLE", [], [((1,), "resource")], "HashtableOptions",
                             tableId=number, keyDtype=types[0], valueDtype=types[1])  # fmt: skip
        return handle

    for number, (keys, values, kinds) in enumerate(TABLES):
        listed = [file.constant(v, k) for v, k in zip((keys, values), kinds, strict=True)]
        file.add("HASHTABLE_IMPORT", [table(number, kinds), *listed], [], "HashtableImportOptions")
    file.graph = main
    file.add("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=once)
    for number, (given, otherwise) in enumerate(((words, [-1]), (n, ["?"]), (words, [7]))):
        kinds = TABLES[number][2]
        handle = table(number, kinds)
        default = file.constant(otherwise, kinds[1])
        (found,) = file.add("HASHTABLE_FIND", [handle, given, default], [((2, 3), kinds[1])],
                            "HashtableFindOptions")  # fmt: skip
        file.output(f"found_{number}", found)
        (size,) = file.add("HASHTABLE_SIZE", [handle], [((1,), "int64")], "HashtableSizeOptions")
        file.output(f"size_{number}", size)
    (flat,) = file.add("RESHAPE", [words, file.constant([6], INT)], [((6,), "string")])
    (some,) = file.add("GATHER", [flat, file.constant([4, 0], INT)], [((2,), "string")],
                       "GatherOptions")  # fmt: skip
    file.output("some", some)
    (same,) = file.add("EQUAL", [flat, file.constant(["two"] * 6, "string")], [((6,), "bool")],
                       "EqualOptions")  # fmt: skip
    file.output("same", same)
    return file


TABLES = (
    (["one", "two", "zwölf", "one"], [5, -(2**62), 3, 9], ("string", "int64")),
    ([0, -3, 7], ["none", "", "sieben"], ("int64", "string")),
    (["only"], [1], ("string", "int64")),
)


def sparse() -> File:
    """Weights of which most are 0, in several formats."""
    file, draw = File(), random(6)
    x = file.input("x", (3, 8))
    rng = np.random.default_rng(7)

    def few(*shape: int) -> Any:
        return draw(*shape) * (rng.random(shape) < 0.3)

    kinds: dict[str, dict[str, Any]] = {
        "rows": {"order": (0, 1), "compressed": (1,)},
        "columns": {"order": (1, 0), "compressed": (1,)},
        "both": {"order": (0, 1), "compressed": (0, 1)},
        "blocks": {"order": (0, 1, 2), "compressed": (1,), "blocks": {1: 4}},
        "tiles": {"order": (0, 1, 2, 3), "compressed": (1,), "blocks": {0: 2, 1: 2}},
    }
    for name, kind in kinds.items():
        weights = file.sparse(few(4, 8), **kind)
        (dense,) = file.add("DENSIFY", [weights], [((4, 8), FLOAT)], "DensifyOptions")
        (found,) = file.add("FULLY_CONNECTED", [x, dense, -1], [((3, 4), FLOAT)],
                            "FullyConnectedOptions")  # fmt: skip
        file.output(name, found)
    half = file.sparse(few(4, 8), "float16", **kinds["rows"])
    (dense,) = file.add("DENSIFY", [half], [((4, 8), "float16")], "DensifyOptions")
    (wide,) = file.add("DEQUANTIZE", [dense], [((4, 8), FLOAT)], "DequantizeOptions")
    file.output("half", wide)
    image = file.sparse(few(5, 2, 3, 4), order=(0, 1, 2, 3), compressed=(3,))
    (dense,) = file.add("DENSIFY", [image], [((5, 2, 3, 4), FLOAT)], "DensifyOptions")
    file.output("image", file.add("ABS", [dense], [((5, 2, 3, 4), FLOAT)])[0])
    return file


def signatures() -> File:
    """Two that share a variable: one adds to it, the other reads it."""
    file = File()
    add, scale, once = file.graph, file.begin(), file.begin()

    def variable() -> int:
        (handle,) = file.add("VAR_HANDLE", [], [((1,), "resource")], "VarHandleOptions",
                             container="", sharedName="sum")  # fmt: skip
        return handle

    file.add("ASSIGN_VARIABLE", [variable(), file.constant([0, 0])], [], "AssignVariableOptions")
    for graph, name, kind in ((add, "x", "ADD"), (file.model.subgraphs[scale], "factor", "MUL")):
        file.graph = graph
        file.add("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=once)
        handle, given = variable(), file.input(name, (2,))
        (held,) = file.add("READ_VARIABLE", [handle], [((2,), FLOAT)], "ReadVariableOptions")
        (found,) = file.add(kind, [held, given], [((2,), FLOAT)], f"{kind.title()}Options")
        if kind == "ADD":
            file.add("ASSIGN_VARIABLE", [handle, found], [], "AssignVariableOptions")
        file.output("found", found)
    file.signature("add", 0)
    file.signature("scale", scale)
    return file


def check_signatures(data: bytes) -> None:
    """That the interpreter makes of it what it is meant to be."""
    interpreter = Interpreter(model_content=data)
    add, scale = map(interpreter.get_signature_runner, ("add", "scale"))
    x = np.array([1, 2], np.float32)
    assert [add(x=x)["found"].tolist() for _ in range(2)] == [[1, 2], [2, 4]]
    assert scale(factor=x)["found"].tolist() == [2, 8]
    assert add(x=x)["found"].tolist() == [3, 6]


MODELS = {
    "detections": detections, "lookups": lookups, "mediapipe": mediapipe, "recurrent": recurrent,
    "rest": rest, "simple": simple, "sparse": sparse, "texts": texts, "windows": windows,
}  # fmt: skip


def main(names: Sequence[str]) -> None:
    several = signatures().bytes()
    check_signatures(several)
    (HERE / "several" / "signatures.tflite").write_bytes(several)
    for name in names or MODELS:
        data = MODELS[name]().bytes()
        (HERE / f"{name}.tflite").write_bytes(data)
        if name == "mediapipe":
            np.savez_compressed(HERE / f"{name}.npz", **mediapipe_results(data, 3))
            continue
        # XNNPACK takes no sparse weights that are given it as such.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(model_content=data, experimental_op_resolver_type=plain)
        np.savez_compressed(HERE / f"{name}.npz", **ran(interpreter, 3))
        print(name, len(data))


if __name__ == "__main__":
    main(sys.argv[1:])
