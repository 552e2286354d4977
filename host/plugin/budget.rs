//! Memory that the host holds on behalf of one call, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fault::Stop;

/// How much a call may have the host hold.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicU64,
    mib: u32,
}

/// Bytes that count against a budget for as long as they live.
#[derive(Debug)]
pub(super) struct Counted {
    bytes: Vec<u8>,
    counted: u64,
    budget: Arc<Budget>,
}

impl Budget {
    pub(super) fn new(mib: u32) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(u64::from(mib) << 20), mib })
    }

    /// Takes from the budget.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Stop> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(|_| ()).map_err(|_| Stop::Buffers(self.mib))
    }

    /// Bytes left.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

impl Counted {
    /// Counts bytes that are there already.
    pub(super) fn new(bytes: Vec<u8>, budget: &Arc<Budget>) -> Result<Self, Stop> {
        let counted = bytes.len() as u64;
        budget.take(counted)?;
        Ok(Self { bytes, counted, budget: budget.clone() })
    }

    /// Zeros, counted before they are there.
    pub(super) fn zeros(size: usize, budget: &Arc<Budget>) -> Result<Self, Stop> {
        budget.take(size as u64)?;
        Ok(Self { bytes: vec![0; size], counted: size as u64, budget: budget.clone() })
    }

    /// A copy, counted before it is made.
    pub(super) fn copy(bytes: &[u8], budget: &Arc<Budget>) -> Result<Self, Stop> {
        budget.take(bytes.len() as u64)?;
        Ok(Self { bytes: bytes.to_vec(), counted: bytes.len() as u64, budget: budget.clone() })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The bytes, which count no longer.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_while_they_live() {
        let budget = Budget::new(1);
        let half = Counted::zeros(1 << 19, &budget).unwrap();
        let other = Counted::copy(half.bytes(), &budget).unwrap();
        assert!(matches!(Counted::new(vec![1], &budget), Err(Stop::Buffers(1))));
        drop(half);
        assert_eq!(other.into_bytes().len(), 1 << 19);
        assert_eq!(budget.left(), 1 << 20);
    }
}
