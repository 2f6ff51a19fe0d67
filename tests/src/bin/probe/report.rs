//! What the probe finds itself to be: read from the kernel, before it changes anything of it.

use std::{collections::BTreeMap, env, fs};

use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::{Gid, Uid, getgroups, getpgrp, getpid, getppid, getsid},
};
use serde_json::{Value, json};

/// One line of JSON. Bytes that are not UTF-8 are replaced.
pub(crate) fn report() -> Value {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let environment: BTreeMap<String, String> = env::vars_os()
        .map(|(key, value)| {
            (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect();
    let argv: Vec<String> =
        env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let limit =
        |resource| getrlimit(resource).map_or(json!(null), |(soft, hard)| json!([soft, hard]));
    let groups: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    json!({
        "argv": argv,
        "environment": environment,
        "descriptors": descriptors(),
        "signals": {
            "blocked": field("SigBlk"),
            "ignored": field("SigIgn"),
            "caught": field("SigCgt"),
        },
        "pid": getpid().as_raw(),
        "parent": getppid().as_raw(),
        "group": getpgrp().as_raw(),
        "session": getsid(None).map_or(0, nix::unistd::Pid::as_raw),
        "uid": Uid::current().as_raw(),
        "gid": Gid::current().as_raw(),
        "groups": groups,
        "umask": field("Umask"),
        "nice": niceness(),
        "directory": env::current_dir().unwrap_or_default(),
        "cgroup": fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
        "oom_score_adj": fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default().trim(),
        "no_new_privileges": field("NoNewPrivs"),
        "limits": {
            "nofile": limit(Resource::RLIMIT_NOFILE),
            "core": limit(Resource::RLIMIT_CORE),
            "nproc": limit(Resource::RLIMIT_NPROC),
        },
    })
}

/// The 19th field of proc_pid_stat(5); the second may have spaces, and ends at the last parenthesis.
fn niceness() -> Option<i32> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
}

/// Number and target of every open descriptor, but for the one that lists them.
fn descriptors() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
            let own = target.starts_with("/proc/") && target.ends_with("/fd");
            (!own).then(|| (entry.file_name().to_string_lossy().into_owned(), target))
        })
        .collect()
}
