//! What a training run tells on its way: progress, log lines, the curve, sheets of samples.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use dc_diffusion::Error;
use dc_diffusion::checkpoint::write_atomically;
use dc_diffusion::training::{Event, Record};
use dc_graph_node_api::{Image, LogLevel, NodeError, RunContext};

use super::curve::curve;
use crate::diffusion::pictures::from_tensor;
use crate::image::convert::{Format, write};
use crate::image::pixels::{Depth, Samples};
use crate::image::resample::{Filter, resample};

/// Between log lines and curves.
const EVERY: Duration = Duration::from_secs(30);
/// Pictures in a row of a sheet.
const COLUMNS: usize = 8;
/// Small pictures are enlarged to at least this on a sheet.
const CELL: usize = 128;

/// Listens to a run.
pub(crate) struct Watch<'a> {
    context: &'a dyn RunContext,
    folder: PathBuf,
    told: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(context: &'a dyn RunContext, folder: &Path) -> Self {
        Self { context, folder: folder.to_path_buf(), told: None }
    }

    /// Hears of an event; an error stops the run.
    pub(crate) fn hear(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Step { history, steps, remaining_seconds } => {
                let Some(last) = history.last() else { return Ok(()) };
                self.context.progress(last.step, steps);
                let due = self.told.is_none_or(|told| told.elapsed() >= EVERY);
                if due || !last.held_out.is_empty() || last.step == steps {
                    self.told = Some(Instant::now());
                    self.context.log(LogLevel::Info, &line(history, steps, remaining_seconds));
                    self.save("curve.png", &curve(history, steps).map_err(failed)?)?;
                }
                if self.context.is_cancelled() {
                    self.context.log(LogLevel::Info, "stopping; run again to go on from here");
                    return Err(Error::Cancelled);
                }
                Ok(())
            }
            Event::Show { step, pictures } => {
                let sheet = sheet(pictures).map_err(failed)?;
                self.context.preview(&sheet);
                self.save(&format!("samples/step-{step:08}.png"), &sheet)
            }
        }
    }

    fn save(&self, name: &str, image: &Image) -> Result<(), Error> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| Error::File { path: parent.into(), source })?;
        }
        write_atomically(&path, |file| write(image, Format::Png, 100, None, file).map_err(failed))?;
        self.context.wrote(&path);
        Ok(())
    }
}

/// Tells how far the encoding before a run is, and whether to stop it.
pub(crate) fn encoding(context: &dyn RunContext, done: usize, total: usize) -> Result<(), Error> {
    if done == 0 {
        context.log(LogLevel::Info, &format!("encoding {total} triplets"));
    }
    context.progress(done as u64, total as u64);
    if context.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

fn failed(error: NodeError) -> Error {
    Error::Argument(error.to_string())
}

/// `step 120 of 1000, loss 0.0123, learning rate 1.0e-3, 0.52 s a step, 12 min left, psnr_db 24.1`
fn line(history: &[Record], steps: u64, remaining_seconds: f64) -> String {
    let recent = &history[history.len() - history.len().min(50)..];
    let mean = |of: fn(&Record) -> f32| recent.iter().map(of).sum::<f32>() / recent.len().max(1) as f32;
    let Some(last) = history.last() else { return String::new() };
    let left = match remaining_seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    };
    let held_out: String = last.held_out.iter().map(|(name, value)| format!(", {name} {value:.4}")).collect();
    format!(
        "step {} of {steps}, loss {:.5}, learning rate {:.1e}, {:.2} s a step, {left} left{held_out}",
        last.step,
        mean(|r| r.loss),
        last.learning_rate,
        mean(|r| r.seconds),
    )
}

/// Pictures of one size in rows.
fn sheet(pictures: Tensor<4>) -> Result<Image, NodeError> {
    let pictures = from_tensor(pictures)?;
    let Some(first) = pictures.first() else { return Err(NodeError::failed("there are no pictures to show")) };
    let (width, height) = (first.width() as usize, first.height() as usize);
    let scale = CELL.div_ceil(width.max(height)).max(1);
    let (width, height) = (width * scale, height * scale);
    let (columns, rows) = (pictures.len().min(COLUMNS), pictures.len().div_ceil(COLUMNS));
    let mut sheet = Samples::filled(columns * (width + 4) + 4, rows * (height + 4) + 4, &[1.0; 3]);
    for (i, picture) in pictures.iter().enumerate() {
        let picture = resample(&Samples::of(picture), width, height, Filter::Nearest);
        sheet.paste(&picture, 4 + i % COLUMNS * (width + 4), 4 + i / COLUMNS * (height + 4));
    }
    sheet.into_image(Depth::U8)
}
