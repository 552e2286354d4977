//! The contact sheet of a sweep: a picture of each run, along the axes.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use dc_graph::api::{Image, Value};
use dc_graph::exec::RunReport;
use dc_graph::graph::{Axis, Sweep};

use crate::cli::files;

/// The first picture of a run: the first output that is one, or that names a file which is one, else the first written.
pub(super) fn picture(report: &RunReport, written: &[PathBuf]) -> Option<Image> {
    report.outputs.iter().find_map(|(_, value)| of(value)).or_else(|| written.iter().find_map(|path| read(path)))
}

fn of(value: &Value) -> Option<Image> {
    match value {
        Value::Image(image) => Some((**image).clone()),
        Value::List(_, items) => items.first().and_then(of),
        Value::Text(path) | Value::Path(path) => read(Path::new(&**path)),
        _ => None,
    }
}

fn read(path: &Path) -> Option<Image> {
    let picture =
        path.extension().is_some_and(|e| ["png", "jpg", "jpeg", "webp"].iter().any(|p| e.eq_ignore_ascii_case(p)));
    (picture && path.is_file()).then(|| dc_graph_nodes::read_picture(path).ok()).flatten()
}

/// Writes the sheet: the first axis from left to right, the others from top to bottom; side by side all from left to
/// right.
pub(super) fn write(path: &Path, sweep: &Sweep, pictures: &[Option<Image>], title: &str) -> anyhow::Result<()> {
    let (columns, rows, order) = layout(sweep);
    let pictures: Vec<Option<Image>> = order.into_iter().map(|case| pictures.get(case).cloned().flatten()).collect();
    let sheet = dc_graph_nodes::axis_sheet(&pictures, &columns, &rows, title).map_err(|error| anyhow!("{error}"))?;
    files::write(path, &dc_graph_nodes::png_bytes(&sheet).map_err(|error| anyhow!("{error}"))?)
}

/// The headings of columns and rows, and which case stands in each cell, row by row.
fn layout(sweep: &Sweep) -> (Vec<String>, Vec<String>, Vec<usize>) {
    let heading = |axis: &Axis, value: usize| format!("{}={}", axis.name, axis.values[value].label());
    let Some((first, others)) = sweep.axes.split_first() else { return Default::default() };
    if sweep.zip {
        let count = first.values.len();
        let all = |value: usize| sweep.axes.iter().map(|a| heading(a, value)).collect::<Vec<_>>().join(", ");
        return ((0..count).map(all).collect(), vec![String::new()], (0..count).collect());
    }
    let columns: Vec<String> = (0..first.values.len()).map(|value| heading(first, value)).collect();
    // The cases of the other axes alone, in the same order: the last one changes fastest.
    let rest = Sweep { axes: others.to_vec(), zip: false };
    let rest = if others.is_empty() { vec![Vec::new()] } else { rest.cases().unwrap_or_default() };
    let row = |case: &Vec<usize>| {
        others.iter().zip(case).map(|(axis, value)| heading(axis, *value)).collect::<Vec<_>>().join(", ")
    };
    let rows: Vec<String> = rest.iter().map(row).collect();
    let order = (0..rows.len()).flat_map(|row| (0..columns.len()).map(move |column| (row, column)));
    let order = order.map(|(row, column)| column * rest.len() + row).collect();
    (columns, rows, order)
}

#[cfg(test)]
mod tests {
    use super::super::cases::{axis, cases};
    use super::*;

    #[test]
    fn every_cell_shows_the_case_of_its_headings() {
        for (axes, zip) in [
            (vec!["a=1..3"], false),
            (vec!["a=1..3", "b=x,y"], false),
            (vec!["a=1..2", "b=x,y", "c=7..9"], false),
            (vec!["a=1..3", "b=x,y,z"], true),
        ] {
            let sweep = Sweep { axes: axes.iter().map(|text| axis(text).unwrap()).collect(), zip };
            let (columns, rows, order) = layout(&sweep);
            let cases = cases(&sweep).unwrap();
            assert_eq!(order.len(), cases.len());
            for (cell, case) in order.into_iter().enumerate() {
                let (column, row) = (&columns[cell % columns.len()], &rows[cell / columns.len()]);
                let both = if row.is_empty() { column.clone() } else { format!("{column}, {row}") };
                assert_eq!(both, cases[case].label);
            }
        }
    }
}
