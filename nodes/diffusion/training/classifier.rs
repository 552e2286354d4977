//! Training a classifier of what captions say: cross-entropy, one question after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::dataset::{Picture, Split, Triplets};
use super::draws::{below, generator};
use super::pictures::{planes, tensor};
use super::run::Task;
use crate::classifier::{Classifier, ClassifierConfig};
use crate::error::Error;

/// How many held-out pictures are measured, and at once.
const MEASURED: usize = 2048;
const AT_ONCE: usize = 128;
/// How many are shown.
const SHOWN: usize = 16;

/// From a caption to the right answer of each question, by index; nothing when the caption does not say.
pub type Understand = fn(&str) -> Option<Vec<usize>>;

/// What a classifier learns from.
pub struct ClassifierTask {
    /// Pictures and captions.
    pub data: Arc<dyn Triplets>,
    /// The questions.
    pub config: ClassifierConfig,
    /// What captions answer.
    pub understand: Understand,
    /// Where to compute.
    pub device: Device,
    /// Pictures at once.
    pub batch_size: usize,
    /// Of what is drawn.
    pub seed: u64,
}

/// Pictures and the right answers to each question.
pub struct Labelled {
    pictures: Vec<Picture>,
    /// Questions of pictures.
    answers: Vec<Vec<usize>>,
}

impl ClassifierTask {
    fn labelled(&self, split: Split, indices: impl Iterator<Item = usize>, count: usize) -> Result<Labelled, Error> {
        let mut found = Labelled { pictures: Vec::new(), answers: vec![Vec::new(); self.config.answers.len()] };
        for index in indices.take(count * 10) {
            let triplet = self.data.get(split, index)?;
            let Some(answers) = (self.understand)(&triplet.caption) else { continue };
            found.pictures.push(triplet.target);
            found.answers.iter_mut().zip(answers).for_each(|(all, answer)| all.push(answer));
            if found.pictures.len() == count {
                return Ok(found);
            }
        }
        Err(Error::Argument("the captions of this data set say too little of what is asked".into()))
    }

    /// The share of held-out pictures with the right answer, by question.
    ///
    /// # Errors
    /// Of the data set and the device.
    pub fn accuracy(&self, model: &Classifier, count: usize) -> Result<BTreeMap<String, f64>, Error> {
        let held_out = self.labelled(Split::HeldOut, 0..self.data.len(Split::HeldOut), count)?;
        let mut right = vec![0_usize; held_out.answers.len()];
        for (batch, pictures) in held_out.pictures.chunks(AT_ONCE).enumerate() {
            let found = model.classify(tensor(planes(pictures), self.data.size(), &self.device))?;
            for (question, found) in found.iter().enumerate() {
                let expected = &held_out.answers[question][batch * AT_ONCE..];
                right[question] += found.iter().zip(expected).filter(|(a, b)| a == b).count();
            }
        }
        let share = |right: &usize| *right as f64 / held_out.pictures.len() as f64;
        Ok(self.config.answers.keys().cloned().zip(right.iter().map(share)).collect())
    }
}

impl Task for ClassifierTask {
    type Model = Classifier;
    type Batch = Labelled;

    fn draw(&self, batch: u64) -> Result<Labelled, Error> {
        let mut generator = generator(self.seed, batch);
        let len = self.data.len(Split::Train);
        self.labelled(Split::Train, std::iter::repeat_with(|| below(&mut generator, len)), self.batch_size)
    }

    fn loss(&self, model: &Classifier, batch: Labelled) -> Result<Tensor<1>, Error> {
        let count = batch.pictures.len();
        let scores = model.forward(tensor(planes(&batch.pictures), self.data.size(), &self.device));
        let losses = scores.into_iter().zip(batch.answers).map(|(scores, answers)| {
            let answers: Vec<i64> = answers.into_iter().map(|a| a as i64).collect();
            let answers = Tensor::<2, Int>::from_data(TensorData::new(answers, [count, 1]), &self.device);
            -log_softmax(scores, 1).gather(1, answers).mean()
        });
        losses.reduce(|a, b| a + b).ok_or_else(|| Error::Argument("a classifier needs a question".into()))
    }

    fn measure(&self, model: &Classifier) -> Result<BTreeMap<String, f64>, Error> {
        self.accuracy(model, MEASURED)
    }

    fn show(&self, _model: &Classifier) -> Result<Tensor<4>, Error> {
        // What it looks at; it draws nothing itself.
        let shown = self.labelled(Split::HeldOut, 0..self.data.len(Split::HeldOut), SHOWN)?;
        Ok(tensor(planes(&shown.pictures), self.data.size(), &self.device))
    }
}
