//! The trait every node implements, and what goes in and out of it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::context::RunContext;
use crate::error::{InputProblem, NodeError};
use crate::image::{Image, Mask};
use crate::spec::NodeSpec;
use crate::value::{NativeObject, PortType, Value};

/// A node type. One object serves all nodes of the type, from several threads at once.
pub trait Node: Send + Sync {
    /// What it is.
    fn spec(&self) -> &NodeSpec;

    /// The files that a run with these inputs reads, checked as far as is cheap: they exist and are of the right kind.
    /// Their contents enter the content key. `known` holds the inputs that are known before the run (literals, graph
    /// inputs, defaults); linked ones are absent.
    ///
    /// The default names every known input of type [`PortType::Path`].
    ///
    /// # Errors
    /// Every problem found.
    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        let mut files = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in known.iter() {
            let Value::Path(path) = value else { continue };
            let path = PathBuf::from(&**path);
            if path.is_file() {
                files.push(path);
            } else {
                let what = if path.is_dir() { "is a folder, not a file" } else { "no such file" };
                problems.push(InputProblem::new(name, format!("{what}: {}", path.display())));
            }
        }
        if problems.is_empty() { Ok(files) } else { Err(problems) }
    }

    /// What else the outputs depend on, such as the device's class and number type. Part of the content key.
    fn key_salt(&self) -> String {
        String::new()
    }

    /// The plugin it comes from; none for what is built in. Enters what pictures tell about how they were made.
    fn origin(&self) -> Option<&Origin> {
        None
    }

    /// Does the work.
    ///
    /// # Errors
    /// Why it could not; [`NodeError::Cancelled`] when the context asked to stop.
    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError>;
}

/// A plugin, as exactly as can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its id: `film-grain`.
    pub plugin: String,
    /// Its version, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// The blake3 of its code, in hexadecimal digits.
    pub blake3: String,
    /// The blake3 of the contract it was run under, in hexadecimal digits.
    pub contract: String,
}

/// Values by input port.
#[derive(Clone, Debug, Default)]
pub struct Inputs(Vec<(String, Value)>);

impl Inputs {
    /// Puts a value on a port, replacing what was there.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// The same as [`Self::set`], for building a whole set in one expression.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// The value on a port, if any.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// All values, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// A boolean.
    ///
    /// # Errors
    /// When the input is absent or of another type; so for all getters below.
    pub fn boolean(&self, name: &str) -> Result<bool, NodeError> {
        match self.need(name)? {
            Value::Boolean(v) => Ok(*v),
            other => Err(mismatch(name, &PortType::Boolean, other)),
        }
    }

    /// An integer.
    #[allow(clippy::missing_errors_doc)]
    pub fn integer(&self, name: &str) -> Result<i64, NodeError> {
        match self.need(name)? {
            Value::Integer(v) => Ok(*v),
            other => Err(mismatch(name, &PortType::Integer, other)),
        }
    }

    /// A number.
    #[allow(clippy::missing_errors_doc)]
    pub fn number(&self, name: &str) -> Result<f64, NodeError> {
        match self.need(name)? {
            Value::Number(v) => Ok(*v),
            Value::Integer(v) => Ok(*v as f64),
            other => Err(mismatch(name, &PortType::Number, other)),
        }
    }

    /// A text.
    #[allow(clippy::missing_errors_doc)]
    pub fn text(&self, name: &str) -> Result<&str, NodeError> {
        match self.need(name)? {
            Value::Text(v) => Ok(v),
            other => Err(mismatch(name, &PortType::Text, other)),
        }
    }

    /// A path as written, made absolute by the host.
    #[allow(clippy::missing_errors_doc)]
    pub fn path(&self, name: &str) -> Result<&str, NodeError> {
        match self.need(name)? {
            Value::Path(v) | Value::Text(v) => Ok(v),
            other => Err(mismatch(name, &PortType::Path, other)),
        }
    }

    /// An image.
    #[allow(clippy::missing_errors_doc)]
    pub fn image(&self, name: &str) -> Result<&Arc<Image>, NodeError> {
        match self.need(name)? {
            Value::Image(v) => Ok(v),
            other => Err(mismatch(name, &PortType::Image, other)),
        }
    }

    /// A mask.
    #[allow(clippy::missing_errors_doc)]
    pub fn mask(&self, name: &str) -> Result<&Arc<Mask>, NodeError> {
        match self.need(name)? {
            Value::Mask(v) => Ok(v),
            other => Err(mismatch(name, &PortType::Mask, other)),
        }
    }

    /// The elements of a list.
    #[allow(clippy::missing_errors_doc)]
    pub fn list(&self, name: &str) -> Result<&[Value], NodeError> {
        match self.need(name)? {
            Value::List(_, values) => Ok(values),
            other => Err(mismatch(name, &other.port_type().list(), other)),
        }
    }

    /// A list of images.
    #[allow(clippy::missing_errors_doc)]
    pub fn images(&self, name: &str) -> Result<Vec<&Arc<Image>>, NodeError> {
        let each = self.list(name)?.iter().map(|v| match v {
            Value::Image(i) => Ok(i),
            other => Err(mismatch(name, &PortType::Image, other)),
        });
        each.collect()
    }

    /// An opaque value as what it is.
    #[allow(clippy::missing_errors_doc)]
    pub fn native<T: NativeObject>(&self, name: &str) -> Result<Arc<T>, NodeError> {
        let value = self.need(name)?;
        match value {
            Value::Native(v) => v.downcast().ok_or_else(|| {
                NodeError::input(name, format!("`{}` comes from another build of the program", v.type_name()))
            }),
            other => Err(NodeError::input(name, format!("expected an opaque value, found `{}`", other.port_type()))),
        }
    }

    /// An opaque value that may be absent.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_native<T: NativeObject>(&self, name: &str) -> Result<Option<Arc<T>>, NodeError> {
        self.get(name).is_some().then(|| self.native(name)).transpose()
    }

    fn need(&self, name: &str) -> Result<&Value, NodeError> {
        self.get(name).ok_or_else(|| NodeError::input(name, "no value given"))
    }
}

fn mismatch(name: &str, expected: &PortType, found: &Value) -> NodeError {
    NodeError::input(name, format!("expected `{expected}`, found `{}`", found.port_type()))
}

/// Values by output port.
#[derive(Clone, Debug, Default)]
pub struct Outputs(Vec<(String, Value)>);

impl Outputs {
    /// One output.
    pub fn one(name: &str, value: impl Into<Value>) -> Self {
        Self::default().with(name, value)
    }

    /// Adds an output.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The value on a port, if any.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// Memory they hold, about.
    pub fn size_bytes(&self) -> usize {
        self.0.iter().map(|(_, v)| v.size_bytes()).sum()
    }
}
