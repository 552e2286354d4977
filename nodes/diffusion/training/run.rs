//! The training loop, for any model: draws batches ahead on a thread, takes steps, keeps its state.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::optimizer::Optimizer;
use super::parameters::{Kept, Parameters};
use super::schedule::learning_rate;
use super::state::{Record, RunFolder};
use crate::error::Error;

/// What is learned, from what, and how that is looked at.
pub trait Task: Sync {
    /// The part that is trained.
    type Model: Module;
    /// A batch as it is drawn on the host.
    type Batch: Send;

    /// A batch, by its number alone.
    ///
    /// # Errors
    /// Of the data set.
    fn draw(&self, batch: u64) -> Result<Self::Batch, Error>;

    /// The loss of a batch: one number on the autodiff side.
    ///
    /// # Errors
    /// When batch and model do not fit each other.
    fn loss(&self, model: &Self::Model, batch: Self::Batch) -> Result<Tensor<1>, Error>;

    /// What to log of the averaged model on held-out triplets.
    ///
    /// # Errors
    /// Of the data set and the model.
    fn measure(&self, model: &Self::Model) -> Result<BTreeMap<String, f64>, Error>;

    /// Pictures of what the averaged model can do, for a sheet.
    ///
    /// # Shapes
    /// - result: `[pictures, 3, height, width]` in -1..=1
    ///
    /// # Errors
    /// Of the data set and the model.
    fn show(&self, model: &Self::Model) -> Result<Tensor<4>, Error>;
}

/// How long and how fast. What is in here makes a run the run it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps of the whole run: the learning rate ends with them.
    pub steps: u64,
    /// Batches that make a step.
    pub accumulate: u64,
    /// At its highest.
    pub learning_rate: f64,
    /// Steps until it is there.
    pub warmup_steps: u64,
    /// The rest of a step.
    pub optimizer: Optimizer,
}

/// What may differ between the parts of a run that was interrupted.
#[derive(Clone, Debug, PartialEq)]
pub struct Habits {
    /// Steps between states on the disk.
    pub checkpoint_every: u64,
    /// How many states are kept.
    pub keep: usize,
    /// Steps between measurements and sheets; 0 is never.
    pub show_every: u64,
    /// Stop after this time, as if done.
    pub max_seconds: Option<f64>,
}

/// What a run tells on its way. Whoever listens stops the run with [`Error::Cancelled`]; its state is saved first.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and a tensor is a handle")]
pub enum Event<'a> {
    /// A step is done. The history ends with it.
    Step {
        /// All steps so far, those of earlier parts of the run too.
        history: &'a [Record],
        /// Of the whole run.
        steps: u64,
        /// An estimate, from the last steps.
        remaining_seconds: f64,
    },
    /// Pictures of what the model can do after a step. Shapes as in [`Task::show`].
    Show {
        /// After this step.
        step: u64,
        /// The pictures.
        pictures: Tensor<4>,
    },
}

/// Trains `model` from the state that `folder` holds, or from its own values.
///
/// `identity` names the data and the settings of the task; with `schedule` it decides whether a state belongs to this run.
/// Returns the parameters and the number of steps done, fewer than planned where time was up.
///
/// # Errors
/// When the folder holds another run, the loss is no number, and what task, listener and file system say.
#[allow(clippy::too_many_arguments)]
pub fn train<T: Task>(
    task: &T,
    model: T::Model,
    parameters: &mut Parameters,
    device: &Device,
    schedule: &Schedule,
    habits: &Habits,
    (folder, identity): (&Path, &str),
    mut listen: impl FnMut(Event<'_>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let folder = RunFolder::open(folder)?;
    let settings = serde_json::to_string(schedule).map_err(|e| Error::Argument(e.to_string()))?;
    let identity = format!("{identity} {settings}");
    let mut done = folder.resume(parameters, &identity)?;
    let mut history = folder.log_until(done)?;
    let first = done;
    let started = Instant::now();
    let mut model = parameters.assign(model, Kept::Value, device, true);
    let plain =
        |model: &T::Model, parameters: &Parameters| parameters.assign(model.clone(), Kept::Average, device, false);
    let ended = std::thread::scope(|scope| {
        let (send, batches) = sync_channel(2);
        let wanted = done * schedule.accumulate..schedule.steps * schedule.accumulate;
        // The receiver goes away when the run ends before its time.
        scope.spawn(move || wanted.map(|batch| send.send(task.draw(batch))).take_while(Result::is_ok).count());
        while done < schedule.steps {
            let began = Instant::now();
            let mut loss = 0.0;
            for _ in 0..schedule.accumulate {
                let batch = batches.recv().map_err(|_| Error::Argument("no more batches".into()))??;
                let part = task.loss(&model, batch)?;
                let gradients = part.backward();
                loss += f64::from(part.into_scalar::<f32>()) / schedule.accumulate as f64;
                parameters.add_gradients(&model, gradients, 1.0 / schedule.accumulate as f32)?;
            }
            let rate = learning_rate(schedule.learning_rate, done, schedule.warmup_steps, schedule.steps);
            let gradient_norm = schedule.optimizer.step(parameters, done + 1, rate);
            if !loss.is_finite() || !gradient_norm.is_finite() {
                let what = format!("the loss of step {} is {loss}, its gradient's norm {gradient_norm}", done + 1);
                return Err(Error::Argument(format!("{what}: a lower learning rate or a longer warm-up may help")));
            }
            model = parameters.assign(model, Kept::Value, device, true);
            done += 1;
            let shows = habits.show_every > 0 && (done.is_multiple_of(habits.show_every) || done == schedule.steps);
            let looked_at = shows.then(|| plain(&model, parameters));
            let record = Record {
                step: done,
                loss: loss as f32,
                learning_rate: rate as f32,
                gradient_norm: gradient_norm as f32,
                seconds: began.elapsed().as_secs_f32(),
                held_out: looked_at.as_ref().map(|model| task.measure(model)).transpose()?.unwrap_or_default(),
            };
            folder.log(&record)?;
            history.push(record);
            if done.is_multiple_of(habits.checkpoint_every.max(1)) {
                folder.save(parameters, done, &identity, habits.keep)?;
            }
            let recent = &history[history.len() - history.len().min((done - first).min(50) as usize)..];
            let mean = recent.iter().map(|r| f64::from(r.seconds)).sum::<f64>() / recent.len().max(1) as f64;
            let remaining_seconds = mean * (schedule.steps - done) as f64;
            listen(Event::Step { history: &history, steps: schedule.steps, remaining_seconds })?;
            if let Some(model) = looked_at {
                listen(Event::Show { step: done, pictures: task.show(&model)? })?;
            }
            if habits.max_seconds.is_some_and(|max| started.elapsed().as_secs_f64() >= max) {
                break;
            }
        }
        Ok(())
    });
    // Also after an error that left the parameters whole: stopping is one.
    if done > first && matches!(ended, Ok(()) | Err(Error::Cancelled)) {
        folder.save(parameters, done, &identity, habits.keep)?;
    }
    ended.map(|()| done)
}
