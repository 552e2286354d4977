//! Colours as a mixture of Gaussians.

/// How many Gaussians, as in GrabCut.
const COMPONENTS: usize = 5;
/// Smallest variance along any axis, in L*a*b* units: quantisation and compression alone make this much.
const FLOOR: f64 = 2.0;

struct Gaussian {
    mean: [f64; 3],
    /// Inverse of the covariance: xx, xy, xz, yy, yz, zz.
    inverse: [f64; 6],
    /// Log of the weight times the normalisation.
    log_scale: f64,
}

/// A density over colours.
pub(crate) struct Mixture(Vec<Gaussian>);

impl Mixture {
    /// Fits a mixture by k-means with deterministic seeds; nothing when there are no colours.
    pub(crate) fn fit(colors: &[[f32; 3]]) -> Option<Self> {
        let labels = clusters(colors, COMPONENTS, 10)?;
        let gaussian = |k: usize| {
            let members = colors.iter().zip(&labels).filter(|(_, l)| **l == k).map(|(c, _)| c);
            Gaussian::fit(members, colors.len())
        };
        let gaussians: Vec<_> = (0..COMPONENTS).filter_map(gaussian).collect();
        (!gaussians.is_empty()).then_some(Self(gaussians))
    }

    /// The centres.
    pub(crate) fn means(&self) -> impl Iterator<Item = [f32; 3]> {
        self.0.iter().map(|g| g.mean.map(|m| m as f32))
    }

    /// Minus the logarithm of the density, by the component that explains the colour best.
    pub(crate) fn cost(&self, color: [f32; 3]) -> f64 {
        self.0.iter().map(|g| g.cost(color)).fold(f64::INFINITY, f64::min)
    }
}

impl Gaussian {
    fn fit<'a>(colors: impl Iterator<Item = &'a [f32; 3]> + Clone, of: usize) -> Option<Self> {
        let count = colors.clone().count();
        if count == 0 {
            return None;
        }
        let n = count as f64;
        let mut mean = [0.0; 3];
        for color in colors.clone() {
            (0..3).for_each(|c| mean[c] += f64::from(color[c]) / n);
        }
        let mut s = [FLOOR, 0.0, 0.0, FLOOR, 0.0, FLOOR];
        for color in colors {
            let [x, y, z] = std::array::from_fn(|c| f64::from(color[c]) - mean[c]);
            for (sum, product) in s.iter_mut().zip([x * x, x * y, x * z, y * y, y * z, z * z]) {
                *sum += product / n;
            }
        }
        let [xx, xy, xz, yy, yz, zz] = s;
        let cofactors = [
            yy * zz - yz * yz,
            xz * yz - xy * zz,
            xy * yz - xz * yy,
            xx * zz - xz * xz,
            xy * xz - xx * yz,
            xx * yy - xy * xy,
        ];
        let determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2];
        let log_scale = (n / of as f64).ln() - 0.5 * determinant.ln() - 1.5 * std::f64::consts::TAU.ln();
        Some(Self { mean, inverse: cofactors.map(|c| c / determinant), log_scale })
    }

    fn cost(&self, color: [f32; 3]) -> f64 {
        let [x, y, z] = std::array::from_fn(|c| f64::from(color[c]) - self.mean[c]);
        let [xx, xy, xz, yy, yz, zz] = self.inverse;
        let distance = x * x * xx + y * y * yy + z * z * zz + 2.0 * (x * y * xy + x * z * xz + y * z * yz);
        0.5 * distance - self.log_scale
    }
}

/// The cluster of each colour, by k-means seeded with the mean and then, again and again, the farthest colour among a sample.
pub(crate) fn clusters(colors: &[[f32; 3]], count: usize, rounds: usize) -> Option<Vec<usize>> {
    let first = *colors.first()?;
    let mut centers = vec![mean(colors.iter()).unwrap_or(first)];
    // The very farthest colour is an outlier as like as not: take the 98th percentile.
    while centers.len() < count {
        let step = (colors.len() / 4000).max(1);
        let mut far: Vec<(f32, [f32; 3])> =
            colors.iter().step_by(step).map(|c| (nearest(&centers, *c).1, *c)).collect();
        far.sort_by(|a, b| a.0.total_cmp(&b.0));
        centers.push(far[(far.len() * 98 / 100).min(far.len() - 1)].1);
    }
    let mut labels = vec![0; colors.len()];
    for _ in 0..rounds {
        for (label, color) in labels.iter_mut().zip(colors) {
            *label = nearest(&centers, *color).0;
        }
        for (k, center) in centers.iter_mut().enumerate() {
            let members = colors.iter().zip(&labels).filter(|(_, l)| **l == k).map(|(c, _)| c);
            *center = mean(members).unwrap_or(*center);
        }
    }
    Some(labels)
}

fn nearest(centers: &[[f32; 3]], color: [f32; 3]) -> (usize, f32) {
    let distances = centers.iter().map(|c| (0..3).map(|i| (c[i] - color[i]).powi(2)).sum::<f32>());
    distances.enumerate().fold((0, f32::INFINITY), |best, found| if found.1 < best.1 { found } else { best })
}

fn mean<'a>(colors: impl Iterator<Item = &'a [f32; 3]>) -> Option<[f32; 3]> {
    let (mut sum, mut count) = ([0.0_f64; 3], 0.0);
    for color in colors {
        (0..3).for_each(|c| sum[c] += f64::from(color[c]));
        count += 1.0;
    }
    (count > 0.0).then(|| sum.map(|s| (s / count) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gaussian_has_the_textbook_density() {
        // Variance 8 along the first axis, 0 along the others: with the floor 10, 2, 2.
        let spread = 8.0_f32.sqrt();
        let colors = [[50.0 - spread, 0.0, 0.0], [50.0 + spread, 0.0, 0.0]];
        let gaussian = Gaussian::fit(colors.iter(), 2).unwrap();
        let log_peak = -0.5 * (10.0_f64 * 2.0 * 2.0).ln() - 1.5 * std::f64::consts::TAU.ln();
        assert!((gaussian.cost([50.0, 0.0, 0.0]) + log_peak).abs() < 1e-4);
        assert!((gaussian.cost([60.0, 0.0, 2.0]) + log_peak - 5.0 - 1.0).abs() < 1e-4);
    }

    #[test]
    fn clusters_are_found() {
        let colors: Vec<[f32; 3]> =
            (0..300).map(|i| [(i % 3) as f32 * 40.0 + (i % 7) as f32 * 0.1, 0.0, 5.0]).collect();
        let labels = clusters(&colors, 3, 10).unwrap();
        for (i, label) in labels.iter().enumerate() {
            assert_eq!(*label, labels[i % 3], "color {i}");
        }
        let mixture = Mixture::fit(&colors).unwrap();
        assert!(mixture.cost([40.0, 0.0, 5.0]) + 5.0 < mixture.cost([20.0, 0.0, 5.0]));
        assert!(Mixture::fit(&[]).is_none());
    }
}
