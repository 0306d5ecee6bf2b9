# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MatMul, Gemm, Einsum and the integer products against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import check, check_open, close, expect, f32, ints, run

from aotgen.core.errors import ModelError


@pytest.mark.parametrize(("a", "b"), [
    ((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((1, 4), (4, 1)), ((3, 1), (1, 3)), ((0, 3), (3, 2)),
    ((2, 0), (0, 3))])
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    check("MatMul", [f32(*a), f32(*b)])


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.uint32])
def test_matmul_types(dtype: type) -> None:
    check("MatMul", [ints(dtype, 0, 9, 3, 4), ints(dtype, 0, 9, 4, 2)])


def test_matmul_half_accumulates_in_single() -> None:
    a, b = f32(3, 300).astype(np.float16), f32(300, 4).astype(np.float16)
    got, = run("MatMul", [a, b])
    np.testing.assert_array_equal(got, (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float16))


def test_matmul_open() -> None:
    check_open("MatMul", [f32(2, 3, 4), f32(4, 5)], {0: ["N", "T", 4]})
    check_open("MatMul", [f32(2, 3, 4), f32(2, 4, 5)], {0: ["N", "T", "K"], 1: ["N", "K", "S"]})


def test_matmul_refuses() -> None:
    with pytest.raises(ModelError, match="MatMul"):
        run("MatMul", [f32(2, 3), f32(4, 5)])


@pytest.mark.parametrize("attrs", [{}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0},
                                   {"beta": 0.0}])
@pytest.mark.parametrize("c", [None, (), (5,), (3, 1), (3, 5)])
def test_gemm(attrs: dict[str, float], c: tuple[int, ...] | None) -> None:
    a = f32(4, 3) if attrs.get("transA") else f32(3, 4)
    b = f32(5, 4) if attrs.get("transB") else f32(4, 5)
    check("Gemm", [a, b] + ([] if c is None else [f32(*c)]), **attrs)


@pytest.mark.parametrize(("equation", "shapes"), [
    ("ij,jk->ik", [(3, 4), (4, 5)]), ("ij,jk", [(3, 4), (4, 5)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("ij->ji", [(3, 4)]), ("ij->", [(3, 4)]), ("ii->i", [(4, 4)]), ("ii", [(4, 4)]), ("i,j->ij", [(3,), (4,)]),
    ("i,i->", [(3,), (3,)]), ("i,i->i", [(3,), (3,)]), ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
    ("...ij->...ji", [(2, 5, 3, 4)]), ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("abc,cd,b->ad", [(2, 3, 4), (4, 5), (3,)]), ("ijk->j", [(2, 3, 4)]), ("iij->j", [(3, 3, 2)]), ("ba,ab->", [(2, 3), (3, 2)]),
    ("bqhd,hdm->bqm", [(2, 3, 4, 5), (4, 5, 6)]), ("a,ab,abc->abc", [(2,), (2, 3), (2, 3, 4)]), ("bij,bj->bi", [(2, 3, 4), (2, 4)]),
    ("...i,...i->...", [(2, 3), (1, 3)]), ("Ab,bA->A", [(2, 3), (3, 2)])])
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    xs = [f32(*s) for s in shapes]
    check("Einsum", xs, by="ref", equation=equation)


@pytest.mark.parametrize(("ta", "tb"), [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)])
@pytest.mark.parametrize("zeros", ["none", "scalar", "vector"])
def test_matmul_integer(ta: type, tb: type, zeros: str) -> None:
    a, b = ints(ta, 0, 100, 2, 3, 4), ints(tb, 0, 100, 4, 5)
    more = {"none": [], "scalar": [ta(3), tb(5)], "vector": [ta(3), ints(tb, 0, 9, 5)]}[zeros]
    check("MatMulInteger", [a, b, *(np.asarray(z) for z in more)])


def test_matmul_integer_row_zero_points() -> None:
    a, b, za = ints(np.uint8, 0, 100, 3, 4), ints(np.uint8, 0, 100, 4, 5), ints(np.uint8, 0, 9, 3)
    got, = run("MatMulInteger", [a, b, za])
    np.testing.assert_array_equal(got, (a.astype(int) - za[:, None]) @ b.astype(int))
    got, = run("MatMulInteger", [a, b, za[:, None]])
    np.testing.assert_array_equal(got, (a.astype(int) - za[:, None]) @ b.astype(int))


@pytest.mark.parametrize("columns", [False, True])
def test_qlinear_matmul(columns: bool) -> None:
    b_scale = np.abs(f32(5)) + 0.01 if columns else np.float32(0.02)
    b_zero = ints(np.int8, -3, 3, 5) if columns else np.int8(2)
    args = [ints(np.uint8, 0, 255, 2, 3, 4), np.float32(0.03), np.uint8(7), ints(np.int8, -100, 100, 4, 5), b_scale, b_zero,
            np.float32(0.05), np.uint8(11)]
    args = [np.asarray(a) for a in args]
    close(run("QLinearMatMul", args), expect("QLinearMatMul", args, opset=21))


@pytest.mark.parametrize("attrs", [{}, {"transA": 1, "alpha": 0.5}, {"transB": 1}, {"transA": 1, "transB": 1},
                                   {"transBatchA": 1, "transBatchB": 1}])
def test_fused_matmul(attrs: dict[str, float]) -> None:
    a, b = f32(2, 3, 4), f32(2, 4, 5)
    if attrs.get("transBatchA"):
        a, b = a.transpose(1, 0, 2).copy(), b.transpose(1, 0, 2).copy()
    a = a.swapaxes(-1, -2).copy() if attrs.get("transA") else a
    b = b.swapaxes(-1, -2).copy() if attrs.get("transB") else b
    check("FusedMatMul", [a, b], domain="com.microsoft", **attrs)
