//! Plain numbers in any number of dimensions, without a device: what models hold, as anyone can read it.

use std::sync::Arc;

use crate::error::NodeError;
use crate::portable::Portable;
use crate::value::{NativeObject, NativeValue};

/// The type of one element. All are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// One byte, 0 or 1.
    Boolean,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl ElementType {
    /// All, in the order of their codes in files.
    pub const ALL: [Self; 13] = [
        Self::Boolean,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::BF16,
        Self::F32,
        Self::F64,
    ];

    /// Bytes that one element takes.
    pub const fn size(self) -> usize {
        match self {
            Self::Boolean | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// A tensor: shape, element type and bytes. As a value its port type is `core:tensor`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    elements: ElementType,
    bytes: Arc<[u8]>,
}

impl Tensor {
    /// The port type of a tensor that is a value by itself.
    pub const TYPE_NAME: &'static str = "core:tensor";

    /// Checks the size and wraps the bytes: row-major, outermost dimension first. An empty shape is one element.
    ///
    /// # Errors
    /// When the number of bytes is not that of the shape.
    pub fn new(shape: Vec<usize>, elements: ElementType, bytes: impl Into<Arc<[u8]>>) -> Result<Self, NodeError> {
        let bytes = bytes.into();
        let expected = shape.iter().try_fold(elements.size(), |size, length| size.checked_mul(*length));
        if expected != Some(bytes.len()) {
            let expected = expected.map_or("more bytes than there can be".into(), |size| format!("{size} bytes"));
            return Err(NodeError::failed(format!(
                "a tensor of shape {shape:?} and type {elements:?} needs {expected}, found {}",
                bytes.len()
            )));
        }
        Ok(Self { shape, elements, bytes })
    }

    /// The length of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the elements.
    pub fn elements(&self) -> ElementType {
        self.elements
    }

    /// The elements' bytes, row-major.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl NativeObject for Tensor {
    fn type_name(&self) -> &'static str {
        Self::TYPE_NAME
    }

    fn summary(&self) -> String {
        format!("{:?}, {:?}", self.shape, self.elements)
    }

    fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn portable(&self) -> Result<Option<Portable>, NodeError> {
        Ok(Some(Portable::new(Self::TYPE_NAME).tensor("tensor", self.clone())))
    }
}

/// The inverse of a tensor's [`NativeObject::portable`].
pub(crate) fn decode(portable: &Portable) -> Result<NativeValue, NodeError> {
    Ok(NativeValue::new(portable.get_tensor("tensor")?.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_bytes_agree() {
        for (shape, elements, bytes, fits) in [
            (vec![2, 3], ElementType::F32, 24, true),
            (vec![2, 3], ElementType::F16, 12, true),
            (vec![2, 3], ElementType::F32, 20, false),
            (vec![], ElementType::F64, 8, true),
            (vec![0, 7], ElementType::U8, 0, true),
            (vec![usize::MAX, 3], ElementType::U8, 0, false),
        ] {
            assert_eq!(Tensor::new(shape.clone(), elements, vec![0; bytes]).is_ok(), fits, "{shape:?} {bytes}");
        }
    }
}
