# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ai.onnx.ml against onnxruntime: linear models, support vectors, scalings and encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, close, f32, ints, run

from aotgen.core.errors import UnsupportedError

ML = "ai.onnx.ml"
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]
X = f32(6, 3)
SMALL = np.abs(X) / 10 + 0.05  # scores that PROBIT takes


def same(op: str, x: Any, n: int = 1, tol: float = 2e-5, **attrs: Any) -> None:
    check(op, x if isinstance(x, list) else [x], n=n, tol=tol, domain=ML, **attrs)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_linear(transform: str, rows: int) -> None:
    x = SMALL if transform == "PROBIT" else X
    weights = np.abs(f32(3 * rows) / 5).tolist()
    attrs = {"coefficients": weights, "intercepts": [0.1] * rows, "post_transform": transform}
    same("LinearRegressor", x, targets=rows, **attrs)
    labels = [4, 7, 9][: max(rows, 2)]
    if (transform, rows) == ("PROBIT", 1):
        with pytest.raises(UnsupportedError, match="PROBIT"):
            run("LinearClassifier", [x], n=2, domain=ML, classlabels_ints=labels, **attrs)
    else:
        same("LinearClassifier", x, 2, classlabels_ints=labels, **attrs)


def test_scores_without_their_string_labels() -> None:
    attrs: dict[str, Any] = {"coefficients": [0.1] * 6, "intercepts": [0.0, 1.0], "classlabels_strings": ["a", "b"]}
    scores, = run("LinearClassifier", [X], names=["", "scores"], domain=ML, **attrs)
    assert scores.shape == (6, 2)


@pytest.mark.parametrize("kernel", ["RBF", "POLY", "SIGMOID", "LINEAR"])
@pytest.mark.parametrize("counts", [[2, 3], [2, 2, 1], [2, 1, 1, 1]])
@pytest.mark.parametrize("likely", [False, True])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_support_vectors(kernel: str, counts: list[int], likely: bool, transform: str) -> None:
    classes = len(counts)
    pairs = classes * (classes - 1) // 2
    more = {"prob_a": (-np.abs(f32(pairs)) - 0.1).tolist(), "prob_b": f32(pairs).tolist()} if likely else {}
    same("SVMClassifier", X, 2, 1e-4, classlabels_ints=[4, 7, 9, 1][:classes], vectors_per_class=counts,
         support_vectors=f32(15).tolist(), coefficients=f32(5 * (classes - 1)).tolist(), rho=f32(pairs).tolist(),
         kernel_type=kernel, kernel_params=[0.4, 0.1, 2.0], post_transform=transform, **more)


def test_support_vector_regression() -> None:
    same("SVMRegressor", X, coefficients=f32(5).tolist(), rho=[0.1], support_vectors=f32(15).tolist(), n_supports=5,
         kernel_type="POLY", kernel_params=[0.1, 0.1, 3.0])
    same("SVMRegressor", X, coefficients=f32(3).tolist(), rho=[0.1], kernel_type="LINEAR", kernel_params=[0.1, 0.1, 3.0],
         one_class=1)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer(norm: str) -> None:
    same("Normalizer", np.vstack([X, np.zeros((1, 3), np.float32), -np.abs(X)]), norm=norm)
    same("Normalizer", X[0], norm=norm)


def test_scaler() -> None:
    same("Scaler", X, offset=[0.1, 0.2, 0.3], scale=[1.0, 2.0, 3.0])
    same("Scaler", (X * 9).astype(np.int64), offset=[0.1], scale=[2.0])


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.int32, np.float64])
def test_array_feature_extractor(kind: Any) -> None:
    x = (X * 9).astype(kind)
    same("ArrayFeatureExtractor", [x, np.array([2, 0], np.int64)])
    same("ArrayFeatureExtractor", [x.reshape(-1), np.array([[2, 0]], np.int64)])
    same("ArrayFeatureExtractor", [x.reshape(2, 3, 3), np.array([[2], [1]], np.int64)])


def test_binarizer() -> None:
    close(run("Binarizer", [X], domain=ML, threshold=0.5), [(X > 0.5).astype(np.float32)])
    k = np.arange(-2, 3)
    close(run("Binarizer", [k], domain=ML, threshold=-0.5), [(k > -0.5).astype(np.int64)])


def test_feature_vectorizer() -> None:
    same("FeatureVectorizer", [X, X[:, :2].copy(), X[:, :1].copy()], inputdimensions=[3, 2, 1])
    same("FeatureVectorizer", [X, X[:, :2].copy()], inputdimensions=[2, 4])


def test_imputer() -> None:
    x = X.copy()
    x[1, 1] = np.nan
    same("Imputer", x, imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=float("nan"))
    same("Imputer", (x[2:] * 3).astype(np.int64), imputed_value_int64s=[7], replaced_value_int64=0)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 33])
def test_label_encoder(count: int) -> None:
    x, keys = ints(np.int64, -3, 40, 5, 4), np.random.default_rng(count).permutation(40)[:count]
    got, = run("LabelEncoder", [x], domain=ML, keys_int64s=keys.tolist(), values_floats=(keys / 8).tolist(), default_float=9.0)
    close([got], [np.where(np.isin(x, keys), x / 8, 9).astype(np.float32)])
    got, = run("LabelEncoder", [x.astype(np.float32)], domain=ML, keys_floats=keys.astype(float).tolist(),
               values_int64s=keys.tolist())
    close([got], [np.where(np.isin(x, keys), x, -1)])


def test_label_encoder_finds_nan() -> None:
    x = np.array([3, np.nan, 2], np.float32)
    got, = run("LabelEncoder", [x], domain=ML, keys_floats=[3.0, float("nan"), 1.0], values_int64s=[5, 6, 7])
    np.testing.assert_array_equal(got, [5, 6, -1])


def test_one_hot() -> None:
    x = ints(np.int64, 0, 10, 5, 4)
    same("OneHotEncoder", x, cats_int64s=[1, 5, 9, 2], zeros=1)
    same("OneHotEncoder", x.astype(np.float32)[0], cats_int64s=[1, 5, 9, 2], zeros=1)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skips", [0, 2])
def test_ngrams(mode: str, skips: int) -> None:
    check("TfIdfVectorizer", [ints(np.int32, 0, 4, 3, 12)], mode=mode, max_skip_count=skips, min_gram_length=1,
          max_gram_length=2, ngram_counts=[0, 3], ngram_indexes=[1, 0, 2, 4, 3], pool_int64s=[0, 1, 2, 0, 1, 1, 2],
          weights=[1.0, 2.0, 0.5, 1.0, 3.0])


def test_zip_map_is_its_tensor() -> None:
    np.testing.assert_array_equal(run("ZipMap", [X], domain=ML, classlabels_int64s=[1, 2, 3])[0], X)
