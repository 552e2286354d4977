//! Random numbers for plugins, the same for the same seed on every machine.

use std::f64::consts::TAU;

use blake3::{Hasher, OutputReader};

/// The stream that `dc-graph:node/random` documents.
pub(super) struct Random {
    seed: u64,
    stream: OutputReader,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"dc-graph random 1").update(&seed.to_le_bytes());
        Self { seed, stream: hasher.finalize_xof() }
    }

    /// What the stream started from.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The next 8 bytes of the stream.
    pub(super) fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.stream.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// In 0 <= x < 1, from 53 bits.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Replaces stretches of 4 bytes by numbers in 0 <= x < 1, from 24 bits each.
    pub(super) fn uniforms(&mut self, bytes: &mut [u8]) {
        self.stream.fill(bytes);
        for number in bytes.as_chunks_mut().0 {
            let uniform = (u32::from_le_bytes(*number) >> 8) as f32 / (1_u32 << 24) as f32;
            *number = uniform.to_le_bytes();
        }
    }

    /// Replaces stretches of 4 bytes by numbers of mean 0 and standard deviation 1. Box and Muller, "A note on the
    /// generation of random normal deviates", 1958.
    pub(super) fn normals(&mut self, bytes: &mut [u8]) {
        for pair in bytes.chunks_mut(8) {
            let (radius, angle) = ((-2.0 * (1.0 - self.uniform()).ln()).sqrt(), TAU * self.uniform());
            for (number, value) in pair.as_chunks_mut::<4>().0.iter_mut().zip([angle.cos(), angle.sin()]) {
                *number = ((radius * value) as f32).to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(count: usize, fill: impl FnOnce(&mut [u8])) -> Vec<f32> {
        let mut bytes = vec![0; 4 * count];
        fill(&mut bytes);
        bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    #[test]
    fn the_stream_is_what_the_contract_says() {
        let mut expected = [0; 16];
        let mut text = b"dc-graph random 1".to_vec();
        text.extend(7_u64.to_le_bytes());
        Hasher::new().update(&text).finalize_xof().fill(&mut expected);
        let mut random = Random::new(7);
        assert_eq!(random.next().to_le_bytes(), expected[..8]);
        let upper = u64::from_le_bytes(expected[8..].try_into().unwrap()) >> 11;
        assert_eq!(random.uniform(), upper as f64 * 2.0_f64.powi(-53));
        assert_ne!(Random::new(8).next(), Random::new(7).next());
    }

    #[test]
    fn numbers_are_distributed_as_they_should_be() {
        let count = 100_001;
        let mut random = Random::new(1);
        let uniforms = floats(count, |b| random.uniforms(b));
        assert!(uniforms.iter().all(|u| (0.0..1.0).contains(u)));
        let normals = floats(count, |b| random.normals(b));
        for (numbers, mean, deviation) in [(uniforms, 0.5, 1.0 / 12.0_f64.sqrt()), (normals, 0.0, 1.0)] {
            let found = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / count as f64;
            let spread = numbers.iter().map(|x| (f64::from(*x) - found).powi(2)).sum::<f64>() / count as f64;
            // Four standard errors.
            assert!((found - mean).abs() < 4.0 * deviation / (count as f64).sqrt(), "{found}");
            assert!((spread.sqrt() / deviation - 1.0).abs() < 0.01, "{spread}");
        }
    }
}
