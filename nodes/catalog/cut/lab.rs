//! CIE L*a*b*: distances in it are about as large as people see them, 2.3 being a just noticeable one.

use crate::image::pixels::Samples;

/// L* (0 to 100), a* and b* of sRGB-encoded RGB (D65 white), as 3 channels.
pub(crate) fn lab(rgb: &Samples) -> Vec<[f32; 3]> {
    rgb.values.chunks_exact(rgb.channels).map(|p| lab_of([p[0], p[1], p[2]])).collect()
}

fn lab_of(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| {
        let v = v.clamp(0.0, 1.0);
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    // IEC 61966-2-1, each row divided by the white point.
    let x = (0.412_456 * r + 0.357_576 * g + 0.180_438 * b) / 0.950_47;
    let y = 0.212_673 * r + 0.715_152 * g + 0.072_175 * b;
    let z = (0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83;
    let [fx, fy, fz] =
        [x, y, z].map(|t| if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 });
    [116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by scikit-image's `rgb2lab`, as published in its documentation and in Bruce Lindbloom's calculator.
    #[test]
    fn known_colors() {
        let cases = [
            ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
            ([1.0, 1.0, 1.0], [100.0, 0.0, 0.0]),
            ([1.0, 0.0, 0.0], [53.241, 80.092, 67.203]),
            ([0.0, 1.0, 0.0], [87.735, -86.183, 83.179]),
            ([0.0, 0.0, 1.0], [32.297, 79.188, -107.860]),
        ];
        for (rgb, expected) in cases {
            let found = lab_of(rgb);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.05), "{rgb:?}: {found:?}");
        }
    }
}
