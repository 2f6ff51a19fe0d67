//! Finding a run among all processes of the machine: under a keeper that was killed its processes are nobody's whom we
//! know. Dearer than to look below the keeper, and done only where such runs are.

use std::{collections::HashMap, fs};

use super::{LOOKS, Wanted, carries, stat_fields};

/// PF_KTHREAD in the flags of /proc/PID/stat (include/linux/sched.h).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// The run's living processes, and whether that is certain: two looks, one after the other, that saw the same.
pub(super) fn find(wanted: Wanted<'_>, others: &[i32]) -> (Vec<i32>, bool) {
    let mut last: Option<Vec<i32>> = None;
    for _ in 0..LOOKS {
        let now = look(wanted, others);
        if now.is_some() && now == last {
            return (now.unwrap_or_default(), true);
        }
        last = now.or(last);
    }
    (last.unwrap_or_default(), false)
}

/// One look; none where one of the processes could not be told, since it is on its way into a program or out of life.
fn look(wanted: Wanted<'_>, others: &[i32]) -> Option<Vec<i32>> {
    let mut members = Vec::new();
    let mut parents: HashMap<i32, i32> = HashMap::new();
    let mut certain = true;
    for pid in all().into_iter().filter(|pid| !others.contains(pid)) {
        // Gone, or a zombie: nobody to find.
        let Some(parent) = parent_if_alive(pid) else { continue };
        parents.insert(pid, parent);
        match carries(pid, wanted.run) {
            Ok(true) => members.push(pid),
            Ok(false) if wanted.is_main(pid) => members.push(pid),
            Ok(false) => {}
            Err(_) => certain &= parent_if_alive(pid).is_none(),
        }
    }
    let mut next = 0;
    while let Some(member) = members.get(next).copied() {
        next += 1;
        let children = parents.iter().filter(|(_, parent)| **parent == member);
        let new: Vec<i32> =
            children.map(|(pid, _)| *pid).filter(|pid| !members.contains(pid)).collect();
        members.extend(new);
    }
    members.sort_unstable();
    certain.then_some(members)
}

/// The parent of a process that could be one of ours: none where it is dead, or a thread of the kernel.
fn parent_if_alive(pid: i32) -> Option<i32> {
    let fields = stat_fields(pid).ok()?;
    let mut fields = fields.split_whitespace();
    let (state, parent) = (fields.next()?, fields.next()?);
    let flags: u32 = fields.nth(4)?.parse().ok()?;
    let ours = state != "Z" && state != "X" && flags & KERNEL_THREAD == 0;
    if ours { parent.parse().ok() } else { None }
}

/// Every process there is.
pub(super) fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
