//! A small fixed registry for the tests of this library: nodes with the names and ports that people meet, without maths.

mod reuse;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dc_graph_node_api::{
    Image, InputProblem, InputSpec, Inputs, LogLevel, NativeObject, Node, NodeError, NodeSpec, Outputs, Pixels,
    PortType, RunContext, Value,
};

use crate::graph::{Document, Graph, Settings, Source, render, validate};
use crate::registry::Registry;

type Run = Box<dyn Fn(&Inputs, &dyn RunContext) -> Result<Outputs, NodeError> + Send + Sync>;
type Reads = fn(&Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>>;

/// A node made of a description and a closure.
pub(crate) struct TestNode {
    spec: NodeSpec,
    run: Run,
    reads: Option<Reads>,
}

impl TestNode {
    /// Wraps a closure.
    pub(crate) fn new(
        spec: NodeSpec,
        run: impl Fn(&Inputs, &dyn RunContext) -> Result<Outputs, NodeError> + Send + Sync + 'static,
    ) -> Self {
        Self { spec, run: Box::new(run), reads: None }
    }

    /// Says which files the node reads.
    pub(crate) fn reading(mut self, reads: Reads) -> Self {
        self.reads = Some(reads);
        self
    }
}

struct DefaultReads<'a>(&'a TestNode);

impl Node for DefaultReads<'_> {
    fn spec(&self) -> &NodeSpec {
        &self.0.spec
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        (self.0.run)(inputs, context)
    }
}

impl Node for TestNode {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        match self.reads {
            Some(reads) => reads(known),
            None => DefaultReads(self).reads(known),
        }
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        (self.run)(inputs, context)
    }
}

/// Counts what the `Count Runs` and `Count On Device` nodes of a registry do.
#[derive(Default)]
pub(crate) struct Probe {
    /// How often they ran.
    pub(crate) runs: AtomicUsize,
    /// How many run now.
    pub(crate) running: AtomicUsize,
    /// The most that ran at the same time.
    pub(crate) peak: AtomicUsize,
}

impl Probe {
    /// How often they ran.
    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// The most that ran at the same time.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }

    fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(running, Ordering::SeqCst);
        let done = work();
        self.running.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

/// Stands for an opaque value.
pub(crate) struct Opaque(&'static str);

impl NativeObject for Opaque {
    fn type_name(&self) -> &'static str {
        self.0
    }

    fn summary(&self) -> String {
        "a test object".into()
    }

    fn size_bytes(&self) -> usize {
        1000
    }
}

const MODEL: PortType = PortType::native("dc:model");
const LATENTS: PortType = PortType::native("dc:latents");
const CONDITIONING: PortType = PortType::native("dc:conditioning");

/// The test nodes, and a probe that no one looks at.
pub(crate) fn registry() -> Registry {
    registry_with(&Arc::default())
}

/// The test nodes, with a probe.
pub(crate) fn registry_with(probe: &Arc<Probe>) -> Registry {
    let mut registry = Registry::default();
    for node in plain_nodes().into_iter().chain(picture_nodes()).chain(trouble_nodes(probe)) {
        registry.add(Arc::new(node)).expect("test nodes have different names");
    }
    registry
}

fn number(name: &str) -> InputSpec {
    InputSpec::required(name, PortType::Number, "A number.")
}

fn plain_nodes() -> Vec<TestNode> {
    vec![
        TestNode::new(
            NodeSpec::new("Number", "value", "A number.")
                .input(InputSpec::with_default("value", 0.0, "The number."))
                .output("number", PortType::Number, "The number."),
            |i, _| Ok(Outputs::one("number", i.number("value")?)),
        ),
        TestNode::new(
            NodeSpec::new("Integer", "value", "A whole number.")
                .input(InputSpec::with_default("value", 0, "The number.").range(-1e6..=1e6))
                .output("integer", PortType::Integer, "The number."),
            |i, _| Ok(Outputs::one("integer", i.integer("value")?)),
        ),
        TestNode::new(
            NodeSpec::new("Add", "value", "The sum of two numbers.").input(number("a")).input(number("b")).output(
                "sum",
                PortType::Number,
                "`a` plus `b`.",
            ),
            |i, _| Ok(Outputs::one("sum", i.number("a")? + i.number("b")?)),
        ),
        TestNode::new(
            NodeSpec::new("Sum", "value", "The sum of many numbers.")
                .input(InputSpec::required("numbers", PortType::Number.list(), "The numbers."))
                .output("sum", PortType::Number, "Their sum."),
            |i, _| {
                let Some(Value::List(_, values)) = i.get("numbers") else {
                    return Err(NodeError::input("numbers", "expected a list"));
                };
                let add = |sum, v: &Value| if let Value::Number(n) = v { sum + n } else { f64::NAN };
                Ok(Outputs::one("sum", values.iter().fold(0.0, add)))
            },
        ),
        TestNode::new(
            NodeSpec::new("Text", "text", "A text.")
                .input(InputSpec::required("text", PortType::Text, "The text."))
                .output("text", PortType::Text, "The text."),
            |i, _| Ok(Outputs::one("text", i.text("text")?)),
        ),
        TestNode::new(
            NodeSpec::new("Words", "text", "The words of a text.")
                .input(InputSpec::required("text", PortType::Text, "The text."))
                .output("words", PortType::Text.list(), "Its words.")
                .output("count", PortType::Integer, "How many."),
            |i, _| {
                let words: Vec<Value> = i.text("text")?.split_whitespace().map(Value::text).collect();
                let count = words.len() as i64;
                Ok(Outputs::one("words", Value::list(PortType::Text, words)).with("count", count))
            },
        ),
        TestNode::new(
            NodeSpec::new("Text Template", "text", "Fills a text in.")
                .input(InputSpec::with_default("template", "a photo of {}", "Text with a gap."))
                .input(InputSpec::optional("value", PortType::Text, "What goes into the gap."))
                .output("text", PortType::Text, "The filled text."),
            |i, _| Ok(Outputs::one("text", i.text("template")?.replace("{}", i.text("value").unwrap_or("")))),
        ),
        TestNode::new(
            NodeSpec::new("Read Text", "text", "Reads a file.")
                .input(InputSpec::required("path", PortType::Path, "The file."))
                .output("text", PortType::Text, "Its contents."),
            |i, _| {
                let path = PathBuf::from(i.path("path")?);
                let text = std::fs::read_to_string(&path).map_err(|source| NodeError::File { path, source })?;
                Ok(Outputs::one("text", text))
            },
        ),
        TestNode::new(
            NodeSpec::new("Write Text", "text", "Writes a file.")
                .with_effect()
                .input(InputSpec::required("text", PortType::Text, "What to write."))
                .input(InputSpec::with_default("name", "text.txt", "The file's name."))
                .output("path", PortType::Path, "The file."),
            |i, context| {
                let path = context.output_dir().join(i.text("name")?);
                std::fs::write(&path, i.text("text")?)
                    .map_err(|source| NodeError::File { path: path.clone(), source })?;
                Ok(Outputs::one("path", Value::Path(path.display().to_string().into())))
            },
        ),
        TestNode::new(
            NodeSpec::new("Show Text", "text", "The text of a number.").input(number("number")).output(
                "text",
                PortType::Text,
                "The digits.",
            ),
            |i, _| Ok(Outputs::one("text", i.number("number")?.to_string())),
        ),
    ]
}

fn pixel() -> Result<Image, NodeError> {
    Image::new(1, 1, 3, Pixels::U8(vec![1, 2, 3]))
}

fn picture_nodes() -> Vec<TestNode> {
    let image = |name| InputSpec::required(name, PortType::Image, "An image.");
    let model = || InputSpec::required("model", MODEL, "The model.");
    let size = |name| InputSpec::with_default(name, 512, "In pixels.").range(8.0..=4096.0);
    vec![
        TestNode::new(
            NodeSpec::new("Load Image", "image", "Reads a picture.")
                .input(InputSpec::required("path", PortType::Path, "The file."))
                .output("image", PortType::Image, "The picture.")
                .output("alpha", PortType::Mask, "Its alpha channel."),
            |_, _| Ok(Outputs::one("image", pixel()?).with("alpha", dc_graph_node_api::Mask::new(1, 1, vec![1.0])?)),
        ),
        TestNode::new(
            NodeSpec::new("Resize", "image", "Changes the size of a picture.")
                .input(image("image"))
                .input(size("width"))
                .input(size("height"))
                .input(InputSpec::with_default("filter", "lanczos", "How.").choices(&["nearest", "linear", "lanczos"]))
                .input(InputSpec::with_default("keep_aspect", true, "Whether the sides keep their ratio."))
                .output("image", PortType::Image, "The picture."),
            |i, _| Ok(Outputs::one("image", i.image("image")?.clone())),
        ),
        TestNode::new(
            NodeSpec::new("Load Model", "diffusion", "Reads a model.")
                .input(InputSpec::required("model", PortType::Path, "A folder, or `random:tiny`."))
                .output("model", MODEL, "The model."),
            |_, _| Ok(Outputs::one("model", Value::native(Opaque("dc:model")))),
        )
        .reading(|known| match known.get("model") {
            Some(Value::Path(path)) if path.starts_with("random:") || &**path == "pocket" => Ok(Vec::new()),
            Some(Value::Path(path)) if PathBuf::from(&**path).join("model_index.json").is_file() => {
                Ok(vec![PathBuf::from(&**path)])
            }
            Some(Value::Path(path)) => {
                let message = format!("not a model folder: {path}");
                let hint = "expected a folder with `model_index.json`, or `random:tiny`";
                Err(vec![InputProblem::new("model", message).with_hint(hint)])
            }
            _ => Ok(Vec::new()),
        }),
        TestNode::new(
            NodeSpec::new("Encode Prompt", "diffusion", "A text as conditioning.")
                .on_device()
                .input(model())
                .input(InputSpec::required("prompt", PortType::Text, "What to draw."))
                .output("conditioning", CONDITIONING, "The conditioning."),
            |_, _| Ok(Outputs::one("conditioning", Value::native(Opaque("dc:conditioning")))),
        ),
        TestNode::new(
            NodeSpec::new("Encode VAE", "diffusion", "A picture as latents.")
                .on_device()
                .input(model())
                .input(image("image"))
                .output("latents", LATENTS, "The latents."),
            |_, _| Ok(Outputs::one("latents", Value::native(Opaque("dc:latents")))),
        ),
        TestNode::new(
            NodeSpec::new("Sample", "diffusion", "Draws latents.")
                .on_device()
                .input(model())
                .input(InputSpec::required("latents", LATENTS, "Where to start."))
                .input(InputSpec::required("conditioning", CONDITIONING, "What to draw."))
                .input(InputSpec::with_default("num_inference_steps", 30, "Steps.").range(1.0..=1000.0))
                .input(InputSpec::with_default("guidance_scale", 7.5, "Guidance.").range(0.0..=100.0))
                .input(InputSpec::with_default("sampler", "ddim", "Which.").choices(&["ddim", "euler", "dpmpp_2m"]))
                .input(InputSpec::with_default("seed", 0, "Noise.").range(0.0..=9007199254740991.0))
                .output("latents", LATENTS, "The latents."),
            |_, _| Ok(Outputs::one("latents", Value::native(Opaque("dc:latents")))),
        ),
        TestNode::new(
            NodeSpec::new("Decode VAE", "diffusion", "Latents as a picture.")
                .on_device()
                .input(model())
                .input(InputSpec::required("latents", LATENTS, "The latents."))
                .output("image", PortType::Image, "The picture."),
            |_, _| Ok(Outputs::one("image", pixel()?)),
        ),
        TestNode::new(
            NodeSpec::new("Contact Sheet", "image", "Many pictures as one.")
                .input(InputSpec::required("images", PortType::Image.list(), "The pictures."))
                .output("image", PortType::Image, "The sheet."),
            |_, _| Ok(Outputs::one("image", pixel()?)),
        ),
        TestNode::new(
            NodeSpec::new("Image Source", "image", "A picture of one pixel.").output("image", PortType::Image, "It."),
            |_, _| Ok(Outputs::one("image", pixel()?)),
        ),
        TestNode::new(
            NodeSpec::new("Save Image", "image", "Writes a picture.")
                .with_effect()
                .input(image("image"))
                .input(InputSpec::with_default("name", "image.png", "The file's name.")),
            |_, _| Ok(Outputs::default()),
        ),
    ]
}

fn trouble_nodes(probe: &Arc<Probe>) -> Vec<TestNode> {
    let counting = |spec: NodeSpec, probe: Arc<Probe>| {
        let spec = spec
            .input(InputSpec::with_default("value", 0.0, "Handed on."))
            .input(InputSpec::with_default("milliseconds", 0, "How long it takes.").range(0.0..=1e6))
            .output("value", PortType::Number, "As it came.");
        TestNode::new(spec, move |i, _| {
            probe.during(|| {
                std::thread::sleep(Duration::from_millis(u64::try_from(i.integer("milliseconds")?).unwrap_or(0)));
                Ok(Outputs::one("value", i.number("value")?))
            })
        })
    };
    let mut chance = NodeSpec::new("Chance", "trouble", "Another number each time.").output(
        "number",
        PortType::Number,
        "The number.",
    );
    chance.deterministic = false;
    let next = AtomicUsize::new(0);
    let trouble = |name: &str| {
        NodeSpec::new(name, "trouble", "Goes wrong.")
            .input(InputSpec::with_default("message", "out of paint", "What it says."))
            .input(InputSpec::optional("value", PortType::Number, "Not used."))
            .output("value", PortType::Number, "Never given.")
    };
    vec![
        counting(NodeSpec::new("Count Runs", "trouble", "Counts its runs."), probe.clone()),
        counting(NodeSpec::new("Count On Device", "trouble", "Counts its runs.").on_device(), probe.clone()),
        TestNode::new(chance, move |_, _| Ok(Outputs::one("number", next.fetch_add(1, Ordering::SeqCst) as f64))),
        TestNode::new(trouble("Fail"), |i, _| {
            Err(NodeError::failed(i.text("message")?).with_hint("do not use this node"))
        }),
        TestNode::new(trouble("Panic"), |i, _| panic!("{}", i.text("message").unwrap_or(""))),
        TestNode::new(trouble("Lie"), |i, _| Ok(Outputs::one("value", i.text("message")?))),
        TestNode::new(trouble("Forget"), |_, _| Ok(Outputs::default())),
        TestNode::new(
            NodeSpec::new("Slow", "trouble", "Takes its time; stops when asked.")
                .input(InputSpec::with_default("steps", 10, "How many steps.").range(1.0..=1e9))
                .input(InputSpec::optional("value", PortType::Number, "Not used."))
                .output("value", PortType::Number, "The number of steps."),
            |i, context| {
                let steps = u64::try_from(i.integer("steps")?).unwrap_or(0);
                context.log(LogLevel::Info, "begins");
                for step in 0..steps {
                    context.check_cancelled()?;
                    context.progress(step, steps);
                    std::thread::sleep(Duration::from_millis(1));
                }
                context.preview(&pixel()?);
                Ok(Outputs::one("value", steps as f64))
            },
        ),
    ]
}

/// A graph from its document, which must be fine. Relative paths count from `/`.
pub(crate) fn graph(text: &str, registry: &Registry) -> Graph {
    let settings = Settings { folder: "/".into(), current: "/".into(), ..Settings::default() };
    let source = Source::new("test.json", text);
    Document::parse(text)
        .and_then(|document| validate(&document, registry, &settings))
        .map(|(graph, _)| graph)
        .unwrap_or_else(|problems| panic!("{}", render(&problems, &source, false)))
}
