"""Which experts rows go to, where experts are in groups (DeepSeek-AI 2024)."""

from __future__ import annotations

from .spelling import Operators, Results, Spelled, Spelling, attributes

_LEAST = 1e-20


def _group_router(call: Spelling) -> Results:
    """Logarithms of the shares of a row's experts, of the best groups; a number for the others."""
    if call.input(2) or call.wants(1) or call.wants(2):
        raise call.unsupported("all scores as results, or a product before them,")
    count = call.shape(call.x)[-1]
    groups, kept = call.count("n_group", 1), call.count("topk_group", 1)
    most, summed = call.count("top_k"), call.count("group_topk", 2)
    if count % groups or not (kept <= groups and most <= kept * (count // groups)):
        raise call.unsupported(f"{most} of {kept} of {groups} groups of {count} experts")
    each = count // groups
    logits = call.reshape(call.x, -1, count)
    shares = call.emit("Sigmoid", call.wide(logits))
    ranked = call.emit("Add", shares, call.given(1))
    if kept < groups:
        apart = call.reshape(ranked, -1, groups, each)
        best = call.several("TopK", [apart, call.sizes(min(summed, each))], 2, axis=-1)[0]
        total = call.reduce("ReduceSum", best, [2], keepdims=0)
        open_ = call.unsqueeze(_chosen(call, total, kept), 2)
        lowest = call.number(float("-inf"), apart)
        ranked = call.reshape(call.emit("Where", open_, apart, lowest), -1, count)
    least = call.number(_LEAST, shares)
    bounded = call.emit("Where", call.emit("Less", shares, least), least, shares)
    rest = call.number(call.attr("router_sentinel", -10000.0), shares)
    y = call.emit("Where", _chosen(call, ranked, most), call.emit("Log", bounded), rest)
    return call.cast(y, call.dtype(call.x))


def _chosen(call: Spelling, x: str, count: int) -> str:
    """[rows, columns] of truths: the largest of each row."""
    rows, columns = call.shape(x)
    places = call.several("TopK", [x, call.sizes(count)], 2, axis=-1)[1]
    ones = call.emit("Expand", call.constant(1, "float32"), call.sizes(rows, count))
    nothing = call.emit("Expand", call.constant(0, "float32"), call.sizes(rows, columns))
    found = call.emit("ScatterElements", nothing, places, ones, axis=1)
    return call.emit("Greater", found, call.constant(0, "float32"))


OPERATORS: Operators = {
    "MoEGroupRouter": Spelled(
        _group_router,
        3,
        attributes("group_topk n_group router_sentinel top_k topk_group"),
        since=11,
    ),
}
