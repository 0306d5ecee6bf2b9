# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MatMul, Gemm, Einsum and their integer kin; Det."""

from __future__ import annotations

from math import prod

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.values import FLOATS, Sizes, Var


def width(g: Gen) -> int:
    """Rows, columns or depth of a product: also what leaves a vector or a tile half empty."""
    if g.settings.hostile and g.chance(0.05):
        return 0
    return g.of((1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48))


def calm(k: int) -> float:
    """A bound on factors that keeps a sum of ``k`` products as large as they are."""
    return 1.7 / max(k, 1) ** 0.5


@row("MatMul", __name__)
def matmul(g: Gen) -> None:
    a = g.any((*FLOATS, "int32", "int64"), (1, 4))
    k = a.sizes[-1]
    bound = calm(max(k)) if a.is_float else 3.0
    lead = [s if g.chance(0.6) else (1,) * g.settings.runs for s in a.sizes[:-2]]
    shape = [k] if g.chance(0.15) else [*(lead[g.int(0, len(lead)):] if g.chance(0.5) else []), k, (width(g),) * g.settings.runs]
    b = g.any((a.dtype,), shape=shape, low=-bound, high=bound, weight=0.6)
    g.node("MatMul", [a, b])


@row("MatMul of activations", __name__)
def matmul_left(g: Gen) -> None:
    b = g.any(FLOATS, (2, 4))
    shape = [*b.sizes[:-2], g.sizes(1)[0], b.sizes[-2]]
    a = g.any((b.dtype,), shape=shape, low=-calm(b.least(b.rank - 2)), high=calm(b.least(b.rank - 2)), weight=0.3)
    g.node("MatMul", [a, b])


@row("FusedMatMul", __name__)
def fused_matmul(g: Gen) -> None:
    a = g.any(("float32",), (2, 4))
    ta, tb = g.int(0, 1), g.int(0, 1)
    k = a.sizes[-2 if ta else -1]
    n: Sizes = (width(g),) * g.settings.runs
    shape = [*a.sizes[:-2], n, k] if tb else [*a.sizes[:-2], k, n]
    b = g.any(("float32",), shape=shape, low=-calm(max(k)), high=calm(max(k)), weight=0.5)
    g.node("FusedMatMul", [a, b], domain="com.microsoft", transA=ta, transB=tb, alpha=g.int(1, 20) / 10)


@row("Gemm", __name__)
def gemm(g: Gen) -> None:
    a = g.any(FLOATS, (2, 2))
    ta, tb = g.int(0, 1), g.int(0, 1)
    k, m = (a.sizes[0], a.sizes[1]) if ta else (a.sizes[1], a.sizes[0])
    n: Sizes = (width(g),) * g.settings.runs
    b = g.any((a.dtype,), shape=[n, k] if tb else [k, n], low=-calm(max(k)), high=calm(max(k)), weight=0.7)
    one: Sizes = (1,) * g.settings.runs
    c = g.any((a.dtype,), shape=g.of([[m, n], [one, n], [m, one], [n], [one, one], [one], []]), weight=0.6)
    attrs = {"alpha": g.int(1, 20) / 10, "beta": g.int(0, 20) / 10} if g.chance(0.5) else {}
    g.node("Gemm", [a, b, c] if g.chance(0.8) else [a, b], transA=ta, transB=tb, **attrs)


@row("Einsum", __name__)
def einsum(g: Gen) -> None:
    """Any equation: letters shared, summed, repeated in one operand; an ellipsis; blanks; with or without a result."""
    letters = "abcdeijk"
    sizes: dict[str, Sizes] = {}
    terms, operands = [], []
    dots = g.chance(0.25)
    dtype = g.type(("float32", "float64", "int32"))
    broadcast = g.sizes(g.int(1, 2)) if dots else []
    for _ in range(g.int(1, 3)):
        term = [g.of(letters[:4] if g.chance(0.7) else letters) for _ in range(g.int(0 if dots else 1, 3))]
        for letter in term:
            sizes.setdefault(letter, (g.int(1, 5),) * g.settings.runs)
        at = g.int(0, len(term))
        shape = [*(sizes[x] for x in term[:at]), *broadcast, *(sizes[x] for x in term[at:])]
        if dots and g.chance(0.3):
            shape = [*(sizes[x] for x in term[:at]), *broadcast[1:], *(sizes[x] for x in term[at:])]
        operands.append(g.any((dtype,), shape=shape, low=-2, high=2))
        terms.append("".join(term[:at]) + ("..." if dots else "") + "".join(term[at:]))
    seen = sorted({x for t in terms for x in t if x != "."})
    g.need(all(v.size for v in operands), "onnxruntime divides by an empty extent and dies")
    g.need(prod(max(sizes[x]) for x in seen) * prod(max(s) for s in broadcast) < 50_000, "a large sum")
    equation = (", " if g.chance(0.2) else ",").join(terms)
    if g.chance(0.8):
        kept = [x for x in seen if g.chance(0.6)]
        g.rnd.shuffle(kept)
        at = g.int(0, len(kept))
        equation += "->" + "".join(kept[:at]) + ("..." if dots else "") + "".join(kept[at:])
    g.node("Einsum", operands, equation=equation)


@row("Det", __name__)
def det(g: Gen) -> None:
    n = (g.int(1, 5),) * g.settings.runs
    g.node("Det", [g.any(("float32", "float64"), (2, 4), shape=[*g.sizes(g.int(0, 2)), n, n])])


BYTE = ("uint8", "int8")


def zero_point(g: Gen, dtype: str, shape: tuple[int, ...] = ()) -> Var:
    return g.weight(g.contents(dtype, shape, 0 if dtype == "uint8" else -3, 5))


def second(g: Gen, a: Var, types: tuple[str, ...], n: Sizes) -> Var:
    """The right factor. Pairs of products of uint8 and int8 overflow 16 bits in onnxruntime (and there alone) on some CPUs."""
    kind = g.of(types)
    low, high = (-63, 63) if a.dtype == "uint8" and kind == "int8" else (None, None)
    return g.any((kind,), (2, 2), shape=[a.sizes[-1], n], low=low, high=high, weight=0.7)


@row("MatMulInteger", __name__)
def matmul_integer(g: Gen) -> None:
    a = g.any(BYTE, (1, 3))
    n: Sizes = (width(g),) * g.settings.runs
    b = second(g, a, BYTE, n)
    ins: list[Var | None] = [a, b]
    if g.chance(0.7):
        ins.append(zero_point(g, a.dtype) if g.chance(0.8) else None)
        ins.append(zero_point(g, b.dtype, (max(n),) if g.chance(0.3) else ()))
    g.node("MatMulInteger", ins)


@row("QLinearMatMul", __name__)
def qlinear_matmul(g: Gen) -> None:
    """Scales are powers of two: the quotient is exact, so a tie is one for everybody."""
    a = g.any(("uint8", "int8"), (2, 3))
    b = second(g, a, (a.dtype,) if a.dtype == "int8" else BYTE, (width(g),) * g.settings.runs)

    def scale() -> Var:
        return g.weight(np.array(2.0 ** -g.int(3, 6), np.float32))

    out = g.weight(np.array(g.int(0, 9), a.dtype))
    g.node("QLinearMatMul", [a, scale(), zero_point(g, a.dtype), b, scale(), zero_point(g, b.dtype),
                             g.weight(np.array(0.5, np.float32)), out])
