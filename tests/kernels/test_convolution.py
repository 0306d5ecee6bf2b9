# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""conv.h and depthwise.h against their reference loops and NumPy on every instruction set of the host.

Operands are small whole numbers, so every sum is exact in float32 whatever its order: results are compared
for equality. Whatever a kernel may not read holds NaN or lies behind a guard page; every output counts how
often it was written.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import astuple, dataclass

import numpy as np
import pytest
from harness import (
    POISON,
    PRELUDE,
    THREADS,
    Guarded,
    Isa,
    ceil_div,
    check_outputs,
    guarded_copy,
    integers,
    isas,
    load,
)

ISAS = isas()

CONV = (
    PRELUDE
    + """
struct Run { ptrdiff_t N, G, IC, OC, OH, OW, KH, KW, SH, SW, DH, DW, IB, xN, xCB, xC, xH, xW; };
#define INT(NAME, VALUE) static constexpr Int<VALUE> NAME{}
template <int IC_, int OC_, int O_, int K_, int S_, int P_> struct Fixed {
  INT(N, 1); INT(G, 1); INT(IC, IC_); INT(OC, OC_); INT(OH, O_); INT(OW, O_); INT(KH, K_); INT(KW, K_);
  INT(SH, S_); INT(SW, S_); INT(DH, 1); INT(DW, 1); INT(IB, 16); INT(xN, 0); INT(xCB, P_ * P_ * 16);
  INT(xC, 1); INT(xH, P_ * 16); INT(xW, 16);
};
template <bool W> struct Out {
  static constexpr bool kPadded = W;
  float* out; int* hits; ptrdiff_t OH, OW, blocks;
  template <class V> AOT_INLINE void operator()(V v, int n, int cb, int h, int w, int l) const {
    const ptrdiff_t i = (((n * blocks + cb) * OH + h) * OW + w) * 16 + l;
    record(out + i, hits + i, v);
  }
};
template <class D, int MR, int NV, class E>
void call(const D& d, const float* x, const float* w, const E& e, int nt) {
  if (nt == 0) return conv_ref(d, x, w, e);
  for (int t = 0; t < nt; ++t) conv<D, rows_of(MR), panels_of(NV)>(d, x, w, e, t, nt);
}
struct RunDw { ptrdiff_t N, C, OH, OW, KH, KW, SH, SW, DH, DW, xN, xCB, xH, xW; };
template <int KH_, int KW_, int S_, int D_> struct FilterDw {
  ptrdiff_t N, C, OH, OW, xN, xCB, xH, xW;
  INT(KH, KH_); INT(KW, KW_); INT(SH, S_); INT(SW, S_); INT(DH, D_); INT(DW, D_);
};
template <int C_, int O_> struct FixedDw {
  INT(N, 1); INT(C, C_); INT(OH, O_); INT(OW, O_); INT(KH, 3); INT(KW, 3); INT(SH, 1); INT(SW, 1);
  INT(DH, 1); INT(DW, 1); INT(xN, 0); INT(xCB, (O_ + 2) * (O_ + 2) * 16); INT(xH, (O_ + 2) * 16); INT(xW, 16);
};
template <class D, int TH, int TW, class E>
void call_dw(const D& d, const float* x, const float* w, const E& e, int nt) {
  if (nt == 0) return depthwise_ref(d, x, w, e);
  for (int t = 0; t < nt; ++t) depthwise<D, TH, TW>(d, x, w, e, t, nt);
}
#define ENTRY(NAME) \\
  void NAME(const ptrdiff_t* p, const float* x, const float* w, float* o, int* h, int nt)
extern "C" {
#define DYNAMIC(NAME, MR, NV, W)                                                                 \\
  ENTRY(NAME) {                                                                                  \\
    const Run d{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8],                            \\
                p[9], p[10], p[11], p[12], p[13], p[14], p[15], p[16], p[17]};                   \\
    call<Run, MR, NV>(d, x, w, Out<W>{o, h, p[4], p[5], p[18]}, nt);                             \\
  }
DYNAMIC(dynamic_7x4, 7, 4, false)
DYNAMIC(dynamic_3x1, 3, 1, true)
#define FIXED(IC, OC, O, K, S, MR, NV, W)                                                        \\
  ENTRY(fixed_##IC##_##OC##_##O##_##K##_##S) {                                                   \\
    typedef Fixed<IC, OC, O, K, S, (O - 1) * S + K> D;                                           \\
    call<D, MR, NV>(D{}, x, w, Out<W>{o, h, p[4], p[5], p[18]}, nt);                             \\
  }
@FIXED@
ENTRY(depthwise_any) {
  const RunDw d{p[0], p[2], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[13], p[14], p[16], p[17]};
  call_dw<RunDw, 2, 3>(d, x, w, Out<false>{o, h, p[4], p[5], p[18]}, nt);
}
#define FILTER(KH, KW, S, D, TH, TW, W)                                                          \\
  ENTRY(depthwise_##KH##_##KW##_##S##_##D) {                                                     \\
    typedef FilterDw<KH, KW, S, D> F;                                                            \\
    const F d{p[0], p[2], p[4], p[5], p[13], p[14], p[16], p[17]};                               \\
    call_dw<F, TH, TW>(d, x, w, Out<W>{o, h, p[4], p[5], p[18]}, nt);                            \\
  }
FILTER(3, 3, 1, 1, 2, 3, false)
FILTER(3, 3, 2, 1, 2, 2, true)
FILTER(5, 1, 1, 2, 1, 4, false)
ENTRY(depthwise_fixed_33_17) {
  typedef FixedDw<33, 17> D;
  call_dw<D, 2, 7>(D{}, x, w, Out<false>{o, h, p[4], p[5], p[18]}, nt);
}
}
"""
)

# IC, OC, output size, kernel, stride, MR, NV, whole vectors only
FIXED_CONVS = (
    (1, 8, 9, 3, 1, 14, 2, "false"),
    (3, 33, 8, 7, 2, 7, 4, "false"),
    (17, 64, 15, 1, 1, 7, 4, "false"),
    (16, 16, 31, 3, 1, 16, 1, "true"),
    (32, 31, 7, 3, 2, 7, 4, "true"),
    (33, 127, 1, 3, 1, 7, 4, "false"),
)


@dataclass(frozen=True)
class Case:
    """A convolution: images, groups, channels of a group, output, kernel, stride, dilation."""

    n: int
    g: int
    ic: int
    oc: int
    oh: int
    ow: int
    kh: int
    kw: int
    s: int = 1
    d: int = 1

    @property
    def height(self) -> int:
        return (self.oh - 1) * self.s + (self.kh - 1) * self.d + 1

    @property
    def width(self) -> int:
        return (self.ow - 1) * self.s + (self.kw - 1) * self.d + 1


def conv_library(isa: Isa) -> ctypes.CDLL:
    fixed = "\n".join(f"FIXED({', '.join(map(str, shape))})" for shape in FIXED_CONVS)
    return load(CONV.replace("@FIXED@", fixed), isa)


def lay_out(x: np.ndarray, layout: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """x [N,C,H,W] in `layout`, NaN in lanes that are no channel, and IB xN xCB xC xH xW."""
    n, c, h, w = x.shape
    if layout == "NCHW":
        return x, (c, c * h * w, 0, h * w, w, 1)
    if layout == "NHWC":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)), (c, h * w * c, 0, 1, w * c, c)
    blocks = ceil_div(c, 16)
    held = np.full((n, blocks * 16, h, w), POISON, np.float32)
    held[:, :c] = x
    held = np.ascontiguousarray(held.reshape(n, blocks, 16, h, w).transpose(0, 1, 3, 4, 2))
    return held, (16, blocks * h * w * 16, h * w * 16, 1, w * 16, 16)


def convolve(x: np.ndarray, weight: np.ndarray, case: Case) -> np.ndarray:
    """float64 convolution of x [N,G*IC,H,W] by weight [G*OC,IC,KH,KW], no padding."""
    out = np.zeros((case.n, case.g, case.oc, case.oh, case.ow))
    xg = x.reshape(case.n, case.g, case.ic, case.height, case.width).astype(np.float64)
    wg = weight.reshape(case.g, case.oc, case.ic, case.kh, case.kw)
    for kh, kw in itertools.product(range(case.kh), range(case.kw)):
        h, w = kh * case.d, kw * case.d
        h_end, w_end = h + (case.oh - 1) * case.s + 1, w + (case.ow - 1) * case.s + 1
        window = xg[..., h : h_end : case.s, w : w_end : case.s]
        out += np.einsum("ngihw,goi->ngohw", window, wg[..., kh, kw], optimize=True)
    return out.reshape(case.n, case.g * case.oc, case.oh, case.ow)


def run_conv(
    library: ctypes.CDLL, name: str, case: Case, layout: str = "NCHW16c", *, whole: bool = False,
    depthwise: bool = False, side: str = "end",
) -> None:  # fmt: skip
    """Checks kernel `name` on whole-number operands of `case`, on 1, 2 and 3 threads."""
    rng = np.random.default_rng(list(astuple(case)))
    channels = case.g * case.oc
    blocks = ceil_div(channels, 16)
    x = integers(rng, case.n, case.g * case.ic, case.height, case.width)
    weight = integers(rng, channels, case.ic, case.kh, case.kw)
    held, strides = lay_out(x, layout)
    packed = np.full((blocks * 16, case.ic, case.kh, case.kw), POISON, np.float32)
    packed[:channels] = weight
    packed = packed.reshape(blocks, 16, case.ic, case.kh, case.kw).transpose(0, 3, 4, 2, 1)
    expected = np.zeros((case.n, blocks * 16, case.oh, case.ow), np.float32)
    expected[:, :channels] = convolve(x, weight, case)
    expected = expected.reshape(case.n, blocks, 16, case.oh, case.ow).transpose(0, 1, 3, 4, 2)
    lanes = np.arange(blocks * 16).reshape(1, blocks, 1, 1, 16)
    valid = np.broadcast_to(lanes < channels, expected.shape)
    sizes = (case.n, case.g, case.g * case.ic if depthwise else case.ic, case.oc, case.oh, case.ow)
    params = (*sizes, case.kh, case.kw, case.s, case.s, case.d, case.d, *strides, blocks)
    gx, gw = guarded_copy(held, side), guarded_copy(np.ascontiguousarray(packed), side)
    for nt in (0, *THREADS):
        out, hits = Guarded(expected.size, side), Guarded(expected.size, side, 0, np.int32)
        arguments = (ctypes.c_ssize_t * len(params))(*params)
        library[name](arguments, gx.pointer, gw.pointer, out.pointer, hits.pointer, nt)
        what = f"{name} {layout} {case} nt={nt}"
        if whole and nt:
            assert (hits.array == 1).all(), what
            got = out.array.reshape(expected.shape)
            np.testing.assert_array_equal(got[valid], expected[valid] + 1, err_msg=what)
        else:
            check_outputs(out, hits, expected, valid, what)


CONVS = (
    Case(1, 1, 1, 1, 1, 1, 1, 1),
    Case(2, 1, 7, 9, 8, 9, 3, 3),
    Case(1, 1, 16, 15, 7, 17, 3, 2, s=2),
    Case(1, 1, 17, 127, 9, 15, 1, 1),
    Case(1, 1, 33, 16, 1, 127, 1, 5, d=3),
    Case(1, 1, 31, 33, 15, 1, 4, 1),
    Case(1, 1, 127, 8, 8, 8, 3, 3),
    Case(1, 2, 16, 32, 9, 7, 3, 3),
    Case(2, 3, 32, 16, 8, 8, 1, 1, s=2),
    Case(1, 1, 64, 17, 17, 127, 1, 1),  # several blocks of rows, the last one lower
    Case(1, 1, 128, 127, 4, 3, 3, 3),  # weights above kSmallWeights: channels outermost
)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
@pytest.mark.parametrize("layout", ["NCHW16c", "NHWC", "NCHW"])
def test_conv_of_run_time_extents(isa: Isa, layout: str) -> None:
    library = conv_library(isa)
    for i, case in enumerate(CONVS):
        side = "start" if i % 2 else "end"
        run_conv(library, "dynamic_7x4", case, layout, side=side)
        if i < 7:
            run_conv(library, "dynamic_3x1", case, layout, whole=True, side=side)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_conv_of_fixed_extents(isa: Isa) -> None:
    library = conv_library(isa)
    for ic, oc, o, k, s, _, _, whole in FIXED_CONVS:
        case = Case(1, 1, ic, oc, o, o, k, k, s=s)
        run_conv(library, f"fixed_{ic}_{oc}_{o}_{k}_{s}", case, whole=whole == "true")


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_depthwise(isa: Isa) -> None:
    library = conv_library(isa)
    for c, oh, ow in ((1, 1, 1), (8, 7, 9), (17, 8, 15), (33, 16, 31), (16, 9, 127), (127, 3, 8)):
        for kh, kw, s, d, whole in ((3, 3, 1, 1, False), (3, 3, 2, 1, True), (5, 1, 1, 2, False)):
            case = Case(2, c, 1, 1, oh, ow, kh, kw, s=s, d=d)
            run_conv(library, f"depthwise_{kh}_{kw}_{s}_{d}", case, whole=whole, depthwise=True)
            run_conv(library, "depthwise_any", case, depthwise=True, side="start")
    run_conv(library, "depthwise_any", Case(1, 15, 1, 1, 3, 9, 9, 8), depthwise=True)
    run_conv(library, "depthwise_fixed_33_17", Case(1, 33, 1, 1, 17, 17, 3, 3), depthwise=True)
