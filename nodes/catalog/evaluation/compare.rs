//! Whom pictures show, told by their embeddings.

use dc_graph_node_api::{Inputs, NodeError, Value};

use super::values::{Embeddings, Part};

/// How pictures compare with references.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compared {
    /// The reference that each picture is nearest to.
    pub(super) nearest: Vec<usize>,
    /// Cosine of each picture and its own reference, -1 to 1; of several parts the mean.
    pub(super) similarity: Vec<f64>,
    /// The share of pictures that are nearest to their own reference.
    pub(super) accuracy: f64,
}

/// Compares pictures with references by all parts, or by one of them. `own` is the right reference of each picture.
pub(super) fn compare(
    pictures: &Embeddings,
    references: &Embeddings,
    own: &[usize],
    part: Option<&str>,
) -> Result<Compared, NodeError> {
    if pictures.embedder != references.embedder {
        let (a, b) = (pictures.embedder, references.embedder);
        return Err(NodeError::input("references", format!("are embedded by `{b}`, the pictures by `{a}`"))
            .with_hint("give both `Embed Images` nodes the same `embedder`"));
    }
    if pictures.len != own.len() {
        return Err(NodeError::input("subjects", format!("{} for {} pictures", own.len(), pictures.len)));
    }
    if let Some(wrong) = own.iter().find(|o| **o >= references.len) {
        return Err(NodeError::input("subjects", format!("{wrong} is no reference: there are {}", references.len)));
    }
    let chosen = |embeddings: &'_ Embeddings| -> Vec<usize> {
        (0..embeddings.parts.len()).filter(|i| part.is_none_or(|name| embeddings.parts[*i].name == name)).collect()
    };
    let parts = chosen(pictures);
    if parts.is_empty() {
        let known: Vec<_> = pictures.parts.iter().map(|p| p.name).collect();
        let message = format!("`{}` has no part `{}`", pictures.embedder, part.unwrap_or_default());
        return Err(NodeError::input("part", message).with_hint(format!("its parts are {known:?}")));
    }
    let cosine = |picture: usize, reference: usize| {
        let of = |part: &Part, other: &Part| -> f64 {
            part.rows[picture].iter().zip(&other.rows[reference]).map(|(a, b)| f64::from(a * b)).sum()
        };
        parts.iter().map(|i| of(&pictures.parts[*i], &references.parts[*i])).sum::<f64>() / parts.len() as f64
    };
    let nearest: Vec<usize> = (0..pictures.len)
        .map(|p| {
            let all: Vec<f64> = (0..references.len).map(|r| cosine(p, r)).collect();
            // Of equals the first.
            (0..all.len()).rev().max_by(|a, b| all[*a].total_cmp(&all[*b])).unwrap_or(0)
        })
        .collect();
    let right = nearest.iter().zip(own).filter(|(a, b)| a == b).count();
    Ok(Compared {
        similarity: own.iter().enumerate().map(|(p, r)| cosine(p, *r)).collect(),
        accuracy: right as f64 / own.len().max(1) as f64,
        nearest,
    })
}

/// The list of indices at a port.
pub(super) fn indices(inputs: &Inputs, port: &str) -> Result<Vec<usize>, NodeError> {
    let index = |value: &Value| match value {
        Value::Integer(i) => usize::try_from(*i).map_err(|_| NodeError::input(port, format!("{i} is no index"))),
        other => Err(NodeError::input(port, format!("expected `core:integer`, found `{}`", other.port_type()))),
    };
    inputs.list(port)?.iter().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embeddings(embedder: &'static str, rows: &[[f32; 2]], other: &[[f32; 2]]) -> Embeddings {
        let part = |name, rows: &[[f32; 2]]| Part { name, rows: rows.iter().map(|r| r.to_vec()).collect() };
        Embeddings { embedder, parts: vec![part("a", rows), part("b", other)], len: rows.len() }
    }

    #[test]
    fn the_nearest_is_found() {
        let (x, y) = ([1.0, 0.0], [0.0, 1.0]);
        let references = embeddings("e", &[x, y, [0.6, 0.8]], &[x, x, x]);
        let pictures = embeddings("e", &[[0.8, 0.6], y, x], &[x, y, x]);
        let found = compare(&pictures, &references, &[2, 1, 1], Some("a")).unwrap();
        assert_eq!(found.nearest, [2, 1, 0]);
        assert!((found.accuracy - 2.0 / 3.0).abs() < 1e-9);
        assert!((found.similarity[0] - 0.96).abs() < 1e-6 && found.similarity[2] == 0.0);
        let both = compare(&pictures, &references, &[2, 1, 1], None).unwrap();
        assert!((both.similarity[1] - 0.5).abs() < 1e-9);
        // Part b says nothing of the references: they are all alike, and the first is taken.
        assert_eq!(compare(&pictures, &references, &[0, 0, 0], Some("b")).unwrap().nearest, [0, 0, 0]);

        let refused =
            |pictures: &Embeddings, own: &[usize], part| compare(pictures, &references, own, part).unwrap_err();
        let other = embeddings("f", &[x], &[x]);
        assert!(refused(&other, &[0], None).to_string().contains("by `f`"));
        assert!(refused(&pictures, &[0], None).to_string().contains("1 for 3 pictures"));
        assert!(refused(&pictures, &[0, 0, 3], None).to_string().contains("3 is no reference"));
        assert!(refused(&pictures, &[0, 0, 0], Some("c")).to_string().contains("no part `c`"));
    }
}
