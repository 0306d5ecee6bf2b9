# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LSTM, GRU and RNN, made of one product for the inputs of all steps and a Scan for what really is sequential.

Shapes: X ``[T, N, I]``, W ``[D, G*H, I]``, R ``[D, G*H, H]``, B ``[D, 2*G*H]``, states ``[D, N, H]`` for D directions and
G gates; with layout 1 batch and time (or direction) change places outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.graph import Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion
from aotgen.ops.shorthand import Sub

Activation = Callable[[Sub, Value], Value]

PLAIN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
WITH_ALPHA = {"leakyrelu": ("LeakyRelu", 0.01), "thresholdedrelu": ("ThresholdedRelu", 1.0), "elu": ("Elu", 1.0)}
WITH_BOTH = {"affine": (1.0, 0.0), "scaledtanh": (1.0, 1.0), "hardsigmoid": (0.2, 0.5)}


def _times(s: Sub, x: Value, k: float) -> Value:
    return x if k == 1.0 else s("Mul", x, s.scalar(k, x.dtype))


def _activation(name: str, alpha: float, beta: float) -> Activation:
    """One activation function as nodes."""
    if name in PLAIN:
        return lambda s, x: s(PLAIN[name], x)
    if name in WITH_ALPHA:
        return lambda s, x: s(WITH_ALPHA[name][0], x, alpha=alpha)
    if name == "hardsigmoid":
        return lambda s, x: s("HardSigmoid", x, alpha=alpha, beta=beta)
    if name == "scaledtanh":
        return lambda s, x: _times(s, s("Tanh", _times(s, x, beta)), alpha)
    return lambda s, x: s("Add", _times(s, x, alpha), s.scalar(beta, x.dtype))


def _activations(ctx: Ctx, default: list[str], directions: int) -> list[Activation]:
    """The activations of every direction; each that has parameters takes them from the lists, in order."""
    names = [n.lower() for n in ctx.attr_strs("activations", default * directions)]
    if len(names) != len(default) * directions:
        raise ModelError(f"{len(names)} activations given, {len(default) * directions} needed")
    alphas, betas = iter(ctx.attr_floats("activation_alpha", [])), iter(ctx.attr_floats("activation_beta", []))
    out = []
    for name in names:
        alpha = beta = 0.0
        if name in WITH_ALPHA:
            alpha = next(alphas, WITH_ALPHA[name][1])
        elif name in WITH_BOTH:
            alpha, beta = next(alphas, WITH_BOTH[name][0]), next(betas, WITH_BOTH[name][1])
        elif name not in PLAIN:
            raise ModelError(f"unknown recurrent activation '{name}'")
        out.append(_activation(name, alpha, beta))
    return out


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction. ``r``: recurrent weights, transposed ``[H, G*H]``. ``bias``: the part of the recurrent bias that
    cannot join the inputs' (GRU). ``p``: peepholes i, o, f. ``f``: activations. ``clip``: bound of their arguments."""

    r: Value
    hidden: Dim
    f: list[Activation]
    bias: Value | None
    p: list[Value] | None
    clip: float | None
    option: bool  # LSTM: input_forget, GRU: linear_before_reset

    def act(self, s: Sub, k: int, x: Value) -> Value:
        """Activation ``k`` of the clipped argument."""
        if self.clip is not None:
            x = s("Clip", x, s.scalar(-self.clip, x.dtype), s.scalar(self.clip, x.dtype))
        return self.f[k](s, x)


Step = Callable[[Sub, Cell, Value, list[Value]], list[Value]]  # body, cell, projected input [N, G*H], states -> states


def _rnn_step(s: Sub, cell: Cell, x: Value, states: list[Value]) -> list[Value]:
    """H' = f(X Wt + H Rt + b)"""
    h, = states
    return [cell.act(s, 0, s("Add", x, s("MatMul", h, cell.r)))]


def _lstm_step(s: Sub, cell: Cell, x: Value, states: list[Value]) -> list[Value]:
    """i, o, f, c gates: C' = f*C + i*g(c), H' = o*h(C'); peepholes see C (i, f) and C' (o); ``option`` couples f = 1 - i."""
    h, c = states
    i, o, f, g = s.pieces(s("Add", x, s("MatMul", h, cell.r)), 1, 4)

    def peep(gate: Value, k: int, seen: Value) -> Value:
        return gate if cell.p is None else s("Add", gate, s("Mul", cell.p[k], seen))

    i = cell.act(s, 0, peep(i, 0, c))
    f = s("Sub", s.scalar(1.0, i.dtype), i) if cell.option else cell.act(s, 0, peep(f, 2, c))
    c = s("Add", s("Mul", f, c), s("Mul", i, cell.act(s, 1, g)))
    o = cell.act(s, 0, peep(o, 1, c))
    return [s("Mul", o, cell.f[2](s, c)), c]


def _gru_step(s: Sub, cell: Cell, x: Value, states: list[Value]) -> list[Value]:
    """z, r, h gates: H' = (1 - z)*g(Xh + r-gated recurrence) + z*H; ``option`` gates after the product."""
    h, = states
    n = index.ix(cell.hidden)
    x_zr, x_h = s.slice(x, 1, 0, 2 * n), s.slice(x, 1, 2 * n, 3 * n)
    if cell.option:
        all_ = s("MatMul", h, cell.r)
        zr, rec = s.slice(all_, 1, 0, 2 * n), s.slice(all_, 1, 2 * n, 3 * n)
        rec = rec if cell.bias is None else s("Add", rec, cell.bias)
    else:
        zr = s("MatMul", h, s.slice(cell.r, 1, 0, 2 * n))
    z, r = (cell.act(s, 0, gate) for gate in s.pieces(s("Add", x_zr, zr), 1, 2))
    if cell.option:
        rec = s("Mul", r, rec)
    else:
        rec = s("MatMul", s("Mul", r, h), s.slice(cell.r, 1, 2 * n, 3 * n))
    new = cell.act(s, 1, s("Add", x_h, rec))
    return [s("Add", s("Mul", s("Sub", s.scalar(1.0, z.dtype), z), new), s("Mul", z, h))]


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells the three operators apart."""

    gates: int
    states: int
    activations: list[str]
    step: Step
    option: str


RNN = Kind(1, 1, ["Tanh"], _rnn_step, "")
GRU = Kind(3, 1, ["Sigmoid", "Tanh"], _gru_step, "linear_before_reset")
LSTM = Kind(4, 2, ["Sigmoid", "Tanh", "Tanh"], _lstm_step, "input_forget")


@dataclass(frozen=True, slots=True)
class Operands:
    """The operator's inputs, time first."""

    x: Value
    w: Value
    r: Value
    b: Value | None
    lengths: Value | None
    initial: list[Value | None]
    p: Value | None


def _cell(ctx: Ctx, s: Sub, kind: Kind, given: Operands, d: int, f: list[Activation]) -> tuple[Cell, Value]:
    """Direction ``d``'s cell, and its inputs projected for every step: ``[T, N, G*H]``."""
    hidden = index.ix(given.r.shape[2])
    option = bool(ctx.attr_int(kind.option, 0)) if kind.option else False
    w, r = (s.transpose(s.select(v, 0, d), [1, 0]) for v in (given.w, given.r))
    x = s("MatMul", given.x, w)
    late = None
    if given.b is not None:
        both = s.select(given.b, 0, d)
        width = kind.gates * hidden
        own, rec = s.slice(both, 0, 0, width), s.slice(both, 0, width, 2 * width)
        if kind is GRU and option:
            late = s.slice(rec, 0, 2 * hidden, width)
            rec = s.concat([s.slice(rec, 0, 0, 2 * hidden), s.filled(0.0, [hidden], rec.dtype)], 0)
        x = s("Add", x, s("Add", own, rec))
    p = None if given.p is None else s.pieces(s.select(given.p, 0, d), 0, 3)
    clip = ctx.attr_float("clip") if ctx.has("clip") else None
    return Cell(r, hidden, f, late, p, clip, option), x


def _run(s: Sub, kind: Kind, cell: Cell, x: Value, first: list[Value], lengths: Value | None,
         back: bool) -> tuple[Value, list[Value]]:
    """Scan one direction: every step's hidden state ``[T, N, H]`` and the last states. Past the end of a sequence
    (``lengths``: ``[N, 1]``) states stay and the output is 0, so a backward run starts at each sequence's own end."""
    body = s.child("cell")
    states = [body.builder.input(f"state{k}", v.type) for k, v in enumerate(first)]
    step = body.builder.input("step", type(x.tensor)(x.dtype, x.shape[1:]))
    scanned = [x]
    if lengths is not None:
        t = body.builder.input("t", type(x.tensor)(dtypes.i64, ()))
        scanned.append(s.steps(x.shape[0]))
    new = kind.step(body, cell, step, states)
    shown = new[0]
    if lengths is not None:
        live = body("Less", t, lengths)
        shown = body("Where", live, new[0], body.scalar(0.0, x.dtype))
        new = [body("Where", live, n, old) for n, old in zip(new, states, strict=True)]
    else:
        shown = body("Identity", shown)
    graph = body.builder.graph([*new, shown])
    out = s("Scan", *first, *scanned, n=len(first) + 1, bodies={"body": graph}, num_scan_inputs=len(scanned),
            scan_input_directions=[int(back)] * len(scanned), scan_output_directions=[int(back)])
    return out[-1], list(out[:-1])


def _sized(s: Sub, kind: Kind, given: Operands, directions: int, direction: str) -> Operands:
    """The operands with their directions and gates counted: what is open is assumed to be as the operator needs it."""
    hidden = index.ix(given.r.shape[2])

    def of(v: Value, name: str, width: Ix) -> Value:
        return s.sized(v, {0: directions, 1: width}, f"{name} of direction '{direction}'")

    gates = hidden * kind.gates
    return replace(
        given,
        w=of(given.w, "weights", gates),
        r=of(given.r, "recurrent weights", gates),
        b=given.b and of(given.b, "bias", gates * 2),
        p=given.p and of(given.p, "peepholes", hidden * 3),
        initial=[v and s.sized(v, {0: directions, 1: given.x.shape[1], 2: hidden}, "initial states") for v in given.initial],
    )


def _expand(ctx: Ctx, builder: Builder, kind: Kind, given: Operands) -> tuple[Value | None, ...]:
    s = Sub(ctx, builder)
    batch_first = bool(ctx.attr_int("layout", 0))
    direction = ctx.attr_str("direction", "forward")
    backs = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}.get(direction)
    if backs is None:
        raise ModelError(f"unknown direction '{direction}'")
    functions = _activations(ctx, kind.activations, len(backs))
    per = len(kind.activations)
    if batch_first:
        given = Operands(s.transpose(given.x, [1, 0, 2]), given.w, given.r, given.b, given.lengths,
                         [v and s.transpose(v, [1, 0, 2]) for v in given.initial], given.p)
    given = _sized(s, kind, given, len(backs), direction)
    n, hidden = given.x.shape[1], given.r.shape[2]
    lengths = None
    if given.lengths is not None:
        lengths = s.reshape(s.sized(s.cast(given.lengths, dtypes.i64), {0: n}, "lengths"), [n, 1])
    ys, lasts = [], []
    for d, back in enumerate(backs):
        cell, x = _cell(ctx, s, kind, given, d, functions[per * d:per * (d + 1)])
        first = [s.filled(0.0, [n, hidden], x.dtype) if v is None else s.select(v, 0, d) for v in given.initial]
        y, last = _run(s, kind, cell, x, first, lengths, back)
        axis = 2 if batch_first else 1
        y = s.transpose(y, [1, 0, 2]) if batch_first else y
        ys.append(s.reshape(y, [*y.shape[:axis], 1, *y.shape[axis:]]))
        lasts.append([s.reshape(v, [n, 1, hidden] if batch_first else [1, n, hidden]) for v in last])
    return s.asked(s.concat(ys, 2 if batch_first else 1),
                   *(s.concat([last[k] for last in lasts], 1 if batch_first else 0) for k in range(kind.states)))


@expansion("RNN", whole=True)
def rnn(ctx: Ctx, builder: Builder, x: Value, w: Value, r: Value, b: Value | None = None, lengths: Value | None = None,
        h: Value | None = None) -> tuple[Value | None, ...]:
    return _expand(ctx, builder, RNN, Operands(x, w, r, b, lengths, [h], None))


@expansion("GRU", whole=True)
def gru(ctx: Ctx, builder: Builder, x: Value, w: Value, r: Value, b: Value | None = None, lengths: Value | None = None,
        h: Value | None = None) -> tuple[Value | None, ...]:
    return _expand(ctx, builder, GRU, Operands(x, w, r, b, lengths, [h], None))


@expansion("LSTM", whole=True)
def lstm(ctx: Ctx, builder: Builder, x: Value, w: Value, r: Value, b: Value | None = None, lengths: Value | None = None,
         h: Value | None = None, c: Value | None = None, p: Value | None = None) -> tuple[Value | None, ...]:
    return _expand(ctx, builder, LSTM, Operands(x, w, r, b, lengths, [h, c], p))
