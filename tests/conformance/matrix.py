# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every ai.onnx operator in every element type its schema allows: a small case each (``recipes.py``) compiled in batches,
run with one and three threads on poisoned memory, and compared with onnx's reference evaluator.

    python -m tests.conformance.matrix [--part 8] [--match REGEX] [--jobs 2] [--out results.json] [--again results.json]
        [--print] [--ledger [--grow]]

A *pair* is an operator, one of its type parameters and an element type, the other parameters at float or int64. A pair
passes when every row of the operator does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper
from onnx.reference import ReferenceEvaluator

from aotgen.many import Made, compile_many
from tests.conformance import ledger, run
from tests.conformance.cases import sampled
from tests.conformance.recipes import Binding, Data, Given, Row, enum, numpy_of, rows_of, tensor_of
from tests.conformance.run import BATCH, ERROR, MISMATCH, PASS, THREADS, Outcome

Array = NDArray[Any]
NARROW = ("float16", "bfloat16", "float")
FIRST = ("float", "int64", "int8", "uint8")  # what a parameter that is not looked at is bound to
IR_VERSION = 13
LEDGER = Path(__file__).with_name("matrix.json")


@dataclass(frozen=True)
class Pair:
    """``op``'s type parameter ``param`` bound to ``dtype``. An operator whose types are all fixed has one, ``-``."""

    op: str
    param: str
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.op}/{self.param}/{self.dtype}"


@dataclass(frozen=True)
class TypedCase:
    """One row of a pair: the model, its run-time inputs, and what it takes to say whether an answer is right."""

    name: str
    model: onnx.ModelProto
    feeds: Mapping[str, Array]
    widened: tuple[str, ...]  # operands whose type is a parameter's
    row: Row


@lru_cache(maxsize=1)
def schemas() -> dict[str, defs.OpSchema]:
    """The newest version of each operator that is not deprecated."""
    out: dict[str, defs.OpSchema] = {}
    for s in defs.get_all_schemas_with_history():
        if s.domain == "" and not s.deprecated and s.since_version >= (out[s.name].since_version if s.name in out else 0):
            out[s.name] = s
    return dict(sorted(out.items()))


def elements(schema: defs.OpSchema) -> dict[str, list[str]]:
    """The element types each type parameter allows: of tensors, or of sequences where it has no tensors."""
    out = {}
    for c in schema.type_constraints:
        found = [m[1] for t in c.allowed_type_strs if (m := re.fullmatch(r"tensor\((\w+)\)", t))]
        found = found or [m[1] for t in c.allowed_type_strs if (m := re.fullmatch(r"seq\(tensor\((\w+)\)\)", t))]
        if found:
            out[c.type_param_str] = found
    return out


def pairs() -> list[Pair]:
    """Every pair, in order."""
    out = []
    for op, schema in schemas().items():
        allowed = elements(schema)
        if rows_of(op)[0].text:
            allowed = dict(list(allowed.items())[:1])
        used = {p.type_str for p in (*schema.inputs, *schema.outputs)}
        named = {p: types for p, types in allowed.items() if p in used}
        out += [Pair(op, p, t) for p, types in named.items() for t in types] or [Pair(op, "-", "-")]
    return out


def cases_of(pair: Pair) -> list[TypedCase]:
    """The cases of a pair; none where no row goes with it."""
    out = []
    for row in rows_of(pair.op):
        case = _text_case(pair, row) if row.text else _node_case(pair, row)
        if case is not None:
            out.append(case)
    return out


def _text_case(pair: Pair, row: Row) -> TypedCase:
    body = row.text.replace("{T}", pair.dtype).replace("{N}", str(enum(pair.dtype) if pair.dtype != "-" else 1))
    head = f'<ir_version: {IR_VERSION}, opset_import: ["" : {onnx.defs.onnx_opset_version()}]>'
    model = onnx.parser.parse_model(f"{head} {body}")
    feeds = {}
    for info in model.graph.input:
        t = info.type.tensor_type
        shape = tuple(d.dim_value for d in t.shape.dim)
        feeds[info.name] = Data(shape).make(onnx.TensorProto.DataType.Name(t.elem_type).lower(), f"{pair.name}{info.name}")
    return TypedCase(pair.name, model, feeds, (), row)


def _bound(pair: Pair, row: Row, allowed: Mapping[str, Sequence[str]]) -> Binding | None:
    """The type of every parameter."""
    out = {p: next((t for t in FIRST if t in types), types[0]) for p, types in allowed.items()}
    if pair.param == "-":
        return out
    out[pair.param] = pair.dtype
    for tied in row.ties:
        if pair.param in tied:
            out |= {p: pair.dtype for p in tied if p in out and pair.dtype in allowed[p]}
    return row.bind(out, pair.param) if row.bind else out


def _node_case(pair: Pair, row: Row) -> TypedCase | None:
    schema = schemas()[pair.op]
    binding = _bound(pair, row, elements(schema))
    if binding is None:
        return None
    name = f"{pair.name}/{row.variant}" if row.variant else pair.name
    infos, held, feeds, widened, names = [], [], {}, [], []
    for formal in schema.inputs:
        spec = row.operands.get(formal.name, _absent(formal))
        several = spec if isinstance(spec, (list, tuple)) else [spec]
        for k, one in enumerate(several):
            if one is None:
                names.append("")
                continue
            assert isinstance(one, (Data, Given))
            operand = f"{formal.name}{k}" if len(several) > 1 else formal.name
            dtype = _element(formal.type_str, binding)
            value = one.make(dtype, f"{name}{operand}")
            names.append(operand)
            widened += [operand] if formal.type_str in binding else []
            if one.held:
                held.append(tensor_of(value, dtype, operand))
            else:
                infos.append(helper.make_tensor_value_info(operand, enum(dtype), value.shape))
                feeds[operand] = value
    outputs = _outputs(schema, row, binding)
    node = helper.make_node(pair.op, _trimmed(names), [o.name for o in outputs], **row.attributes(binding))
    version = onnx.defs.onnx_opset_version() if pair.op in _current() else schema.since_version
    graph = helper.make_graph([node], "g", infos, outputs, held)
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", version)])
    return TypedCase(name, model, feeds, tuple(widened), row)


@lru_cache(maxsize=1)
def _current() -> frozenset[str]:
    """Operators of the newest opset: the others are deprecated in it."""
    return frozenset(op for op in schemas() if not defs.get_schema(op).deprecated)


def _trimmed(names: list[str]) -> list[str]:
    while names and not names[-1]:
        names.pop()
    return names


def _absent(formal: defs.OpSchema.FormalParameter) -> Any:
    """What an operand is where the row says nothing of it."""
    if formal.option == defs.OpSchema.FormalParameterOption.Variadic:
        return [Data((2, 3)), Data((2, 3))]
    return Data((2, 3)) if formal.option == defs.OpSchema.FormalParameterOption.Single else None


def _element(type_str: str, binding: Binding) -> str:
    found = re.fullmatch(r"tensor\((\w+)\)", type_str)
    return found[1] if found else binding[type_str]


def _outputs(schema: defs.OpSchema, row: Row, binding: Binding) -> list[onnx.ValueInfoProto]:
    formal = list(schema.outputs)
    count = row.outputs or max(1, sum(o.option == defs.OpSchema.FormalParameterOption.Single for o in formal))
    kinds = [_element(formal[min(k, len(formal) - 1)].type_str, binding) for k in range(count)]
    return [helper.make_tensor_value_info(f"out{k}", enum(t), None) for k, t in enumerate(kinds)]


# -- the answer


def truth_of(case: TypedCase) -> list[Array]:
    """What the outputs should be, in the types the model declares. Raises whatever the evaluator raises."""
    if case.row.oracle == "ort":
        return _of_ort(case)
    if callable(case.row.oracle):
        model, feeds = _widened(case)
        held = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        attrs = {a.name: helper.get_attribute_value(a) for a in model.graph.node[0].attribute}
        return _declared(case.row.oracle({**held, **feeds}, attrs), case.model)
    if case.row.oracle == "wide":
        model, feeds = _widened(case)
    else:
        model, feeds = case.model, dict(case.feeds)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        values = ReferenceEvaluator(model).run(None, feeds)
        return _declared(values, case.model)


def _of_ort(case: TypedCase) -> list[Array]:
    """onnxruntime in float32, or in the type itself where that is an integer."""
    import onnxruntime as ort

    model, feeds = onnx.ModelProto(), {}
    model.CopyFrom(case.model)
    model.ir_version = min(model.ir_version, 10)
    for info in model.graph.input:
        value = case.feeds[info.name]
        narrow = info.type.tensor_type.elem_type in map(enum, ("float16", "bfloat16", "double"))
        feeds[info.name] = value.astype(np.float32) if narrow else value
        if narrow:
            info.type.tensor_type.elem_type = enum("float")
    for info in model.graph.output:
        if info.type.tensor_type.elem_type in map(enum, ("float16", "bfloat16", "double")):
            info.type.tensor_type.elem_type = enum("float")
    for imported in model.opset_import:
        imported.version = min(imported.version, 21)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return _declared(session.run(None, feeds), case.model)


def _widened(case: TypedCase) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The case in float64: the evaluator computes in the type of what it is given."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    feeds = {n: _wide(v) if n in case.widened else v for n, v in case.feeds.items()}
    for tensor in model.graph.initializer:
        if tensor.name in case.widened:
            tensor.CopyFrom(onnx.numpy_helper.from_array(_wide(onnx.numpy_helper.to_array(tensor)), tensor.name))
    return model, feeds


def _wide(value: Array) -> Array:
    """Narrow floats as float64; truth values as numbers, which NumPy interpolates where it would refuse them."""
    if value.dtype == np.bool_:
        return value.astype(np.uint8)
    return value.astype(np.float64) if value.dtype in map(numpy_of, NARROW) else value


def _declared(values: Sequence[Any], model: onnx.ModelProto) -> list[Array]:
    """Outputs in the types the model declares, sequences as their tensors."""
    out = []
    for value, info in zip(values, model.graph.output, strict=True):
        several = info.type.HasField("sequence_type")
        proto = info.type.sequence_type.elem_type if several else info.type
        dtype = numpy_of(onnx.TensorProto.DataType.Name(proto.tensor_type.elem_type).lower())
        for v in value if several else [value]:
            a = np.asarray(v).astype(dtype)
            # Where the evaluator means no string, it writes the number 0.
            out.append(np.where(a == 0, "", a).astype(object) if dtype.kind == "O" else a)
    return out


def difference(got: Array, want: Array, row: Row) -> str:
    """Why ``got`` is not the answer; empty when it is."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    if row.oracle == "shape":
        return ""
    if want.dtype.kind in "iubOUS" or want.dtype.name.startswith(("int", "uint")):
        bad = np.asarray(got != want)
        return f"{bad.sum()} of {bad.size} differ: {got[bad].tolist()[:3]}, not {want[bad].tolist()[:3]}" if bad.any() else ""
    kind = np.complex128 if want.dtype.kind == "c" else np.float64
    a, b = got.astype(kind), want.astype(kind)
    least = _unit(numpy_of(row.least)) if row.least else 0.0
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        scale = np.max(np.abs(b[np.isfinite(b)]), initial=float(_tiny(want.dtype)))
        near = np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= row.ulps * max(_unit(want.dtype), least) * scale)
    bad = ~(same | near)
    return f"{bad.sum()} of {bad.size} differ: {a[bad].tolist()[:3]}, not {b[bad].tolist()[:3]}" if bad.any() else ""


def _real(dtype: np.dtype[Any]) -> Any:
    return ml_dtypes.finfo(np.empty(0, dtype).real.dtype if dtype.kind == "c" else dtype)  # type: ignore[no-untyped-call]


def _unit(dtype: np.dtype[Any]) -> float:
    return float(_real(dtype).eps)


def _tiny(dtype: np.dtype[Any]) -> float:
    return float(_real(dtype).smallest_normal)


# -- running


def _listed(values: Sequence[Any]) -> list[Array]:
    """Tensors, those of sequences one by one."""
    return [np.asarray(a) for v in values for a in (v if isinstance(v, list) else [v])]


def _bits(a: Array) -> Any:
    return a.tolist() if a.dtype == object else np.ascontiguousarray(a).tobytes()


def run_case(case: TypedCase, load: Any) -> Outcome:
    """Run a compiled case and compare."""
    try:
        library = load()
        wanted = [port["name"] for port in library.manifest["inputs"]]
        feeds = {n: v for n, v in case.feeds.items() if n in wanted}
        names = [o.name for o in case.model.graph.output]
        one, few = (_listed([r[n] for n in names]) for r in (run.poisoned_run(library, feeds, t) for t in THREADS))
        if list(map(_bits, one)) != list(map(_bits, few)):
            return Outcome(case.name, MISMATCH, "differs between 1 and 3 threads")
        wants = one if case.row.oracle == "shape" else truth_of(case)
        if len(one) != len(wants):
            return Outcome(case.name, MISMATCH, f"{len(one)} tensors, not {len(wants)}")
        for k, (got, want) in enumerate(zip(one, wants)):
            why = difference(got, want, case.row)
            if why:
                return Outcome(case.name, MISMATCH, f"{k}: {why}"[:300])
    except Exception as error:  # whatever went wrong is the outcome
        return Outcome(case.name, ERROR, f"run: {type(error).__name__}: {' '.join(str(error).split())}"[:300])
    return Outcome(case.name, PASS)


def run_batch(names: Sequence[str]) -> list[Outcome]:
    """Compile and run the cases of some pairs, named."""
    table = {p.name: p for p in pairs()}
    some, out = [], []
    for n in names:
        try:
            some += cases_of(table[n])
        except Exception as error:  # a row that does not go with its type
            out.append(Outcome(n, ERROR, f"recipe: {type(error).__name__}: {' '.join(str(error).split())}"[:300]))
    with tempfile.TemporaryDirectory(prefix="aotgen-matrix-") as scratch:
        many = compile_many({c.name: c.model for c in some}, Path(scratch), group=BATCH, jobs=1)
        out += [Outcome(n, *run.told(error)) for n, error in many.failed.items()]
        work: list[tuple[TypedCase, Made]] = [(c, many.made[c.name]) for c in some if c.name in many.made]
        return [*out, *run.guarded(work, run_case)]


def run_pairs(names: Sequence[str], jobs: int = 1) -> dict[str, Outcome]:
    """Outcomes of the pairs named, by pair: that of the first row that failed."""
    batches = [list(names[at : at + BATCH]) for at in range(0, len(names), BATCH)]
    out = {n: Outcome(n, PASS) for n in names}
    for o in run.each(run_batch, batches, jobs).values():
        pair = "/".join(o.case.split("/")[:3])
        if out[pair].how == PASS:
            variant = o.case.removeprefix(pair)
            out[pair] = Outcome(pair, o.how, f"{variant} {o.why}".strip())
    return out


def table(outcomes: Mapping[str, Outcome]) -> str:
    """One line an operator: the types that pass, in brackets those that do not."""
    by: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for o in outcomes.values():
        op, param, dtype = o.case.split("/")
        by[f"{op}.{param}"][dtype].append(o.how == PASS)
    lines = []
    for head, cells in by.items():
        good = [t for t, oks in cells.items() if all(oks)]
        bad = [t for t, oks in cells.items() if not all(oks)]
        lines.append(f"{head:34} {' '.join(good)}{'  [' + ' '.join(bad) + ']' if bad else ''}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", type=int, default=1, help="one pair in so many")
    parser.add_argument("--match", default="", help="only pairs whose name this finds")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the outcomes go, as JSON")
    parser.add_argument("--again", type=Path, help="earlier outcomes: only what failed in them is run again")
    parser.add_argument("--print", action="store_true", help="the matrix")
    parser.add_argument("--ledger", action="store_true", help="take what now passes out of matrix.json")
    parser.add_argument("--grow", action="store_true", help="and put what now fails in")
    args = parser.parse_args()
    names = [p.name for p in pairs() if sampled(p.name, args.part) and re.search(args.match, p.name)]
    before = {o.case: o for o in run.stored(args.again)} if args.again else {}
    outcomes = {**before, **run_pairs([n for n in names if n not in before or before[n].how != PASS], args.jobs)}
    for count, reason, some in run.grouped(outcomes):
        print(f"{count:5}  {reason}\n         {' '.join(some[:6])}")
    print(f"{len(outcomes)} pairs, {dict(Counter(o.how for o in outcomes.values()))}")
    if args.ledger:
        print(f"{ledger.update(ledger.TYPES, outcomes, args.grow, LEDGER)} known failures")
    if args.print:
        print(table(outcomes))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps([asdict(o) for o in outcomes.values()], indent=0), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
