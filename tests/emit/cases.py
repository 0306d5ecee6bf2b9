# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small computations that between them use every form a loop nest is printed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_, scan, scatter, source
from aotgen.ir.expr import E, cast, const, fn, guard, ix_value, select, wrap_negative
from aotgen.ir.program import packed
from tests.emit.harness import Array, Case

_rng = np.random.default_rng(7)


def floats(*shape: int, special: bool = False) -> Array:
    a = _rng.standard_normal(shape).astype(np.float32)
    if special:
        a.flat[:: max(a.size // 7, 1)] = np.nan
        a.flat[1::13] = np.inf
        a.flat[2::17] = -np.inf
        a.flat[3::19] = -0.0
    return a


def ints(low: int, high: int, *shape: int, dtype: Any = np.int64) -> Array:
    return _rng.integers(low, high, shape, dtype=dtype)


def inp(shape: Sequence[Any], dtype: DType = dtypes.f32) -> Def:
    return source("", shape, dtype)


def relu(prepared: bool = True) -> Case:
    x = inp((6, 10, 37))
    y = compute(x.shape, lambda *i: fn("max", x[i], const(0.0, "f32")))
    return Case([y], {x: floats(6, 10, 37, special=True)}, prepared=prepared)


def bias() -> Case:
    x, b = inp((5, 33)), inp((33,))
    return Case([compute(x.shape, lambda i, j: fn("tanh", x[i, j] + b[j]))], {x: floats(5, 33), b: floats(33)})


def transpose() -> Case:
    x = inp((3, 20, 35))
    return Case([compute((35, 3, 20), lambda c, a, b: x[a, b, c])], {x: floats(3, 20, 35)})


def _softmax(x: Def, axis: int) -> Def:
    kept = [1 if a == axis else d for a, d in enumerate(x.shape)]

    def at(i: Any, r: Any) -> tuple[Any, ...]:
        return tuple(r if a == axis else k for a, k in enumerate(i))

    def zero(i: Any) -> tuple[Any, ...]:
        return at(i, index.ix(0))

    m = reduce_("max", kept, [x.shape[axis]], lambda i, r: x[at(i, r[0])])
    e = compute(x.shape, lambda *i: fn("exp", x[i] - m[zero(i)]))
    s = reduce_("sum", kept, [x.shape[axis]], lambda i, r: e[at(i, r[0])])
    inverse = compute(kept, lambda *i: 1.0 / s[i])
    return compute(x.shape, lambda *i: e[i] * inverse[zero(i)])


def softmax(shape: tuple[int, ...] = (12, 77), axis: int = 1, prepared: bool = True) -> Case:
    x = inp(shape)
    return Case([_softmax(x, axis)], {x: floats(*shape) * 4}, prepared=prepared)


def masked_softmax() -> Case:
    x, mask, scale = inp((8, 16, 128)), inp((128,)), inp(())
    z = compute(x.shape, lambda a, b, c: x[a, b, c] * scale[()] + mask[c])
    return Case([_softmax(z, 2)], {x: floats(8, 16, 128), mask: floats(128), scale: np.float32(0.3).reshape(())})


def layernorm(rows: int = 9, width: int = 96) -> Case:
    x, g, b, skip = inp((rows, width)), inp((width,)), inp((width,)), inp((rows, width))
    mean = reduce_("sum", (rows,), (width,), lambda i, r: x[i[0], r[0]] * (1.0 / width))
    d = compute(x.shape, lambda i, j: x[i, j] - mean[i,])
    var = reduce_("sum", (rows,), (width,), lambda i, r: d[i[0], r[0]] * d[i[0], r[0]])
    inv = compute((rows,), lambda i: fn("rsqrt", var[i,] * (1.0 / width) + 1e-5))
    norm = compute(x.shape, lambda i, j: d[i, j] * inv[i,] * g[j,] + b[j,])
    gelu = compute(x.shape, lambda i, j: norm[i, j] * 0.5 * (fn("erf", norm[i, j] * 0.7071067811865476) + 1.0))
    out = compute(x.shape, lambda i, j: gelu[i, j] + skip[i, j])
    return Case([out], {x: floats(rows, width), g: floats(width), b: floats(width), skip: floats(rows, width)})


def pool(kind: str, blocked: bool, prepared: bool = True) -> Case:
    n, c, h, w, k, s, p = 2, 20, 11, 9, 3, 2, 1
    x = inp((n, c, h, w))
    out = (n, c, (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1)
    rest = -np.inf if kind == "max" else 0.0

    def f(o: Any, r: Any) -> E:
        y, z = o[2] * s + r[0] - p, o[3] * s + r[1] - p
        inside = fn("and", expr.between(0, y, h), expr.between(0, z, w))
        return guard(inside, x[o[0], o[1], y, z], const(rest, "f32"))

    y = reduce_(kind, out, (k, k), f)
    layouts = {d: packed(d.shape, block_axis=1) for d in (x, y)} if blocked else {}
    return Case([y], {x: floats(n, c, h, w, special=kind == "max")}, layouts, prepared=prepared)


def concat() -> Case:
    a, b, c = inp((4, 5, 21)), inp((4, 7, 21)), inp((4, 2, 21))

    def f(i: Any, j: Any, k: Any) -> E:
        second = guard(expr.ge0(11 - j), b[i, j - 5, k], c[i, j - 12, k])
        return guard(expr.ge0(4 - j), a[i, j, k], second)

    return Case([compute((4, 14, 21), f)], {a: floats(4, 5, 21), b: floats(4, 7, 21), c: floats(4, 2, 21)})


def pad(prepared: bool = True) -> Case:
    x = inp((3, 8, 20))

    def f(i: Any, j: Any, k: Any) -> E:
        inside = fn("and", expr.between(0, j - 2, 8), expr.between(0, k - 3, 20))
        return guard(inside, fn("exp", x[i, j - 2, k - 3]), const(1.5, "f32"))

    return Case([compute((3, 11, 27), f)], {x: floats(3, 8, 20)}, prepared=prepared)


def gather(itype: DType = dtypes.i64) -> Case:
    x, at = inp((9, 40)), inp((3, 5), itype)
    y = compute((3, 5, 40), lambda i, j, k: x[wrap_negative(at[i, j], 9), k])
    return Case([y], {x: floats(9, 40), at: ints(-9, 9, 3, 5)})


def gather_last() -> Case:
    x, at = inp((9, 40)), inp((23,), dtypes.i64)
    return Case(
        [compute((9, 23), lambda i, j: x[i, wrap_negative(at[j], 40)])], {x: floats(9, 40), at: ints(-40, 40, 23)}
    )


def argmax(kind: str, axis: int, dtype: DType = dtypes.f32, prepared: bool = True) -> Case:
    x = inp((12, 30), dtype)
    over = (x.shape[axis],)
    y = reduce_(kind, (x.shape[1 - axis],), over, lambda o, r: x[(o[0], r[0]) if axis else (r[0], o[0])])
    data = np.round(floats(12, 30) * 2)
    if dtype.is_float:
        data[3, 4] = data[3, 9] = np.nan
        data[5] = -np.inf if "max" in kind else np.inf
    return Case([y], {x: data.astype(dtype.numpy)}, prepared=prepared)


def cumsum(axis: int, prepared: bool = True) -> Case:
    x = inp((12, 30))
    return Case(
        [scan("add", x.shape, axis, lambda i, j: x[i, j])], {x: floats(12, 30)}, prepared=prepared, tolerance=1e-5
    )


def scatter_add() -> Case:
    x, at, up = inp((10, 24)), inp((15,), dtypes.i64), inp((15, 24))
    y = scatter("add", x, (15, 24), lambda i, j: (wrap_negative(at[i], 10), j), lambda i, j: up[i, j])
    return Case([y], {x: floats(10, 24), at: ints(-10, 10, 15), up: floats(15, 24)})


def quantise(to: DType, prepared: bool = True) -> Case:
    x, s, z = inp((4, 6, 19)), inp((6,)), inp((6,), to)
    lo, hi = (0.0, 255.0) if to.kind == "u" else (-128.0, 127.0)

    def f(i: Any, j: Any, k: Any) -> E:
        v = fn("rint", x[i, j, k] / s[j,]) + cast(z[j,], "f32")
        return cast(fn("max", fn("min", v, const(hi, "f32")), const(lo, "f32")), to)

    q = compute(x.shape, f, to)
    return Case([q], {x: floats(4, 6, 19) * 50, s: np.abs(floats(6)) + 0.3, z: ints(0, 100, 6)}, prepared=prepared)


def dequantise() -> Case:
    x, s, z = inp((4, 6, 19), dtypes.u8), inp((6,)), inp((6,), dtypes.u8)
    y = compute(x.shape, lambda i, j, k: cast(x[i, j, k] - z[j,], "f32") * s[j,])
    return Case([y], {x: ints(0, 256, 4, 6, 19), s: floats(6), z: ints(0, 256, 6)})


def where() -> Case:
    c, a, b = inp((7, 31), dtypes.boolean), inp((7, 31)), inp((31,))
    y = compute(c.shape, lambda i, j: select(c[i, j], a[i, j], b[j,]))
    n = compute(c.shape, lambda i, j: fn("isnan", y[i, j]), dtypes.boolean)
    return Case([y, n], {c: ints(0, 2, 7, 31) > 0, a: floats(7, 31, special=True), b: floats(31)})


def whole_numbers(t: DType) -> Case:
    a, b = inp((5, 17), t), inp((5, 17), t)
    outs = [
        compute(a.shape, lambda i, j, f=f: f(a[i, j], b[i, j]))
        for f in (
            lambda x, y: x + y * 3,
            lambda x, y: fn("div", x, y),
            lambda x, y: fn("mod", x, y),
            lambda x, y: fn("fmod", x, y),
            lambda x, y: fn("max", x - y, fn("abs", x)),
            lambda x, y: select(x < y, x, -y),
            lambda x, y: fn("sign", x) + y,
        )
    ]
    total = reduce_("sum", (5,), (17,), lambda o, r: a[o[0], r[0]] * b[o[0], r[0]])
    most = reduce_("max", (5,), (17,), lambda o, r: a[o[0], r[0]])
    low = 0 if t.kind == "u" else -(1 << (t.bits - 1))
    high = (1 << min(t.bits, 63)) - 1 if t.kind == "u" else (1 << (t.bits - 1)) - 1
    x, y = ints(-50, 50, 5, 17), ints(-4, 5, 5, 17)
    if t.kind == "u":
        x, y = abs(x), abs(y)
    x = x.astype(t.numpy)
    x[0, :3], x[1, 4] = low + (t.kind == "i"), high
    return Case([*outs, total, most], {a: x, b: y})


def halves(t: DType) -> Case:
    x, y = inp((4, 50), t), inp((4, 50), t)
    s = compute(x.shape, lambda i, j: x[i, j] * y[i, j] + 0.25, t)
    total = reduce_("sum", (4,), (50,), lambda o, r: x[o[0], r[0]])
    return Case([s, total], {x: floats(4, 50), y: floats(4, 50)}, tolerance=1e-6)


def casts() -> Case:
    x, b = inp((64,)), inp((64,), dtypes.boolean)
    data = np.array(
        [0.5, -0.5, 300.7, -1.0, 3e9, -3e9, 1e19, -1e19, np.nan, np.inf, -np.inf, 127.5] + [1.0] * 52, np.float32
    )
    outs = [
        compute((64,), lambda i, t=t: cast(x[i,], t), dtypes.of(t))
        for t in ("u8", "i8", "i16", "i32", "i64", "bool", "f16", "bf16", "f64")
    ]
    outs.append(compute((64,), lambda i: cast(fn("max", x[i,], const(0.0, "f32")), "u32"), dtypes.u32))
    flags = [compute((64,), lambda i, t=t: cast(b[i,], t), dtypes.of(t)) for t in ("f32", "i64", "u8", "f16")]
    return Case([*outs, *flags], {x: data, b: ints(0, 2, 64) > 0})


def small_floats(name: str) -> Case:
    t = dtypes.of(name)
    codes = np.arange(1 << t.bits, dtype=np.uint8)
    x, y = inp((len(codes),), t), inp((4096,))
    reals = np.concatenate([floats(2040) * s for s in (1.0, 300.0)] + [np.array([np.nan, np.inf, -np.inf, -0.0] * 4)])
    back = compute(x.shape, lambda i: x[i,] * 1.0)
    down = compute(y.shape, lambda i: cast(y[i,], t), t)
    wide = compute(y.shape, lambda i: cast(cast(y[i,], "f64"), t), t)
    return Case([back, down, wide], {x: codes.view(t.numpy), y: reals.astype(np.float32)})


def empty() -> Case:
    x = inp((3, 0, 5))
    total = reduce_("sum", (3, 5), (0,), lambda o, r: x[o[0], r[0], o[1]])
    return Case([compute(x.shape, lambda i, j, k: x[i, j, k] + 1.0), total], {x: floats(3, 0, 5)}, prepared=False)


def reductions(prepared: bool = True) -> Case:
    x = inp((6, 70))
    f = floats(6, 70)
    f[2, 9] = np.nan
    f[3, :] = -np.inf
    kinds = [reduce_(k, (6,), (70,), lambda o, r: x[o[0], r[0]]) for k in ("sum", "max", "min", "prod")]
    flags = [reduce_(k, (6,), (70,), lambda o, r: x[o[0], r[0]] < 0.5) for k in ("and", "or")]
    wide = [reduce_(k, (6,), (70,), lambda o, r: cast(x[o[0], r[0]], "f64")) for k in ("max", "sum")]
    return Case([*kinds, *flags, *wide], {x: f}, prepared=prepared, tolerance=1e-5)


def columns() -> Case:
    x = inp((50, 40))
    return Case(
        [reduce_(k, (40,), (50,), lambda o, r: x[r[0], o[0]]) for k in ("sum", "max")],
        {x: floats(50, 40)},
        tolerance=1e-5,
    )


def open_dims() -> Case:
    n, length = index.dim("batch size", 1, 64), index.dim("L", 1, 512)
    x, b = inp((n, length, 24)), inp((24,))
    y = _softmax(compute(x.shape, lambda i, j, k: x[i, j, k] + b[k,]), 2)
    z = compute((n * length, 24), lambda i, k: fn("max", x[i // length, i % length, k], const(0.0, "f32")))
    t = _softmax(x, 1)
    return Case([y, z, t], {x: floats(3, 14, 24), b: floats(24)}, dims={"batch size": 3, "L": 14})


def boundless() -> Case:
    n = index.dim("unbounded")
    x = inp((n, n + 3))
    return Case(
        [_softmax(x, 1), compute((n,), lambda i: cast(ix_value(i + n), "f32") * x[i, i])],
        {x: floats(40, 43)},
        dims={"unbounded": 40},
    )


def wide_rows() -> Case:
    x = inp((3, 5000))
    return Case([_softmax(x, 1)], {x: floats(3, 5000)})


def half_pixel() -> Case:
    x = inp((2, 13, 17))

    def axis(k: Any, d: int, s: float) -> tuple[Any, Any, E]:
        p = fn("max", (cast(ix_value(k, "i32"), "f32") + 0.5) / s - 0.5, const(0.0, "f32"))
        p = fn("min", p, const(d - 1.0, "f32"))
        lo = cast(fn("floor", p), "i32")
        return index.indirect(lo, d), index.indirect(fn("min", lo + 1, const(d - 1, "i32")), d), p - cast(lo, "f32")

    def f(n: Any, h: Any, w: Any) -> E:
        (y0, y1, fy), (x0, x1, fx) = axis(h, 13, 1.7), axis(w, 17, 2.3)
        top, low = (x[n, y, x0] * (1.0 - fx) + x[n, y, x1] * fx for y in (y0, y1))
        return top * (1.0 - fy) + low * fy

    return Case([compute((2, 22, 39), f)], {x: floats(2, 13, 17)}, tolerance=1e-5)


def everything() -> dict[str, Case]:
    """Every case, by name."""
    out = {
        "relu": relu(),
        "bias": bias(),
        "transpose": transpose(),
        "softmax_row": softmax(),
        "softmax_axis1": softmax((5, 23, 40)),
        "softmax_short": softmax((9, 7)),
        "masked_softmax": masked_softmax(),
        "layernorm": layernorm(),
        "concat": concat(),
        "pad": pad(),
        "gather": gather(),
        "gather32": gather(dtypes.i32),
        "gather_last": gather_last(),
        "scatter_add": scatter_add(),
        "dequantise": dequantise(),
        "where": where(),
        "casts": casts(),
        "reductions": reductions(),
        "columns": columns(),
        "open_dims": open_dims(),
        "boundless": boundless(),
        "wide_rows": wide_rows(),
        "half_pixel": half_pixel(),
        "empty": empty(),
    }
    for kind in ("max", "sum"):
        for blocked in (False, True):
            out[f"pool_{kind}_{'nchw16c' if blocked else 'nchw'}"] = pool(kind, blocked)
    for kind in ("argmax", "argmin", "argmax_last", "argmin_last"):
        for axis in (0, 1):
            out[f"{kind}_{axis}"] = argmax(kind, axis)
    out["argmax_ints"] = argmax("argmax_last", 1, dtypes.i32)
    for t in (dtypes.i64, dtypes.i32, dtypes.u32, dtypes.u64):
        out[f"whole_{t}"] = whole_numbers(t)
    for t in (dtypes.f16, dtypes.bf16):
        out[f"half_{t}"] = halves(t)
    for t in (dtypes.u8, dtypes.i8):
        out[f"quantise_{t}"] = quantise(t)
    for name in ("f8e4m3fn", "f8e5m2", "f8e4m3fnuz", "f8e5m2fnuz", "f8e8m0", "f6e2m3", "f6e3m2", "f4e2m1"):
        out[f"small_{name}"] = small_floats(name)
    for axis in (0, 1):
        out[f"cumsum_{axis}"] = cumsum(axis)
    plain = {
        "relu": relu(False),
        "softmax": softmax(prepared=False),
        "pool": pool("max", True, False),
        "pad": pad(False),
        "argmax": argmax("argmax", 0, prepared=False),
        "cumsum": cumsum(0, False),
        "quantise": quantise(dtypes.i8, False),
        "reductions": reductions(False),
        "transpose": softmax((5, 23, 40), 0, False),
    }
    return out | {f"plain_{k}": v for k, v in plain.items()}
