//! What boots: an initramfs with nothing but our programs and units, and the disk of the tests. [`super::debian`] has the
//! disk with a Debian root.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    sync::PoisonError,
};

use super::{
    archive::Archive,
    store::{self, Kernel, Profile, kernel, program},
    units::registered,
    wire::FOLDER,
};

/// Our programs, where a machine has them.
const PROGRAMS: [(&str, &str); 3] =
    [("auraed", "usr/sbin"), ("auraed-core", "usr/sbin"), ("aer", "usr/bin")];

/// Folders of every machine, with their modes.
const FOLDERS: [(&str, u32); 16] = [
    ("dev", 0o755),
    ("proc", 0o755),
    ("sys", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("root", 0o700),
    ("etc", 0o755),
    ("etc/aurae", 0o755),
    ("sbin", 0o755),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/lib/aurae", 0o700),
    ("mnt", 0o755),
];

/// The initramfs that a user boots: our programs and the state of `units`, a state folder, where there is one.
///
/// # Panics
/// Where the programs cannot be built.
#[must_use]
pub fn initramfs(profile: Profile, units: Option<&Path>) -> Vec<u8> {
    let mut archive = base(profile).link("init", "usr/sbin/auraed");
    if let Some(state) = units {
        archive = with_folder(archive, state, "var/lib/aurae");
    }
    archive.finish()
}

/// Programs, folders, and the two devices without which the kernel says nothing of its first program.
fn base(profile: Profile) -> Archive {
    let mut archive = Archive::default();
    for (path, mode) in FOLDERS {
        archive = archive.folder(path, mode);
    }
    archive = archive.device("dev/console", 0o600, (5, 1)).device("dev/null", 0o666, (1, 3));
    archive =
        archive.file("etc/hostname", 0o644, b"aurae\n").link("sbin/init", "../usr/sbin/auraed");
    for (name, folder) in PROGRAMS {
        archive = archive.file(&format!("{folder}/{name}"), 0o755, &program(profile, name));
    }
    archive
}

/// A folder of the host's, with all that is in it: what root may read there, and nobody else.
fn with_folder(mut archive: Archive, from: &Path, to: &str) -> Archive {
    let mut entries: Vec<_> =
        fs::read_dir(from).into_iter().flatten().filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let there = format!("{to}/{name}");
        if path.is_dir() {
            archive = with_folder(archive.folder(&there, 0o700), &path, &there);
        } else if let Ok(content) = fs::read(&path) {
            archive = archive.file(&there, 0o600, &content);
        }
    }
    archive
}

/// What gzip makes of it.
///
/// # Panics
/// Where there is no gzip.
#[must_use]
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("our own file");
    store::tool_of(&["gzip", "--stdout", "--no-name", file.path().to_str().expect("UTF-8")]).stdout
}

/// The initramfs of the tests: the same with the agent, its modules and the probe, and with an enabled unit, `steady`. Not compressed, which takes an emulated
/// processor a second.
pub(crate) fn for_tests(which: Kernel) -> PathBuf {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = store::folder().join(format!("tests-{which:?}.cpio"));
    let ours = relative(FOLDER);
    let mut archive = base(Profile::Quick).folder(ours, 0o755);
    archive = archive.folder(&format!("{ours}/modules"), 0o755);
    for name in ["guest", "probe", "stranger"] {
        archive = archive.file(&format!("{ours}/{name}"), 0o755, &program(Profile::Quick, name));
    }
    for (name, content) in kernel(which).modules {
        archive = archive.file(&format!("{ours}/modules/{name}"), 0o644, &content);
    }
    let probe = format!("{FOLDER}/probe");
    let state = registered(&[&["enable", "steady", "--", &probe, "pause"]]);
    archive = with_folder(archive, state.path(), "var/lib/aurae");
    write_anew(&path, &archive.finish());
    path
}

/// A file that another machine may have open is never changed.
fn write_anew(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap_or_else(|why| panic!("writing {}: {why}", beside.display()));
    fs::rename(&beside, path).expect("our own folder");
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Makes the tests' disk: a filesystem of our programs, the agent and the probe, of so many MiB, at this path. `furnish`
/// adds to its folder what the test wants.
///
/// # Panics
/// Where it cannot be made.
pub fn disk_for_tests(path: &Path, mebibytes: u32, which: Kernel, furnish: impl FnOnce(&Path)) {
    let root = tempfile::tempdir_in(store::folder()).expect("a folder of our own");
    let root = root.path();
    for (folder, _) in FOLDERS {
        fs::create_dir_all(root.join(folder)).expect("our folder");
    }
    let built = store::programs(Profile::Quick);
    for (name, folder) in PROGRAMS {
        put(&built.join(name), &root.join(folder).join(name));
    }
    add_agent(root, which);
    fs::write(root.join("etc/hostname"), "aurae\n").expect("our folder");
    symlink("../usr/sbin/auraed", root.join("sbin/init")).expect("our folder");
    furnish(root);
    filesystem(path, mebibytes, root);
}

/// Adds the agent, its modules and the probe to the folder of a disk.
///
/// # Panics
/// Where that fails.
pub fn add_agent(root: &Path, which: Kernel) {
    let (ours, built) = (root.join(relative(FOLDER)), store::programs(Profile::Quick));
    fs::create_dir_all(ours.join("modules")).expect("our folder");
    for name in ["guest", "probe"] {
        put(&built.join(name), &ours.join(name));
    }
    symlink("probe", ours.join("shell")).expect("our folder");
    add_modules(root, which);
}

/// Adds a kernel's modules alone: a disk may have those of several kernels, each of which takes its own.
///
/// # Panics
/// Where that fails.
pub fn add_modules(root: &Path, which: Kernel) {
    let folder = root.join(relative(FOLDER)).join("modules");
    for (name, content) in kernel(which).modules {
        fs::write(folder.join(format!("{which:?}-{name}")), content).expect("our folder");
    }
}

fn put(from: &Path, to: &Path) {
    fs::copy(from, to)
        .unwrap_or_else(|why| panic!("{} to {}: {why}", from.display(), to.display()));
}

/// Makes a filesystem of a folder, without mounting anything.
///
/// # Panics
/// Where mkfs.ext4 fails.
pub fn filesystem(path: &Path, mebibytes: u32, root: &Path) {
    fs::File::create(path)
        .and_then(|file| file.set_len(u64::from(mebibytes) << 20))
        .unwrap_or_else(|why| panic!("making {}: {why}", path.display()));
    let mut command = Command::new("mkfs.ext4");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["-q", "-F", "-E", "root_owner=0:0,lazy_itable_init=0", "-d"]).arg(root).arg(path);
    let _ = store::tool(command);
}

/// What e2fsck says of a disk: its exit status, 0 where the filesystem is clean and whole, and its words. Nothing is
/// changed.
#[must_use]
pub fn check(path: &Path) -> (Option<i32>, String) {
    let mut command = Command::new("e2fsck");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(["-f", "-n"]).arg(path);
    let output = crate::process::Process::start(command, || {}).finish_within(super::LONG);
    (output.code(), output.out() + &output.err())
}

/// A file's content on a disk that is in no machine.
///
/// # Panics
/// Where it cannot be read.
#[must_use]
pub fn read(disk: &Path, path: &str) -> String {
    let (order, disk) = (format!("cat {path}"), disk.to_str().expect("UTF-8"));
    store::tool_of(&["/usr/sbin/debugfs", "-R", &order, disk]).out()
}

/// Takes a file off a disk that is in no machine.
///
/// # Panics
/// Where it cannot be read.
pub fn take(disk: &Path, path: &str, to: &Path) {
    let (order, disk) = (format!("dump {path} {}", to.display()), disk.to_str().expect("UTF-8"));
    let _ = store::tool_of(&["/usr/sbin/debugfs", "-R", &order, disk]);
}

/// Whether the filesystem was unmounted, or is as if it had been: nothing is left in its journal.
///
/// # Panics
/// Where it cannot be read.
#[must_use]
pub fn is_clean(path: &Path) -> bool {
    let shown = store::tool_of(&["/usr/sbin/dumpe2fs", "-h", path.to_str().expect("UTF-8")]).out();
    let field = |key: &str| {
        shown.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    };
    field("Filesystem state:") == "clean"
        && !field("Filesystem features:").contains("needs_recovery")
}
