// SPDX-License-Identifier: 0BSD
//
// image.h: ImageDecoder: an encoded picture becomes [height, width, channels] of bytes.
//
// Formats     by their first bytes: BMP, PNM, PNG, TIFF, JPEG, JPEG 2000, lossy WebP.
// Errors      what is none of these, or no picture from its header on, has the extents -1; pixels
//             that cannot be decoded end the run with the status of a value out of range.
// Threads     thread 0 decodes.
// Memory      decode_image() takes the run's pool for as long as it works, and returns whether
//             there was room.
#pragma once

#include "image_bmp.h"
#include "image_j2k.h"
#include "image_jpeg.h"
#include "image_png.h"
#include "image_pnm.h"
#include "image_tiff.h"
#include "image_webp.h"

namespace AOT_NS {
namespace {
namespace image {

struct Format {
  Size (*size)(Reader);
  End (*decode)(Reader, Picture, Scratch&);
};

[[maybe_unused]] inline Format format_of(const Reader& r) {
  if (r.begins("BM", 2)) return {bmp_size, bmp_decode};
  if (r.begins("\x89PNG\r\n\x1a\n", 8)) return {png_size, png_decode};
  if (r.begins("II*\0", 4) || r.begins("MM\0*", 4)) return {tiff_size, tiff_decode};
  if (r.begins("\xFF\xD8\xFF", 3)) return {jpeg_size, jpeg_decode};
  if (r.begins("\0\0\0\x0CjP  \r\n\x87\n", 12) || r.begins("\xFF\x4F\xFF\x51", 4)) {
    return {j2k_size, j2k_decode};
  }
  if (r.begins("RIFF", 4) && r.size > 12 && Reader{r.data + 8, r.size - 8}.begins("WEBP", 4)) {
    return {webp_size, webp_decode};
  }
  if (r.begins("P", 1) && r.size > 2 && r.data[1] >= '1' && r.data[1] <= '6') {
    return {pnm_size, pnm_decode};
  }
  return {nullptr, nullptr};
}

}  // namespace image

/// extents = {height, width} of the picture in x[0..n).
[[maybe_unused]] inline void image_extents(const uint8_t* x, int64_t* extents, int64_t n, int tid,
                                           int) {
  if (tid != 0) return;
  const image::Reader from{x, n};
  const image::Format format = image::format_of(from);
  const image::Size size = format.size == nullptr ? image::kNone : format.size(from);
  extents[0] = size.height;
  extents[1] = size.width;
}

/// The pixels of x[0..n), whose extents are as image_extents() says; order as image::Order.
[[maybe_unused]] inline bool decode_image(const uint8_t* x, uint8_t* y, int64_t n, int64_t height,
                                          int64_t width, int order, Pool& pool) {
  const int64_t bytes = height * width * (order == image::kGrey ? 1 : 3);
  if (bytes > 0) __builtin_memset(y, 0, static_cast<size_t>(bytes));
  const image::Reader from{x, n};
  const image::Format format = image::format_of(from);
  const image::Size size = format.size == nullptr ? image::kNone : format.size(from);
  image::End end = image::End::broken;
  if (size.height == height && size.width == width) {
    image::Scratch scratch(pool);
    end = format.decode(from, {y, size, order}, scratch);
  }
  if (end == image::End::broken) fail(pool, kOutOfRange);
  return end != image::End::no_memory;
}

}  // namespace
}  // namespace AOT_NS
