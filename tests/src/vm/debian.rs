//! A disk with Debian on it, and `auraed` as its init.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    image::filesystem,
    store::{self, Profile},
};

/// Debian's packages, unpacked by debootstrap the first time. Other packages are other folders.
///
/// # Panics
/// Where debootstrap fails: it needs root.
#[must_use]
pub fn root(name: &str, packages: &[&str]) -> PathBuf {
    let place = store::folder().join("debian").join(name);
    if place.is_dir() {
        return place;
    }
    let folder = tempfile::tempdir_in(store::folder()).expect("a folder of our own");
    let fresh = folder.path().join("root");
    let mut command = Command::new("debootstrap");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command.arg("bookworm").arg(&fresh);
    let _ = store::tool(command);
    for cache in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        drop(fs::remove_dir_all(fresh.join(cache)));
        fs::create_dir_all(fresh.join(cache)).expect("our folder");
    }
    fs::create_dir_all(place.parent().expect("a folder of roots")).expect("our folder");
    fs::rename(&fresh, &place).expect("our folder");
    place
}

/// Makes a disk of such a folder, with our programs, `auraed` as `/sbin/init`, and the state of `units` where there is one.
/// `furnish` changes the copy.
///
/// # Panics
/// Where it cannot be made.
pub fn disk(
    path: &Path,
    mebibytes: u32,
    root: &Path,
    (profile, units): (Profile, Option<&Path>),
    furnish: impl FnOnce(&Path),
) {
    let copy = tempfile::tempdir_in(store::folder()).expect("a folder of our own");
    let copy = copy.path().join("root");
    let shown = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let _ = store::tool_of(&["cp", "--archive", "--reflink=auto", &shown(root), &shown(&copy)]);
    let built = store::programs(profile);
    for (name, folder) in [("auraed", "usr/sbin"), ("auraed-core", "usr/sbin"), ("aer", "usr/bin")]
    {
        fs::copy(built.join(name), copy.join(folder).join(name)).expect("our folder");
    }
    drop(fs::remove_file(copy.join("usr/sbin/init")));
    symlink("auraed", copy.join("usr/sbin/init")).expect("our folder");
    fs::write(copy.join("etc/hostname"), "aurae\n").expect("our folder");
    if let Some(state) = units {
        fs::create_dir_all(copy.join("var/lib")).expect("our folder");
        let to = shown(&copy.join("var/lib/aurae"));
        let _ = store::tool_of(&["cp", "--archive", &shown(state), &to]);
    }
    furnish(&copy);
    filesystem(path, mebibytes, &copy);
}
