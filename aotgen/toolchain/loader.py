# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A built library as a Python object: NumPy arrays in by name, NumPy arrays out."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen import native
from aotgen.core import dtypes
from aotgen.core.errors import AotgenError, ToolchainError, UsageError
from aotgen.toolchain import strings
from aotgen.toolchain.compiler import read_manifest

Arrays = dict[str, NDArray[Any]]
ALIGN = 64
BAD_DIMS = 2  # the status of dims out of bounds, or that do not fit each other


class RunError(AotgenError):
    """The library refused to run; ``status`` is its code."""

    exit_code = 1

    def __init__(self, reason: str, status: int = 0) -> None:
        self.status = status
        super().__init__(reason)


def aligned(size: int) -> NDArray[np.uint8]:
    """``size`` bytes that start at a multiple of ``ALIGN``."""
    raw = np.zeros(size + ALIGN, np.uint8)
    start = -raw.ctypes.data % ALIGN
    return raw[start : start + size]


class Item(ctypes.Structure):
    """``aotgen_tensor`` of the C interface: one tensor of a sequence."""

    _fields_ = (("type", ctypes.c_int32), ("rank", ctypes.c_int32), ("shape", ctypes.c_int64 * 8), ("data", ctypes.c_void_p),
                ("capacity", ctypes.c_size_t))


def _fields(port: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The members of one port: its pointer, and its shape where a run decides it."""
    if "holds" in port:
        return [(port["member"], ctypes.POINTER(Item)), (f"{port['member']}_count", ctypes.c_size_t)]
    shape = [(port["shape_member"], ctypes.c_int64 * len(port["shape"]))] if "shape_member" in port else []
    return [(port["member"], ctypes.c_void_p), *shape]


class Library:
    """One loaded library. Holds its workspace between runs; use one object per thread."""

    def __init__(self, folder: Path, library: Path | None = None) -> None:
        self.manifest = read_manifest(folder)
        self.name: str = self.manifest["name"]
        path = library or folder / "lib" / f"lib{self.name}.so"
        try:
            self._lib = ctypes.CDLL(str(path.resolve()))
        except OSError as error:
            raise ToolchainError(f"{path} cannot be loaded: {error}") from error
        fast = native.module
        self._runner = fast.Runner(str(path.resolve()), f"{self.name}_run") if fast else None
        self._declare()
        self._workspace = aligned(0)
        self._weights = self._map_weights(folder)

    def _declare(self) -> None:
        def struct(name: str, fields: list[tuple[str, Any]]) -> Any:
            return type(name, (ctypes.Structure,), {"_fields_": fields})

        ports = self.manifest["inputs"], self.manifest["outputs"]
        owned = [("owned", ctypes.c_void_p)] if self.manifest.get("owning") else []  # by the results
        self._Inputs, self._Outputs = (
            struct(kind, [field for p in rows for field in _fields(p)] + more or [("unused", ctypes.c_void_p)])
            for kind, rows, more in zip(("Inputs", "Outputs"), ports, ([], owned), strict=True)
        )
        fields = [
            ("size", ctypes.c_uint32),
            ("threads", ctypes.c_int32),
            ("workspace", ctypes.c_void_p),
            ("workspace_size", ctypes.c_size_t),
            ("weights", ctypes.c_void_p),
            ("pool", ctypes.c_void_p),
        ]
        if self.manifest["dims"]:
            dims = struct("Dims", [(d["member"], ctypes.c_int64) for d in self.manifest["dims"]])
            fields.append(("dims", dims))
        self._Call = struct("Call", fields)
        for symbol, result in (
            ("run", ctypes.c_int),
            ("workspace_size", ctypes.c_size_t),
            ("output_shape", ctypes.c_int),
            ("input_shape", ctypes.c_int),
            ("status_str", ctypes.c_char_p),
        ):
            getattr(self._lib, f"{self.name}_{symbol}").restype = result

    def _map_weights(self, folder: Path) -> NDArray[np.uint8] | None:
        weights = self.manifest["weights"]
        if weights["mode"] != "file":
            return None
        return np.memmap(folder / weights["file"], np.uint8, "r")

    def _function(self, name: str) -> Any:
        return getattr(self._lib, f"{self.name}_{name}")

    def dims_of(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, int]:
        """Open dims by name, read off the shapes of ``inputs``. Raises UsageError where they contradict each other."""
        out: dict[str, int] = {}
        names = {d["name"] for d in self.manifest["dims"]}
        for port in self.manifest["inputs"]:
            if port["name"] not in inputs or "holds" in port:
                continue
            for extent, given in zip(port["shape"], np.shape(inputs[port["name"]]), strict=False):
                if extent in names and out.setdefault(extent, given) != given:
                    raise UsageError(f"dim {extent} is both {out[extent]} and {given}", node=port["name"])
        return out

    def _call(self, dims: Mapping[str, int], threads: int) -> Any:
        call = self._Call()
        call.size, call.threads = ctypes.sizeof(call), threads
        for row in self.manifest["dims"]:
            if row["name"] not in dims:
                raise UsageError(f"dim {row['name']} is open and no input tells it: give its value")
            value, lo, hi = dims[row["name"]], row["lo"], row["hi"]
            if value < lo or (hi is not None and value > hi):
                bounds = f"{lo} to {hi}" if hi is not None else f"at least {lo}"
                raise UsageError(f"dim {row['name']} is {value}; the library was compiled for {bounds}")
            setattr(call.dims, row["member"], value)
        if self._weights is not None:
            call.weights = self._weights.ctypes.data
        size = self._function("workspace_size")(ctypes.byref(call))
        if size > self._workspace.size:
            self._workspace = aligned(size)
        call.workspace, call.workspace_size = self._workspace.ctypes.data, size
        return call

    def _shape(self, kind: str, call: Any, number: int) -> tuple[int, ...]:
        shape = (ctypes.c_int64 * 8)()
        rank = self._function(f"{kind}_shape")(ctypes.byref(call), ctypes.c_int(number), shape)
        if rank < 0:
            raise self.refusal(BAD_DIMS)
        return tuple(shape[:rank])

    def refusal(self, status: int) -> RunError:
        """The error for a status that is not ``ok``."""
        text = self._function("status_str")(status)
        return RunError(f"{self.name}_run: {text.decode()}", status)

    def _bind_inputs(self, call: Any, inputs: Mapping[str, NDArray[Any]]) -> tuple[Any, list[NDArray[Any]]]:
        bound, kept = self._Inputs(), []
        for n, port in enumerate(self.manifest["inputs"]):
            if port["name"] not in inputs:
                raise UsageError("input is missing", node=port["name"])
            if "holds" in port:
                kept += _bind_list(bound, port, inputs[port["name"]])
                continue
            array = np.asarray(inputs[port["name"]])
            want, shape = dtypes.of(port["dtype"]).numpy, self._shape("input", call, n)
            if array.size == 1 == math.prod(shape):
                array = array.reshape(shape)  # one number, however many brackets are around it
            if port["dtype"] == dtypes.string.name and array.dtype.kind in strings.KINDS and array.shape == shape:
                kept += strings.to_native(array, port["name"])
                setattr(bound, port["member"], kept[-2].ctypes.data)
                continue
            if array.dtype != want or array.shape != shape:
                raise UsageError(
                    f"input is {array.dtype}{list(array.shape)}, not {want}{list(shape)}", node=port["name"]
                )
            kept.append(np.ascontiguousarray(array))
            setattr(bound, port["member"], kept[-1].ctypes.data)
        return bound, kept

    def prepare(
        self, inputs: Mapping[str, NDArray[Any]], *, dims: Mapping[str, int] | None = None, threads: int = 0
    ) -> Prepared:
        """Bind ``inputs`` and fresh outputs; the result can be run many times."""
        call = self._call({**self.dims_of(inputs), **(dims or {})}, threads)
        bound, kept = self._bind_inputs(call, inputs)
        results, outputs, memory = self._Outputs(), Arrays(), Arrays()
        for n, port in enumerate(self.manifest["outputs"]):
            if port.get("owned") or "holds" in port:
                outputs[port["name"]] = np.zeros(0, dtypes.of(port["dtype"]).numpy)
                continue
            shape, dtype = tuple(max(d, 0) for d in self._shape("output", call, n)), dtypes.of(port["dtype"]).numpy
            block = memory[port["name"]] = aligned(math.prod(shape) * dtypes.of(port["dtype"]).bytes)
            outputs[port["name"]] = np.empty(shape, dtype) if dtype.hasobject else block.view(dtype).reshape(shape)
            setattr(results, port["member"], block.ctypes.data)
        return Prepared(self, call, bound, results, outputs, memory, [*kept, self._workspace])

    def run(
        self, inputs: Mapping[str, NDArray[Any]], *, dims: Mapping[str, int] | None = None, threads: int = 0
    ) -> Arrays:
        """Outputs by name. ``dims``: open dims that no input's shape tells. Raises RunError when the library refuses."""
        prepared = self.prepare(inputs, dims=dims, threads=threads)
        prepared.run()
        return prepared.outputs


def _bind_list(bound: Any, port: Mapping[str, Any], value: Any) -> list[Any]:
    """Point ``bound`` at the tensors of a sequence (a list), or of an optional (None, an array or a list); what must be kept
    alive for that."""
    given = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
    dtype = dtypes.of(port["dtype"]).numpy
    arrays = [np.ascontiguousarray(np.asarray(a)).reshape(np.shape(a)) for a in given]
    kinds = strings.KINDS if dtype.hasobject else dtype.kind
    wrong = next((a for a in arrays if a.dtype.kind not in kinds or (a.dtype != dtype and not dtype.hasobject)), None)
    if wrong is not None:
        raise UsageError(f"a tensor of {wrong.dtype} in a sequence of {dtype}", node=port["name"])
    blocks = [strings.to_native(a, port["name"]) if dtype.hasobject else (a,) for a in arrays]
    items = (Item * max(len(arrays), 1))()
    for item, a, block in zip(items, arrays, blocks, strict=False):
        item.type, item.rank, item.data = port["type"], a.ndim, block[0].ctypes.data
        item.shape[: a.ndim] = a.shape
    if value is not None:
        setattr(bound, port["member"], items)
    setattr(bound, f"{port['member']}_count", len(arrays))
    return [items, blocks]


def _fetch_list(results: Any, port: Mapping[str, Any]) -> Any:
    """Copies of the tensors of a sequence; of an optional the one, or None."""
    items, count = getattr(results, port["member"]), getattr(results, f"{port['member']}_count")
    if port["holds"] != "sequence" and not items:
        return None
    out = []
    for item in items[:count] if count else []:
        out.append(_copied(item.data, tuple(item.shape[: item.rank]), dtypes.of(port["dtype"])))
    return out[0] if port["holds"] == "optional" else out


def _copied(address: int | None, shape: tuple[int, ...], dtype: dtypes.DType) -> NDArray[Any]:
    """The tensor at ``address`` as an array of its own."""
    if dtype is dtypes.string:
        return strings.from_native(address, shape)
    array = np.zeros(shape, dtype.numpy)
    ctypes.memmove(array.ctypes.data, address or 0, array.nbytes)
    return array


class Prepared:
    """A library bound to its arguments: ``run`` costs one foreign call, through ``aotgen._native`` where there is one, else
    through ctypes. ``outputs``: the arrays by name, ``memory``: the bytes behind those that the library writes into."""

    def __init__(self, library: Library, call: Any, inputs: Any, outputs: Any, arrays: Arrays, memory: Arrays,
                 kept: list[Any]) -> None:
        self._library, self._kept, self.outputs, self.memory = library, kept, arrays, memory
        self._args = ctypes.byref(inputs), ctypes.byref(outputs), ctypes.byref(call)
        self._structs = inputs, outputs, call
        self._at = tuple(ctypes.addressof(block) for block in self._structs)
        self._run = library._function("run")
        ports = library.manifest["outputs"]
        self._owning = bool(library.manifest.get("owning"))
        self._copied = [p for p in ports if p.get("owned") or "holds" in p or p["dtype"] == dtypes.string.name]
        open_ = [p for p in ports if "shape_member" in p and p not in self._copied]
        self._open = [(p, arrays[p["name"]].reshape(-1)) for p in open_]

    def run(self) -> None:
        """One inference. Raises RunError when the library refuses."""
        runner = self._library._runner
        status = runner.run(*self._at) if runner else self._run(*self._args)
        if status != 0:
            raise self._library.refusal(status)
        if self._open:
            self._cut()
        if self._copied:
            self._copy()
        if self._owning:
            self._library._function("release")(*self._args[1:])

    def _copy(self) -> None:
        """Strings, and what the run made room for itself, as arrays of their own."""
        results = self._structs[1]
        for port in self._copied:
            name = port["name"]
            if "holds" in port:
                self.outputs[name] = _fetch_list(results, port)
                continue
            shape = tuple(getattr(results, port["shape_member"])) if "shape_member" in port else self.outputs[name].shape
            self.outputs[name] = _copied(getattr(results, port["member"]), shape, dtypes.of(port["dtype"]))

    def _cut(self) -> None:
        """Show of each output as much as the run said there is."""
        for port, whole in self._open:
            shape = tuple(getattr(self._structs[1], port["shape_member"]))
            self.outputs[port["name"]] = whole[: math.prod(shape)].reshape(shape)

    def time(self, runs: int) -> list[float]:
        """Seconds of each of ``runs`` inferences. Raises RunError when the library refuses."""
        runner = self._library._runner
        if runner and not self._owning:
            try:
                return [ns * 1e-9 for ns in runner.time(*self._at, 0, runs)]
            except RuntimeError:
                self.run()  # says why in the library's own words
                raise
        out = []
        for _ in range(runs):
            start = time.perf_counter()
            self.run()
            out.append(time.perf_counter() - start)
        return out


def load(folder: Path, library: Path | None = None) -> Library:
    """The library built in ``folder``."""
    return Library(folder, library)
