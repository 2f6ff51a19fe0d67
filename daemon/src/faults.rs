//! Faults on request, for tests: a thread that panics, spins, or leaks. In debug builds, and with the feature `faults` in
//! others; anywhere else nothing of this is there.
//!
//! The variable `AURAED_FAULTS` names a folder. A thread that comes by its [`point`] looks for a file of its name there
//! (`supervisor`, `spawner`, `schedule`, `log-writer`, `doors`; `deeds` is the supervisor between writing down and doing,
//! `midwife` a spawner that has made a process and told nobody), which says `panic`, `spin`, `leak` or `slow`, and removes
//! it, so that it happens once. `panic 1/1000` and the like stay, and happen once in so many times.
//!
//! The keeper has faults of its own, in debug builds: with `AURAED_FAULTS_KEEPER` it cannot take another's place, and as PID 1
//! or as `auraed init` it panics where there is a file /run/aurae/panic when a signal comes: SIGUSR2, or any that init hands on.

#[cfg(any(debug_assertions, feature = "faults"))]
mod requested {
    use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};

    /// What one turn of a leaking thread loses.
    const LEAK: usize = 64 << 20;

    /// How long one turn of a slow thread takes.
    const SLOW: Duration = Duration::from_millis(400);

    fn folder() -> Option<&'static PathBuf> {
        static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
        FOLDER.get_or_init(|| std::env::var_os("AURAED_FAULTS").map(PathBuf::from)).as_ref()
    }

    /// A thread comes by here.
    #[expect(clippy::panic, reason = "that is the fault that was asked for")]
    pub(crate) fn point(thread: &str) {
        let Some(path) = folder().map(|folder| folder.join(thread)) else { return };
        let Ok(wanted) = fs::read_to_string(&path) else { return };
        let (fault, odds) = wanted.trim().split_once(" 1/").unwrap_or((wanted.trim(), ""));
        match odds.parse::<u128>() {
            Ok(odds) if !uuid::Uuid::new_v4().as_u128().is_multiple_of(odds.max(1)) => return,
            Ok(_) => {}
            // Once: who cannot take the file away was overtaken by another thread of the name.
            Err(_) if fs::remove_file(&path).is_err() => return,
            Err(_) => {}
        }
        match fault {
            "panic" => panic!("a fault that was asked for"),
            "spin" => loop {
                std::hint::spin_loop();
            },
            "leak" => loop {
                // Touched, so that it is ours.
                Box::leak(vec![1_u8; LEAK].into_boxed_slice());
            },
            #[expect(clippy::disallowed_methods, reason = "that is the fault that was asked for")]
            "slow" => std::thread::sleep(SLOW),
            other => tracing::error!(fault = other, thread, "there is no such fault"),
        }
    }
}

#[cfg(any(debug_assertions, feature = "faults"))]
pub(crate) use requested::point;

/// A thread comes by here.
#[cfg(not(any(debug_assertions, feature = "faults")))]
pub(crate) fn point(_thread: &str) {}
