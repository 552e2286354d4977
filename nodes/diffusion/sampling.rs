//! The denoising loop, for any model.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use burn::tensor::{DType, Device, Tensor, TensorData, read_sync};
use burn_std::{RuntimeKind, set_runtime_kind};

use crate::error::Error;
use crate::random::TorchGenerator;
use crate::schedulers::{Schedule, State, Stepper};

/// What is known after an evaluation of the model.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// Number of evaluations done, from 1.
    pub step: usize,
    /// Number of evaluations in all.
    pub total: usize,
    /// The timestep of this evaluation.
    pub timestep: f64,
    /// What the latents will be if the model is right, the sample without its noise: `[batch, channels, height, width]`,
    /// in f32.
    pub denoised: TensorData,
}

/// The latents that a run starts from when it starts from nothing: one draw of the whole batch, see [`crate::random`].
///
/// # Shapes
/// - shape, result: `[batch, channels, height, width]`, in f32
pub fn initial_latents(
    schedule: &Schedule,
    shape: [usize; 4],
    generator: &mut TorchGenerator,
    device: &Device,
) -> Tensor<4> {
    generator.randn(shape, device, DType::F32).mul_scalar(schedule.init_noise_sigma())
}

/// The latents that a run starts from when it starts from a picture: the picture's, noised to the level of the
/// schedule's first step, which [`Schedule::from_step`] chooses.
///
/// # Shapes
/// - latents, result: `[batch, channels, height, width]`, the result in f32
pub fn noised_latents(schedule: &Schedule, latents: Tensor<4>, generator: &mut TorchGenerator) -> Tensor<4> {
    let noise = generator.randn(latents.dims(), &latents.device(), DType::F32);
    schedule.add_noise(0, &latents.cast(DType::F32), &noise)
}

/// Walks the schedule from noisy latents to clean ones.
///
/// `denoise(latents, timestep, index)` evaluates the model, guidance included, on latents that are scaled for it; `index`
/// counts evaluations from 0. `on_step` hears of every evaluation, once it is really done and not only queued on the
/// device, and stops the run with an error, [`Error::Cancelled`] for one. On a device with a queue it hears so when the next
/// evaluation is queued behind it, see [`InFlight`].
///
/// The walk is in f32 whatever the model computes in: latents are small, and their rounding errors would add up.
///
/// # Shapes
/// - latents, result: `[batch, channels, height, width]`, the result in f32
/// - denoise: gets and returns `[batch, channels, height, width]`; it gets f32 and returns what it likes
///
/// # Errors
/// What `denoise` and `on_step` return, and when a model output has another shape than the latents.
pub fn sample(
    schedule: &Schedule,
    latents: Tensor<4>,
    generator: &mut TorchGenerator,
    denoise: impl FnMut(Tensor<4>, f64, usize) -> Result<Tensor<4>, Error>,
    on_step: impl FnMut(StepInfo) -> Result<(), Error>,
) -> Result<Tensor<4>, Error> {
    sample_changing(schedule, latents, generator, denoise, on_step, |latents, _| Ok(latents))
}

/// The same with latents that `after_step` changes: it gets them after each step, with the number of steps done, and gives
/// those to go on with.
///
/// # Shapes
/// - latents, result: `[batch, channels, height, width]`, the result in f32
/// - denoise: as of [`sample`]
/// - after_step: gets and returns `[batch, channels, height, width]`, in f32
///
/// # Errors
/// What the three functions return, and when a model output has another shape than the latents.
pub fn sample_changing(
    schedule: &Schedule,
    latents: Tensor<4>,
    generator: &mut TorchGenerator,
    mut denoise: impl FnMut(Tensor<4>, f64, usize) -> Result<Tensor<4>, Error>,
    mut on_step: impl FnMut(StepInfo) -> Result<(), Error>,
    mut after_step: impl FnMut(Tensor<4>, usize) -> Result<Tensor<4>, Error>,
) -> Result<Tensor<4>, Error> {
    let mut walk = Walk::new(latents, generator.clone());
    let mut in_flight = InFlight::default();
    while !walk.is_done(schedule) {
        in_flight.follow(walk.step(schedule, &mut denoise)?, &mut on_step)?;
        walk.sample = after_step(walk.sample.clone(), walk.state.index)?;
    }
    in_flight.land(&mut on_step)?;
    *generator = walk.generator;
    Ok(walk.sample)
}

/// A walk along a schedule, between two steps. Its parts are all there is to it: put together again, it goes on to the
/// same end.
///
/// # Shapes
/// - sample: `[batch, channels, height, width]`, in f32
#[derive(Clone, Debug)]
pub struct Walk {
    /// The latents so far.
    pub sample: Tensor<4>,
    /// What the sampler remembers.
    pub state: State,
    /// Of the noise to come.
    pub generator: TorchGenerator,
}

impl Walk {
    /// At the start of a schedule.
    pub fn new(latents: Tensor<4>, generator: TorchGenerator) -> Self {
        Self { sample: latents.cast(DType::F32), state: State::default(), generator }
    }

    /// Whether all steps have been taken.
    pub fn is_done(&self, schedule: &Schedule) -> bool {
        self.state.index >= schedule.len()
    }

    /// Takes one step; see [`sample`]. `denoise` has queued its work when it returns, on some devices nothing more.
    ///
    /// # Errors
    /// As [`sample`]. The walk is then where it was.
    pub fn step(
        &mut self,
        schedule: &Schedule,
        mut denoise: impl FnMut(Tensor<4>, f64, usize) -> Result<Tensor<4>, Error>,
    ) -> Result<Evaluation, Error> {
        let (device, index) = (self.sample.device(), self.state.index);
        let timestep = schedule.timestep(index);
        let input = schedule.scale_model_input(index, self.sample.clone());
        let model_output = denoise(input, timestep, index)?.cast(DType::F32);
        let denoised = schedule.denoised(index, &self.sample, &model_output);
        let evaluation = Evaluation::new([index + 1, schedule.len()], timestep, denoised);
        let mut stepper = Stepper::resume(schedule, self.state.clone());
        let noise = stepper.needs_noise().then(|| self.generator.randn(self.sample.dims(), &device, DType::F32));
        self.sample = stepper.step(self.sample.clone(), model_output, noise)?;
        self.state = stepper.into_state();
        Ok(evaluation)
    }
}

/// An evaluation of the model that the device may still be at. Its result is on the way to the host.
pub struct Evaluation {
    step: usize,
    total: usize,
    timestep: f64,
    denoised: Arriving,
}

enum Arriving {
    Here(Result<TensorData, Error>),
    OnTheWay(Pin<Box<dyn Future<Output = Result<TensorData, Error>>>>),
}

impl Evaluation {
    fn new([step, total]: [usize; 2], timestep: f64, denoised: Tensor<4>) -> Self {
        let mut read: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move {
            let failed = |e| Error::Device(format!("the device failed in step {step}: {e}"));
            denoised.into_data_async().await.map_err(failed)
        });
        // Burn would copy at the first look, after all that is queued until then, were its host not an asynchronous one.
        set_runtime_kind(RuntimeKind::Async);
        // The first poll queues the copy to the host, behind the evaluation and before all that comes after it.
        let denoised = match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(data) => Arriving::Here(data),
            Poll::Pending => Arriving::OnTheWay(read),
        };
        Self { step, total, timestep, denoised }
    }

    /// Whether waiting for it takes no time.
    fn is_here(&self) -> bool {
        matches!(self.denoised, Arriving::Here(_))
    }

    /// Waits until it is done.
    ///
    /// # Errors
    /// When the device failed.
    pub fn wait(self) -> Result<StepInfo, Error> {
        let Self { step, total, timestep, denoised } = self;
        let denoised = match denoised {
            Arriving::Here(data) => data?,
            Arriving::OnTheWay(read) => read_sync(read)?,
        };
        Ok(StepInfo { step, total, timestep, denoised })
    }
}

impl fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, total, timestep, .. } = self;
        f.debug_struct("Evaluation").field("step", step).field("total", total).field("timestep", timestep).finish()
    }
}

/// The evaluation that the device is at while the host queues the next: so neither waits for the other between two steps,
/// and no more than two are queued, so that a run can be stopped. Where the host computes itself, none is ever in flight.
#[derive(Debug, Default)]
pub struct InFlight(Option<Evaluation>);

impl InFlight {
    /// Waits for the evaluation before this one and tells of it; of this one too if it is done already.
    ///
    /// # Errors
    /// Of the device and of `on_step`.
    pub fn follow(
        &mut self,
        evaluation: Evaluation,
        mut on_step: impl FnMut(StepInfo) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.land(&mut on_step)?;
        self.0 = Some(evaluation);
        if self.0.as_ref().is_some_and(Evaluation::is_here) { self.land(on_step) } else { Ok(()) }
    }

    /// Waits for the last evaluation, if there is one, and tells of it.
    ///
    /// # Errors
    /// Of the device and of `on_step`.
    pub fn land(&mut self, mut on_step: impl FnMut(StepInfo) -> Result<(), Error>) -> Result<(), Error> {
        self.0.take().map_or(Ok(()), |evaluation| on_step(evaluation.wait()?))
    }
}

/// A rough picture of Stable Diffusion's latents, an eighth of its size, without a decoder: each pixel a linear
/// combination of the four channels.
///
/// The factors were fitted to Stable Diffusion 1.4 by least squares between latents and shrunk pictures (Kevin Turner,
/// "Decoding latents to RGB without upscaling", Hugging Face forum, 2022); the autoencoder is that of all 1.x and 2.x.
///
/// # Shapes
/// - latents: `[batch, 4, height, width]`, scaled, as the denoiser has them
/// - result: `[batch, 3, height, width]`, red, green and blue in -1..=1, on the same device
///
/// # Errors
/// When there are not four channels.
pub fn preview(latents: Tensor<4>) -> Result<Tensor<4>, Error> {
    const FACTORS: [[f32; 4]; 3] =
        [[0.298, 0.187, -0.158, -0.184], [0.207, 0.286, 0.189, -0.271], [0.208, 0.173, 0.264, -0.473]];
    let [batch, channels, height, width] = latents.dims();
    if channels != 4 {
        return Err(Error::Argument(format!("a preview needs latents of 4 channels, found {channels}")));
    }
    let factors = TensorData::new(FACTORS.concat(), [1, 3, 4]);
    let factors: Tensor<3> = Tensor::from_data(factors.convert_dtype(latents.dtype()), &latents.device());
    let pixels = factors.repeat_dim(0, batch).matmul(latents.reshape([batch, 4, height * width]));
    Ok(pixels.reshape([batch, 3, height, width]).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future;

    use super::*;
    use crate::schedulers::{PredictionType, Sampler, SchedulerConfig};
    use crate::testing::{check_close, device, fixture_values, input, tolerance, values};

    const SHAPE: [usize; 4] = [2, 4, 4, 4];

    fn schedule(sampler: Sampler, steps: usize, first_step: usize) -> Schedule {
        let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
        Schedule::from_step(&config, sampler, steps, 0.0, first_step).unwrap()
    }

    /// The fixture's trajectory, with the model that the fixtures use.
    #[test]
    fn walks_the_whole_schedule() {
        let schedule = schedule(Sampler::Ddim, 10, 0);
        let start = input("s0", [1, 4, 4, 4], 1.7);
        let mut seen = Vec::new();
        let end = sample(
            &schedule,
            start,
            &mut TorchGenerator::new(0),
            |latents, t, index| {
                seen.push((index, t));
                Ok(latents.mul_scalar(0.5).tanh().mul_scalar(0.5 + t / 2000.0))
            },
            |_| Ok(()),
        );
        let group = "sched.ddim.epsilon.leading.10";
        let (_, timesteps) = fixture_values(&format!("{group}/timesteps"));
        assert_eq!(seen, timesteps.iter().map(|t| f64::from(*t)).enumerate().collect::<Vec<_>>());
        let (shape, trajectory) = fixture_values(&format!("{group}/traj"));
        let expected = trajectory.chunks(shape[1]).next_back().unwrap();
        check_close("end", &values(&end.unwrap()), expected, tolerance(1e-5));
    }

    /// A model that knows the image: every prediction on the way is the image, and so is the end.
    #[test]
    fn starts_from_noise_or_from_a_picture() {
        let image = input("image", SHAPE, 1.0);
        for sampler in Sampler::ALL {
            for first_step in [0, 4] {
                let schedule = schedule(sampler, 8, first_step);
                let mut generator = TorchGenerator::new(5);
                let start = match first_step {
                    0 => initial_latents(&schedule, SHAPE, &mut generator, &device()),
                    _ => noised_latents(&schedule, image.clone(), &mut generator),
                };
                let sigmas = schedule.sigmas();
                let known = |latents: Tensor<4>, _, index: usize| {
                    // latents = (image + sigma noise) / sqrt(1 + sigma²)
                    let sigma = sigmas[index];
                    Ok((latents.mul_scalar(sigma.hypot(1.0)) - image.clone()).div_scalar(sigma))
                };
                let mut steps = Vec::new();
                let end = sample(&schedule, start, &mut generator, known, |info| {
                    steps.push((info.step, info.total));
                    check_close(
                        &format!("{sampler} step {}", info.step),
                        &info.denoised.try_to_vec::<f32>().unwrap(),
                        &values(&image),
                        2e-4,
                    );
                    Ok(())
                });
                assert_eq!(steps, (1..=schedule.len()).map(|s| (s, schedule.len())).collect::<Vec<_>>());
                // What end on the level of timestep 0 keep 3 % of noise.
                let ends_clean = !matches!(sampler, Sampler::Ddim | Sampler::Pndm);
                let allowed = if ends_clean { 2e-4 } else { 0.15 };
                check_close(&format!("{sampler} end"), &values(&end.unwrap()), &values(&image), allowed);
            }
        }
    }

    /// Put aside after any step and gone on with, in parts that were bytes meanwhile: the same to the last bit.
    #[test]
    fn goes_on_where_it_was() {
        for sampler in Sampler::ALL {
            let schedule = schedule(sampler, 7, 0);
            let mut generator = TorchGenerator::new(11);
            let start = initial_latents(&schedule, SHAPE, &mut generator, &device());
            let denoise =
                |latents: Tensor<4>, t: f64, _| Ok(latents.mul_scalar(0.5).tanh().mul_scalar(0.5 + t / 2000.0));
            let walk = Walk::new(start, generator);
            let finish = |mut walk: Walk| {
                while !walk.is_done(&schedule) {
                    walk.step(&schedule, denoise).unwrap();
                }
                values(&walk.sample)
            };
            let expected = finish(walk.clone());
            let mut walk = walk;
            while !walk.is_done(&schedule) {
                walk.step(&schedule, denoise).unwrap();
                let copy = |tensor: &Tensor<4>| Tensor::from_data(tensor.clone().into_data(), &device());
                let parts = Walk {
                    sample: copy(&walk.sample),
                    state: State {
                        index: walk.state.index,
                        history: walk.state.history.iter().map(copy).collect(),
                        anchor: walk.state.anchor.as_ref().map(copy),
                    },
                    generator: TorchGenerator::from_bytes(&walk.generator.to_bytes()).unwrap(),
                };
                assert_eq!(finish(parts), expected, "{sampler} after step {}", walk.state.index);
            }
        }
    }

    #[test]
    fn latents_can_be_changed_between_steps() {
        let schedule = schedule(Sampler::Ddim, 5, 0);
        let start = || input("start", SHAPE, 1.0);
        let denoise = |latents: Tensor<4>, _: f64, _: usize| Ok(latents.mul_scalar(0.5));
        let walk = |change: fn(Tensor<4>) -> Tensor<4>| {
            let mut steps = Vec::new();
            let end = sample_changing(
                &schedule,
                start(),
                &mut TorchGenerator::new(0),
                denoise,
                |_| Ok(()),
                |x, step| {
                    steps.push(step);
                    Ok(change(x))
                },
            );
            assert_eq!(steps, [1, 2, 3, 4, 5]);
            values(&end.unwrap())
        };
        let plain = sample(&schedule, start(), &mut TorchGenerator::new(0), denoise, |_| Ok(())).unwrap();
        assert_eq!(walk(|x| x), values(&plain));
        // The model is linear, so halving after each of five steps is dividing the end by 32.
        let halved: Vec<f32> = walk(|x| x.mul_scalar(0.5)).iter().map(|x| x * 32.0).collect();
        check_close("halved", &halved, &values(&plain), 1e-5);
    }

    #[test]
    fn stops_when_told() {
        let schedule = schedule(Sampler::EulerAncestral, 10, 0);
        let mut evaluations = 0;
        let end = sample(
            &schedule,
            Tensor::zeros(SHAPE, &device()),
            &mut TorchGenerator::new(0),
            |latents, _, _| {
                evaluations += 1;
                Ok(latents)
            },
            |info| if info.step == 3 { Err(Error::Cancelled) } else { Ok(()) },
        );
        assert!(matches!(end, Err(Error::Cancelled)));
        // The fourth may be queued on a GPU.
        assert!(evaluations == 3 || device() != Device::flex() && evaluations == 4, "{evaluations}");
    }

    /// As on a device with a queue: an evaluation is told of when the next is queued behind it, the last at the end.
    #[test]
    fn one_evaluation_is_in_flight() {
        let denoised = || TensorData::new(vec![0.0_f32], [1, 1, 1, 1]);
        let queued = |step| {
            let mut polls = 0;
            let read = future::poll_fn(move |context| {
                polls += 1;
                context.waker().wake_by_ref();
                if polls > 2 { Poll::Ready(Ok(denoised())) } else { Poll::Pending }
            });
            Evaluation { step, total: 3, timestep: 1.0, denoised: Arriving::OnTheWay(Box::pin(read)) }
        };
        let done = |step| Evaluation { denoised: Arriving::Here(Ok(denoised())), ..queued(step) };
        let told = RefCell::new(Vec::new());
        let tell = |info: StepInfo| {
            told.borrow_mut().push(info.step);
            if info.step == 7 { Err(Error::Cancelled) } else { Ok(()) }
        };
        let mut in_flight = InFlight::default();
        in_flight.follow(queued(1), tell).unwrap();
        assert_eq!(*told.borrow(), [0; 0]);
        in_flight.follow(queued(2), tell).unwrap();
        assert_eq!(*told.borrow(), [1]);
        in_flight.land(tell).unwrap();
        in_flight.land(tell).unwrap();
        assert_eq!(*told.borrow(), [1, 2]);
        in_flight.follow(queued(3), tell).unwrap();
        in_flight.follow(done(4), tell).unwrap();
        assert_eq!(*told.borrow(), [1, 2, 3, 4]);
        in_flight.follow(queued(7), tell).unwrap();
        assert!(matches!(in_flight.follow(queued(8), tell), Err(Error::Cancelled)));
        let failed = Evaluation { denoised: Arriving::Here(Err(Error::Device("lost".into()))), ..queued(9) };
        assert!(matches!(InFlight::default().follow(failed, tell), Err(Error::Device(_))));
    }

    #[test]
    fn a_seed_means_the_same_in_every_number_type() {
        let schedule = schedule(Sampler::DpmPp2mSdeKarras, 4, 0);
        let run = |dtype: DType| {
            let mut generator = TorchGenerator::new(9);
            let start = initial_latents(&schedule, SHAPE, &mut generator, &device());
            let zero = |latents: Tensor<4>, _, _| Ok(latents.cast(dtype).zeros_like());
            sample(&schedule, start, &mut generator, zero, |_| Ok(())).unwrap()
        };
        assert_eq!(values(&run(DType::F32)), values(&run(DType::F16)));
        assert_eq!(run(DType::F16).dtype(), DType::F32);
    }

    #[test]
    fn previews_are_colours() {
        let check = |latents: [f32; 4], expected: [f32; 3]| {
            let latents = Tensor::from_data(TensorData::new(latents.to_vec(), [1, 4, 1, 1]), &device());
            check_close("preview", &values(&preview(latents).unwrap()), &expected, 1e-6);
        };
        check([0.0; 4], [0.0; 3]);
        check([1.0, 0.0, 0.0, 0.0], [0.298, 0.207, 0.208]);
        check([1.0, 1.0, 1.0, -1.0], [0.511, 0.953, 1.0]);
        assert_eq!(preview(Tensor::zeros([2, 4, 8, 6], &device())).unwrap().dims(), [2, 3, 8, 6]);
        assert!(preview(Tensor::zeros([1, 8, 2, 2], &device())).is_err());
    }
}
