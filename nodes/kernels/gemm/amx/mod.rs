//! The tile of registers on AMX, Intel's matrix extensions (Intel SDM, volume 1, chapter 18): registers of 16 rows of
//! 64 bytes, and an instruction that multiplies two of them, as 16 x 32 by 32 x 16 bfloat16s, and adds to a third.
//!
//! A tile of `24 x 32` takes four sums, of 16 and of 8 rows; with two parts of each operand that makes all eight
//! registers. The compiler knows none of these instructions' registers, so no code of its own uses them between ours.

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod stand_in;

use std::arch::asm;
use std::marker::PhantomData;

use super::tile::{COLUMNS, HALF, Onto, ROWS, Target};

/// Values (pairs) of the depth that one instruction multiplies.
pub(super) const STEPS: usize = 16;

/// Rows of a whole register. The second one of the left operand has what is left of a tile's.
const HEIGHT: usize = 16;

/// What `ldtilecfg` reads: palette 1 has eight registers of up to 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = {
    let (whole, rest) = (HEIGHT as u8, (ROWS - HEIGHT) as u8);
    let mut rows = [0; 16];
    // Sums above and below, left and right; the left operand above and below; the right one left and right.
    [rows[0], rows[1], rows[2], rows[3]] = [whole, whole, rest, rest];
    [rows[4], rows[5], rows[6], rows[7]] = [whole, rest, STEPS as u8, STEPS as u8];
    let mut row_bytes = [0; 16];
    let mut i = 0;
    while i < 8 {
        row_bytes[i] = 64;
        i += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

/// A thread whose registers are set up.
#[derive(Debug)]
pub(super) struct Registers(PhantomData<*const ()>);

impl Registers {
    /// # Safety
    /// The processor must have AMX, and the process the right to use it.
    pub(super) unsafe fn new() -> Self {
        // SAFETY: reads the configuration, which is a valid one.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly, preserves_flags))
        };
        Self(PhantomData)
    }

    /// A tile of 24 rows, of lines that begin `pitch` values apart.
    ///
    /// # Safety
    /// `a` must be valid for reads of 24 lines of `blocks * 16` values, `b` of `blocks * 16` rows of 32, and `c` for a whole
    /// tile, which no one else may touch.
    pub(super) unsafe fn tile(&self, a: *const f32, pitch: usize, b: *const f32, blocks: usize, c: Target) {
        const { assert!(COLUMNS * size_of::<f32>() == 128 && HALF * size_of::<f32>() == 64) };
        // SAFETY: all memory is what the caller promises, and the registers are set up, as `self` tells.
        unsafe {
            let [left, right] = c.halves;
            asm!(
                "test {sum:e}, {sum:e}",
                "jnz 2f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 3f",
                "2:",
                "tileloadd tmm0, [{c0} + {c_pitch}]",
                "tileloadd tmm1, [{c1} + {c_pitch}]",
                "tileloadd tmm2, [{c2} + {c_pitch}]",
                "tileloadd tmm3, [{c3} + {c_pitch}]",
                "3:",
                "test {blocks}, {blocks}",
                "jz 5f",
                "4:",
                "tileloadd tmm6, [{b} + {b_pitch}]",
                "tileloadd tmm4, [{a0} + {a_pitch}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {b_pitch} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {a_pitch}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 64",
                "add {a1}, 64",
                "add {b}, 2048",
                "dec {blocks}",
                "jnz 4b",
                "5:",
                "tilestored [{c0} + {c_pitch}], tmm0",
                "tilestored [{c1} + {c_pitch}], tmm1",
                "tilestored [{c2} + {c_pitch}], tmm2",
                "tilestored [{c3} + {c_pitch}], tmm3",
                sum = in(reg) u32::from(c.onto == Onto::Sum),
                c0 = in(reg) left,
                c1 = in(reg) right,
                c2 = in(reg) left.add(HEIGHT * c.pitch),
                c3 = in(reg) right.add(HEIGHT * c.pitch),
                c_pitch = in(reg) c.pitch * size_of::<f32>(),
                a0 = inout(reg) a => _,
                a1 = inout(reg) a.add(HEIGHT * pitch) => _,
                a_pitch = in(reg) pitch * size_of::<f32>(),
                b = inout(reg) b => _,
                b_pitch = in(reg) COLUMNS * size_of::<f32>(),
                blocks = inout(reg) blocks => _,
                options(nostack),
            );
        }
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: gives back what `new` has set up. The system need not keep the registers of this thread from here on.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}
