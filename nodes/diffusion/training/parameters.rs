//! The parameters of a model outside of it: in float32 on the host, with all that an optimiser keeps of each.
//!
//! Models stay Burn modules that read their tensors by the names of checkpoints. Which parameter of a module came from
//! which tensor is found out by loading the model once from a source of marked tensors, so there is no second table of
//! names that could disagree with the first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};

use crate::error::Error;
use crate::weights::{TensorSource, Weights};

/// One parameter and its state. All vectors are of one length, in the layout of the module.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// In checkpoints.
    pub name: String,
    /// In the module.
    pub shape: Vec<usize>,
    /// In checkpoints: that of the module, or its transpose (linear layers), or that of a 1x1 convolution.
    pub stored_shape: Vec<usize>,
    /// Whether a checkpoint holds its transpose.
    pub transposed: bool,
    /// Whether training leaves it alone.
    pub frozen: bool,
    /// What the model computes with.
    pub value: Vec<f32>,
    /// Summed over the batches of a step.
    pub gradient: Vec<f32>,
    /// Running mean of the gradient.
    pub moment_1: Vec<f32>,
    /// Running mean of its square.
    pub moment_2: Vec<f32>,
    /// Running mean of the value: what a trained model is saved with.
    pub average: Vec<f32>,
}

/// All parameters of a model, in the order in which the module has them.
#[derive(Clone, Debug)]
pub struct Parameters(pub Vec<Parameter>);

/// Which of a parameter's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// [`Parameter::value`]
    Value,
    /// [`Parameter::average`]
    Average,
}

impl Parameters {
    /// The parameters of `model`, which `load` makes from a cursor. `frozen` says by name what training leaves alone.
    ///
    /// # Errors
    /// Those of `load`, and when the model is not what `load` makes.
    pub fn of<M: Module>(
        model: &M,
        load: impl FnOnce(&Weights) -> Result<M, Error>,
        frozen: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let marks = Arc::new(Marks::default());
        let marked = load(&Weights::new(marks.clone(), &Device::flex(), DType::F32))?;
        let names = marks.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (marked, values) = (read(&marked), read(model));
        let parameters = marked.into_iter().zip(values).map(|((_, mark), (shape, value))| {
            let (name, stored_shape) = names.get(mark[0] as usize).cloned().unwrap_or_default();
            let zeros = vec![0.0; value.len()];
            Parameter {
                transposed: mark.get(1) == Some(&0.0),
                frozen: frozen(&name),
                name,
                shape,
                stored_shape,
                gradient: zeros.clone(),
                moment_1: zeros.clone(),
                moment_2: zeros,
                average: value.clone(),
                value,
            }
        });
        let parameters: Vec<_> = parameters.collect();
        if parameters.len() != names.len() || parameters.iter().any(|p| p.name.is_empty()) {
            let (found, expected) = (parameters.len(), names.len());
            return Err(Error::Argument(format!("a model of {expected} tensors has {found} parameters")));
        }
        Ok(Self(parameters))
    }

    /// `model` with these values: `training` on the autodiff side of `device`, else plainly.
    pub fn assign<M: Module>(&self, model: M, kept: Kept, device: &Device, training: bool) -> M {
        model.map(&mut Assign { parameters: self.0.iter(), kept, device: device.clone().inner(), training })
    }

    /// Adds `scale` times the gradients of a backward pass of `model`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn add_gradients<M: Module>(&mut self, model: &M, gradients: Gradients, scale: f32) -> Result<(), Error> {
        let mut gather = Gather { parameters: self.0.iter_mut(), gradients, scale, failed: None };
        model.visit(&mut gather);
        gather.failed.map_or(Ok(()), Err)
    }

    /// The tensors as a checkpoint has them.
    pub fn tensors(&self, kept: Kept) -> BTreeMap<String, TensorData> {
        self.0.iter().map(|p| (p.name.clone(), p.tensor(kept))).collect()
    }

    /// Number of values that are trained.
    pub fn num_trained(&self) -> usize {
        self.0.iter().filter(|p| !p.frozen).map(|p| p.value.len()).sum()
    }
}

impl Parameter {
    fn kept(&self, kept: Kept) -> &Vec<f32> {
        match kept {
            Kept::Value => &self.value,
            Kept::Average => &self.average,
        }
    }

    fn tensor(&self, kept: Kept) -> TensorData {
        let values = self.kept(kept);
        let values = match (self.transposed, self.shape.as_slice()) {
            (true, &[rows, columns]) => {
                (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
            }
            _ => values.clone(),
        };
        TensorData::new(values, self.stored_shape.clone())
    }
}

/// Shapes and values of a module's parameters.
fn read<M: Module>(model: &M) -> Vec<(Vec<usize>, Vec<f32>)> {
    struct Read(Vec<(Vec<usize>, Vec<f32>)>);
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let shape = value.dims().to_vec();
            let data = value.into_data().convert::<f32>();
            self.0.push((shape, data.try_to_vec().unwrap_or_default()));
        }
    }
    let mut found = Read(Vec::new());
    model.visit(&mut found);
    found.0
}

struct Assign<'a> {
    parameters: std::slice::Iter<'a, Parameter>,
    kept: Kept,
    device: Device,
    training: bool,
}

impl ModuleMapper for Assign<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(parameter) = self.parameters.next() else { return param };
        let data = TensorData::new(parameter.kept(self.kept).clone(), parameter.shape.clone());
        let tensor = Tensor::<D>::from_data(data, (&self.device, DType::F32));
        let trained = self.training && !parameter.frozen;
        Param::initialized(param.id, if trained { tensor.autodiff().require_grad() } else { tensor })
    }
}

struct Gather<'a> {
    parameters: std::slice::IterMut<'a, Parameter>,
    gradients: Gradients,
    scale: f32,
    failed: Option<Error>,
}

impl ModuleVisitor for Gather<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(parameter) = self.parameters.next().filter(|p| !p.frozen) else { return };
        // A parameter that the loss does not depend on has no gradient.
        let Some(gradient) = param.val().grad_remove(&mut self.gradients) else { return };
        let data = gradient.into_data();
        match data.as_slice::<f32>() {
            Ok(values) => {
                for (sum, value) in parameter.gradient.iter_mut().zip(values) {
                    *sum += self.scale * value;
                }
            }
            Err(error) => self.failed = Some(Error::Device(format!("the device gave no gradient: {error:?}"))),
        }
    }
}

/// Tensors that say which they are, by their first element, and how they are laid out, by their second.
#[derive(Default)]
struct Marks(Mutex<Vec<(String, Vec<usize>)>>);

impl TensorSource for Marks {
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = vec![0.0_f32; shape.iter().product()];
        values[0] = names.len() as f32;
        if let Some(second) = values.get_mut(1) {
            *second = 1.0;
        }
        names.push((name.into(), shape.to_vec()));
        Ok(TensorData::new(values, shape.to_vec()))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn origin(&self) -> String {
        "marks".into()
    }
}
