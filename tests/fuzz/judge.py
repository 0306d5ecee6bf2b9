# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Is what a library computed right? The contract of ``aotgen.verify``, with onnxruntime run without its optimiser."""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from aotgen import frontend
from aotgen.core.errors import AotgenError
from aotgen.core.options import CompileOptions
from aotgen.ir.graph import Node
from aotgen.ops import interp
from aotgen.toolchain import Library
from aotgen.verify import contract, ort
from tests.conformance.run import COMPILER, CRASH, ERROR, MISMATCH, PASS, THREADS, poisoned_run
from tests.fuzz.case import Arrays, Case
from tests.fuzz.generator import LOCAL, near
from tests.fuzz.values import ROUNDING, Array

SKIPPED, THREADS_DIFFER, RUN, LOWERING, HANG = "skipped", "threads differ", "run error", "lowering", "hang"
BUGS = (ERROR, COMPILER, MISMATCH, CRASH, THREADS_DIFFER, RUN, LOWERING, HANG)
SAMPLES = 6  # evaluations with every result rounded anew, where a mismatch must be told from a graph that amplifies


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended, and ``why`` in one line. ``seconds``: of its runs."""

    case: str
    how: str
    why: str = ""
    seconds: float = 0.0


def by_ort(case: Case) -> list[Arrays] | str:
    """What onnxruntime computes in each run, or why it does not."""
    try:
        return [ort.run(case.model, feeds, optimise=False) for feeds in case.feeds]
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        return f"onnxruntime: {error}"


def judged(case: Case, load: Callable[[], Library], expected: Sequence[Arrays]) -> Outcome:
    """Run ``case`` on each of its inputs with each number of threads, on a poisoned workspace; compare with its truth and with
    what onnxruntime ``expected``."""
    start = time.perf_counter()

    def outcome(how: str, why: str = "") -> Outcome:
        return Outcome(case.name, how, " ".join(why.split())[:300], time.perf_counter() - start)

    try:
        library = load()
        wanted = {port["name"] for port in library.manifest["inputs"]}
        for k, (feeds, truth, best) in enumerate(zip(case.feeds, case.truth, expected)):
            given = {n: a for n, a in feeds.items() if n in wanted}
            one, few = ({n: a.copy() for n, a in poisoned_run(library, given, t).items()} for t in THREADS)
            differing = [n for n in truth if one[n].tobytes() != few[n].tobytes()]
            if differing:
                return outcome(THREADS_DIFFER, f"run {k}: {differing[0]} with 1 and 3 threads")
            why = next((w for n, a in truth.items() if (w := different(case, k, n, one[n], a, best[n]))), "")
            if why:
                return outcome(MISMATCH, f"run {k}: {why}")
    except AotgenError as error:
        return outcome(RUN, str(error))
    except Exception as error:  # whatever went wrong is the outcome
        return outcome(RUN, f"{type(error).__name__}: {error}")
    return outcome(PASS)


def interpreted(case: Case) -> Outcome:
    """Does the interpreter, in float64, agree with onnxruntime on a case of one node?"""
    try:
        graph = frontend.load_graph(case.model, CompileOptions(dynamic=case.dynamic))
        for k, feeds in enumerate(case.feeds):
            with np.errstate(all="ignore"):
                truth = interp.run_graph(graph, feeds, wide=True)
            best = ort.run(case.model, feeds, optimise=False)
            for n, a in truth.items():
                if not near(best[n], a, LOCAL):
                    return Outcome(case.name, LOWERING, f"run {k}: {n} is {a} and not {best[n]}"[:300])
    except Exception as error:  # whatever went wrong is the outcome
        return Outcome(case.name, LOWERING, f"{type(error).__name__}: {error}"[:300])
    return Outcome(case.name, PASS)


def different(case: Case, k: int, name: str, actual: Array, truth: Array, best: Array) -> str:
    """How output ``name`` breaks the contract, or nothing."""
    if actual.dtype != best.dtype:
        return f"{name} is {actual.dtype} and not {best.dtype}"
    if case.pointwise and actual.dtype.name in ROUNDING and actual.shape == truth.shape:
        return elementwise(name, actual, truth, best)
    found = contract.compare(name, actual, contract.References({name: truth}, {name: best}))
    if found.ok:
        return ""
    if np.isfinite(found.error) and found.error <= amplified(case, k, name, truth):
        return ""
    return f"{name} {found.dtype}{list(found.shape)}: error {found.error:.3g}, allowed {found.limit:.3g}; {found.why}"


def elementwise(name: str, actual: Array, truth: Array, best: Array) -> str:
    """Every element within a few roundings of itself, or of onnxruntime's own distance from the truth."""
    unit = 8 * ROUNDING[actual.dtype.name]
    info = np.finfo(actual.dtype)
    with np.errstate(all="ignore"):
        rounded = truth.astype(actual.dtype).astype(np.float64)
        a, b = actual.astype(np.float64), best.astype(np.float64)
        allowed = np.maximum(unit * np.abs(rounded) + float(info.tiny), 2 * np.nan_to_num(np.abs(b - rounded), posinf=0.0))
        good = (a == rounded) | (np.isnan(a) & np.isnan(rounded)) | (np.abs(a - rounded) <= allowed)
        # onnxruntime and the float64 run may overflow, underflow or cancel on different sides: either will do.
        good |= (a == b) | (np.isnan(a) & np.isnan(b))
    if good.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~good)[0])
    return f"{name} {actual.dtype}{list(actual.shape)} at {list(at)}: {actual[at]} instead of {truth[at]}, onnxruntime {best[at]}"


def amplified(case: Case, k: int, name: str, truth: Array) -> float:
    """Twice the largest error of evaluations in which every float result of every node is off by one rounding at random
    (Monte Carlo arithmetic, Parker 1997): what any order of evaluation may cost this graph on this input."""
    worst = 0.0
    for sample in range(SAMPLES):
        shaken = perturbed(case, k, sample)
        worst = max(worst, contract.relative_error(shaken[name].astype(truth.dtype), truth))
    return 2 * worst


def perturbed(case: Case, k: int, sample: int) -> Arrays:
    """The float64 evaluation of run ``k``, every float result of every node off by up to a unit of its own type."""
    graph = frontend.load_graph(case.model, CompileOptions(dynamic=case.dynamic))
    run = Shaken(sample)
    with np.errstate(all="ignore"):
        made = run.graph(graph, {v: np.asarray(case.feeds[k][v.name]) for v in graph.inputs})
    return {v.name: a for v, a in zip(graph.outputs, made, strict=True)}


class Shaken(interp._Runner):
    """The interpreter in float64, with results that were rounded at random."""

    def __init__(self, seed: int) -> None:
        super().__init__(wide=True)
        self.rng = np.random.default_rng(seed)

    def node(self, node: Node, env: interp.Env) -> Sequence[Array]:
        """One result is off by up to two roundings. Where ``n`` elements make one, a running sum of them rounds ``n`` times; its
        error has the deviation of terms that are each off by sqrt(n) / 14 roundings if they cancel and n / 48 if they do
        not (8 lanes, uniform roundings): half of sqrt(n) is near the larger of the two for the sums kept in one float."""
        given = {v: np.asarray(env[v]) for v in node.inputs if v is not None and v in env}
        fewest = min((prod(d if isinstance(d, int) else 1 for d in v.shape) for v in node.outputs if v is not None), default=1)
        terms = max((a.size for a in given.values()), default=1) / max(fewest, 1)
        shaken = {v: self.shaken(v.dtype.numpy.name, a, terms**0.5 / 2) for v, a in given.items()} if terms > 1 else {}
        made = super().node(node, ChainMap(shaken, env))
        return [a if v is None else self.shaken(v.dtype.numpy.name, np.asarray(a), 2) for v, a in zip(node.outputs, made)]

    def shaken(self, dtype: str, a: Array, roundings: float) -> Array:
        """Equal elements are off by the same: a rounding is no accident, and those of a constant do not average out."""
        if dtype not in ROUNDING or a.dtype.kind != "f":
            return a
        values, where = np.unique(a, return_inverse=True)
        noise = self.rng.uniform(-roundings, roundings, values.shape)
        return a * (1 + ROUNDING[dtype] * noise[where].reshape(a.shape))
