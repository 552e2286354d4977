//! Weights made from their names, so that tests and the built-in pipelines need no weight files.

use burn::tensor::TensorData;

use super::TensorSource;
use crate::error::Error;

/// Weights made from their names: the same bits in any language, so that tests need no weight files.
///
/// `key = FNV-1a-64(name)`; `u(i) = f32(splitmix64(key + i * 0x9E3779B97F4A7C15) >> 40) * 2^-23 - 1`; the value is
/// `base + amp * u(i)` in f32. Matrices and kernels: base 0, amp `g / sqrt(fan_in)` with g = 3 for query and key
/// projections (peaked attention), else 1; token and position embeddings: amp 0.5; norms: base 1, amp 0.1; biases: amp 0.1.
#[derive(Clone, Debug)]
pub struct Recipe {
    prefix: String,
}

impl Recipe {
    /// A source whose names are prefixed with `prefix` before hashing: `sd15.unet.`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }
}

impl TensorSource for Recipe {
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
        let name = format!("{}{name}", self.prefix);
        let len = shape.iter().product();
        let fan_in: usize = shape.iter().skip(1).product();
        let query_or_key = ["to_q.weight", "to_k.weight", "q_proj.weight", "k_proj.weight"];
        let (base, amp) =
            if name.contains("embedding") && name.ends_with(".weight") && shape.len() == 2 && !name.contains("time") {
                (0.0, 0.5)
            } else if shape.len() >= 2 {
                let gain = if query_or_key.iter().any(|end| name.ends_with(end)) { 3.0 } else { 1.0 };
                (0.0, gain / (fan_in as f64).sqrt())
            } else if name.ends_with(".weight") {
                (1.0, 0.1)
            } else {
                (0.0, 0.1)
            };
        let (base, amp) = (base as f32, amp as f32);
        let values: Vec<f32> = uniform(&name, len).map(|u| base + amp * u).collect();
        Ok(TensorData::new(values, shape.to_vec()))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn origin(&self) -> String {
        format!("recipe `{}`", self.prefix)
    }
}

/// The first `len` numbers of the stream that belongs to `name`, in [-1, 1). See [`Recipe`].
pub fn uniform(name: &str, len: usize) -> impl Iterator<Item = f32> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let key = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    (0..len as u64).map(move |i| {
        let mut z = key.wrapping_add(i.wrapping_mul(GOLDEN)).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 * (1.0 / 8_388_608.0) - 1.0
    })
}
