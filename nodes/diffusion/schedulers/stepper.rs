//! Walking a schedule.

use burn::tensor::Tensor;

use super::sampler::Sampler;
use super::schedule::Schedule;
use super::{ddim, dpm, euler, lcm, pndm, unipc};
use crate::error::Error;

/// One walk along a [`Schedule`].
#[derive(Clone, Debug)]
pub struct Stepper<'a> {
    schedule: &'a Schedule,
    state: State,
}

/// All that a walk remembers, so that it can be put aside and resumed: with the current sample and the generator of the
/// noise it is a whole checkpoint.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Number of steps taken.
    pub index: usize,
    /// What multistep samplers keep of earlier evaluations, newest last, `[batch, channels, height, width]` each.
    pub history: Vec<Tensor<4>>,
    /// A sample to go back to, `[batch, channels, height, width]`: where PNDM's or UniPC's last step started.
    pub anchor: Option<Tensor<4>>,
}

/// What a step is computed from, `[batch, channels, height, width]` each.
pub(super) struct Inputs {
    pub(super) sample: Tensor<4>,
    pub(super) model_output: Tensor<4>,
    /// There when [`Stepper::needs_noise`] says so.
    pub(super) noise: Option<Tensor<4>>,
}

impl<'a> Stepper<'a> {
    /// A walk from the start of the schedule.
    pub fn new(schedule: &'a Schedule) -> Self {
        Self::resume(schedule, State::default())
    }

    /// A walk put aside with [`Stepper::into_state`].
    pub fn resume(schedule: &'a Schedule, state: State) -> Self {
        Self { schedule, state }
    }

    /// Puts the walk aside.
    pub fn into_state(self) -> State {
        self.state
    }

    /// Number of steps taken, and the index of the evaluation that comes next.
    pub fn index(&self) -> usize {
        self.state.index
    }

    /// Whether the next step needs noise. It says so also where noise is drawn in diffusers but multiplied with 0, so
    /// that a generator that serves several runs stays in step with other tools.
    pub fn needs_noise(&self) -> bool {
        match self.schedule.sampler() {
            Sampler::Ddim => self.schedule.eta > 0.0,
            Sampler::DpmPp2mSdeKarras | Sampler::EulerAncestral => true,
            Sampler::Lcm => self.state.index + 1 < self.schedule.len(),
            _ => false,
        }
    }

    /// Takes the next step: from the sample and what the model said about it to the sample with less noise.
    ///
    /// # Shapes
    /// - sample, model_output, noise, result: `[batch, channels, height, width]`
    ///
    /// # Errors
    /// After the last step, without the noise that [`Stepper::needs_noise`] asks for, and when the shapes differ.
    pub fn step(
        &mut self,
        sample: Tensor<4>,
        model_output: Tensor<4>,
        noise: Option<Tensor<4>>,
    ) -> Result<Tensor<4>, Error> {
        if self.state.index >= self.schedule.len() {
            return Err(Error::Argument(format!("all {} steps have been taken", self.schedule.len())));
        }
        if self.needs_noise() != noise.is_some() {
            let problem = if noise.is_some() { "takes no noise" } else { "needs noise" };
            return Err(Error::Argument(format!("this step of `{}` {problem}", self.schedule.sampler())));
        }
        for (name, tensor) in [("model output", Some(&model_output)), ("noise", noise.as_ref())] {
            if let Some(found) = tensor.map(|t| t.dims()).filter(|dims| *dims != sample.dims()) {
                let expected = sample.dims();
                return Err(Error::Argument(format!("the {name} should have the shape {expected:?}, found {found:?}")));
            }
        }
        let inputs = Inputs { sample, model_output, noise };
        let next = match self.schedule.sampler() {
            Sampler::Ddim => ddim::step(self.schedule, &self.state, &inputs),
            Sampler::Pndm => pndm::step(self.schedule, &mut self.state, inputs),
            Sampler::DpmPp2m | Sampler::DpmPp2mKarras => dpm::step(self.schedule, &mut self.state, &inputs),
            Sampler::DpmPp2mSdeKarras => dpm::step(self.schedule, &mut self.state, &inputs),
            Sampler::Euler | Sampler::EulerKarras => euler::step(self.schedule, &self.state, &inputs),
            Sampler::EulerAncestral => euler::step(self.schedule, &self.state, &inputs),
            Sampler::Lcm => lcm::step(self.schedule, &self.state, &inputs),
            Sampler::UniPc => unipc::step(self.schedule, &mut self.state, inputs),
        };
        self.state.index += 1;
        Ok(next)
    }
}

impl State {
    /// Remembers a tensor and forgets the oldest beyond `keep`.
    pub(super) fn remember(&mut self, tensor: Tensor<4>, keep: usize) {
        self.history.push(tensor);
        let surplus = self.history.len().saturating_sub(keep);
        self.history.drain(..surplus);
    }
}

/// The sum of tensors times numbers. What is multiplied with 0 is left out, so that it may be infinite.
///
/// # Shapes
/// - all tensors, result: `[batch, channels, height, width]`
pub(super) fn combine(terms: &[(f64, &Tensor<4>)]) -> Tensor<4> {
    let mut products = terms
        .iter()
        .filter(|(factor, _)| *factor != 0.0)
        .map(|(factor, tensor)| if *factor == 1.0 { (*tensor).clone() } else { (*tensor).clone().mul_scalar(*factor) });
    let first = products.next().unwrap_or_else(|| terms[0].1.zeros_like());
    products.fold(first, |sum, product| sum + product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::TorchGenerator;
    use crate::schedulers::{PredictionType, SchedulerConfig, TimestepSpacing};
    use crate::testing::{check_close, device, fixture_names, fixture_values, input, tolerance, values};

    /// The fixtures' names of samplers, and eta.
    fn sampler(name: &str) -> (Sampler, f64) {
        match name {
            "ddim_eta1" => (Sampler::Ddim, 1.0),
            "dpmpp2m" => (Sampler::DpmPp2m, 0.0),
            "dpmpp2m_karras" => (Sampler::DpmPp2mKarras, 0.0),
            "dpmpp2m_sde_karras" => (Sampler::DpmPp2mSdeKarras, 0.0),
            name => (name.parse().unwrap(), 0.0),
        }
    }

    fn config(prediction_type: PredictionType, spacing: TimestepSpacing, sampler: Sampler) -> SchedulerConfig {
        SchedulerConfig {
            timestep_spacing: Some(spacing),
            set_alpha_to_one: Some(sampler == Sampler::Lcm),
            ..SchedulerConfig::stable_diffusion(prediction_type)
        }
    }

    /// The largest difference relative to the largest value, or infinity.
    fn difference(found: &[f32], expected: &[f32]) -> f32 {
        if found.len() != expected.len() {
            return f32::INFINITY;
        }
        let largest = expected.iter().fold(0.0_f32, |m, e| m.max(e.abs()));
        let worst = found.iter().zip(expected).map(|(a, e)| (a - e).abs());
        worst.fold(0.0, |m, d| if d.is_nan() { f32::INFINITY } else { m.max(d) }) / largest
    }

    /// What the fixtures use in the model's place.
    fn model(input: Tensor<4>, timestep: f64) -> Tensor<4> {
        input.mul_scalar(0.5).tanh().mul_scalar(0.5 + timestep / 2000.0)
    }

    /// All samples of a run, the initial one included, with the fixtures' bank of noises.
    fn trajectory(schedule: &Schedule) -> Vec<Vec<f32>> {
        let mut sample = input("s0", [1, 4, 4, 4], 1.7).mul_scalar(schedule.init_noise_sigma());
        let mut stepper = Stepper::new(schedule);
        let mut samples = vec![values(&sample)];
        let mut drawn = 0;
        for i in 0..schedule.len() {
            let output = model(schedule.scale_model_input(i, sample.clone()), schedule.timestep(i));
            let noise = stepper.needs_noise().then(|| input(&format!("sn{drawn}"), [1, 4, 4, 4], 1.7));
            drawn += usize::from(noise.is_some());
            sample = stepper.step(sample, output, noise).unwrap();
            samples.push(values(&sample));
        }
        samples
    }

    #[test]
    fn walks_as_diffusers_does() {
        let names = fixture_names("sched.");
        let groups: Vec<_> = names.iter().filter_map(|name| name.strip_suffix("/traj")).collect();
        assert_eq!(groups.len(), 126);
        let (mut worst, mut failures) = (0.0_f32, Vec::new());
        for group in groups {
            let [_, name, prediction, spacing, steps] = group.split('.').collect::<Vec<_>>()[..] else {
                panic!("{group}");
            };
            let (sampler, eta) = sampler(name);
            let prediction = serde_json::from_str(&format!("\"{prediction}\"")).unwrap();
            let spacing = serde_json::from_str(&format!("\"{spacing}\"")).unwrap();
            let config = config(prediction, spacing, sampler);
            let schedule = Schedule::new(&config, sampler, steps.parse().unwrap(), eta).unwrap();

            let mut check = |what: &str, found: &[f32], expected: &[f32]| {
                let difference = difference(found, expected);
                worst = worst.max(difference);
                if difference > 1e-5 {
                    failures.push(format!("{group}: {what} differ by {difference:e}: {found:?}, not {expected:?}"));
                }
            };
            let single = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<_>>();
            check("timesteps", &single(schedule.timesteps()), &fixture_values(&format!("{group}/timesteps")).1);
            let sigmas = format!("{group}/sigmas");
            if names.contains(&sigmas) {
                check("sigmas", &single(schedule.sigmas()), &fixture_values(&sigmas).1);
            }
            let (shape, expected) = fixture_values(&format!("{group}/traj"));
            for (i, found) in trajectory(&schedule).iter().enumerate() {
                check(&format!("samples {i}"), found, expected.chunks(shape[1]).nth(i).unwrap_or_default());
            }
        }
        eprintln!("largest relative difference of all schedules: {worst:e}");
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }

    /// A walk put aside and resumed at every step is the same walk.
    #[test]
    fn resumes_where_it_was_put_aside() {
        for sampler in Sampler::ALL {
            let config = config(PredictionType::VPrediction, TimestepSpacing::Leading, sampler);
            let schedule = Schedule::new(&config, sampler, 5, 0.0).unwrap();
            let mut sample = input("s0", [1, 4, 4, 4], 1.7).mul_scalar(schedule.init_noise_sigma());
            let mut state = State::default();
            let mut drawn = 0;
            for i in 0..schedule.len() {
                let mut stepper = Stepper::resume(&schedule, state);
                let output = model(schedule.scale_model_input(i, sample.clone()), schedule.timestep(i));
                let noise = stepper.needs_noise().then(|| input(&format!("sn{drawn}"), [1, 4, 4, 4], 1.7));
                drawn += usize::from(noise.is_some());
                sample = stepper.step(sample, output, noise).unwrap();
                state = stepper.into_state();
            }
            // Bit for bit where operations are not fused.
            let whole = trajectory(&schedule).pop().unwrap();
            check_close(sampler.name(), &values(&sample), &whole, tolerance(0.0));
        }
    }

    /// A model that knows the image brings every sampler back to it, whatever it predicts and wherever it starts. But
    /// PNDM mixes outputs of several timesteps, and of those only epsilon stays the same.
    #[test]
    fn ends_at_the_image_that_the_model_knows() {
        let predictions = [PredictionType::Epsilon, PredictionType::VPrediction, PredictionType::Sample];
        let image = input("image", [1, 4, 4, 4], 1.0);
        for (sampler, prediction_type, first_step) in
            Sampler::ALL.into_iter().flat_map(|s| predictions.map(|p| (s, p))).flat_map(|(s, p)| [(s, p, 0), (s, p, 3)])
        {
            let mut config = config(prediction_type, TimestepSpacing::Trailing, sampler);
            config.set_alpha_to_one = Some(true);
            if sampler == Sampler::Pndm && prediction_type != PredictionType::Epsilon {
                continue;
            }
            let schedule = Schedule::from_step(&config, sampler, 10, 0.0, first_step).unwrap();
            let mut generator = TorchGenerator::new(3);
            let noise = generator.randn([1, 4, 4, 4], &device(), image.dtype());
            let mut sample = schedule.add_noise(0, &image, &noise);
            let mut stepper = Stepper::new(&schedule);
            for i in 0..schedule.len() {
                // The output that a perfect model gives: the x with which `denoised` is the image.
                let (of_sample, of_output) = schedule.denoised_coefficients(i);
                let output = combine(&[(1.0 / of_output, &image), (-of_sample / of_output, &sample)]);
                let fresh = stepper.needs_noise().then(|| generator.randn([1, 4, 4, 4], &device(), image.dtype()));
                sample = stepper.step(sample, output, fresh).unwrap();
            }
            let difference = difference(&values(&sample), &values(&image));
            assert!(difference < 1e-4, "{sampler} {prediction_type:?} from {first_step}: {difference:e}");
        }
    }

    #[test]
    fn refuses_steps_that_do_not_fit() {
        let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
        let schedule = Schedule::new(&config, Sampler::Ddim, 1, 0.5).unwrap();
        let tensor = |width| Tensor::<4>::zeros([1, 4, 2, width], &device());
        let check = |stepper: &mut Stepper<'_>, output, noise: Option<Tensor<4>>, expected: &str| {
            let message = stepper.step(tensor(2), output, noise).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let mut stepper = Stepper::new(&schedule);
        check(&mut stepper, tensor(2), None, "needs noise");
        check(&mut stepper, tensor(3), Some(tensor(2)), "model output");
        check(&mut stepper, tensor(2), Some(tensor(3)), "noise should have");
        stepper.step(tensor(2), tensor(2), Some(tensor(2))).unwrap();
        check(&mut stepper, tensor(2), Some(tensor(2)), "all 1 steps");
    }
}
