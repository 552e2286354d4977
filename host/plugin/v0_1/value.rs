//! Values to the plugin and back. What comes back is checked in full: the component model checks types, not sizes.

use std::sync::Arc;

use dc_graph_node_api::{ElementType, Image, Inputs, Mask, Outputs, Pixels, PortType, Tensor, Value};
use wasmtime::component::Resource;

use super::super::call::Call;
use super::super::fault::{Stop, plain};
use super::bindings::dc_graph::node::types;
use super::buffer::Buffer;
use super::opaque::Opaque;

/// Outputs that a plugin gives back, at most: as many as a spec may have.
const MAX_OUTPUTS: usize = 100;
/// Characters of an output's name: as many as a spec may have.
const MAX_NAME: usize = 100;
/// Elements of a list that a plugin gives back, at most.
const MAX_ELEMENTS: usize = 1_000_000;

/// The inputs of a node as the plugin gets them.
pub(super) fn inputs_to_guest(call: &mut Call, inputs: &Inputs) -> wasmtime::Result<Vec<types::NamedValue>> {
    let mut named = Vec::new();
    for (name, value) in inputs.iter() {
        named.push(types::NamedValue { name: name.into(), value: to_guest(call, value)? });
    }
    Ok(named)
}

/// The outputs of a node as the plugin gives them. Whether they are those of its spec is the host's to check, as for every
/// node; here each is checked by itself. `expected` says what an empty list is a list of.
pub(super) fn outputs_from_guest(
    call: &mut Call,
    outputs: Vec<types::NamedValue>,
    expected: impl Fn(&str) -> Option<PortType>,
) -> wasmtime::Result<Outputs> {
    if outputs.len() > MAX_OUTPUTS {
        return misuse(format!("gave {} outputs", outputs.len()));
    }
    let mut checked = Outputs::default();
    for types::NamedValue { name, value } in outputs {
        // It is told when it is wrong, and can be anything.
        let name = plain(&name, MAX_NAME);
        if checked.get(&name).is_some() {
            return Err(Stop::Misuse(format!("gave its output `{name}` twice")).into());
        }
        let value = from_guest(call, value, expected(&name).as_ref())
            .map_err(|error| named(error, |problem| format!("gave a bad output `{name}`: {problem}")))?;
        checked = checked.with(&name, value);
    }
    Ok(checked)
}

fn named(error: wasmtime::Error, say: impl FnOnce(&str) -> String) -> wasmtime::Error {
    match error.downcast_ref::<Stop>() {
        Some(Stop::Misuse(problem)) => Stop::Misuse(say(problem)).into(),
        _ => error,
    }
}

fn misuse<T>(message: impl Into<String>) -> wasmtime::Result<T> {
    Err(Stop::Misuse(message.into()).into())
}

fn to_guest(call: &mut Call, value: &Value) -> wasmtime::Result<types::Value> {
    Ok(match value {
        Value::Boolean(v) => types::Value::Boolean(*v),
        Value::Integer(v) => types::Value::Integer(*v),
        Value::Number(v) => types::Value::Number(*v),
        Value::Text(v) => types::Value::Text((**v).into()),
        Value::Path(v) => types::Value::Path((**v).into()),
        Value::Image(v) => types::Value::Image(image_to_guest(call, v)?),
        Value::Mask(v) => types::Value::Mask(mask_to_guest(call, v)?),
        Value::Native(v) => match v.downcast::<Tensor>() {
            Some(tensor) => types::Value::Tensor(tensor_to_guest(call, &tensor)?),
            None => types::Value::Opaque(call.push(Opaque(v.clone()))?),
        },
        Value::List(of, elements) => list_to_guest(call, of, elements)?,
    })
}

fn list_to_guest(call: &mut Call, of: &PortType, elements: &[Value]) -> wasmtime::Result<types::Value> {
    macro_rules! list {
        ($list:ident, $element:ident, $value:ident => $convert:expr) => {{
            let mut list = Vec::with_capacity(elements.len());
            for element in elements {
                let Value::$element($value) = element else { return misuse("got a list of mixed values") };
                list.push($convert);
            }
            types::Value::$list(list)
        }};
    }
    Ok(match of {
        PortType::Boolean => list!(Booleans, Boolean, v => *v),
        PortType::Integer => list!(Integers, Integer, v => *v),
        PortType::Number => list!(Numbers, Number, v => *v),
        PortType::Text => list!(Texts, Text, v => (**v).into()),
        PortType::Path => list!(Paths, Path, v => (**v).into()),
        PortType::Image => list!(Images, Image, v => image_to_guest(call, v)?),
        PortType::Mask => list!(Masks, Mask, v => mask_to_guest(call, v)?),
        PortType::Native(name) if *name == Tensor::TYPE_NAME => {
            list!(Tensors, Native, v => match v.downcast::<Tensor>() {
                Some(tensor) => tensor_to_guest(call, &tensor)?,
                None => return misuse("got a list of mixed values"),
            })
        }
        PortType::Native(_) => list!(Opaques, Native, v => call.push(Opaque(v.clone()))?),
        PortType::List(_) => return misuse("cannot be given lists of lists"),
    })
}

pub(super) fn image_to_guest(call: &mut Call, image: &Arc<Image>) -> wasmtime::Result<types::Image> {
    Ok(types::Image {
        width: image.width(),
        height: image.height(),
        channels: image.channels().into(),
        elements: match image.pixels() {
            Pixels::U8(_) => types::ElementType::Uint8,
            Pixels::F32(_) => types::ElementType::Float32,
        },
        data: call.push(Buffer::Image(image.clone()))?,
    })
}

fn mask_to_guest(call: &mut Call, mask: &Arc<Mask>) -> wasmtime::Result<types::Mask> {
    Ok(types::Mask { width: mask.width(), height: mask.height(), data: call.push(Buffer::Mask(mask.clone()))? })
}

pub(super) fn tensor_to_guest(call: &mut Call, tensor: &Tensor) -> wasmtime::Result<types::Tensor> {
    let shape: Result<_, _> = tensor.shape().iter().map(|length| u32::try_from(*length)).collect();
    let Ok(shape) = shape else { return misuse("cannot be given a tensor that long") };
    let elements = elements_to_guest(tensor.elements());
    Ok(types::Tensor { shape, elements, data: call.push(Buffer::Tensor(tensor.bytes().clone()))? })
}

fn from_guest(call: &mut Call, value: types::Value, expected: Option<&PortType>) -> wasmtime::Result<Value> {
    use types::Value as Guest;
    Ok(match value {
        Guest::Boolean(v) => Value::Boolean(v),
        Guest::Integer(v) => Value::Integer(v),
        Guest::Number(v) => Value::Number(finite(v)?),
        Guest::Text(v) => v.into(),
        Guest::Path(v) => Value::Path(v.into()),
        Guest::Image(v) => image_from_guest(call, v)?.into(),
        Guest::Mask(v) => mask_from_guest(call, v)?.into(),
        Guest::Tensor(v) => Value::native(tensor_from_guest(call, v)?),
        Guest::Opaque(v) => opaque_from_guest(call, v)?,
        Guest::Booleans(v) => list(PortType::Boolean, v, |v| Ok(Value::Boolean(v)))?,
        Guest::Integers(v) => list(PortType::Integer, v, |v| Ok(Value::Integer(v)))?,
        Guest::Numbers(v) => list(PortType::Number, v, |v| Ok(Value::Number(finite(v)?)))?,
        Guest::Texts(v) => list(PortType::Text, v, |v| Ok(v.into()))?,
        Guest::Paths(v) => list(PortType::Path, v, |v| Ok(Value::Path(v.into())))?,
        Guest::Images(v) => list(PortType::Image, v, |v| Ok(image_from_guest(call, v)?.into()))?,
        Guest::Masks(v) => list(PortType::Mask, v, |v| Ok(mask_from_guest(call, v)?.into()))?,
        Guest::Tensors(v) => {
            list(PortType::native(Tensor::TYPE_NAME), v, |v| Ok(Value::native(tensor_from_guest(call, v)?)))?
        }
        Guest::Opaques(v) => {
            let elements = v.into_iter().map(|v| opaque_from_guest(call, v)).collect::<wasmtime::Result<Vec<_>>>()?;
            let of = elements.first().map(Value::port_type);
            let of = of.or_else(|| match expected {
                Some(PortType::List(of)) => Some((**of).clone()),
                _ => None,
            });
            let Some(of) = of else { return misuse("a list of nothing") };
            list(of, elements, Ok)?
        }
    })
}

fn list<T>(
    of: PortType,
    elements: Vec<T>,
    convert: impl FnMut(T) -> wasmtime::Result<Value>,
) -> wasmtime::Result<Value> {
    if elements.len() > MAX_ELEMENTS {
        return misuse(format!("a list of {} elements, at most {MAX_ELEMENTS} are allowed", elements.len()));
    }
    Ok(Value::list(of, elements.into_iter().map(convert).collect::<wasmtime::Result<Vec<_>>>()?))
}

fn finite(number: f64) -> wasmtime::Result<f64> {
    if number.is_finite() { Ok(number) } else { misuse(format!("expected a finite number, found {number}")) }
}

/// The contents behind a handle; an image, mask or tensor of the graph stays the shared one it was.
fn take(call: &mut Call, data: Resource<Buffer>) -> wasmtime::Result<Buffer> {
    Ok(call.table.delete(data)?)
}

pub(super) fn image_from_guest(call: &mut Call, image: types::Image) -> wasmtime::Result<Arc<Image>> {
    let types::Image { width, height, channels, elements, data } = image;
    let buffer = take(call, data)?;
    if let Buffer::Image(same) = &buffer
        && (same.width(), same.height(), u32::from(same.channels())) == (width, height, channels)
        && matches!(
            (same.pixels(), elements),
            (Pixels::U8(_), types::ElementType::Uint8) | (Pixels::F32(_), types::ElementType::Float32)
        )
    {
        return Ok(same.clone());
    }
    let channels = u8::try_from(channels).unwrap_or(u8::MAX);
    let pixels = match elements {
        types::ElementType::Uint8 => Pixels::U8(buffer.into_bytes()),
        types::ElementType::Float32 => Pixels::F32(floats(&buffer, "an image")?),
        other => {
            return misuse(format!("an image of {other:?} elements: they are `uint8` or `float32`").to_lowercase());
        }
    };
    Image::new(width, height, channels, pixels).map(Arc::new).or_else(|error| misuse(error.to_string()))
}

fn mask_from_guest(call: &mut Call, mask: types::Mask) -> wasmtime::Result<Arc<Mask>> {
    let types::Mask { width, height, data } = mask;
    let buffer = take(call, data)?;
    if let Buffer::Mask(same) = &buffer
        && (same.width(), same.height()) == (width, height)
    {
        return Ok(same.clone());
    }
    let values = floats(&buffer, "a mask")?;
    Mask::new(width, height, values).map(Arc::new).or_else(|error| misuse(error.to_string()))
}

/// A picture that holds a NaN is broken, and no clamping would mend it: it is refused where it comes from.
fn floats(buffer: &Buffer, what: &str) -> wasmtime::Result<Vec<f32>> {
    let bytes = buffer.bytes();
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return misuse(format!("{what} of `float32` elements has {} bytes: not a multiple of 4", bytes.len()));
    }
    let floats: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    match floats.iter().position(|number| !number.is_finite()) {
        Some(place) => misuse(format!("{what} is {} at element {place}: expected finite numbers", floats[place])),
        None => Ok(floats),
    }
}

pub(super) fn tensor_from_guest(call: &mut Call, tensor: types::Tensor) -> wasmtime::Result<Tensor> {
    let types::Tensor { shape, elements, data } = tensor;
    if shape.len() > 16 {
        return misuse(format!("a tensor of {} dimensions: at most 16 are allowed", shape.len()));
    }
    let shape: Vec<usize> = shape.into_iter().map(|length| length as usize).collect();
    let bytes: Arc<[u8]> = match take(call, data)? {
        Buffer::Tensor(same) => same,
        other => other.into_bytes().into(),
    };
    if elements == types::ElementType::Boolean && bytes.iter().any(|byte| *byte > 1) {
        return misuse("a tensor of `boolean` elements holds other bytes than 0 and 1");
    }
    Tensor::new(shape, elements_from_guest(elements), bytes).or_else(|error| misuse(error.to_string()))
}

fn opaque_from_guest(call: &mut Call, handle: Resource<Opaque>) -> wasmtime::Result<Value> {
    Ok(Value::Native(call.table.delete(handle)?.0))
}

macro_rules! elements {
    ($($here:ident = $there:ident),* $(,)?) => {
        fn elements_to_guest(elements: ElementType) -> types::ElementType {
            match elements {
                $(ElementType::$here => types::ElementType::$there,)*
            }
        }

        fn elements_from_guest(elements: types::ElementType) -> ElementType {
            match elements {
                $(types::ElementType::$there => ElementType::$here,)*
            }
        }
    };
}

elements! {
    Boolean = Boolean,
    U8 = Uint8,
    I8 = Int8,
    U16 = Uint16,
    I16 = Int16,
    U32 = Uint32,
    I32 = Int32,
    U64 = Uint64,
    I64 = Int64,
    F16 = Float16,
    BF16 = Bfloat16,
    F32 = Float32,
    F64 = Float64,
}
