//! How the tiles of a product are shared between threads.

use super::tile::{COLUMNS, ROWS};

/// Rows at once of plain products: with the steps over the depth that are taken at once, they stay in the second cache.
pub(crate) const HEIGHT: usize = 384;
/// Tiles beside each other at once: with that many rows, their sums stay there or in the third.
const TILES: usize = 16;
/// Tasks of a thread, so that no one waits long for the last.
const TASKS: usize = 4;

/// What it takes to pack a value, in multiplications, roughly, on AVX-512, and how much may be packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// A value of the left operand, packed once for each stretch of columns.
    pub(crate) left: usize,
    /// A value of the right operand, packed once for each band of rows.
    pub(crate) right: usize,
    /// Rows at once, whole tiles.
    pub(crate) height: usize,
}

/// Tasks: each is a band of rows and a stretch of columns, and packs these for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tasks {
    /// Rows of a band, whole tiles.
    pub(crate) band: usize,
    /// Tiles of a stretch.
    pub(crate) stretch: usize,
    pub(crate) bands: usize,
    pub(crate) stretches: usize,
}

impl Tasks {
    /// Those that are done first, counting what is packed more than once and threads that wait for the last task. What is
    /// added up does not depend on them.
    ///
    /// # Panics
    /// When there is nothing to do.
    pub(crate) fn of(rows: usize, tiles: usize, threads: usize, costs: Costs) -> Self {
        assert!(rows > 0 && tiles > 0 && threads > 0, "{rows} rows and {tiles} tiles for {threads} threads");
        let fewest = rows.div_ceil(costs.height);
        let candidates = (fewest..=fewest + 2 * TASKS).flat_map(|bands| {
            let band = rows.div_ceil(bands).next_multiple_of(ROWS);
            let bands = rows.div_ceil(band);
            let fewest = tiles.div_ceil(TILES).max((TASKS * threads).div_ceil(bands)).min(tiles);
            (fewest..=tiles.min(fewest + TASKS)).map(move |stretches| {
                let stretch = tiles.div_ceil(stretches);
                Self { band, stretch, bands, stretches: tiles.div_ceil(stretch) }
            })
        });
        candidates.min_by_key(|tasks| tasks.cost(threads, costs)).expect("a candidate")
    }

    /// Until the last task is done, for each step over the depth, in multiplications.
    fn cost(&self, threads: usize, costs: Costs) -> usize {
        let columns = self.stretch * COLUMNS;
        let each = self.band * columns + costs.left * self.band + costs.right * columns;
        (self.bands * self.stretches).div_ceil(threads) * each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { left: 30, right: 8, height: HEIGHT };

    /// All rows and tiles are somebody's, nobody's share is empty or larger than the caches.
    #[test]
    fn tasks_cover_everything_once() {
        for rows in [1, 23, 24, 25, 320, 384, 385, 1280, 4096, 10240] {
            for tiles in [1, 2, 7, 16, 17, 128, 8192] {
                for threads in [1, 2, 3, 64] {
                    let tasks = Tasks::of(rows, tiles, threads, COSTS);
                    let Tasks { band, stretch, bands, stretches } = tasks;
                    let what = format!("{rows} rows and {tiles} tiles for {threads} threads: {tasks:?}");
                    assert!(band.is_multiple_of(ROWS) && band <= HEIGHT && stretch <= TILES, "{what}");
                    assert!(bands * band >= rows && (bands - 1) * band < rows, "{what}");
                    assert!(stretches * stretch >= tiles && (stretches - 1) * stretch < tiles, "{what}");
                }
            }
        }
    }

    /// The inner convolutions of Stable Diffusion 1.5: many weights for few places, which are packed again instead.
    #[test]
    fn what_is_large_is_packed_once() {
        for tiles in [2, 8] {
            let tasks = Tasks::of(1280, tiles, 2, COSTS);
            assert_eq!(tasks.stretches, 1, "{tasks:?}");
            assert!(tasks.bands >= 2 * TASKS, "{tasks:?}");
        }
    }
}
