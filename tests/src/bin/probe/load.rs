//! Work for the kernel and for whoever reaps.

use std::time::Duration;

use nix::{
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::{ForkResult, fork, getpid, pipe, read},
};
use tests::wait::Deadline;

/// So many are left behind by one parent.
const LITTER: u32 = 100;

/// Each is left behind by its parent: it waits for that one's end, and then ends itself.
#[expect(
    unsafe_code,
    reason = "ten thousand that are executed would take an emulated machine minutes"
)]
pub(crate) fn orphans(count: u32) {
    for _ in 0..count.div_ceil(LITTER) {
        // SAFETY: this program has one thread, and the children do nothing but this.
        match unsafe { fork() }.expect("one more process") {
            ForkResult::Parent { child } => drop(waitpid(child, None)),
            ForkResult::Child => {
                let (life, held) = pipe().expect("two more descriptors");
                for _ in 0..LITTER {
                    // SAFETY: the same.
                    if let Ok(ForkResult::Child) = unsafe { fork() } {
                        drop(held);
                        // The end of what is held by the parent alone, once all its children have let go.
                        read(&life, &mut [0]).ok();
                        leave();
                    }
                }
                leave();
            }
        }
    }
}

/// Makes processes that do the same, without end: whoever has made two ends, so that they are orphans, and where the kernel
/// refuses one more, every other one gives up, and makes room. Who was executed goes on for ever.
#[expect(unsafe_code, reason = "what is executed first makes no storm")]
pub(crate) fn breed() -> ! {
    let (first, mut made) = (getpid(), 0);
    loop {
        // SAFETY: this program has one thread, and the children do nothing but this.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => made = 0,
            Ok(ForkResult::Parent { .. }) => made += 1,
            Err(_) if getpid().as_raw() % 2 == 0 => made = 2,
            Err(_) => {}
        }
        if getpid() != first {
            if made >= 2 {
                leave();
            }
            continue;
        }
        // Its own children, which are no orphans as long as it lives.
        while let Ok(WaitStatus::Exited(..)) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {}
    }
}

/// Ends here, with nothing of the parent's done twice.
#[expect(unsafe_code, reason = "std has no such exit")]
fn leave() -> ! {
    // SAFETY: it does not come back.
    unsafe { nix::libc::_exit(0) }
}

/// Looks at the clock, again and again.
pub(crate) fn spin(span: Duration) {
    let end = Deadline::after(span);
    while !end.passed() {}
}
