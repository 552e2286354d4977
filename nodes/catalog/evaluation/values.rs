//! What travels between the evaluation nodes.

use dc_graph_node_api::{NativeObject, PortType};

pub(super) const EMBEDDINGS: PortType = PortType::native("dc:embeddings");
pub(super) const ANSWERS: PortType = PortType::native("dc:answers");

/// `dc:embeddings`: one row a picture.
pub(super) struct Embeddings {
    /// What made them; only those of one embedder can be compared.
    pub(super) embedder: &'static str,
    /// Parts of each row by name; each part of a row has the length 1.
    pub(super) parts: Vec<Part>,
    /// Number of pictures.
    pub(super) len: usize,
}

/// One part of all rows.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) rows: Vec<Vec<f32>>,
}

/// `dc:answers`: what a classifier sees in pictures.
pub(super) struct Answers {
    /// The questions, and the answer for each picture.
    pub(super) questions: Vec<(String, Vec<String>)>,
}

impl Answers {
    /// The answers to a question.
    pub(super) fn to(&self, question: &str) -> Option<&[String]> {
        self.questions.iter().find(|(name, _)| name == question).map(|(_, answers)| answers.as_slice())
    }
}

impl NativeObject for Embeddings {
    fn type_name(&self) -> &'static str {
        "dc:embeddings"
    }

    fn summary(&self) -> String {
        format!("{} pictures by `{}`", self.len, self.embedder)
    }

    fn size_bytes(&self) -> usize {
        self.parts.iter().flat_map(|p| &p.rows).map(|row| row.len() * 4).sum()
    }
}

impl NativeObject for Answers {
    fn type_name(&self) -> &'static str {
        "dc:answers"
    }

    fn summary(&self) -> String {
        format!("{} pictures", self.questions.first().map_or(0, |q| q.1.len()))
    }

    fn size_bytes(&self) -> usize {
        self.questions.iter().flat_map(|q| &q.1).map(String::len).sum()
    }
}
