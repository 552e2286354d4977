// The work: ordinary JavaScript, tested with `npm test`.

// Samples from 0 to 255: a Uint8ClampedArray rounds and clamps.
export function brightenBytes(bytes, amount) {
  return new Uint8Array(Uint8ClampedArray.from(bytes, (sample) => sample * amount).buffer);
}

// Samples from 0 to 1: bytes of `f32`.
export function brightenFloats(bytes, amount) {
  const samples = new Float32Array(bytes.slice().buffer);
  return new Uint8Array(samples.map((sample) => Math.min(Math.max(sample * amount, 0), 1)).buffer);
}
