//! What travels along an edge, and what a port accepts.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::error::NodeError;
use crate::image::{Image, Mask};
use crate::portable::Portable;

/// The type of a port. Prints as it is written in documents and messages: `core:image`, `core:list<core:image>`, `dc:latents`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortType {
    /// `core:boolean`
    Boolean,
    /// `core:integer`: 64 bits, signed.
    Integer,
    /// `core:number`: 64-bit floating point, finite.
    Number,
    /// `core:text`: UTF-8.
    Text,
    /// `core:path`: a file or a folder, or a name with a scheme such as `random:sd15-tiny`.
    ///
    /// A relative path in a document counts from the document's folder; one given on the command line from the current folder.
    Path,
    /// `core:image`
    Image,
    /// `core:mask`
    Mask,
    /// `core:list<..>`
    List(Box<PortType>),
    /// Opaque to the host, named by the node pack that makes it: `dc:latents`.
    Native(Cow<'static, str>),
}

impl PortType {
    /// A list of `self`.
    pub fn list(self) -> Self {
        Self::List(Box::new(self))
    }

    /// An opaque type of a native pack, such as `dc:latents`.
    pub const fn native(name: &'static str) -> Self {
        Self::Native(Cow::Borrowed(name))
    }

    /// Whether a value of type `from` can be given to a port of this type, perhaps through one of the exact
    /// conversions of [`Value::coerce`]: integer to number, text to path, one value to a list of one.
    pub fn accepts(&self, from: &PortType) -> bool {
        match (self, from) {
            (a, b) if a == b => true,
            (Self::Number, Self::Integer) | (Self::Path, Self::Text) => true,
            (Self::List(a), Self::List(b)) => a.accepts(b),
            (Self::List(a), b) => a.accepts(b),
            _ => false,
        }
    }
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("core:boolean"),
            Self::Integer => f.write_str("core:integer"),
            Self::Number => f.write_str("core:number"),
            Self::Text => f.write_str("core:text"),
            Self::Path => f.write_str("core:path"),
            Self::Image => f.write_str("core:image"),
            Self::Mask => f.write_str("core:mask"),
            Self::List(of) => write!(f, "core:list<{of}>"),
            Self::Native(name) => f.write_str(name),
        }
    }
}

/// A value that the host passes on without looking into it.
pub trait NativeObject: Any + Send + Sync {
    /// The name of its port type, such as `dc:latents`.
    fn type_name(&self) -> &'static str;
    /// What a person wants to know about it in one line: sizes, names.
    fn summary(&self) -> String;
    /// Memory it holds, for the plan and for eviction.
    fn size_bytes(&self) -> usize;

    /// The value taken apart, when it is worth keeping beyond the process; nothing for models and other values that are
    /// made again instead. The pack that makes the type brings a [`Decode`](crate::Decode) function for what this gives.
    ///
    /// # Errors
    /// When its tensors cannot be read from their device.
    fn portable(&self) -> Result<Option<Portable>, NodeError> {
        Ok(None)
    }
}

/// A shared opaque value.
#[derive(Clone)]
pub struct NativeValue(Arc<dyn NativeObject>);

impl NativeValue {
    /// Wraps an object.
    pub fn new(object: impl NativeObject) -> Self {
        Self(Arc::new(object))
    }

    /// The object as what it is, or nothing when it is of another type.
    pub fn downcast<T: NativeObject>(&self) -> Option<Arc<T>> {
        let any: Arc<dyn Any + Send + Sync> = self.0.clone();
        any.downcast().ok()
    }

    /// See [`NativeObject::type_name`].
    pub fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    /// See [`NativeObject::summary`].
    pub fn summary(&self) -> String {
        self.0.summary()
    }

    /// See [`NativeObject::size_bytes`].
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// See [`NativeObject::portable`].
    ///
    /// # Errors
    /// As there.
    pub fn portable(&self) -> Result<Option<Portable>, NodeError> {
        self.0.portable()
    }
}

impl fmt::Debug for NativeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.type_name(), self.summary())
    }
}

/// What travels along an edge. Cheap to clone: everything large is shared.
#[derive(Clone, Debug)]
pub enum Value {
    /// [`PortType::Boolean`]
    Boolean(bool),
    /// [`PortType::Integer`]
    Integer(i64),
    /// [`PortType::Number`]
    Number(f64),
    /// [`PortType::Text`]
    Text(Arc<str>),
    /// [`PortType::Path`]: absolute, or a name with a scheme.
    Path(Arc<str>),
    /// [`PortType::Image`]
    Image(Arc<Image>),
    /// [`PortType::Mask`]
    Mask(Arc<Mask>),
    /// [`PortType::List`]: the type of the elements, then the elements.
    List(Arc<PortType>, Arc<[Value]>),
    /// [`PortType::Native`]
    Native(NativeValue),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A list of values of one type.
    pub fn list(of: PortType, values: impl Into<Arc<[Value]>>) -> Self {
        Self::List(Arc::new(of), values.into())
    }

    /// An opaque value.
    pub fn native(object: impl NativeObject) -> Self {
        Self::Native(NativeValue::new(object))
    }

    /// The type of this value.
    pub fn port_type(&self) -> PortType {
        match self {
            Self::Boolean(_) => PortType::Boolean,
            Self::Integer(_) => PortType::Integer,
            Self::Number(_) => PortType::Number,
            Self::Text(_) => PortType::Text,
            Self::Path(_) => PortType::Path,
            Self::Image(_) => PortType::Image,
            Self::Mask(_) => PortType::Mask,
            Self::List(of, _) => PortType::List(Box::new((**of).clone())),
            Self::Native(n) => PortType::native(n.type_name()),
        }
    }

    /// This value as the given type, when [`PortType::accepts`] allows it.
    pub fn coerce(self, to: &PortType) -> Option<Value> {
        match (to, self) {
            (PortType::Number, Self::Integer(i)) => Some(Self::Number(i as f64)),
            (PortType::Path, Self::Text(t)) => Some(Self::Path(t)),
            (PortType::List(of), Self::List(found, values)) => {
                if **of == *found {
                    return Some(Self::List(found, values));
                }
                let values: Option<Vec<_>> = values.iter().map(|v| v.clone().coerce(of)).collect();
                Some(Self::list((**of).clone(), values?))
            }
            (PortType::List(of), one) => Some(Self::list((**of).clone(), vec![one.coerce(of)?])),
            (to, value) => (value.port_type() == *to).then_some(value),
        }
    }

    /// Memory it holds, about.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Boolean(_) | Self::Integer(_) | Self::Number(_) => 8,
            Self::Text(t) | Self::Path(t) => t.len(),
            Self::Image(i) => i.size_bytes(),
            Self::Mask(m) => m.values().len() * 4,
            Self::List(_, values) => values.iter().map(Value::size_bytes).sum(),
            Self::Native(n) => n.size_bytes(),
        }
    }
}

macro_rules! from {
    ($($ty:ty => $make:expr),* $(,)?) => {$(
        impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                $make(value)
            }
        }
    )*};
}

from! {
    bool => Value::Boolean,
    i64 => Value::Integer,
    f64 => Value::Number,
    &str => |t: &str| Value::Text(t.into()),
    String => |t: String| Value::Text(t.into()),
    Image => |i| Value::Image(Arc::new(i)),
    Mask => |m| Value::Mask(Arc::new(m)),
    Arc<Image> => Value::Image,
    Arc<Mask> => Value::Mask,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_coerce_agree() {
        let types = [
            PortType::Boolean,
            PortType::Integer,
            PortType::Number,
            PortType::Text,
            PortType::Path,
            PortType::Number.list(),
            PortType::Integer.list(),
            PortType::Number.list().list(),
        ];
        let values = [
            Value::Boolean(true),
            Value::Integer(3),
            Value::Number(0.5),
            Value::text("a"),
            Value::Path("a".into()),
            Value::list(PortType::Number, vec![Value::Number(0.5)]),
            Value::list(PortType::Integer, vec![Value::Integer(1)]),
        ];
        for to in &types {
            for value in &values {
                let got = value.clone().coerce(to);
                assert_eq!(got.is_some(), to.accepts(&value.port_type()), "{} to {to}", value.port_type());
                if let Some(got) = got {
                    assert_eq!(got.port_type(), *to);
                }
            }
        }
    }
}
