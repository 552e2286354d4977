//! The few colours that stand for all of a picture: median cut (Heckbert, 1982) on colours of 5 bits a channel.

use std::collections::BTreeMap;

/// At most so many colours.
pub(super) const MOST: usize = 255;

/// A palette, and for each pixel its place in it.
pub(super) fn palette(pixels: &[[u8; 3]]) -> (Vec<[u8; 3]>, Vec<u8>) {
    let mut exact: BTreeMap<[u8; 3], u8> = BTreeMap::new();
    for pixel in pixels {
        let next = exact.len() as u8;
        exact.entry(*pixel).or_insert(next);
        if exact.len() > MOST {
            return cut(pixels);
        }
    }
    let mut colours = vec![[0; 3]; exact.len()];
    exact.iter().for_each(|(colour, place)| colours[usize::from(*place)] = *colour);
    (colours, pixels.iter().map(|pixel| exact[pixel]).collect())
}

/// How often a coarse colour is there, and the sum of those that it stands for.
#[derive(Clone, Copy, Default)]
struct Bin {
    count: u64,
    sum: [u64; 3],
}

fn coarse([r, g, b]: [u8; 3]) -> usize {
    usize::from(r >> 3) << 10 | usize::from(g >> 3) << 5 | usize::from(b >> 3)
}

fn channel(bin: usize, channel: usize) -> usize {
    bin >> (10 - 5 * channel) & 31
}

fn cut(pixels: &[[u8; 3]]) -> (Vec<[u8; 3]>, Vec<u8>) {
    let mut bins = vec![Bin::default(); 1 << 15];
    for pixel in pixels {
        let bin = &mut bins[coarse(*pixel)];
        bin.count += 1;
        (0..3).for_each(|c| bin.sum[c] += u64::from(pixel[c]));
    }
    let count = |bin: &usize| bins[*bin].count;
    // Many pixels and a wide range are what a cut is worth.
    let worth = |part: &Vec<usize>| {
        let (range, _) = widest(part);
        range as u64 * part.iter().map(count).sum::<u64>()
    };
    let mut parts: Vec<Vec<usize>> = vec![(0..bins.len()).filter(|bin| bins[*bin].count > 0).collect()];
    while parts.len() < MOST {
        let Some(place) = (0..parts.len()).filter(|place| parts[*place].len() > 1).max_by_key(|p| worth(&parts[*p]))
        else {
            break;
        };
        let mut part = parts.swap_remove(place);
        let (_, axis) = widest(&part);
        part.sort_by_key(|bin| channel(*bin, axis));
        let half = part.iter().map(count).sum::<u64>() / 2;
        let mut before = 0;
        let middle = part.iter().position(|bin| {
            before += count(bin);
            before > half
        });
        let other = part.split_off(middle.unwrap_or(1).clamp(1, part.len() - 1));
        parts.extend([part, other]);
    }
    let mut colours = Vec::with_capacity(parts.len());
    let mut place = vec![0; bins.len()];
    for part in &parts {
        let all = part.iter().map(count).sum::<u64>().max(1);
        let mean = |c: usize| (part.iter().map(|bin| bins[*bin].sum[c]).sum::<u64>() / all) as u8;
        part.iter().for_each(|bin| place[*bin] = colours.len() as u8);
        colours.push([mean(0), mean(1), mean(2)]);
    }
    (colours, pixels.iter().map(|pixel| place[coarse(*pixel)]).collect())
}

/// The widest range of a channel, and which one that is.
fn widest(part: &[usize]) -> (usize, usize) {
    let range = |axis: usize| {
        let values = part.iter().map(|bin| channel(*bin, axis));
        values.clone().max().unwrap_or(0) - values.min().unwrap_or(0)
    };
    (0..3).map(|axis| (range(axis), axis)).max().unwrap_or((0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_stay_as_they_are() {
        let pixels: Vec<[u8; 3]> = (0..1000_u32).map(|n| [(n % MOST as u32) as u8, 7, 200]).collect();
        let (colours, places) = palette(&pixels);
        assert_eq!(colours.len(), MOST);
        assert!(pixels.iter().zip(places).all(|(pixel, place)| colours[usize::from(place)] == *pixel));
    }

    #[test]
    fn many_colours_become_near_ones() {
        let pixels: Vec<[u8; 3]> =
            (0..1_u32 << 15).map(|n| [(n >> 10 << 3) as u8, (n >> 5 << 3) as u8, (n << 3) as u8]).collect();
        let (colours, places) = palette(&pixels);
        assert_eq!(colours.len(), MOST);
        let error = |(pixel, place): (&[u8; 3], &u8)| {
            (0..3).map(|c| pixel[c].abs_diff(colours[usize::from(*place)][c])).max().unwrap()
        };
        let errors: Vec<u8> = pixels.iter().zip(&places).map(error).collect();
        // 255 cubes of a cube of 256 are 40 wide.
        assert!(errors.iter().all(|error| *error <= 40), "{:?}", errors.iter().max());
    }
}
