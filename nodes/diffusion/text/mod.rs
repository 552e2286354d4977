//! From a prompt to the context of a denoiser: the tokenizer and CLIP's text encoder.

mod clip;
mod config;
mod files;
mod learning;
mod tokenizer;
mod vocabulary;

pub use clip::ClipTextModel;
pub use config::{ClipTextConfig, HiddenAct};
pub use learning::learn_tokenizer;
pub use tokenizer::{Padding, TOKENS, Tokenizer, Tokens};
