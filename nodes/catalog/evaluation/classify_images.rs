//! `Classify Images`.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use dc_diffusion::classifier::load_classifier;
use dc_graph_node_api::{Image, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::values::{ANSWERS, Answers};
use crate::diffusion::pictures::to_tensor;
use crate::diffusion::runtime::Runtime;
use crate::diffusion::values::{input_error, node_error};
use crate::image::pixels::{Depth, Samples};
use crate::image::resample::{Filter, resample};

const AT_ONCE: usize = 64;

struct ClassifyImages {
    spec: NodeSpec,
    runtime: Arc<Runtime>,
}

pub(crate) fn node(runtime: Arc<Runtime>) -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Classify Images",
        "evaluation",
        "Tells the scene and the treatment of pictures of the sticker world, whoever drew them.",
    )
    .on_device()
    .input(InputSpec::required(
        "images",
        PortType::Image.list(),
        "The pictures; they are brought to the size that the classifier knows.",
    ))
    .input(InputSpec::required("classifier", PortType::Path, "Weights that `Train Classifier` wrote."))
    .output("answers", ANSWERS, "What each picture shows, for `Personalization Table`.")
    .output("labels", PortType::Text.list(), "The same in words, one text a picture.");
    Arc::new(ClassifyImages { spec, runtime })
}

impl Node for ClassifyImages {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn key_salt(&self) -> String {
        self.runtime.class()
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let device = &self.runtime.get()?.device;
        let path = Path::new(inputs.path("classifier")?);
        let (classifier, config) = load_classifier(path, device).map_err(input_error("classifier"))?;
        let images = inputs.images("images")?;
        let mut questions: Vec<(String, Vec<String>)> =
            config.answers.keys().map(|q| (q.clone(), Vec::new())).collect();
        for (batch, some) in images.chunks(AT_ONCE).enumerate() {
            context.check_cancelled()?;
            context.progress((batch * AT_ONCE) as u64, images.len() as u64);
            let tensors = some.iter().map(|image| Ok(to_tensor(&sized(image, config.size)?, device, DType::F32)));
            let tensors = tensors.collect::<Result<Vec<_>, NodeError>>()?;
            let found = classifier.classify(Tensor::cat(tensors, 0)).map_err(node_error)?;
            for (((_, all), found), words) in questions.iter_mut().zip(found).zip(config.answers.values()) {
                all.extend(found.into_iter().map(|answer| words[answer].clone()));
            }
        }
        let label = |i: usize| questions.iter().map(|(_, all)| all[i].as_str()).collect::<Vec<_>>().join(", ");
        let labels: Vec<Value> = (0..images.len()).map(|i| Value::text(label(i))).collect();
        Ok(Outputs::one("labels", Value::list(PortType::Text, labels))
            .with("answers", Value::native(Answers { questions })))
    }
}

/// The picture at this size.
fn sized(image: &Image, size: usize) -> Result<Image, NodeError> {
    let picture = Samples::of(image).into_rgb_over([1.0; 3]);
    let same = (picture.width, picture.height) == (size, size);
    let picture = if same { picture } else { resample(&picture, size, size, Filter::Lanczos) };
    picture.into_image(Depth::U8)
}
