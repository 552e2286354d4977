"""What the example plugins must give, computed by numpy. Run with `pip install numpy blake3`; writes goldens.json beside it."""

import json
import pathlib
import struct

import numpy as np
from blake3 import blake3

F = np.float32


class Stream:
    """`dc-graph:node/random`, as its WIT says."""

    def __init__(self, seed):
        self.hash = blake3(b"dc-graph random 1" + struct.pack("<Q", seed))
        self.at = 0

    def next(self):
        self.at += 8
        return struct.unpack("<Q", self.hash.digest(8, seek=self.at - 8))[0]

    def uniform(self):
        return (self.next() >> 11) / 2.0**53

    def normals(self, count):
        out = []
        while len(out) < count:
            u, v = self.uniform(), self.uniform()
            r = np.sqrt(-2 * np.log(1 - u))
            out += [r * np.cos(2 * np.pi * v), r * np.sin(2 * np.pi * v)]
        return np.array(out[:count], F)


def picture(height, width, channels, salt=0):
    """A picture that Rust can make too: 0 to 255, smooth with some noise."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    noise = (x * 7919 + y * 104729 + c * 1299709 + salt * 15485863) % 97
    return ((x * 5 + y * 3 + c * 40 + noise + salt) % 256).astype(np.uint8)


def film_grain(image, amount, size, monochrome, seed):
    height, width, _ = image.shape
    s = image.astype(F) / F(255)
    columns, rows = int(np.ceil(width / size)) + 2, int(np.ceil(height / size)) + 2
    noise = Stream(seed).normals(columns * rows * (1 if monochrome else 3)).reshape(-1, rows, columns)

    def place(n):
        at = np.arange(n) / size
        return at.astype(int), np.cos(at % 1 * np.pi / 2), np.sin(at % 1 * np.pi / 2)

    (top, upper, lower), (left, west, east) = place(height), place(width)
    grid = lambda dy, dx: noise[:, top + dy][:, :, left + dx]
    between = upper[:, None] * (west * grid(0, 0) + east * grid(0, 1)) + lower[:, None] * (west * grid(1, 0) + east * grid(1, 1))
    luma = s @ np.array([0.2126, 0.7152, 0.0722])
    out = s + (amount * 4 * luma * (1 - luma))[..., None] * np.moveaxis(between, 0, -1)
    return np.round(np.clip(out, 0, 1) * 255).astype(np.uint8)


def join(image, overlap, feather, closed):
    height, full, _ = image.shape
    width = full - overlap
    left, right = image[:, :overlap], image[:, width:]
    # In float32, as there: sums that almost tie decide where the cut goes.
    cost = np.zeros((height, overlap), F)
    for c in range(image.shape[2]):
        cost += (left[..., c] - right[..., c]) ** 2

    def cheapest(start):
        total = np.empty_like(cost)
        total[0] = cost[0]
        if start is not None:
            total[0] = np.inf
            total[0, start] = cost[0, start]
        for y in range(1, height):
            before = np.pad(total[y - 1], 1, constant_values=np.inf)
            total[y] = cost[y] + np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
        low, high = (0, overlap - 1) if start is None else (max(start - 1, 0), min(start + 1, overlap - 1))
        at = low + int(np.argmin(total[-1, low : high + 1]))
        path = [at]
        for y in range(height - 2, -1, -1):
            # The column itself wins a tie, then the left one.
            best = at
            for other in (at - 1, at + 1):
                if 0 <= other < overlap and total[y, other] < total[y, best]:
                    best = other
            at = best
            path.append(at)
        return path[::-1]

    path = cheapest(None)
    if closed:
        path = cheapest(path[height // 2])
    out = image[:, :width].copy()
    own = np.clip((np.arange(overlap) - np.array(path)[:, None] + 0.5) / (2 * feather + 1) + 0.5, 0, 1)
    own[:, 0], own[:, -1] = 0, 1
    out[:, :overlap] = right + own[..., None] * (left - right)
    return out


def seamless_tile(image, overlap, feather):
    narrow = join(image.astype(F) / F(255), overlap, feather, False)
    low = join(narrow.transpose(1, 0, 2), overlap, feather, True)
    return np.floor(low.transpose(1, 0, 2) * 255 + 0.5).astype(np.uint8)


def karras(n, sigma_min, sigma_max, rho):
    """k-diffusion's get_sigmas_karras (Karras et al. 2022, equation 5), with its appended zero."""
    ramp = np.linspace(0, 1, n)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return [*((high + ramp * (low - high)) ** rho), 0.0]


def histogram_match(image, reference, amount):
    """scikit-image's match_histograms: quantiles of the levels that occur, interpolated."""
    out = image.copy()
    for c in range(image.shape[2]):
        source = image[..., c].ravel()
        levels, inverse, counts = np.unique(source, return_inverse=True, return_counts=True)
        wanted, known = np.unique(reference[..., c].ravel(), return_counts=True)
        found = np.interp(np.cumsum(counts) / source.size, np.cumsum(known) / known.sum(), wanted)
        mixed = levels + amount * (found - levels)
        out[..., c] = np.clip(np.floor(mixed + 0.5), 0, 255).astype(np.uint8)[inverse].reshape(image.shape[:2])
    return out


def sharpen(latents, amount):
    padded = np.pad(latents, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    across = 0.25 * (padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:])
    blurred = 0.25 * (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :])
    return latents + amount * (latents - blurred)


def wildcards(template, lists, seed):
    """The three forms of the plugin, not nested, in the order of the text."""
    import re

    stream = Stream(seed)
    lists = {k.strip(): [w.strip() for w in v.split(",")] for k, v in (l.split(":", 1) for l in lists.split("\n") if l.strip())}

    def pick(options):
        at = stream.uniform() * sum(w for w, _ in options)
        for option in options:
            at -= option[0]
            if at < 0:
                return option
        return options[-1]

    def replace(match):
        if match[2]:
            return pick([(1, w) for w in lists[match[2]]])[1]
        count, rest = re.match(r"(?:(\d+)\$\$)?(.*)", match[1]).groups()
        options = [(float(p[: p.index("::")]), p[p.index("::") + 2 :]) if "::" in p else (1, p) for p in rest.split("|")]
        chosen = []
        for _ in range(int(count or 1)):
            option = pick(options)
            options.remove(option)
            chosen.append(option[1])
        return ", ".join(chosen)

    return re.sub(r"\{([^{}]*)\}|__([A-Za-z0-9-]+)__", replace, template)


def image(pixels):
    return {"size": [pixels.shape[1], pixels.shape[0], pixels.shape[2]], "hex": pixels.tobytes().hex()}


latents = (np.arange(2 * 4 * 5 * 6) * 37 % 101 / 25 - 2).astype(F).reshape(2, 4, 5, 6)
prompts = [
    ("a {red|green|blue} cat", "", 0),
    ("a {3::red|green} {cat|dog|owl} in {2$$snow|rain|fog}", "", 7),
    ("__animal__ and __animal__, {oil|ink}", "animal: cat, dog, owl\n\nplace: sea", 123456789),
]
goldens = {
    "film_grain": [
        {"salt": 1, "side": [13, 9], "amount": a, "size": s, "monochrome": m, "seed": n, "image": image(film_grain(picture(9, 13, 3, 1), a, s, m, n))}
        for a, s, m, n in [(0.1, 1.5, True, 0), (0.4, 1.0, False, 5), (0.2, 3.7, False, 2**40)]
    ],
    "seamless_tile": [
        {"salt": 3, "side": [w, h], "channels": c, "overlap": o, "feather": f, "image": image(seamless_tile(picture(h, w, c, 3), o, f))}
        for w, h, c, o, f in [(24, 20, 3, 7, 2), (17, 30, 1, 8, 0), (40, 33, 4, 11, 3)]
    ],
    "karras": [
        {"steps": n, "sigma_min": lo, "sigma_max": hi, "rho": r, "sigmas": karras(n, lo, hi, r)}
        for n, lo, hi, r in [(1, 0.1, 10.0, 7.0), (20, 0.0292, 14.6146, 7.0), (50, 0.002, 80.0, 3.0)]
    ],
    "histogram_match": [
        {"amount": a, "image": image(histogram_match(picture(12, 16, 3, 5), picture(10, 11, 3, 9) // 2 + 30, a))} for a in (1.0, 0.5)
    ],
    "sharpen": [{"amount": a, "latents": sharpen(latents, a).astype(F).ravel().tolist()} for a in (0.05, 1.5)],
    "wildcards": [{"template": t, "lists": l, "seed": s, "text": wildcards(t, l, s)} for t, l, s in prompts],
}
pathlib.Path(__file__).with_name("goldens.json").write_text(json.dumps(goldens) + "\n")
