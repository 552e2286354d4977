//! `Subject Rows`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::compare::indices;
use super::sample_subjects::texts;
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Subject Rows",
        "evaluation",
        "Orders pictures for a contact sheet: a row for each subject, its reference first, one picture a caption.",
    )
    .input(InputSpec::required("references", PortType::Image.list(), "The subjects."))
    .input(InputSpec::required("images", PortType::Image.list(), "Their pictures."))
    .input(InputSpec::required("captions", PortType::Text.list(), "What each picture should show."))
    .input(InputSpec::required(
        "subjects",
        PortType::Integer.list(),
        "For each picture the number of its subject, from 0.",
    ))
    .input(InputSpec::with_default("num_subjects", 12_i64, "How many rows at most.").range(1.0..=1000.0))
    .output("images", PortType::Image.list(), "The pictures, row by row.")
    .output("labels", PortType::Text.list(), "What stands below them.")
    .output("columns", PortType::Integer, "Pictures in a row: `columns` of `Contact Sheet`.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let (references, images) = (inputs.images("references")?, inputs.images("images")?);
    let (captions, subjects) = (texts(inputs, "captions")?, indices(inputs, "subjects")?);
    if captions.len() != images.len() || subjects.len() != images.len() {
        let message =
            format!("{} captions and {} subjects for {} pictures", captions.len(), subjects.len(), images.len());
        return Err(NodeError::input("captions", message));
    }
    let wanted = inputs.integer("num_subjects")?.max(1) as usize;
    let mut rows: Vec<Vec<(Value, String)>> = Vec::new();
    for (number, reference) in references.iter().enumerate().take(wanted) {
        let mut row = vec![(Value::Image((*reference).clone()), "reference".to_string())];
        for (image, (caption, _)) in
            images.iter().zip(captions.iter().zip(&subjects)).filter(|(_, (_, s))| **s == number)
        {
            if row.iter().all(|(_, label)| label != caption) {
                row.push((Value::Image((*image).clone()), caption.clone()));
            }
        }
        rows.push(row);
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(1);
    if rows.iter().any(|row| row.len() != columns) {
        return Err(NodeError::input("captions", "the subjects have different numbers of captions"));
    }
    let (images, labels): (Vec<_>, Vec<_>) = rows.into_iter().flatten().map(|(i, l)| (i, Value::text(l))).unzip();
    Ok(Outputs::one("images", Value::list(PortType::Image, images))
        .with("labels", Value::list(PortType::Text, labels))
        .with("columns", columns as i64))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels};

    use super::*;
    use crate::function::testing::run as run_node;

    #[test]
    fn rows() {
        let picture = |v: u8| Value::from(Image::new(1, 1, 1, Pixels::U8(vec![v])).unwrap());
        let inputs = Inputs::default()
            .with("references", Value::list(PortType::Image, vec![picture(0), picture(1)]))
            .with("images", Value::list(PortType::Image, (10..18).map(picture).collect::<Vec<_>>()))
            .with(
                "captions",
                Value::list(
                    PortType::Text,
                    ["a", "a", "b", "b"].repeat(2).into_iter().map(Value::text).collect::<Vec<_>>(),
                ),
            )
            .with(
                "subjects",
                Value::list(PortType::Integer, (0..8).map(|i| Value::Integer(i / 4)).collect::<Vec<_>>()),
            );
        let outputs = run_node(&node(), inputs).unwrap();
        let Some(Value::List(_, images)) = outputs.get("images") else { panic!() };
        let found: Vec<u8> = images.iter().map(|i| if let Value::Image(i) = i { i.to_u8()[0] } else { 0 }).collect();
        assert_eq!(found, [0, 10, 12, 1, 14, 16]);
    }
}
