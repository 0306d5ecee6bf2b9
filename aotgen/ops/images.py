# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ImageDecoder: how large the picture is that some bytes encode, then its pixels; functions of ``runtime/image.h``.

What is no picture ends the run with a status: an extent of it is -1. The references are decoders of their own (``image_*.py``),
written for clarity and slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir.define import Call, Def, call
from aotgen.ir.graph import Value
from aotgen.ir.interpret import Array, library
from aotgen.ops import image_bitmaps, image_j2k, image_jpeg, image_png, image_tiff, image_webp
from aotgen.ops.builder import Builder
from aotgen.ops.extents import integer
from aotgen.ops.image_bitmaps import BrokenImageError
from aotgen.ops.registry import INTERNAL, Ctx, expansion, lowering

ORDERS = {"RGB": 0, "BGR": 1, "Grayscale": 2}  # image.h's Order
DECODERS: Mapping[bytes, Callable[[bytes], Array]] = {
    k: f for m in (image_bitmaps, image_j2k, image_jpeg, image_png, image_tiff, image_webp) for k, f in m.DECODERS.items()
}


@expansion("ImageDecoder")
def image_decoder(ctx: Ctx, builder: Builder, stream: Value) -> Value:
    """u8[n] -> u8[height, width, 3], or 1 channel of grey."""
    if len(stream.shape) != 1:
        raise ModelError(f"an encoded stream of shape {list(stream.shape)}: [n] is needed")
    order = ctx.attr_str("pixel_format", "RGB")
    if order not in ORDERS:
        raise ModelError(f"unknown pixel_format '{order}'")
    extents = builder.extents(integer(builder, "ImageExtents", [stream]), "image", 1)
    return integer(builder, "ImagePixels", [stream, extents], order=order)


@lowering("ImageExtents", domain=INTERNAL)
def image_extents(ctx: Ctx, stream: Def) -> Def:
    """i64[2]: height and width."""
    return call("library", "image_extents", [stream], [((2,), dtypes.i64)])[0]


@lowering("ImagePixels", domain=INTERNAL)
def image_pixels(ctx: Ctx, stream: Def, extents: Def) -> Def:
    order = ORDERS[ctx.attr_str("order")]
    channels = 1 if order == ORDERS["Grayscale"] else 3
    shape = (*ctx.values(1, "extents"), channels)
    return call("library", "decode_image", [stream], [(shape, dtypes.u8)], order=order)[0]


@lru_cache(maxsize=1)
def picture(data: bytes) -> Array:
    """The colours of an encoded picture, u8[height, width, 3]. Raises BrokenImageError where it is none."""
    decode = next((f for mark, f in DECODERS.items() if data.startswith(mark)), None)
    if decode is None:
        raise BrokenImageError("the format is unknown")
    try:
        return decode(data)
    except (IndexError, KeyError, ValueError) as e:
        raise BrokenImageError(f"the data end early: {e}") from None


@library("image_extents")
def _extents_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    try:
        return [np.array(_decoded(args[0]).shape[:2], np.int64)]
    except ModelError:
        return [np.array([-1, -1], np.int64)]


@library("decode_image")
def _pixels_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    rgb = _decoded(args[0])
    if c.params["order"] == ORDERS["Grayscale"]:
        return [image_bitmaps.lightness(rgb)[..., None]]
    return [rgb[..., ::-1] if c.params["order"] == ORDERS["BGR"] else rgb]


def _decoded(stream: Array) -> Array:
    try:
        return picture(np.asarray(stream, np.uint8).tobytes())
    except BrokenImageError as e:
        raise ModelError(f"a picture cannot be decoded: {e}") from None
