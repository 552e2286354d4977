"""{{node}}: what the node looks like and how it runs."""

from wit_world.exports import Nodes
from wit_world.exports.nodes import InputPort, NodeSpec, OutputPort
from wit_world.imports.types import Buffer, ElementType, Image, NamedValue, Value_Image, Value_Number

from brighten import brighten_bytes, brighten_floats


class Nodes(Nodes):
    def describe(self):
        return [
            NodeSpec(
                type_name="{{node}}",
                category="image",
                description="Makes a picture brighter.",
                version=1,
                deterministic=True,
                effect=False,
                inputs=[
                    # name, port type, description, required, default, minimum, maximum, choices
                    InputPort("image", "core:image", "The picture", True, None, None, None, []),
                    InputPort("amount", "core:number", "What all samples are multiplied by", False, Value_Number(1.2), 0.0, 10.0, []),
                ],
                outputs=[OutputPort("image", "core:image", "The brighter picture")],
            )
        ]

    def run(self, node, inputs):
        given = {entry.name: entry.value.value for entry in inputs}
        image, amount = given["image"], given["amount"]
        brighten = brighten_bytes if image.elements == ElementType.UINT8 else brighten_floats
        data = Buffer.from_bytes(brighten(image.data.read_all(), amount))
        return [NamedValue("image", Value_Image(Image(image.width, image.height, image.channels, image.elements, data)))]
