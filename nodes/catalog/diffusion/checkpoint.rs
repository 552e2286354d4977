//! A walk put aside between two steps, so that a run that was killed goes on with the same bits.

use burn::tensor::Device;
use dc_diffusion::random::TorchGenerator;
use dc_diffusion::sampling::Walk;
use dc_diffusion::schedulers::{Schedule, State};
use dc_graph_node_api::{ElementType, LogLevel, NodeError, Portable, RunContext, Tensor};

use super::portable::{pack, unpack};

/// A walk is put aside every so many steps.
const EVERY: usize = 5;
const TYPE_NAME: &str = "dc:walk";

/// Puts a walk aside when it is time to. That this fails is no reason to stop.
pub(super) fn put_aside(walk: &Walk, schedule: &Schedule, context: &dyn RunContext) {
    if !walk.state.index.is_multiple_of(EVERY) || walk.is_done(schedule) {
        return;
    }
    match apart(walk) {
        Ok(portable) => context.checkpoint(&portable.to_bytes()),
        Err(error) => context.log(LogLevel::Warning, &format!("the walk so far is not kept: {error}")),
    }
}

/// The walk that an earlier run put aside, if there is one of this shape and schedule.
///
/// # Shapes
/// - shape: `[batch, channels, height, width]`
pub(super) fn take_up(
    shape: [usize; 4],
    schedule: &Schedule,
    device: &Device,
    context: &dyn RunContext,
) -> Option<Walk> {
    let walk = together(&Portable::from_bytes(&context.restore()?).ok()?, device)?;
    let mut parts = walk.state.history.iter().chain(&walk.state.anchor).chain([&walk.sample]);
    let fits = walk.state.index < schedule.len() && parts.all(|part| part.dims() == shape);
    drop(parts);
    if fits {
        let (step, total) = (walk.state.index, schedule.len());
        context.log(LogLevel::Info, &format!("goes on after step {step} of {total}, where an earlier run stopped"));
    }
    fits.then_some(walk)
}

fn apart(walk: &Walk) -> Result<Portable, NodeError> {
    let generator = walk.generator.to_bytes();
    let mut portable = Portable::new(TYPE_NAME)
        .text("index", walk.state.index.to_string())
        .tensor("generator", Tensor::new(vec![generator.len()], ElementType::U8, generator)?)
        .tensor("sample", pack(&walk.sample)?);
    for (n, tensor) in walk.state.history.iter().enumerate() {
        portable = portable.tensor(&format!("history.{n}"), pack(tensor)?);
    }
    if let Some(anchor) = &walk.state.anchor {
        portable = portable.tensor("anchor", pack(anchor)?);
    }
    Ok(portable)
}

fn together(portable: &Portable, device: &Device) -> Option<Walk> {
    if portable.type_name != TYPE_NAME {
        return None;
    }
    let has = |name: &str| portable.tensors.iter().any(|(n, _)| n == name);
    let tensor = |name: &str| Some(unpack::<4>(portable, name).ok()?.to_device(device));
    let names = (0..).map(|n| format!("history.{n}")).take_while(|name| has(name));
    Some(Walk {
        sample: tensor("sample")?,
        state: State {
            index: portable.get_text("index").ok()?.parse().ok()?,
            history: names.map(|name| tensor(&name)).collect::<Option<_>>()?,
            anchor: if has("anchor") { Some(tensor("anchor")?) } else { None },
        },
        generator: TorchGenerator::from_bytes(portable.get_tensor("generator").ok()?.bytes())?,
    })
}

#[cfg(test)]
mod tests {
    use dc_diffusion::sampling::initial_latents;
    use dc_diffusion::schedulers::{PredictionType, Sampler, SchedulerConfig};

    use super::*;
    use crate::function::testing::TestContext;

    const SHAPE: [usize; 4] = [1, 4, 4, 6];

    /// Every sampler has states of its own: what it remembers comes back to the last bit, after every step.
    #[test]
    fn apart_and_together_is_the_same_walk() {
        let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
        for sampler in Sampler::ALL {
            let eta = if sampler == Sampler::Ddim { 0.5 } else { 0.0 };
            let schedule = Schedule::from_step(&config, sampler, 6, eta, 0).unwrap();
            let mut generator = TorchGenerator::new(3);
            let start = initial_latents(&schedule, SHAPE, &mut generator, &Device::flex());
            let mut walk = Walk::new(start, generator);
            while !walk.is_done(&schedule) {
                walk.step(&schedule, |latents, _, _| Ok(latents.mul_scalar(0.3))).unwrap();
                let portable = apart(&walk).unwrap();
                let bytes = portable.to_bytes();
                let there = together(&Portable::from_bytes(&bytes).unwrap(), &Device::flex()).unwrap();
                assert_eq!(apart(&there).unwrap().to_bytes(), bytes, "{sampler}");
                assert_eq!(there.state.index, walk.state.index);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_taken_up() {
        let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
        let schedule = Schedule::from_step(&config, Sampler::Ddim, 10, 0.0, 0).unwrap();
        let mut walk = Walk::new(burn::Tensor::zeros(SHAPE, &Device::flex()), TorchGenerator::new(3));
        while walk.state.index < EVERY {
            walk.step(&schedule, |latents, _, _| Ok(latents)).unwrap();
        }
        let context = TestContext::default();
        put_aside(&walk, &schedule, &context);
        let take_up = |shape, schedule: &Schedule| take_up(shape, schedule, &Device::flex(), &context);
        assert_eq!(take_up(SHAPE, &schedule).unwrap().state.index, EVERY);
        assert!(take_up([2, 4, 4, 6], &schedule).is_none());
        let short = Schedule::from_step(&config, Sampler::Ddim, EVERY, 0.0, 0).unwrap();
        assert!(take_up(SHAPE, &short).is_none());
        context.checkpoint(b"something else");
        assert!(take_up(SHAPE, &schedule).is_none());
    }
}
