//! Noise levels, spaced evenly in `sigma^(1/rho)`.

/// Equation 5 of Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models" (2022), and a 0 at the
/// end: `steps + 1` numbers. A single step starts from `most`.
pub fn sigmas(steps: usize, least: f64, most: f64, rho: f64) -> Vec<f64> {
    let (low, high) = (least.powf(1.0 / rho), most.powf(1.0 / rho));
    let last = steps.saturating_sub(1).max(1) as f64;
    (0..steps).map(|i| (high + i as f64 / last * (low - high)).powf(rho)).chain([0.0]).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ends_are_as_asked_for_and_levels_fall() {
        for (steps, rho) in [(1, 7.0), (2, 1.0), (10, 7.0), (50, 3.0)] {
            let sigmas = super::sigmas(steps, 0.1, 10.0, rho);
            assert_eq!(sigmas.len(), steps + 1);
            assert!((sigmas[0] - 10.0).abs() < 1e-9);
            assert!(steps == 1 || (sigmas[steps - 1] - 0.1).abs() < 1e-9);
            assert!(sigmas.windows(2).all(|pair| pair[0] > pair[1]), "{sigmas:?}");
        }
    }
}
