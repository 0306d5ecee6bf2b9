// SPDX-License-Identifier: 0BSD
//
// vmath.h: elementary functions without branches, tables or library calls.
//
// V is float or vec<float, N>; each function has a `double` overload that calls the C library. The
// float forms are straight-line code: under `#pragma omp simd` with -fno-math-errno
// -fno-trapping-math a plain loop over them becomes vector code, and in a template kernel's
// epilogue the same text takes whole vectors. vfmod and vmod are the exception: exact, one lane at
// a time.
//
// Arguments   every float: NaN gives NaN, infinities, signed zeros and denormals are as in C99
//             Annex F, and are tested.
// Rounding    to nearest is assumed. Results may differ in the last bits between machines with and
//             without a fused multiply-add; both meet the bounds. Products that must be exact have
//             operands of at most 12 bits each, so contraction cannot hurt them.
// Error       largest seen / promised, in units in the last place, over every exponent:
//             vexp 1.02 / 1.1    vexpm1 1.6 / 3    vlog 0.83 / 1.5    vlog1p 0.87 / 3
//             vsinh 1.7 / 3      vcosh 1.5 / 3     vtanh 2.5 / 3      vsigmoid 2.3 / 3
//             vasinh 1.8 / 4     vacosh 2.4 / 4    vatanh 2.1 / 4     verf 1.4 / 4
//             vsin 1.6 / 2       vcos 1.6 / 2      vtan 3.7 / 4       vpow 2.5 / 4
//             vasin 2.4 / 3      vacos 1.2 / 3     vatan 2.1 / 3      vrsqrt 1.5 / 2
//             vsqrt, vfmod, vabs, vmax, vmin and rounding are exact; vmod rounds once.
// Method      polynomials are minimax fits made for this file: Remez exchange in 50-digit
//             arithmetic, then coefficients rounded to float one by one, lowest first, the others
//             refitted each time.
// Files       vmath_base.h sign, rounding, roots, shared pieces; vmath_exp.h exponentials,
//             logarithms, hyperbolic, erf; vmath_trig.h; vmath_pow.h power and remainders.
#pragma once

#include "vmath_base.h"
#include "vmath_exp.h"
#include "vmath_pow.h"
#include "vmath_trig.h"
