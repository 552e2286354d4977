//! The rows of a batch: a CSV file whose first line names inputs, or a file of one JSON object a line.

use std::path::Path;

use anyhow::{Context, bail};
use dc_graph::graph::AxisValue;
use serde_json::Value;

use super::cases::{Case, label};
use super::csv;

/// Reads the rows. An empty cell of a CSV file leaves the input at its default.
pub(super) fn rows(file: &Path) -> anyhow::Result<Vec<Case>> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the rows `{name}`"))?;
    let extension = file.extension().map(|e| e.to_string_lossy().to_lowercase());
    let rows = match extension.as_deref() {
        Some("csv") => from_csv(&text),
        Some("jsonl" | "ndjson") => from_lines(&text),
        _ => bail!("`{name}` should end in `.csv` or `.jsonl`"),
    };
    let rows = rows.with_context(|| format!("`{name}`"))?;
    if rows.is_empty() {
        bail!("`{name}` has no rows");
    }
    let digits = rows.len().to_string().len().max(4);
    let case = |(number, values): (usize, Vec<(String, AxisValue)>)| Case {
        label: format!("row {}: {}", number + 1, label(&values)),
        folder: format!("row-{:0digits$}", number + 1),
        values,
    };
    Ok(rows.into_iter().enumerate().map(case).collect())
}

type Row = Vec<(String, AxisValue)>;

fn from_csv(text: &str) -> anyhow::Result<Vec<Row>> {
    let mut records = csv::read(text)?.into_iter();
    let names = records.next().map(|(_, names)| names).unwrap_or_default();
    if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        bail!("the column `{}` is there twice", twice.1);
    }
    let mut rows = Vec::new();
    for (line, record) in records {
        if record.len() != names.len() {
            bail!("line {line}: {} cells for {} columns", record.len(), names.len());
        }
        let cells = names.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
        rows.push(cells.map(|(name, cell)| (name.clone(), AxisValue::Text(cell.clone()))).collect());
    }
    Ok(rows)
}

fn from_lines(text: &str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        let Value::Object(row) = value else { bail!("line {}: expected an object `{{ }}`", number + 1) };
        rows.push(row.into_iter().map(|(name, value)| (name, AxisValue::Json(value))).collect());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rows: anyhow::Result<Vec<Row>>) -> Result<Vec<String>, String> {
        rows.map(|rows| rows.iter().map(|row| label(row)).collect()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn rows_of_both_kinds() {
        let csv = "seed,prompt\n1,\"a cat, asleep\"\n2,\n";
        assert_eq!(shown(from_csv(csv)).unwrap(), ["seed=1, prompt=a cat, asleep", "seed=2"]);
        let lines = "{\"seed\": 1, \"prompt\": \"a\"}\n\n{}\n";
        assert_eq!(shown(from_lines(lines)).unwrap(), ["seed=1, prompt=a", ""]);
        assert!(shown(from_csv("a,a\n1,2\n")).unwrap_err().contains("`a` is there twice"));
        assert!(shown(from_csv("a,b\n1,2,3\n")).unwrap_err().contains("line 2: 3 cells for 2 columns"));
        assert!(shown(from_lines("{}\n[1]")).unwrap_err().contains("line 2: expected an object"));
        assert!(shown(from_lines("{")).unwrap_err().contains("line 1"));
    }
}
