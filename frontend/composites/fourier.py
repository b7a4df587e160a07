"""Discrete Fourier transforms of any length, as products with small matrices.

A length that is a product is taken apart (Cooley and Tukey 1965) until matrices are small enough
for one product each; a length with a large prime factor is a convolution with a chirp (Bluestein
1970), of a length that comes apart. So the work is done by matrix products, which are fast, the
tables are small, and the rest is arithmetic element by element.

A signal is [rows, planes, n]: its real plane and, unless it is real, the imaginary one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ..graph import Array
from ..graph.emitter import Emitter
from .movement import concat, pad, strided_slice

# A matrix of this many rows is still one product where the length has no smaller factors.
_DIRECT = 256
_FACTOR = 64
# What moving everything once more is worth, in rows of a matrix.
_SPLIT, _CHIRP = 100, 1000


def transform(t: Emitter, z: int, wanted: int, *, inverse: bool) -> int:
    """[rows, 2, wanted] first frequencies of a signal; the inverse is not divided by its length."""
    rows, planes, n = t.shape(z)
    first = _first_factor(n)
    if first == n:
        table = _matrix(n, wanted, planes, inverse).astype(t.dtype(z))
        flat = t.reshape(z, (rows, planes * n))
        product = t.emit("matmul", flat, t.constant(table), transpose_b=False)
        return t.reshape(product, (rows, 2, wanted))
    if first == 0:
        return _by_chirp(t, z, wanted, inverse)
    rest = n // first
    # Columns of [first, rest], each a signal.
    columns = t.transpose(t.reshape(z, (rows, planes, first, rest)), (0, 3, 1, 2))
    columns = t.reshape(columns, (rows * rest, planes, first))
    found = t.reshape(transform(t, columns, first, inverse=inverse), (rows, rest, 2, first))
    turned = t.transpose(_turned(t, found, 2, _circle(n, rest, first, inverse)), (0, 3, 2, 1))
    part = -(-wanted // first)
    inner = transform(t, t.reshape(turned, (rows * first, 2, rest)), part, inverse=inverse)
    inner = t.transpose(t.reshape(inner, (rows, first, 2, part)), (0, 2, 3, 1))
    return _up_to(t, t.reshape(inner, (rows, 2, part * first)), wanted)


def whole_spectrum(t: Emitter, z: int, n: int) -> int:
    """All ``n`` frequencies of a real signal, of which ``z`` has the first n // 2 + 1."""
    _, planes, count = t.shape(z)
    first, last = 1, (n - 1) // 2  # those that are there again, mirrored
    if last < first:
        return z
    mirrored = strided_slice(t, z, [2], [(last, first - 1, -1)])
    if planes == 2:
        signs = np.array([1, -1], t.dtype(z)).reshape(2, 1)
        mirrored = t.emit("multiply", mirrored, t.constant(signs))
    assert count == n // 2 + 1
    return concat(t, [z, mirrored], 2)


def fitted(t: Emitter, z: int, n: int) -> int:
    """Cut off at ``n``, or continued with zeros."""
    return pad(t, z, [(0, 0), (0, 0), (0, n - t.shape(z)[2])])


@lru_cache(maxsize=4096)
def _cost(n: int) -> float:
    """Rows of the matrices that an element meets, about."""
    return min([cost for cost, _ in _ways(n)], default=math.inf)


def _ways(n: int) -> list[tuple[float, int]]:
    """What each first factor costs; ``n`` itself is one product, and 0 is a chirp."""
    ways = [(float(n), n)] if n <= _DIRECT else []
    for factor in range(2, min(_FACTOR, n - 1) + 1):
        if n % factor == 0:
            ways.append((factor + _cost(n // factor) + _SPLIT, factor))
    if n > _DIRECT and n & (n - 1):
        ways.append((2.0 * _cost(_chirp_length(n)) + _CHIRP, 0))
    return ways


def _first_factor(n: int) -> int:
    return min(_ways(n))[1]


def _chirp_length(n: int) -> int:
    """A power of two, so that it comes apart."""
    return 1 << (2 * n - 2).bit_length()


def _by_chirp(t: Emitter, z: int, wanted: int, inverse: bool) -> int:
    """By nk = (n^2 + k^2 - (k - n)^2) / 2."""
    rows, planes, n = t.shape(z)
    length = _chirp_length(n)
    places = np.arange(n, dtype=np.int64)
    angle = (places * places % (2 * n)) * (math.pi / n)
    chirp = np.exp((1j if inverse else -1j) * angle)
    echo = np.zeros(length, np.complex128)
    echo[:n] = chirp.conj()
    echo[length - n + 1 :] = chirp.conj()[1:][::-1]
    spectrum = np.fft.fft(echo) / length
    if planes == 1:
        z = concat(t, [z, t.broadcast(t.number(0, t.dtype(z)), (rows, 1, n))], 1)
    signal = fitted(t, _turned(t, z, 1, chirp), length)
    there = transform(t, signal, length, inverse=False)
    back = transform(t, _turned(t, there, 1, spectrum), length, inverse=True)
    return _turned(t, _up_to(t, back, wanted), 1, chirp[:wanted])


def _turned(t: Emitter, z: int, axis: int, by: Array) -> int:
    """Times complex numbers; the planes are along ``axis``, right before what ``by`` is of.

    Or, where ``by`` has a dimension more, between its two.
    """
    real, imaginary = (strided_slice(t, z, [axis], [(i, i + 1, 1)]) for i in (0, 1))
    shape = by.shape if by.ndim == 1 else (by.shape[0], 1, by.shape[1])
    c, s = (t.constant(part.astype(t.dtype(z)).reshape(shape)) for part in (by.real, by.imag))
    first = t.emit("subtract", t.emit("multiply", real, c), t.emit("multiply", imaginary, s))
    second = t.emit("add", t.emit("multiply", real, s), t.emit("multiply", imaginary, c))
    return concat(t, [first, second], axis)


def _up_to(t: Emitter, z: int, wanted: int) -> int:
    return strided_slice(t, z, [2], [(0, wanted, 1)])


def _circle(n: int, rows: int, columns: int, inverse: bool) -> Array:
    """exp(-2 pi i r c / n) at row r and column c; conjugate for the inverse."""
    turns = np.arange(rows)[:, None] * np.arange(columns)[None, :] % n
    return np.asarray(np.exp((2j if inverse else -2j) * math.pi / n * turns))


def _matrix(n: int, wanted: int, planes: int, inverse: bool) -> Array:
    """[planes * n, 2 * wanted], real."""
    circle = _circle(n, n, wanted, inverse)
    real = np.concatenate([circle.real, circle.imag], axis=1)
    if planes == 1:
        return real
    return np.concatenate([real, np.concatenate([-circle.imag, circle.real], axis=1)])
