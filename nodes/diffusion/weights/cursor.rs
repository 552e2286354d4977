//! The accounting cursor that models read their tensors through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Device, Tensor};

use super::convert::cast;
use super::{TensorSource, require_shape};
use crate::error::Error;

/// A cursor into a [`TensorSource`]: a prefix, a device and a number type. Cheap to clone.
#[derive(Clone)]
pub struct Weights {
    source: Arc<dyn TensorSource>,
    asked: Arc<Mutex<BTreeMap<String, Vec<usize>>>>,
    prefix: String,
    device: Device,
    dtype: DType,
    /// Only write down what is asked for.
    dry: bool,
}

impl Weights {
    /// A cursor at the root. Floating-point tensors become `dtype` on `device`.
    pub fn new(source: Arc<dyn TensorSource>, device: &Device, dtype: DType) -> Self {
        let asked = Arc::default();
        Self { source, asked, prefix: String::new(), device: device.clone(), dtype, dry: false }
    }

    /// A cursor that reads nothing: every tensor asked for is there, of zeros that take no memory. A model built from it
    /// leaves in [`asked`](Self::asked) what it consists of.
    pub fn dry(source: Arc<dyn TensorSource>, device: &Device) -> Self {
        Self { dry: true, ..Self::new(source, device, DType::F32) }
    }

    /// The names and shapes asked for so far, through this cursor and all that came from the same root.
    pub fn asked(&self) -> BTreeMap<String, Vec<usize>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    /// When it is missing, has another shape, holds no floating-point numbers, or one that is not finite.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, Error> {
        let name = self.name(name);
        if self.dry {
            self.note(name, &shape);
            return Ok(Tensor::<D>::zeros([1; D], (&self.device, self.dtype)).expand(shape));
        }
        let data = self.source.read(&name, &shape)?;
        require_shape(&*self.source, &name, data.shape().as_slice(), &shape)?;
        let data = cast(data, self.dtype).map_err(|problem| Error::Mismatch {
            origin: self.source.origin(),
            message: format!("tensor `{name}` {problem}"),
        })?;
        self.note(name, &shape);
        // The number type is said again because a tensor otherwise takes the device's default, float32.
        Ok(Tensor::from_data(data, (&self.device, self.dtype)))
    }

    /// Ends a load: every tensor of the source must have been read or be `expected_unused`.
    ///
    /// # Errors
    /// Names what is left over.
    pub fn finish(&self, expected_unused: impl Fn(&str) -> bool) -> Result<(), Error> {
        let asked = self.asked();
        let names = self.source.names();
        let left: Vec<_> = names.iter().filter(|n| !asked.contains_key(*n) && !expected_unused(n)).collect();
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

    fn note(&self, name: String, shape: &[usize]) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name, shape.to_vec());
    }

    fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}
