//! `Sticker Evaluation`.

use std::path::PathBuf;
use std::sync::Arc;

use dc_graph_node_api::{
    InputProblem, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value,
};

use super::captions::caption;
use super::make_stickers::{font_files, picture, world, world_ports};
use super::picks::Picks;
use super::scenes::Scene;
use super::treatments::Treatment;

/// What every subject is asked for, in this order. Nothing that takes its colors or turns it over: the descriptor of its
/// identity could not say whom it sees.
const PROMPTS: [(Scene, Treatment); 8] = [
    (Scene::Beach, Treatment::Plain),
    (Scene::Forest, Treatment::Sticker),
    (Scene::City, Treatment::Plain),
    (Scene::Desert, Treatment::Crown),
    (Scene::Snow, Treatment::Plain),
    (Scene::Bricks, Treatment::Balloon),
    (Scene::Underwater, Treatment::Plain),
    (Scene::Room, Treatment::Plain),
];
/// No more subjects than these of one category, so that they are of many kinds.
const EACH: usize = 3;

struct StickerEvaluation {
    spec: NodeSpec,
}

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Sticker Evaluation",
        "stickers",
        "Says whom to draw where, to measure a model: held-out subjects, captions, and real pictures to compare with.",
    );
    let spec = world_ports(spec)
        .input(
            InputSpec::with_default(
                "num_subjects",
                50_i64,
                "How many held-out subjects; no more than three of a category.",
            )
            .range(1.0..=100.0),
        )
        .input(
            InputSpec::with_default("num_prompts", 8_i64, "How many prompts for each.")
                .range(1.0..=PROMPTS.len() as f64),
        )
        .input(
            InputSpec::with_default("images_per_prompt", 4_i64, "How many pictures for each prompt.")
                .range(1.0..=100.0),
        )
        .output("references", PortType::Image.list(), "The subjects upright on white.")
        .output("names", PortType::Text.list(), "What they are, for people.")
        .output(
            "captions",
            PortType::Text.list(),
            "What to draw, picture by picture: subjects, prompts of each, pictures of each.",
        )
        .output("subjects", PortType::Integer.list(), "For each picture the number of its subject, from 0.")
        .output("pictures", PortType::Image.list(), "A real picture of each.");
    Arc::new(StickerEvaluation { spec })
}

impl Node for StickerEvaluation {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        font_files(known)
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let world = world(inputs, context)?;
        let count = |port: &str| inputs.integer(port).map(|v| v.max(1) as usize);
        let (wanted, prompts, images) = (count("num_subjects")?, count("num_prompts")?, count("images_per_prompt")?);
        let subjects = world.cast().held_out(EACH);
        if subjects.len() < wanted {
            let message = format!("{wanted}, but there are {} held-out subjects of different kinds", subjects.len());
            return Err(NodeError::input("num_subjects", message).with_hint("a font with color glyphs brings more"));
        }
        let seed = inputs.integer("seed")? as u64;
        let (mut references, mut names) = (Vec::new(), Vec::new());
        let (mut captions, mut own, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
        for (number, subject) in subjects.into_iter().take(wanted).enumerate() {
            context.check_cancelled()?;
            references.push(picture(world.portrait(subject)?.0)?);
            names.push(Value::text(world.cast().name(subject)));
            for (scene, treatment) in PROMPTS.into_iter().take(prompts) {
                for image in 0..images {
                    let place = [seed, 0x6576_616C, number as u64, scene as u64, treatment as u64, image as u64];
                    let drawn = world.show(subject, scene, treatment, &mut Picks::new(&place))?;
                    captions.push(Value::text(caption(world.cast().category(subject), treatment, scene)));
                    own.push(Value::Integer(number as i64));
                    pictures.push(picture(drawn.target)?);
                }
            }
        }
        Ok(Outputs::default()
            .with("references", Value::list(PortType::Image, references))
            .with("names", Value::list(PortType::Text, names))
            .with("captions", Value::list(PortType::Text, captions))
            .with("subjects", Value::list(PortType::Integer, own))
            .with("pictures", Value::list(PortType::Image, pictures)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::testing::run;

    #[test]
    fn every_subject_is_asked_for_every_prompt() {
        let inputs = Inputs::default().with("glyphs", false).with("num_subjects", 30_i64).with("num_prompts", 3_i64);
        let outputs = run(&node(), inputs.with("images_per_prompt", 2_i64)).unwrap();
        let len = |port: &str| match outputs.get(port) {
            Some(Value::List(_, values)) => values.len(),
            _ => 0,
        };
        assert_eq!(["references", "names", "captions", "subjects", "pictures"].map(len), [30, 30, 180, 180, 180]);
    }
}
