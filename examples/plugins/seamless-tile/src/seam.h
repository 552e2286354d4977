// Makes a picture tile: cuts it where its opposite edges agree best, and joins them there.
#ifndef SEAM_H
#define SEAM_H

#include <stdbool.h>
#include <stddef.h>

// Samples 0 to 1 in [height, width, channels] order.
typedef struct {
  size_t width, height, channels;
  float *samples;
} picture_t;

// A picture `overlap` columns narrower that continues from its right edge at its left one. The last `overlap` columns are
// laid over the first ones and both are cut along the path from top to bottom on which they differ least (Efros and Freeman,
// "Image Quilting for Texture Synthesis and Transfer", 2001). `feather` columns on each side of the cut are mixed.
// With `closed` the path ends in the row-neighbourhood where it began, so that the result tiles vertically too if `input`
// does. Allocates the samples of the result.
picture_t seam_join(const picture_t *input, size_t overlap, size_t feather, bool closed);

// The picture mirrored on its diagonal. Allocates the samples of the result.
picture_t seam_transpose(const picture_t *input);

#endif
