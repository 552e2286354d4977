"""Histogram Match: gives a picture the colours of another one."""

from array import array
from bisect import bisect_left

from wit_world.exports import Nodes
from wit_world.exports.nodes import InputPort, NodeSpec, OutputPort
from wit_world.imports.types import (
    Buffer,
    ElementType,
    Image,
    NamedValue,
    Value_Image,
    Value_Number,
)


def port(name, port_type, description, required=False, default=None, minimum=None, maximum=None):
    return InputPort(name, port_type, description, required, default, minimum, maximum, [])


def levels(image: Image) -> bytes:
    """The samples as 0 to 255, [height, width, channels]."""
    data = image.data.read_all()
    if image.elements == ElementType.UINT8:
        return data
    return bytes(round(min(max(sample, 0.0), 1.0) * 255) for sample in array("f", data))


def quantiles(plane: bytes) -> list[float]:
    """The part of the samples that is at most as large, for each of the 256 levels."""
    below, out = 0, []
    for level in range(256):
        below += plane.count(level)
        out.append(below / len(plane))
    return out


def table(source: bytes, reference: bytes, amount: float) -> bytes:
    """Where each level goes: to the level of the reference at the same quantile, interpolated between its levels."""
    wanted = quantiles(source)
    # Only levels that occur, as numpy.interp wants them.
    there = [level for level in range(256) if level in reference]
    of = quantiles(reference)
    known = [of[level] for level in there]
    out = []
    for level in range(256):
        at = bisect_left(known, wanted[level])
        if at == 0:
            found = there[0]
        elif at == len(known):
            found = there[-1]
        else:
            part = (wanted[level] - known[at - 1]) / (known[at] - known[at - 1])
            found = there[at - 1] + part * (there[at] - there[at - 1])
        out.append(min(max(int(level + amount * (found - level) + 0.5), 0), 255))
    return bytes(out)


class Nodes(Nodes):
    def describe(self):
        return [
            NodeSpec(
                type_name="Histogram Match",
                category="image",
                description="Gives a picture the colours of another one. Each channel gets the histogram of the reference's.",
                version=1,
                deterministic=True,
                effect=False,
                inputs=[
                    port("image", "core:image", "The picture", required=True),
                    port("reference", "core:image", "The picture whose colours are wanted", required=True),
                    port("amount", "core:number", "0 changes nothing, 1 everything", False, Value_Number(1.0), 0.0, 1.0),
                ],
                outputs=[OutputPort("image", "core:image", "The picture, in 8 bits")],
            )
        ]

    def run(self, node, inputs):
        given = {entry.name: entry.value.value for entry in inputs}
        image, reference = given["image"], given["reference"]
        source, target = levels(image), levels(reference)
        out = bytearray(source)
        # Alpha stays; a grey reference serves all channels.
        for channel in range(min(image.channels, 3)):
            plane = source[channel :: image.channels]
            other = target[channel if reference.channels >= 3 else 0 :: reference.channels]
            out[channel :: image.channels] = plane.translate(table(plane, other, given["amount"]))
        matched = Image(image.width, image.height, image.channels, ElementType.UINT8, Buffer.from_bytes(bytes(out)))
        return [NamedValue("image", Value_Image(matched))]
