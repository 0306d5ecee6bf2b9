# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Time a compiled library beside onnxruntime, in separate pinned processes that take turns."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aotgen import driver, frontend
from aotgen.bench.measure import PeerError, Row, bench
from aotgen.bench.ort_native import find_library
from aotgen.bench.startup import Startup, startup
from aotgen.bench.statistics import Timing
from aotgen.cli import arguments
from aotgen.cli.console import Console, duration
from aotgen.cli.verify import counts
from aotgen.core.errors import UsageError
from aotgen.verify import inputs, ort


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model(parser)
    arguments.add_target(parser, threads=False)
    group = parser.add_argument_group("Bench")
    group.add_argument("--threads", default="1", metavar="1,2,...", help="thread counts to time (default 1)")
    group.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each side (default 5)")
    group.add_argument("--seconds", type=float, default=0.5, metavar="S", help="time of one turn (default 0.5)")
    group.add_argument("--lib", type=Path, metavar="DIR", help="an output folder to time (default: compile anew)")
    group.add_argument("--inputs", type=Path, metavar="FILE.npz", help="inputs by name (default: seeded ones)")
    group.add_argument("--at", metavar="NAME=N,...", help="values of open dims to time at (default: a middling setting)")
    group.add_argument("--no-ort", action="store_true", help="time ours alone")
    arguments.add_common(parser, json=True)


def run(args: argparse.Namespace, console: Console) -> int:
    threads = counts(args.threads)
    if not threads or args.rounds < 1 or args.seconds <= 0:
        raise UsageError("--threads, --rounds and --seconds must be positive")
    if not args.no_ort:
        ort.require()
    args.threads = threads[0]
    with tempfile.TemporaryDirectory(prefix="aotgen-bench-") as scratch, console.working("import"):
        folder = args.lib or Path(scratch) / "libmodel"
        options = arguments.options(args, folder)
        if args.lib is None:
            driver.compile_model(args.model, folder, options, hooks=driver.Hooks(progress=console.stage))
        graph = frontend.load_graph(args.model, options)
        if args.inputs:
            feeds = inputs.read_npz(args.inputs, graph)
            dims = inputs.dims_from(graph, feeds)
        else:
            dims = inputs.sizes(graph, arguments.settings([args.at] if args.at else []))[-1]
            feeds = inputs.seeded(graph, 0, dims)
        common = {"threads": threads, "rounds": args.rounds, "seconds": args.seconds, "dims": dims,
                  "progress": console.stage}
        try:
            rows = bench(folder, None if args.no_ort else Path(args.model), feeds, **common)
        except PeerError as e:
            console.say(f"note: {e.reason}")
            rows = bench(folder, None, feeds, **common)
        strings = any(a.dtype.kind == "O" for a in feeds.values())  # the runner reads inputs from files
        begin = None if strings else startup(folder, feeds, threads=threads[0], dims=dims)
    _show(args.json, rows, begin, console)
    return 0


def _show(as_json: bool, rows: Sequence[Row], begin: Startup | None, console: Console) -> None:
    if as_json:
        console.json({"rows": rows, "startup_seconds": begin.cost if begin else None})
        return
    table = []
    for r in rows:
        ratio = f"{r.ratio.median:.2f} ({r.ratio.low:.2f} to {r.ratio.high:.2f})" if r.ratio else "-"
        table.append((r.threads, _timing(r.ours), _timing(r.theirs) if r.theirs else "-", ratio))
    console.table(("threads", "ours", "onnxruntime", "ours / onnxruntime"), table)
    if begin:
        console.data(f"start-up: {duration(max(begin.cost, 0.0))} beyond a steady run, from process start to the first result")
    through = "both through their C interfaces" if find_library() else "onnxruntime through Python, some us a run"
    console.say(f"medians over rounds (lowest to highest round), {through}")


def _timing(t: Timing) -> str:
    return f"{duration(t.median)} ({duration(t.low)} to {duration(t.high)})"
