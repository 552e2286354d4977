//! Where tensors come from.
//!
//! A model asks a [`Weights`] cursor for each of its tensors by name and shape; the cursor reads it from a
//! [`TensorSource`] straight to the device and keeps account, so that a load ends by naming every tensor that nobody
//! asked for. There is no second copy of the weights and no module that exists half-filled.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use crate::error::Error;

/// A set of named tensors: a file, a folder of shards, another source under other names, or a recipe.
pub trait TensorSource: Send + Sync {
    /// One tensor in the number type it is stored in.
    ///
    /// # Errors
    /// When there is none of this name, its shape is another, or it cannot be read.
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error>;

    /// Every name there is, sorted; empty for a source that can make any tensor.
    fn names(&self) -> Vec<String>;

    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// What to call this source in messages: a path, mostly.
    fn origin(&self) -> String;
}

/// A cursor into a [`TensorSource`]: a prefix, a device and a number type. Cheap to clone.
#[derive(Clone)]
pub struct Weights {
    source: Arc<dyn TensorSource>,
    taken: Arc<Mutex<HashSet<String>>>,
    prefix: String,
    device: Device,
    dtype: DType,
}

impl Weights {
    /// A cursor at the root. Floating-point tensors become `dtype` on `device`.
    pub fn new(source: Arc<dyn TensorSource>, device: &Device, dtype: DType) -> Self {
        Self { source, taken: Arc::default(), prefix: String::new(), device: device.clone(), dtype }
    }

    /// The cursor one name further down: `at("down_blocks").at(0)` is `down_blocks.0`.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: self.name(&name.to_string()), ..self.clone() }
    }

    /// The device that tensors are read to.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number type that tensors are read as.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether there is a tensor of this name under the cursor.
    pub fn contains(&self, name: &str) -> bool {
        self.source.contains(&self.name(name))
    }

    /// Reads a tensor.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, Error> {
        let name = self.name(name);
        let data = self.source.read(&name, &shape)?;
        if *data.shape() != Shape::new(shape) {
            return Err(Error::Mismatch {
                origin: self.source.origin(),
                message: format!("tensor `{name}` should have the shape {shape:?}, found {:?}", data.shape()),
            });
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Ok(Tensor::from_data(data.convert_dtype(self.dtype), &self.device))
    }

    /// Ends a load: every tensor of the source must have been read or be `expected_unused`.
    ///
    /// # Errors
    /// Names what is left over.
    pub fn finish(&self, expected_unused: impl Fn(&str) -> bool) -> Result<(), Error> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.source.names();
        let left: Vec<_> = names.iter().filter(|n| !taken.contains(*n) && !expected_unused(n)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = left.iter().take(8).map(|n| format!("`{n}`")).collect();
        let more = left.len().saturating_sub(shown.len());
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(Error::Mismatch {
            origin: self.source.origin(),
            message: format!("{} tensors that the model does not have: {}{tail}", left.len(), shown.join(", ")),
        })
    }

    fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}

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
