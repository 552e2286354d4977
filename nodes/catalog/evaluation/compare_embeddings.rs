//! `Compare Embeddings`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::compare::{compare, indices};
use super::values::{EMBEDDINGS, Embeddings};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Compare Embeddings",
        "evaluation",
        "Tells which reference each picture is nearest to, and how near it is to its own.",
    )
    .input(InputSpec::required("embeddings", EMBEDDINGS, "Of the pictures."))
    .input(InputSpec::required("references", EMBEDDINGS, "Of the references, by the same embedder."))
    .input(InputSpec::required(
        "subjects",
        PortType::Integer.list(),
        "For each picture the number of its own reference, from 0.",
    ))
    .input(InputSpec::with_default(
        "part",
        "",
        "The part of the embeddings to compare by, such as `color`; all when empty.",
    ))
    .output("nearest", PortType::Integer.list(), "For each picture the number of the nearest reference.")
    .output("similarity", PortType::Number.list(), "Cosine of each picture and its own reference, -1 to 1.")
    .output("accuracy", PortType::Number, "The share of pictures that are nearest to their own reference, 0 to 1.")
    .output("mean_similarity", PortType::Number, "The mean of `similarity`.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let (pictures, references) =
        (inputs.native::<Embeddings>("embeddings")?, inputs.native::<Embeddings>("references")?);
    let part = inputs.text("part")?;
    let found = compare(&pictures, &references, &indices(inputs, "subjects")?, (!part.is_empty()).then_some(part))?;
    let mean = found.similarity.iter().sum::<f64>() / found.similarity.len().max(1) as f64;
    let nearest: Vec<Value> = found.nearest.iter().map(|n| Value::Integer(*n as i64)).collect();
    let similarity: Vec<Value> = found.similarity.iter().map(|s| Value::Number(*s)).collect();
    Ok(Outputs::one("nearest", Value::list(PortType::Integer, nearest))
        .with("similarity", Value::list(PortType::Number, similarity))
        .with("accuracy", found.accuracy)
        .with("mean_similarity", mean))
}
