# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ImageDecoder through the whole compiler: every form of every format, and data that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import aotgen
from aotgen.api import Model
from aotgen.core.errors import ModelError
from aotgen.ops import images
from aotgen.ops.image_bitmaps import lightness
from aotgen.toolchain.loader import RunError
from tests.e2e import native
from tests.e2e.j2ks import j2ks
from tests.e2e.jpegs import jpeg, jpegs, segment
from tests.e2e.pictures import bmp, lossless, packed, png, scene, tiff
from tests.e2e.test_sanitizers import MEMORY
from tests.e2e.test_strings import WARNINGS, model_of
from tests.e2e.webps import chunk, frame, riff, webps

Array = np.ndarray
SIZES = ((1, 1), (3, 5), (17, 23))
MODEL = 'g (uint8[n] x) => (uint8[h,w,c] y) { y = ImageDecoder<pixel_format = "%s">(x) }'


def stream(data: bytes) -> dict[str, Array]:
    return {"x": np.frombuffer(data, np.uint8)}


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    out = tmp_path_factory.mktemp("decoders")
    return {order: aotgen.compile(model_of(MODEL % order), out / order, dynamic=True).load() for order in images.ORDERS}


def ordered(rgb: Array, order: str) -> Array:
    return lightness(rgb)[..., None] if order == "Grayscale" else rgb[..., :: -1 if order == "BGR" else 1]


def same(model: Model, order: str, name: str, data: bytes, rgb: Array) -> None:
    got = model(stream(data), threads=1 + len(data) % 3)["y"]
    np.testing.assert_array_equal(got, ordered(rgb, order), f"{name} {order}")


@pytest.mark.parametrize("size", SIZES)
def test_what_loses_nothing(decoders: dict[str, Model], size: tuple[int, int]) -> None:
    for name, data, rgb in lossless(*size):
        for order, model in decoders.items():
            same(model, order, name, data, rgb)
        np.testing.assert_array_equal(images.picture(data), rgb, name)


@pytest.mark.parametrize("size", [*SIZES, (40, 33)])
def test_what_loses_something(decoders: dict[str, Model], size: tuple[int, int]) -> None:
    """JPEG, JPEG 2000 and WebP, bit for bit what the reference makes of it, which is written apart."""
    for k, (name, data) in enumerate([*jpegs(*size), *j2ks(*size), *webps(*size)]):
        order = list(images.ORDERS)[k % 3]
        same(decoders[order], order, name, data, images.picture(data))


def test_a_long_dictionary(decoders: dict[str, Model]) -> None:
    """LZW that fills its dictionary and begins again; DEFLATE across its whole window."""
    a = scene(150, 200)
    for rgb in (a, a // 64 * 64, a * 0):
        same(decoders["RGB"], "RGB", "lzw", tiff(rgb, coding=5, rows=1000), rgb)
        same(decoders["RGB"], "RGB", "png", png(rgb, 8, 2, level=9, piece=5000), rgb)


def test_the_transform_is_near_the_real_one() -> None:
    """Where nothing is lost by sampling, samples are the cosine sums within rounding."""
    picture = images.picture(jpeg(16, 24, sampling=((1, 1),)))
    (blocks,) = _blocks(16, 24)
    k = np.arange(8)
    basis = np.cos((2 * k[:, None] + 1) * k * np.pi / 16) * np.where(k == 0, np.sqrt(1 / 8), 1 / 2)
    exact = np.einsum("xu,yv,ijvu->iyjx", basis, basis, blocks.reshape(2, 3, 8, 8)).reshape(16, 24) + 128
    assert np.abs(picture[..., 0] - np.clip(exact, 0, 255)).max() < 1


def _blocks(height: int, width: int) -> list[Array]:
    """The scaled coefficients of the encoder's grey picture."""
    from aotgen.ops.image_jpeg import ZIGZAG
    from tests.e2e.jpegs import _coefficients

    out = []
    for zigzag in _coefficients(height, width, ((1, 1),), 0):
        natural = np.zeros(zigzag.shape)
        natural[..., ZIGZAG] = zigzag * np.minimum(3 + np.arange(64) // 2, 200)
        out.append(natural)
    return out


def test_what_is_no_picture(decoders: dict[str, Model]) -> None:
    a = scene(9, 11)
    cut = [png(a, 8, 2)[:-20], tiff(a)[:-9], jpeg(9, 11)[:-2], bmp(packed(a, 8), (9, 11), 24)[:-1], b"P6 11 9 255 " + bytes(11 * 9 * 3 - 1)]
    twice = jpeg(9, 11, sampling=((1, 1),), scans=(((0,), 0, 63, 0, 0),) * 2)
    huge = [b"P5 100000 100000 255 " + bytes(99), png(a, 8, 2).replace(b"\0\0\0\x0b\0\0\0\x09", b"\x7f\xff\xff\xff\x7f\xff\xff\xff")]
    lossless_webp = riff(chunk(b"VP8L", b"\x2f" + bytes(20)))
    cut += [next(data for _, data in webps(9, 11))[:-2], riff(chunk(b"VP8 ", frame(90, 110, 0)[:1200]))]
    cut += [data[: len(data) * 2 // 3] for _, data in j2ks(9, 11)]
    unknown = [lossless_webp, b"", b"B", b"RIFF\x24\0\0\0WEBPVP8 ", b"\0\0\0\x0cjP  \r\n\x87\n", b"P7 1 1", b"GIF89a"]
    wrong = [png(a, 8, 2)[:60] + b"\0" + png(a, 8, 2)[61:], b"P3 1 1 9 1 2 10 ", b"P2 0 4 9 ", b"\xff\xd8" + segment(0xC1, b"\x0c" + bytes(8))]
    for data in [*cut, twice, *huge, *unknown, *wrong]:
        for model in decoders.values():
            with pytest.raises(RunError, match="out of range"):
                model(stream(data))


def test_in_a_pipeline(tmp_path: Path) -> None:
    """Extents that only the run knows feed what follows; a picture in a branch; a constant one."""
    text = """g (uint8[n] x, bool wanted, uint8[m] other) => (float[3] mean, uint8[a,b,c] picked, int64[3] size, uint8[d,e,1] fixed) {
        p = ImageDecoder(x) f = Cast<to = 1>(p) axes = Constant<value = int64[2] {0, 1}>()
        mean = ReduceMean<keepdims = 0>(f, axes) size = Shape(p)
        picked = If(wanted) <then_branch = t () => (uint8[h,w,3] t) { t = ImageDecoder(other) },
                             else_branch = u () => (uint8[i,j,3] u) { u = Identity(p) }>
        known = Constant<value = uint8[12] {80, 53, 32, 50, 32, 49, 32, 57, 57, 10, 33, 99}>() fixed = ImageDecoder<pixel_format = "Grayscale">(known) }"""
    model = aotgen.compile(model_of(text), tmp_path / "libm", dynamic=True).load()
    a, b = scene(13, 7), scene(4, 30)
    for wanted in (True, False):
        for broken in (False, True)[: 2 - wanted]:
            feeds = {**stream(png(a, 8, 2)), "wanted": np.array(wanted), "other": np.frombuffer(tiff(b)[: 20 if broken else None], np.uint8)}
            got = model(feeds, threads=2)
            np.testing.assert_allclose(got["mean"], a.mean((0, 1)), rtol=1e-6)
            np.testing.assert_array_equal(got["picked"], b if wanted else a)
            assert got["size"].tolist() == [13, 7, 3]
            assert got["fixed"].ravel().tolist() == [85, 255]


def test_the_attribute_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pixel_format 'CMYK'"):
        aotgen.compile(model_of(MODEL % "CMYK"), tmp_path / "libm", dynamic=True, build=False)


def test_memory_and_warnings(tmp_path: Path) -> None:
    """No read or write outside a buffer, no undefined arithmetic, nothing left behind, no warning."""
    folder = aotgen.compile(model_of(MODEL % "RGB"), tmp_path / "libm", dynamic=True, threading="pool", build=False).folder
    data = jpeg(17, 23, sampling=((2, 2), (1, 1), (1, 1)), interval=2)
    exe = native.build(folder, tmp_path / "asan", (*MEMORY, *WARNINGS), dims={"n": len(data)})
    got = native.run(exe, folder, stream(data), {"y": (17, 23, 3)}, threads=2, rounds=2)
    np.testing.assert_array_equal(got["y"], images.picture(data))


def test_broken_data_leave_nothing_behind(tmp_path: Path) -> None:
    folder = aotgen.compile(model_of(MODEL % "RGB"), tmp_path / "libm", dynamic=True, threading="pool", build=False).folder
    data = jpeg(17, 23)[:-40]
    exe = native.build(folder, tmp_path / "asan", MEMORY, dims={"n": len(data)}, expected=7)
    native.run(exe, folder, stream(data), {"y": (17, 23, 3)}, threads=2, rounds=2)


def test_the_model_is_valid() -> None:
    onnx.checker.check_model(model_of(MODEL % "BGR"))
