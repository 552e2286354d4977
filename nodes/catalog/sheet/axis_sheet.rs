//! A sheet of pictures along two axes, for sweeps.

use dc_graph_node_api::{Image, NodeError};

use super::contact_sheet::{INK, MAX_SIDE, PAPER, place, write_centered};
use super::lettering::{Face, wrap};
use crate::image::pixels::{Depth, Samples};

/// The smallest cell that still shows something, in pixels.
const LEAST_CELL: usize = 32;
/// The usual cell.
const CELL: usize = 256;
const GAP: usize = 12;
const LABEL_LINES: usize = 3;

/// Pictures in a table, `pictures[row * columns.len() + column]`, with a heading for each column and each row; a missing
/// picture leaves its cell empty. Cells have 256 pixels a side, or fewer where the sheet would become too large.
///
/// # Errors
/// When there are no pictures, or so many that they cannot be shown.
pub fn axis_sheet(
    pictures: &[Option<Image>],
    columns: &[String],
    rows: &[String],
    title: &str,
) -> Result<Image, NodeError> {
    let face = Face::Small;
    // Row headings may take half of a cell at most; the empty ones of a single row take nothing.
    let longest = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
    let letters = longest.min(CELL / 2 / face.letter() * 2);
    let left = GAP + if letters > 0 { letters * face.letter() + GAP } else { 0 };
    let room = MAX_SIDE.saturating_sub(left.max(8 * face.line()) + GAP) / columns.len().max(rows.len()).max(1);
    let cell = CELL.min(room.saturating_sub(GAP));
    if pictures.iter().all(Option::is_none) || cell < LEAST_CELL {
        return Err(NodeError::failed(format!(
            "{} by {} pictures make no sheet: at most {MAX_SIDE} pixels a side",
            columns.len(),
            rows.len()
        )));
    }
    let headings: Vec<Vec<String>> = columns.iter().map(|c| wrap(c, cell / face.letter(), LABEL_LINES)).collect();
    let heading_lines = headings.iter().map(Vec::len).max().unwrap_or(0);
    let width = left + columns.len() * (cell + GAP);
    let title_face = face.larger();
    let title = wrap(title, (width - 2 * GAP) / title_face.letter(), LABEL_LINES);
    let under_title = GAP + title.len() * title_face.line() + if title.is_empty() { 0 } else { GAP };
    let top = under_title + heading_lines * face.line() + if heading_lines > 0 { GAP / 2 } else { 0 };
    let height = top + rows.len() * (cell + GAP);
    let mut sheet = Samples::filled(width, height, &PAPER);
    for (i, line) in title.iter().enumerate() {
        write_centered(&mut sheet, title_face, 0, width, GAP + i * title_face.line(), line);
    }
    let x_of = |column: usize| left + column * (cell + GAP);
    let y_of = |row: usize| top + row * (cell + GAP);
    for (column, heading) in headings.iter().enumerate() {
        for (i, line) in heading.iter().enumerate() {
            write_centered(&mut sheet, face, x_of(column), cell, under_title + i * face.line(), line);
        }
    }
    for (row, heading) in rows.iter().enumerate() {
        let lines = wrap(heading, letters.max(1), (cell / face.line()).max(1));
        let begin = y_of(row) + cell.saturating_sub(lines.len() * face.line()) / 2;
        for (i, line) in lines.iter().enumerate().filter(|_| letters > 0) {
            face.write(&mut sheet, GAP, begin + i * face.line(), line, INK);
        }
    }
    for (index, picture) in pictures.iter().enumerate() {
        if let Some(picture) = picture {
            let at = (x_of(index % columns.len()), y_of(index / columns.len()));
            place(&mut sheet, picture, &[], face, at, cell);
        }
    }
    sheet.into_image(Depth::U8)
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::Pixels;

    use super::*;

    fn flat(value: u8) -> Option<Image> {
        Some(Image::new(8, 8, 3, Pixels::U8(vec![value; 192])).unwrap())
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// How many pixels of a part are dark.
    fn ink(sheet: &Image, x: std::ops::Range<usize>, y: std::ops::Range<usize>) -> usize {
        let (width, samples) = (sheet.width() as usize, sheet.to_u8());
        y.flat_map(|y| x.clone().map(move |x| (x, y))).filter(|(x, y)| samples[(y * width + x) * 3] < 90).count()
    }

    #[test]
    fn pictures_stand_where_their_axes_say() {
        let pictures: Vec<_> = (0..6).map(|i| if i == 4 { None } else { flat(100 + i) }).collect();
        let sheet =
            axis_sheet(&pictures, &texts(&["seed 1", "seed 2", "seed 3"]), &texts(&["low", "high"]), "").unwrap();
        let left = GAP + 4 * Face::Small.letter() + GAP;
        let top = GAP + Face::Small.line() + GAP / 2;
        let (width, height) = (left + 3 * (CELL + GAP), top + 2 * (CELL + GAP));
        assert_eq!((sheet.width() as usize, sheet.height() as usize), (width, height));
        let samples = sheet.to_u8();
        for index in 0..6 {
            let (x, y) = (left + index % 3 * (CELL + GAP) + CELL / 2, top + index / 3 * (CELL + GAP) + CELL / 2);
            let expected = if index == 4 { 255 } else { 100 + index as u8 };
            assert_eq!(samples[(y * width + x) * 3], expected, "{index}");
        }
        // Each heading stands above its column or before its row, and nothing stands between.
        for column in 0..3 {
            let x = left + column * (CELL + GAP);
            assert!(ink(&sheet, x..x + CELL, GAP..top) > 20, "{column}");
        }
        for row in 0..2 {
            let y = top + row * (CELL + GAP);
            assert!(ink(&sheet, GAP..left, y..y + CELL) > 20, "{row}");
        }
        assert_eq!(ink(&sheet, 0..left, 0..top), 0);
    }

    #[test]
    fn too_many_pictures_are_refused() {
        let many: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        let error = axis_sheet(&vec![flat(1); 1000], &many, &texts(&[""]), "").unwrap_err();
        assert!(error.to_string().contains("1000 by 1 pictures"), "{error}");
        let hundred = &many[..100];
        let sheet = axis_sheet(&vec![flat(1); 100], hundred, &texts(&[""]), "title").unwrap();
        assert!(sheet.width() as usize <= MAX_SIDE && sheet.width() > 10_000);
    }
}
