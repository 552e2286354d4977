//! `Make Stickers`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_graph_node_api::{
    Image, InputProblem, InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, Pixels, PortType, RunContext,
    Value,
};

use super::composition::SIZE;
use super::glyphs::Font;
use super::subjects::Cast;
use super::world::World;
use crate::training::values::{Dataset, TRIPLETS};

struct MakeStickers {
    spec: NodeSpec,
}

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Make Stickers",
        "stickers",
        "Draws a small world to learn in: 64x64 pictures of subjects in scenes, with captions and references.",
    );
    let spec = world_ports(spec)
        .input(
            InputSpec::with_default(
                "several",
                0_i64,
                "Of 100 pictures, so many more show two or three of their subject, which a denoiser has to make alike.",
            )
            .range(0.0..=100.0),
        )
        .input(
            InputSpec::with_default("examples", 0_i64, "How many pictures to show, for a contact sheet.")
                .range(0.0..=4096.0),
        )
        .input(
            InputSpec::with_default(
                "split",
                "train",
                "Whose pictures to show: of the subjects to train on, or of those held out.",
            )
            .choices(&["train", "held_out"]),
        )
        .output("triplets", TRIPLETS, "The data set. Its held-out subjects depend on neither seed nor font.")
        .output("subjects", PortType::Integer, "Number of subjects to train on, their colors and patterns aside.")
        .output("held_out", PortType::Integer, "Number of subjects held out.")
        .output("pictures", PortType::Image.list(), "The examples: RGB, u8, 64 x 64.")
        .output("references", PortType::Image.list(), "Their subjects on white.")
        .output("captions", PortType::Text.list(), "What the text says of them.");
    Arc::new(MakeStickers { spec })
}

impl Node for MakeStickers {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        font_files(known)
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let world = world(inputs, context)?.with_several(inputs.integer("several")?.max(0) as usize);
        let held_out = inputs.text("split")? == "held_out";
        let (mut pictures, mut references, mut captions) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..inputs.integer("examples")?.max(0) as usize {
            context.check_cancelled()?;
            let drawn = world.draw(held_out, index)?;
            pictures.push(picture(drawn.target)?);
            references.push(picture(drawn.reference)?);
            captions.push(Value::text(drawn.caption));
        }
        let count = |held_out| world.count(held_out) as i64;
        Ok(Outputs::default()
            .with("subjects", count(false))
            .with("held_out", count(true))
            .with("triplets", Value::native(Dataset(Arc::new(world))))
            .with("pictures", Value::list(PortType::Image, pictures))
            .with("references", Value::list(PortType::Image, references))
            .with("captions", Value::list(PortType::Text, captions)))
    }
}

/// Adds the ports that say which world.
pub(super) fn world_ports(spec: NodeSpec) -> NodeSpec {
    spec.input(InputSpec::with_default("seed", 0_i64, "Which of all possible pictures.").range(0.0..=u32::MAX.into()))
        .input(InputSpec::optional(
            "font",
            PortType::Path,
            "Noto Color Emoji, whose glyphs are subjects beside the drawn ones; the one that is installed when absent.",
        ))
        .input(InputSpec::with_default("glyphs", true, "Whether to use a font at all."))
}

/// The files that a world is made of.
pub(super) fn font_files(known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
    let Some(font) = font(known) else { return Ok(Vec::new()) };
    if !Path::new(&font).is_file() {
        return Err(vec![InputProblem::new("font", format!("no such file: {font}"))]);
    }
    Ok(vec![font.into()])
}

/// The font that the inputs mean, if any.
fn font(inputs: &Inputs) -> Option<String> {
    if matches!(inputs.get("glyphs"), Some(Value::Boolean(false))) {
        return None;
    }
    match inputs.get("font") {
        Some(Value::Path(path) | Value::Text(path)) => Some(path.to_string()),
        _ => Font::installed().map(String::from),
    }
}

/// The world that the inputs `seed`, `font` and `glyphs` mean.
pub(super) fn world(inputs: &Inputs, context: &dyn RunContext) -> Result<World, NodeError> {
    let font = font(inputs).map(|path| Font::read(Path::new(&path))).transpose()?;
    if font.is_none() && inputs.boolean("glyphs")? {
        let message = "no Noto Color Emoji is installed: all subjects are drawn ones (Debian: fonts-noto-color-emoji)";
        context.log(LogLevel::Warning, message);
    }
    World::new(Cast::new(font), inputs.integer("seed")?.max(0) as u64)
}

/// A picture of the world between nodes.
pub(super) fn picture(pixels: Vec<u8>) -> Result<Value, NodeError> {
    Image::new(SIZE as u32, SIZE as u32, 3, Pixels::U8(pixels)).map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::testing::{TestContext, run_in};

    #[test]
    fn examples_are_shown() {
        let context = TestContext::default();
        let inputs = Inputs::default().with("glyphs", false).with("examples", 3_i64).with("split", "held_out");
        let outputs = run_in(&node(), inputs, &context).unwrap();
        let inputs = outputs.iter().fold(Inputs::default(), |i, (name, value)| i.with(name, value.clone()));
        assert_eq!(inputs.images("pictures").unwrap().len(), 3);
        assert_eq!(inputs.list("captions").unwrap().len(), 3);
        assert!(inputs.integer("held_out").unwrap() >= 100);
        assert!(context.log.lock().unwrap().is_empty());
    }

    #[test]
    fn not_a_font() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("font.ttf");
        std::fs::write(&path, "no font").unwrap();
        let path = Value::Path(path.to_str().unwrap().into());
        let error = run_in(&node(), Inputs::default().with("font", path), &TestContext::default()).unwrap_err();
        assert!(error.to_string().contains("not a font with color bitmaps"), "{error}");
        let missing = Inputs::default().with("font", Value::Path("nowhere.ttf".into()));
        assert!(node().reads(&missing).is_err());
    }
}
