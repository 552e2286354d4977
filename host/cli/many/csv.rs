//! Comma-separated values (RFC 4180), as far as tables of parameters need them.

use anyhow::bail;

/// The rows and the line on which each begins; cells without the space around them, empty lines left out.
pub(super) fn read(text: &str) -> anyhow::Result<Vec<(usize, Vec<String>)>> {
    let mut rows = Vec::new();
    let (mut row, mut cell, mut was_quoted) = (Vec::new(), String::new(), false);
    let (mut line, mut begin) = (1, 1);
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    loop {
        let next = rest.next();
        match next {
            Some('"') if cell.trim().is_empty() && !was_quoted => {
                (cell, was_quoted) = (String::new(), true);
                loop {
                    match rest.next() {
                        None => bail!("line {line}: a `\"` is missing at the end of a cell"),
                        // Two quotes stand for one.
                        Some('"') if rest.next_if_eq(&'"').is_none() => break,
                        Some(other) => {
                            line += usize::from(other == '\n');
                            cell.push(other);
                        }
                    }
                }
            }
            Some(',' | '\n') | None => {
                row.push(if was_quoted {
                    std::mem::take(&mut cell)
                } else {
                    std::mem::take(&mut cell).trim().to_owned()
                });
                let was_empty = row.len() == 1 && row[0].is_empty() && !was_quoted;
                was_quoted = false;
                if next == Some(',') {
                    continue;
                }
                let whole = std::mem::take(&mut row);
                if !was_empty {
                    rows.push((begin, whole));
                }
                if next.is_none() {
                    return Ok(rows);
                }
                line += 1;
                begin = line;
            }
            Some(space) if was_quoted && space.is_whitespace() => {}
            Some(_) if was_quoted => bail!("line {line}: text after the closing `\"` of a cell"),
            Some(other) => cell.push(other),
        }
    }
}

/// Adds a row.
pub(super) fn write(text: &mut String, row: &[String]) {
    for (index, cell) in row.iter().enumerate() {
        text.push_str(if index > 0 { "," } else { "" });
        let plain = !cell.contains([',', '"', '\n', '\r']) && cell.trim() == cell;
        if plain {
            text.push_str(cell);
        } else {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let rows = [["a", " b ", ""], ["x, y", "say \"hi\"", "two\nlines"], ["\"", "ä", "1.5"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| (*c).to_owned()).collect()).collect();
        let mut text = String::new();
        rows.iter().for_each(|row| write(&mut text, row));
        for text in [text.clone(), text.replace("\n", "\r\n").replace("two\r\n", "two\n"), text.trim_end().to_owned()] {
            let read = read(&text).unwrap();
            assert_eq!(read.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>(), rows);
            assert_eq!(read.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 4]);
        }
    }

    #[test]
    fn odd_tables() {
        let shown = |text: &str| match read(text) {
            Ok(rows) => {
                rows.iter().map(|(line, row)| format!("{line}:{}", row.join("|"))).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        for (text, expected) in [
            ("", ""),
            ("\u{feff}a,b\n\n 1 , 2 \n", "1:a|b 3:1|2"),
            ("a,\n", "1:a|"),
            ("\"\"\n", "1:"),
            ("a,\"b", "line 1: a `\"` is missing at the end of a cell"),
            ("a\n\"b\"c", "line 2: text after the closing `\"` of a cell"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }
}
