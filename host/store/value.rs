//! Values as bytes and back. The bytes follow from the value alone, so that their digest is the value's.
//!
//! A byte for the kind, then: `b` a byte; `i`, `n` eight bytes; `t`, `a` UTF-8 to the end; `p`, `f` width, height (four
//! bytes each), channels (one) and samples of 8 bits or of f32; `m` width, height and f32; `l` the type of the elements
//! and the elements, each after its length; `o` a [`Portable`]. All little-endian.

use std::sync::Arc;

use dc_graph_node_api::{Decoders, Image, Mask, NodeError, Pixels, PortType, Portable, Value};

/// The bytes of a value; nothing when it, or a part of it, is of a type that is not kept.
pub(crate) fn encode(value: &Value) -> Result<Option<Vec<u8>>, NodeError> {
    Ok(Some(match value {
        Value::Boolean(v) => vec![b'b', u8::from(*v)],
        Value::Integer(v) => tagged(b'i', &v.to_le_bytes()),
        Value::Number(v) => tagged(b'n', &v.to_le_bytes()),
        Value::Text(v) => tagged(b't', v.as_bytes()),
        Value::Path(v) => tagged(b'a', v.as_bytes()),
        Value::Image(v) => image(v),
        Value::Mask(v) => {
            let mut out = Vec::with_capacity(9 + 4 * v.values().len());
            out.push(b'm');
            out.extend(v.width().to_le_bytes());
            out.extend(v.height().to_le_bytes());
            out.extend(v.values().iter().flat_map(|x| x.to_le_bytes()));
            out
        }
        Value::List(of, elements) => {
            let mut out = vec![b'l'];
            blob(&mut out, of.to_string().as_bytes());
            for element in &**elements {
                let Some(bytes) = encode(element)? else { return Ok(None) };
                blob(&mut out, &bytes);
            }
            out
        }
        Value::Native(v) => {
            let Some(portable) = v.portable()? else { return Ok(None) };
            tagged(b'o', &portable.to_bytes())
        }
    }))
}

/// The inverse of [`encode`]; nothing when these are no such bytes, or nobody can put such a value together.
pub(crate) fn decode(bytes: &[u8], decoders: &Decoders) -> Option<Value> {
    let (tag, bytes) = bytes.split_first()?;
    Some(match tag {
        b'b' => Value::Boolean(*bytes.first()? != 0),
        b'i' => Value::Integer(i64::from_le_bytes(bytes.try_into().ok()?)),
        b'n' => Value::Number(f64::from_le_bytes(bytes.try_into().ok()?)),
        b't' => Value::text(std::str::from_utf8(bytes).ok()?),
        b'a' => Value::Path(std::str::from_utf8(bytes).ok()?.into()),
        b'p' | b'f' => {
            let (sides, bytes) = bytes.split_first_chunk::<9>()?;
            let pixels = if *tag == b'p' { Pixels::U8(bytes.to_vec()) } else { Pixels::F32(numbers(bytes)) };
            let (width, height) = (number(&sides[..4])?, number(&sides[4..8])?);
            Value::Image(Arc::new(Image::new(width, height, sides[8], pixels).ok()?))
        }
        b'm' => {
            let (sides, bytes) = bytes.split_first_chunk::<8>()?;
            Value::Mask(Arc::new(Mask::new(number(&sides[..4])?, number(&sides[4..])?, numbers(bytes)).ok()?))
        }
        b'l' => {
            let (of, mut rest) = next(bytes)?;
            let of = port_type(std::str::from_utf8(of).ok()?);
            let mut elements = Vec::new();
            while !rest.is_empty() {
                let element;
                (element, rest) = next(rest)?;
                elements.push(decode(element, decoders)?);
            }
            Value::list(of, elements)
        }
        b'o' => Value::Native(decoders.decode(&Portable::from_bytes(bytes).ok()?).ok()?),
        _ => return None,
    })
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + bytes.len());
    out.push(tag);
    out.extend_from_slice(bytes);
    out
}

fn image(image: &Image) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 + image.size_bytes());
    out.push(if matches!(image.pixels(), Pixels::U8(_)) { b'p' } else { b'f' });
    out.extend(image.width().to_le_bytes());
    out.extend(image.height().to_le_bytes());
    out.push(image.channels());
    match image.pixels() {
        Pixels::U8(samples) => out.extend_from_slice(samples),
        Pixels::F32(samples) => out.extend(samples.iter().flat_map(|x| x.to_le_bytes())),
    }
    out
}

fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect()
}

/// The type that prints like this.
fn port_type(text: &str) -> PortType {
    if let Some(of) = text.strip_prefix("core:list<").and_then(|rest| rest.strip_suffix('>')) {
        return port_type(of).list();
    }
    let plain = [PortType::Boolean, PortType::Integer, PortType::Number, PortType::Text];
    let plain = plain.into_iter().chain([PortType::Path, PortType::Image, PortType::Mask]);
    let found = plain.into_iter().find(|ty| ty.to_string() == text);
    found.unwrap_or_else(|| PortType::Native(text.to_owned().into()))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{ElementType, NativeObject, Tensor};

    use super::*;

    struct Opaque;

    impl NativeObject for Opaque {
        fn type_name(&self) -> &'static str {
            "test:opaque"
        }
        fn summary(&self) -> String {
            String::new()
        }
        fn size_bytes(&self) -> usize {
            0
        }
    }

    fn values() -> Vec<Value> {
        let image = |pixels| Value::from(Image::new(2, 1, 3, pixels).unwrap());
        let tensor = Tensor::new(vec![2, 2], ElementType::F16, vec![7; 8]).unwrap();
        let numbers =
            |of: &[f64]| Value::list(PortType::Number, of.iter().map(|n| Value::Number(*n)).collect::<Vec<_>>());
        vec![
            Value::Boolean(true),
            Value::Integer(i64::MIN),
            Value::Number(-0.0),
            Value::Number(0.1 + 0.2),
            Value::text(""),
            Value::text("größer"),
            Value::Path("größer".into()),
            image(Pixels::U8(vec![1, 2, 3, 4, 5, 6])),
            image(Pixels::F32(vec![1.0, -0.0, 0.1, 2.0, 1e-40, 0.5])),
            Value::from(Mask::new(1, 2, vec![0.25, 1.0]).unwrap()),
            numbers(&[]),
            numbers(&[1.0, 2.0]),
            Value::list(PortType::Number.list(), vec![numbers(&[]), numbers(&[3.0])]),
            Value::list(PortType::native("dc:latents"), vec![]),
            Value::native(tensor),
        ]
    }

    #[test]
    fn bytes_and_back() {
        let bytes: Vec<_> = values().iter().map(|v| encode(v).unwrap().unwrap()).collect();
        for (value, bytes) in values().iter().zip(&bytes) {
            let there = decode(bytes, &Decoders::default()).unwrap();
            assert_eq!(there.port_type(), value.port_type());
            assert_eq!(encode(&there).unwrap().as_ref(), Some(bytes), "{value:?}");
            for length in 0..bytes.len() {
                let _ = decode(&bytes[..length], &Decoders::default());
            }
        }
        let distinct: std::collections::HashSet<_> = bytes.iter().collect();
        assert_eq!(distinct.len(), bytes.len());
    }

    #[test]
    fn what_is_not_kept() {
        let opaque = Value::native(Opaque);
        assert_eq!(encode(&opaque).unwrap(), None);
        let list = Value::list(PortType::native("test:opaque"), vec![opaque]);
        assert_eq!(encode(&list).unwrap(), None);
    }
}
