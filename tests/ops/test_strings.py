# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators on strings by the Graph interpreter, against onnxruntime, onnx.reference and Python's own strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graphs import expect, ints

import aotgen.ops  # noqa: F401  (registers every operator)
from aotgen.core import dtypes
from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir.graph import TensorType
from aotgen.ops import interp
from aotgen.ops.builder import Builder
from aotgen.ops.string_numbers import number_text

ML = "ai.onnx.ml"
WORDS = ["", "a", "b", "word", "Another WORD", "ÀÉ straße ΣΑΣ", "日本語", "x,y,,z,", " two  spaces \t"]
LOCALE = "C.UTF-8"  # one that onnxruntime finds everywhere


def o(*values: Any) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def words(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).choice(o(*WORDS), shape), object).reshape(shape)


def run(op: str, inputs: Sequence[np.ndarray], n: int = 1, domain: str = "", const: Sequence[int] = (), **attrs: Any) -> list[np.ndarray]:
    """Outputs of one node; their extents may be data."""
    b = Builder("g")
    values = [b.constant(a) if k in const else b.input(f"in{k}", TensorType(dtypes.of(a.dtype), a.shape)) for k, a in enumerate(inputs)]
    outs = [v for v in b.node(op, values, attrs, n=n, domain=domain) if v is not None]
    done = interp.run_graph(b.graph(outs), {f"in{k}": a for k, a in enumerate(inputs) if k not in const})
    return [done[v.name] for v in outs]


def check(op: str, inputs: Sequence[np.ndarray], n: int = 1, domain: str = "", by: str = "ort", **attrs: Any) -> list[np.ndarray]:
    got = run(op, inputs, n, domain, **attrs)
    for g, w in zip(got, expect(op, inputs, n=n, domain=domain, by=by, **attrs), strict=True):
        assert g.shape == w.shape
        assert g.tolist() == w.tolist()
    return got


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 4)), ((), (2,)), ((0,), (1,)), ((), ())])
def test_concat(shapes: tuple[tuple[int, ...], ...]) -> None:
    check("StringConcat", [words(*shapes[0]), words(*shapes[1], seed=1)])


@pytest.mark.parametrize("delimiter", [None, "", ",", "本", "wor"])
@pytest.mark.parametrize("maxsplit", [None, 0, 1, 2])
@pytest.mark.parametrize("shape", [(5,), (2, 3), ()])
def test_split(delimiter: str | None, maxsplit: int | None, shape: tuple[int, ...]) -> None:
    attrs = {k: v for k, v in (("delimiter", delimiter), ("maxsplit", maxsplit)) if v is not None}
    x = words(*shape)
    parts, counts = run("StringSplit", [x], n=2, **attrs)
    rows = [t.split(delimiter or None, -1 if maxsplit is None else maxsplit) for t in x.ravel()]
    assert counts.ravel().tolist() == [len(r) for r in rows]
    width = max(map(len, rows))
    assert parts.shape == (*shape, width)
    assert parts.reshape(-1, width).tolist() == [[*r, *[""] * (width - len(r))] for r in rows]


def test_split_of_nothing() -> None:
    parts, counts = run("StringSplit", [np.empty((0, 2), object)], n=2)
    assert (parts.shape, counts.shape) == ((0, 2, 0), (0, 2))


@pytest.mark.parametrize("action", ["NONE", "LOWER", "UPPER"])
@pytest.mark.parametrize("sensitive", [0, 1])
@pytest.mark.parametrize("stops", [None, ["WORD", "a"], ["another word", "日本語", ""]])
@pytest.mark.parametrize("shape", [(7,), (1, 7)])
def test_normalizer(action: str, sensitive: int, stops: list[str] | None, shape: tuple[int, ...]) -> None:
    attrs: dict[str, Any] = {"case_change_action": action, "is_case_sensitive": sensitive, "locale": LOCALE}
    check("StringNormalizer", [words(*shape)], **attrs, **({"stopwords": stops} if stops else {}))


@pytest.mark.parametrize("shape", [(2,), (1, 2)])
def test_normalizer_without_a_word_left(shape: tuple[int, ...]) -> None:
    check("StringNormalizer", [np.full(shape, "a", object)], stopwords=["a"], locale=LOCALE)


def test_normalizer_refuses_other_shapes() -> None:
    with pytest.raises(ModelError, match=r"\[1, C\]"):
        run("StringNormalizer", [words(2, 2)])
    with pytest.raises(ModelError, match="case_change_action"):
        run("StringNormalizer", [words(2)], case_change_action="TITLE")


@pytest.mark.parametrize("pattern", ["", "[a-z]+", r"\p{L}*", ".*", "(?i)ANOTHER.*"])
@pytest.mark.parametrize("shape", [(9,), (2, 3), (), (0,)])
def test_regex(pattern: str, shape: tuple[int, ...]) -> None:
    check("RegexFullMatch", [words(*shape)], pattern=pattern)


def test_a_pattern_that_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="lookaround"):
        run("RegexFullMatch", [words(2)], pattern="a(?=b)")


def test_equal_and_selection() -> None:
    x, y = words(4, 3), words(3, seed=2)
    check("Equal", [x, y])
    check("Where", [ints(bool, 0, 2, 4, 3), x, y])
    check("Gather", [x, np.array([[-1], [0]])], axis=1)
    assert run("Compress", [x, np.array([1, 0, 1], bool)], axis=1)[0].tolist() == x[:, [0, 2]].tolist()
    assert run("Pad", [y, np.array([1, 2])], const=(1,))[0].tolist() == ["", *y, "", ""]
    assert run("Tile", [y, np.array([2])], const=(1,))[0].tolist() == [*y, *y]
    with pytest.raises(UnsupportedError, match="not defined"):
        run("Less", [x, x])


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("in_order", [0, 1])
def test_unique(axis: int | None, in_order: int) -> None:
    x = words(12, 1, seed=3) if axis == 0 else words(3, 4, seed=3)
    x = np.repeat(x, 2, axis or 0)
    check("Unique", [x], n=4, sorted=in_order, **({} if axis is None else {"axis": axis}))


@pytest.mark.parametrize("kind", ["float32", "float64", "int8", "int64", "uint16", "uint64", "bool"])
def test_cast_to_string(kind: str) -> None:
    t = np.dtype(kind)
    if t.kind == "f":
        x = np.array([0, -0.0, 1, -2.5, 0.1, 1e-5, 123456789, 1e30, 3.14159274, np.inf, -np.inf, np.nan], t)
    else:
        x = np.array([0, 1, 1, 0], t) if kind == "bool" else np.array([0, 7, np.iinfo(t).min, np.iinfo(t).max], t)
    check("Cast", [x], to=8)


@pytest.mark.parametrize("kind", ["f16", "bf16", "f8e4m3fn", "i4"])
def test_cast_of_small_types_to_string(kind: str) -> None:
    """As the value they stand for; onnxruntime has no kernel for most."""
    x = np.array([0, 1, -2, 3.5]).astype(dtypes.of(kind).numpy)
    assert run("Cast", [x], to=8)[0].tolist() == [number_text(float(v)) for v in x]


@pytest.mark.parametrize("to", [1, 10, 11, 6, 7, 2, 13, 9])
def test_cast_from_string(to: int) -> None:
    numeric = o("0", "1", "17", "3", " 12", "100")
    check("Cast", [numeric], to=to)
    if to in (1, 11):
        check("Cast", [o("0.1", "-1e-5", "1E8", "INF", "-inf", "+INF", "16777217", "3.4028235e38")], to=to)
        assert np.isnan(run("Cast", [o("NaN", "word")], to=to)[0]).all()
    assert run("Cast", [o("a", "")], to=8)[0].tolist() == ["a", ""]


def test_cast_like() -> None:
    assert run("CastLike", [np.array([1.5, 2], np.float32), words(1)])[0].tolist() == ["1.5", "2"]


SIDES: dict[str, dict[str, Any]] = {
    "strings": {"strings": ["a", "日本語", "word"]}, "int64s": {"int64s": [4, -2, 9]}, "floats": {"floats": [0.5, float("nan"), -1.0]},
}
INPUTS = {"strings": words(9), "int64s": np.array([4, 1, -2, 9]), "floats": np.array([0.5, np.nan, 7, -1], np.float32)}
DEFAULTS: dict[str, dict[str, Any]] = {"strings": {"default_string": "?"}, "int64s": {"default_int64": -7}, "floats": {"default_float": 2.5}}


@pytest.mark.parametrize("keys", SIDES)
@pytest.mark.parametrize("values", SIDES)
@pytest.mark.parametrize("default", [False, True])
def test_label_encoder(keys: str, values: str, default: bool) -> None:
    if keys == values != "strings":
        return  # not of strings: elsewhere
    attrs = {f"keys_{k}": v for k, v in SIDES[keys].items()} | {f"values_{k}": v for k, v in SIDES[values].items()}
    got, = run("LabelEncoder", [INPUTS[keys]], domain=ML, **attrs, **(DEFAULTS[values] if default else {}))
    want, = expect("LabelEncoder", [INPUTS[keys]], domain=ML, version=4, **attrs, **(DEFAULTS[values] if default else {}))
    assert str(got.tolist()) == str(want.tolist())  # NaN beside NaN


@pytest.mark.parametrize("values", [o("eins", "zwei"), np.array([1, 2], np.int16), np.array([0.5, 1.5])])
def test_label_encoder_of_tensors(values: np.ndarray) -> None:
    default = np.array(["?"], object) if values.dtype == object else np.array([9], values.dtype)
    got, = run("LabelEncoder", [o("one", "two", "three")], domain=ML, keys_tensor=o("one", "two"), values_tensor=values, default_tensor=default)
    assert got.tolist() == [*values.tolist(), *default.tolist()]
    assert got.dtype == values.dtype


def test_category_mapper() -> None:
    attrs = {"cats_strings": ["a", "word", "日本語"], "cats_int64s": [5, 6, 7]}
    check("CategoryMapper", [words(9)], domain=ML, default_int64=-3, **attrs)
    check("CategoryMapper", [np.array([7, 5, 1])], domain=ML, default_string="none", **attrs)


def test_one_hot_and_features() -> None:
    check("OneHotEncoder", [words(2, 3)], domain=ML, cats_strings=["a", "", "日本語"])
    check("ArrayFeatureExtractor", [words(3, 4), np.array([2, 0])], domain=ML)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("shape", [(8,), (3, 6)])
def test_n_grams(mode: str, shape: tuple[int, ...]) -> None:
    check("TfIdfVectorizer", [words(*shape)], mode=mode, min_gram_length=1, max_gram_length=2, max_skip_count=2, ngram_counts=[0, 3],
          ngram_indexes=[4, 1, 0, 2, 3], weights=[1.0, 2.0, 0.5, 3.0, 1.5],
          pool_strings=["a", "", "日本語", "a", "b", "word", "word"])


@pytest.mark.parametrize(("op", "attrs"), [
    ("LinearClassifier", {"coefficients": [1.0, 0.0, 0.0, 1.0, -1.0, -1.0], "intercepts": [0.0, 0.1, 0.2]}),
    ("LinearClassifier", {"coefficients": [1.0, -0.5], "intercepts": [0.1]}),
    ("SVMClassifier", {"coefficients": [0.5, -0.2, 0.3, 0.9, -0.4, 0.1], "rho": [0.1, -0.2, 0.3], "kernel_type": "RBF",
                       "kernel_params": [0.4, 0.0, 3.0], "vectors_per_class": [1, 1, 1], "support_vectors": [0.1, 0.2, -1.0, 0.5, 0.7, -0.7]}),
])
def test_labels(op: str, attrs: dict[str, Any]) -> None:
    count = 2 if len(attrs["coefficients"]) == 2 else 3
    x = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    labels = ["first", "zweite", "日本語"][:count]
    got = run(op, [x], 2, ML, classlabels_strings=labels, **attrs)
    want = expect(op, [x], n=2, domain=ML, classlabels_strings=labels, **attrs)
    assert got[0].tolist() == want[0].tolist()


@pytest.mark.parametrize("words_", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_labels_of_trees(words_: bool, second: bool) -> None:
    """Two classes: with weights for both in some leaves, or for the second only."""
    tree = {"nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0] * 3, "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
            "nodes_values": [0.1, 0.0, 0.0], "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "class_treeids": [0, 0],
            "class_nodeids": [1, 2], "class_ids": [1, 1] if second else [0, 1], "class_weights": [0.2, 0.9]}
    labels = {"classlabels_strings": ["no", "yes"]} if words_ else {"classlabels_int64s": [0, 1]}
    x = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    got, want = run("TreeEnsembleClassifier", [x], 2, ML, **tree, **labels), expect("TreeEnsembleClassifier", [x], n=2, domain=ML, **tree, **labels)
    assert got[0].tolist() == want[0].tolist()
