//! Randomness without a state: every batch has a generator of its own, which follows from the run's seed and the number
//! of the batch. So a run is resumed exactly from its step alone, and batches can be drawn ahead on another thread.

use crate::random::TorchGenerator;

/// The generator of a batch.
pub fn generator(seed: u64, batch: u64) -> TorchGenerator {
    // SplitMix64's output function; PyTorch's generator takes the low 32 bits of a seed.
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(batch.wrapping_mul(0xD1B5_4A32_D192_ED03));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    TorchGenerator::new(z ^ (z >> 31))
}

/// A number below `end`, which must be above 0. Uniform as far as 48 bits tell.
pub fn below(generator: &mut TorchGenerator, end: usize) -> usize {
    let [high, low] = [0, 1].map(|_| f64::from(generator.uniform(1)[0]));
    (((high + low / 16_777_216.0) * end as f64) as usize).min(end - 1)
}

/// Whether something of this probability happens.
pub fn chance(generator: &mut TorchGenerator, probability: f64) -> bool {
    f64::from(generator.uniform(1)[0]) < probability
}

/// A number within these bounds.
pub fn between(generator: &mut TorchGenerator, low: f32, high: f32) -> f32 {
    low + (high - low) * generator.uniform(1)[0]
}
