//! The ports that all trainings share.

use std::path::PathBuf;

use burn::tensor::DType;
use dc_diffusion::training::{Habits, Muon, Optimizer, Schedule};
use dc_graph_node_api::{InputSpec, Inputs, NodeError, NodeSpec, RunContext};

use crate::image::path_pattern::{inside, place};

/// What a training starts with where its graph does not say.
pub(crate) struct Defaults {
    pub(crate) folder: &'static str,
    pub(crate) steps: i64,
    pub(crate) batch_size: i64,
    pub(crate) learning_rate: f64,
    pub(crate) warmup_steps: i64,
    pub(crate) show_every: i64,
}

/// Adds the ports.
pub(crate) fn ports(spec: NodeSpec, defaults: &Defaults) -> NodeSpec {
    const STEPS: f64 = 1e9;
    spec.on_device()
        .with_effect()
        .input(InputSpec::with_default(
            "folder",
            defaults.folder,
            "Where states, log, curve, sheets and the result go, below the output folder. A run that was interrupted goes on from what is there, with the very numbers of one that was not.",
        ))
        .input(InputSpec::with_default("steps", defaults.steps, "Of the whole run; the learning rate falls towards them.").range(1.0..=STEPS))
        .input(InputSpec::with_default("batch_size", defaults.batch_size, "Pictures that are computed at once.").range(1.0..=4096.0))
        .input(InputSpec::with_default("accumulate", 1_i64, "Batches whose gradients make a step.").range(1.0..=4096.0))
        .input(InputSpec::with_default("learning_rate", defaults.learning_rate, "At its highest.").range(0.0..=1.0))
        .input(InputSpec::with_default("warmup_steps", defaults.warmup_steps, "Steps until it is there; then it falls by half a cosine.").range(0.0..=STEPS))
        .input(InputSpec::with_default("optimizer", "adamw", "`muon` makes the steps of hidden matrices orthogonal, which takes a small model further in the same time; everything else takes AdamW's.").choices(&["adamw", "muon"]))
        .input(InputSpec::with_default("weight_decay", 0.01, "How much of the weights is taken away in a step, times the learning rate.").range(0.0..=1.0))
        .input(InputSpec::with_default("max_gradient_norm", 1.0, "Longer gradients are shortened to it; 0 leaves them as they are.").range(0.0..=1e6))
        .input(InputSpec::with_default("average_decay", 0.999, "How much of the average of the weights, which is the result, each step keeps.").range(0.0..=1.0))
        .input(InputSpec::with_default("seed", 0_i64, "Of the initial weights and of all that is drawn.").range(0.0..=9_007_199_254_740_991.0))
        .input(InputSpec::with_default("checkpoint_every", 500_i64, "Steps between states on the disk; stopping with Ctrl-C saves one, too.").range(1.0..=STEPS))
        .input(InputSpec::with_default("keep", 2_i64, "States that are kept.").range(1.0..=1000.0))
        .input(InputSpec::with_default("show_every", defaults.show_every, "Steps between sheets of sample pictures and measurements on held-out triplets; 0 is never.").range(0.0..=STEPS))
        .input(InputSpec::with_default("max_minutes", 0.0, "Stop after this time with the result so far; 0 is no limit. Running again goes on.").range(0.0..=1e6))
}

/// How long and how fast.
pub(crate) fn schedule(inputs: &Inputs) -> Result<Schedule, NodeError> {
    let number = |name: &str| inputs.number(name).map(|v| v as f32);
    Ok(Schedule {
        steps: count(inputs, "steps")?,
        accumulate: count(inputs, "accumulate")?.max(1),
        learning_rate: inputs.number("learning_rate")?,
        warmup_steps: count(inputs, "warmup_steps")?,
        optimizer: Optimizer {
            weight_decay: number("weight_decay")?,
            max_gradient_norm: number("max_gradient_norm")?,
            average_decay: number("average_decay")?,
            muon: (inputs.text("optimizer")? == "muon").then(Muon::default),
            ..Optimizer::default()
        },
    })
}

/// What may differ between the parts of a run.
pub(crate) fn habits(inputs: &Inputs) -> Result<Habits, NodeError> {
    let minutes = inputs.number("max_minutes")?;
    Ok(Habits {
        checkpoint_every: count(inputs, "checkpoint_every")?,
        keep: count(inputs, "keep")? as usize,
        show_every: count(inputs, "show_every")?,
        max_seconds: (minutes > 0.0).then_some(minutes * 60.0),
    })
}

/// The run's folder, which is made.
pub(crate) fn folder(inputs: &Inputs, context: &dyn RunContext) -> Result<PathBuf, NodeError> {
    let folder = place(context.output_dir(), &inside(inputs.text("folder")?)?)?;
    std::fs::create_dir_all(&folder).map_err(|source| NodeError::File { path: folder.clone(), source })?;
    Ok(folder)
}

/// An integer that is not negative.
pub(crate) fn count(inputs: &Inputs, name: &str) -> Result<u64, NodeError> {
    Ok(inputs.integer(name)?.max(0) as u64)
}

/// Refuses to train in half precision, in which small gradients vanish.
pub(crate) fn require_f32(dtype: DType) -> Result<(), NodeError> {
    if dtype == DType::F32 {
        return Ok(());
    }
    Err(NodeError::failed(format!("training needs models in f32, this one is in {}", dtype.name()))
        .with_hint("give `Load Model` the dtype `f32`, or run with `--dtype f32`"))
}

/// A list of numbers, written `64,96,128`.
pub(crate) fn numbers(inputs: &Inputs, name: &str) -> Result<Vec<usize>, NodeError> {
    let numbers = inputs.text(name)?.split(',').map(|n| n.trim().parse::<usize>()).collect::<Result<Vec<_>, _>>();
    numbers.map_err(|_| NodeError::input(name, "is no list of whole numbers").with_hint("write `64,96,128`"))
}
