import assert from "node:assert";
import test from "node:test";
import { brightenBytes, brightenFloats } from "./brighten.js";

test("brighter and never beyond white", () => {
  assert.deepEqual([...brightenBytes(new Uint8Array([0, 100, 200]), 1.5)], [0, 150, 255]);
  const floats = new Uint8Array(new Float32Array([0.5, 0.9]).buffer);
  assert.deepEqual([...new Float32Array(brightenFloats(floats, 1.5).buffer)], [0.75, 1]);
});
