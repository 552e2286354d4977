//! `Text Template`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::placeholders::{Piece, pieces};
use crate::function::function_node;

const TEXTS: [&str; 4] = ["a", "b", "c", "d"];
const NUMBERS: [&str; 3] = ["x", "y", "z"];

pub(crate) fn node() -> Arc<dyn Node> {
    let mut spec = NodeSpec::new("Text Template", "text", "Fills the gaps of a text with texts and numbers.")
        .input(InputSpec::required(
            "template",
            PortType::Text,
            "The text; {a} to {d} stand for texts, {x} to {z} for numbers, {x:.2} for one with two decimals; {{ and }} are braces.",
        ));
    for name in TEXTS {
        spec = spec.input(InputSpec::optional(name, PortType::Text, &format!("What {{{name}}} stands for.")));
    }
    for name in NUMBERS {
        spec = spec.input(InputSpec::optional(name, PortType::Number, &format!("What {{{name}}} stands for.")));
    }
    function_node(spec.output("text", PortType::Text, "The filled text."), run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let template = inputs.text("template")?;
    let pieces = pieces(template).map_err(|brace| {
        NodeError::input("template", format!("an unpaired `{brace}`"))
            .with_hint("write `{{` and `}}` for braces that are meant as such")
    })?;
    let mut text = String::new();
    let mut used = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Gap(gap) => {
                let (name, format) = gap.split_once(':').map_or((gap, None), |(n, f)| (n, Some(f)));
                text.push_str(&value(inputs, name, format)?);
                used.push(name);
            }
        }
    }
    for name in TEXTS.into_iter().chain(NUMBERS).filter(|n| inputs.get(n).is_some() && !used.contains(n)) {
        context.log(LogLevel::Warning, &format!("`{name}` is given, but the template has no `{{{name}}}`"));
    }
    Ok(Outputs::one("text", text))
}

fn value(inputs: &Inputs, name: &str, format: Option<&str>) -> Result<String, NodeError> {
    let (is_text, is_number) = (TEXTS.contains(&name), NUMBERS.contains(&name));
    if !is_text && !is_number {
        return Err(NodeError::input("template", format!("there is no gap `{{{name}}}`"))
            .with_hint("{a} to {d} stand for texts, {x} to {z} for numbers"));
    }
    if inputs.get(name).is_none() {
        return Err(NodeError::input(name, format!("the template has `{{{name}}}`, but no `{name}` is given")));
    }
    match format {
        None if is_text => inputs.text(name).map(Into::into),
        None => Ok(inputs.number(name)?.to_string()),
        Some(format) => {
            let decimals = format.strip_prefix('.').and_then(|d| d.parse::<usize>().ok()).filter(|d| *d <= 17);
            let decimals = decimals.filter(|_| is_number).ok_or_else(|| {
                NodeError::input("template", format!("`{{{name}:{format}}}` cannot be filled"))
                    .with_hint("only numbers take a format, such as {x:.2} for two decimals")
            })?;
            Ok(format!("{:.decimals$}", inputs.number(name)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::Value;

    use super::*;
    use crate::function::testing::{self, TestContext};

    fn fill(template: &str) -> Result<String, String> {
        let inputs = Inputs::default().with("template", template).with("a", "cat").with("b", "{c}").with("x", 2.5);
        let inputs = inputs.with("y", 3_i64);
        match testing::run(&node(), inputs).map_err(|e| e.to_string())?.get("text") {
            Some(Value::Text(t)) => Ok(t.to_string()),
            _ => panic!(),
        }
    }

    #[test]
    fn templates() {
        let good = [
            ("", ""),
            ("a photo of a {a}, {a}!", "a photo of a cat, cat!"),
            ("{b}", "{c}"),
            ("{{a}} {x} {x:.2} {y} {y:.1}", "{a} 2.5 2.50 3 3.0"),
            ("grö{a}ßer", "gröcatßer"),
        ];
        for (template, expected) in good {
            assert_eq!(fill(template).as_deref(), Ok(expected));
        }
        let bad = [
            ("{c}", "`c`: the template has `{c}`, but no `c` is given"),
            ("{z}", "`z`: the template has `{z}`, but no `z` is given"),
            ("{e}", "`template`: there is no gap `{e}`"),
            ("{}", "`template`: there is no gap `{}`"),
            ("{a", "`template`: an unpaired `{`"),
            ("a}", "`template`: an unpaired `}`"),
            ("{a:.2}", "`template`: `{a:.2}` cannot be filled"),
            ("{x:2}", "`template`: `{x:2}` cannot be filled"),
            ("{x:.999}", "`template`: `{x:.999}` cannot be filled"),
        ];
        for (template, expected) in bad {
            assert_eq!(fill(template), Err(expected.into()), "{template}");
        }
    }

    #[test]
    fn what_is_given_for_nothing_is_told() {
        let context = TestContext::default();
        let inputs = Inputs::default().with("template", "{a}").with("a", "1").with("z", 1.0);
        testing::run_in(&node(), inputs, &context).unwrap();
        assert_eq!(*context.log.lock().unwrap(), ["`z` is given, but the template has no `{z}`"]);
    }
}
