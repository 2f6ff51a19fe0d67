//! What a child is to become, in the form that the kernel takes.

use nix::sys::stat::Mode;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// What a [`Plan`] is made of.
#[derive(Debug)]
pub struct PlanInput {
    /// The absolute path of the program.
    pub program: CString,
    /// Its arguments, the first of which is the name it sees for itself.
    pub argv: Vec<CString>,
    /// Its whole environment, as `NAME=value`.
    pub environment: Vec<CString>,
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
    /// The folder of the v2 cgroup that it lives in; `None` leaves it in ours.
    pub cgroup: Option<OwnedFd>,
    /// The `cgroup.procs` files of v1 hierarchies that it joins, open for writing.
    pub legacy_cgroups: Vec<OwnedFd>,
    /// Whether it leads a session of its own (setsid(2)).
    pub new_session: bool,
    /// Whom it runs as; `None` leaves it who we are.
    pub identity: Option<Identity>,
    /// Where it starts: an absolute path; `None` leaves it in our own working directory.
    pub working_directory: Option<CString>,
    /// Its file mode creation mask; `None` leaves it ours.
    pub umask: Option<Mode>,
    /// Its niceness, -20 to 19 (setpriority(2)); `None` leaves it ours.
    pub nice: Option<i32>,
    /// Its limit of open files; `None` leaves it ours.
    pub open_files_limit: Option<OpenFilesLimit>,
    /// Its out-of-memory score adjustment, -1000 to 1000; `None` leaves it ours.
    pub oom_score_adjustment: Option<i16>,
    /// What the child writes where, as soon as it has its place, at most [`PlanInput::LONGEST_MARK`] bytes, and its
    /// process id after it, four bytes, the lowest first: whoever outlives us can tell by it whether there ever was a
    /// child, and which it was. A file of memory or disk: nothing that could make the child wait.
    pub mark: Option<(OwnedFd, &'static [u8])>,
}

impl PlanInput {
    /// How many bytes of a mark are written.
    pub const LONGEST_MARK: usize = 12;
}

/// Who a process is: all of its user ids, its group ids, and its supplementary groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// The supplementary groups, all of them.
    pub groups: Vec<u32>,
}

/// `RLIMIT_NOFILE`, getrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFilesLimit {
    /// The limit in force.
    pub soft: u64,
    /// What the program may raise it to.
    pub hard: u64,
}

/// A plan that can be executed as often as wanted. It has been looked over: whatever still fails,
/// fails for a reason that lies outside it.
#[derive(Debug)]
pub struct Plan {
    input: PlanInput,
    /// What is written to `oom_score_adj`: the child cannot format.
    oom_score_adjustment: Option<String>,
}

impl Plan {
    /// Looks `input` over. No I/O.
    pub fn new(input: PlanInput) -> Result<Self, InvalidPlan> {
        if !is_absolute(&input.program) {
            return Err(InvalidPlan::RelativeProgram(input.program));
        }
        if input.argv.is_empty() {
            return Err(InvalidPlan::NoArguments);
        }
        if let Some(directory) = &input.working_directory
            && !is_absolute(directory)
        {
            return Err(InvalidPlan::RelativeDirectory(directory.clone()));
        }
        if let Some(nice) = input.nice
            && !(-20..=19).contains(&nice)
        {
            return Err(InvalidPlan::Nice(nice));
        }
        if let Some(limit) = input.open_files_limit
            && limit.soft > limit.hard
        {
            return Err(InvalidPlan::LimitsReversed(limit.soft, limit.hard));
        }
        if let Some(adjustment) = input.oom_score_adjustment
            && !(-1000..=1000).contains(&adjustment)
        {
            return Err(InvalidPlan::OomScoreAdjustment(adjustment));
        }
        let oom_score_adjustment = input.oom_score_adjustment.map(|number| number.to_string());
        Ok(Self { input, oom_score_adjustment })
    }

    /// What the plan was made of.
    pub fn input(&self) -> &PlanInput {
        &self.input
    }

    /// The adjustment as `oom_score_adj` takes it.
    pub(crate) fn oom_score_adjustment(&self) -> Option<&[u8]> {
        self.oom_score_adjustment.as_deref().map(str::as_bytes)
    }
}

fn is_absolute(path: &CStr) -> bool {
    path.to_bytes().first() == Some(&b'/')
}

/// Why something is not a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// The program is not an absolute path.
    #[error("the program {} is not an absolute path", .0.to_string_lossy())]
    RelativeProgram(CString),
    /// There is not even the name that the program sees for itself.
    #[error("the program has no arguments, not even its own name")]
    NoArguments,
    /// The working directory is not an absolute path.
    #[error("the working directory {} is not an absolute path", .0.to_string_lossy())]
    RelativeDirectory(CString),
    /// The kernel would quietly take the nearest of -20 to 19 (setpriority(2)).
    #[error("the niceness {0} is not between -20 and 19")]
    Nice(i32),
    /// The soft limit is above the hard one (soft, hard).
    #[error("the soft limit of open files, {0}, is above the hard one, {1}")]
    LimitsReversed(u64, u64),
    /// The kernel takes -1000 to 1000 (proc_pid_oom_score_adj(5)).
    #[error("the out-of-memory score adjustment {0} is not between -1000 and 1000")]
    OomScoreAdjustment(i16),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn nothing() -> OwnedFd {
        File::open("/dev/null").expect("a device").into()
    }

    fn refusal(change: impl Fn(&mut PlanInput)) -> Option<InvalidPlan> {
        let mut input = PlanInput {
            program: c"/bin/true".to_owned(),
            argv: vec![c"true".to_owned()],
            environment: Vec::new(),
            stdin: nothing(),
            stdout: nothing(),
            stderr: nothing(),
            cgroup: None,
            legacy_cgroups: Vec::new(),
            new_session: false,
            identity: None,
            working_directory: None,
            umask: None,
            nice: None,
            open_files_limit: None,
            oom_score_adjustment: None,
            mark: None,
        };
        change(&mut input);
        Plan::new(input).err()
    }

    #[test]
    fn a_plan_is_valid_by_construction() {
        assert_eq!(refusal(|_| ()), None);
        assert_eq!(
            refusal(|input| input.program = c"true".to_owned()),
            Some(InvalidPlan::RelativeProgram(c"true".to_owned()))
        );
        assert_eq!(refusal(|input| input.argv.clear()), Some(InvalidPlan::NoArguments));
        assert_eq!(
            refusal(|input| input.working_directory = Some(c"".to_owned())),
            Some(InvalidPlan::RelativeDirectory(c"".to_owned()))
        );
        assert_eq!(
            refusal(|input| input.open_files_limit = Some(OpenFilesLimit { soft: 2, hard: 1 })),
            Some(InvalidPlan::LimitsReversed(2, 1))
        );
        for (nice, refused) in [(-21, true), (-20, false), (19, false), (20, true)] {
            let refusal = refusal(|input| input.nice = Some(nice));
            assert_eq!(refusal.is_some(), refused, "{nice}");
        }
        for (adjustment, refused) in [(-1001, true), (-1000, false), (1000, false), (1001, true)] {
            let refusal = refusal(|input| input.oom_score_adjustment = Some(adjustment));
            assert_eq!(refusal.is_some(), refused, "{adjustment}");
        }
    }
}
