# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""simd.h: maxima and NaN, masks, partial and strided memory access, in the vector and the scalar form."""

from __future__ import annotations

import numpy as np
import pytest
from harness import PRELUDE, Guarded, Isa, guarded_copy, isas, load

ISAS = isas()

SIMD = (
    PRELUDE
    + """
template <class V> void each(const float* a, const float* b, float* out, int n, int lanes) {
  for (int i = 0; i + lanes_of<V> <= n; i += lanes_of<V>) {
    const V x = load<V>(a + i), y = load<V>(b + i);
    store(out + i, vmax(x, y));
    store(out + n + i, vmin(x, y));
    store(out + 2 * n + i, at_least(x, splat<V>(0.5f)));
    store(out + 3 * n + i, at_most(x, splat<V>(0.5f)));
    store_strided(out + 4 * n + i, 1, choose((x < y) & !(x == y), x, y));
  }
  store(out + 5 * n, load_first<V>(a + n - lanes, lanes));
  store_first(out + 5 * n + 16, load<V>(a), lanes);
  store(out + 5 * n + 32, load_strided<V>(a, 2));
}
extern "C" int lanes() { return kLanes; }
extern "C" void vectors(const float* a, const float* b, float* out, int n, int k) {
  each<vf>(a, b, out, n, k);
}
extern "C" void scalars(const float* a, const float* b, float* out, int n, int k) {
  each<float>(a, b, out, n, k);
}
"""
)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
@pytest.mark.parametrize("form", ["vectors", "scalars"])
def test_simd_maxima_keep_nan_and_partial_loads_stay_inside(isa: Isa, form: str) -> None:
    library = load(SIMD, isa)
    lanes = library.lanes() if form == "vectors" else 1
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5, 0.5], np.float32)
    a, b = (v.reshape(-1) for v in np.meshgrid(values, values))
    ga, gb = guarded_copy(a), guarded_copy(b)
    for first in range(lanes + 1):
        out = Guarded(5 * 64 + 48)
        library[form](ga.pointer, gb.pointer, out.pointer, 64, first)
        rows, tail = out.array[:320].reshape(5, 64), out.array[320:].reshape(3, 16)
        half = np.float32(0.5)
        wanted = (
            np.maximum(a, b),
            np.minimum(a, b),
            np.maximum(a, half),
            np.minimum(a, half),
            np.where(a < b, a, b),
        )
        np.testing.assert_array_equal(rows, np.stack(wanted))
        loaded = np.zeros(lanes, np.float32)
        loaded[:first] = a[64 - first :] if first else 0
        np.testing.assert_array_equal(tail[0, :lanes], loaded)
        np.testing.assert_array_equal(tail[1, :first], a[:first])
        assert np.isnan(tail[1, first:]).all()
        np.testing.assert_array_equal(tail[2, :lanes], a[: 2 * lanes : 2])
