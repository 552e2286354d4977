"""Writes descriptor_cases.json: what the descriptor says of pictures that a formula draws.

Independent of the Rust code: CIELAB by scikit-image, masks by scipy.ndimage, histograms by numpy.

    pip install numpy scipy scikit-image
    python3 make_descriptor_cases.py > descriptor_cases.json
"""

import json

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab

SIDE, GRID, CELLS, BINS, COVER = 64, 32, 4, 8, 8


def picture(kind):
    """Integers only, so that the test can draw the same. [64, 64, 3], 0 to 255."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    background = np.stack([40 + x * 2, 90 + y, 200 - y * 2], -1)
    body = (x - 30) ** 2 * (2 if kind else 1) + (y - 34) ** 2 < 400
    head = (x - 44) ** 2 + (y - 16) ** 2 < (60 if kind else 90)
    inside = body | head
    stripes = (x // 5 + (y // 7) * kind) % 2 == 0
    subject = np.where(stripes[..., None], [230, 60, 40], [250, 220, 60])
    eye = (x - 46) ** 2 + (y - 15) ** 2 < 8
    subject = np.where(eye[..., None], [10, 10, 20], subject)
    sun = (x - 8) ** 2 + (y - 9) ** 2 < 12
    return np.where(inside[..., None], subject, np.where(sun[..., None], [255, 255, 200], background))


def subject_mask(lab):
    edge, band = 4, 5
    index = np.arange(SIDE)
    rim = list(range(edge)) + list(range(SIDE - edge, SIDE))
    distance = np.zeros((SIDE, SIDE))
    for y in range(SIDE):
        rows = index[max(0, y - band):y + band + 1]
        sides = lab[np.ix_(rows, rim)].reshape(-1, 3)
        for x in range(SIDE):
            columns = index[max(0, x - band):x + band + 1]
            samples = np.concatenate([sides, lab[np.ix_(rim, columns)].reshape(-1, 3)])
            # Edge pixels in both bands count twice, as in the definition.
            distance[y, x] = np.sort(np.linalg.norm(samples - lab[y, x], axis=1))[3]
    found = np.clip((distance - 7) / 12, 0, 1)
    box = np.ones((3, 3))
    mean = ndimage.convolve(found, box, mode="constant") / ndimage.convolve(np.ones_like(found), box, mode="constant")
    parts, count = ndimage.label(ndimage.binary_fill_holes(mean > 0.5))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    keep = sizes >= 0.3 * sizes.max()
    keep[0] = False
    return keep[parts].astype(float)


def unit(v):
    length = np.linalg.norm(v)
    return v / length if length > 1e-9 else v


def color(lab, mask):
    hist = np.zeros((6, 9, 9))
    spans = [(0, 100, 6), (-80, 80, 9), (-80, 80, 9)]
    for value, weight in zip(lab.reshape(-1, 3), mask.ravel()):
        ends = []
        for v, (low, high, count) in zip(value, spans):
            at = np.clip((v - low) / (high - low) * count - 0.5, 0, count - 1)
            first = min(int(at), count - 2)
            ends.append([(first, 1 - (at - first)), (first + 1, at - first)])
        for i, u in ends[0]:
            for j, v in ends[1]:
                for k, w in ends[2]:
                    hist[i, j, k] += u * v * w * weight
    return unit(np.sqrt(hist.ravel()))


def sample(values, xs, ys, beyond):
    padded = np.pad(values, 2, constant_values=beyond)
    grid = np.stack(np.meshgrid(ys + 2, xs + 2, indexing="ij"))
    return ndimage.map_coordinates(padded, grid, order=1, mode="constant", cval=beyond)


def hog(values, weight):
    pad = np.pad(values, 1, mode="edge")
    dx, dy = pad[1:-1, 2:] - pad[1:-1, :-2], pad[2:, 1:-1] - pad[:-2, 1:-1]
    strength = np.hypot(dx, dy) * weight
    turn = np.mod(np.arctan2(dy, dx), np.pi) / np.pi * BINS
    cells = np.zeros((CELLS + 2, CELLS + 2, BINS))
    for y in range(GRID):
        for x in range(GRID):
            if strength[y, x] < 1e-6:
                continue
            first, part = int(np.floor(turn[y, x])), turn[y, x] % 1
            py, px = (y + 0.5) / GRID * CELLS + 0.5, (x + 0.5) / GRID * CELLS + 0.5
            for row, v in ((int(py), 1 - py % 1), (int(py) + 1, py % 1)):
                for column, u in ((int(px), 1 - px % 1), (int(px) + 1, px % 1)):
                    cells[row, column, first % BINS] += strength[y, x] * u * v * (1 - part)
                    cells[row, column, (first + 1) % BINS] += strength[y, x] * u * v * part
    return unit(np.sqrt(cells[1:-1, 1:-1]).ravel()).reshape(CELLS, CELLS, BINS)


def shape(lab, mask):
    ys, xs = np.nonzero(mask > 0.5)
    left, right, top, bottom = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
    side = max(right - left, bottom - top) * 1.12
    places = (np.arange(GRID) + 0.5) * side / GRID - 0.5
    across, down = places + (left + right - side) / 2, places + (top + bottom - side) / 2
    boxed, light = sample(mask, across, down, 0.0), sample(lab[..., 0] / 100, across, down, 0.5)
    cover = unit(boxed.reshape(COVER, GRID // COVER, COVER, GRID // COVER).mean((1, 3)).ravel()).reshape(COVER, COVER, 1)
    grids = [hog(boxed, 1.0), hog(boxed * light, ndimage.minimum_filter(boxed, 3, mode="nearest")), cover]
    all_parts = []
    for grid in grids:
        # Left and right exchanged; an orientation of t becomes 180 degrees less t.
        mirrored = grid[:, ::-1][..., (-np.arange(grid.shape[-1])) % grid.shape[-1]]
        all_parts.append(unit(np.concatenate([(grid + mirrored).ravel(), np.abs(grid - mirrored).ravel()])))
    return unit(np.concatenate(all_parts))


cases = []
for kind in (0, 1):
    pixels = picture(kind)
    lab = rgb2lab(pixels / 255.0)
    mask = subject_mask(lab)
    cases.append({
        "kind": kind,
        "sum_of_pixels": int(pixels.sum()),
        "covered": int(mask.sum()),
        "color": [round(float(v), 5) for v in color(lab, mask)],
        "shape": [round(float(v), 5) for v in shape(lab, mask)],
    })
print(json.dumps(cases))
