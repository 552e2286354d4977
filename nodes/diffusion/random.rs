//! The random numbers of PyTorch's CPU generator, so that a seed means the same picture in other tools.
//!
//! mt19937 (Matsumoto and Nishimura, 1998) seeded with the low 32 bits of the seed. Normal numbers by Box and Muller in
//! the two ways of PyTorch's `normal_`: sixteen at a time in f32 from 16 numbers up, one pair at a time in f64 below.
//!
//! # Batches
//! One generator serves one run: the initial noise of a batch is *one* draw of the shape `[batch, 4, height, width]`,
//! and every noisy step draws that shape again, as diffusers does for a single generator. So the first picture of a
//! batch starts from the same noise as a batch of one with the same seed, and the others do not start from seed + 1.

use burn::tensor::{DType, Device, Tensor, TensorData};

const N: usize = 624;
const M: usize = 397;

/// A seeded stream of numbers. A clone goes on from the same place on its own.
#[derive(Clone, Debug)]
pub struct TorchGenerator {
    state: [u32; N],
    index: usize,
    /// The second number of a Box-Muller pair, kept for the next draw of fewer than 16 numbers.
    cached: Option<f64>,
}

impl TorchGenerator {
    /// What `torch.Generator().manual_seed(seed)` gives. PyTorch too uses only the low 32 bits on the CPU.
    pub fn new(seed: u64) -> Self {
        let mut state = [0; N];
        state[0] = seed as u32;
        for i in 1..N {
            let previous: u32 = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, index: N, cached: None }
    }

    /// Where the stream is, as bytes: the 624 words of the state, the place in them, and the kept number, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.state.iter().flat_map(|word| word.to_le_bytes());
        let place = (self.index as u64).to_le_bytes();
        let kept = self.cached.iter().flat_map(|number| number.to_le_bytes());
        words.chain(place).chain(kept).collect()
    }

    /// The inverse of [`Self::to_bytes`]; nothing when these are no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.split_at_checked(4 * N)?;
        let (place, kept) = rest.split_first_chunk::<8>()?;
        let mut state = [0; N];
        for (word, bytes) in state.iter_mut().zip(words.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().ok()?);
        }
        let index = usize::try_from(u64::from_le_bytes(*place)).ok().filter(|index| *index <= N)?;
        let cached = if kept.is_empty() { None } else { Some(f64::from_le_bytes(kept.try_into().ok()?)) };
        Some(Self { state, index, cached })
    }

    /// A tensor of normal numbers. They are drawn in f32 and then rounded to `dtype`, so that a seed means the same
    /// picture in every number type.
    pub fn randn<const D: usize>(&mut self, shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
        let values = self.normal(shape.iter().product());
        Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), device)
    }

    /// `len` numbers as `torch.randn(len)` draws them.
    pub fn normal(&mut self, len: usize) -> Vec<f32> {
        if len < 16 {
            return (0..len).map(|_| self.next_normal() as f32).collect();
        }
        let mut values = self.uniform(len);
        for block in values.chunks_exact_mut(16) {
            box_muller(block);
        }
        // What is left over after the last whole block is not a shorter block: the last sixteen are drawn anew.
        if !len.is_multiple_of(16) {
            let tail = self.uniform(16);
            values[len - 16..].copy_from_slice(&tail);
            box_muller(&mut values[len - 16..]);
        }
        values
    }

    /// `len` numbers in [0, 1) as `torch.rand(len)` draws them: 24 bits each.
    pub fn uniform(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next_u32() & 0x00FF_FFFF) as f32 / 16_777_216.0).collect()
    }

    fn next_normal(&mut self) -> f64 {
        if let Some(cached) = self.cached.take() {
            return cached;
        }
        let (u1, u2) = (self.next_f64(), self.next_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let (sin, cos) = (2.0 * std::f64::consts::PI * u1).sin_cos();
        self.cached = Some(radius * sin);
        radius * cos
    }

    fn next_f64(&mut self) -> f64 {
        let (high, low) = (u64::from(self.next_u32()), u64::from(self.next_u32()));
        (((high << 32) | low) & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
    }

    fn next_u32(&mut self) -> u32 {
        if self.index == N {
            self.refill();
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    fn refill(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7FFF_FFFF);
            let twist = if y & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ twist;
        }
        self.index = 0;
    }
}

/// Sixteen uniform numbers become normal in place: number j with number j + 8, in f32 like PyTorch's vector code.
fn box_muller(block: &mut [f32]) {
    for j in 0..8 {
        // 1 - u is in (0, 1], where the logarithm is finite.
        let (u1, u2) = (1.0 - block[j], block[j + 8]);
        let radius = (-2.0 * u1.ln()).sqrt();
        let (sin, cos) = (2.0 * std::f32::consts::PI * u2).sin_cos();
        block[j] = radius * cos;
        block[j + 8] = radius * sin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, fixture_values};

    #[test]
    fn put_aside_and_gone_on_with() {
        for drawn in [0, 1, 3, 16, 700] {
            let mut generator = TorchGenerator::new(7);
            generator.normal(drawn);
            let bytes = generator.to_bytes();
            let mut again = TorchGenerator::from_bytes(&bytes).unwrap();
            assert_eq!(again.normal(1001), generator.normal(1001), "{drawn}");
            assert!(TorchGenerator::from_bytes(&bytes[..bytes.len() - 1]).is_none());
        }
    }

    /// The fixtures draw 8 uniform numbers after 37 normal ones, from the same stream.
    #[test]
    fn draws_what_torch_draws() {
        for seed in [0, 42, 123_456_789] {
            let check = |name: String, found: Vec<f32>| check_close(&name, &found, &fixture_values(&name).1, 1e-6);
            check(format!("rng/randn_{seed}_1x4x8x8"), TorchGenerator::new(seed).normal(256));
            check(format!("rng/randn_{seed}_7"), TorchGenerator::new(seed).normal(7));
            let mut generator = TorchGenerator::new(seed);
            check(format!("rng/randn_{seed}_37"), generator.normal(37));
            check(format!("rng/rand_{seed}_8"), generator.uniform(8));
        }
    }

    #[test]
    fn small_draws_share_a_pair() {
        let mut whole = TorchGenerator::new(7);
        let mut parts = whole.clone();
        let mut pieces = parts.normal(3);
        pieces.extend(parts.normal(4));
        assert_eq!(whole.normal(7), pieces);
    }

    #[test]
    fn only_the_low_half_of_a_seed_counts() {
        assert_eq!(TorchGenerator::new(5).normal(20), TorchGenerator::new(5 + (1 << 32)).normal(20));
    }
}
