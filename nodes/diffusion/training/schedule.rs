//! The learning rate over a run: a warm-up, then half a cosine down to a tenth of a percent.

/// The rate of a step, which counts from 0.
pub fn learning_rate(peak: f64, step: u64, warmup_steps: u64, steps: u64) -> f64 {
    const LAST: f64 = 1e-3;
    if step < warmup_steps {
        return peak * (step + 1) as f64 / warmup_steps as f64;
    }
    let done = (step - warmup_steps) as f64 / steps.saturating_sub(warmup_steps).max(1) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
    peak * (LAST + (1.0 - LAST) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls() {
        let check = |step: u64, expected: f64| {
            let found = learning_rate(2.0, step, 10, 110);
            assert!((found - expected).abs() < 1e-12, "step {step}: {found}, expected {expected}");
        };
        check(0, 0.2);
        check(4, 1.0);
        check(9, 2.0);
        check(10, 2.0);
        check(60, 1.001);
        check(110, 0.002);
        check(200, 0.002);
        assert_eq!(learning_rate(1.0, 0, 0, 0), 1.0);
    }
}
