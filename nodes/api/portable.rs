//! Opaque values as named tensors and text, so that they can leave the process: to the store, to a checkpoint, to a plugin.
//!
//! [`NativeObject::portable`](crate::NativeObject::portable) takes a value apart, a [`Decode`] function puts it together
//! again, bit for bit. Numbers are taken from whatever device the value lives on; what is put together again lives on the
//! CPU, and whoever computes with it moves it to where it computes.

use std::collections::BTreeMap;

use crate::error::NodeError;
use crate::tensor::{self, ElementType, Tensor};
use crate::value::NativeValue;

/// An opaque value taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portable {
    /// The name of its port type, such as `dc:latents`.
    pub type_name: String,
    /// Text by key: everything that is no tensor.
    pub metadata: BTreeMap<String, String>,
    /// Its tensors by name, each name once, always in the same order.
    pub tensors: Vec<(String, Tensor)>,
}

/// Puts a value together again. It checks names, types and shapes: what it gets may come from a file or from a plugin.
pub type Decode = fn(&Portable) -> Result<NativeValue, NodeError>;

/// The [`Decode`] functions of all node packs, by the name of the port type.
#[derive(Clone, Debug)]
pub struct Decoders(BTreeMap<&'static str, Decode>);

impl Default for Decoders {
    /// What this package brings itself: `core:tensor`.
    fn default() -> Self {
        Self(BTreeMap::from([(Tensor::TYPE_NAME, tensor::decode as Decode)]))
    }
}

impl Decoders {
    /// Adds the function for a port type; a later one replaces an earlier one.
    pub fn add(&mut self, type_name: &'static str, decode: Decode) {
        self.0.insert(type_name, decode);
    }

    /// Whether values of this port type can be put together again.
    pub fn knows(&self, type_name: &str) -> bool {
        self.0.contains_key(type_name)
    }

    /// The value.
    ///
    /// # Errors
    /// When nobody knows the type, or the parts are not those of such a value.
    pub fn decode(&self, portable: &Portable) -> Result<NativeValue, NodeError> {
        let name = &portable.type_name;
        let decode = self.0.get(name.as_str());
        let decode = decode.ok_or_else(|| NodeError::failed(format!("nobody knows how to put a `{name}` together")))?;
        decode(portable)
    }
}

impl Portable {
    /// Without text and tensors.
    pub fn new(type_name: &str) -> Self {
        Self { type_name: type_name.into(), ..Self::default() }
    }

    /// Adds text.
    pub fn text(mut self, key: &str, text: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), text.into());
        self
    }

    /// Adds a tensor.
    pub fn tensor(mut self, name: &str, tensor: Tensor) -> Self {
        self.tensors.push((name.into(), tensor));
        self
    }

    /// The text under a key.
    ///
    /// # Errors
    /// When there is none.
    pub fn get_text(&self, key: &str) -> Result<&str, NodeError> {
        let text = self.metadata.get(key);
        text.map(String::as_str).ok_or_else(|| self.lacks(&format!("text `{key}`")))
    }

    /// The tensor of a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn get_tensor(&self, name: &str) -> Result<&Tensor, NodeError> {
        let found = self.tensors.iter().find(|(n, _)| n == name);
        found.map(|(_, tensor)| tensor).ok_or_else(|| self.lacks(&format!("tensor `{name}`")))
    }

    /// Memory that the tensors hold.
    pub fn size_bytes(&self) -> usize {
        self.tensors.iter().map(|(_, tensor)| tensor.bytes().len()).sum()
    }

    fn lacks(&self, what: &str) -> NodeError {
        NodeError::failed(format!("these are not the parts of a `{}`: there is no {what}", self.type_name))
    }

    /// As bytes that follow from the value alone.
    ///
    /// Counts and lengths are 64-bit little-endian; texts are UTF-8 after their length. In this order: type name, number of
    /// texts, each with its key, number of tensors, each with name, code of the element type, number of dimensions,
    /// dimensions, elements after their length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size_bytes() + 256);
        put(&mut out, self.type_name.as_bytes());
        count(&mut out, self.metadata.len());
        for (key, text) in &self.metadata {
            put(&mut out, key.as_bytes());
            put(&mut out, text.as_bytes());
        }
        count(&mut out, self.tensors.len());
        for (name, tensor) in &self.tensors {
            put(&mut out, name.as_bytes());
            count(&mut out, ElementType::ALL.iter().position(|e| *e == tensor.elements()).unwrap_or_default());
            count(&mut out, tensor.shape().len());
            tensor.shape().iter().for_each(|n| count(&mut out, *n));
            put(&mut out, tensor.bytes());
        }
        out
    }

    /// The inverse of [`Self::to_bytes`].
    ///
    /// # Errors
    /// When these are no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NodeError> {
        let mut reader = Reader(bytes);
        let portable = reader.portable().ok_or_else(|| NodeError::failed("these bytes are no value"))?;
        if !reader.0.is_empty() {
            return Err(NodeError::failed("these bytes are a value and something more"));
        }
        Ok(portable)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

/// What is still to be read. Nothing is reserved on the word of the bytes: they may lie.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn portable(&mut self) -> Option<Portable> {
        let mut portable = Portable::new(&self.text()?);
        for _ in 0..self.count()? {
            let key = self.text()?;
            portable.metadata.insert(key, self.text()?);
        }
        for _ in 0..self.count()? {
            let name = self.text()?;
            let elements = *ElementType::ALL.get(self.count()?)?;
            let dimensions = self.count()?;
            let shape = (0..dimensions).map(|_| self.count()).collect::<Option<Vec<_>>>()?;
            portable.tensors.push((name, Tensor::new(shape, elements, self.bytes()?).ok()?));
        }
        Some(portable)
    }

    fn count(&mut self) -> Option<usize> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Portable {
        let tensor = |elements: ElementType, shape: Vec<usize>| {
            let bytes: Vec<_> = (0..shape.iter().product::<usize>() * elements.size()).map(|n| n as u8).collect();
            Tensor::new(shape, elements, bytes).unwrap()
        };
        Portable::new("dc:latents")
            .text("prompt", "größer\n")
            .text("", "")
            .tensor("a", tensor(ElementType::F32, vec![2, 3]))
            .tensor("b", tensor(ElementType::U8, vec![0, 7]))
            .tensor("c", tensor(ElementType::F16, vec![]))
    }

    #[test]
    fn bytes_and_back() {
        for portable in [sample(), Portable::new("x")] {
            assert_eq!(Portable::from_bytes(&portable.to_bytes()).unwrap(), portable);
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = sample().to_bytes();
        for length in 0..bytes.len() {
            assert!(Portable::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Portable::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        // Lengths that lie, at every place: an error or another value, no panic and no memory.
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x80;
            let _ = Portable::from_bytes(&broken);
        }
    }

    #[test]
    fn tensors_are_portable() {
        let tensor = sample().tensors.swap_remove(0).1;
        let portable = NativeValue::new(tensor.clone()).portable().unwrap().unwrap();
        let found = Decoders::default().decode(&portable).unwrap().downcast::<Tensor>().unwrap();
        assert_eq!(*found, tensor);
    }

    #[test]
    fn what_is_missing_is_named() {
        let found = sample().get_tensor("d").unwrap_err().to_string();
        assert_eq!(found, "these are not the parts of a `dc:latents`: there is no tensor `d`");
        assert!(Decoders::default().decode(&sample()).unwrap_err().to_string().contains("`dc:latents`"));
    }
}
