//! `Contact Sheet`.

use std::sync::Arc;

use dc_graph_node_api::{Image, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::lettering::{Face, wrap};
use crate::function::function_node;
use crate::image::pixels::{Depth, Samples};
use crate::image::resample::{Filter, resample};

pub(super) const PAPER: [f32; 3] = [1.0; 3];
pub(super) const INK: [f32; 3] = [0.13; 3];
const RULE: [f32; 3] = [0.85; 3];
/// Longest side of a sheet, in pixels.
pub(super) const MAX_SIDE: usize = 16_384;
/// Most lines of a label.
const LABEL_LINES: usize = 3;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Contact Sheet",
        "image",
        "Lays pictures out in a labelled grid, next to the reference they show.",
    )
    .input(InputSpec::required("images", PortType::Image.list(), "The pictures, row by row."))
    .input(InputSpec::optional("reference", PortType::Image, "A picture to show once, at the left."))
    .input(InputSpec::optional(
        "labels",
        PortType::Text.list(),
        "What stands below the pictures: one for each of them, or one for all.",
    ))
    .input(InputSpec::with_default("reference_label", "reference", "What stands below the reference."))
    .input(InputSpec::with_default("title", "", "What stands above everything; nothing when empty."))
    .input(
        InputSpec::with_default("columns", 0_i64, "Pictures in a row; 0 for about as many as rows.").range(0.0..=64.0),
    )
    .input(
        InputSpec::with_default("cell", 256_i64, "Longest side of a picture on the sheet, in pixels.")
            .range(32.0..=2048.0),
    )
    .input(
        InputSpec::with_default("gap", 16_i64, "Space between pictures and around them, in pixels.").range(0.0..=256.0),
    )
    .output("image", PortType::Image, "The sheet: RGB, u8, white paper.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let images = inputs.images("images")?;
    if images.is_empty() {
        return Err(NodeError::input("images", "no pictures to show"));
    }
    let labels = labels(inputs, images.len())?;
    let side = |port| inputs.integer(port).map(|v| v.max(0) as usize);
    let (cell, gap) = (side("cell")?.max(1), side("gap")?);
    let columns = match side("columns")? {
        0 => (images.len() as f64).sqrt().ceil() as usize,
        given => given.min(images.len()),
    };
    let face = match cell {
        0..384 => Face::Small,
        384..768 => Face::Medium,
        _ => Face::Large,
    };
    let label = |text: &str| wrap(text, cell / face.letter(), LABEL_LINES);
    let labels: Vec<Vec<String>> = labels.iter().map(|l| label(l)).collect();
    let reference = match inputs.get("reference") {
        Some(_) => Some((inputs.image("reference")?, label(inputs.text("reference_label")?))),
        None => None,
    };

    let label_lines = labels.iter().chain(reference.iter().map(|r| &r.1)).map(Vec::len).max().unwrap_or(0);
    let label_height = if label_lines > 0 { label_lines * face.line() + face.line() / 2 } else { 0 };
    let rows = images.len().div_ceil(columns);
    // The reference has a column of its own, with a rule in twice the gap to its right.
    let left = gap + if reference.is_some() { cell + 2 * gap + 1 } else { 0 };
    let width = left + columns * (cell + gap);
    let title_face = face.larger();
    let title = wrap(inputs.text("title")?, (width - 2 * gap) / title_face.letter(), LABEL_LINES);
    let top = gap + if title.is_empty() { 0 } else { title.len() * title_face.line() + gap.max(8) };
    let row_height = cell + label_height + gap;
    let height = top + rows * row_height;
    if width.max(height) > MAX_SIDE {
        return Err(NodeError::input("images", format!("the sheet would have {width}x{height} pixels")).with_hint(
            format!("no side may have more than {MAX_SIDE}: show fewer pictures, or choose a smaller `cell`"),
        ));
    }

    let mut sheet = Samples::filled(width, height, &PAPER);
    for (i, line) in title.iter().enumerate() {
        write_centered(&mut sheet, title_face, 0, width, gap + i * title_face.line(), line);
    }
    if let Some((image, label)) = &reference {
        place(&mut sheet, image, label, face, (gap, top), cell);
        for y in top..height - gap {
            sheet.pixel_mut(gap + cell + gap, y).copy_from_slice(&RULE);
        }
    }
    for (i, (image, label)) in images.iter().zip(&labels).enumerate() {
        let (column, row) = (i % columns, i / columns);
        place(&mut sheet, image, label, face, (left + column * (cell + gap), top + row * row_height), cell);
    }
    Ok(Outputs::one("image", sheet.into_image(Depth::U8)?))
}

fn labels(inputs: &Inputs, count: usize) -> Result<Vec<String>, NodeError> {
    let given: &[Value] = if inputs.get("labels").is_some() { inputs.list("labels")? } else { &[] };
    let texts: Vec<String> =
        given.iter().filter_map(|v| if let Value::Text(t) = v { Some(t.to_string()) } else { None }).collect();
    match texts.len() {
        0 => Ok(vec![String::new(); count]),
        1 => Ok(vec![texts[0].clone(); count]),
        n if n == count => Ok(texts),
        n => Err(NodeError::input("labels", format!("{n} labels for {count} pictures"))
            .with_hint("give one for each picture, or one for all")),
    }
}

/// Puts a picture into the middle of its cell, with a hairline around it, and its label below.
pub(super) fn place(sheet: &mut Samples, image: &Image, label: &[String], face: Face, at: (usize, usize), cell: usize) {
    let picture = Samples::of(image).into_rgb_over(PAPER);
    let scale = cell as f64 / picture.width.max(picture.height) as f64;
    let scaled = |side: usize| ((side as f64 * scale).round() as usize).clamp(1, cell);
    let (width, height) = (scaled(picture.width), scaled(picture.height));
    let filter = if scale >= 4.0 { Filter::Nearest } else { Filter::Lanczos };
    let picture = resample(&picture, width, height, filter);
    let (x, y) = (at.0 + (cell - width) / 2, at.1 + (cell - height) / 2);
    for row in y.saturating_sub(1)..(y + height + 1).min(sheet.height) {
        for column in x.saturating_sub(1)..(x + width + 1).min(sheet.width) {
            sheet.pixel_mut(column, row).copy_from_slice(&RULE);
        }
    }
    sheet.paste(&picture, x, y);
    for (i, line) in label.iter().enumerate() {
        write_centered(sheet, face, at.0, cell, at.1 + cell + face.line() / 3 + i * face.line(), line);
    }
}

pub(super) fn write_centered(sheet: &mut Samples, face: Face, x: usize, width: usize, y: usize, line: &str) {
    let indent = width.saturating_sub(line.chars().count() * face.letter()) / 2;
    face.write(sheet, x + indent, y, line, INK);
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::Pixels;

    use super::*;
    use crate::function::testing;

    fn flat(width: u32, height: u32, value: u8) -> Image {
        Image::new(width, height, 3, Pixels::U8(vec![value; (width * height * 3) as usize])).unwrap()
    }

    fn images(count: u8) -> Value {
        Value::list(PortType::Image, (0..count).map(|i| flat(64, 64, 50 + i).into()).collect::<Vec<_>>())
    }

    fn texts(texts: &[&str]) -> Value {
        Value::list(PortType::Text, texts.iter().map(|t| Value::text(*t)).collect::<Vec<_>>())
    }

    fn sheet(inputs: Inputs) -> Result<Samples, String> {
        let inputs = inputs.with("cell", 64_i64).with("gap", 10_i64);
        match testing::run(&node(), inputs).map_err(|e| e.to_string())?.get("image") {
            Some(Value::Image(i)) => Ok(Samples::of(i)),
            _ => panic!(),
        }
    }

    #[track_caller]
    fn check(inputs: Inputs, size: (usize, usize), pixels: &[(usize, usize, u8)]) {
        let found = sheet(inputs).unwrap();
        assert_eq!((found.width, found.height), size);
        for (x, y, value) in pixels {
            assert_eq!(found.pixel(*x, *y), [f32::from(*value) / 255.0; 3], "at ({x}, {y})");
        }
    }

    #[test]
    fn layouts() {
        let shown = |count| Inputs::default().with("images", images(count));
        // Cells start at 10 and 84 and end before 74 and 148.
        check(shown(1), (84, 84), &[(0, 0, 255), (10, 10, 50), (73, 73, 50), (9, 9, 217), (75, 75, 255)]);
        check(shown(3), (158, 158), &[(10, 10, 50), (84, 10, 51), (10, 84, 52), (84, 84, 255)]);
        check(shown(3).with("columns", 3_i64), (232, 84), &[(10, 10, 50), (84, 10, 51), (158, 10, 52)]);
        check(shown(2).with("columns", 64_i64), (158, 84), &[(84, 10, 51)]);
        // The reference: 10 + 64 + 10, a rule, 10, then the pictures; a label of one line and a half.
        let with_reference = shown(1).with("reference", flat(32, 32, 9));
        check(with_reference, (169, 108), &[(10, 10, 9), (84, 10, 217), (95, 10, 50), (95, 74, 217)]);
        let wide = Value::list(PortType::Image, vec![flat(64, 32, 7).into()]);
        check(
            Inputs::default().with("images", wide),
            (84, 84),
            &[(10, 25, 217), (10, 26, 7), (10, 57, 7), (10, 58, 217)],
        );
    }

    #[test]
    fn words_take_their_place() {
        let dark = |inputs: Inputs, rows: std::ops::Range<usize>| {
            let found = sheet(inputs.with("images", images(2))).unwrap();
            rows.flat_map(|y| (0..found.width).map(move |x| (x, y)))
                .filter(|(x, y)| found.pixel(*x, *y)[0] < 0.18)
                .count()
        };
        assert_eq!(dark(Inputs::default(), 0..84), 0);
        assert!(dark(Inputs::default().with("labels", texts(&["a", "b"])), 75..100) > 5);
        assert!(dark(Inputs::default().with("labels", texts(&["one for all"])), 75..116) > 20);
        assert!(dark(Inputs::default().with("title", "Title"), 10..34) > 20);
    }

    #[test]
    fn problems() {
        let error = |inputs: Inputs| sheet(inputs).unwrap_err();
        let labels = texts(&["a", "b"]);
        assert_eq!(error(Inputs::default().with("images", images(0))), "`images`: no pictures to show");
        assert_eq!(
            error(Inputs::default().with("images", images(3)).with("labels", labels)),
            "`labels`: 2 labels for 3 pictures"
        );
        let many = Inputs::default().with("images", images(250)).with("columns", 1_i64);
        assert_eq!(error(many), "`images`: the sheet would have 84x18510 pixels");
    }
}
