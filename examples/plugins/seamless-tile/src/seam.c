#include "seam.h"

#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <wasm_simd128.h>

// Squared difference of the two strips at each of `overlap` columns of a row, summed over the channels.
static void differences(const picture_t *in, size_t y, size_t overlap, float *out) {
  const size_t channels = in->channels;
  const float *left = in->samples + y * in->width * channels;
  const float *right = left + (in->width - overlap) * channels;
  size_t x = 0;
  if (channels == 4) {
    for (; x < overlap; x++) {
      v128_t d = wasm_f32x4_sub(wasm_v128_load(left + 4 * x), wasm_v128_load(right + 4 * x));
      d = wasm_f32x4_mul(d, d);
      out[x] = wasm_f32x4_extract_lane(d, 0) + wasm_f32x4_extract_lane(d, 1) + wasm_f32x4_extract_lane(d, 2) +
               wasm_f32x4_extract_lane(d, 3);
    }
  } else if (channels == 1) {
    for (; x + 4 <= overlap; x += 4) {
      v128_t d = wasm_f32x4_sub(wasm_v128_load(left + x), wasm_v128_load(right + x));
      wasm_v128_store(out + x, wasm_f32x4_mul(d, d));
    }
  }
  for (; x < overlap; x++) {
    float sum = 0;
    for (size_t c = 0; c < channels; c++) {
      float d = left[x * channels + c] - right[x * channels + c];
      sum += d * d;
    }
    out[x] = sum;
  }
}

// One row of the dynamic programme: out[x] = cost[x] + min(before[x - 1], before[x], before[x + 1]). `before` has a
// sentinel on both sides.
static void advance(const float *before, const float *cost, float *out, size_t count) {
  size_t x = 0;
  for (; x + 4 <= count; x += 4) {
    v128_t least = wasm_f32x4_min(wasm_v128_load(before + x - 1), wasm_v128_load(before + x));
    least = wasm_f32x4_min(least, wasm_v128_load(before + x + 1));
    wasm_v128_store(out + x, wasm_f32x4_add(wasm_v128_load(cost + x), least));
  }
  for (; x < count; x++) {
    float least = before[x - 1] < before[x] ? before[x - 1] : before[x];
    least = before[x + 1] < least ? before[x + 1] : least;
    out[x] = cost[x] + least;
  }
}

// The cheapest path through `height` rows of `width` costs; with `start` not negative, one that begins there and ends at
// most a column beside it. `total` has room for height * (width + 2).
static void cheapest(const float *costs, float *total, size_t height, size_t width, ptrdiff_t start, size_t *path) {
  const size_t stride = width + 2;
  for (size_t y = 0; y < height; y++) {
    float *row = total + y * stride + 1;
    row[-1] = row[width] = FLT_MAX;
    if (y > 0) {
      advance(row - stride, costs + y * width, row, width);
    } else {
      for (size_t x = 0; x < width; x++) row[x] = start < 0 || (size_t)start == x ? costs[x] : FLT_MAX / 4;
    }
  }
  const float *last = total + (height - 1) * stride + 1;
  size_t low = 0, high = width - 1;
  if (start >= 0) {
    low = start > 0 ? (size_t)start - 1 : 0;
    high = (size_t)start + 1 < width ? (size_t)start + 1 : width - 1;
  }
  size_t at = low;
  for (size_t x = low; x <= high; x++)
    if (last[x] < last[at]) at = x;
  path[height - 1] = at;
  for (size_t y = height - 1; y-- > 0;) {
    const float *row = total + y * stride + 1;
    size_t best = at;
    if (at > 0 && row[at - 1] < row[best]) best = at - 1;
    if (at + 1 < width && row[at + 1] < row[best]) best = at + 1;
    path[y] = at = best;
  }
}

picture_t seam_join(const picture_t *in, size_t overlap, size_t feather, bool closed) {
  const size_t channels = in->channels, height = in->height, width = in->width - overlap;
  float *costs = malloc(height * overlap * sizeof(float));
  float *total = malloc(height * (overlap + 2) * sizeof(float));
  size_t *path = malloc(height * sizeof(size_t));
  for (size_t y = 0; y < height; y++) differences(in, y, overlap, costs + y * overlap);
  cheapest(costs, total, height, overlap, -1, path);
  if (closed) cheapest(costs, total, height, overlap, (ptrdiff_t)path[height / 2], path);

  picture_t out = {width, height, channels, malloc(height * width * channels * sizeof(float))};
  for (size_t y = 0; y < height; y++) {
    const float *source = in->samples + y * in->width * channels;
    float *target = out.samples + y * width * channels;
    for (size_t i = 0; i < width * channels; i++) target[i] = source[i];
    const float *right = source + width * channels;
    for (size_t x = 0; x < overlap; x++) {
      // Left of the cut the strip that continues the right edge, right of it the picture's own.
      float own = ((float)x - (float)path[y] + 0.5f) / (2.0f * (float)feather + 1.0f) + 0.5f;
      own = own < 0 ? 0 : own > 1 ? 1 : own;
      // The outermost columns must continue their neighbours whatever the cut says.
      if (x == 0) own = 0;
      if (x + 1 == overlap) own = 1;
      for (size_t c = 0; c < channels; c++) {
        size_t i = x * channels + c;
        target[i] = right[i] + own * (source[i] - right[i]);
      }
    }
  }
  free(path);
  free(total);
  free(costs);
  return out;
}

picture_t seam_transpose(const picture_t *in) {
  const size_t channels = in->channels;
  picture_t out = {in->height, in->width, channels, malloc(in->height * in->width * channels * sizeof(float))};
  for (size_t y = 0; y < in->height; y++)
    for (size_t x = 0; x < in->width; x++)
      for (size_t c = 0; c < channels; c++)
        out.samples[(x * in->height + y) * channels + c] = in->samples[(y * in->width + x) * channels + c];
  return out;
}
