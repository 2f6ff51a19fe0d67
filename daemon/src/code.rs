//! Giving back the code that only a start has needed.
//!
//! Most of a program is executed once: it reads its settings, opens its stores, takes up what there is, and then waits. The
//! kernel maps what was touched, with its neighbours (`do_fault_around` in mm/memory.c), and leaves it mapped: two thirds of
//! what an idle daemon had. What is needed again is mapped again, from the page cache, at the price of a fault for 64 KiB.
//! The keeper does not do this: it has little, and a disk that fails is not to be in the way of PID 1.
#![expect(unsafe_code, reason = "madvise(2) of mappings that the loader made")]

use std::{ffi::c_void, fs, ptr::NonNull};

use nix::sys::mman::{MmapAdvise, madvise};

use crate::memory::{Mapping, mapping};

/// Unmaps the pages of our program's code that are as they are on the disk. To be called when a start is over; where there is
/// no /proc it does nothing.
pub(crate) fn give_back() {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    for (begin, end) in unchanged(&smaps, &program.to_string_lossy()) {
        let start = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(begin));
        if let (Some(start), Some(length)) = (start, end.checked_sub(begin)) {
            // SAFETY: it is there as long as we are, nobody can write there, and no page of it was changed, as by a debugger:
            // the next access finds the same bytes.
            unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) }.ok();
        }
    }
}

/// The mappings in a proc_pid_smaps(5) that are code of this program, and of which no page differs from the file's, be it in
/// memory or in swap space. Libraries are left alone: they come and go, and what the loader wrote in them must stay.
fn unchanged(smaps: &str, program: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(Mapping { begin, end, access, name, .. }) = mapping(line) {
            candidate =
                (access == "r-xp" && !name.is_empty() && name == program).then_some((begin, end));
        } else if let Some(pages) = line.strip_prefix("Anonymous:") {
            candidate = candidate.filter(|_| is_none(pages));
        } else if let Some(pages) = line.strip_prefix("Swap:") {
            found.extend(candidate.take().filter(|_| is_none(pages)));
        }
    }
    found
}

/// Whether a size is 0.
fn is_none(pages: &str) -> bool {
    pages.split_ascii_whitespace().next() == Some("0")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_as_on_the_disk_is_found() {
        let smaps = "\
5500-5600 r--p 00000000 fe:00 575   /usr/bin/x y
Anonymous:             0 kB
Swap:                  0 kB
5600-5700 r-xp 00001000 fe:00 575   /usr/bin/x y
Rss:                 256 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
5700-5800 r-xp 00002000 fe:00 575   /usr/bin/x y
Anonymous:             4 kB
Swap:                  0 kB
5800-5900 r-xp 00003000 fe:00 575   /usr/bin/x y
Anonymous:             0 kB
Swap:                  4 kB
5900-5a00 rw-p 00003000 fe:00 575   /usr/bin/x y
Anonymous:             0 kB
Swap:                  0 kB
5a00-5b00 r-xp 00000000 00:00 0     [vdso]
Anonymous:             0 kB
Swap:                  0 kB
6100-6200 r-xp 00000000 fe:00 576   /usr/lib/z
Anonymous:             0 kB
Swap:                  0 kB
";
        assert_eq!(unchanged(smaps, "/usr/bin/x y"), [(0x5600, 0x5700)]);
        assert_eq!(unchanged(smaps, ""), [], "where it is not known what we are");
        assert_eq!(unchanged("Swap: 0 kB\n5500-5600 r-xp 0 0 1 x\n", "x"), []);
    }

    /// What is said of our own code.
    fn own() -> ((usize, usize), u64) {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let program = std::env::current_exe().unwrap();
        let ours =
            |line: &&str| line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap());
        let mut of_code = smaps.lines().skip_while(|line| !ours(line));
        let Mapping { begin, end, .. } = mapping(of_code.next().unwrap()).unwrap();
        let size = of_code.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        ((begin, end), size.trim().trim_end_matches(" kB").parse().unwrap())
    }

    #[test]
    fn code_that_was_given_back_is_mapped_no_more_and_executed() {
        let ((begin, end), _) = own();
        for at in (begin..end).step_by(4096) {
            let byte = std::ptr::with_exposed_provenance::<u8>(at);
            // SAFETY: it is mapped, and nobody writes there.
            unsafe { byte.read_volatile() };
        }
        let (_, all) = own();
        give_back();
        let (_, after) = own();
        assert!(after < all / 2, "{after} KiB of {all}");
        for _ in 0..100 {
            give_back();
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(.*\n){0,5}") {
            unchanged(&text, "x");
        }
    }
}
