//! A vocabulary for a world of few words: byte pairs are learned (Sennrich et al. 2016) until every word is one token.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::tokenizer::WORDS;
use super::vocabulary::{END, START, byte_spelling};

/// A `tokenizer.json` in which each of these words is one token, and any other text is spelt by parts of them or by bytes.
/// With it, the number of tokens. The start token is the last but one of them, the end token the last.
pub fn learn_tokenizer<'a>(words: impl IntoIterator<Item = &'a str>) -> (Value, usize) {
    let spelling = byte_spelling();
    let mut vocab: Vec<String> = spelling.iter().map(char::to_string).collect();
    vocab.extend(spelling.iter().map(|c| format!("{c}</w>")));
    let pieces: BTreeSet<String> = words
        .into_iter()
        .flat_map(|w| WORDS.find_iter(&w.to_lowercase()).map(|m| m.as_str().to_string()).collect::<Vec<_>>())
        .collect();
    let spell = |word: &String| -> Vec<String> {
        let mut symbols: Vec<String> = word.bytes().map(|b| spelling[usize::from(b)].to_string()).collect();
        if let Some(last) = symbols.last_mut() {
            last.push_str("</w>");
        }
        symbols
    };
    let mut words: Vec<Vec<String>> = pieces.iter().map(spell).collect();
    let mut merges = Vec::new();
    loop {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for pair in words.iter().flat_map(|word| word.windows(2)) {
            *counts.entry((&pair[0], &pair[1])).or_default() += 1;
        }
        // The most frequent pair; of equals the first by spelling, so that the same words give the same vocabulary.
        let best = counts.into_iter().max_by(|(a, m), (b, n)| m.cmp(n).then_with(|| b.cmp(a)));
        let Some(((first, second), _)) = best else { break };
        let (first, second) = (first.to_string(), second.to_string());
        let merged = format!("{first}{second}");
        for word in &mut words {
            let mut i = 0;
            while i + 1 < word.len() {
                if word[i] == first && word[i + 1] == second {
                    word[i].clone_from(&merged);
                    word.remove(i + 1);
                }
                i += 1;
            }
        }
        merges.push(format!("{first} {second}"));
        vocab.push(merged);
    }
    vocab.extend([START.to_string(), END.to_string()]);
    let size = vocab.len();
    let special = |content: &str, id: usize| json!({ "id": id, "content": content, "special": true });
    let added = [special(START, size - 2), special(END, size - 1)];
    let vocab: serde_json::Map<_, _> = vocab.into_iter().zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let model = json!({ "type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocab, "merges": merges });
    (json!({ "version": "1.0", "added_tokens": added, "model": model }), size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Padding, Tokenizer};

    #[test]
    fn every_word_is_one_token() {
        let words = ["a", "bird", "birds", "bite", "cat", "act", "tact", "café", "t-shirt", "on", "Beach"];
        let (json, size) = learn_tokenizer(words);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
        let tokenizer = Tokenizer::load(folder.path(), Padding::End).unwrap().with_length(6);
        for word in words.iter().filter(|w| **w != "t-shirt") {
            assert_eq!(tokenizer.ids(word).len(), 1, "{word}");
        }
        // CLIP's pattern breaks words at what is no letter.
        assert_eq!(tokenizer.ids("t-shirt").len(), 3);
        assert!(tokenizer.ids("zebra").len() > 1, "spelt by parts");
        let end = size as u32 - 1;
        let tokens = tokenizer.encode("a bird on a beach on a");
        assert_eq!((tokens.ids.len(), tokens.cut, tokens.ids[0], tokens.ids[5]), (6, 3, end - 1, end));
        assert_eq!(tokenizer.encode("cat").ids[2..], [end; 4]);
        assert_eq!(learn_tokenizer(words), (json, size), "the same every time");
    }
}
