"""{{node}}: what the node looks like and how it runs."""

from componentize_py_types import Err
from wit_world.exports import Nodes
from wit_world.exports.nodes import InputPort, NodeSpec, OutputPort
from wit_world.imports.types import Buffer, ElementType, Failure, Image, NamedValue, Value_Image, Value_Number

from brighten import brighten_bytes, brighten_floats


def told(error):
    """An exception and where it came from. (`traceback` would look for source files, which are not there.)"""
    lines, frame = [f"{type(error).__name__}: {error}"], error.__traceback__
    while frame:
        code = frame.tb_frame.f_code
        lines.append(f"  in {code.co_name} ({code.co_filename}:{frame.tb_lineno})")
        frame = frame.tb_next
    return "\n".join(lines)


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
        try:
            return self.brighten(given)
        except Err:  # To fail in your own words: raise Err(Failure("what is wrong", "amount", "what to do")).
            raise
        except Exception as error:
            raise Err(Failure(told(error), None, None))

    def brighten(self, given):
        image, amount = given["image"], given["amount"]
        brighten = brighten_bytes if image.elements == ElementType.UINT8 else brighten_floats
        data = Buffer.from_bytes(brighten(image.data.read_all(), amount))
        return [NamedValue("image", Value_Image(Image(image.width, image.height, image.channels, image.elements, data)))]
