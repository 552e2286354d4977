//! `Resize`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::{Depth, Samples};
use super::resample::{Filter, resample};
use crate::function::function_node;

const SIDE: std::ops::RangeInclusive<f64> = 1.0..=16384.0;

pub(crate) fn node() -> Arc<dyn Node> {
    let side = |name, other| {
        let text = format!("In pixels; without it, what keeps the proportions with the given {other}.");
        InputSpec::optional(name, PortType::Integer, &text).range(SIDE)
    };
    let spec = NodeSpec::new("Resize", "image", "Changes the number of pixels of a picture.")
        .input(InputSpec::required("image", PortType::Image, "The picture."))
        .input(side("width", "height"))
        .input(side("height", "width"))
        .input(
            InputSpec::with_default(
                "mode",
                "fit",
                "With both sides given: `fit` keeps the proportions and stays inside, `fill` keeps them, covers all and cuts off evenly, `stretch` does not keep them.",
            )
            .choices(&["fit", "fill", "stretch"]),
        )
        .input(
            InputSpec::with_default("filter", "lanczos", "The kernel; all but `nearest` average when reducing.")
                .choices(&Filter::NAMES),
        )
        .output("image", PortType::Image, "The resized picture, stored as the input is.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let image = inputs.image("image")?;
    let side = |name| -> Result<Option<f64>, NodeError> {
        inputs.get(name).map(|_| inputs.integer(name).map(|v| v as f64)).transpose()
    };
    let (from_width, from_height) = (f64::from(image.width()), f64::from(image.height()));
    let (width, height) = match (side("width")?, side("height")?) {
        (Some(w), Some(h)) => (w, h),
        (Some(w), None) => (w, rounded(w * from_height / from_width)),
        (None, Some(h)) => (rounded(h * from_width / from_height), h),
        (None, None) => {
            return Err(
                NodeError::input("width", "neither `width` nor `height` is given").with_hint("give one or both")
            );
        }
    };
    let scale = (width / from_width, height / from_height);
    let (to_width, to_height) = match inputs.text("mode")? {
        "fill" => scaled(from_width, from_height, scale.0.max(scale.1)),
        "stretch" => (width, height),
        _ => scaled(from_width, from_height, scale.0.min(scale.1)),
    };
    if to_width.max(to_height) > *SIDE.end() {
        return Err(NodeError::input(
            "image",
            format!("{from_width}x{from_height} pixels would become {to_width}x{to_height}"),
        )
        .with_hint("no side may have more than 16384 pixels"));
    }
    let filter = Filter::named(inputs.text("filter")?).unwrap_or(Filter::Lanczos);
    let mut result = resample(&Samples::of(image), to_width as usize, to_height as usize, filter);
    if inputs.text("mode")? == "fill" {
        let (width, height) = ((width as usize).min(result.width), (height as usize).min(result.height));
        result = result.crop((result.width - width) / 2, (result.height - height) / 2, width, height);
    }
    Ok(Outputs::one("image", result.into_image(Depth::of(image))?))
}

fn scaled(width: f64, height: f64, scale: f64) -> (f64, f64) {
    (rounded(width * scale), rounded(height * scale))
}

fn rounded(side: f64) -> f64 {
    side.round().max(1.0)
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels, Value};

    use super::*;
    use crate::function::testing;

    fn resize(inputs: Inputs) -> Result<Arc<Image>, String> {
        let image = Image::new(4, 2, 1, Pixels::U8(vec![0, 0, 200, 200, 0, 0, 200, 200])).unwrap();
        match testing::run(&node(), inputs.with("image", image)).map_err(|e| e.to_string())?.get("image") {
            Some(Value::Image(i)) => Ok(i.clone()),
            _ => panic!(),
        }
    }

    #[track_caller]
    fn check(width: Option<i64>, height: Option<i64>, mode: &str, expected: (u32, u32)) {
        let mut inputs = Inputs::default().with("mode", mode);
        width.into_iter().for_each(|w| inputs.set("width", w));
        height.into_iter().for_each(|h| inputs.set("height", h));
        let found = resize(inputs).unwrap();
        assert_eq!((found.width(), found.height()), expected);
    }

    #[test]
    fn sizes() {
        check(Some(8), None, "fit", (8, 4));
        check(None, Some(1), "fit", (2, 1));
        check(Some(1), None, "fit", (1, 1));
        check(Some(8), Some(8), "fit", (8, 4));
        check(Some(8), Some(2), "fit", (4, 2));
        check(Some(8), Some(8), "fill", (8, 8));
        check(Some(3), Some(7), "fill", (3, 7));
        check(Some(8), Some(8), "stretch", (8, 8));
    }

    #[test]
    fn pixels() {
        let pixels = |inputs: Inputs| resize(inputs).unwrap().to_u8();
        let sides = |w: i64, h: i64| Inputs::default().with("width", w).with("height", h);
        assert_eq!(pixels(sides(2, 2).with("mode", "fill").with("filter", "nearest")), [0, 200, 0, 200]);
        assert_eq!(pixels(sides(2, 1).with("mode", "stretch").with("filter", "bilinear")), [29, 171]);
        assert_eq!(resize(Inputs::default()).unwrap_err(), "`width`: neither `width` nor `height` is given");
    }
}
