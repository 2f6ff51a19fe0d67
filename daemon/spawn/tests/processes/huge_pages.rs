//! Huge pages that we forgo are no program's loss.

use crate::program::{input, methods, output};
use nix::sys::prctl::{get_thp_disable, set_thp_disable};
use std::thread;

/// Two at once, again and again: neither ends what the other needs.
pub(crate) fn programs_have_what_we_forgo() {
    assert_eq!(get_thp_disable(), Ok(false));
    spawn::forgo_huge_pages();
    assert_eq!(get_thp_disable(), Ok(true));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for method in methods().into_iter().cycle().take(50) {
                    assert_eq!(allowed(&output(method, seen())), Some("1".to_owned()), "{method}");
                }
            });
        }
    });
    assert_eq!(get_thp_disable(), Ok(true), "they are forgone again");
}

/// Who forbids them to us forbids them to programs.
pub(crate) fn what_was_forbidden_stays_forbidden() {
    set_thp_disable(true).unwrap();
    spawn::forgo_huge_pages();
    for method in methods() {
        assert_eq!(allowed(&output(method, seen())), Some("0".to_owned()), "{method}");
    }
    assert_eq!(get_thp_disable(), Ok(true));
}

fn seen() -> spawn::PlanInput {
    input("/bin/cat", &["cat", "/proc/self/status"])
}

/// `THP_enabled` of proc_pid_status(5), since Linux 5.0.
fn allowed(status: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"))?;
    Some(line.trim().to_owned())
}
