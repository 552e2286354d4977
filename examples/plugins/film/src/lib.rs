//! Film: two nodes that make pictures look less digital.
//!
//! The package shows a pack of several nodes: `describe` lists them, `run` dispatches by name, and everything that touches
//! no plugin interface (`grain`, `palette`) is ordinary Rust with ordinary tests.

mod grain;
mod palette;
mod pixels;
mod ports;

wit_bindgen::generate!({ path: "../../../nodes/api/wit/v0.1", world: "plugin" });

use dc_graph::node::host::{LogLevel, log};
use dc_graph::node::types::{Failure, NamedValue, Value};
use exports::dc_graph::node::nodes::{Guest, NodeSpec};
use ports::Inputs;

struct Film;

export!(Film);

impl Guest for Film {
    fn describe() -> Vec<NodeSpec> {
        vec![ports::film_grain(), ports::palette_quantise()]
    }

    fn run(node: String, inputs: Vec<NamedValue>) -> Result<Vec<NamedValue>, Failure> {
        // There is no standard error here: what a panic says goes to the log.
        std::panic::set_hook(Box::new(|panic| log(LogLevel::Warning, &panic.to_string())));
        let mut inputs = Inputs(inputs);
        match node.as_str() {
            ports::FILM_GRAIN => film_grain(&mut inputs),
            ports::PALETTE_QUANTISE => palette_quantise(&mut inputs),
            _ => Err(ports::failure(format!("there is no node `{node}` in this plugin"), None)),
        }
    }
}

fn film_grain(inputs: &mut Inputs) -> Result<Vec<NamedValue>, Failure> {
    let grain = grain::Grain {
        amount: inputs.number("amount")? as f32,
        size: inputs.number("size")? as f32,
        monochrome: inputs.boolean("monochrome")?,
    };
    let mut picture = pixels::read(inputs.image("image")?);
    let noise = dc_graph::node::random::normals(grain.count(picture.width, picture.height));
    grain.apply(&mut picture, &pixels::floats(&noise.read_all()));
    Ok(vec![ports::give("image", Value::Image(pixels::write(picture)))])
}

fn palette_quantise(inputs: &mut Inputs) -> Result<Vec<NamedValue>, Failure> {
    let colors = inputs.integer("colors")? as usize;
    let dither = inputs.boolean("dither")?;
    let mut picture = pixels::read(inputs.image("image")?);
    let palette = palette::choose(&picture, colors);
    palette::apply(&mut picture, &palette, dither);
    let names = palette.iter().map(|color| palette::name(*color)).collect();
    Ok(vec![
        ports::give("image", Value::Image(pixels::write(picture))),
        ports::give("palette", Value::Texts(names)),
    ])
}
