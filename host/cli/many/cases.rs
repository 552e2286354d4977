//! What the runs of a sweep are.

use dc_graph::graph::{Axis, AxisValue, Sweep, range};

use crate::cli::source::OpenedGraph;

/// One run of several.
pub(crate) struct Case {
    /// For people: `seed=1, guidance_scale=5`.
    pub(crate) label: String,
    /// The folder below the output folder that its files go to.
    pub(crate) folder: String,
    /// The inputs that it sets.
    pub(crate) values: Vec<(String, AxisValue)>,
}

/// `name=1..8` or `name=a,b,c` or `name=["a, with a comma", "b"]`.
pub(crate) fn axis(text: &str) -> Result<Axis, String> {
    let Some((name, text)) = text.split_once('=').filter(|(name, text)| !name.is_empty() && !text.trim().is_empty())
    else {
        return Err("expected `name=1..8`, `name=a,b,c` or `name=[\"a\", \"b\"]`".into());
    };
    let values: Vec<AxisValue> = if text.trim_start().starts_with('[') {
        let values: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|e| format!("no JSON array: {e}"))?;
        values.into_iter().map(AxisValue::Json).collect()
    } else if let Some(numbers) = range(text) {
        numbers?.into_iter().map(AxisValue::Text).collect()
    } else {
        text.split(',').map(|value| AxisValue::Text(value.trim().into())).collect()
    };
    if values.is_empty() {
        return Err("a sweep needs at least one value".into());
    }
    Ok(Axis { name: name.into(), values })
}

/// The sweep that the command line asks for, else the one of the document without what `--set` fixes.
pub(crate) fn sweep_of(opened: &OpenedGraph, asked: &[Axis], zip: bool) -> Option<Sweep> {
    if !asked.is_empty() {
        return Some(Sweep { axes: asked.to_vec(), zip });
    }
    let mut sweep = opened.sweep()?;
    sweep.axes.retain(|axis| !opened.sets(&axis.name));
    (!sweep.axes.is_empty()).then_some(sweep)
}

/// The runs of a sweep.
pub(super) fn cases(sweep: &Sweep) -> Result<Vec<Case>, String> {
    let all = sweep.cases()?;
    let digits = all.len().to_string().len();
    let case = |(number, values): (usize, Vec<usize>)| {
        let value = |(axis, value): (&Axis, usize)| (axis.name.clone(), axis.values[value].clone());
        let values: Vec<_> = sweep.axes.iter().zip(values).map(value).collect();
        let label = label(&values);
        let folder = format!("{:0digits$}-{}", number + 1, as_file_name(&label.replace(", ", ",")));
        Case { label, folder, values }
    };
    Ok(all.into_iter().enumerate().map(case).collect())
}

/// `seed=1, guidance_scale=5`
pub(super) fn label(values: &[(String, AxisValue)]) -> String {
    let each: Vec<String> = values.iter().map(|(name, value)| format!("{name}={}", value.label())).collect();
    each.join(", ")
}

/// A text as a part of a path on every system, not too long.
fn as_file_name(text: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.=,".contains(c) { c } else { '-' };
    let name: String = text.chars().map(plain).take(80).collect();
    name.trim_end_matches(['.', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_as_they_are_typed() {
        for (text, expected) in [
            ("seed=1..3", Ok("1|2|3")),
            ("scale=5,7.5", Ok("5|7.5")),
            ("prompt=a cat, a dog", Ok("a cat|a dog")),
            (r#"prompt=["a cat, asleep", "b"]"#, Ok("a cat, asleep|b")),
            ("path=a=b", Ok("a=b")),
            ("seed", Err("expected `name=1..8`")),
            ("=1", Err("expected")),
            ("seed=", Err("expected")),
            ("seed=[]", Err("at least one")),
            ("seed=[1,", Err("no JSON array")),
            ("seed=9..1", Err("holds no numbers")),
        ] {
            match (axis(text), expected) {
                (Ok(axis), Ok(expected)) => {
                    assert_eq!(axis.values.iter().map(AxisValue::label).collect::<Vec<_>>().join("|"), expected);
                }
                (Err(found), Err(part)) => assert!(found.contains(part), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn folders_are_plain_names() {
        let sweep = Sweep { axes: vec![axis("p=a/b, ../c").unwrap(), axis("s=1..12").unwrap()], zip: false };
        let cases = cases(&sweep).unwrap();
        assert_eq!(cases[0].folder, "01-p=a-b,s=1");
        assert_eq!(cases[23].folder, "24-p=..-c,s=12");
        assert_eq!(cases[23].label, "p=../c, s=12");
    }
}
