//! Bytes that the host holds: the contents of images, masks and tensors.

use std::sync::Arc;

use dc_graph_node_api::{Image, Mask, Pixels};
use wasmtime::component::Resource;

use super::super::budget::Counted;
use super::super::call::Call;
use super::super::fault::Stop;
use super::bindings::dc_graph::node::types;

#[cfg(target_endian = "big")]
compile_error!("the contract's numbers are little-endian, and so must be the host's");

/// What a handle to a buffer stands for. Values of the graph are shared, never changed.
#[derive(Clone)]
#[allow(unreachable_pub)] // the bindings re-export it
pub enum Buffer {
    /// Made by or for the plugin.
    Made(Arc<Counted>),
    /// The samples of a value of the graph.
    Image(Arc<Image>),
    /// The values of a value of the graph.
    Mask(Arc<Mask>),
    /// The elements of a value of the graph.
    Tensor(Arc<[u8]>),
}

impl Buffer {
    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Made(made) => made.bytes(),
            Self::Image(image) => match image.pixels() {
                Pixels::U8(samples) => samples,
                Pixels::F32(samples) => bytemuck::cast_slice(samples),
            },
            Self::Mask(mask) => bytemuck::cast_slice(mask.values()),
            Self::Tensor(bytes) => bytes,
        }
    }

    /// The bytes, copied only when somebody else needs them too.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Made(made) => match Arc::try_unwrap(made) {
                Ok(alone) => alone.into_bytes(),
                Err(shared) => shared.bytes().to_vec(),
            },
            other => other.bytes().to_vec(),
        }
    }
}

impl Call {
    pub(super) fn make(&mut self, bytes: Vec<u8>) -> wasmtime::Result<Resource<Buffer>> {
        let made = Counted::new(bytes, &self.budget)?;
        Ok(self.push(Buffer::Made(Arc::new(made)))?)
    }

    fn buffer(&self, handle: &Resource<Buffer>) -> wasmtime::Result<&Buffer> {
        Ok(self.table.get(handle)?)
    }
}

fn range(buffer: &Buffer, offset: u32, length: usize, what: &str) -> Result<std::ops::Range<usize>, Stop> {
    let (offset, size) = (offset as usize, buffer.bytes().len());
    match offset.checked_add(length).filter(|end| *end <= size) {
        Some(end) => Ok(offset..end),
        None => Err(Stop::Misuse(format!("{what} {length} bytes at {offset} of a buffer of {size}"))),
    }
}

impl types::HostBuffer for Call {
    fn new(&mut self, size: u32) -> wasmtime::Result<Resource<Buffer>> {
        let zeros = Counted::zeros(size as usize, &self.budget)?;
        Ok(self.push(Buffer::Made(Arc::new(zeros)))?)
    }

    fn from_bytes(&mut self, bytes: Vec<u8>) -> wasmtime::Result<Resource<Buffer>> {
        self.make(bytes)
    }

    fn size(&mut self, handle: Resource<Buffer>) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.buffer(&handle)?.bytes().len()).unwrap_or(u32::MAX))
    }

    fn read_all(&mut self, handle: Resource<Buffer>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.buffer(&handle)?.bytes().to_vec())
    }

    fn read(&mut self, handle: Resource<Buffer>, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        let buffer = self.buffer(&handle)?;
        Ok(buffer.bytes()[range(buffer, offset, length as usize, "reads")?].to_vec())
    }

    fn write(&mut self, handle: Resource<Buffer>, offset: u32, bytes: Vec<u8>) -> wasmtime::Result<()> {
        let budget = self.budget.clone();
        let buffer = self.table.get_mut(&handle)?;
        let range = range(buffer, offset, bytes.len(), "writes")?;
        let alone = match buffer {
            Buffer::Made(made) => Arc::get_mut(made).is_some(),
            _ => false,
        };
        if !alone {
            *buffer = Buffer::Made(Arc::new(Counted::copy(buffer.bytes(), &budget)?));
        }
        if let Buffer::Made(made) = buffer
            && let Some(made) = Arc::get_mut(made)
        {
            made.bytes_mut()[range].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn duplicate(&mut self, handle: Resource<Buffer>) -> wasmtime::Result<Resource<Buffer>> {
        let same = self.buffer(&handle)?.clone();
        Ok(self.push(same)?)
    }

    fn drop(&mut self, handle: Resource<Buffer>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl types::Host for Call {}
