//! Step hooks: what changes the latents between two steps of a walk.

use burn::tensor::{DType, Tensor, TensorData};
use dc_diffusion::schedulers::Schedule;
use dc_graph_node_api::{HookStep, InputSpec, NodeError, NodeSpec, PortType, RunContext, StepHookValue};

/// Adds the port.
pub(super) fn step_hook_port(spec: NodeSpec) -> NodeSpec {
    let hook = PortType::native(StepHookValue::TYPE_NAME);
    spec.input(InputSpec::optional("step_hook", hook, "Changes the latents after each step; plugins bring such nodes."))
}

/// The latents to go on with after `step` steps, counted from 1.
///
/// # Shapes
/// - latents, result: `[batch, channels, height, width]`, in f32
pub(super) fn after_step(
    hook: &StepHookValue,
    latents: Tensor<4>,
    schedule: &Schedule,
    step: usize,
    context: &dyn RunContext,
) -> Result<Tensor<4>, NodeError> {
    let (shape, device) = (latents.dims(), latents.device());
    let sigmas = schedule.sigmas();
    let here = HookStep {
        step,
        total: schedule.len(),
        timestep: schedule.timestep(step - 1),
        sigma: sigmas[step - 1],
        sigma_next: sigmas[step],
    };
    let read = latents.into_data().convert_dtype(DType::F32).try_into_vec::<f32>();
    let read = read.map_err(|error| NodeError::failed(format!("cannot read the latents: {error:?}")))?;
    let changed = hook.hook().step(&here, shape, read, context)?;
    let expected = shape.iter().product::<usize>();
    if changed.len() != expected {
        let found = changed.len();
        return Err(NodeError::input("step_hook", format!("gave {found} numbers, expected {expected}")));
    }
    Ok(Tensor::from_data(TensorData::new(changed, shape), &device))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use dc_diffusion::schedulers::{PredictionType, Sampler, SchedulerConfig};
    use dc_graph_node_api::StepHook;

    use super::*;
    use crate::function::testing::TestContext;

    struct Half(Arc<Mutex<Vec<HookStep>>>, usize);

    impl StepHook for Half {
        fn summary(&self) -> String {
            "half".into()
        }
        fn step(
            &self,
            step: &HookStep,
            _: [usize; 4],
            latents: Vec<f32>,
            _: &dyn RunContext,
        ) -> Result<Vec<f32>, NodeError> {
            self.0.lock().unwrap().push(*step);
            Ok(latents.iter().skip(self.1).map(|x| x / 2.0).collect())
        }
    }

    #[test]
    fn latents_go_through_the_hook() {
        let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
        let schedule = Schedule::new(&config, Sampler::Euler, 4, 0.0).unwrap();
        let device = burn::tensor::Device::flex();
        let latents = || Tensor::<4>::from_data([[[[1.0_f32, -2.0]]]], &device);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hook = StepHookValue::new(Half(seen.clone(), 0));
        let found = after_step(&hook, latents(), &schedule, 4, &TestContext::default()).unwrap();
        assert_eq!(found.into_data().try_into_vec::<f32>().unwrap(), [0.5, -1.0]);
        let step = seen.lock().unwrap()[0];
        assert_eq!((step.step, step.total, step.timestep), (4, 4, schedule.timestep(3)));
        assert!(step.sigma > 0.0 && step.sigma_next == 0.0, "{step:?}");
        let short = after_step(&StepHookValue::new(Half(seen, 1)), latents(), &schedule, 1, &TestContext::default());
        assert_eq!(short.unwrap_err().to_string(), "`step_hook`: gave 1 numbers, expected 2");
    }
}
