//! What /proc says: the harness trusts it more than any answer of the daemon.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

/// A line of /proc/PID/status, without its key.
#[must_use]
pub fn field(pid: i32, key: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Its state letter: R, S, D, T, Z …; none where there is no such process.
#[must_use]
pub fn state(pid: i32) -> Option<char> {
    field(pid, "State")?.chars().next()
}

/// Whether it is there, and more than a zombie.
#[must_use]
pub fn alive(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// Whether nothing of it is left that could hold a file: its first thread may be a zombie while others still end.
#[must_use]
pub fn gone(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    !alive(pid) && threads <= 1
}

/// Its parent.
#[must_use]
pub fn parent(pid: i32) -> Option<i32> {
    field(pid, "PPid")?.parse().ok()
}

/// Every process there is.
#[must_use]
pub fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Its children.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    match fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        Ok(text) => text.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
        // Some kernels do not say.
        Err(_) => all().into_iter().filter(|&child| parent(child) == Some(pid)).collect(),
    }
}

/// The living descendants of a process, itself not among them.
#[must_use]
pub fn descendants(ancestor: i32) -> Vec<i32> {
    let parents: HashMap<i32, i32> =
        all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let descends = |mut pid: i32| {
        while let Some(&above) = parents.get(&pid) {
            if above == ancestor {
                return true;
            }
            pid = above;
        }
        false
    };
    parents.keys().copied().filter(|&pid| alive(pid) && descends(pid)).collect()
}

/// The living processes that carry a run's id in their environment.
#[must_use]
pub fn carriers(run_id: &str) -> Vec<i32> {
    let mark = format!("AURAE_RUN={run_id}");
    let carries = |&pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|&byte| byte == 0).any(|one| one == mark.as_bytes()))
    };
    all().into_iter().filter(|pid| carries(pid) && alive(*pid)).collect()
}

/// The name of its program, cut to 15 bytes by the kernel; empty where there is no such process.
#[must_use]
pub fn command(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// Its place in the cgroup v2 hierarchy, seen from the root of that.
#[must_use]
pub fn cgroup(pid: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::").map(PathBuf::from))
}

/// How many descriptors it has open.
#[must_use]
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Its proportional share of memory, in KiB.
#[must_use]
pub fn pss_kib(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What is there of its memory that a kernel may make a huge page of, which has so many bytes. None where the process is gone.
#[must_use]
pub fn huge_pages(pid: i32, size: usize) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let (mut mapping, mut room) = (String::new(), Vec::new());
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            // proc_pid_smaps(5): nh is that it may not.
            ["VmFlags:", ref flags @ ..] if !mapping.is_empty() && !flags.contains(&"nh") => {
                room.push(std::mem::take(&mut mapping));
            }
            [range, access, _, _, inode, ref name @ ..] if range.contains('-') => {
                let (begin, end) = range.split_once('-')?;
                let address = |text| usize::from_str_radix(text, 16).ok();
                let whole = address(begin)?.next_multiple_of(size) + size <= address(end)?;
                let ours = access == "rw-p" && inode == "0" && name != ["[stack]"];
                mapping = if whole && ours { line.to_owned() } else { String::new() };
            }
            _ => {}
        }
    }
    Some(room)
}

/// For how long its first thread has been on a processor.
#[must_use]
pub fn first_threads_time(pid: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// How often any of its threads has left or been taken off a processor: once at least per wake-up.
#[must_use]
pub fn context_switches(pid: i32) -> u64 {
    context_switches_by_thread(pid).into_iter().map(|(_, switches)| switches).sum()
}

/// The same of each thread, by the thread's name.
#[must_use]
pub fn context_switches_by_thread(pid: i32) -> Vec<(String, u64)> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let count = |status: &str| -> u64 {
        let switches = |line: &str| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok();
        status.lines().filter_map(switches).sum()
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok())
        .map(|status| {
            let name = status.lines().find_map(|line| line.strip_prefix("Name:"));
            (name.unwrap_or_default().trim().to_owned(), count(&status))
        })
        .collect()
}
