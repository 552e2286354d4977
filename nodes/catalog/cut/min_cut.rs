//! The minimum cut of a picture: each pixel is the subject's or the background's, neighbours prefer to agree.
//!
//! The algorithm of Boykov and Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy
//! Minimization in Vision" (2004), on the grid of eight neighbours, whose edges need not be stored.

use std::collections::VecDeque;

/// Steps to the eight neighbours; the opposite of direction `d` is `7 - d`.
pub(crate) const NEIGHBOURS: [(i64, i64); 8] = [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)];

const TERMINAL: u8 = 8;
const ORPHAN: u8 = 9;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Free,
    Source,
    Sink,
}

/// Splits a grid: `true` for pixels on the subject's side.
///
/// `preference[i]` is what it costs to call pixel `i` background minus what it costs to call it the subject's.
/// `disagreement(i, j)` is what it costs when the neighbours `i` and `j` differ: at least 0, the same both ways.
pub(crate) fn min_cut(
    width: usize,
    height: usize,
    preference: &[i32],
    disagreement: impl Fn(usize, usize) -> i32,
) -> Vec<bool> {
    let mut cut = Cut::new(width, height, preference, disagreement);
    while let Some((from, direction)) = cut.grow() {
        cut.augment(from, direction);
        cut.adopt();
    }
    cut.tree.iter().map(|t| *t == Tree::Source).collect()
}

struct Cut {
    width: usize,
    height: usize,
    /// What can still flow from each pixel in each direction.
    residual: [Vec<i32>; 8],
    /// What can still flow from the source (positive) or to the sink (negative).
    terminal: Vec<i32>,
    tree: Vec<Tree>,
    /// The direction of the parent, [`TERMINAL`] or [`ORPHAN`].
    parent: Vec<u8>,
    /// When the distance to the root was last known to be right, and the distance.
    checked: Vec<u32>,
    distance: Vec<u32>,
    time: u32,
    active: VecDeque<u32>,
    queued: Vec<bool>,
    orphans: VecDeque<u32>,
}

impl Cut {
    fn new(width: usize, height: usize, preference: &[i32], disagreement: impl Fn(usize, usize) -> i32) -> Self {
        let pixels = width * height;
        let mut cut = Self {
            width,
            height,
            residual: std::array::from_fn(|_| vec![0; pixels]),
            terminal: preference.to_vec(),
            tree: vec![Tree::Free; pixels],
            parent: vec![ORPHAN; pixels],
            checked: vec![0; pixels],
            distance: vec![0; pixels],
            time: 0,
            active: VecDeque::new(),
            queued: vec![false; pixels],
            orphans: VecDeque::new(),
        };
        for (pixel, preference) in preference.iter().enumerate() {
            for direction in 0..8 {
                if let Some(other) = cut.neighbour(pixel, direction) {
                    cut.residual[direction][pixel] = disagreement(pixel, other).max(0);
                }
            }
            if *preference != 0 {
                cut.tree[pixel] = if *preference > 0 { Tree::Source } else { Tree::Sink };
                cut.parent[pixel] = TERMINAL;
                cut.distance[pixel] = 1;
                cut.activate(pixel);
            }
        }
        cut
    }

    fn neighbour(&self, pixel: usize, direction: usize) -> Option<usize> {
        let (dx, dy) = NEIGHBOURS[direction];
        let (x, y) = ((pixel % self.width) as i64 + dx, (pixel / self.width) as i64 + dy);
        let inside = x >= 0 && y >= 0 && x < self.width as i64 && y < self.height as i64;
        inside.then(|| y as usize * self.width + x as usize)
    }

    fn activate(&mut self, pixel: usize) {
        if !self.queued[pixel] {
            self.queued[pixel] = true;
            self.active.push_back(pixel as u32);
        }
    }

    /// What can flow between a pixel of a tree and its neighbour, away from the tree's root.
    fn outwards(&self, pixel: usize, direction: usize, neighbour: usize) -> i32 {
        match self.tree[pixel] {
            Tree::Source => self.residual[direction][pixel],
            _ => self.residual[7 - direction][neighbour],
        }
    }

    /// Grows both trees until they touch: a pixel of the source's tree and the direction of one of the sink's.
    fn grow(&mut self) -> Option<(usize, usize)> {
        while let Some(&front) = self.active.front() {
            let pixel = front as usize;
            if self.tree[pixel] != Tree::Free {
                for direction in 0..8 {
                    let Some(other) = self.neighbour(pixel, direction) else { continue };
                    if self.outwards(pixel, direction, other) == 0 {
                        continue;
                    }
                    if self.tree[other] == Tree::Free {
                        self.tree[other] = self.tree[pixel];
                        self.parent[other] = (7 - direction) as u8;
                        self.checked[other] = self.checked[pixel];
                        self.distance[other] = self.distance[pixel] + 1;
                        self.activate(other);
                    } else if self.tree[other] != self.tree[pixel] {
                        let from_source = self.tree[pixel] == Tree::Source;
                        return Some(if from_source { (pixel, direction) } else { (other, 7 - direction) });
                    }
                }
            }
            self.active.pop_front();
            self.queued[pixel] = false;
        }
        None
    }

    /// Sends as much as fits along the path through the edge that joins the trees.
    fn augment(&mut self, from: usize, direction: usize) {
        let Some(to) = self.neighbour(from, direction) else { return };
        let mut flow = self.residual[direction][from];
        for start in [from, to] {
            flow = flow.min(self.walk(start, None));
        }
        self.residual[direction][from] -= flow;
        self.residual[7 - direction][to] += flow;
        for start in [from, to] {
            self.walk(start, Some(flow));
        }
    }

    /// Goes from a pixel to the root of its tree: finds what can flow, or sends `flow`.
    fn walk(&mut self, start: usize, flow: Option<i32>) -> i32 {
        let source = self.tree[start] == Tree::Source;
        let mut least = i32::MAX;
        let mut pixel = start;
        while self.parent[pixel] < TERMINAL {
            let up = usize::from(self.parent[pixel]);
            let Some(parent) = self.neighbour(pixel, up) else { break };
            let ((forth_at, forth), (back_at, back)) =
                if source { ((parent, 7 - up), (pixel, up)) } else { ((pixel, up), (parent, 7 - up)) };
            match flow {
                None => least = least.min(self.residual[forth][forth_at]),
                Some(flow) => {
                    self.residual[forth][forth_at] -= flow;
                    self.residual[back][back_at] += flow;
                    if self.residual[forth][forth_at] == 0 {
                        self.orphan(pixel);
                    }
                }
            }
            pixel = parent;
        }
        match flow {
            None => least.min(self.terminal[pixel].abs()),
            Some(flow) => {
                self.terminal[pixel] -= if source { flow } else { -flow };
                if self.terminal[pixel] == 0 {
                    self.orphan(pixel);
                }
                flow
            }
        }
    }

    fn orphan(&mut self, pixel: usize) {
        self.parent[pixel] = ORPHAN;
        self.orphans.push_back(pixel as u32);
    }

    /// Finds each orphan a new parent in its tree, or frees it.
    fn adopt(&mut self) {
        self.time += 1;
        while let Some(orphan) = self.orphans.pop_front() {
            let pixel = orphan as usize;
            let mut best: Option<(u32, usize)> = None;
            for direction in 0..8 {
                let Some(other) = self.neighbour(pixel, direction) else { continue };
                if self.tree[other] != self.tree[pixel] || self.outwards(other, 7 - direction, pixel) == 0 {
                    continue;
                }
                let Some(distance) = self.distance_to_root(other) else { continue };
                if best.is_none_or(|(least, _)| distance < least) {
                    best = Some((distance, direction));
                }
            }
            if let Some((distance, direction)) = best {
                self.parent[pixel] = direction as u8;
                self.checked[pixel] = self.time;
                self.distance[pixel] = distance + 1;
                continue;
            }
            for direction in 0..8 {
                let Some(other) = self.neighbour(pixel, direction) else { continue };
                if self.tree[other] != self.tree[pixel] {
                    continue;
                }
                if self.outwards(other, 7 - direction, pixel) > 0 {
                    self.activate(other);
                }
                if usize::from(self.parent[other]) == 7 - direction {
                    self.orphan(other);
                }
            }
            self.tree[pixel] = Tree::Free;
        }
    }

    /// How far a pixel is from the terminal, or nothing when its chain of parents ends at an orphan.
    fn distance_to_root(&mut self, start: usize) -> Option<u32> {
        let mut steps = 0;
        let mut pixel = start;
        let total = loop {
            if self.checked[pixel] == self.time {
                break self.distance[pixel] + steps;
            }
            match self.parent[pixel] {
                ORPHAN => return None,
                TERMINAL => {
                    self.checked[pixel] = self.time;
                    self.distance[pixel] = 1;
                    break steps + 1;
                }
                up => {
                    pixel = self.neighbour(pixel, usize::from(up))?;
                    steps += 1;
                }
            }
        };
        let mut distance = total;
        pixel = start;
        while self.checked[pixel] != self.time {
            self.checked[pixel] = self.time;
            self.distance[pixel] = distance;
            distance -= 1;
            pixel = self.neighbour(pixel, usize::from(self.parent[pixel]))?;
        }
        Some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of test numbers.
    fn numbers(mut seed: u64) -> impl FnMut() -> i32 {
        move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as i32
        }
    }

    fn energy(width: usize, preference: &[i32], edge: &dyn Fn(usize, usize) -> i32, split: &[bool]) -> i64 {
        let mut sum = 0;
        for a in 0..split.len() {
            sum += if split[a] { i64::from((-preference[a]).max(0)) } else { i64::from(preference[a].max(0)) };
            for b in a + 1..split.len() {
                let (dx, dy) = ((a % width).abs_diff(b % width), (a / width).abs_diff(b / width));
                if dx.max(dy) == 1 && split[a] != split[b] {
                    sum += i64::from(edge(a, b));
                }
            }
        }
        sum
    }

    #[test]
    fn is_the_least_of_all_splits() {
        for seed in 0..60 {
            let mut next = numbers(seed);
            let (width, height) = [(3, 3), (4, 3), (2, 5), (1, 7), (5, 2)][seed as usize % 5];
            let pixels = width * height;
            let preference: Vec<i32> = (0..pixels).map(|_| next() % 41 - 20).collect();
            let edges: Vec<i32> = (0..pixels * pixels).map(|_| next() % 15).collect();
            let edge = |a: usize, b: usize| edges[a.min(b) * pixels + a.max(b)];
            let least = (0_u32..1 << pixels)
                .map(|bits| (0..pixels).map(|i| bits >> i & 1 == 1).collect::<Vec<_>>())
                .map(|split| energy(width, &preference, &edge, &split))
                .min();
            let found = min_cut(width, height, &preference, edge);
            assert_eq!(Some(energy(width, &preference, &edge, &found)), least, "seed {seed}");
        }
    }

    #[test]
    fn neighbours_outvote_noise() {
        let (width, height) = (40, 30);
        let inside = |i: usize| (10..30).contains(&(i % width)) && (8..22).contains(&(i / width));
        let mut next = numbers(1);
        let preference: Vec<i32> =
            (0..width * height).map(|i| if inside(i) { 10 } else { -10 } + next() % 25 - 12).collect();
        let found = min_cut(width, height, &preference, |_, _| 8);
        let wrong = (0..width * height).filter(|i| found[*i] != inside(*i)).count();
        assert!(wrong < 20, "{wrong} pixels");
    }
}
