// {{node}}: what the node looks like and how it runs.

import { Buffer } from "dc-graph:node/types@0.1.0";
import { brightenBytes, brightenFloats } from "./brighten.js";

export const nodes = {
  describe: () => [{
    typeName: "{{node}}",
    category: "image",
    description: "Makes a picture brighter.",
    version: 1,
    deterministic: true,
    effect: false,
    inputs: [
      { name: "image", portType: "core:image", description: "The picture", required: true, choices: [] },
      {
        name: "amount", portType: "core:number", description: "What all samples are multiplied by", required: false,
        defaultValue: { tag: "number", val: 1.2 }, minimum: 0, maximum: 10, choices: [],
      },
    ],
    outputs: [{ name: "image", portType: "core:image", description: "The brighter picture" }],
  }],

  // To fail: throw { message: "what is wrong", input: "amount", hint: "what to do" }. Errors become such failures.
  run(node, inputs) {
    try {
      return brighten(inputs);
    } catch (error) {
      throw error instanceof Error ? { message: `${error}\n${error.stack}`.trim() } : error;
    }
  },
};

function brighten(inputs) {
  const value = (name) => inputs.find((input) => input.name === name).value.val;
  const image = value("image");
  const work = image.elements === "uint8" ? brightenBytes : brightenFloats;
  const data = Buffer.fromBytes(work(image.data.readAll(), value("amount")));
  return [{ name: "image", value: { tag: "image", val: { ...image, data } } }];
}
