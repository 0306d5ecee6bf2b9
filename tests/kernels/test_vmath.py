# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""vmath.h against the C library in double: ULP bounds, special values, vector forms, and vectorised loops.

One C++ probe is compiled per instruction set and contraction setting. It scans bit patterns with an odd
stride (so all exponents, denormals, infinities and NaNs are met) and hands back the worst error and where it
was.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels"
WARN = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
MODE = ["-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math"]

# name -> (largest error in ULP, expression of the true value of the double x)
UNARY: dict[str, tuple[float, str]] = {
    "vexp": (1.1, "exp(x)"),
    "vexpm1": (3, "expm1(x)"),
    "vlog": (1.5, "log(x)"),
    "vlog1p": (3, "log1p(x)"),
    "vsigmoid": (3, "1 / (1 + exp(-x))"),
    "vtanh": (3, "tanh(x)"),
    "vsinh": (3, "sinh(x)"),
    "vcosh": (3, "cosh(x)"),
    "verf": (4, "erf(x)"),
    "vasinh": (4, "asinh(x)"),
    "vacosh": (4, "acosh(x)"),
    "vatanh": (4, "atanh(x)"),
    "vsin": (2, "sin(x)"),
    "vcos": (2, "cos(x)"),
    "vtan": (4, "tan(x)"),
    "vasin": (3, "asin(x)"),
    "vacos": (3, "acos(x)"),
    "vatan": (3, "atan(x)"),
    "vsqrt": (0.5001, "sqrt(x)"),
    "vrsqrt": (2, "1 / sqrt(x)"),
    "vabs": (0, "fabs(x)"),
    "vrint": (0, "rint(x)"),
    "vfloor": (0, "floor(x)"),
    "vceil": (0, "ceil(x)"),
    "vtrunc": (0, "trunc(x)"),
}
BINARY: dict[str, tuple[float, str]] = {
    "vpow": (4, "pow(x, y)"),
    "vfmod": (0, "fmod(x, y)"),
    "vmod": (0.5001, "floor_mod(x, y)"),
}
VECTORISED = ["vexp", "vexpm1", "vlog", "vlog1p", "vsigmoid", "vtanh", "vsinh", "vcosh", "verf", "vasinh",
              "vacosh", "vatanh", "vsin", "vcos", "vtan", "vasin", "vacos", "vatan", "vrint", "vfloor",
              "vceil", "vtrunc", "vrsqrt", "vsqrt"]  # fmt: skip

CONFIGS: dict[str, tuple[str, list[str]]] = {
    "avx512": ("avx512f", ["-O3", "-march=x86-64-v4", "-mprefer-vector-width=512", "-DWIDTH=16"]),
    "avx2": ("avx2", ["-O3", "-march=x86-64-v3", "-DWIDTH=8"]),
    "avx2-uncontracted": ("avx2", ["-O3", "-march=x86-64-v3", "-ffp-contract=off", "-DWIDTH=8"]),
    "scalar": ("", ["-O2", "-DAOT_SCALAR", "-DWIDTH=4"]),
}

PRELUDE = r"""
#include <math.h>
#include <string.h>
#include "vmath.h"
using namespace AOT_NS;
static double floor_mod(double x, double y) {
  const double r = fmod(x, y);
  if (r == 0) return copysign(0.0, y);
  return (r < 0) != (y < 0) ? r + y : r;
}
// Distance in units of the last place of a float at `want`; inf for a wrong NaN, infinity or sign of zero.
static double ulps(float got, double want) {
  if (want != want || got != got) return want != want && got != got ? 0 : INFINITY;
  const float near = static_cast<float>(want);
  if (got == near && isinf(got)) return 0;
  if (isinf(want) || (got == 0 && near == 0 && signbit(got) != signbit(near))) return INFINITY;
  const int e = want == 0 || ilogb(want) < -126 ? -126 : ilogb(want) > 127 ? 127 : ilogb(want);
  return fabs((isinf(got) ? copysign(0x1p128, got) : static_cast<double>(got)) - want) / ldexp(1.0, e - 23);
}
using vw = vm::vec<float, WIDTH>;
static void keep_worst(double e, float x, float y, double* worst) {
  if (!(e <= worst[0])) { worst[0] = e; worst[1] = x; worst[2] = y; }
}
constexpr long kBlock = 1024;
"""

UNARY_PROBE = r"""
extern "C" void run_NAME(const float* x, float* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = NAME(x[i]);
}
extern "C" void vec_NAME(const float* x, float* y, long n) {
  for (long i = 0; i + WIDTH <= n; i += WIDTH) {
    vw v;
    memcpy(&v, x + i, sizeof v);
    v = NAME(v);
    memcpy(y + i, &v, sizeof v);
  }
}
extern "C" double f64_NAME(double x) { return NAME(x); }
extern "C" double ref_NAME(double x) { return TRUTH; }
extern "C" void scan_NAME(uint32_t first, uint32_t stride, long n, double* worst) {
  static float in[kBlock], out[kBlock];
  for (long done = 0; done < n; done += kBlock) {
    for (long i = 0; i < kBlock; ++i, first += stride) memcpy(&in[i], &first, 4);
    run_NAME(in, out, kBlock);
    for (long i = 0; i < kBlock; ++i) keep_worst(ulps(out[i], ref_NAME(in[i])), in[i], 0, worst);
  }
}
"""

BINARY_PROBE = r"""
extern "C" void run_NAME(const float* a, const float* b, float* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = NAME(a[i], b[i]);
}
extern "C" void vec_NAME(const float* a, const float* b, float* y, long n) {
  for (long i = 0; i + WIDTH <= n; i += WIDTH) {
    vw v, w;
    memcpy(&v, a + i, sizeof v);
    memcpy(&w, b + i, sizeof w);
    v = NAME(v, w);
    memcpy(y + i, &v, sizeof v);
  }
}
extern "C" double f64_NAME(double x, double y) { return NAME(x, y); }
extern "C" void check_NAME(const float* a, const float* b, long n, double* worst) {
  static float out[1 << 20];
  run_NAME(a, b, out, n);
  for (long i = 0; i < n; ++i) {
    const double x = a[i], y = b[i];
    keep_worst(ulps(out[i], TRUTH), a[i], b[i], worst);
  }
}
"""


def probe_text(unary: list[str], binary: list[str]) -> str:
    """The C++ source of a probe for the named functions."""
    parts = [PRELUDE]
    for names, table, body in ((unary, UNARY, UNARY_PROBE), (binary, BINARY, BINARY_PROBE)):
        parts += [body.replace("NAME", n).replace("TRUTH", table[n][1]) for n in names]
    return "\n".join(parts)


def host_has(feature: str) -> bool:
    flags = re.search(r"^flags\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return not feature or (flags is not None and feature in flags.group(1).split())


def compiler(source: Path, out: Path, flags: list[str]) -> str:
    """Compiles to a shared library, returns what the compiler said."""
    includes = [f"-I{KERNELS / sub}" for sub in ("common", "cpu")]
    command = ["g++", "-std=c++17", "-shared", "-fPIC", *MODE, *flags, *includes, str(source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    return done.stderr


class Probe:
    """A built probe and what -fopt-info-vec said about its source lines."""

    def __init__(self, folder: Path, name: str) -> None:
        feature, flags = CONFIGS[name]
        if not host_has(feature):
            pytest.skip(f"this machine has no {feature}")
        source = folder / f"probe_{name}.cpp"
        source.write_text(probe_text(list(UNARY), list(BINARY)))
        self.text = source.read_text().splitlines()
        self.notes = compiler(
            source, folder / f"probe_{name}.so", [*flags, *WARN, "-fopt-info-vec-optimized"]
        )
        self.name = name
        self.lib = ctypes.CDLL(str(folder / f"probe_{name}.so"))

    def unary(self, prefix: str, x: np.ndarray) -> np.ndarray:
        y = np.empty_like(x)
        getattr(self.lib, prefix)(_f32(x), _f32(y), ctypes.c_long(x.size))
        return y

    def binary(self, prefix: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        y = np.empty_like(a)
        getattr(self.lib, prefix)(_f32(a), _f32(b), _f32(y), ctypes.c_long(a.size))
        return y


def _f32(a: np.ndarray) -> ctypes.c_void_p:
    assert a.dtype == np.float32 and a.flags.c_contiguous
    return ctypes.c_void_p(a.ctypes.data)


@pytest.fixture(scope="module", params=list(CONFIGS))
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return Probe(tmp_path_factory.mktemp("vmath"), request.param)


def worst_of(call: object, *args: object) -> tuple[float, float, float]:
    worst = (ctypes.c_double * 3)(-1.0, 0.0, 0.0)
    call(*args, worst)  # type: ignore[operator]
    return worst[0], worst[1], worst[2]


@pytest.mark.parametrize("name", list(UNARY))
def test_error_bound_over_all_exponents(probe: Probe, name: str) -> None:
    count = 256 * 1024
    stride = (2**32 // count) | 1
    first = 12345 if probe.name == "avx2" else 777
    scan = getattr(probe.lib, f"scan_{name}")
    error, at, _ = worst_of(scan, ctypes.c_uint32(first), ctypes.c_uint32(stride), ctypes.c_long(count))
    assert error <= UNARY[name][0], f"{name}({at!r}): {error} ULP"


@pytest.mark.parametrize("name", list(UNARY))
def test_error_bound_where_it_matters(probe: Probe, name: str) -> None:
    """Every exponent from 2^-24 to 2^17 densely, both signs."""
    for base in (0x33800000, 0xB3800000):
        count = 128 * 1024
        stride = (41 * 2**23 // count) | 1
        scan = getattr(probe.lib, f"scan_{name}")
        error, at, _ = worst_of(
            scan, ctypes.c_uint32(base + 5), ctypes.c_uint32(stride), ctypes.c_long(count)
        )
        assert error <= UNARY[name][0], f"{name}({at!r}): {error} ULP"


EDGES = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, 1e-45, -1e-45, 1.1754942e-38,
     1.17549435e-38, 3.4028235e38, -3.4028235e38, np.inf, -np.inf, np.nan, 88.72283, 88.72284, 89.4,
     89.41599, 89.5, -87.33655, -88.0, -103.97, -103.98, -104.0, 0.99999994, 1.0000001, 8388607.5,
     8388608.0, -8388607.5, 16777216.0, 4194303.5, 2.0, 3.0, -3.0, 10.0, 100.0, 9.01, 9.02, 3.92, 3.93,
     0.70710677, 0.7071068, 1.4142135, 0.41421357, 2.4142137, 0.7853981, 0.7853982, 1.5707963, 1.5707964,
     3.1415927, 6.2831855, 1e5, 1e10, 1e22, 1e30, 16367173.0 * 2.0**72, 22.0, 355.0, 104348.0],
    dtype=np.float32,
)  # fmt: skip


@pytest.mark.parametrize("name", list(UNARY))
def test_special_values_and_vector_form(probe: Probe, name: str) -> None:
    x = np.resize(EDGES, 64 * 16)
    rng = np.random.default_rng(3)
    x[EDGES.size :] = rng.integers(0, 2**32, x.size - EDGES.size, dtype=np.uint32).view(np.float32)
    reference = getattr(probe.lib, f"ref_{name}")
    reference.restype = ctypes.c_double
    want = np.array([reference(ctypes.c_double(v)) for v in x.tolist()])
    for prefix in ("run", "vec"):
        got = probe.unary(f"{prefix}_{name}", x)
        with np.errstate(over="ignore", under="ignore"):
            near = want.astype(np.float32)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(near))
        np.testing.assert_array_equal(np.isinf(got[:64]), np.isinf(near[:64]))
        number = ~np.isnan(near)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(near[number]))
        finite = np.isfinite(near) & np.isfinite(got)
        with np.errstate(over="ignore"):  # the largest float's spacing is found by overflowing
            unit = np.nan_to_num(np.spacing(np.abs(near[finite])), nan=2.0**104, posinf=2.0**104).astype(
                np.float64
            )
        assert np.all(np.abs(got[finite] - want[finite]) <= (UNARY[name][0] + 0.01) * unit)


@pytest.mark.parametrize("name", list(UNARY))
def test_double_overload(probe: Probe, name: str) -> None:
    ours, reference = (getattr(probe.lib, f"{p}_{name}") for p in ("f64", "ref"))
    ours.restype = reference.restype = ctypes.c_double
    for v in (0.3, -0.3, 1.7, -25.0, 40.0, float("nan"), float("inf"), -0.0):
        a, b = ours(ctypes.c_double(v)), reference(ctypes.c_double(v))
        np.testing.assert_allclose(a, b, rtol=1e-15)


def pairs(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Arguments: all bit patterns, moderate ones, results near overflow, integers, pairs of edges."""
    rng = np.random.default_rng(11)
    any_a, any_b = (rng.integers(0, 2**32, n, dtype=np.uint32).view(np.float32) for _ in range(2))
    mid_a = np.exp2(rng.uniform(-30, 30, n)).astype(np.float32) * rng.choice([1, 1, 1, -1], n).astype(
        np.float32
    )
    mid_b = np.where(rng.random(n) < 0.3, rng.integers(-20, 20, n), rng.normal(0, 4, n)).astype(np.float32)
    base = (1 + rng.normal(0, 1, n) * np.exp2(rng.uniform(-20, -1, n))).astype(np.float32)
    with np.errstate(all="ignore"):
        wide = (rng.uniform(-151, 129, n) / np.log2(np.abs(base).astype(np.float64))).astype(np.float32)
    edge_a, edge_b = (g.ravel().astype(np.float32) for g in np.meshgrid(EDGES, EDGES))
    a = np.concatenate([any_a, mid_a, np.abs(base), edge_a])
    b = np.concatenate([any_b, mid_b, wide, edge_b])
    keep = a.size // 16 * 16
    return np.ascontiguousarray(a[:keep]), np.ascontiguousarray(b[:keep])


@pytest.mark.parametrize("name", list(BINARY))
def test_binary_error_bound(probe: Probe, name: str) -> None:
    a, b = pairs(name, 60_000)
    check = getattr(probe.lib, f"check_{name}")
    error, x, y = worst_of(check, _f32(a), _f32(b), ctypes.c_long(a.size))
    assert error <= BINARY[name][0], f"{name}({x!r}, {y!r}): {error} ULP"
    scalar, vector = (probe.binary(f"{p}_{name}", a, b) for p in ("run", "vec"))
    np.testing.assert_array_equal(np.isnan(scalar), np.isnan(vector))
    fine = np.isfinite(scalar)
    np.testing.assert_allclose(vector[fine], scalar[fine], rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize("name", VECTORISED)
def test_loop_becomes_vector_code(probe: Probe, name: str) -> None:
    """The compiler says it vectorised the loop of run_NAME."""
    if probe.name == "scalar":
        pytest.skip("not promised at -O2 without an instruction set")
    start = next(i for i, line in enumerate(probe.text, 1) if f"void run_{name}(" in line)
    lines = {int(m) for m in re.findall(r"\.cpp:(\d+):\d+: optimized: loop vectorized", probe.notes)}
    assert lines & {start + 1, start + 2}, f"{name} stayed scalar"


def test_max_and_min_keep_nan(tmp_path: Path) -> None:
    source = tmp_path / "m.cpp"
    source.write_text(
        '#include "vmath.h"\n#define T(n, t) extern "C" t n##_##t(t a, t b) { return AOT_NS::n(a, b); }\n'
        "T(vmax, float) T(vmin, float) T(vmax, double) T(vmin, double)\n"
    )
    compiler(source, tmp_path / "m.so", ["-O2", *WARN])
    lib = ctypes.CDLL(str(tmp_path / "m.so"))
    for kind in ("float", "double"):
        c = getattr(ctypes, f"c_{kind}")
        for op, pick in (("vmax", max), ("vmin", min)):
            f = getattr(lib, f"{op}_{kind}")
            f.restype = c
            f.argtypes = [c, c]
            assert f(1.5, -2.0) == pick(1.5, -2.0) and f(-2.0, 1.5) == pick(1.5, -2.0)
            assert np.isnan(f(np.nan, 1.0)) and np.isnan(f(1.0, np.nan))


@pytest.mark.parametrize("order", [("simd.h", "vmath.h"), ("vmath.h", "simd.h")])
def test_lives_beside_simd_h_and_leaves_no_symbol(tmp_path: Path, order: tuple[str, str]) -> None:
    """Both headers in one file, in either order; at -O0 nothing may become a weak symbol."""
    source = tmp_path / "both.cpp"
    use = (
        "float f(float x) { return AOT_NS::vmax(AOT_NS::vexp(x), AOT_NS::vpow(x, 2.0f)) + AOT_NS::vsin(x); }"
    )
    source.write_text("".join(f'#include "{h}"\n' for h in order) + f'extern "C" {use}\n')
    compiler(source, tmp_path / "both.so", ["-O0"])
    listing = subprocess.run(
        ["nm", str(tmp_path / "both.so")], capture_output=True, text=True, check=True
    ).stdout
    weak = [s for s in re.findall(r"^\S* ?[WVu] (\S+)$", listing, re.M) if "aot" in s or "vm" in s]
    assert weak == []
