"""Concatenations: which vanish because their pieces are written in place, and which stay."""

from __future__ import annotations

from graph_building import Sketch, kernels, lowered

from luthier.frontend.program import Program
from luthier.schedules import Tensor


def made(g: Sketch, x: int, columns: int, seed: int = 1) -> int:
    """A product, whose kernel writes rows wherever they are wanted."""
    return g.emit("matmul", x, g.const(g.values[x].shape[-1], columns, seed=seed))


def joined(g: Sketch, *pieces: int, axis: int = 1) -> int:
    return g.emit("concat", *pieces, axis=axis)


def copies(program: Program) -> list[list[str]]:
    """The operators of the calls that are not products."""
    return [k for k in kernels(program) if k[0] not in ("matmul", "softmax", "relu")]


def test_pieces_that_kernels_compute_are_written_in_place() -> None:
    g = Sketch()
    x = g.x(6, 8)
    program = lowered(g.graph(joined(g, made(g, x, 5), made(g, x, 3, 2))))
    assert kernels(program) == [["matmul"], ["matmul"]]
    assert [c.placement.output for c in program.calls] == [8, 8]
    assert sorted(p.first for p in program.parts.values()) == [0, 5]
    (output,) = (v for _, v in program.outputs)
    assert {p.whole for p in program.parts.values()} == {output}


def test_kernels_read_the_whole_as_any_other_value() -> None:
    g = Sketch()
    x = g.x(6, 8)
    whole = joined(g, made(g, x, 5), made(g, x, 3, 2))
    program = lowered(g.graph(made(g, whole, 4, 3)))
    assert kernels(program) == [["matmul"]] * 3
    assert program.calls[-1].workload.inputs[0] == Tensor((6, 8))


def test_a_chain_of_concatenations_shares_one_buffer() -> None:
    g = Sketch()
    x = g.x(6, 8)
    value = made(g, x, 5)
    for layer in range(3):
        grown = made(g, g.emit("relu", g.emit("negative", value)), 3, layer)
        value = joined(g, value, grown)
    program = lowered(g.graph(value))
    assert not any("concat" in k for k in kernels(program))
    assert {program.place(part).whole for part in program.parts} == {program.outputs[0][1]}
    pitches = {c.placement.output for c in program.calls if c.result in program.parts}
    assert pitches == {5 + 3 * 3}


def test_one_call_copies_pieces_that_nobody_computes() -> None:
    g = Sketch()
    x, y = g.x(6, 8), g.x(6, 2, name="y")
    program = lowered(g.graph(joined(g, made(g, x, 5), y)))
    assert copies(program) == [["cast"]]


def test_neighbours_are_copied_together() -> None:
    g = Sketch()
    x, y, z = g.x(6, 8), g.x(6, 2, name="y"), g.x(6, 4, name="z")
    program = lowered(g.graph(joined(g, y, z, made(g, x, 5))))
    assert copies(program) == [["concat"]]
    (copy,) = (c for c in program.calls if c.workload.nodes[-1].op == "concat")
    assert (copy.workload.output, copy.placement.output) == (Tensor((6, 6)), 11)


def test_no_concatenation_becomes_several_copies() -> None:
    g = Sketch()
    x, y, z = g.x(6, 8), g.x(6, 2, name="y"), g.x(6, 4, name="z")
    program = lowered(g.graph(joined(g, y, made(g, x, 5), z)))
    assert copies(program) == [["concat"]]
    assert not program.parts


def test_a_piece_for_the_concatenation_alone_is_computed_in_place() -> None:
    g = Sketch()
    x, y = g.x(6, 8), g.x(6, 2, name="y")
    program = lowered(g.graph(joined(g, made(g, x, 5), g.emit("negative", y))))
    assert copies(program) == [["negative"]]


def test_the_same_value_twice_is_copied() -> None:
    g = Sketch()
    piece = made(g, g.x(6, 8), 5)
    program = lowered(g.graph(joined(g, piece, piece)))
    assert copies(program) == [["concat"]]


def test_an_output_is_copied() -> None:
    g = Sketch()
    x = g.x(6, 8)
    piece = made(g, x, 5)
    program = lowered(g.graph(joined(g, piece, made(g, x, 3, 2)), piece))
    assert copies(program) == [["cast"]]


def test_a_value_with_two_places_is_written_in_one() -> None:
    g = Sketch()
    x = g.x(6, 8)
    shared = made(g, x, 5)
    first = joined(g, shared, made(g, x, 3, 2))
    second = joined(g, made(g, x, 4, 3), shared)
    program = lowered(g.graph(first, second))
    assert copies(program) == [["cast"]]


def test_a_reader_that_needs_rows_side_by_side_keeps_a_value_whole() -> None:
    g = Sketch()
    x = g.x(6, 8)
    piece = made(g, x, 5)
    whole = joined(g, piece, made(g, x, 3, 2))
    program = lowered(g.graph(whole, made(g, piece, 4, 3)))
    assert copies(program) == [["cast"]]


def test_a_kernel_that_works_in_its_output_writes_it_whole() -> None:
    g = Sketch()
    x = g.x(6, 8)
    program = lowered(g.graph(joined(g, g.emit("softmax", x, axis=1), made(g, x, 3))))
    assert copies(program) == [["cast"]]


def test_one_image_is_joined_along_any_axis_without_a_pitch() -> None:
    g = Sketch()
    x = g.x(6, 8)
    pieces = (g.emit("softmax", x, axis=1), made(g, x, 8))
    program = lowered(g.graph(joined(g, *pieces, axis=0)))
    assert copies(program) == []
    assert [c.workload.output for c in program.calls] == [Tensor((6, 8))] * 2
    assert sorted(p.first for p in program.parts.values()) == [0, 48]


def test_rows_of_several_images_are_joined_where_a_piece_has_one() -> None:
    g = Sketch()
    x = g.x(6, 8)
    pieces = [g.reshape(made(g, x, 5, seed), 6, 1, 5) for seed in (1, 2)]
    program = lowered(g.graph(joined(g, *pieces)))
    assert kernels(program) == [["matmul"], ["matmul"]]
    first = program.calls[0]
    assert (first.workload.output, first.placement.output) == (Tensor((6, 5)), 10)


def test_rows_of_several_images_are_copied_where_a_piece_has_more() -> None:
    g = Sketch()
    x = g.x(6, 2, 8)
    program = lowered(g.graph(joined(g, made(g, x, 5), made(g, x, 5, 2))))
    assert copies(program) == [["concat"]]


def test_a_concatenation_that_stays_is_a_piece_of_another() -> None:
    g = Sketch()
    x, other = g.x(6, 2, 8), g.x(6, 4, 8, name="other")
    planes = joined(g, made(g, x, 5), made(g, x, 5, 2))
    program = lowered(g.graph(joined(g, planes, made(g, other, 3), axis=2)))
    assert copies(program) == [["concat"]]
    (copy,) = (c for c in program.calls if c.workload.nodes[-1].op == "concat")
    assert (copy.workload.output, copy.placement.output) == (Tensor((6, 4, 5)), 8)
