//! A byte-pair vocabulary of CLIP's kind: which bytes and merges there are, and what a word becomes by them.
//!
//! Bytes are spelt as printable characters (GPT-2's table), and the last symbol of a word carries `</w>`. Merging
//! follows Sennrich et al. 2016: of all neighbouring pairs the one learned first is merged, wherever it occurs,
//! until none is left.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::Read;
use std::sync::{Arc, LazyLock};

pub(super) const START: &str = "<|startoftext|>";
pub(super) const END: &str = "<|endoftext|>";
const WORD_END: &str = "</w>";

/// The merges of CLIP's vocabulary, one `a b` a line.
static CLIP_MERGES: &[u8] = include_bytes!("clip_merges.txt.gz");

/// CLIP's own vocabulary of 49,408 tokens: 256 bytes, 256 bytes that end a word, 48,894 merges, start and end.
static CLIP: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| {
    let mut text = String::new();
    flate2::read::GzDecoder::new(CLIP_MERGES).read_to_string(&mut text).expect("the embedded merges decompress");
    let merges: Vec<_> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let bytes = byte_spelling();
    let mut in_order: Vec<String> = byte_order().map(|b| bytes[usize::from(b)].to_string()).collect();
    in_order.extend(byte_order().map(|b| format!("{}{WORD_END}", bytes[usize::from(b)])));
    in_order.extend(merges.iter().map(|(a, b)| format!("{a}{b}")));
    in_order.extend([START.to_string(), END.to_string()]);
    let tokens = in_order.into_iter().zip(0..).collect();
    Arc::new(Vocabulary::new(tokens, merges.into_iter()).expect("the embedded vocabulary is whole"))
});

/// Tokens by spelling, and merges by the pair of tokens that they join.
pub(super) struct Vocabulary {
    tokens: HashMap<String, u32>,
    /// Pair of tokens → (rank, token of the pair).
    merges: HashMap<(u32, u32), (u32, u32)>,
    bytes: [u32; 256],
    last_bytes: [u32; 256],
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Vocabulary {
    /// CLIP's own vocabulary, built at the first call.
    pub(super) fn clip() -> Arc<Self> {
        CLIP.clone()
    }

    /// A vocabulary from its tokens and its merges in the order they were learned; an error says what does not fit.
    pub(super) fn new<'a>(
        tokens: HashMap<String, u32>,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let id = |token: &str| tokens.get(token).copied().ok_or_else(|| format!("the vocabulary lacks {token:?}"));
        let spelling = byte_spelling();
        let (mut bytes, mut last_bytes) = ([0; 256], [0; 256]);
        for (byte, spelt) in spelling.iter().enumerate() {
            bytes[byte] = id(&spelt.to_string())?;
            last_bytes[byte] = id(&format!("{spelt}{WORD_END}"))?;
        }
        let (start, end) = (id(START)?, id(END)?);
        let mut merges = HashMap::with_capacity(pairs.size_hint().0);
        for (rank, (a, b)) in (0..).zip(pairs) {
            let merge = || -> Result<_, String> { Ok(((id(a)?, id(b)?), (rank, id(&format!("{a}{b}"))?))) };
            let (pair, merged) = merge().map_err(|why| format!("merge {rank} ({a:?} and {b:?}): {why}"))?;
            merges.entry(pair).or_insert(merged);
        }
        Ok(Self { tokens, merges, bytes, last_bytes, start, end })
    }

    /// The id of a token by its spelling.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokens.get(token).copied()
    }

    /// Appends the tokens of one word. A heap of pairs keeps this fast on words of any length.
    pub(super) fn split(&self, word: &str, out: &mut Vec<u32>) {
        let Some((&last, first)) = word.as_bytes().split_last() else { return };
        let mut symbols: Vec<Option<u32>> = first.iter().map(|&b| Some(self.bytes[usize::from(b)])).collect();
        symbols.push(Some(self.last_bytes[usize::from(last)]));
        // A merge writes its token over the left symbol, empties the right one and leaves the neighbours linked.
        let mut right_of: Vec<usize> = (1..=symbols.len()).collect();
        let mut left_of: Vec<Option<usize>> = (0..symbols.len()).map(|i| i.checked_sub(1)).collect();
        let pair = |symbols: &[Option<u32>], left: usize, right: usize| {
            let tokens = (symbols[left]?, (*symbols.get(right)?)?);
            let (rank, merged) = *self.merges.get(&tokens)?;
            Some(Reverse((rank, left, right, merged)))
        };
        let mut heap: BinaryHeap<_> = (1..symbols.len()).filter_map(|i| pair(&symbols, i - 1, i)).collect();
        while let Some(found) = heap.pop() {
            let Reverse((_, left, right, merged)) = found;
            if right_of[left] != right || pair(&symbols, left, right) != Some(found) {
                continue; // one of the two has been merged with another neighbour since
            }
            symbols[left] = Some(merged);
            symbols[right] = None;
            right_of[left] = right_of[right];
            if let Some(back) = left_of.get_mut(right_of[right]) {
                *back = Some(left);
            }
            heap.extend(pair(&symbols, left, right_of[left]));
            heap.extend(left_of[left].and_then(|before| pair(&symbols, before, left)));
        }
        out.extend(symbols.into_iter().flatten());
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vocabulary({} tokens, {} merges)", self.tokens.len(), self.merges.len())
    }
}

/// Bytes in the order of GPT-2's table: the printable ones of Latin-1, then all others.
fn byte_order() -> impl Iterator<Item = u8> {
    let printable = |b: &u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    (0..=255).filter(printable).chain((0..=255).filter(move |b| !printable(b)))
}

/// How each byte is spelt: as itself where printable, else as the next character from U+0100 on.
pub(super) fn byte_spelling() -> [char; 256] {
    let mut spelling = ['\0'; 256];
    let mut others = '\u{100}'..;
    for byte in byte_order() {
        let itself = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff).then_some(char::from(byte));
        spelling[usize::from(byte)] = itself.or_else(|| others.next()).unwrap_or('\0');
    }
    spelling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_vocabulary_is_clips() {
        let clip = Vocabulary::clip();
        assert_eq!((clip.tokens.len(), clip.merges.len()), (49_408, 48_894));
        for (token, id) in [("!", 0), ("!</w>", 256), ("in", 512), (START, 49_406), (END, 49_407), ("a</w>", 320)] {
            assert_eq!(clip.id(token), Some(id), "{token}");
        }
    }

    #[test]
    fn words_split_by_rank_not_by_position() {
        let mut tokens: HashMap<String, u32> = Vocabulary::clip().tokens.clone();
        tokens.extend([("bc".to_string(), 60_000), ("abx".to_string(), 60_001)]);
        let learned = Vocabulary::new(tokens, [("b", "c"), ("a", "b")].into_iter()).unwrap();
        let spelt = |word: &str| {
            let mut ids = Vec::new();
            learned.split(word, &mut ids);
            ids
        };
        let id = |token: &str| learned.id(token).unwrap();
        assert_eq!(spelt("abcx"), [id("a"), id("bc"), id("x</w>")]);
        assert_eq!(spelt("ababx"), [id("ab"), id("ab"), id("x</w>")]);
        assert_eq!(spelt("abc"), [id("ab"), id("c</w>")]);
        assert_eq!(spelt("bcabcab"), [id("bc"), id("a"), id("bc"), id("a"), id("b</w>")]);
        assert_eq!(spelt(""), [0_u32; 0]);
    }

    /// The algorithm as the paper states it: merge the best pair wherever it occurs, then look again.
    fn split_slowly(vocabulary: &Vocabulary, word: &str) -> Vec<u32> {
        let (last, first) = word.as_bytes().split_last().unwrap();
        let mut symbols: Vec<u32> = first.iter().map(|&b| vocabulary.bytes[usize::from(b)]).collect();
        symbols.push(vocabulary.last_bytes[usize::from(*last)]);
        loop {
            let known = symbols.windows(2).filter_map(|p| Some((vocabulary.merges.get(&(p[0], p[1]))?, p)));
            let Some((&(_, merged), pair)) = known.min_by_key(|((rank, _), _)| *rank) else { return symbols };
            let (pair, before) = ([pair[0], pair[1]], std::mem::take(&mut symbols));
            let mut rest = before.as_slice();
            while let Some((&symbol, tail)) = rest.split_first() {
                let found = rest.starts_with(&pair);
                symbols.push(if found { merged } else { symbol });
                rest = if found { &tail[1..] } else { tail };
            }
        }
    }

    #[test]
    fn words_split_as_the_paper_says() {
        let clip = Vocabulary::clip();
        // Common letters and their repetitions, so that many merges compete.
        let letters: Vec<char> = crate::weights::uniform("letters", 20_000)
            .map(|u| "aaeeiioonnsstrlh\u{e9}\u{1f600}".chars().nth(((u + 1.0) * 9.0) as usize).unwrap())
            .collect();
        for (i, word) in letters.chunks(40).enumerate() {
            let word: String = word[..1 + i % 40].iter().collect();
            let mut split = Vec::new();
            clip.split(&word, &mut split);
            assert_eq!(split, split_slowly(&clip, &word), "{word}");
        }
    }
}
