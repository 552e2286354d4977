//! The work: ordinary Rust, tested with `cargo test`.

/// Samples from 0 to 255.
pub fn bytes(samples: &mut [u8], amount: f32) {
    for sample in samples {
        *sample = (f32::from(*sample) * amount).round().clamp(0.0, 255.0) as u8;
    }
}

/// Samples from 0 to 1: little-endian `f32`.
pub fn floats(samples: &mut [u8], amount: f32) {
    for sample in samples.chunks_exact_mut(4) {
        let value = f32::from_le_bytes([sample[0], sample[1], sample[2], sample[3]]);
        sample.copy_from_slice(&(value * amount).clamp(0.0, 1.0).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn brighter_and_never_beyond_white() {
        let mut samples = [0, 100, 200];
        super::bytes(&mut samples, 1.5);
        assert_eq!(samples, [0, 150, 255]);
        let mut samples = 0.5f32.to_le_bytes();
        super::floats(&mut samples, 1.5);
        assert_eq!(f32::from_le_bytes(samples), 0.75);
    }
}
