//! Values of the graph that a plugin hands on.

use dc_graph_node_api::{ElementType, NativeValue, Portable, Tensor};
use wasmtime::component::Resource;

use super::super::call::Call;
use super::super::fault::Stop;
use super::bindings::dc_graph::node::types::{HostOpaque, NamedTensor};
use super::value::{tensor_from_guest, tensor_to_guest};

/// What a handle to an opaque value stands for.
#[derive(Clone)]
#[allow(unreachable_pub)] // the bindings re-export it
pub struct Opaque(pub(super) NativeValue);

impl Call {
    fn opaque(&self, handle: &Resource<Opaque>) -> wasmtime::Result<&NativeValue> {
        Ok(&self.table.get(handle)?.0)
    }
}

impl HostOpaque for Call {
    fn type_name(&mut self, handle: Resource<Opaque>) -> wasmtime::Result<String> {
        Ok(self.opaque(&handle)?.type_name().into())
    }

    fn summary(&mut self, handle: Resource<Opaque>) -> wasmtime::Result<String> {
        Ok(self.opaque(&handle)?.summary())
    }

    fn duplicate(&mut self, handle: Resource<Opaque>) -> wasmtime::Result<Resource<Opaque>> {
        let same = Opaque(self.opaque(&handle)?.clone());
        Ok(self.push(same)?)
    }

    fn tensors(&mut self, handle: Resource<Opaque>) -> wasmtime::Result<Result<Vec<NamedTensor>, String>> {
        self.check()?;
        let parts = match taken_apart(self.opaque(&handle)?) {
            Ok(parts) => parts,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut tensors = Vec::new();
        for (name, tensor) in &parts.tensors {
            // They were read from a device for this call.
            self.budget.take(tensor.bytes().len() as u64)?;
            tensors.push(NamedTensor { name: name.clone(), tensor: tensor_to_guest(self, tensor)? });
        }
        Ok(Ok(tensors))
    }

    fn with_tensors(
        &mut self,
        handle: Resource<Opaque>,
        tensors: Vec<NamedTensor>,
    ) -> wasmtime::Result<Result<Resource<Opaque>, String>> {
        self.check()?;
        let mut parts = match taken_apart(self.opaque(&handle)?) {
            Ok(parts) => parts,
            Err(problem) => return Ok(Err(problem)),
        };
        for NamedTensor { name, tensor } in tensors {
            let tensor = tensor_from_guest(self, tensor)?;
            if let Some(place) = first_not_finite(&tensor) {
                return Ok(Err(format!("the tensor `{name}` is not finite at element {place}")));
            }
            let Some((_, old)) = parts.tensors.iter_mut().find(|(n, _)| *n == name) else {
                return Ok(Err(format!("a `{}` has no tensor `{name}`", parts.type_name)));
            };
            *old = tensor;
        }
        self.budget.take(parts.tensors.iter().map(|(_, tensor)| tensor.bytes().len() as u64).sum())?;
        match self.terms.decoders.decode(&parts) {
            Ok(value) => Ok(Ok(self.push(Opaque(value))?)),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn drop(&mut self, handle: Resource<Opaque>) -> wasmtime::Result<()> {
        self.table.delete(handle).map_err(|_| Stop::Misuse("drops a handle twice".into()))?;
        Ok(())
    }
}

fn taken_apart(value: &NativeValue) -> Result<Portable, String> {
    match value.portable() {
        Ok(Some(parts)) => Ok(parts),
        Ok(None) => Err(format!("a `{}` cannot be looked into", value.type_name())),
        Err(error) => Err(error.to_string()),
    }
}

/// The place of the first infinity or NaN: all bits of the exponent are set.
fn first_not_finite(tensor: &Tensor) -> Option<usize> {
    fn any<const N: usize>(bytes: &[u8], exponent: u64) -> Option<usize> {
        bytes.as_chunks::<N>().0.iter().position(|number| {
            let mut wide = [0; 8];
            wide[..N].copy_from_slice(number);
            u64::from_le_bytes(wide) & exponent == exponent
        })
    }
    let bytes = tensor.bytes();
    match tensor.elements() {
        ElementType::F16 => any::<2>(bytes, 0x7c00),
        ElementType::BF16 => any::<2>(bytes, 0x7f80),
        ElementType::F32 => any::<4>(bytes, 0x7f80_0000),
        ElementType::F64 => any::<8>(bytes, 0x7ff0_0000_0000_0000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_found() {
        let check = |elements, good: &[u8], bad: &[&[u8]]| {
            for bad in bad {
                let bytes = [good, bad].concat();
                let tensor = Tensor::new(vec![2], elements, bytes).unwrap();
                assert_eq!(first_not_finite(&tensor), Some(1), "{elements:?} {bad:?}");
            }
            let tensor = Tensor::new(vec![2], elements, [good, good].concat()).unwrap();
            assert_eq!(first_not_finite(&tensor), None);
        };
        let f32s = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(f32::to_le_bytes);
        check(ElementType::F32, &f32::MAX.to_le_bytes(), &f32s.each_ref().map(|b| &b[..]));
        let f64s = [f64::NAN, f64::NEG_INFINITY].map(f64::to_le_bytes);
        check(ElementType::F64, &f64::MIN.to_le_bytes(), &f64s.each_ref().map(|b| &b[..]));
        check(ElementType::F16, &[0xff, 0x7b], &[&[0x00, 0x7c], &[0x01, 0xfe]]);
        check(ElementType::BF16, &[0x7f, 0x7f], &[&[0x80, 0x7f], &[0xc1, 0xff]]);
    }
}
