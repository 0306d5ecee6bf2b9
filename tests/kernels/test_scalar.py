# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""scalar.h and library.h: integers against Python's, casts against NumPy, sorting against plain references.

Everything is built once with UBSan on (any undefined behaviour aborts) and once per instruction set.
"""

from __future__ import annotations

import ctypes
import operator
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scalar_probe import LIBRARY_PROBE

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels"
WARN = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
CONFIGS = {
    "avx512": ("avx512f", ["-O3", "-march=x86-64-v4"]),
    "avx2": ("avx2", ["-O3", "-march=x86-64-v3"]),
    "sanitized": ("", ["-O1", "-DAOT_SCALAR", "-fsanitize=undefined", "-fno-sanitize-recover=all",
                       "-static-libubsan"]),
}  # fmt: skip

INTS = {f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}
FLOATS: dict[str, np.dtype[Any]] = {"float": np.dtype("float32"), "double": np.dtype("float64")}
BINARY = ("wadd", "wsub", "wmul", "idiv", "imod", "ifmod", "vmax", "vmin")


def ctype(name: str) -> str:
    return name if name in FLOATS else f"{name}_t"


def probe_text() -> str:
    """One extern "C" loop per function and type; every loop is `omp simd`."""
    lines = ['#include "scalar.h"', '#include "library.h"', "using namespace AOT_NS;"]
    loop = "\n#pragma omp simd\n  for (int i = 0; i < n; ++i) "

    def add(name: str, args: str, body: str) -> None:
        lines.append(f'extern "C" void {name}({args}, int n) {{{loop}{body}; }}')

    for n in INTS:
        t = ctype(n)
        for op in BINARY:
            add(f"{op}_{n}", f"const {t}* a, const {t}* b, {t}* y", f"y[i] = {op}(a[i], b[i])")
        for op in ("wneg", "wabs"):
            add(f"{op}_{n}", f"const {t}* a, {t}* y", f"y[i] = {op}(a[i])")
        add(f"ipow_{n}", f"const {t}* a, const {t}* b, {t}* y", "y[i] = ipow(a[i], b[i])")
        if n.startswith("u"):
            for op in ("shl", "shr"):
                add(f"{op}_{n}", f"const {t}* a, const {t}* b, {t}* y", f"y[i] = {op}(a[i], b[i])")
    every = [*INTS, *FLOATS]
    for source in every:
        for target in every:
            s, t = ctype(source), ctype(target)
            add(f"cast_{source}_{target}", f"const {s}* x, {t}* y", f"y[i] = cast_to<{t}>(x[i])")
        add(f"bool_{source}", f"const {ctype(source)}* x, uint8_t* y", "y[i] = cast_bool(x[i])")
    for op, s, t in (
        ("h2f", "uint16_t", "float"), ("bf2f", "uint16_t", "float"), ("f2h", "float", "uint16_t"),
        ("f2bf", "float", "uint16_t"), ("d2h", "double", "uint16_t"), ("d2bf", "double", "uint16_t"),
        ("keymax", "float", "int32_t"), ("keymin", "float", "int32_t"), ("unkey", "int32_t", "float"),
    ):  # fmt: skip
        add(op, f"const {s}* x, {t}* y", f"y[i] = {op}(x[i])")
    for kind, start in (("max", "-__builtin_inff()"), ("min", "__builtin_inff()")):
        pick = ">" if kind == "max" else "<"
        lines.append(
            f'extern "C" float reduce_{kind}(const float* x, int n) {{ int32_t m = key{kind}({start});\n'
            f"#pragma omp simd reduction({kind} : m)\n"
            f"  for (int i = 0; i < n; ++i) {{ const int32_t k = key{kind}(x[i]);\n"
            f"    m = k {pick} m ? k : m; }}\n"
            "  return unkey(m); }"
        )
    for op in ("reflect_index", "wrap_negative"):
        add(f"{op}_", "const int32_t* a, const int32_t* b, int32_t* y", f"y[i] = {op}(a[i], b[i])")
    lines.append(
        'extern "C" int32_t clampi_(int32_t i, int32_t lo, int32_t hi) { return clampi(i, lo, hi); }'
    )
    return "\n".join([*lines, LIBRARY_PROBE])


class NmsProblem(ctypes.Structure):
    _fields_ = [
        ("boxes", ctypes.c_void_p), ("scores", ctypes.c_void_p), ("batches", ctypes.c_ssize_t),
        ("classes", ctypes.c_ssize_t), ("n", ctypes.c_ssize_t), ("max_boxes", ctypes.c_int64),
        ("iou_threshold", ctypes.c_float), ("score_threshold", ctypes.c_float),
        ("use_score_threshold", ctypes.c_bool), ("center_point_box", ctypes.c_bool),
    ]  # fmt: skip


def host_has(feature: str) -> bool:
    flags = re.search(r"^flags\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return not feature or (flags is not None and feature in flags.group(1).split())


class Probe:
    def __init__(self, folder: Path, name: str) -> None:
        feature, flags = CONFIGS[name]
        if not host_has(feature):
            pytest.skip(f"this machine has no {feature}")
        source, out = folder / f"scalar_{name}.cpp", folder / f"scalar_{name}.so"
        source.write_text(probe_text())
        self.text = source.read_text().splitlines()
        command = ["g++", "-std=c++17", "-shared", "-fPIC", "-fopenmp-simd", "-fno-math-errno",
                   "-fno-trapping-math", "-fopt-info-vec-optimized", f"-I{KERNELS / 'common'}",
                   *WARN, *flags, str(source), "-o", str(out)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:4000]
        self.name, self.notes, self.lib = name, done.stderr, ctypes.CDLL(str(out))

    def __call__(self, name: str, *arrays: np.ndarray, out: np.dtype | type) -> np.ndarray:
        y = np.empty(arrays[0].shape, out)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, y)]
        getattr(self.lib, name)(*pointers, ctypes.c_int(y.size))
        return y


@pytest.fixture(scope="module", params=list(CONFIGS))
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return Probe(tmp_path_factory.mktemp("scalar"), request.param)


def int_pairs(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    info = np.iinfo(dtype)
    edge = [info.min, info.min + 1, -7, -2, -1, 0, 1, 2, 3, 7, info.max - 1, info.max]
    edge = sorted({e for e in edge if info.min <= e <= info.max})
    rng = np.random.default_rng(0)
    more = rng.integers(info.min, info.max, 300, dtype=dtype, endpoint=True)
    small = rng.integers(max(info.min, -9), 10, 300).astype(dtype)
    a, b = (g.ravel() for g in np.meshgrid(np.array(edge, dtype), np.array(edge, dtype)))
    return np.concatenate([a, more, more]), np.concatenate([b, more[::-1], small])


def wrap(value: int, dtype: np.dtype) -> int:
    bits = dtype.itemsize * 8
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.kind == "i" and value >> (bits - 1) else value


def truncated(a: int, b: int) -> int:
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


INT_TRUTH: dict[str, Callable[[int, int], int]] = {
    "wadd": lambda a, b: a + b,
    "wsub": lambda a, b: a - b,
    "wmul": lambda a, b: a * b,
    "idiv": truncated,
    "imod": lambda a, b: a % b if b else 0,
    "ifmod": lambda a, b: a - truncated(a, b) * b if b else 0,
    "vmax": max,
    "vmin": min,
}


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("name", list(INTS))
def test_integer_arithmetic(probe: Probe, name: str, op: str) -> None:
    a, b = int_pairs(INTS[name])
    got = probe(f"{op}_{name}", a, b, out=INTS[name])
    want = [wrap(INT_TRUTH[op](x, y), INTS[name]) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert got.tolist() == want


@pytest.mark.parametrize("name", list(INTS))
def test_negation_power_and_shift(probe: Probe, name: str) -> None:
    dtype = INTS[name]
    a, b = int_pairs(dtype)
    assert probe(f"wneg_{name}", a, out=dtype).tolist() == [wrap(-x, dtype) for x in a.tolist()]
    assert probe(f"wabs_{name}", a, out=dtype).tolist() == [wrap(abs(x), dtype) for x in a.tolist()]

    def power(x: int, y: int) -> int:
        if y >= 0:
            return wrap(pow(x, y, 1 << 64), dtype)
        return {1: 1, -1: -1 if y % 2 else 1}.get(x, 0)

    want = [power(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert probe(f"ipow_{name}", a, b, out=dtype).tolist() == want
    if dtype.kind == "u":
        counts = np.resize(np.array([0, 1, 5, 7, 8, 15, 16, 31, 32, 63, 64, 200], dtype), a.size)
        for op, shift in (("shl", operator.lshift), ("shr", operator.rshift)):
            want = [wrap(shift(x, c), dtype) for x, c in zip(a.tolist(), counts.tolist(), strict=True)]
            assert probe(f"{op}_{name}", a, counts, out=dtype).tolist() == want


def cast_truth(x: float, dtype: np.dtype) -> int:
    """The table of scalar.h, in Python integers."""
    if x != x:
        return 0
    bits = dtype.itemsize * 8

    def clamp(lo: int, hi: int) -> int:
        return lo if x <= lo else hi if x >= hi else int(x)

    signed = clamp(-(1 << (max(bits, 32) - 1)), (1 << (max(bits, 32) - 1)) - 1)
    if dtype.kind == "u" and bits >= 32 and x >= 0:
        return clamp(0, (1 << bits) - 1)
    return wrap(signed, dtype)


@pytest.mark.parametrize("source", list(FLOATS))
def test_cast_from_float(probe: Probe, source: str) -> None:
    rng = np.random.default_rng(1)
    fixed = [0.0, -0.0, 0.5, -0.5, 0.99, -0.99, 1.9, -1.9, 127, 128, 129.5, 255, 256, 300, -128, -129,
             -300, 32767.9, 32768, 65535, 65536, -40000, 2147483520, 2147483647, 2147483648, 3e9,
             4294967040, 4294967296, 5e9, -2147483648, -2147483904, -3e9, 9.2e18, 9.223372036854775e18,
             9.3e18, 1.8e19, 1.9e19, -9.3e18, 1e30, -1e30, np.inf, -np.inf, np.nan, 1e-45]  # fmt: skip
    wide = rng.normal(0, 1, 500) * np.exp2(rng.uniform(-3, 70, 500))
    x = np.concatenate([np.array(fixed), wide]).astype(FLOATS[source])
    for target, dtype in INTS.items():
        got = probe(f"cast_{source}_{target}", x, out=dtype)
        assert got.tolist() == [cast_truth(v, dtype) for v in x.tolist()], target
    assert probe(f"bool_{source}", x, out=np.uint8).tolist() == [int(v != 0) for v in x.tolist()]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(probe(f"cast_{source}_float", x, out=np.float32), x.astype(np.float32))


def test_cast_from_int(probe: Probe) -> None:
    for source, dtype in INTS.items():
        x = int_pairs(dtype)[0]
        for target, to in INTS.items():
            got = probe(f"cast_{source}_{target}", x, out=to)
            assert got.tolist() == [wrap(v, to) for v in x.tolist()], (source, target)
        for target, real in FLOATS.items():
            np.testing.assert_array_equal(probe(f"cast_{source}_{target}", x, out=real), x.astype(real))
        assert probe(f"bool_{source}", x, out=np.uint8).tolist() == [int(v != 0) for v in x.tolist()]


def test_casts_equal_onnxruntime_where_the_value_fits(probe: Probe) -> None:
    """What ONNX defines, and the wrap of 8 and 16 bits that onnxruntime chose, by asking it."""
    ort = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    x = np.array(
        [0, -0.5, 1.9, -1.9, 128, 200.7, 300, -1, -129, -300, 65536, 70000, -40000, 2e9, -2e9], np.float32
    )
    for target, dtype in INTS.items():
        to = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        model = onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["" : 21]> g (float[n] x) => ({target}[n] y) '
            f"{{ y = Cast <to: int = {to}> (x) }}"
        )
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (want,) = session.run(None, {"x": x})
        got = probe(f"cast_float_{target}", x, out=dtype)
        np.testing.assert_array_equal(got, want, err_msg=target)


def test_half_and_bfloat16(probe: Probe) -> None:
    h = np.arange(2**16, dtype=np.uint16)
    got, want = probe("h2f", h, out=np.float32), h.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(got, want)
    wide = (h.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(probe("bf2f", h, out=np.float32), wide)
    rng = np.random.default_rng(2)
    with np.errstate(invalid="ignore"):
        middle = np.nextafter(want[:-1], np.float32(np.inf)), (want[:-1] + want[1:]) / 2, want[:-1]
    random = rng.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    near = (rng.normal(0, 1, 100_000) * np.exp2(rng.uniform(-27, 17, 100_000))).astype(np.float32)
    x = np.concatenate([*middle, random, near]).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        half = x.astype(np.float16)
    got16 = probe("f2h", x, out=np.uint16)
    number = ~np.isnan(x)
    np.testing.assert_array_equal(got16[number], half.view(np.uint16)[number])
    assert np.isnan(got16[~number].view(np.float16)).all()
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    gotb = probe("f2bf", x, out=np.uint16)
    np.testing.assert_array_equal(gotb[number], rounded[number])
    assert np.isnan((gotb[~number].astype(np.uint32) << 16).view(np.float32)).all()


def test_double_to_half_rounds_once(probe: Probe) -> None:
    rng = np.random.default_rng(4)
    grid = rng.normal(0, 1, 50_000).astype(np.float16).astype(np.float64)
    ulp = np.spacing(np.abs(grid).astype(np.float16)).astype(np.float64)
    x = np.concatenate([grid + ulp * (0.5 + s * 2.0**-40) for s in (-1, 0, 1)])
    x = np.concatenate([x, [np.inf, -np.inf, np.nan, 1e300, -1e-300, 65519.999, 65520.0]])
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    np.testing.assert_array_equal(probe("d2h", x, out=np.uint16).view(np.float16), want)
    b = np.array([1 + 2.0**-8 + 2.0**-45, 1 + 2.0**-8, 1 + 2.0**-8 - 2.0**-45, 1e300])
    got = (probe("d2bf", b, out=np.uint16).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(got, np.array([1 + 2.0**-7, 1, 1, np.inf], np.float32))


def test_keys_order_floats_and_keep_nan(probe: Probe) -> None:
    x = np.array([-np.inf, -3.4e38, -1, -1e-45, -0.0, 0.0, 1e-45, 1, 3.4e38, np.inf], np.float32)
    for op in ("keymax", "keymin"):
        key = probe(op, x, out=np.int32)
        assert (np.diff(key.astype(np.int64)) > 0).all()
        back = probe("unkey", key, out=np.float32)
        np.testing.assert_array_equal(back.view(np.uint32), x.view(np.uint32))
        nan = probe(op, np.array([np.nan, -np.nan], np.float32), out=np.int32)
        assert (nan > key.max()).all() if op == "keymax" else (nan < key.min()).all()
        assert np.isnan(probe("unkey", nan, out=np.float32)).all()
    rng = np.random.default_rng(5)
    for kind, pick, empty in (("max", np.max, -np.inf), ("min", np.min, np.inf)):
        reduce = getattr(probe.lib, f"reduce_{kind}")
        reduce.restype = ctypes.c_float
        for n in (1, 7, 16, 33, 127):
            row = rng.normal(0, 1, n).astype(np.float32)
            assert reduce(ctypes.c_void_p(row.ctypes.data), ctypes.c_int(n)) == pick(row)
            row[n // 2] = np.nan
            assert np.isnan(reduce(ctypes.c_void_p(row.ctypes.data), ctypes.c_int(n)))
        assert reduce(ctypes.c_void_p(x.ctypes.data), ctypes.c_int(0)) == empty


def test_index_helpers(probe: Probe) -> None:
    i, n = (g.ravel().astype(np.int32) for g in np.meshgrid(np.arange(-25, 26), np.arange(1, 8)))
    got = probe("reflect_index_", i, n, out=np.int32)
    rows = [
        np.pad(np.arange(d), (25, 25 + 1 - d), mode="reflect") if d > 1 else np.zeros(51, int)
        for d in range(1, 8)
    ]
    np.testing.assert_array_equal(got, np.concatenate(rows))
    wrapped = probe("wrap_negative_", i, n, out=np.int32)
    np.testing.assert_array_equal(wrapped, np.where(i < 0, i + n, i))
    assert [probe.lib.clampi_(v, -2, 3) for v in (-9, -2, 0, 3, 9)] == [-2, -2, 0, 3, 3]


VECTORISED = ["wadd_int32", "wmul_int8", "vmax_int64", "cast_float_int8", "cast_float_uint8",
              "cast_float_int32", "cast_int64_int32", "cast_int8_float", "bool_float", "h2f", "f2h",
              "bf2f", "f2bf", "keymax", "shl_uint32"]  # fmt: skip


@pytest.mark.parametrize("name", VECTORISED)
def test_loop_becomes_vector_code(probe: Probe, name: str) -> None:
    if probe.name == "sanitized":
        pytest.skip("not promised")
    start = next(k for k, line in enumerate(probe.text, 1) if f"void {name}(" in line)
    lines = {int(m) for m in re.findall(r"\.cpp:(\d+):\d+: optimized: loop vectorized", probe.notes)}
    assert lines & {start + 1, start + 2}, f"{name} stayed scalar"


def rank(x: np.ndarray, k: int, largest: bool) -> np.ndarray:
    """Indices along axis 1 of [outer, n, inner], best first, ties by index, NaN larger than all."""
    keys = x.astype(np.float64) if x.dtype.kind == "f" else x.astype(object)
    order = np.empty((x.shape[0], k, x.shape[2]), np.int64)
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            line = [(v != v, 0 if v != v else v) for v in keys[o, :, i].tolist()]
            ranked = sorted(range(len(line)), key=lambda j: line[j], reverse=largest)
            if largest:  # a reversed stable sort keeps ties in order already
                ranked = sorted(range(len(line)), key=lambda j: (-line[j][0], -line[j][1]))
            order[o, :, i] = ranked[:k]
    return order


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "float16"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 17, 5), (2, 100, 1), (1, 9, 7)])
def test_topk(probe: Probe, dtype: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(6)
    x = rng.integers(0, 20, shape).astype(dtype)  # few values: many ties
    if x.dtype.kind == "f":
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.1] *= -1
    outer, n, inner = shape
    size = getattr(probe.lib, f"topk_bytes_{dtype}")
    size.restype = ctypes.c_size_t
    for k in {0, 1, n // 2, n}:
        for largest in (True, False):
            for threads in (1, 3):
                scratch = np.zeros(size(ctypes.c_long(k), threads) + 8, np.uint8)
                values, indices = np.zeros((outer, k, inner), dtype), np.zeros((outer, k, inner), np.int64)
                args = [ctypes.c_void_p(a.ctypes.data) for a in (x, values, indices)]
                extents = [ctypes.c_long(e) for e in (outer, n, inner, k)]
                getattr(probe.lib, f"topk_{dtype}")(
                    *args, *extents, int(largest), threads, ctypes.c_void_p(scratch.ctypes.data)
                )
                want = rank(x, k, largest)
                np.testing.assert_array_equal(indices, want)
                np.testing.assert_array_equal(values, np.take_along_axis(x, want, 1))
                assert not scratch[-8:].any()


@pytest.mark.parametrize("shape", [(), (1,), (0,), (40,), (3, 5, 7), (2, 0, 3), (4, 1, 6)])
def test_nonzero(probe: Probe, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    x = np.where(rng.random(shape) < 0.5, 0, rng.normal(0, 1, shape)).astype(np.float32)
    if x.size > 3:
        x.flat[1:4] = [np.nan, -0.0, 1e-45]
    want = np.stack(np.nonzero(x)) if shape else np.zeros((0, int(x != 0)), np.int64)
    dims = np.array(shape, np.int64)
    for threads in (1, 4):
        got, counts = np.full(want.shape, -1, np.int64), np.zeros(threads, np.int64)
        total = probe.lib.nonzero(
            ctypes.c_void_p(x.ctypes.data), ctypes.c_long(x.size), ctypes.c_void_p(dims.ctypes.data),
            len(shape), ctypes.c_void_p(counts.ctypes.data), ctypes.c_void_p(got.ctypes.data), threads,
        )  # fmt: skip
        assert total == want.shape[1]
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("length", [0, 3, 6, 9])
def test_compress(probe: Probe, length: int) -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(0, 1, (4, 6, 5)).astype(np.float32)
    condition = (rng.random(length) < 0.5).astype(np.uint8) * 7
    want = np.compress(condition[:6] != 0, x, axis=1)
    for threads in (1, 3):
        got = np.empty_like(want)
        count = probe.lib.compress_f(
            ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(condition.ctypes.data), ctypes.c_long(length),
            ctypes.c_void_p(got.ctypes.data), ctypes.c_long(4), ctypes.c_long(6), ctypes.c_long(5), threads,
        )  # fmt: skip
        assert count == want.shape[1]
        np.testing.assert_array_equal(got, want)


def run_nms(
    probe: Probe, boxes: np.ndarray, scores: np.ndarray, threads: int, **options: object
) -> np.ndarray:
    problem = NmsProblem(boxes.ctypes.data, scores.ctypes.data, *scores.shape, **options)
    probe.lib.nms_bytes.restype = ctypes.c_size_t
    scratch = np.zeros(probe.lib.nms_bytes(ctypes.byref(problem), threads) + 8, np.uint8)
    selected = np.full((scores.size, 3), -1, np.int64)
    count = probe.lib.nms(
        ctypes.byref(problem),
        ctypes.c_void_p(selected.ctypes.data),
        threads,
        ctypes.c_void_p(scratch.ctypes.data),
    )
    assert not scratch[-8:].any()
    return selected[:count]


@pytest.mark.parametrize("center", [False, True])
def test_non_max_suppression_equals_onnxruntime(probe: Probe, center: bool) -> None:
    ort = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[b,n,4] boxes, float[b,c,n] scores, '
        "int64[1] most, float[1] iou, float[1] low) => (int64[m,3] y) "
        f"{{ y = NonMaxSuppression <center_point_box: int = {int(center)}> (boxes, scores, most, iou, low) }}"
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(9)
    for n in (1, 6, 60):
        boxes = rng.random((2, n, 4)).astype(np.float32)
        boxes[0, : n // 3] = boxes[0, n - n // 3 :]  # identical boxes, and scores with ties
        scores = (rng.integers(0, 12, (2, 3, n)) / 12).astype(np.float32)
        for most, iou, low in (
            (0, 0.5, 0.0),
            (1, 0.5, 0.2),
            (5, 0.3, 0.25),
            (1000, 0.5, -1.0),
            (1000, 0.0, 0.4),
        ):
            limits = {"iou": np.array([iou], np.float32), "low": np.array([low], np.float32)}
            feeds = {"boxes": boxes, "scores": scores, "most": np.array([most]), **limits}
            (want,) = session.run(None, feeds)
            for threads in (1, 4):
                options = {"max_boxes": most, "iou_threshold": iou, "score_threshold": low}
                got = run_nms(
                    probe,
                    boxes,
                    scores,
                    threads,
                    **options,
                    use_score_threshold=True,
                    center_point_box=center,
                )
                np.testing.assert_array_equal(got, want)


def test_non_max_suppression_without_score_threshold(probe: Probe) -> None:
    boxes = np.array([[[0, 0, 1, 1], [2, 2, 3, 3], [0, 0, 1, 1], [5, 5, 5, 5]]], np.float32)
    scores = np.array([[[-5, -1, np.nan, -7]]], np.float32)
    got = run_nms(probe, boxes, scores, 1, max_boxes=9, iou_threshold=0.5, score_threshold=0.0,
                  use_score_threshold=False, center_point_box=False)  # fmt: skip
    assert got.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 3]]
