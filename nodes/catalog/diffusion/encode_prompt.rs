//! `Encode Prompt`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::values::{CONDITIONING, Conditioning, MODEL, Model, input_error};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let ids = |which: &str| {
        format!(
            "Token ids of the {which} in its place, up to 77 with start, end and padding; for comparing with other programs."
        )
    };
    let spec = NodeSpec::new(
        "Encode Prompt",
        "diffusion",
        "Turns a prompt and a negative prompt into contexts for the denoiser.",
    )
    .on_device()
    .input(InputSpec::required("model", MODEL, "Its tokenizer and text encoder are used."))
    .input(InputSpec::with_default("prompt", "", "What to draw; up to 75 tokens count (Stable Diffusion)."))
    .input(InputSpec::with_default("negative_prompt", "", "What to stay away from; empty in the paper."))
    .input(InputSpec::optional("token_ids", PortType::Integer.list(), &ids("prompt")))
    .input(InputSpec::optional("negative_token_ids", PortType::Integer.list(), &ids("negative prompt")))
    .output("conditioning", CONDITIONING, "The contexts of both prompts.")
    .output(
        "num_tokens",
        PortType::Integer,
        "Tokens of the prompt, without start and end; beyond 75 they do not count.",
    );
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let prompt = inputs.text("prompt")?;
    let (cond, num_tokens) = tokens(inputs, context, &model, "token_ids", ("prompt", prompt))?;
    let negative = ("negative_prompt", inputs.text("negative_prompt")?);
    let (uncond, _) = tokens(inputs, context, &model, "negative_token_ids", negative)?;
    let encoder = &model.0.text_encoder;
    if cond.len() != uncond.len() {
        let (a, b) = (cond.len(), uncond.len());
        return Err(NodeError::input("negative_token_ids", format!("{b} token ids, but the prompt has {a}")));
    }
    let cond = encoder.forward(&[cond]).map_err(input_error("token_ids"))?;
    let uncond = encoder.forward(&[uncond]).map_err(input_error("negative_token_ids"))?;
    let conditioning = Conditioning { cond, uncond, model: model.0.digest.clone(), prompt: prompt.into() };
    Ok(Outputs::one("conditioning", Value::native(conditioning)).with("num_tokens", num_tokens as i64))
}

/// The ids of a prompt or those given in its place, and how many tokens the prompt has.
fn tokens(
    inputs: &Inputs,
    context: &dyn RunContext,
    model: &Model,
    ids: &'static str,
    (name, prompt): (&str, &str),
) -> Result<(Vec<u32>, usize), NodeError> {
    if inputs.get(ids).is_none() {
        let encoded = model.0.tokenizer.encode(prompt);
        let count = model.0.tokenizer.ids(prompt).len();
        if encoded.cut > 0 {
            let message = format!("`{name}`: the last {} of {count} tokens do not fit and are cut", encoded.cut);
            context.log(LogLevel::Warning, &message);
        }
        return Ok((encoded.ids, count));
    }
    let given = inputs.list(ids)?;
    if given.is_empty() || given.len() > model.0.tokenizer.length() {
        let (most, found) = (model.0.tokenizer.length(), given.len());
        return Err(NodeError::input(ids, format!("1 to {most} token ids are needed, found {found}")));
    }
    let each = given.iter().map(|id| match id {
        Value::Integer(id) => u32::try_from(*id).map_err(|_| NodeError::input(ids, format!("{id} is no token id"))),
        other => Err(NodeError::input(ids, format!("expected integers, found `{}`", other.port_type()))),
    });
    Ok((each.collect::<Result<Vec<_>, _>>()?, given.len()))
}
