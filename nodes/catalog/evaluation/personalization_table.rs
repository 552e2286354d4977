//! `Personalization Table`.

use std::path::Path;
use std::sync::Arc;

use dc_diffusion::checkpoint::write_atomically;
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};
use serde_json::json;

use super::compare::{compare, indices};
use super::questions::{SCENE, TREATMENT, answers, right};
use super::sample_subjects::texts;
use super::values::{ANSWERS, Answers, EMBEDDINGS, Embeddings};
use crate::diffusion::values::node_error;
use crate::function::function_node;
use crate::image::path_pattern::{inside, place};

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Personalization Table",
        "evaluation",
        "Says how well pictures keep their subjects and follow their captions, as Markdown, CSV and JSON.",
    )
    .with_effect()
    .input(InputSpec::required("names", PortType::Text.list(), "What each row of the table is called."))
    .input(InputSpec::required("embeddings", EMBEDDINGS.list(), "For each row those of its pictures."))
    .input(InputSpec::required("answers", ANSWERS.list(), "For each row what the classifier sees in its pictures."))
    .input(InputSpec::required("references", EMBEDDINGS, "Of the references."))
    .input(InputSpec::required(
        "subjects",
        PortType::Integer.list(),
        "For each picture the number of its reference; the same in all rows.",
    ))
    .input(InputSpec::required("captions", PortType::Text.list(), "For each picture what it should show."))
    .input(InputSpec::with_default(
        "path",
        "evaluation",
        "Where the files go, without their endings, below the output folder.",
    ))
    .output("markdown", PortType::Text, "The table.")
    .output("paths", PortType::Text.list(), "The files.")
    .output(
        "identity",
        PortType::Number.list(),
        "For each row the share of pictures that are nearest to their own reference, 0 to 1.",
    )
    .output(
        "prompt",
        PortType::Number.list(),
        "For each row the share of pictures whose scene and treatment are right, 0 to 1.",
    );
    function_node(spec, run)
}

/// One row. Shares are 0 to 1.
struct Row {
    name: String,
    identity: f64,
    /// By the name of each part.
    parts: Vec<(&'static str, f64)>,
    similarity: f64,
    scene: f64,
    treatment: f64,
    prompt: f64,
    /// Identity and prompt by what the captions say of scene and treatment.
    by_prompt: Vec<(String, f64, f64)>,
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let names = texts(inputs, "names")?;
    let embeddings = natives::<Embeddings>(inputs, "embeddings")?;
    let seen = natives::<Answers>(inputs, "answers")?;
    let references = inputs.native::<Embeddings>("references")?;
    let own = indices(inputs, "subjects")?;
    let captions = texts(inputs, "captions")?;
    for (port, found) in [("embeddings", embeddings.len()), ("answers", seen.len())] {
        if found != names.len() {
            return Err(NodeError::input(port, format!("{found} for {} names", names.len())));
        }
    }
    let path = place(context.output_dir(), &inside(inputs.text("path")?)?)?;
    let rows = names.into_iter().zip(embeddings.iter().zip(&seen));
    let rows =
        rows.map(|(name, (e, a))| row(name, e, a, &references, &own, &captions)).collect::<Result<Vec<_>, _>>()?;

    let text = markdown(&rows, &captions, references.len);
    let json = json(&rows, captions.len(), references.len);
    let mut paths = Vec::new();
    for (ending, content) in [("md", text.clone()), ("csv", csv(&rows)), ("json", format!("{json:#}\n"))] {
        let path = path.with_extension(ending);
        write(&path, &content)?;
        context.wrote(&path);
        paths.push(Value::text(path.display().to_string()));
    }
    let numbers = |of: fn(&Row) -> f64| {
        Value::list(PortType::Number, rows.iter().map(|r| Value::Number(of(r))).collect::<Vec<_>>())
    };
    Ok(Outputs::one("markdown", Value::text(text))
        .with("paths", Value::list(PortType::Text, paths))
        .with("identity", numbers(|r| r.identity))
        .with("prompt", numbers(|r| r.prompt)))
}

fn row(
    name: String,
    embeddings: &Embeddings,
    seen: &Answers,
    references: &Embeddings,
    own: &[usize],
    captions: &[String],
) -> Result<Row, NodeError> {
    let all = compare(embeddings, references, own, None)?;
    let part = |p: &super::values::Part| Ok((p.name, compare(embeddings, references, own, Some(p.name))?.accuracy));
    let parts = embeddings.parts.iter().map(part).collect::<Result<Vec<_>, NodeError>>()?;
    let question = |name: &str| {
        let found = seen.to(name).filter(|found| found.len() == captions.len());
        found.ok_or_else(|| NodeError::input("answers", format!("no `{name}` for each of {} captions", captions.len())))
    };
    let (scenes, treatments) = (question(SCENE)?, question(TREATMENT)?);
    let known = answers();
    // Of each picture: whether the scene and the treatment are right.
    let checked: Vec<(bool, bool)> = (captions.iter().zip(scenes).zip(treatments))
        .map(|((caption, scene), treatment)| match right(caption).as_deref() {
            Some(&[s, t]) => Ok((known[SCENE][s] == *scene, known[TREATMENT][t] == *treatment)),
            _ => Err(NodeError::input(
                "captions",
                format!("`{caption}` tells no scene and treatment that can be checked"),
            )),
        })
        .collect::<Result<_, _>>()?;
    let share = |of: &dyn Fn(usize) -> bool, among: &dyn Fn(usize) -> bool| {
        let chosen: Vec<usize> = (0..captions.len()).filter(|i| among(*i)).collect();
        chosen.iter().filter(|i| of(**i)).count() as f64 / chosen.len().max(1) as f64
    };
    let identity = |i: usize| all.nearest[i] == own[i];
    let prompt = |i: usize| checked[i].0 && checked[i].1;
    let of = |i: usize| prompt_of(&captions[i]);
    let mut prompts: Vec<String> = Vec::new();
    for prompt in captions.iter().map(|c| prompt_of(c)) {
        if !prompts.contains(&prompt) {
            prompts.push(prompt);
        }
    }
    let by_prompt = prompts.into_iter().map(|p| {
        let among = |i: usize| of(i) == p;
        (p.clone(), share(&identity, &among), share(&prompt, &among))
    });
    let every = |_: usize| true;
    Ok(Row {
        name,
        identity: all.accuracy,
        parts,
        similarity: all.similarity.iter().sum::<f64>() / all.similarity.len().max(1) as f64,
        scene: share(&|i| checked[i].0, &every),
        treatment: share(&|i| checked[i].1, &every),
        prompt: share(&prompt, &every),
        by_prompt: by_prompt.collect(),
    })
}

/// `beach, plain`: what a caption asks for beside its subject.
fn prompt_of(caption: &str) -> String {
    let known = answers();
    match right(caption).as_deref() {
        Some(&[s, t]) => format!("{}, {}", known[SCENE][s], known[TREATMENT][t]),
        _ => caption.into(),
    }
}

fn markdown(rows: &[Row], captions: &[String], references: usize) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let parts: Vec<&str> = rows.first().map(|r| r.parts.iter().map(|p| p.0).collect()).unwrap_or_default();
    let part_names: String = parts.iter().map(|p| format!(" by {p} alone |")).collect();
    let mut text = format!(
        "| {} pictures | own subject nearest of {references} |{part_names} similarity | prompt right | scene | treatment |\n| --- |{}\n",
        captions.len(),
        " --- |".repeat(5 + parts.len()),
    );
    for row in rows {
        let parts: String = row.parts.iter().map(|p| format!(" {} |", percent(p.1))).collect();
        text += &format!(
            "| {} | {} |{parts} {:.3} | {} | {} | {} |\n",
            row.name,
            percent(row.identity),
            row.similarity,
            percent(row.prompt),
            percent(row.scene),
            percent(row.treatment),
        );
    }
    text += "\nOwn subject nearest / prompt right, by prompt:\n\n";
    let names: String = rows.iter().map(|r| format!(" {} |", r.name)).collect();
    text += &format!("| prompt |{names}\n| --- |{}\n", " --- |".repeat(rows.len()));
    for (i, (prompt, ..)) in rows.first().map(|r| r.by_prompt.as_slice()).unwrap_or_default().iter().enumerate() {
        let cells = rows.iter().map(|r| r.by_prompt[i].clone());
        let cells: String = cells.map(|(_, id, p)| format!(" {} / {} |", percent(id), percent(p))).collect();
        text += &format!("| {prompt} |{cells}\n");
    }
    text
}

fn csv(rows: &[Row]) -> String {
    let parts: String = rows.first().map(|r| r.parts.iter().map(|p| format!("{},", p.0)).collect()).unwrap_or_default();
    let mut text = format!("name,identity,{parts}similarity,prompt,scene,treatment\n");
    for r in rows {
        let parts: String = r.parts.iter().map(|p| format!("{:.6},", p.1)).collect();
        text += &format!(
            "\"{}\",{:.6},{parts}{:.6},{:.6},{:.6},{:.6}\n",
            r.name.replace('"', "\"\""),
            r.identity,
            r.similarity,
            r.prompt,
            r.scene,
            r.treatment
        );
    }
    text
}

fn json(rows: &[Row], pictures: usize, references: usize) -> serde_json::Value {
    let rows: Vec<_> = (rows.iter())
        .map(|r| {
            let parts: serde_json::Map<_, _> = r.parts.iter().map(|p| (p.0.to_string(), json!(p.1))).collect();
            let prompts: Vec<_> = (r.by_prompt.iter())
                .map(|(prompt, identity, right)| json!({ "prompt": prompt, "identity": identity, "right": right }))
                .collect();
            json!({
                "name": r.name, "identity": r.identity, "parts": parts, "similarity": r.similarity, "prompt": r.prompt,
                "scene": r.scene, "treatment": r.treatment, "by_prompt": prompts,
            })
        })
        .collect();
    json!({ "pictures": pictures, "references": references, "rows": rows })
}

fn write(path: &Path, content: &str) -> Result<(), NodeError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| NodeError::File { path: folder.into(), source })?;
    }
    let failed = |source| dc_diffusion::Error::File { path: path.into(), source };
    write_atomically(path, |file| std::io::Write::write_all(file, content.as_bytes()).map_err(failed))
        .map_err(node_error)
}

/// The opaque values at a list port.
fn natives<T: dc_graph_node_api::NativeObject>(inputs: &Inputs, port: &str) -> Result<Vec<Arc<T>>, NodeError> {
    inputs.list(port)?.iter().map(|value| Inputs::default().with(port, value.clone()).native::<T>(port)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::values::Part;
    use super::*;
    use crate::function::testing::{TestContext, run_in};

    #[test]
    fn the_table_counts() {
        let (x, y) = (vec![1.0, 0.0], vec![0.0, 1.0]);
        let embeddings = |rows: [&Vec<f32>; 2]| {
            let rows = rows.map(Clone::clone).to_vec();
            Value::native(Embeddings { embedder: "e", parts: vec![Part { name: "color", rows }], len: 2 })
        };
        let seen = |scene: [&str; 2], treatment: [&str; 2]| {
            let question = |name: &str, all: [&str; 2]| (name.to_string(), all.map(String::from).to_vec());
            Value::native(Answers { questions: vec![question(SCENE, scene), question(TREATMENT, treatment)] })
        };
        let list = |of: PortType, values: Vec<Value>| Value::list(of, values);
        let folder = tempfile::tempdir().unwrap();
        let context = TestContext { output_dir: folder.path().into(), ..TestContext::default() };
        let inputs = Inputs::default()
            .with("names", list(PortType::Text, vec![Value::text("good"), Value::text("bad")]))
            .with("embeddings", list(EMBEDDINGS, vec![embeddings([&x, &y]), embeddings([&y, &y])]))
            .with(
                "answers",
                list(
                    ANSWERS,
                    vec![seen(["beach", "snow"], ["plain", "sticker"]), seen(["beach", "beach"], ["three", "sticker"])],
                ),
            )
            .with("references", embeddings([&x, &y]))
            .with("subjects", list(PortType::Integer, vec![Value::Integer(0), Value::Integer(1)]))
            .with(
                "captions",
                list(
                    PortType::Text,
                    vec![Value::text("a bird on the beach"), Value::text("a sticker of a car in the snow")],
                ),
            );
        let outputs = run_in(&node(), inputs, &context).unwrap();
        let found: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.path().join("evaluation.json")).unwrap()).unwrap();
        let row = |i: usize| found["rows"][i].clone();
        assert_eq!((row(0)["identity"].clone(), row(1)["identity"].clone()), (json!(1.0), json!(0.5)));
        assert_eq!((row(0)["prompt"].clone(), row(1)["prompt"].clone()), (json!(1.0), json!(0.0)));
        assert_eq!((row(1)["scene"].clone(), row(1)["treatment"].clone()), (json!(0.5), json!(0.5)));
        assert_eq!(row(1)["by_prompt"][1], json!({ "prompt": "snow, sticker", "identity": 1.0, "right": 0.0 }));
        let Some(Value::Text(markdown)) = outputs.get("markdown") else { panic!() };
        assert!(markdown.contains("| bad | 50.0 % | 50.0 % | 0.500 | 0.0 % | 50.0 % | 50.0 % |"), "{markdown}");
        let csv = std::fs::read_to_string(folder.path().join("evaluation.csv")).unwrap();
        assert!(csv.starts_with("name,identity,color,similarity,") && csv.lines().count() == 3, "{csv}");
    }
}
