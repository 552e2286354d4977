//! JSON with places.
//!
//! A reader of our own rather than a crate: it keeps the line and column of every key and value (counted in characters,
//! in one pass), the text of every number (`16` and `16.0` differ for an integer port), and says what to do about the
//! mistakes that hands make: trailing commas, comments, single quotes, backslashes in paths. serde_json keeps no places;
//! the span-keeping crates recurse without a limit or leave numbers and messages to be redone.

use std::collections::HashMap;

use serde_json::Value;

use super::{Diagnostic, Location};

/// How deep arrays and objects may nest. Documents need 7; the limit bounds the reader's recursion.
const MAX_DEPTH: usize = 64;
/// Up to how many members an object is searched from end to end.
const SMALL: usize = 16;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Json {
    /// Where it begins.
    pub(crate) at: Location,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a JSON value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number as it is written.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in document order, without repeated keys.
    Object(Vec<Member>),
}

/// A key of an object and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// The key.
    pub(crate) key: String,
    /// Where the key begins.
    pub(crate) at: Location,
    /// The value.
    pub(crate) value: Json,
}

impl Json {
    /// What it is, for messages: `a text`.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "`null`".into(),
            Kind::Boolean(b) => format!("`{b}`"),
            Kind::Number(n) => format!("`{}`", shorten(n)),
            Kind::Text(t) => format!("the text \"{}\"", shorten(t)),
            Kind::Array(_) => "an array".into(),
            Kind::Object(_) => "an object".into(),
        }
    }

    /// The same without places.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Boolean(b) => Value::Bool(*b),
            Kind::Number(n) => match n.parse::<i64>() {
                Ok(integer) => integer.into(),
                Err(_) => n.parse::<f64>().map_or(Value::Null, Value::from),
            },
            Kind::Text(t) => Value::String(t.clone()),
            Kind::Array(items) => items.iter().map(Json::to_value).collect(),
            Kind::Object(members) => members.iter().map(|m| (m.key.clone(), m.value.to_value())).collect(),
        }
    }

    /// A value that comes from elsewhere, all of it at one place.
    pub(crate) fn from_value(value: &Value, at: Location) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(b) => Kind::Boolean(*b),
            Value::Number(n) => Kind::Number(n.to_string()),
            Value::String(t) => Kind::Text(t.clone()),
            Value::Array(items) => Kind::Array(items.iter().map(|v| Self::from_value(v, at)).collect()),
            Value::Object(members) => Kind::Object(
                members.iter().map(|(k, v)| Member { key: k.clone(), at, value: Self::from_value(v, at) }).collect(),
            ),
        };
        Self { at, kind }
    }
}

/// The beginning of a text, for messages.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// A mistake of syntax. Smaller than a [`Diagnostic`], for it is part of every result here.
#[derive(Debug)]
pub(crate) struct Mistake {
    message: String,
    at: Location,
    hint: Option<String>,
}

impl Mistake {
    fn new(message: impl Into<String>, at: Location) -> Self {
        Self { message: message.into(), at, hint: None }
    }

    fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl From<Mistake> for Diagnostic {
    fn from(Mistake { message, at, hint }: Mistake) -> Self {
        Self::error("syntax", message).at(at).hint(hint)
    }
}

/// Reads a text. Repeated keys are reported and dropped; the first mistake of syntax ends the reading.
pub(crate) fn read(text: &str) -> Result<(Json, Vec<Diagnostic>), Mistake> {
    // Some editors put a byte order mark in front; RFC 8259 lets a reader ignore it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { text, at: 0, place: Location { line: 1, column: 1 }, repeated: Vec::new() };
    reader.space()?;
    if reader.peek().is_none() {
        return Err(reader
            .wrong("the document is empty")
            .hint(r#"begin with { "version": 1, "nodes": { } }"#.to_owned()));
    }
    let json = reader.value(0)?;
    reader.space()?;
    match reader.peek() {
        None => Ok((json, reader.repeated)),
        Some(_) => Err(reader.wrong(format!("expected the end of the document, found {}", reader.found()))),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    place: Location,
    repeated: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over one byte and keeps count of lines and characters.
    fn step(&mut self) {
        match self.peek() {
            Some(b'\n') => self.place = Location { line: self.place.line + 1, column: 1 },
            // The second and later bytes of a character in UTF-8 look like 10xxxxxx.
            Some(byte) if byte & 0xC0 != 0x80 => self.place.column += 1,
            _ => {}
        }
        self.at += 1;
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.step();
        }
        there
    }

    fn wrong(&self, message: impl Into<String>) -> Mistake {
        Mistake::new(message, self.place)
    }

    /// What stands here, for messages.
    fn found(&self) -> String {
        match self.text[self.at..].chars().next() {
            None => "the end of the document".into(),
            Some(c) if c.is_control() => format!("`{}`", c.escape_unicode()),
            Some(c) => format!("`{c}`"),
        }
    }

    fn space(&mut self) -> Result<(), Mistake> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.step(),
                b'/' | b'#' => {
                    let hint = "put the remark into a node's `label` or the document's `description`";
                    return Err(self.wrong("JSON has no comments").hint(hint.to_owned()));
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json, Mistake> {
        if depth > MAX_DEPTH {
            return Err(self.wrong(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let at = self.place;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'\'') => return Err(self.wrong("found a text in single quotes").hint(quotes())),
            Some(byte) if byte.is_ascii_alphabetic() => self.word()?,
            Some(b'+' | b'.') => {
                let hint = "numbers begin with a digit or `-`: `0.5`".to_owned();
                return Err(self.wrong(format!("expected a value, found {}", self.found())).hint(hint));
            }
            _ => return Err(self.wrong(format!("expected a value, found {}", self.found()))),
        };
        Ok(Json { at, kind })
    }

    fn word(&mut self) -> Result<Kind, Mistake> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let kind = match &rest[..end] {
            "true" => Kind::Boolean(true),
            "false" => Kind::Boolean(false),
            "null" => Kind::Null,
            other => {
                let hint = match other {
                    "True" | "TRUE" => "write `true`".into(),
                    "False" | "FALSE" => "write `false`".into(),
                    "None" | "NULL" | "undefined" => "leave the key out".into(),
                    "NaN" | "nan" | "Infinity" | "inf" => "numbers are finite".into(),
                    _ => quotes(),
                };
                return Err(self.wrong(format!("expected a value, found `{}`", shorten(other))).hint(hint));
            }
        };
        (0..end).for_each(|_| self.step());
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind, Mistake> {
        let (start, place) = (self.at, self.place);
        self.eat(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits()?;
        if leading_zero && digits > 1 {
            return Err(Mistake::new("a number begins with a superfluous 0", place));
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.step();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.step();
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(Mistake::new(format!("`{}` is too large a number", shorten(text)), place));
        }
        Ok(Kind::Number(text.into()))
    }

    fn digits(&mut self) -> Result<usize, Mistake> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.step();
        }
        match self.at - start {
            0 => Err(self.wrong(format!("expected a digit, found {}", self.found()))),
            count => Ok(count),
        }
    }

    fn string(&mut self) -> Result<String, Mistake> {
        let begin = self.place;
        self.step();
        let mut text = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1F)) {
                self.step();
            }
            text.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                None | Some(b'\n' | b'\r') => {
                    let hint = "a `\"` is missing at its end; a line break inside a text is written `\\n`".to_owned();
                    return Err(Mistake::new("the text does not end on its line", begin).hint(hint));
                }
                Some(byte) => {
                    let hint = format!("write `\\u{byte:04x}`{}", if byte == b'\t' { " or `\\t`" } else { "" });
                    return Err(self.wrong("a control character inside a text").hint(hint));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Mistake> {
        let place = self.place;
        self.step();
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.step();
                return self.unicode(place);
            }
            _ => {
                let hint = "write `\\\\` for a backslash, or `/` in paths".to_owned();
                let message = format!("`\\` followed by {} means nothing", self.found());
                return Err(Mistake::new(message, place).hint(hint));
            }
        };
        self.step();
        Ok(plain)
    }

    fn unicode(&mut self, place: Location) -> Result<char, Mistake> {
        let first = self.hex()?;
        let code = if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.step();
            self.step();
            let second = self.hex()?;
            // A second half outside its range leaves no valid character, which is reported below.
            second
                .checked_sub(0xDC00)
                .filter(|low| *low < 0x400)
                .map_or(first, |low| 0x10000 + ((first - 0xD800) << 10) + low)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| Mistake::new("`\\u` gives half a surrogate pair, not a character", place))
    }

    fn hex(&mut self) -> Result<u32, Mistake> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.wrong(format!("expected four hexadecimal digits after `\\u`, found {}", self.found())));
            };
            code = code * 16 + digit;
            self.step();
        }
        Ok(code)
    }

    fn array(&mut self, depth: usize) -> Result<Kind, Mistake> {
        self.step();
        let mut items = Vec::new();
        self.space()?;
        if self.eat(b']') {
            return Ok(Kind::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if !self.next(b']')? {
                return Ok(Kind::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Kind, Mistake> {
        self.step();
        let mut members: Vec<Member> = Vec::new();
        let mut seen: HashMap<String, Location> = HashMap::new();
        self.space()?;
        if self.eat(b'}') {
            return Ok(Kind::Object(members));
        }
        loop {
            let at = self.place;
            if self.peek() != Some(b'"') {
                let quoted = self.peek().is_some_and(|b| b == b'\'' || b == b'_' || b.is_ascii_alphanumeric());
                let hint = quoted.then(quotes);
                return Err(self.wrong(format!("expected a key in double quotes, found {}", self.found())).hint(hint));
            }
            let key = self.string()?;
            self.space()?;
            if !self.eat(b':') {
                let message = format!("expected `:` after the key `{}`, found {}", shorten(&key), self.found());
                return Err(self.wrong(message));
            }
            self.space()?;
            let value = self.value(depth + 1)?;
            // Small objects, which nodes and links are, need no index.
            let first = match members.len() {
                0..=SMALL => members.iter().find(|member| member.key == key).map(|member| member.at),
                _ => seen.get(&key).copied(),
            };
            match first {
                None => {
                    if members.len() == SMALL {
                        seen = members.iter().map(|member| (member.key.clone(), member.at)).collect();
                    }
                    if members.len() >= SMALL {
                        seen.insert(key.clone(), at);
                    }
                    members.push(Member { key, at, value });
                }
                Some(first) => {
                    let message = format!("`{}` stands here a second time", shorten(&key));
                    let hint = format!("the first is on line {}, column {}", first.line, first.column);
                    self.repeated.push(Diagnostic::error("duplicate-key", message).at(at).hint(hint));
                }
            }
            if !self.next(b'}')? {
                return Ok(Kind::Object(members));
            }
        }
    }

    /// After an element: whether another one follows.
    fn next(&mut self, close: u8) -> Result<bool, Mistake> {
        self.space()?;
        if self.eat(close) {
            return Ok(false);
        }
        let comma = self.place;
        let close = char::from(close);
        if !self.eat(b',') {
            let hint = match self.peek() {
                None => Some(format!("a `{close}` is missing")),
                Some(b']' | b'}') => None,
                Some(byte) if byte.is_ascii_alphabetic() => Some("a `\"` or a `,` is missing before it".to_owned()),
                Some(_) => Some("a `,` is missing before it".to_owned()),
            };
            return Err(self.wrong(format!("expected `,` or `{close}`, found {}", self.found())).hint(hint));
        }
        self.space()?;
        if matches!(self.peek(), Some(b']' | b'}')) {
            let message = format!("a comma before `{close}`");
            return Err(Mistake::new(message, comma).hint("remove the comma".to_owned()));
        }
        Ok(true)
    }
}

fn quotes() -> String {
    "texts and keys stand in double quotes: \"...\"".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        read(text).unwrap_or_else(|d| panic!("{text}: {d:?}")).0.to_value()
    }

    #[test]
    fn agrees_with_serde_json() {
        for text in [
            "null",
            " true ",
            "[]",
            "{}",
            "[1, -2, 0, 0.5, -1e3, 2E-2, 9223372036854775807]",
            r#"{"b": 1, "a": [{"c": "d"}], "": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#,
            "\u{feff}{\"ä\": \"日本\"}",
        ] {
            let expected: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
            assert_eq!(value(text), expected, "{text}");
            assert_eq!(value(&value(text).to_string()), expected, "printed: {text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, line, column, message, hint) in [
            ("", 1, 1, "the document is empty", "begin with"),
            ("{\n  \"a\": 1,\n}", 2, 9, "a comma before `}`", "remove"),
            ("[1,]", 1, 3, "a comma before `]`", "remove"),
            ("{\"a\" 1}", 1, 6, "expected `:` after the key `a`, found `1`", ""),
            ("{\"a\": 1 \"b\": 2}", 1, 9, "expected `,` or `}`, found `\"`", "`,` is missing"),
            ("{\"a\": [1, 2}", 1, 12, "expected `,` or `]`, found `}`", ""),
            ("{\"a\": 1", 1, 8, "expected `,` or `}`, found the end of the document", "a `}` is missing"),
            ("{a: 1}", 1, 2, "expected a key in double quotes, found `a`", "double quotes"),
            ("{\"a\": 'b'}", 1, 7, "found a text in single quotes", "double quotes"),
            ("{\"é\": ünder}", 1, 7, "expected a value, found `ü`", ""),
            ("{\"é\": under}", 1, 7, "expected a value, found `under`", "double quotes"),
            ("[True]", 1, 2, "expected a value, found `True`", "`true`"),
            ("[NaN]", 1, 2, "expected a value, found `NaN`", "finite"),
            ("// hello\n{}", 1, 1, "JSON has no comments", "label"),
            ("{\"a\": \"b\n\"}", 1, 7, "the text does not end on its line", "missing"),
            ("[\"日\tb\"]", 1, 4, "a control character inside a text", "\\t"),
            ("[\"C:\\Users\"]", 1, 5, "`\\` followed by `U` means nothing", "backslash"),
            ("[\"\\ud800\"]", 1, 3, "`\\u` gives half a surrogate pair, not a character", ""),
            ("[\"\\ud800\\u0041\"]", 1, 3, "`\\u` gives half a surrogate pair, not a character", ""),
            ("[\"\\u12g4\"]", 1, 7, "expected four hexadecimal digits after `\\u`, found `g`", ""),
            ("[01]", 1, 2, "a number begins with a superfluous 0", ""),
            ("[.5]", 1, 2, "expected a value, found `.`", "0.5"),
            ("[1.]", 1, 4, "expected a digit, found `]`", ""),
            ("[1e999]", 1, 2, "`1e999` is too large a number", ""),
            ("{} {}", 1, 4, "expected the end of the document, found `{`", ""),
            ("\u{1}", 1, 1, "expected a value, found `\\u{1}`", ""),
        ] {
            let found = read(text).expect_err(text);
            assert_eq!(found.message, message, "{text}");
            assert_eq!(found.at, Location { line, column }, "{text}");
            assert_eq!(found.hint.is_none(), hint.is_empty(), "{text}: {:?}", found.hint);
            assert!(found.hint.iter().all(|h| h.contains(hint)), "{text}: {:?}", found.hint);
        }
    }

    #[test]
    fn every_key_and_value_has_its_place() {
        let (json, _) = read("{\n  \"日本\": [1,\n    \"x\"]}").unwrap();
        let Kind::Object(members) = json.kind else { panic!("an object") };
        let Kind::Array(items) = &members[0].value.kind else { panic!("an array") };
        let places: Vec<_> =
            [members[0].at, members[0].value.at, items[0].at, items[1].at].map(|at| (at.line, at.column)).into();
        assert_eq!(places, [(2, 3), (2, 9), (2, 10), (3, 5)]);
    }

    #[test]
    fn repeated_keys_are_all_found() {
        let (json, repeated) = read(r#"{"a": 1, "a": 2, "b": {"c": 1, "c": 2}}"#).unwrap();
        assert_eq!(json.to_value().to_string(), r#"{"a":1,"b":{"c":1}}"#);
        assert_eq!(repeated.iter().map(|d| d.location.unwrap().column).collect::<Vec<_>>(), [10, 32]);
        // Every key of objects around the size at which the search changes, repeated at the end.
        for size in [SMALL - 1, SMALL, SMALL + 1, SMALL + 2, 100] {
            let keys: Vec<String> = (0..size).chain(0..size).map(|i| format!("\"{i}\": 0")).collect();
            let (json, repeated) = read(&format!("{{{}}}", keys.join(","))).unwrap();
            assert_eq!((json.to_value().as_object().unwrap().len(), repeated.len()), (size, size));
        }
    }

    #[test]
    fn hostile_texts_end_in_an_error() {
        for text in ["[".repeat(1_000_000), "{\"a\":".repeat(1_000_000)] {
            assert_eq!(read(&text).unwrap_err().message, "nested deeper than 64 levels");
        }
        let mut junk = String::with_capacity(10 << 20);
        let mut state = 1_u32;
        while junk.len() < 10 << 20 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            junk.push(char::from((state >> 25) as u8 & 0x7F));
        }
        assert!(read(&junk).is_err());
        assert!(read(&format!("[\"{junk}")).is_err());
        assert!(read(&format!("[{}", "1,".repeat(5 << 20))).is_err());
        // Every beginning of a document is read without a panic.
        let text = r#"{"a": [1.5e3, "\ud83d\ude00", null, {"b": "日"}], "c": -0.1}"#;
        for (end, _) in text.char_indices() {
            assert!(read(&text[..end]).is_err(), "{end}");
        }
    }
}
