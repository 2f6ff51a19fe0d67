//! Our memory: pages that have been touched, and no others.
//!
//! Where a kernel gives transparent huge pages unasked, as Debian's does, it rounds up what has been touched: a daemon with a
//! thousand units was found with twice its memory. They are forgone in two ways, of which neither is enough:
//! - for all of our address space (prctl(2), `PR_SET_THP_DISABLE`), until the first program is about to be made. Programs have
//!   them as ever, and would not: execve(2) hands that on, and a child that is being made has our address space, where nothing
//!   can be said for it alone;
//! - from then on by what madvise(2) says of a mapping, which is handed on to nobody, and holds for what is there when it is
//!   said: for all of it at first, with the tables of the schedule, which are large and hardly used, and for what the heap
//!   grows by. Threads share one arena, which is the heap (the keeper tells the allocator so).
#![expect(unsafe_code, reason = "sbrk(2), and madvise(2) of mappings that others made")]

use std::{
    ffi::c_void,
    fs,
    ptr::NonNull,
    sync::{
        Condvar, Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::{
    libc,
    sys::{
        mman::{MmapAdvise, madvise},
        prctl::{get_thp_disable, set_thp_disable},
    },
};

/// What the kernel calls the heap.
const HEAP_NAME: &str = "[heap]";
/// How long the first program waits for the schedule's tables; as a rule they are there.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether these are there.
static SCHEDULE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
/// Whether huge pages are forgone for the whole address space, by us.
static FORGONE: AtomicBool = AtomicBool::new(false);
/// Where the heap begins; 0 as long as that was not looked up.
static HEAP: AtomicUsize = AtomicUsize::new(0);
/// Where it ended when it was last looked after.
static END: AtomicUsize = AtomicUsize::new(0);

/// Forgoes huge pages until [`settle`]. Where somebody has forbidden them to us they stay forbidden, also to programs.
pub(crate) fn forgo_huge_pages() {
    if get_thp_disable() == Ok(false) && set_thp_disable(true).is_ok() {
        FORGONE.store(true, Ordering::Relaxed);
    }
}

/// What is mapped stays as it is, and programs have huge pages from now on. To be called before one is made; after the first
/// time it does nothing.
pub(crate) fn settle() {
    static SETTLED: Once = Once::new();
    SETTLED.call_once(|| {
        let opened = SCHEDULE.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A disk that hangs holds up no program.
        drop(SCHEDULE.1.wait_timeout_while(opened, PATIENCE, |opened| !*opened));
        mark();
        if FORGONE.load(Ordering::Relaxed) {
            // It was done before, and whom it could be refused to that was refused then.
            set_thp_disable(false).ok();
        }
    });
}

/// The schedule was opened, or cannot be.
pub(crate) fn schedule_is_there() {
    mark();
    *SCHEDULE.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    SCHEDULE.1.notify_all();
}

/// Keeps what is mapped now out of huge pages.
fn mark() {
    // Without /proc there is nothing to be known, and little to be lost.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for Mapping { begin, end, name, .. } in maps.lines().filter_map(mapping).filter(is_our_own) {
        // It may be in several parts, the first of which is where it begins.
        if name == HEAP_NAME && HEAP.load(Ordering::Relaxed) == 0 {
            HEAP.store(begin, Ordering::Relaxed);
        }
        keep_small(begin, end);
    }
}

/// Does the same for what the heap has grown by. To be called often: where it has not grown, that is no system call.
pub(crate) fn look_after() {
    // SAFETY: by nothing it is not moved; its end is told, and nothing else is done.
    let end = unsafe { libc::sbrk(0) }.addr();
    let begin = HEAP.load(Ordering::Relaxed);
    if begin != 0 && END.swap(end, Ordering::Relaxed) != end {
        keep_small(begin, end);
    }
}

fn keep_small(begin: usize, end: usize) {
    let start = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(begin));
    if let (Some(start), Some(length)) = (start, end.checked_sub(begin)) {
        // SAFETY: it changes no byte, and of what is mapped no more it says so. A kernel without huge pages does not know the
        // word, and then there are none.
        unsafe { madvise(start, length, MmapAdvise::MADV_NOHUGEPAGE) }.ok();
    }
}

/// Memory that is mapped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mapping<'l> {
    pub(crate) begin: usize,
    pub(crate) end: usize,
    /// As `r-xp`.
    pub(crate) access: &'l str,
    of_file: bool,
    /// The file, or what the kernel calls it.
    pub(crate) name: &'l str,
}

/// What a line of proc_pid_maps(5) says, or one that begins a mapping in proc_pid_smaps(5); none for any other.
pub(crate) fn mapping(line: &str) -> Option<Mapping<'_>> {
    let mut words = line.splitn(6, ' ');
    let (begin, end) = words.next()?.split_once('-')?;
    let (access, _offset, _device, inode) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (begin, end) = (address(begin)?, address(end)?);
    let name = words.next().unwrap_or_default().trim_start();
    Some(Mapping { begin, end, access, of_file: inode != "0", name })
}

/// Whether it is private memory that can be written, of no file, and not the stack of the first thread or what else the kernel
/// has made.
fn is_our_own(mapping: &Mapping<'_>) -> bool {
    mapping.access == "rw-p" && !mapping.of_file && ["", HEAP_NAME].contains(&mapping.name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_of_no_file_is_ours() {
        for (line, range, ours) in [
            (
                "5634f01a9000-5634f02cb000 rw-p 00000000 00:00 0   [heap]",
                (0x5634_f01a_9000, 0x5634_f02c_b000),
                true,
            ),
            ("7f00-8f00 rw-p 00000000 00:00 0 ", (0x7f00, 0x8f00), true),
            ("7f00-8f00 rw-p 00000000 00:00 0", (0x7f00, 0x8f00), true),
            ("7f00-8f00 rw-p 00000000 00:00 0   [stack]", (0x7f00, 0x8f00), false),
            ("7f00-8f00 rw-p 00001000 fe:00 575   /usr/bin/x y", (0x7f00, 0x8f00), false),
            ("7f00-8f00 rw-s 00000000 00:00 0 ", (0x7f00, 0x8f00), false),
            ("7f00-8f00 ---p 00000000 00:00 0 ", (0x7f00, 0x8f00), false),
        ] {
            let found = mapping(line).unwrap();
            assert_eq!(((found.begin, found.end), is_our_own(&found)), (range, ours), "{line}");
        }
        let named = mapping("7f00-8f00 r-xp 00001000 fe:00 575   /usr/bin/x y").unwrap();
        assert_eq!((named.access, named.name), ("r-xp", "/usr/bin/x y"));
        assert_eq!(mapping(""), None);
        assert_eq!(mapping("Rss:                 256 kB"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in ".*") {
            mapping(&line);
        }
    }
}
