# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One library for all sizes beside one made for these sizes: what open dims cost, as a Markdown table.

    python benchmarks/open_dims.py [--threads 1,2] [--rounds 7] [--seconds 0.2] [--at NAME=N,...] MODEL.onnx ...

``inputs.npz`` beside a model gives the sizes (and the contents); ``--at`` or ours do where there is none. Both libraries run
in one process in turns; a ratio is the median over rounds. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from aotgen import driver, frontend
from aotgen.core.options import CompileOptions
from aotgen.toolchain import Library
from aotgen.verify import inputs

HEAD = "| model | sizes | threads | all sizes, us | these sizes, us | ratio (lowest to highest round) |\n|---|---|---|---|---|---|"


def compiled(model: Path, folder: Path, options: CompileOptions) -> Library:
    driver.compile_model(model, folder, options)
    return Library(folder)


def measure(model: Path, args: argparse.Namespace) -> list[str]:
    """Table rows of one model, one a setting of its dims and number of threads."""
    graph = frontend.load_graph(model, CompileOptions(dynamic=True))
    stored = [f for f in (model.with_name("inputs.npz"), model.with_name("inputs_1.npz")) if f.exists() and not args.at]
    feeds = [inputs.read_npz(f, graph) for f in stored]
    sizes = [inputs.dims_from(graph, f) for f in feeds] if feeds else inputs.sizes(graph, args.at)
    feeds = feeds or [inputs.seeded(graph, 0, dims) for dims in sizes]
    rows = []
    with tempfile.TemporaryDirectory(prefix="aotgen-open-") as scratch:
        open_ = compiled(model, Path(scratch) / "open", CompileOptions(dynamic=True))
        for k, (dims, given) in enumerate(zip(sizes, feeds, strict=True)):
            shapes = tuple((name, tuple(a.shape)) for name, a in given.items())
            fixed = compiled(model, Path(scratch) / f"fixed{k}", CompileOptions(dynamic=True, input_shapes=shapes))
            for threads in map(int, args.threads.split(",")):
                pair = [library.prepare(given, threads=threads) for library in (open_, fixed)]
                rounds = [[timed(p, args.seconds) for p in pair] for _ in range(args.rounds)]
                ratios = sorted(a / b for a, b in rounds)
                ours, theirs = (1e6 * median(r[k] for r in rounds) for k in (0, 1))
                rows.append(f"| {model.parent.name if model.stem == 'model' else model.stem} | {' '.join(f'{k}={n}' for k, n in dims.items())} "
                            f"| {threads} | {ours:.1f} | {theirs:.1f} | {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")
    return rows


def timed(prepared: object, seconds: float) -> float:
    """The median of as many runs as fit into ``seconds``, at least 5."""
    once = min(prepared.time(3))  # type: ignore[attr-defined]
    return median(prepared.time(max(5, min(2000, int(seconds / max(once, 1e-7))))))  # type: ignore[attr-defined]


def setting(text: str) -> dict[str, int]:
    return {name: int(n) for name, _, n in (part.partition("=") for part in text.split(","))}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--at", type=setting, action="append", default=[], help="values of the open dims, repeatable")
    args = parser.parse_args()
    print(HEAD, flush=True)
    failed = 0
    for model in args.models:
        try:
            rows = measure(model, args)
        except Exception as error:  # the other models still count
            failed += 1
            rows = [f"| {model} | {type(error).__name__}: {error} | | | | |"]
        print("\n".join(rows), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
