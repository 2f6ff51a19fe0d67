//! What machines boot, in `target/vm`: kernels of Debian's, unpacked and not installed, and our programs linked statically.
//!
//! Invariants: what is there is complete, since it is moved into its place when it is; nothing is fetched or built twice in
//! one test process.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::console::Console;
use crate::{
    binaries,
    process::{Output, Process},
    wait::holds_within,
};

/// The program of the machines.
pub const QEMU: &str = "qemu-system-x86_64";

/// What our programs are built for: by its name, so that build scripts and macros stay dynamic.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Those that a machine may have.
const PROGRAMS: [&str; 6] = ["auraed", "auraed-core", "aer", "guest", "probe", "stranger"];

/// A kernel of Debian's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// That of Debian 12: 6.1.
    Oldest,
    /// The newest one that is packaged.
    Newest,
}

/// A kernel as a machine needs it.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// What qemu boots.
    pub image: PathBuf,
    /// The drivers, in the order in which they are loaded: their names and contents.
    pub modules: Vec<(String, Vec<u8>)>,
}

/// What virtio's network needs, in order, and then loop devices; what a kernel has built in has no file.
const MODULES: [&str; 9] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "loop",
];

/// The folder of everything.
///
/// # Panics
/// Where it cannot be made.
#[must_use]
pub fn folder() -> PathBuf {
    let folder = binaries::beside().parent().expect("cargo's layout").join("vm");
    fs::create_dir_all(&folder).unwrap_or_else(|why| panic!("making {}: {why}", folder.display()));
    folder
}

/// Runs a program to its end, however long that takes.
///
/// # Panics
/// Where it fails.
pub(crate) fn tool(command: Command) -> Output {
    let shown = format!("{command:?}");
    let process = Process::start(command, || {});
    while process.end_within(super::LONG).is_none() {}
    let output = process.finish();
    assert!(
        output.status.success(),
        "{shown}: {}\n{}{}",
        output.status,
        output.out(),
        output.err()
    );
    output
}

/// The same, of these words.
pub(crate) fn tool_of(words: &[&str]) -> Output {
    let [program, arguments @ ..] = words else { panic!("no program") };
    let mut command = Command::new(program);
    command.args(arguments);
    tool(command)
}

/// A kernel, fetched from Debian the first time.
///
/// # Panics
/// Where it cannot be had.
#[must_use]
pub fn kernel(which: Kernel) -> Unpacked {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = match which {
        Kernel::Oldest => "oldest",
        Kernel::Newest => "newest",
    };
    let place = folder().join("kernels").join(name);
    if !place.is_dir() {
        fetch(which, &place);
    }
    let boot = files(&place.join("boot"));
    let image = boot.into_iter().find(|path| name_of(path).starts_with("vmlinuz"));
    let image = image.unwrap_or_else(|| panic!("no kernel in {}; remove it", place.display()));
    let all = files(&place.join("lib"));
    let modules = MODULES.iter().enumerate().filter_map(|(number, module)| {
        let path = all.iter().find(|path| {
            let name = name_of(path);
            name == format!("{module}.ko") || name == format!("{module}.ko.xz")
        })?;
        Some((format!("{number}-{module}.ko"), unpacked(path)))
    });
    Unpacked { modules: modules.collect(), image }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    crate::schedule::files(folder)
}

fn unpacked(path: &Path) -> Vec<u8> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        return tool_of(&["xz", "--decompress", "--stdout", path.to_str().expect("UTF-8")]).stdout;
    }
    fs::read(path).unwrap_or_else(|why| panic!("reading {}: {why}", path.display()))
}

/// Downloads a package and unpacks what is needed of it.
fn fetch(which: Kernel, place: &Path) {
    // Not `pkgnames`, which has names, too, that other packages only speak of.
    let listed = tool_of(&["apt-cache", "search", "--names-only", "^linux-image-6[.]"]).out();
    let mut packages: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.ends_with("-cloud-amd64") && version(name).len() >= 4)
        .filter(|name| match which {
            Kernel::Oldest => name.starts_with("linux-image-6.1."),
            Kernel::Newest => true,
        })
        .collect();
    packages.sort_by_key(|name| version(name));
    let package = packages.pop().expect(
        "no kernel is to be had: this needs Debian with its package lists; run apt-get update",
    );
    let folder = tempfile::tempdir_in(folder()).expect("a folder of our own");
    let mut download = Command::new("apt-get");
    download.args(["download", "--quiet", package]).current_dir(folder.path());
    let _ = tool(download);
    let archive = files(folder.path()).pop().expect("apt-get download leaves a package");
    let (archive, whole) = (archive.display().to_string(), folder.path().join("whole"));
    let _ = tool_of(&["dpkg", "--extract", &archive, whole.to_str().expect("UTF-8")]);
    // Since Debian 13 below /usr.
    let modules = [whole.join("lib"), whole.join("usr/lib")];
    let modules = modules.iter().find(|path| path.join("modules").is_dir()).expect("modules");
    let chosen = folder.path().join("chosen");
    fs::create_dir_all(&chosen).expect("our folder");
    fs::rename(whole.join("boot"), chosen.join("boot")).expect("our folder");
    fs::rename(modules, chosen.join("lib")).expect("our folder");
    fs::create_dir_all(place.parent().expect("a folder of kernels")).expect("our folder");
    fs::rename(&chosen, place).expect("our folder");
}

/// The numbers of a name, for order: 6.12.9 comes before 6.12.10. Packages that only depend on kernels have three.
fn version(name: &str) -> Vec<u64> {
    let digits = name.split(|letter: char| !letter.is_ascii_digit());
    digits.filter_map(|number| number.parse().ok()).collect()
}

/// How our programs are built for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quickly built: for the tests.
    Quick,
    /// For users and for numbers.
    Release,
}

/// A folder with our programs, linked statically; built the first time.
///
/// # Panics
/// Where they cannot be built.
#[must_use]
pub fn programs(profile: Profile) -> PathBuf {
    static BUILT: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
    let [quick, release] = &BUILT;
    match profile {
        Profile::Quick => quick.get_or_init(|| build(profile)).clone(),
        Profile::Release => release.get_or_init(|| build(profile)).clone(),
    }
}

fn build(profile: Profile) -> PathBuf {
    let target = binaries::beside().parent().expect("cargo's layout").to_path_buf();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    command.current_dir(workspace);
    // All of the workspace, so that features are those that are built anyway.
    command.args(["build", "--workspace", "--locked", "--quiet", "--target", TARGET]);
    command.args(PROGRAMS.iter().flat_map(|name| ["--bin", name]));
    command.arg("--target-dir").arg(&target);
    // One that is set would win over the one of the target, and would be the build scripts' too.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let folder = match profile {
        Profile::Quick => {
            // Small, and built from nothing as soon as can be: optimised a little they take three times as long, which no
            // test makes up for.
            for (key, value) in [("DEBUG", "false"), ("STRIP", "symbols")] {
                command.env(format!("CARGO_PROFILE_DEV_{key}"), value);
            }
            command.env("CARGO_INCREMENTAL", "0");
            "debug"
        }
        Profile::Release => {
            command.arg("--release").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
            "release"
        }
    };
    let _ = tool(command);
    target.join(TARGET).join(folder)
}

/// One of our static programs.
///
/// # Panics
/// Where it was not built.
#[must_use]
pub fn program(profile: Profile, name: &str) -> Vec<u8> {
    let path = programs(profile).join(name);
    fs::read(&path).unwrap_or_else(|why| panic!("reading {}: {why}", path.display()))
}

/// How fast this processor counts, in kHz.
pub(crate) fn host_kilohertz() -> Option<u64> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (whole, parts) = line.split(':').nth(1)?.trim().split_once('.')?;
    let parts = format!("{parts:0<3}");
    Some(whole.parse::<u64>().ok()? * 1000 + parts.get(..3)?.parse::<u64>().ok()?)
}

/// What executes machines here: KVM where it boots a kernel, which /dev/kvm alone does not promise.
pub(crate) fn acceleration() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| if kvm_boots() { "kvm" } else { "tcg,thread=multi" })
}

fn kvm_boots() -> bool {
    if !Path::new("/dev/kvm").exists() {
        return false;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let console = folder.path().join("console");
    let boot = super::Boot::of("kvm", Kernel::Oldest);
    let qemu = super::qemu::Qemu::start(&boot.arguments(folder.path(), "kvm"), &console);
    let console = Console::at(&console);
    let boots = || console.count("Linux version") > 0;
    let _ = holds_within(Duration::from_secs(10), || boots() || qemu.has_ended());
    qemu.kill();
    let _ = holds_within(super::LONG, || qemu.has_ended());
    boots()
}
