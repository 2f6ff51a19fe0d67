//! The programs under test, built once per test process with the profile of the test itself.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::process::Process;

/// The names of the programs; they belong into one folder, because the keeper looks beside itself.
const NAMES: [&str; 4] = ["auraed", "auraed-core", "aer", "probe"];

/// The folder of our own profile, `target/PROFILE`, built or not.
pub(crate) fn beside() -> PathBuf {
    // A test is target/PROFILE/deps/system-0123456789abcdef, a program target/PROFILE/demo.
    let own = env::current_exe().expect("/proc is mounted");
    let beside = own.parent().expect("cargo's layout");
    let folder = if beside.ends_with("deps") { beside.parent() } else { Some(beside) };
    folder.expect("cargo's layout").to_path_buf()
}

/// The folder that holds them all. `cargo test` alone builds no other package's programs, so that the
/// first call builds them.
///
/// # Panics
/// Where they cannot be built.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = beside();
        let mut command =
            Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace"))
            .args(["build", "--workspace", "--bins", "--locked", "--quiet", "--target-dir"])
            .arg(folder.parent().expect("cargo's layout"));
        match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") => {}
            Some(profile) => {
                command.args(["--profile", profile]);
            }
            None => panic!("no profile's folder: {}", folder.display()),
        }
        // A build from nothing takes minutes, so it has no bound of ours.
        let build = Process::start(command, || {});
        while build.end_within(crate::PATIENCE).is_none() {}
        let built = build.finish();
        assert!(built.status.success(), "the programs under test do not build:\n{}", built.err());
        folder
    })
}

/// One of them.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    folder().join(name)
}

/// Puts one of them into a folder under another name, as a link or a copy; its path there.
///
/// # Panics
/// Where that cannot be done.
pub fn put(name: &str, folder: &Path, under: &str) -> PathBuf {
    let (from, to) = (path(name), folder.join(under));
    if fs::hard_link(&from, &to).is_err() {
        copy(&from, &to);
    }
    to
}

/// Copies a program, by another process: a child that a test beside this one is just making would hold ours open for
/// writing, and what somebody may write to is not executed (ETXTBSY).
///
/// # Panics
/// Where that cannot be done.
pub fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg(from).arg(to);
    let copied = Process::start(command, || {}).finish();
    assert!(copied.status.success(), "{}", copied.err());
}

/// Both programs once more in two folders in this one: the daemon's, with the keeper's beside it.
///
/// # Panics
/// Where they cannot be put there.
#[must_use]
pub fn releases(folder: &Path) -> [PathBuf; 2] {
    ["release-a", "release-b"].map(|name| {
        let folder = folder.join(name);
        fs::create_dir(&folder).expect("the folder is ours");
        put("auraed", &folder, "auraed");
        put("auraed-core", &folder, "auraed-core")
    })
}

/// A folder of the programs that another user can reach: the usual one, or else links or copies below
/// `inside`, which goes away with the daemon's own folder.
///
/// # Panics
/// Where they cannot be copied.
#[must_use]
pub fn reachable(inside: &Path) -> PathBuf {
    let open = |folder: &Path| {
        fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0)
    };
    if folder().ancestors().all(open) {
        return folder().to_path_buf();
    }
    let copies = inside.join("bin");
    fs::create_dir(&copies).expect("the folder is ours");
    for name in NAMES {
        put(name, &copies, name);
    }
    copies
}
