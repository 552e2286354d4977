//! Diagnostics for people, and as data.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{Diagnostic, Location, Severity};

/// How many diagnostics are shown; 100,000 broken links need no book.
const MOST: usize = 50;
/// How much of a line is shown around a problem.
const WINDOW: usize = 120;

/// The text of a document and the name of its file.
#[derive(PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    /// Where in `text` each line begins.
    lines: Vec<usize>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

impl Source {
    /// A text and the name to show for it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not UTF-8.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let bytes = std::fs::read(path)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            let message = format!("line {line} is not UTF-8; save the file as UTF-8");
            std::io::Error::new(std::io::ErrorKind::InvalidData, message)
        })?;
        Ok(Self::new(path.display().to_string(), text))
    }

    /// The same under another name.
    pub(crate) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it goes by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A line of the text, without its end.
    fn line(&self, line: usize) -> Option<&str> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        self.text.get(start..end).map(|text| text.trim_end_matches('\r'))
    }
}

/// Diagnostics as text, one after the other. Reads without colour as with it.
pub fn render(diagnostics: &[Diagnostic], source: &Source, colour: bool) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics.iter().take(MOST) {
        one(&mut text, diagnostic, source, colour);
        text.push('\n');
    }
    if let Some(more) = diagnostics.len().checked_sub(MOST).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more");
    } else {
        text.pop();
    }
    text
}

/// Diagnostics as data.
pub fn render_json(diagnostics: &[Diagnostic], source: &Source) -> Value {
    json!({ "file": source.name, "diagnostics": diagnostics })
}

fn one(text: &mut String, diagnostic: &Diagnostic, source: &Source, colour: bool) {
    let paint = |code: &'static str| if colour { code } else { "" };
    let (bold, blue, reset) = (paint("\x1b[1m"), paint("\x1b[34m"), paint("\x1b[0m"));
    let (word, hue) = match diagnostic.severity {
        Severity::Error => ("error", paint("\x1b[1;31m")),
        Severity::Warning => ("warning", paint("\x1b[1;33m")),
    };
    // Writing to a `String` does not fail.
    let _ = writeln!(text, "{hue}{word}{reset}{bold}: {}{reset}", printable(&diagnostic.message));
    let included = diagnostic.source.as_deref();
    let (document, source) = (source, included.unwrap_or(source));
    let name = printable(&source.name);
    match diagnostic.location {
        None => {
            let _ = writeln!(text, "  {blue}-->{reset} {name}");
        }
        Some(Location { line, column }) => {
            let _ = writeln!(text, "  {blue}-->{reset} {name}:{line}:{column}");
            if let Some(excerpt) = source.line(line).filter(|text| !text.is_empty()) {
                let (excerpt, caret) = window(excerpt, column);
                let number = line.to_string();
                let pad = " ".repeat(number.len());
                let _ = writeln!(text, "{blue}{pad} |{reset}");
                let _ = writeln!(text, "{blue}{number} |{reset} {excerpt}");
                let _ = writeln!(text, "{blue}{pad} |{reset} {}{hue}^{reset}", " ".repeat(caret));
            }
        }
    }
    // An inner node is called after the nodes that include its document.
    if let Some((by, _)) = included.and(diagnostic.node.as_deref()).and_then(|node| node.rsplit_once('/')) {
        let (by, document) = (printable(by), printable(&document.name));
        let _ = writeln!(text, "{bold}included{reset} by `{by}` of {document}");
    }
    for hint in &diagnostic.hints {
        let _ = writeln!(text, "{bold}hint{reset}: {}", printable(hint));
    }
}

/// The part of a line around a column, and how many characters stand before the column in it.
fn window(line: &str, column: usize) -> (String, usize) {
    let before = column.saturating_sub(1);
    // A byte order mark is no column.
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    let skipped = if before > WINDOW * 3 / 4 { before - WINDOW / 2 } else { 0 };
    let mut rest = line.chars().skip(skipped);
    // One character each, so that the caret stays under its column; and no character that moves the cursor.
    let plain = |c: char| {
        if c == '\t' {
            ' '
        } else if c.is_control() {
            '\u{fffd}'
        } else {
            c
        }
    };
    let shown: String = rest.by_ref().take(WINDOW).map(plain).collect();
    let front = if skipped > 0 { "…" } else { "" };
    let back = if rest.next().is_some() { "…" } else { "" };
    (format!("{front}{}{back}", shown.trim_end()), before - skipped + front.chars().count())
}

/// Names come from documents, which must not be able to steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Diagnostic {
        Diagnostic::error(
            "type-mismatch",
            "`sampler.latents` expects `dc:latents`, but `portrait.image` gives `core:image`",
        )
        .at(Location { line: 2, column: 12 })
        .hint("put an `Encode VAE` node between `portrait` and `sampler`".to_owned())
    }

    #[test]
    fn reads_as_designed() {
        let source = Source::new("graphs/personalize.json", "{\n\t\"latents\": \"portrait.image\"\r\n}");
        let expected = "\
error: `sampler.latents` expects `dc:latents`, but `portrait.image` gives `core:image`
  --> graphs/personalize.json:2:12
  |
2 |  \"latents\": \"portrait.image\"
  |            ^
hint: put an `Encode VAE` node between `portrait` and `sampler`
";
        let plain = render(&[example()], &source, false);
        assert_eq!(plain, expected);
        let two = render(&[example(), Diagnostic::warning("unused-node", "`a` is not used")], &source, false);
        assert_eq!(two, format!("{expected}\nwarning: `a` is not used\n  --> graphs/personalize.json\n"));
        let mut coloured = render(&[example()], &source, true);
        for code in ["\x1b[1;31m", "\x1b[1m", "\x1b[34m", "\x1b[0m"] {
            assert!(coloured.contains(code));
            coloured = coloured.replace(code, "");
        }
        assert_eq!(coloured, expected);
    }

    #[test]
    fn long_lines_and_control_characters_are_tamed() {
        let line = format!("{}X{}", "é".repeat(1000), "ü".repeat(1000));
        let (shown, caret) = window(&line, 1001);
        assert_eq!(shown.chars().nth(caret), Some('X'));
        assert!(shown.chars().count() <= WINDOW + 2);
        assert_eq!(window("a", 9), ("a".into(), 8));
        let evil = Diagnostic::error("unknown-type", "unknown node type `\x1b[2J`");
        assert!(!render(&[evil], &Source::new("\x1b.json", ""), false).contains('\x1b'));
    }

    #[test]
    fn floods_are_cut() {
        let many = vec![example(); 1000];
        let text = render(&many, &Source::new("a.json", "{\n}"), false);
        assert_eq!(text.matches("error:").count(), MOST);
        assert!(text.ends_with("and 950 more\n"));
        assert!(render(&[], &Source::new("a.json", ""), false).is_empty());
    }

    #[test]
    fn as_data() {
        let expected = json!({ "file": "a.json", "diagnostics": [{
            "severity": "error",
            "code": "type-mismatch",
            "message": "`sampler.latents` expects `dc:latents`, but `portrait.image` gives `core:image`",
            "location": { "line": 2, "column": 12 },
            "hints": ["put an `Encode VAE` node between `portrait` and `sampler`"],
        }] });
        assert_eq!(render_json(&[example()], &Source::new("a.json", "")), expected);
    }
}
