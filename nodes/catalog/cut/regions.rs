//! Connected regions of a split picture.

/// Regions of one value, four neighbours connected: the region of each pixel, and each region's size and value.
pub(crate) struct Regions {
    /// The region of each pixel.
    pub(crate) of: Vec<u32>,
    /// Number of pixels.
    pub(crate) sizes: Vec<usize>,
    /// Whether the region's pixels are set.
    pub(crate) set: Vec<bool>,
    /// Whether the region touches the picture's border.
    pub(crate) at_border: Vec<bool>,
}

/// Finds all regions.
pub(crate) fn regions(width: usize, height: usize, mask: &[bool]) -> Regions {
    let mut found =
        Regions { of: vec![u32::MAX; mask.len()], sizes: Vec::new(), set: Vec::new(), at_border: Vec::new() };
    let mut stack = Vec::new();
    for start in 0..mask.len() {
        if found.of[start] != u32::MAX {
            continue;
        }
        let region = found.sizes.len() as u32;
        let (mut size, mut at_border) = (0, false);
        found.of[start] = region;
        stack.push(start);
        while let Some(pixel) = stack.pop() {
            size += 1;
            let (x, y) = (pixel % width, pixel / width);
            at_border |= x == 0 || y == 0 || x + 1 == width || y + 1 == height;
            let steps = [
                (x > 0, pixel.wrapping_sub(1)),
                (y > 0, pixel.wrapping_sub(width)),
                (x + 1 < width, pixel + 1),
                (y + 1 < height, pixel + width),
            ];
            for (inside, other) in steps {
                if inside && found.of[other] == u32::MAX && mask[other] == mask[start] {
                    found.of[other] = region;
                    stack.push(other);
                }
            }
        }
        found.sizes.push(size);
        found.set.push(mask[start]);
        found.at_border.push(at_border);
    }
    found
}

/// Keeps the largest set region and those of at least `part` of its size; fills the holes for which `fill(size, pixels)`
/// says so, and those below `small` pixels.
pub(crate) fn clean(
    width: usize,
    height: usize,
    mask: &mut [bool],
    part: f64,
    small: usize,
    fill: impl Fn(&[usize]) -> bool,
) {
    let found = regions(width, height, mask);
    let sizes = || found.sizes.iter().zip(&found.set).filter(|(_, set)| **set).map(|(size, _)| *size);
    let least = sizes().max().unwrap_or(0) as f64 * part;
    for (pixel, region) in mask.iter_mut().zip(&found.of) {
        *pixel &= found.sizes[*region as usize] as f64 >= least;
    }
    let found = regions(width, height, mask);
    let mut pixels = vec![Vec::new(); found.sizes.len()];
    for (pixel, region) in found.of.iter().enumerate() {
        if !found.set[*region as usize] && !found.at_border[*region as usize] {
            pixels[*region as usize].push(pixel);
        }
    }
    for hole in pixels.iter().filter(|p| !p.is_empty()) {
        if hole.len() < small || fill(hole) {
            hole.iter().for_each(|p| mask[*p] = true);
        }
    }
}

/// Drops what is one or two pixels thin: an edge in the background is no subject.
pub(crate) fn drop_threads(width: usize, height: usize, mask: &mut [bool]) {
    let thick = spread(width, height, mask, false, 1);
    let near_thick = spread(width, height, &thick, true, 3);
    mask.iter_mut().zip(near_thick).for_each(|(m, near)| *m &= near);
}

/// Grows the pixels of one value by squares of `radius` pixels; the border of the picture does not count.
fn spread(width: usize, height: usize, mask: &[bool], value: bool, radius: usize) -> Vec<bool> {
    let grown = |p: usize| {
        let (x, y) = (p % width, p / width);
        let mut ys = y.saturating_sub(radius)..(y + radius + 1).min(height);
        let hit =
            ys.any(|y| (x.saturating_sub(radius)..(x + radius + 1).min(width)).any(|x| mask[y * width + x] == value));
        hit == value
    };
    (0..mask.len()).map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rows: &[&str]) -> Vec<bool> {
        rows.iter().flat_map(|r| r.chars().map(|c| c == '#')).collect()
    }

    #[test]
    fn small_things_go_and_holes_close() {
        let rows = [
            "#.........", //
            "..#####...",
            "..#...#.##",
            "..#####.##",
            "..#.##..##",
            "..####....",
        ];
        let clean_rows = |part, small, all| {
            let mut mask = parse(&rows);
            clean(10, 6, &mut mask, part, small, |_| all);
            mask
        };
        let closed = parse(&["..........", "..#####...", "..#####.##", "..#####.##", "..####..##", "..####...."]);
        assert_eq!(clean_rows(0.2, 0, true), closed);
        assert_eq!(clean_rows(0.2, 4, false), closed);
        let mut open = closed.clone();
        (23..26).for_each(|i| open[i] = false);
        assert_eq!(clean_rows(0.2, 2, false), open);
        let single = clean_rows(0.5, 4, false);
        assert_eq!(single.iter().filter(|p| **p).count(), closed.iter().filter(|p| **p).count() - 6);
    }

    #[test]
    fn threads_go_and_thick_things_stay() {
        let mut mask = parse(&[
            "............", //
            ".####.......",
            ".####.......",
            ".###########",
            ".####.......",
            "..........##",
        ]);
        drop_threads(12, 6, &mut mask);
        let expected = [
            "............", //
            ".####.......",
            ".####.......",
            ".######.....",
            ".####.......",
            "............",
        ];
        assert_eq!(mask, parse(&expected));
    }

    #[test]
    fn sizes_and_borders() {
        let found = regions(3, 2, &parse(&["#.#", "#.."]));
        assert_eq!(found.sizes, [2, 3, 1]);
        assert_eq!(found.set, [true, false, true]);
        assert_eq!(found.at_border, [true, true, true]);
        assert_eq!(found.of, [0, 1, 2, 0, 1, 1]);
    }
}
