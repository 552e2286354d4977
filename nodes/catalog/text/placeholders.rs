//! Texts with gaps: `a {b}`, where `{{` and `}}` are braces.

/// A part of a text with gaps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Taken as it is.
    Text(&'a str),
    /// What stands between two braces.
    Gap(&'a str),
}

/// Splits a text at its gaps.
///
/// # Errors
/// The brace that has no partner.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, char> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let brace = &rest[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            pieces.push(Piece::Text(&brace[..1]));
            rest = &brace[2..];
            continue;
        }
        if brace.starts_with('}') {
            return Err('}');
        }
        let end = brace.find('}').ok_or('{')?;
        pieces.push(Piece::Gap(&brace[1..end]));
        rest = &brace[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::Piece::{Gap, Text};
    use super::*;

    #[test]
    fn splits() {
        let cases = [
            ("", Ok(vec![])),
            ("ä", Ok(vec![Text("ä")])),
            ("ä{b}{}ö", Ok(vec![Text("ä"), Gap("b"), Gap(""), Text("ö")])),
            ("{{{b:03}}}", Ok(vec![Text("{"), Gap("b:03"), Text("}")])),
            ("a}", Err('}')),
            ("{a", Err('{')),
        ];
        for (text, expected) in cases {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }
}
