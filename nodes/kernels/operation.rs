//! How a kernel reaches Burn's tensors.
//!
//! Burn chooses the backend of a [`Tensor`] at run time, and offers `#[backend_extension]` to add operations: a trait
//! with one implementation a backend and one for `Autodiff<B, C>`, for each operation. Here all operations run on one
//! backend, Flex, and differ only in two functions on slices. So [`apply`] unwraps the tensor itself, with the
//! conversions that Burn makes public for extensions, and records the gradient once for all operations. Other devices
//! never come here: each public function asks [`on_cpu`] first and takes Burn's operators where it says no. (So fusion,
//! which is between Burn and its GPU backends, is not concerned either.)

use std::fmt::Debug;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{
    AutodiffBackend, BackendTensor, DispatchAutodiffContext, DispatchDevice, DispatchKindConversion, DispatchTensor,
    Flex, GradientCheckpointingStrategy,
};
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use crate::array::{narrowed, widened};

/// An operation with `N` inputs and one output, of float32 on the CPU, and its gradient.
pub(crate) trait Operation<const N: usize>: Debug + Send + 'static {
    /// What the gradient needs besides the output's: inputs (cheap to keep, tensors share their memory) and statistics.
    type Saved: Clone + Debug + Send + 'static;

    /// Whether inputs come as they are: otherwise those in half precision are widened to float32 before.
    fn takes_half(&self) -> bool {
        false
    }

    /// The output, and what [`Self::backward`] will need. Inputs may have any strides.
    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved);

    /// The gradients of the inputs that are `wanted`, from the output's. The others may be given or not.
    fn backward(&self, saved: Self::Saved, grad: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// Whether a tensor's operations are those of this crate: on the CPU, in float32, or in half precision without autodiff.
pub(crate) fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    let computes = match tensor.dtype() {
        DType::F32 => true,
        DType::F16 | DType::BF16 => !device.is_autodiff(),
        _ => false,
    };
    let device = device.inner();
    // With no other backend built in, there is nothing else that a device could be.
    #[allow(irrefutable_let_patterns)]
    let is_flex = matches!(device.as_dispatch(), DispatchDevice::Flex(_));
    computes && is_flex
}

/// Runs an operation, and records its gradient where an input is tracked by autodiff. Inputs that are not are constants.
///
/// Half precision is storage: inputs are widened to float32, if not [`Operation::takes_half`], and the output has the number
/// type of the first input.
///
/// # Panics
/// When an input is not [`on_cpu`].
pub(crate) fn apply<O: Operation<N>, const N: usize>(operation: O, inputs: [DispatchTensor; N]) -> DispatchTensor {
    let context = inputs.iter().fold(DispatchAutodiffContext::Disabled, |context, x| context.merge(x.autodiff));
    match context {
        DispatchAutodiffContext::Disabled => {
            let inputs = inputs.map(constant);
            let dtype = inputs[0].dtype();
            let inputs = if operation.takes_half() { inputs } else { inputs.map(widened) };
            let (output, _) = operation.forward(inputs);
            let output = narrowed(output, dtype);
            <DispatchTensor as DispatchKindConversion<Flex>>::from_backend(BackendTensor::Float(output))
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Disabled) => {
            record::<_, NoCheckpointing, N>(operation, inputs)
        }
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Balanced) => {
            record::<_, BalancedCheckpointing, N>(operation, inputs)
        }
    }
}

fn constant(tensor: DispatchTensor) -> FlexTensor {
    let tensor = <DispatchTensor as DispatchKindConversion<Flex>>::try_into_backend(tensor);
    tensor.unwrap_or_else(|e| panic!("a kernel for the CPU got another tensor: {e}")).float()
}

fn record<O, C, const N: usize>(operation: O, inputs: [DispatchTensor; N]) -> DispatchTensor
where
    O: Operation<N>,
    C: CheckpointStrategy,
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let inputs = inputs.map(|tensor| match tensor.autodiff {
        DispatchAutodiffContext::Disabled => <Autodiff<Flex, C> as AutodiffBackend>::from_inner(constant(tensor)),
        DispatchAutodiffContext::Enabled(_) => {
            let tensor = <DispatchTensor as DispatchKindConversion<Autodiff<Flex, C>>>::try_into_backend(tensor);
            tensor.unwrap_or_else(|e| panic!("a kernel for the CPU got another tensor: {e}")).float()
        }
    });
    let nodes = inputs.each_ref().map(|input| input.node());
    let (output, saved) = operation.forward(inputs.map(|input| input.into_primitive()));
    let output = match Recorded(operation).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(saved, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    <DispatchTensor as DispatchKindConversion<Autodiff<Flex, C>>>::from_backend(BackendTensor::Float(output))
}

/// An operation in autodiff's graph.
#[derive(Debug)]
struct Recorded<O>(O);

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Recorded<O> {
    type State = O::Saved;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = self.0.backward(ops.state, grad, wanted);
        for (parent, found) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(found)) = (parent, found) {
                grads.register::<Flex>(parent.id, found);
            }
        }
    }
}
