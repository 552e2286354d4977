//! CLIP's tokenizer, as the Hugging Face implementation behaves: what users of Stable Diffusion expect.
//!
//! Written out because the `tokenizers` crate builds for minutes, C code included, to serve many other models.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::files;
use super::vocabulary::{END, START, Vocabulary};
use crate::error::Error;

/// How many tokens Stable Diffusion's text encoders take: start, at most 75 of the prompt, end, padding.
pub const TOKENS: usize = 77;

/// CLIP's pattern: contractions, runs of letters, single digits, runs of anything else but white space.
pub(super) static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+").expect("the pattern is well-formed")
});

/// What a short prompt is filled up with, where the files do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The end token: OpenAI's CLIP, Stable Diffusion 1.x.
    End,
    /// Token 0, `!`: OpenCLIP, Stable Diffusion 2.x.
    Zero,
}

/// A prompt as the text encoder takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Start, prompt, end, padding: [`TOKENS`] ids for Stable Diffusion.
    pub ids: Vec<u32>,
    /// How many tokens of the prompt did not fit.
    pub cut: usize,
}

/// Turns prompts into token ids. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    vocabulary: Arc<Vocabulary>,
    pad: u32,
    length: usize,
}

impl Tokenizer {
    /// The vocabulary of all Stable Diffusion 1.x and 2.x models, which comes with this crate.
    pub fn clip(padding: Padding) -> Self {
        Self::new(Vocabulary::clip(), padding)
    }

    /// The tokenizer of a model's `tokenizer/` folder: `tokenizer.json`, else `vocab.json` and `merges.txt`, else
    /// (no such files, or no such folder) [`clip`](Self::clip). The padding is that of `special_tokens_map.json` or
    /// `tokenizer_config.json` where they name it.
    ///
    /// # Errors
    /// When a file cannot be read or is not that of a CLIP tokenizer.
    pub fn load(folder: &Path, padding: Padding) -> Result<Self, Error> {
        let vocabulary = files::vocabulary(folder)?.map_or_else(Vocabulary::clip, Arc::new);
        let mut tokenizer = Self::new(vocabulary, padding);
        if let Some(pad) = files::pad_token(folder, &tokenizer.vocabulary)? {
            tokenizer.pad = pad;
        }
        Ok(tokenizer)
    }

    /// The tokenizer of a `tokenizer.json`, from its text.
    ///
    /// # Errors
    /// When it is not that of a CLIP tokenizer.
    pub fn from_json(text: &str, padding: Padding) -> Result<Self, Error> {
        Ok(Self::new(Arc::new(files::parse_tokenizer_json(Path::new("tokenizer.json"), text)?), padding))
    }

    /// The same tokenizer for a text encoder that takes `length` tokens, 2 at least, instead of [`TOKENS`].
    #[must_use]
    pub fn with_length(self, length: usize) -> Self {
        Self { length: length.max(2), ..self }
    }

    /// Number of tokens of an encoded prompt.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Start, prompt and end, cut to [`length`](Self::length) with the end token kept, or padded to it.
    pub fn encode(&self, prompt: &str) -> Tokens {
        let mut ids = self.ids(prompt);
        let cut = ids.len().saturating_sub(self.length - 2);
        ids.truncate(self.length - 2);
        ids.insert(0, self.vocabulary.start);
        ids.push(self.vocabulary.end);
        ids.resize(self.length, self.pad);
        Tokens { ids, cut }
    }

    /// The tokens of a text, however many, without start and end. The two special tokens are recognised in the text.
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        let specials = [(START, self.vocabulary.start), (END, self.vocabulary.end)];
        loop {
            let found = specials.iter().filter_map(|&(token, id)| Some((rest.find(token)?, token, id))).min();
            let Some((at, token, id)) = found else { break };
            self.plain(&rest[..at], &mut ids);
            ids.push(id);
            rest = &rest[at + token.len()..];
        }
        self.plain(rest, &mut ids);
        ids
    }

    fn new(vocabulary: Arc<Vocabulary>, padding: Padding) -> Self {
        let pad = match padding {
            Padding::End => vocabulary.end,
            Padding::Zero => 0,
        };
        Self { vocabulary, pad, length: TOKENS }
    }

    /// Text without special tokens. White space need not be collapsed first: the pattern drops it.
    fn plain(&self, text: &str, ids: &mut Vec<u32>) {
        // Character by character: `str::to_lowercase` knows the final sigma, the reference does not.
        let text: String = text.nfc().flat_map(char::to_lowercase).collect();
        for word in WORDS.find_iter(&text) {
            self.vocabulary.split(word.as_str(), ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        hf: Vec<u32>,
    }

    const CASES: &str = include_str!("../../../tests/parity/tokenizer_cases.json");

    #[test]
    fn ids_equal_those_of_the_reference() {
        let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
        assert_eq!(cases.len(), 12);
        let tokenizer = Tokenizer::clip(Padding::End);
        for Case { text, hf } in cases {
            assert_eq!(tokenizer.ids(&text), hf, "{text:?}");
        }
    }

    #[test]
    fn normalisation() {
        let tokenizer = Tokenizer::clip(Padding::End);
        let check = |text: &str, same_as: &str| {
            assert_eq!(tokenizer.ids(text), tokenizer.ids(same_as), "{text:?} and {same_as:?}");
        };
        check("cafe\u{301}", "café");
        check("A\u{a0}\u{3000}B", "a b");
        check("ΣΟΦΟΣ", "σοφοσ");
        check("İ", "i\u{307}");
        check("<|endoftext|>x", "<|endoftext|> x");
    }

    #[test]
    fn prompts_are_padded_or_cut() {
        let check = |padding, prompt: &str, prompt_tokens: usize, cut: usize, last: u32| {
            let tokens = Tokenizer::clip(padding).encode(prompt);
            assert_eq!((tokens.ids.len(), tokens.cut, tokens.ids[0]), (TOKENS, cut, 49_406));
            assert_eq!(tokens.ids[1 + prompt_tokens], 49_407);
            assert!(!tokens.ids[1..=prompt_tokens].contains(&49_407));
            assert!(tokens.ids[prompt_tokens + 2..].iter().all(|&id| id == last));
        };
        check(Padding::End, "", 0, 0, 49_407);
        check(Padding::Zero, "", 0, 0, 0);
        check(Padding::Zero, "a photo of a cat", 5, 0, 0);
        check(Padding::End, &"cat ".repeat(75), 75, 0, 49_407);
        check(Padding::End, &"cat ".repeat(76), 75, 1, 49_407);
        check(Padding::Zero, &"cat ".repeat(500), 75, 425, 0);
    }

    #[test]
    fn a_word_of_a_megabyte_is_no_trouble() {
        let word: String = (0..1_000_000_u64).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
        assert!(Tokenizer::clip(Padding::End).encode(&word).cut > 100_000);
    }
}
