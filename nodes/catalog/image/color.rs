//! Colours as people write them.

use dc_graph_node_api::{Inputs, NodeError};

/// The sRGB-encoded colour on a text port: `#rgb`, `#rrggbb`, `white`, `black` or `grey`.
pub(crate) fn color(inputs: &Inputs, port: &str) -> Result<[f32; 3], NodeError> {
    let text = inputs.text(port)?;
    parse(text).ok_or_else(|| {
        NodeError::input(port, format!("`{text}` is no colour"))
            .with_hint("write `#rrggbb` with hexadecimal digits, such as `#ff8000`, or `white`, `black`, `grey`")
    })
}

fn parse(text: &str) -> Option<[f32; 3]> {
    let digits = match text {
        "white" => "ffffff",
        "black" => "000000",
        "grey" | "gray" => "808080",
        _ => text.strip_prefix('#')?,
    };
    let digits: Vec<f32> = digits.chars().map(|c| Some(c.to_digit(16)? as f32)).collect::<Option<_>>()?;
    match digits[..] {
        [r, g, b] => Some([r / 15.0, g / 15.0, b / 15.0]),
        [r1, r0, g1, g0, b1, b0] => {
            Some([(r1 * 16.0 + r0) / 255.0, (g1 * 16.0 + g0) / 255.0, (b1 * 16.0 + b0) / 255.0])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors() {
        let cases = [
            ("white", Some([1.0; 3])),
            ("#000", Some([0.0; 3])),
            ("#f0A", Some([1.0, 0.0, 10.0 / 15.0])),
            ("#ff8000", Some([1.0, 128.0 / 255.0, 0.0])),
            ("ff8000", None),
            ("#ff80", None),
            ("#größer", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
