//! Finding a run among all processes of the machine: under a keeper that was killed its processes are nobody's whom we
//! know. Dearer than to look below the keeper, and done only where such runs are.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
};

use super::{LOOKS, Wanted, carries, stat_fields};

/// PF_KTHREAD in the flags of /proc/PID/stat (include/linux/sched.h).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// The run's living processes, and whether that is certain: two certain looks, one after the other, that saw the same.
pub(super) fn find(wanted: Wanted<'_>, others: &[i32]) -> (Vec<i32>, bool) {
    agreed(|| look(wanted, others))
}

/// What two certain looks agree on. Where so much begins and ends that there are none, whoever was seen at all, since it may
/// have been looked for to be told to end.
fn agreed(mut look: impl FnMut() -> (Vec<i32>, bool)) -> (Vec<i32>, bool) {
    let mut seen = BTreeSet::new();
    let mut last = None;
    for _ in 0..LOOKS {
        let (members, certain) = look();
        seen.extend(members.iter().copied());
        let now = certain.then_some(members);
        if let (Some(now), true) = (&now, now == last) {
            return (now.clone(), true);
        }
        last = now;
    }
    (seen.into_iter().collect(), false)
}

/// One look, and whether it is certain: not where one of the processes could not be told, since it is on its way into a
/// program or out of life.
fn look(wanted: Wanted<'_>, others: &[i32]) -> (Vec<i32>, bool) {
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
    (members, certain)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these looks, the last of which is repeated.
    fn of(looks: &[(&[i32], bool)]) -> (Vec<i32>, bool) {
        let mut looks = looks.iter();
        let mut last = (Vec::new(), false);
        agreed(|| {
            if let Some((members, certain)) = looks.next() {
                last = (members.to_vec(), *certain);
            }
            last.clone()
        })
    }

    /// Who was seen is signalled, even where processes come and go all the time.
    #[test]
    fn who_was_seen_by_an_uncertain_look_counts() {
        assert_eq!(of(&[(&[7], true), (&[7], true)]), (vec![7], true));
        assert_eq!(of(&[(&[7], false), (&[7, 8], true), (&[8], true)]), (vec![8], true));
        assert_eq!(of(&[(&[7], true), (&[], false), (&[7], true), (&[], false)]), (vec![7], false));
        assert_eq!(of(&[(&[9], false), (&[7], false)]), (vec![7, 9], false));
    }
}
