//! AMX in software, for tests on processors without it. They do not know its instructions, and the signal that this
//! raises is answered here by doing what the instruction says (Intel SDM, volume 2), as far as this crate uses them.

use std::cell::RefCell;
use std::sync::Once;

use half::bf16;

/// The registers of a thread.
struct Tiles {
    /// Rows, and bytes of a row; no rows before they are set up.
    sizes: [[usize; 2]; 8],
    values: [[[u8; 64]; 16]; 8],
}

thread_local! {
    static TILES: RefCell<Tiles> = const { RefCell::new(Tiles { sizes: [[0; 2]; 8], values: [[[0; 64]; 16]; 8] }) };
}

/// Answers the signal from now on, in all threads.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = answer;
        // SAFETY: an action without flags but these two is all zeros otherwise, and the handler takes what it gets by them.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
    });
}

extern "C" fn answer(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system gives the state of the thread, whose next instruction can be read; instructions that are not ours
    // raise the signal again, without an answer.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let code = registers[libc::REG_RIP as usize] as *const u8;
        match TILES.with_borrow_mut(|tiles| tiles.execute(code, registers)) {
            Some(len) => registers[libc::REG_RIP as usize] += len,
            None => {
                libc::signal(libc::SIGILL, libc::SIG_DFL);
            }
        }
    }
}

/// The general registers in the order in which instructions count them.
const GENERAL: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

impl Tiles {
    /// Does what an instruction says, and gives its length; nothing where it is none of ours.
    ///
    /// # Safety
    /// It is the thread's next one, and its memory is what it takes it for.
    unsafe fn execute(&mut self, code: *const u8, registers: &[libc::greg_t]) -> Option<libc::greg_t> {
        // SAFETY: the caller promises it; reads only as far as the bytes before tell that the instruction goes.
        unsafe {
            // A VEX prefix of three bytes: upper bits of the registers' numbers, inverted, and the second map; the third
            // register, inverted, and which of four prefixes.
            let [0xc4, upper, middle, opcode, modrm] = *code.cast::<[u8; 5]>() else { return None };
            if upper & 0x1f != 2 || middle & 0x84 != 0 {
                return None;
            }
            let high = |bit: u8| usize::from(!upper >> bit & 1) << 3;
            let (prefix, third) = (middle & 3, usize::from(!(middle >> 3) & 15));
            let (first, second) = (usize::from(modrm >> 3 & 7), usize::from(modrm & 7));
            let general = |number: usize| registers[GENERAL[number] as usize] as usize;
            // Where memory is, from row to row, and how long the instruction is.
            let (mut place, mut pitch, mut len) = (0, 0, 5);
            if modrm >> 6 != 3 {
                place = general(second | high(5));
                if second == 4 {
                    let sib = *code.add(5);
                    len = 6;
                    place = general(usize::from(sib & 7) | high(5));
                    pitch = general(usize::from(sib >> 3 & 7) | high(6)) << (sib >> 6);
                }
                let displacement = match modrm >> 6 {
                    1 => isize::from(*code.add(len).cast::<i8>()),
                    2 => code.add(len).cast::<i32>().read_unaligned() as isize,
                    _ => 0,
                };
                place = place.wrapping_add_signed(displacement);
                len += [0, 1, 4][usize::from(modrm >> 6)];
            }
            let row = |i: usize| (place + i * pitch) as *mut u8;
            match (opcode, prefix, modrm >> 6) {
                // tilerelease
                (0x49, 0, 3) => self.sizes = [[0; 2]; 8],
                // ldtilecfg
                (0x49, 0, _) => {
                    let configuration = *row(0).cast::<[u8; 64]>();
                    assert_eq!(configuration[..16], [&[1][..], &[0; 15]].concat(), "palette 1, from the first row on");
                    self.sizes = std::array::from_fn(|i| {
                        [usize::from(configuration[48 + i]), usize::from(configuration[16 + 2 * i])]
                    });
                    self.values = [[[0; 64]; 16]; 8];
                }
                // tilezero
                (0x49, 3, 3) => self.values[first] = [[0; 64]; 16],
                // tileloadd, tilestored
                (0x4b, 2 | 3, 0..=2) => {
                    let [rows, bytes] = self.sizes[first];
                    assert!(rows > 0, "registers that are not set up");
                    for (i, values) in self.values[first][..rows].iter_mut().enumerate() {
                        match prefix {
                            3 => row(i).copy_to(values.as_mut_ptr(), bytes),
                            _ => row(i).copy_from(values.as_ptr(), bytes),
                        }
                    }
                }
                // tdpbf16ps
                (0x5c, 2, 3) => self.multiply(first, second, third),
                _ => return None,
            }
            Some(len as libc::greg_t)
        }
    }

    /// Adds the product of two registers to a third.
    fn multiply(&mut self, to: usize, left: usize, right: usize) {
        let ([rows, bytes], [left_rows, left_bytes]) = (self.sizes[to], self.sizes[left]);
        assert!(rows == left_rows && self.sizes[right] == [left_bytes / 4, bytes] && rows > 0, "sizes that fit");
        assert!(to != left && to != right && left != right, "three registers");
        let half = |register: usize, row: usize, i: usize| {
            let [low, high] = [0, 1].map(|byte| self.values[register][row][2 * i + byte]);
            bf16::from_le_bytes([low, high]).to_f32()
        };
        let mut sums = self.values[to];
        for (i, sums) in sums[..rows].iter_mut().enumerate() {
            for (j, sum) in sums[..bytes].as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let products = (0..left_bytes / 2).map(|k| half(left, i, k) * half(right, k / 2, 2 * j + k % 2));
                *sum = (f32::from_le_bytes(*sum) + products.sum::<f32>()).to_le_bytes();
            }
        }
        self.values[to] = sums;
    }
}
