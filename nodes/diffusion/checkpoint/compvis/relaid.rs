//! A source of tensors in one layout as a source in another.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Shape, TensorData};

use super::{Part, Place};
use crate::checkpoint::mapped::tensor_data;
use crate::error::Error;
use crate::weights::{TensorInfo, TensorSource};

/// A CompVis file under the names of one component's places.
pub(in crate::checkpoint) struct Relaid {
    inner: Arc<dyn TensorSource>,
    places: BTreeMap<String, (String, Part)>,
}

impl Relaid {
    pub(in crate::checkpoint) fn new(inner: Arc<dyn TensorSource>, places: Vec<Place>) -> Self {
        let places = places.into_iter().map(|place| (place.name, (place.compvis, place.part))).collect();
        Self { inner, places }
    }

    /// The names in the file that this component may read.
    pub(in crate::checkpoint) fn compvis_names(&self) -> impl Iterator<Item = &str> {
        self.places.values().map(|(compvis, _)| compvis.as_str())
    }

    fn mismatch(&self, message: String) -> Error {
        Error::Mismatch { origin: self.inner.origin(), message }
    }
}

/// What a place is once taken out of a tensor of this shape; `None` when it cannot be.
fn part_shape(part: Part, shape: &[usize]) -> Option<Vec<usize>> {
    match (part, shape) {
        (Part::Squeezed, [out, input, 1, 1]) => Some(vec![*out, *input]),
        (Part::Whole | Part::Squeezed, _) => Some(shape.to_vec()),
        (Part::Third(_), [rows, rest @ ..]) if rows % 3 == 0 => Some([&[rows / 3], rest].concat()),
        (Part::Third(_), _) => None,
    }
}

impl TensorSource for Relaid {
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
        let Some((compvis, part)) = self.places.get(name) else {
            return Err(self.mismatch(format!("tensor `{name}` has no counterpart in a CompVis file")));
        };
        let Some(info) = self.inner.info(compvis) else {
            // Either missing, which the source says under its own name, or not to be understood, which it explains.
            return Err(self
                .inner
                .read(compvis, shape)
                .err()
                .unwrap_or_else(|| self.mismatch(format!("tensor `{compvis}` (`{name}`) says nothing of itself"))));
        };
        if part_shape(*part, &info.shape).as_deref() != Some(shape) {
            let whole = if matches!(part, Part::Third(_)) { " in each third" } else { "" };
            let found = &info.shape;
            return Err(self.mismatch(format!(
                "tensor `{compvis}` (`{name}`) should have the shape {shape:?}{whole}, found {found:?}"
            )));
        }
        let data = self.inner.read(compvis, &info.shape)?;
        match part {
            Part::Whole => Ok(data),
            Part::Squeezed => {
                let (bytes, _, dtype) = data.into_parts();
                Ok(TensorData::from_bytes(bytes, Shape::from(shape.to_vec()), dtype))
            }
            Part::Third(third) => {
                let len = data.as_bytes().len() / 3;
                let bytes = bytes::Bytes::copy_from_slice(&data.as_bytes()[third * len..(third + 1) * len]);
                tensor_data(bytes, data.dtype(), shape)
                    .ok_or_else(|| self.mismatch(format!("tensor `{compvis}` cannot be split in three")))
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.places
            .iter()
            .filter(|(_, (compvis, _))| self.inner.contains(compvis))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|(compvis, _)| self.inner.contains(compvis))
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let (compvis, part) = self.places.get(name)?;
        let info = self.inner.info(compvis)?;
        Some(TensorInfo { dtype: info.dtype, shape: part_shape(*part, &info.shape)? })
    }

    fn origin(&self) -> String {
        self.inner.origin()
    }
}
