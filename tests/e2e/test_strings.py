# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""String tensors through the whole compiler: inputs, constants, everything that moves, makes and reads them."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import aotgen
from aotgen.api import Model
from aotgen.core.errors import UnsupportedError, UsageError
from aotgen.frontend import inspect
from aotgen.toolchain.compiler import find_compiler
from tests.e2e import native
from tests.e2e.harness import expected, parsed
from tests.e2e.test_sanitizers import MEMORY, THREADS

Arrays = Mapping[str, np.ndarray]
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")
WORDS = ["", "a", "b", "word", "Another Word", "ÀÉÎ straße ΣΑΣ", "日本語", "x,y,,z,", ",", " two  spaces \t", "\U0001f600", "z" * 5000]
NEWEST = 23
SOME = 400  # elements: enough for every thread to have a part


def words(*shape: int, seed: int = 0, among: Sequence[str] = WORDS) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).choice(np.array(among, object), shape), object).reshape(shape)


def model_of(text: str, opset: int = NEWEST) -> onnx.ModelProto:
    made = parsed(text)
    del made.opset_import[:]
    made.opset_import.extend([helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 4)])
    made.ir_version = 10
    return made


def equal(got: Arrays, want: Arrays) -> None:
    assert got.keys() == want.keys()
    for name, reference in want.items():
        value, reference = got[name], np.asarray(reference)
        assert value.shape == reference.shape, name
        if reference.dtype.kind in "OU":
            assert value.dtype == object, name
            assert value.tolist() == reference.tolist(), name
        else:
            np.testing.assert_array_equal(value, reference, name)


def check(text: str, feeds: Sequence[Arrays], out: Path, want: Sequence[Arrays] | None = None, **options: Any) -> Model:
    """Compile once; every feed with one and three threads on memory full of what was never written."""
    model = model_of(text)
    loaded = aotgen.compile(model, out / "libm", **options).load()
    for k, inputs in enumerate(feeds):
        reference = want[k] if want is not None else expected(model, inputs)
        for threads in (1, 3):
            prepared = loaded.library.prepare(inputs, threads=threads)
            loaded.library._workspace[:] = 0xFF
            for block in prepared.memory.values():
                block[:] = 0xAB
            prepared.run()
            equal(prepared.outputs, reference)
    return loaded


MOVES = """g (string[n,m] x, int64[2] i, bool[n,m] c) => (string[m,n] t, string[2,m] g, string[k] r, string[p,m] cat, string[n,m] w,
    string[n,m,1] u, string[n,m] e, string[q,s] tile, string[a,b] pad, string[n] cut, string[n,m] same, bool[n,m] eq)
    <int64[1] flat = {-1}, string one = {"é"}, int64[1] two = {2}, int64[2] twice = {2,1}, int64[4] pads = {1,0,0,2}, string fill = {"pad"},
     int64[1] zero = {0}, int64[1] first = {1}, int64[1] ax = {1}, string[1,2] row = {"left", "right"}, int64[2] nn = {0,1}> {
    t = Transpose(x) g = Gather<axis = 0>(x, i) r = Reshape(x, flat) cat = Concat<axis = 0>(x, g, x) w = Where(c, x, one)
    u = Unsqueeze(x, two) xs = Shape(x) e = Expand(one, xs) tile = Tile(x, twice) pad = Pad(x, pads, fill)
    c0 = Slice(x, zero, first, ax) cut = Squeeze(c0, ax) same = Identity(x) eq = Equal(x, one) }"""


def test_movement(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    feeds = [{"x": words(n, m, seed=n), "i": np.array([n - 1, 0]), "c": rng.integers(0, 2, (n, m)).astype(bool)}
             for n, m in ((1, 1), (3, 2), (17, 23))]
    check(MOVES, feeds, tmp_path, [moved(f["x"], f["i"], f["c"]) for f in feeds], dynamic=True)


def moved(x: np.ndarray, i: np.ndarray, c: np.ndarray) -> Arrays:
    """By NumPy: onnxruntime 1.31 empties strings of tensors that have several readers."""
    return {"t": x.T, "g": x[i], "r": x.reshape(-1), "cat": np.concatenate([x, x[i], x]), "w": np.where(c, x, "é"), "u": x[..., None],
            "e": np.full(x.shape, "é", object), "tile": np.tile(x, (2, 1)), "pad": np.pad(x, ((1, 0), (0, 2)), constant_values="pad"),
            "cut": x[:, 0], "same": x, "eq": x == "é"}


MADE = """g (string[n] x, string[k,1] y, float[n] f, int64[n] i, bool[n] b) => (string[k,n] both, string[n] ft, string[n] it, string[n] bt, string[n] low,
    string[j] kept) {
    both = StringConcat(x, y) ft = Cast<to = 8>(f) it = Cast<to = 8>(i) bt = Cast<to = 8>(b)
    low = StringNormalizer<case_change_action = "LOWER", locale = "C.UTF-8">(x)
    kept = StringNormalizer<case_change_action = "UPPER", locale = "C.UTF-8", is_case_sensitive = 0, stopwords = ["WORD", "日本語", ""]>(x) }"""


def made_feeds(*sizes: tuple[int, int]) -> list[Arrays]:
    rng = np.random.default_rng(2)
    floats = np.array([0, -0.0, 1, 0.1, 1e-5, 123456789, 1e30, np.inf, -np.inf, np.nan, 3.14159274, 1e-45], np.float32)
    return [{"x": words(n, seed=n), "y": words(k, 1, seed=k + 1), "f": rng.choice(floats, n).astype(np.float32),
             "i": rng.integers(-(2**63), 2**63 - 1, n), "b": rng.integers(0, 2, n).astype(bool)} for n, k in sizes]


def test_new_text(tmp_path: Path) -> None:
    check(MADE, made_feeds((1, 1), (12, 3), (SOME, 2)), tmp_path, dynamic=True)


def test_only_stop_words(tmp_path: Path) -> None:
    """One empty string is left."""
    text = 'g (string[1,n] x) => (string[1,k] y) { y = StringNormalizer<stopwords = ["a", "b"], locale = "C.UTF-8", is_case_sensitive = 1>(x) }'
    feeds = [{"x": words(1, n, among=["a", "b"])} for n in (1, 5)]
    check(text, [*feeds, {"x": np.array([["A", "b", "c"]], object)}], tmp_path, dynamic=True)


@pytest.mark.parametrize("delimiter", ["", ",", "本", " two"])
@pytest.mark.parametrize("maxsplit", [-1, 0, 1, 2])
def test_split(tmp_path: Path, delimiter: str, maxsplit: int) -> None:
    limit = f"maxsplit = {maxsplit}, " if maxsplit >= 0 else ""
    text = f'g (string[n,2] x) => (string[n,2,k] y, int64[n,2] z) {{ y, z = StringSplit<{limit}delimiter = "{delimiter}">(x) }}'
    feeds = [{"x": words(n, 2, seed=n)} for n in (1, 2, 30)]
    want = []
    for f in feeds:
        rows = [t.split(delimiter or None, maxsplit) for t in f["x"].ravel()]
        width = max(map(len, rows))
        parts = np.array([[*r, *[""] * (width - len(r))] for r in rows], object)
        want.append({"y": parts.reshape(-1, 2, width), "z": np.array([len(r) for r in rows]).reshape(-1, 2)})
    check(text, feeds, tmp_path, want, dynamic=True)


@pytest.mark.parametrize("pattern", ["", "[a-z]+", ".*", r"\\p{L}+", "(a|b)*", r"(?i)ANOTHER\\b.*", r"日.語|z{10,}"])
def test_regular_expressions(tmp_path: Path, pattern: str) -> None:
    text = f'g (string[n] x) => (bool[n] y) {{ y = RegexFullMatch<pattern = "{pattern}">(x) }}'
    check(text, [{"x": words(n, seed=n)} for n in (1, SOME)], tmp_path, dynamic=True)


def test_a_pattern_that_is_not_regular() -> None:
    model = model_of(r'g (string[2] x) => (bool[2] y) { y = RegexFullMatch<pattern = "(a)\\1">(x) }')
    problem, = inspect(model).problems
    assert isinstance(problem, UnsupportedError)
    assert "back reference" in str(problem)


ENCODERS = """g (string[n,2] x) => (int64[n,2] to_int, string[n,2] to_text, float[n,2] to_float, int64[n,2] mapped, float[n,2,3] hot, string[n,1] picked)
    <int64[1] one = {1}> {
    to_int = ai.onnx.ml.LabelEncoder<keys_strings = ["word", "a", "日本語"], values_int64s = [7, 8, 9], default_int64 = -5>(x)
    to_text = ai.onnx.ml.LabelEncoder<keys_strings = ["word", "a", "é"], values_strings = ["W", "", "日"], default_string = "?">(x)
    to_float = ai.onnx.ml.LabelEncoder<keys_strings = ["b", "a"], values_floats = [1.5, 2.5]>(x)
    mapped = ai.onnx.ml.CategoryMapper<cats_strings = ["a", "b"], cats_int64s = [3, 4], default_int64 = 9>(x)
    hot = ai.onnx.ml.OneHotEncoder<cats_strings = ["a", "日本語", ""]>(x)
    picked = ai.onnx.ml.ArrayFeatureExtractor(x, one) }"""


def test_encoders(tmp_path: Path) -> None:
    check(ENCODERS, [{"x": words(n, 2, seed=n)} for n in (1, 2, SOME)], tmp_path, dynamic=True)


def test_integers_to_words(tmp_path: Path) -> None:
    text = """g (int64[n] x) => (string[n] y, string[n] z) {
        y = ai.onnx.ml.LabelEncoder<keys_int64s = [3, 1], values_strings = ["three", "one"], default_string = "ß">(x)
        z = ai.onnx.ml.CategoryMapper<cats_strings = ["three", "one"], cats_int64s = [3, 1], default_string = "none">(x) }"""
    check(text, [{"x": np.arange(n, dtype=np.int64) % 5} for n in (1, 9)], tmp_path, dynamic=True)


def test_n_grams(tmp_path: Path) -> None:
    text = """g (string[n,m] x) => (float[n,4] y) {
        y = TfIdfVectorizer<mode = "TFIDF", min_gram_length = 1, max_gram_length = 2, max_skip_count = 1, ngram_counts = [0, 2],
            ngram_indexes = [0, 1, 3, 2], weights = [1.0, 2.0, 0.5, 3.0], pool_strings = ["a", "日本語", "a", "word", "b", "a"]>(x) }"""
    check(text, [{"x": words(n, m, seed=n, among=["a", "b", "日本語", "word", ""])} for n, m in ((1, 2), (3, 9))], tmp_path, dynamic=True)


def test_labels(tmp_path: Path) -> None:
    """Three classes of a linear model, two of a tree."""
    text = """g (float[n,2] x) => (string[n] a, string[n] b) {
        a, s = ai.onnx.ml.LinearClassifier<coefficients = [1.0, 0.0, 0.0, 1.0, -1.0, -1.0], intercepts = [0.0, 0.1, 0.2],
            classlabels_strings = ["first", "second", "drïtte"], post_transform = "SOFTMAX">(x)
        b, t = ai.onnx.ml.TreeEnsembleClassifier<nodes_treeids = [0,0,0], nodes_nodeids = [0,1,2], nodes_featureids = [0,0,0],
            nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values = [0.1, 0.0, 0.0], nodes_truenodeids = [1,0,0],
            nodes_falsenodeids = [2,0,0], class_treeids = [0,0], class_nodeids = [1,2], class_ids = [0,1], class_weights = [1.0, 1.0],
            classlabels_strings = ["no", "yes"]>(x) }"""
    x = np.random.default_rng(0).standard_normal((33, 2)).astype(np.float32)
    check(text, [{"x": x}, {"x": x[:1]}], tmp_path, dynamic=True)


def test_unique(tmp_path: Path) -> None:
    text = """g (string[n] x) => (string[k] y, int64[k] first, int64[n] inverse, int64[k] counts, string[j] z) {
        y, first, inverse, counts = Unique(x) z = Unique<sorted = 0>(x) }"""
    check(text, [{"x": words(n, seed=n)} for n in (1, 30)], tmp_path, dynamic=True)


def test_numbers_from_text(tmp_path: Path) -> None:
    text = """g (string[n] x) => (float[n] f, double[n] d, float16[n] h, int32[n] i, int64[n] l, uint8[n] u, bool[n] b) {
        f = Cast<to = 1>(x) d = Cast<to = 11>(x) h = Cast<to = 10>(x) i = Cast<to = 6>(x) l = Cast<to = 7>(x) u = Cast<to = 2>(x) b = Cast<to = 9>(x) }"""
    whole = np.array(["0", "1", "-17", "2147483647", " 12 ", "+3"], object)
    value = np.array([0, 1, -17, 2147483647, 12, 3])
    real = np.array(["0.1", "1e-5", "-3.25E2", "1E8", "INF", "-inf", "NaN", "16777217.0000001", "x"], object)
    with np.errstate(over="ignore"):
        floats = np.array([0.1, 1e-5, -325, 1e8, np.inf, -np.inf, np.nan, 16777217.0000001, np.nan])
        want = [{"f": v.astype(np.float32), "d": v.astype(np.float64), "h": v.astype(np.float16)} for v in (value, floats)]
    want[0] |= {"i": value.astype(np.int32), "l": value, "u": value.astype(np.uint8), "b": value != 0}
    want[1] |= {"i": np.array([0, 0, -325, 10**8, -1, 0, 0, 16777217, 0]), "l": np.array([0, 0, -325, 10**8, 2**63 - 1, -(2**63), 0, 16777217, 0]),
                "u": np.array([0, 0, (-325) % 256, 10**8 % 256, 255, 0, 0, 1, 0], np.uint8), "b": np.array([1] * 9, bool)}
    check(text, [{"x": whole}, {"x": real}], tmp_path, want, dynamic=True)


CARRIED = """g (string[n] x, int64 trips, bool go) => (string[n] last, string[t,n] every, string[n] chosen, string[n,m] scanned)
    <bool yes = {1}, string dash = {"-"}, string none = {"none"}> {
    last, every = Loop(trips, yes, x) <body = b (int64 i, bool c, string[n] s) => (bool d, string[n] r, string[n] kept) {
        d = Identity(c) a = Cast<to = 8>(i) w = StringConcat(s, dash) r = StringConcat(w, a) kept = StringConcat(a, s) }>
    chosen = If(go) <then_branch = p () => (string[n] y) { y = StringConcat(x, dash) }, else_branch = q () => (string[n] y) { s = Shape(x) y = Expand(none, s) }>
    scanned = Scan<num_scan_inputs = 1, body = e (string v) => (string[1] w) { u = StringConcat(v, v) f = Reshape(u, one) w = Identity(f) }>(x) }"""


def test_control_flow(tmp_path: Path) -> None:
    """Carried, stacked, chosen and scanned strings."""
    text = CARRIED.replace('string none = {"none"}>', 'string none = {"none"}, int64[1] one = {1}>')
    feeds = [{"x": words(n, seed=n), "trips": np.array(t), "go": np.array(go)} for n, t, go in ((1, 3, True), (4, 1, False), (SOME, 2, True))]
    check(text, feeds, tmp_path, dynamic=True)


def test_empty_tensors(tmp_path: Path) -> None:
    text = """g (string[0,3] x) => (string[0,3] y, bool[0,3] e, string[0,3,k] p, int64[0,3] l, string[0] kept) <int64[1] f = {-1}> {
        y = StringConcat(x, x) e = RegexFullMatch<pattern = "a">(x) p, z = StringSplit(x)
        l = ai.onnx.ml.LabelEncoder<keys_strings = ["a"], values_int64s = [1]>(x) flat = Reshape(x, f) kept = StringNormalizer(flat) }"""
    shape = (0, 3)
    want = {"y": np.empty(shape, object), "e": np.empty(shape, bool), "p": np.empty((*shape, 0), object), "l": np.empty(shape, np.int64),
            "kept": np.empty(0, object)}
    check(text, [{"x": np.empty(shape, object)}], tmp_path, [want])


def test_constants_alone(tmp_path: Path) -> None:
    """Folded at compile time; a long string, quotes and zeros among them."""
    odd = ['"quoted" \\ ?? %s\n', "nul\0inside", "é" * 3000, ""]
    made = model_of("g (int64[k] i) => (string[k] y, string[4] z) { y = Gather(c, i) z = StringConcat(c, c) }")
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(odd, object), "c"))
    artifact = aotgen.compile(made, tmp_path / "libm", dynamic=True)
    got = artifact.load()({"i": np.array([3, 1, 0, 2, 1])})
    equal(got, {"y": np.array([odd[k] for k in (3, 1, 0, 2, 1)], object), "z": np.array([t + t for t in odd], object)})
    assert not list(artifact.folder.glob("src/string_ops.h"))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """They come back as they went in."""
    loaded = aotgen.compile(model_of("g (string[2] x) => (string[2] y) { y = StringConcat(x, x) }"), tmp_path / "libm").load()
    got = loaded({"x": np.array([b"\xff\xfe", b"ok"], object)})["y"]
    assert [t.encode("utf-8", "surrogateescape") for t in got] == [b"\xff\xfe\xff\xfe", b"okok"]


def test_what_is_no_string(tmp_path: Path) -> None:
    loaded = aotgen.compile(model_of("g (string[2] x) => (string[2] y) { y = Identity(x) }"), tmp_path / "libm").load()
    assert loaded({"x": np.array(["a", "bc"])})["y"].tolist() == ["a", "bc"]  # NumPy's own strings
    for bad in (np.array([1, "a"], object), np.array([1, 2]), np.array(["a"], object)):
        with pytest.raises(UsageError):
            loaded({"x": bad})


POOL = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t), ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def test_memory_of_the_caller(tmp_path: Path) -> None:
    """Text comes from the caller's pool and goes back; where that gives none the run says so."""
    loaded = aotgen.compile(model_of("g (string[3] x) => (string[3] y) { y = StringConcat(x, x) }"), tmp_path / "libm").load()
    libc, held = ctypes.CDLL(None), set()
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

    def take(_: int, size: int) -> int:
        held.add(block := libc.malloc(size))
        return block

    def give(_: int, block: int) -> None:
        held.remove(block)
        libc.free(block)

    class Pool(ctypes.Structure):
        _fields_ = [("context", ctypes.c_void_p), ("take", POOL[0]), ("give", POOL[1])]  # noqa: RUF012

    takes, gives, empty = POOL[0](take), POOL[1](give), POOL[0](lambda *_: None)
    for taking, status in ((takes, 0), (empty, 8)):
        prepared = loaded.library.prepare({"x": words(3)}, threads=2)
        pool = Pool(None, taking, gives)
        prepared._structs[2].pool = ctypes.addressof(pool)
        assert prepared._run(*prepared._args) == status
        assert bool(held) == (status == 0)
        loaded.library._function("release")(*prepared._args[1:])
        assert not held


TEXTS = {"moves": MOVES, "made": MADE, "encoders": ENCODERS,
         "control": CARRIED.replace('string none = {"none"}>', 'string none = {"none"}, int64[1] one = {1}>')}


def feeds_of(name: str) -> Arrays:
    rng = np.random.default_rng(3)
    return {
        "moves": {"x": words(5, 7), "i": np.array([4, 0]), "c": rng.integers(0, 2, (5, 7)).astype(bool)},
        "made": made_feeds((SOME, 2))[0],
        "encoders": {"x": words(SOME, 2)},
        "control": {"x": words(9), "trips": np.array(3), "go": np.array(True)},
    }[name]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", ["memory", "races"])
def test_sanitizers(tmp_path: Path, name: str, kind: str) -> None:
    """No byte outside a string is read, nothing leaks or races."""
    inputs = feeds_of(name)
    made = aotgen.compile(model_of(TEXTS[name]), tmp_path / "libm", dynamic=True, threading="pool")
    loaded = made.load()
    want, dims = loaded(inputs), loaded.library.dims_of(inputs)
    exe = native.build(made.folder, tmp_path / kind, MEMORY if kind == "memory" else THREADS, dims=dims)
    for threads in (1, 3):
        got = native.run(exe, made.folder, inputs, {k: v.shape for k, v in want.items()}, threads=threads, rounds=3,
                         callers=1 if kind == "memory" else 3)
        equal(got, want)


@pytest.mark.parametrize("name", TEXTS)
def test_no_warnings(tmp_path: Path, name: str) -> None:
    folder = aotgen.compile(model_of(TEXTS[name]), tmp_path / "libm", dynamic=True, build=False).folder
    native.build(folder, tmp_path / "made", ("-O1", *WARNINGS))
    sources = [folder / "example/main.c", *(folder / "src").glob("*_texts.c")]
    for source in sources:
        command = [*find_compiler().cc, "-std=c99", *WARNINGS, "-fsyntax-only", f"-I{folder / 'include'}", source]
        subprocess.run(command, check=True)


def test_headers_of_several_models(tmp_path: Path) -> None:
    """The type of strings is declared once, whoever comes first."""
    text = "g (string[2] x) => (string[2] y) { y = Identity(x) }"
    folders = [aotgen.compile(model_of(text), tmp_path / name, build=False).folder for name in ("liba", "libb")]
    both = tmp_path / "both.c"
    both.write_text('#include "a.h"\n#include "b.h"\nint main(void) { a_inputs a = {0}; b_inputs b = {0}; b.x = a.x; return b.x != 0; }\n')
    subprocess.run([*find_compiler().cc, "-std=c99", *WARNINGS, "-fsyntax-only", *(f"-I{f / 'include'}" for f in folders), both], check=True)


def test_the_example_program(tmp_path: Path) -> None:
    """Strings are lines of text files."""
    text = "g (string[4] x) => (string[4] y, string[4,k] z) { y = StringConcat(x, x) z, n = StringSplit(x) }"
    folder = aotgen.compile(model_of(text), tmp_path / "libm").folder
    subprocess.run(["cc", *WARNINGS, "-Iinclude", "example/main.c", "-Llib", "-lm", "-o", "example/main", f"-Wl,-rpath,{folder / 'lib'}"],
                   cwd=folder, check=True)
    (tmp_path / "lines").write_text("one two\n\nä", "utf-8")
    subprocess.run([folder / "example/main", f"x={tmp_path / 'lines'}"], cwd=tmp_path, check=True)
    assert (tmp_path / "y.txt").read_text("utf-8") == "one twoone two\n\nää\n\n"
    assert (tmp_path / "z.txt").read_text("utf-8").splitlines() == ["one", "two", "", "", "ä", "", "", ""]
