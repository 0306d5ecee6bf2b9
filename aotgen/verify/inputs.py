# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Inputs to verify and time with: seeded, of the right type, and in a range the model can digest.

Floats are standard normal. A string is one of the words that its readers compare it with, or one of ours; where they make
numbers of it, a number. What an integer input may be follows from what reads it: an index stays below the extent it
indexes, a mask is 0 or 1, a sequence length is at least 1, a value compared with constants is one of them.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core.dtypes import DType
from aotgen.core.errors import UnsupportedError, UsageError
from aotgen.ir import index
from aotgen.ir.graph import Constant, Graph, Node, TensorType, Value
from aotgen.ir.index import Dim

Array = NDArray[Any]

PASS_THROUGH = frozenset({
    "Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice", "Split", "Expand", "Tile",
    "Concat", "Pad", "Max", "Min", "Clip", "Abs",
})  # fmt: skip
COMPARISONS = frozenset({"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Mod"})
WIDTHS = 16  # bits: narrower integers are data (pixels, samples, quantised values) and take their full range
Reader = tuple[Node, int]
LARGEST = 1 << 30  # stands for no upper bound of a dim
PLAIN = 8  # values of an integer that nothing bounds: small, so that sums and products stay exact


@dataclass(slots=True)
class Bounds:
    """What the readers of an integer input say: ``below``: exclusive upper bounds of an index, ``lowest``: its lower
    bound, ``values``: constants it is compared with, ``mask``: it only selects."""

    below: list[int] = field(default_factory=list)
    lowest: int = 0
    values: list[int] = field(default_factory=list)
    mask: bool = False


def seeded(graph: Graph, seed: int = 0, dims: Mapping[str, int] | None = None) -> dict[str, Array]:
    """Inputs of ``graph`` by name. ``dims``: values of its open dims. The same seed gives the same arrays; an input's
    contents do not depend on the other inputs. Raises UsageError for a dim without a value, UnsupportedError for inputs
    nobody can invent (sequences)."""
    readers = _readers(graph)
    constants = _constants(graph)
    out = {}
    for v in graph.inputs:
        if not isinstance(v.type, TensorType) or v.dtype.kind == "c":
            raise UnsupportedError(f"no contents can be invented for a {v.type}", node=v.name,
                                   hint="give them with --inputs file.npz")
        shape = tuple(extent(d, dims or {}) for d in v.shape)
        rng = np.random.default_rng([seed, zlib.crc32(v.name.encode())])
        if v.dtype.kind == "s":
            out[v.name] = rng.choice(np.array(_words(v, readers, constants), object), shape)
            continue
        whole = _whole(v, shape, readers, dims or {}, rng)
        out[v.name] = whole.astype(v.dtype.numpy) if whole is not None else _contents(
            rng, v.dtype, shape, partial(_bounds, v, readers, constants, dims or {}))
    return out


def extent(d: Dim, dims: Mapping[str, int]) -> int:
    """``d`` where open dims have the values ``dims``. Raises UsageError naming one that has none."""
    atoms = index.dims_of(d)
    missing = [a.name for a in atoms if a.name not in dims]
    if missing:
        raise UsageError(f"dim {missing[0]} is open and was given no value", hint=f"--at {missing[0]}=N")
    return int(index.ix(d).evaluate({a: dims[a.name] for a in atoms}))


def sizes(graph: Graph, at: Sequence[Mapping[str, int]] = ()) -> list[dict[str, int]]:
    """Values of the open dims to verify at: those of ``at`` completed, by default a small and a larger setting within
    the bounds of each dim; ``[{}]`` for a graph without open dims."""
    dims = graph.dims()
    if not dims:
        return [{}]
    small = {a.name: _low(a) for a in dims}
    large = {a.name: max(_low(a), min(_high(a), 19 + 2 * k)) for k, a in enumerate(dims)}
    unknown = sorted({n for row in at for n in row} - set(small))
    if unknown:
        raise UsageError(f"{unknown[0]} is not an open dim", hint=f"open dims: {', '.join(small)}")
    return [{**large, **row} for row in at] or ([small, large] if small != large else [small])


def _low(a: index.Atom) -> int:
    return 1 if a.lo is None else max(1, a.lo.evaluate({}))


def _high(a: index.Atom) -> int:
    return LARGEST if a.hi is None else min(int(a.hi), LARGEST)


def read_npz(path: Path, graph: Graph) -> dict[str, Array]:
    """Inputs of ``graph`` from an .npz file, by name, as the types the graph wants where nothing is lost.

    Raises UsageError when the file cannot be read, lacks an input or holds one of another type or rank.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {k: stored[k] for k in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as e:
        raise UsageError(f"cannot read inputs from {path}: {e}") from None
    out = {}
    for v in graph.inputs:
        if v.name not in arrays:
            raise UsageError(f"{path} has no array '{v.name}'", hint=f"it has {', '.join(sorted(arrays)) or 'none'}")
        out[v.name] = _as_type(arrays[v.name], v, path)
    return out


def _as_type(a: Array, v: Value, path: Path) -> Array:
    want = v.dtype.numpy
    if not v.shape and a.size == 1:
        a = a.reshape(())  # a scalar stored as one element, which onnxruntime takes too
    if a.ndim != len(v.shape):
        raise UsageError(f"{path}: {list(a.shape)} given for {v.type}", node=v.name)
    if a.dtype == want:
        return a
    if a.dtype.itemsize == want.itemsize and a.dtype.kind == "V":
        return a.view(want)  # NumPy stores bfloat16 and its kin as raw bytes
    cast = a.astype(want)
    if not np.array_equal(cast.astype(a.dtype), a, equal_nan=a.dtype.kind == "f"):
        raise UsageError(f"{path}: {a.dtype} given for {v.type}", node=v.name)
    return cast


def dims_from(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, int]:
    """Values of the open dims of ``graph`` read off the shapes of ``feeds``. Raises UsageError where a fixed extent or two
    inputs contradict each other."""
    out: dict[str, int] = {}
    for v in graph.inputs:
        for d, n in zip(v.shape, feeds[v.name].shape, strict=True):
            atoms = index.dims_of(d)
            if len(atoms) == 1 and index.ix(d) == index.var(atoms[0]):
                out.setdefault(atoms[0].name, int(n))
    for v in graph.inputs:
        shape = tuple(extent(d, out) for d in v.shape)
        if shape != feeds[v.name].shape:
            raise UsageError(f"the array given is {list(feeds[v.name].shape)}, the model takes {list(shape)}", node=v.name)
    return out


# ------------------------------------------------------------------------------------------------- contents


def _contents(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...], bounds: Callable[[], Bounds]) -> Array:
    if dtype.is_bool:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.is_float:
        return np.asarray(rng.standard_normal(shape)).astype(dtype.numpy)
    b = bounds()
    if b.values:
        return np.asarray(rng.choice(np.array(b.values, np.int64), shape)).astype(dtype.numpy)
    if b.below:
        return rng.integers(b.lowest, max(min(b.below), b.lowest + 1), shape).astype(dtype.numpy)
    if b.mask:
        mask = rng.integers(0, 2, shape)
        if mask.ndim:
            mask[..., :1] = 1  # a row that masks everything has no meaning
        return np.asarray(mask).astype(dtype.numpy)
    if dtype.bits < WIDTHS:
        low = -(1 << (dtype.bits - 1)) if dtype.kind == "i" else 0
        return rng.integers(low, low + (1 << dtype.bits), shape).astype(dtype.numpy)
    return rng.integers(0, PLAIN, shape).astype(dtype.numpy)


# ------------------------------------------------------------------------------------------------- operands that are shapes

Whole = Callable[[Sequence[int], int, np.random.Generator], Sequence[float]]


def _whole(v: Value, shape: tuple[int, ...], readers: Mapping[Value, list[Reader]], dims: Mapping[str, int],
           rng: np.random.Generator) -> Array | None:
    """What ``v`` must be as a whole where its first reader takes it for the shape of a result, or for scales; else None."""
    for node, k in readers.get(v, ()):
        if node.op == "Cast" and node.outputs[0] is not None:
            return _whole(node.outputs[0], shape, readers, dims, rng)
        if (node.op, k) in WHOLE and len(shape) == 1:
            return np.asarray(WHOLE[node.op, k](_extents(node, 0, dims), shape[0], rng))
    return None


def _same_size(x: Sequence[int], n: int, rng: np.random.Generator) -> Sequence[float]:
    return [math.prod(x), *[1] * (n - 1)] if n else []


def _same_extents(x: Sequence[int], n: int, rng: np.random.Generator) -> Sequence[float]:
    return [*[1] * (n - len(x)), *x][-n:] if n else []


def _image_scales(x: Sequence[int], n: int, rng: np.random.Generator) -> Sequence[float]:
    """Of the last two axes: images."""
    return [*[1.0] * max(0, n - 2), *rng.choice([0.5, 1.0, 1.5, 2.0], min(n, 2))]


WHOLE: dict[tuple[str, int], Whole] = {
    ("ReshapeExtents", 1): _same_size,
    ("ExpandExtents", 1): _same_extents,
    ("ResizeExtents", 2): _image_scales,
}

# ------------------------------------------------------------------------------------------------- words

WORDS = ("", "a", "word", "Another WORD", " two  spaces\t", "x,y,,z", "é\u0301tude", "ΑΣ", "日本語", "\U0001f600!", "name@example.com")
NUMBERS = ("0", "-1", "7", "42", "3.25", "-1e-3", "100000")
ENOUGH = 32  # words of a vocabulary


def _words(v: Value, readers: Mapping[Value, list[Reader]], constants: Mapping[Value, Constant]) -> list[str]:
    """What strings ``v`` may hold: those its readers know, and others."""
    found: list[str] = []
    seen, todo = {v}, [v]
    while todo:
        for node, k in readers.get(todo.pop(), ()):
            if node.op == "Cast":
                return list(NUMBERS)
            known = [constants[u].load() for u in node.inputs if u in constants and u is not None and u.dtype.kind == "s"]
            found += [str(t) for a in known for t in a.ravel()[:ENOUGH]]
            further = (*node.outputs, *_into_body(node, k))
            fresh = [u for u in further if u is not None and u not in seen and _holds_strings(u)]
            seen.update(fresh)
            todo.extend(fresh)
    return [*dict.fromkeys(found), *WORDS]


def _holds_strings(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype.kind == "s"


# ------------------------------------------------------------------------------------------------- integer ranges

def _nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for body in node.bodies.values():
            yield from _nodes(body)


def _constants(graph: Graph) -> dict[Value, Constant]:
    out = dict(graph.constants)
    for node in _nodes(graph):
        for body in node.bodies.values():
            out.update(body.constants)
        for k, v in enumerate(node.inputs if node.op == "Scan" else ()):
            if v in out:
                out[node.bodies["body"].inputs[k]] = out[v]  # an element of it at a time
    return out


def _readers(graph: Graph) -> dict[Value, list[Reader]]:
    out: dict[Value, list[Reader]] = {}
    for node in _nodes(graph):
        for k, v in enumerate(node.inputs):
            if v is not None:
                out.setdefault(v, []).append((node, k))
    return out


def _bounds(v: Value, readers: Mapping[Value, list[Reader]], constants: Mapping[Value, Constant],
            dims: Mapping[str, int]) -> Bounds:
    """What every reader of ``v``, through operators that hand values on, says about it."""
    b, seen, todo = Bounds(), {v}, [v]
    while todo:
        for node, k in readers.get(todo.pop(), ()):
            _ask(node, k, b, constants, dims)
            further = (*(node.outputs if _hands_on(node, k) else ()), *_into_body(node, k))
            fresh = [o for o in further if o is not None and o not in seen and _is_integer(o)]
            seen.update(fresh)
            todo.extend(fresh)
    return b


def _hands_on(node: Node, k: int) -> bool:
    """Are the values of operand ``k`` found again in the outputs?"""
    if k == 0:
        return node.op in PASS_THROUGH or node.op in ("Gather", "GatherElements", "GatherND")
    return node.op in ("Concat", "Max", "Min", "Where")


def _into_body(node: Node, k: int) -> tuple[Value, ...]:
    """What operand ``k`` of a Scan or Loop is called inside."""
    body = node.bodies.get("body")
    return (body.inputs[k],) if body is not None and (node.op == "Scan" or k >= 2) else ()


def _is_integer(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype.is_integer


def _ask(node: Node, k: int, b: Bounds, constants: Mapping[Value, Constant], dims: Mapping[str, int]) -> None:
    """Add what ``node`` says about its integer operand ``k``."""
    if (node.op, k) in INDEXED:
        b.below += INDEXED[node.op, k](node, constants, dims)
    elif node.op in COMPARISONS and (other := _known(node, 1 - k, constants)) is not None:
        if node.op == "Equal":
            b.values += [int(x) for x in other.ravel()[:16]]
        elif node.op != "Mod" and other.size > 1 and np.array_equal(other, np.arange(other.size)):
            b.below.append(other.size + 1)  # held against every step: a sequence's length
            b.lowest = 1
    elif node.op == "Cast" and node.outputs[0] is not None and not node.outputs[0].dtype.is_integer:
        v = node.inputs[k]
        b.mask = b.mask or (v is not None and v.dtype.bits > WIDTHS)


def _extents(node: Node, k: int, dims: Mapping[str, int]) -> list[int]:
    v = node.inputs[k]
    return [] if v is None else [_least(d, dims) for d in v.shape]


def most(d: Dim, dims: Mapping[str, int]) -> int:
    """``d`` where extents that a run makes are as large as they can be (1 where that is not known)."""
    return extent(d, {**{a.name: 1 if a.hi is None else a.hi for a in index.dims_of(d) if a.name not in dims}, **dims})


def _least(d: Dim, dims: Mapping[str, int]) -> int:
    """``d`` where extents that a run makes are 1: an index below that fits them, if any does."""
    return extent(d, {**{a.name: 1 for a in index.dims_of(d)}, **dims})


def _known(node: Node, k: int, constants: Mapping[Value, Constant]) -> Array | None:
    v = node.inputs[k] if k < len(node.inputs) else None
    c = constants.get(v) if v is not None else None
    return None if c is None or c.dims is not None else np.asarray(c.load())


Ask = Callable[[Node, Mapping[Value, Constant], Mapping[str, int]], list[int]]


def _along_axis(node: Node, constants: Mapping[Value, Constant], dims: Mapping[str, int]) -> list[int]:
    shape = _extents(node, 0, dims)
    return [shape[int(node.attrs.get("axis", 0))]] if shape else []


def _leading(node: Node, constants: Mapping[Value, Constant], dims: Mapping[str, int]) -> list[int]:
    """GatherND and ScatterND: the last axis of the indices addresses the axes after the batch ones."""
    indices = _extents(node, 1, dims)
    batch = int(node.attrs.get("batch_dims", 0))
    return _extents(node, 0, dims)[batch : batch + indices[-1]] if indices else []


def _depth(node: Node, constants: Mapping[Value, Constant], dims: Mapping[str, int]) -> list[int]:
    depth = _known(node, 1, constants)
    return [] if depth is None else [int(depth.ravel()[0])]


def _table(k: int) -> Ask:
    return lambda node, constants, dims: _extents(node, k, dims)[:1]


INDEXED: dict[tuple[str, int], Ask] = {
    ("Gather", 1): _along_axis,
    ("GatherElements", 1): _along_axis,
    ("ScatterElements", 1): _along_axis,
    ("Scatter", 1): _along_axis,
    ("ArrayFeatureExtractor", 1): lambda node, constants, dims: _extents(node, 0, dims)[-1:],
    ("GatherND", 1): _leading,
    ("ScatterND", 1): _leading,
    ("OneHot", 0): _depth,
    ("EmbedLayerNormalization", 0): _table(2),
    ("EmbedLayerNormalization", 1): _table(4),
}
