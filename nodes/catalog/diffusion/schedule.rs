//! The noise levels that sampling nodes walk through: by number of steps, or given as numbers.

use dc_diffusion::schedulers::{Levels, Sampler, Schedule, SchedulerConfig};
use dc_graph_node_api::{InputSpec, Inputs, NodeError, NodeSpec, PortType, Value};

use super::values::input_error;

/// Adds the ports.
pub(super) fn schedule_ports(spec: NodeSpec) -> NodeSpec {
    let samplers = Sampler::ALL.map(Sampler::name);
    spec.input(InputSpec::with_default("sampler", "ddim", "How to walk from noise to pictures.").choices(&samplers))
        .input(
            InputSpec::with_default("num_inference_steps", 50_i64, "Steps of the walk; 50 in the paper.")
                .range(1.0..=1000.0),
        )
        .input(InputSpec::optional(
            "sigmas",
            PortType::Number.list(),
            "The noise levels to walk through, falling, in the place of `num_inference_steps`: about 14.6 to 0.03 for Stable Diffusion.",
        ))
        .input(InputSpec::optional(
            "timesteps",
            PortType::Number.list(),
            "The training timesteps to walk through, falling from 999 at most, in the place of `num_inference_steps`.",
        ))
        .input(
            InputSpec::with_default("eta", 0.0, "Fresh noise of `ddim`: 0 is deterministic, 1 is DDPM.")
                .range(0.0..=1.0),
        )
}

/// The schedule that the ports name, without the part that `strength` leaves out, and how many steps that is.
pub(super) fn schedule(
    inputs: &Inputs,
    config: &SchedulerConfig,
    strength: f64,
) -> Result<(Schedule, usize), NodeError> {
    let sampler = inputs.text("sampler")?.parse::<Sampler>().map_err(input_error("sampler"))?;
    let eta = inputs.number("eta")?;
    let first = |steps: usize| steps.saturating_sub(((steps as f64 * strength).round() as usize).max(1));
    let (levels, port) = match (numbers(inputs, "sigmas"), numbers(inputs, "timesteps")) {
        (None, None) => {
            let steps = inputs.integer("num_inference_steps")?.max(1) as usize;
            let schedule = Schedule::from_step(config, sampler, steps, eta, first(steps));
            return Ok((schedule.map_err(input_error("num_inference_steps"))?, first(steps)));
        }
        (Some(sigmas), None) => (Levels::Sigmas(sigmas), "sigmas"),
        (None, Some(timesteps)) => (Levels::Timesteps(timesteps), "timesteps"),
        (Some(_), Some(_)) => {
            return Err(NodeError::input("timesteps", "both `sigmas` and `timesteps` are given").with_hint("give one"));
        }
    };
    let first = first(levels.num_inference_steps());
    let schedule = Schedule::from_levels(config, sampler, &levels, eta, first).map_err(input_error(port))?;
    Ok((schedule, first))
}

fn numbers(inputs: &Inputs, name: &str) -> Option<Vec<f64>> {
    let Some(Value::List(_, elements)) = inputs.get(name) else { return None };
    Some(elements.iter().map(|element| if let Value::Number(number) = element { *number } else { f64::NAN }).collect())
}

#[cfg(test)]
mod tests {
    use dc_diffusion::schedulers::PredictionType;

    use super::*;

    fn check(inputs: Inputs, strength: f64) -> Result<(usize, usize), String> {
        let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
        let inputs = inputs.with("sampler", "euler").with("eta", 0.0).with("num_inference_steps", 10);
        let found = schedule(&inputs, &config, strength);
        found.map(|(schedule, first)| (schedule.len(), first)).map_err(|error| error.to_string())
    }

    fn list(numbers: &[f64]) -> Value {
        Value::list(PortType::Number, numbers.iter().map(|n| Value::Number(*n)).collect::<Vec<_>>())
    }

    #[test]
    fn by_number_or_by_numbers() {
        let sigmas = || Inputs::default().with("sigmas", list(&[10.0, 5.0, 1.0, 0.1, 0.0]));
        assert_eq!(check(Inputs::default(), 1.0), Ok((10, 0)));
        assert_eq!(check(Inputs::default(), 0.5), Ok((5, 5)));
        assert_eq!(check(sigmas(), 1.0), Ok((4, 0)));
        assert_eq!(check(sigmas(), 0.5), Ok((2, 2)));
        assert_eq!(check(sigmas(), 0.01), Ok((1, 3)));
        assert_eq!(check(Inputs::default().with("timesteps", list(&[900.0, 20.5])), 1.0), Ok((2, 0)));
        let both = check(sigmas().with("timesteps", list(&[1.0])), 1.0);
        assert_eq!(both, Err("`timesteps`: both `sigmas` and `timesteps` are given".into()));
        let empty = check(Inputs::default().with("sigmas", list(&[])), 1.0).unwrap_err();
        assert!(empty.starts_with("`sigmas`: "), "{empty}");
        let rising = check(Inputs::default().with("sigmas", list(&[1.0, 2.0])), 1.0).unwrap_err();
        assert!(rising.contains("must fall"), "{rising}");
    }
}
