//! Step hooks: what changes latents between the steps of a sampler, without knowing the sampler.

use crate::context::RunContext;
use crate::error::NodeError;
use crate::value::NativeObject;

/// Where a sampler is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HookStep {
    /// Steps done, from 1 to `total`.
    pub step: usize,
    /// Steps in all.
    pub total: usize,
    /// The timestep of the step just done.
    pub timestep: f64,
    /// The noise level that the step just done started from: the standard deviation over a signal of variance 1.
    pub sigma: f64,
    /// The noise level that the latents have now; 0 after the last step.
    pub sigma_next: f64,
}

/// Changes latents after each step of a sampler.
pub trait StepHook: Send + Sync + 'static {
    /// What a person wants to know about it in one line: the node it comes from and its settings.
    fn summary(&self) -> String;

    /// Gives the latents to go on with, of the same shape: `[batch, channels, height, width]`, row-major.
    ///
    /// # Errors
    /// Why it could not; [`NodeError::Cancelled`] when the context asked to stop.
    fn step(
        &self,
        step: &HookStep,
        shape: [usize; 4],
        latents: Vec<f32>,
        context: &dyn RunContext,
    ) -> Result<Vec<f32>, NodeError>;
}

/// A step hook as a value. Its port type is `dc:step-hook`.
pub struct StepHookValue(Box<dyn StepHook>);

impl StepHookValue {
    /// The port type.
    pub const TYPE_NAME: &'static str = "dc:step-hook";

    /// Wraps a hook.
    pub fn new(hook: impl StepHook) -> Self {
        Self(Box::new(hook))
    }

    /// The hook.
    pub fn hook(&self) -> &dyn StepHook {
        &*self.0
    }
}

impl NativeObject for StepHookValue {
    fn type_name(&self) -> &'static str {
        Self::TYPE_NAME
    }

    fn summary(&self) -> String {
        self.0.summary()
    }

    fn size_bytes(&self) -> usize {
        0
    }
}
