"""The work: ordinary Python, tested with `python3 -m unittest`."""

from array import array


def brighten_bytes(samples: bytes, amount: float) -> bytes:
    """Samples from 0 to 255."""
    return samples.translate(bytes(min(int(level * amount + 0.5), 255) for level in range(256)))


def brighten_floats(samples: bytes, amount: float) -> bytes:
    """Samples from 0 to 1: bytes of `f32`."""
    return array("f", (min(max(sample * amount, 0.0), 1.0) for sample in array("f", samples))).tobytes()
