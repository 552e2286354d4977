//! Tokenizers as files: `tokenizer.json`, or `vocab.json` with `merges.txt`; and which token pads.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::vocabulary::Vocabulary;
use crate::error::Error;

/// CLIP's is 2.2 MB as `tokenizer.json`; nothing of the kind is near this.
const MAX_FILE: u64 = 64 << 20;

/// The vocabulary of a tokenizer's folder, if it has one.
pub(super) fn vocabulary(folder: &Path) -> Result<Option<Vocabulary>, Error> {
    let [json, vocab, merges] = ["tokenizer.json", "vocab.json", "merges.txt"].map(|name| folder.join(name));
    if json.exists() {
        read_tokenizer_json(&json).map(Some)
    } else if vocab.exists() || merges.exists() {
        read_vocab_and_merges(&vocab, &merges).map(Some)
    } else {
        Ok(None)
    }
}

/// The padding token that a tokenizer's folder names, if it does.
pub(super) fn pad_token(folder: &Path, vocabulary: &Vocabulary) -> Result<Option<u32>, Error> {
    // In this order: where the two differ (stabilityai's 2.x folders), the first one is right.
    for name in ["special_tokens_map.json", "tokenizer_config.json"] {
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        let SpecialTokens { pad_token: Some(pad) } = read_json(&path)? else { continue };
        let (SpecialToken::Text(pad) | SpecialToken::Object { content: pad }) = pad;
        let lacking = || malformed(&path, format!("the vocabulary lacks `pad_token` {pad:?}"));
        return vocabulary.id(&pad).ok_or_else(lacking).map(Some);
    }
    Ok(None)
}

#[derive(Deserialize)]
struct TokenizerJson {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct Bpe {
    end_of_word_suffix: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// Newer files hold pairs, older ones `a b`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

#[derive(Deserialize)]
struct SpecialTokens {
    pad_token: Option<SpecialToken>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Text(String),
    Object { content: String },
}

fn read_tokenizer_json(path: &Path) -> Result<Vocabulary, Error> {
    parse_tokenizer_json(path, &read_text(path)?)
}

/// The vocabulary of a `tokenizer.json`; `path` is for messages.
pub(super) fn parse_tokenizer_json(path: &Path, text: &str) -> Result<Vocabulary, Error> {
    let TokenizerJson { model, added_tokens } =
        serde_json::from_str(text).map_err(|e| malformed(path, e.to_string()))?;
    if model.end_of_word_suffix.as_deref() != Some("</w>") {
        let found = model.end_of_word_suffix.unwrap_or_default();
        let message = format!("not a CLIP tokenizer: `end_of_word_suffix` should be \"</w>\", found {found:?}");
        return Err(malformed(path, message));
    }
    let mut tokens = model.vocab;
    tokens.extend(added_tokens.into_iter().map(|t| (t.content, t.id)));
    let pairs: Option<Vec<_>> = model.merges.iter().map(Merge::pair).collect();
    let pairs = pairs.ok_or_else(|| malformed(path, "a merge is not two tokens with a space between them"))?;
    Vocabulary::new(tokens, pairs.into_iter()).map_err(|why| malformed(path, why))
}

fn read_vocab_and_merges(vocab: &Path, merges: &Path) -> Result<Vocabulary, Error> {
    let tokens = read_json(vocab)?;
    let text = read_text(merges)?;
    // The first line says `#version: 0.2`; no merge begins so.
    let lines = text.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty());
    let pairs: Option<Vec<_>> = lines.map(|line| line.split_once(' ')).collect();
    let pairs = pairs.ok_or_else(|| malformed(merges, "a line is not two tokens with a space between them"))?;
    Vocabulary::new(tokens, pairs.into_iter()).map_err(|why| malformed(merges, why))
}

impl Merge {
    fn pair(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(a, b) => Some((a, b)),
            Self::Line(line) => line.split_once(' '),
        }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    serde_json::from_str(&read_text(path)?).map_err(|e| malformed(path, e.to_string()))
}

fn read_text(path: &Path) -> Result<String, Error> {
    let file = |source| Error::File { path: path.into(), source };
    let length = std::fs::metadata(path).map_err(file)?.len();
    if length > MAX_FILE {
        return Err(malformed(path, format!("{length} bytes are too many for a tokenizer (at most {MAX_FILE})")));
    }
    String::from_utf8(std::fs::read(path).map_err(file)?).map_err(|e| malformed(path, e.to_string()))
}

fn malformed(path: &Path, message: impl Into<String>) -> Error {
    Error::Malformed { path: path.into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::text::vocabulary::{END, START, byte_spelling};
    use crate::text::{Padding, TOKENS, Tokenizer};

    use super::*;

    const MERGES: [&str; 2] = ["a b", "ab c</w>"];

    /// A vocabulary small enough to write down: the bytes (`a` is 97, `a</w>` 256 more), `ab`, `abc</w>`, start, end.
    fn vocab() -> Value {
        let bytes = (0..).zip(byte_spelling()).map(|(id, c)| (c.to_string(), id));
        let last_bytes = (256..).zip(byte_spelling()).map(|(id, c)| (format!("{c}</w>"), id));
        let others = [("ab", 600), ("abc</w>", 601), (START, 602), (END, 603)].map(|(t, id)| (t.to_string(), id));
        json!(bytes.chain(last_bytes).chain(others).collect::<HashMap<String, u32>>())
    }

    /// Loads a folder with these files.
    fn load(files: &[(&str, &str)]) -> Result<Tokenizer, Error> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Tokenizer::load(folder.path(), Padding::End)
    }

    fn tokenizer_json(suffix: &str, vocab: &Value, merges: Value) -> String {
        json!({ "model": { "end_of_word_suffix": suffix, "vocab": vocab, "merges": merges } }).to_string()
    }

    #[test]
    fn every_form_of_files_is_read() {
        let vocab = vocab();
        let pairs: Vec<_> = MERGES.iter().map(|m| m.split_once(' ').unwrap()).collect();
        let (vocab_json, merges_txt) = (vocab.to_string(), format!("#version: 0.2\n{}\n", MERGES.join("\n")));
        let check = |files: &[(&str, &str)]| assert_eq!(load(files).unwrap().ids("ABC abd"), [601, 600, 256 + 100]);
        check(&[("tokenizer.json", &tokenizer_json("</w>", &vocab, json!(MERGES)))]);
        check(&[("tokenizer.json", &tokenizer_json("</w>", &vocab, json!(pairs)))]);
        check(&[("vocab.json", &vocab_json), ("merges.txt", &merges_txt)]);
    }

    #[test]
    fn without_files_it_is_clips() {
        let ids = |tokenizer: Tokenizer| tokenizer.encode("a cat").ids;
        assert_eq!(ids(load(&[]).unwrap()), ids(Tokenizer::clip(Padding::End)));
        let nowhere = Tokenizer::load(Path::new("no such folder"), Padding::Zero).unwrap();
        assert_eq!(ids(nowhere), ids(Tokenizer::clip(Padding::Zero)));
    }

    #[test]
    fn padding_comes_from_the_files() {
        let check = |files: &[(&str, &str)], pad: u32| {
            assert_eq!(load(files).unwrap().encode("").ids[TOKENS - 1], pad, "{files:?}");
        };
        check(&[("tokenizer_config.json", r#"{"pad_token": "!"}"#)], 0);
        check(&[("tokenizer_config.json", r#"{"pad_token": {"content": "!", "lstrip": false}}"#)], 0);
        check(&[("tokenizer_config.json", r#"{"model_max_length": 77}"#)], 49_407);
        check(&[("special_tokens_map.json", r#"{"pad_token": null}"#)], 49_407);
        let both = [
            ("special_tokens_map.json", r#"{"pad_token": "!"}"#),
            ("tokenizer_config.json", r#"{"pad_token": "<|endoftext|>"}"#),
        ];
        check(&both, 0);
    }

    #[test]
    fn malformed_files_are_named() {
        let check = |files: &[(&str, &str)], expected: &str| {
            let error = load(files).expect_err(expected);
            assert!(matches!(error, Error::Malformed { .. } | Error::File { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        };
        let vocab = vocab();
        let mut endless = vocab.clone();
        endless.as_object_mut().unwrap().remove(END);
        let json = |vocab: &Value, merges: Value| tokenizer_json("</w>", vocab, merges);
        check(&[("tokenizer.json", "{")], "tokenizer.json: EOF");
        check(&[("tokenizer.json", "{}")], "missing field `model`");
        check(&[("tokenizer.json", &tokenizer_json("", &vocab, json!([])))], "not a CLIP tokenizer");
        check(&[("tokenizer.json", &json(&json!({}), json!([])))], "the vocabulary lacks");
        check(&[("tokenizer.json", &json(&endless, json!([])))], "lacks \"<|endoftext|>\"");
        check(&[("tokenizer.json", &json(&vocab, json!(["ab"])))], "not two tokens");
        check(&[("tokenizer.json", &json(&vocab, json!(["xx y"])))], "merge 0 (\"xx\" and \"y\")");
        check(&[("tokenizer.json", &json(&vocab, json!([["a"]])))], "tokenizer.json");
        check(&[("tokenizer.json", &json(&json!({ "a": -1 }), json!([])))], "tokenizer.json");
        let vocab_json = vocab.to_string();
        check(&[("vocab.json", &vocab_json)], "merges.txt");
        check(&[("merges.txt", "a b")], "vocab.json");
        check(&[("vocab.json", &vocab_json), ("merges.txt", "ab\n")], "not two tokens");
        check(&[("vocab.json", "[1]"), ("merges.txt", "")], "vocab.json");
        check(&[("tokenizer_config.json", r#"{"pad_token": "<pad>"}"#)], "lacks `pad_token`");
        check(&[("tokenizer_config.json", "x")], "tokenizer_config.json");
    }
}
