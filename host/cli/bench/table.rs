//! The report as Markdown.

use std::fmt::Write;

use super::Report;

/// A table of parts, one of cold starts, and what it was measured on.
pub(super) fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let machine = &report.machine;
    let memory = machine.memory.map_or_else(String::new, |gigabytes| format!(", {gigabytes:.0} GB"));
    let _ = writeln!(
        text,
        "{}: {} ({}), {} threads, vectors {}{memory}; dc-graph {}\n",
        machine.date, machine.processor, machine.system, machine.threads, machine.vectors, machine.version
    );
    let _ = writeln!(
        text,
        "`{}` on {}; medians of {} rounds, {} time\n",
        report.model, report.device, report.rounds, report.clock
    );
    let mut head = "| part | ms | GFLOP | GFLOP/s | weights MB |".to_string();
    let mut rule = "| --- | ---: | ---: | ---: | ---: |".to_string();
    for peer in &report.peers {
        let _ = write!(head, " {peer} ms | ours / {peer} |");
        rule.push_str(" ---: | ---: |");
    }
    let _ = writeln!(text, "{head}\n{rule}");
    for row in &report.parts {
        let _ = write!(
            text,
            "| {} | {:.1} | {:.1} | {:.0} | {:.0} |",
            row.name, row.milliseconds, row.gflop, row.gflop_per_second, row.megabytes
        );
        for peer in &row.peers {
            let _ = match peer {
                Some(peer) => write!(text, " {peer:.1} | {:.2} |", row.milliseconds / peer),
                None => write!(text, " - | - |"),
            };
        }
        text.push('\n');
    }
    let megabytes = |memory: Option<f64>| memory.map_or_else(|| "-".into(), |megabytes| format!("{megabytes:.0}"));
    if !report.cold.is_empty() {
        let _ = writeln!(text, "\n| from nothing | ms | peak MB |\n| --- | ---: | ---: |");
        for cold in &report.cold {
            let _ = writeln!(text, "| {} | {:.0} | {} |", cold.name, cold.milliseconds, megabytes(cold.peak_memory));
        }
    }
    let _ = writeln!(text, "\npeak memory of this run: {} MB", megabytes(report.peak_memory));
    text
}
