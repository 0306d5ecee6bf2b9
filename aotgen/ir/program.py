# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Program: how a model is computed. Steps over buffers.

A ``Buffer`` is storage; a step's operand is a ``Tensor``: a buffer, an element offset and a ``Layout`` that maps a logical
index to an element offset. Views, blocked layouts, halos and packed weights are all layouts; liveness and aliasing are
asked of buffers only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aotgen.core.dtypes import DType
from aotgen.ir.define import Def
from aotgen.ir.expr import E, flops
from aotgen.ir.facts import Condition
from aotgen.ir.graph import AnyType, Constant
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.layout import BLOCK as BLOCK
from aotgen.ir.layout import Layout as Layout
from aotgen.ir.layout import packed as packed
from aotgen.ir.layout import row_major as row_major


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Storage. ``place``: ``const`` (weights blob), ``input``/``output`` (the caller's), ``workspace`` (arena), ``pool``.
    ``size``: elements of ``dtype``; ``align``: bytes."""

    name: str
    dtype: DType
    size: Dim
    place: str
    align: int = 64

    def __repr__(self) -> str:
        return f"{self.name}<{self.place} {self.dtype} x {self.size}>"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An operand: ``layout`` over ``buffer`` starting ``base`` elements in."""

    buffer: Buffer
    layout: Layout
    base: Dim = 0

    def offset(self, at: Sequence[Ix | int]) -> Ix:
        return self.layout.offset(at) + self.base

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.layout.shape


# ---------------------------------------------------------------------------------------------------- loop nests


@dataclass(frozen=True, slots=True, eq=False)
class Stmt:
    """At every point of the stage's loops: compute ``value`` and put it at logical ``index`` of ``target``.

    ``value`` and ``index`` range over the nest's ``outer``, the stage's ``inner`` and ``folds``. ``red``:

    - None: ``target[index] = value`` at every point, also in a stage that has ``folds``.
    - a member of ``define.REDUCTIONS``: ``value`` is folded over ``rvars`` (always exactly the stage's ``folds``) from the
      kind's identity (sum 0, prod 1, max -inf or the compute type's lowest, min the opposite, and/or true/false), and
      the result goes to ``target[index]``, once, after the folds; ``index`` mentions no fold.
    - ``argmax argmin argmax_last argmin_last``: as above, but what is stored is ``position`` (an index polynomial over
      the folds) of the extreme value: the smallest (``_last``: largest) position on ties. NaN is an extreme.
    - ``scan``: like a reduction (identity by ``fold``: add 0, mul 1, max, min), but ``target[index]`` receives the running
      value at every step; ``index`` mentions the folds, which are walked in order.
    - ``scatter``: ``target[index] = fold(target[index], value)`` at every point in order (``set add mul max min``).
    """

    target: Def
    index: tuple[Ix, ...]
    value: E
    red: str | None = None
    rvars: tuple[Atom, ...] = ()
    fold: str = ""
    position: Ix | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """Tighter bounds of one loop: ``max(var.lo, *lows) <= var < min(var.lo + var.ext, *highs)``; possibly empty.

    ``lows``/``highs`` mention dims, outer variables and loops of the same stage outside ``var``, never the lane (unless
    var is inside it, which nothing is). Divisions in them floor, and their numerator may be negative.
    """

    var: Atom
    lows: tuple[Ix, ...] = ()
    highs: tuple[Ix, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Statements sharing one loop nest, executed per outer iteration.

    Loops, outermost first: ``inner`` without the lane, ``folds`` without the lane, then ``lane`` (if any), which is always
    the innermost loop and the one to vectorise. Each loop runs over its atom's ``lo .. lo + ext`` (both may be
    polynomials of dims), tightened by ``bounds``.

    ``folds``: the loops that every reduction, scan or argmax of this stage folds over (empty: none in this stage).
    Where the lane stands decides the form of the fold:

    - lane in ``folds``: scalar accumulators, ``omp simd reduction``. Never so for a scan.
    - lane in ``inner`` while there are ``folds``: *spread*: each accumulator is an array over the lane (its extent is an int,
      at most ``LANES``), initialised by a lane loop before the folds, stored by a lane loop after them (scan: inside).
      ``bounds`` of the lane then depend on outer variables and inner loops only.
    - no folds: a plain vector loop. The lane is None where a vector loop does not pay or is not legal.

    ``cond``: a bool over dims, outer variables and ``inner`` without the lane (made of ge0, and, or, not); the body (the
    accumulators' initialisation and their store too) runs only at the points where it holds: an ``if`` at the
    outermost place that knows its variables, never inside the lane loop. Guards left in a value stand as
    conditionals. Stages run in order; statements of a stage run in order at each point, so a statement may load what an
    earlier one stored at the same point. Later stages read whatever earlier stages stored, temps or tensors.
    """

    inner: tuple[Atom, ...]
    stmts: tuple[Stmt, ...]
    folds: tuple[Atom, ...] = ()
    lane: Atom | None = None
    cond: E | None = None
    bounds: tuple[Bound, ...] = ()

    @property
    def loops(self) -> tuple[Atom, ...]:
        """The loops in the order they are executed."""
        order = (*self.inner, *self.folds)
        return order if self.lane is None else (*(v for v in order if v is not self.lane), self.lane)

    def bound(self, v: Atom) -> Bound:
        """The bounds of a loop (empty ones when it has only its own range)."""
        return next((b for b in self.bounds if b.var is v), Bound(v))


LANES = 256  # most elements a spread accumulator holds
DEAR = 16  # flops of a value beside which its loads and stores are little: an exponential, not a product


@dataclass(frozen=True, slots=True)
class Strip:
    """Outer iterations taken ``block`` at a time: the one outer variable of the nest is the first of them, and ``end`` (a variable
    too) is where the thread's own end."""

    block: int
    end: Atom


@dataclass(frozen=True, slots=True, eq=False)
class ShortRows:
    """Another way to do what a nest does: where dims satisfy ``conditions``, ``nest`` is the quicker one. Its outer iterations are
    the other's, in strips; it is run on the other's tensors."""

    conditions: tuple[Condition, ...]
    nest: LoopNest


@dataclass(frozen=True, slots=True, eq=False)
class LoopNest:
    """``for outer (parallel): for stage: for its loops: stmts``.

    ``outer``: outermost first; iterations are independent and may be split between threads anywhere; () is a single
    iteration (a scatter whose target is unknown is one iteration: one thread, in order). ``temps``: Defs that live only
    inside one outer iteration: storage of ``temp.dtype``, row-major by ``temp.shape`` (() is a scalar, extents may be
    polynomials of dims), indexed by exactly that many indices; each is private to a thread. ``tensors``: where every
    other Def that is read or written lives: element ``tensors[d].offset(index)``. A Def both stored and loaded by the nest
    is stored by the same outer iteration before it is loaded (scatter targets: any order, one thread).
    Logical indices may hold divisions that vanish in the offset: simplify offsets, not indices. ``short``: another way to do
    the same, which a printer may leave out; ``strip``: how that goes through the outer loop.
    """

    name: str
    outer: tuple[Atom, ...]
    stages: tuple[Stage, ...]
    tensors: Mapping[Def, Tensor]
    temps: tuple[Def, ...] = ()
    origin: str = ""
    short: ShortRows | None = None
    strip: Strip | None = None

    @property
    def is_dear(self) -> bool:
        """Does computing some value take longer than moving it?"""
        return any(flops(s.value) >= DEAR for stage in self.stages for s in stage.stmts)


@dataclass(frozen=True, slots=True, eq=False)
class Epilogue:
    """What a template kernel does with its accumulator: stores of expressions over ``axes``.

    ``axes``: the kernel's output axes as passed to the functor, the last being the lane (extent 16) inside the block before
    it, so a column is ``16 * axes[-1 - k] + axes[-1]`` (which axis is blocked is the kernel's contract). ``acc``: the
    Def that stands for the accumulator; a load of it is the accumulator itself.
    """

    axes: tuple[Atom, ...]
    acc: Def
    stmts: tuple[Stmt, ...]
    tensors: Mapping[Def, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """How a template kernel can be cut between threads so that what each touches is known.

    ``axes``: leading functor axes, outermost first, in whose order the kernel runs: given ``parts`` (a divisor of their
    points) in its descriptor, a part is as many whole points as fit, and threads take neighbouring parts (``cpu/extent.h``).
    ``operands``: the logical index of each operand that a point reads, over ``axes`` and variables of its own; None: any
    element. ``block`` is the functor axis that counts blocks of the ``columns``.
    """

    axes: tuple[Atom, ...]
    operands: tuple[tuple[Ix, ...] | None, ...]
    block: Atom
    columns: Dim


# ---------------------------------------------------------------------------------------------------- steps


@dataclass(frozen=True, slots=True, eq=False)
class KernelCall:
    """A template kernel: ``function<Desc, *tile, Epi>(desc, operands..., epi, tid, nt)`` of ``header``; ``tiles``: the tile
    arguments by ISA name, so that everything else is the same for all ISAs.

    ``desc``: named extents and strides, ints or polynomials of open dims, in declaration order. ``parts``: how threads
    may share it, where the rule that offered it says so.
    """

    name: str
    function: str
    header: str
    tiles: Mapping[str, tuple[int, ...]]
    desc: tuple[tuple[str, Dim], ...]
    operands: tuple[Tensor, ...]
    epilogue: Epilogue
    origin: str = ""
    flops: Dim = 0
    parts: Parts | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LibraryCall:
    """An ordinary function of ``header``: ``f(inputs..., outputs..., params..., tid, nt, scratch)``. With ``scratch`` (working
    memory for one thread) a single thread runs it. One that ``takes_pool`` is ``f(inputs..., outputs..., params..., pool)``, run
    by a single thread, and says whether there was room for the text or the working memory that it makes."""

    name: str
    function: str
    header: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    params: tuple[tuple[str, Any], ...] = ()
    scratch: Tensor | None = None
    origin: str = ""
    takes_pool: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Fill:
    """Write ``tensor.layout.fill`` into the halo of ``tensor``."""

    name: str
    tensor: Tensor
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """``dst[...] = src[...]`` over the same logical shape and strides: a memcpy."""

    name: str
    dst: Tensor
    src: Tensor
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Extents:
    """Give dims that nobody knew before their values, all at once: each a polynomial of dims known by then, or the integer
    scalar that a step before this one wrote. The run ends with a status where one is outside the dim's bounds."""

    name: str
    made: tuple[tuple[Atom, Dim | Tensor], ...]
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """End the run with a status unless the dims satisfy ``conditions``."""

    name: str
    conditions: tuple[Condition, ...]
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """Room for ``size`` elements in a buffer of the pool: what it held is lost, or with ``keep`` moved along."""

    name: str
    tensor: Tensor
    size: Dim
    keep: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Swap:
    """Exchange what two buffers of the pool hold."""

    name: str
    a: Tensor
    b: Tensor
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class If:
    """Run ``then_steps`` where the bool scalar ``cond`` holds, else ``else_steps``; every thread takes the same branch."""

    name: str
    cond: Tensor
    then_steps: tuple[Step, ...]
    else_steps: tuple[Step, ...]
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """``for (i = 0; i < trips && cond; ++i) body``.

    ``trips``: an int, a polynomial of open dims, or a scalar i64 Tensor; ``cond``: a bool scalar Tensor that body
    rewrites, or None; ``counter``: where body reads i (i64 scalar), or None. ``carried``: pairs (read, written): at the
    start of trip i body reads what trip i-1 wrote. A pair whose two buffers are distinct is swapped by parity.
    ``ran``: a dim that is i + 1 in body and the number of trips made after it, or None.
    """

    name: str
    trips: Dim | Tensor
    cond: Tensor | None
    counter: Tensor | None
    body: tuple[Step, ...]
    carried: tuple[tuple[Tensor, Tensor], ...] = ()
    origin: str = ""
    ran: Atom | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Refuse:
    """Make the run return the status ``branch``: what is computed from here on means nothing, for the reason ``why``."""

    name: str
    why: str
    origin: str = ""


Step = LoopNest | KernelCall | LibraryCall | Fill | Copy | Extents | Check | Take | Swap | If | Loop | Refuse


@dataclass(frozen=True, slots=True)
class Packed:
    """Contents of a const buffer: ``constant`` stored through ``layout`` (pad lanes and halo zero)."""

    constant: Constant
    layout: Layout


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the library: its ONNX ``name``, where it lives, and its ``type`` where that is no tensor's."""

    name: str
    tensor: Tensor
    type: AnyType | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """``steps`` in execution order; ``weights``: contents of every const buffer; ``dims``: open dims, sorted by name;
    ``conditions``: what they must satisfy beyond their bounds. ``data_dims``: extents that steps make, sorted by name."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[Step, ...]
    weights: Mapping[Buffer, Packed]
    dims: tuple[Atom, ...] = ()
    conditions: tuple[Condition, ...] = ()
    data_dims: tuple[Atom, ...] = ()

    def walk(self) -> Iterator[Step]:
        """Every step, those inside regions included."""
        yield from walk_steps(self.steps)


def walk_steps(steps: Sequence[Step]) -> Iterator[Step]:
    for s in steps:
        yield s
        if isinstance(s, If):
            yield from walk_steps(s.then_steps)
            yield from walk_steps(s.else_steps)
        elif isinstance(s, Loop):
            yield from walk_steps(s.body)


def reads(step: Step) -> list[Tensor]:
    """The tensors a step reads (for regions: only what the region header itself reads)."""
    if isinstance(step, LoopNest):
        return [t for d, t in step.tensors.items() if d not in _targets(step) or _rereads(step, d)]
    if isinstance(step, KernelCall):
        stored = {s.target for s in step.epilogue.stmts}
        return [*step.operands, *(t for d, t in step.epilogue.tensors.items() if d not in stored)]
    if isinstance(step, LibraryCall):
        return list(step.inputs)
    if isinstance(step, Copy):
        return [step.src]
    if isinstance(step, Extents):
        return [t for _, t in step.made if isinstance(t, Tensor)]
    if isinstance(step, Take):
        return [step.tensor] if step.keep else []
    if isinstance(step, Swap):
        return [step.a, step.b]
    if isinstance(step, If):
        return [step.cond]
    if isinstance(step, Loop):
        return [t for t in (step.trips, step.cond) if isinstance(t, Tensor)]
    return []


def writes(step: Step) -> list[Tensor]:
    """The tensors a step writes (regions: none of their own; see ``walk``)."""
    if isinstance(step, LoopNest):
        return [step.tensors[d] for d in _targets(step) if d in step.tensors]
    if isinstance(step, KernelCall):
        return [step.epilogue.tensors[s.target] for s in step.epilogue.stmts]
    if isinstance(step, LibraryCall):
        return [*step.outputs, *([step.scratch] if step.scratch else [])]
    if isinstance(step, Fill):
        return [step.tensor]
    if isinstance(step, Copy):
        return [step.dst]
    if isinstance(step, Take):
        return [step.tensor]
    if isinstance(step, Swap):
        return [step.a, step.b]
    return [step.counter] if isinstance(step, Loop) and step.counter else []


def _targets(nest: LoopNest) -> dict[Def, None]:
    return {s.target: None for stage in nest.stages for s in stage.stmts}


def _rereads(nest: LoopNest, d: Def) -> bool:
    from aotgen.ir.expr import loads_of

    return any(ld.attr[0] is d for stage in nest.stages for s in stage.stmts for ld in loads_of(s.value))
