//! Decisions of the drawing: integers from a hash, the same on every machine.

/// A stream of numbers by SplitMix64 (Steele, Lea and Flood, 2014). A clone goes on from the same place on its own.
#[derive(Clone, Debug)]
pub(super) struct Picks(u64);

impl Picks {
    /// A stream of its own for each sequence of `parts`.
    pub(super) fn new(parts: &[u64]) -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15;
        for part in parts {
            state = mix(state ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_add(0x9E37_79B9_7F4A_7C15);
        }
        Self(state)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// 0 to `n` - 1; 0 when `n` is 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// -1 or 1.
    pub(super) fn sign(&mut self) -> f32 {
        if self.chance(50) { 1.0 } else { -1.0 }
    }

    /// A number from `low` up to `high`, of 65,536 possible ones.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.below(1 << 16) as f32 / 65_536.0
    }

    /// One of several.
    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// SplitMix64's finalizer.
pub(super) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Noise between 0 and 1 at a point of a grid.
pub(super) fn grain(seed: u64, x: i32, y: i32) -> f32 {
    (mix(seed ^ (u64::from(x as u32) << 32) ^ u64::from(y as u32)) >> 40) as f32 / (1_u64 << 24) as f32
}

/// Smooth noise between 0 and 1, of wavelength about 1.
pub(super) fn smooth_noise(seed: u64, x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = (x - left, y - top);
    let (u, v) = (u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v));
    let (left, top) = (left as i32, top as i32);
    let row = |y| {
        let (a, b) = (grain(seed, left, y), grain(seed, left + 1, y));
        a + (b - a) * u
    };
    let (a, b) = (row(top), row(top + 1));
    a + (b - a) * v
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are part of what a seed means: training runs of different machines must see the same pictures.
    #[test]
    fn streams_are_fixed() {
        // SplitMix64 from seed 1234567, as its authors' C code prints it.
        let mut picks = Picks(1_234_567);
        assert_eq!([picks.next(), picks.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        let mut picks = Picks::new(&[1, 2]);
        assert_ne!(picks.clone().next(), Picks::new(&[2, 1]).next());
        let values: Vec<usize> = (0..2000).map(|_| picks.below(5)).collect();
        for wanted in 0..5 {
            let count = values.iter().filter(|v| **v == wanted).count();
            assert!((330..470).contains(&count), "{count} of {wanted}");
        }
    }
}
