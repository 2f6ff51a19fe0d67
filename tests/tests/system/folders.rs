//! The folders that the daemon lives in: what others could exchange is refused, and left as it is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use tests::{Daemon, House, Need, Options};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[]; what_others_may_write_is_refused, what_is_above_counts, our_own_link_is_followed];
    all.extend(cases![[Need::Root]; a_strangers_folder_and_his_link_are_refused]);
    all
}

fn furnished(folder: impl Fn(&House) -> PathBuf, mode: u32) -> (House, PathBuf) {
    let house = House::prepare(Options::default());
    let folder = folder(&house);
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, mode);
    (house, folder)
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn is_refused(house: &House, words: &[&str]) {
    let said = house.refused().err();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    words.iter().for_each(|word| assert!(said.contains(word), "no {word:?} in {said}"));
}

/// Folders that others may write, sticky or not, are refused by name, with what to do; with that done they are taken.
fn what_others_may_write_is_refused() {
    for mode in [0o777, 0o1777, 0o775, 0o702] {
        for folder in [House::state_dir, House::runtime_dir] {
            let (house, folder) = furnished(folder, mode);
            is_refused(&house, &[folder.to_str().unwrap(), "chmod go-w"]);
            assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, mode);
        }
    }
    let (house, folder) = furnished(House::runtime_dir, 0o777);
    is_refused(&house, &["chmod go-w"]);
    set_mode(&folder, 0o755);
    Daemon::start_in(house).stop();
}

/// A folder within one that everybody may write is refused, unless that is sticky, like /tmp.
fn what_is_above_counts() {
    let inside = |mode| {
        let (house, above) = furnished(|house| house.path().join("above"), mode);
        let mut command = house.command("auraed");
        command.arg("--config").arg(house.config()).arg("--socket").arg(house.socket());
        command
            .arg("--runtime-dir")
            .arg(house.runtime_dir())
            .arg("--state-dir")
            .arg(above.join("state"));
        command.env("NOTIFY_SOCKET", house.path().join("notify"));
        (house, above, command)
    };
    let (house, above, command) = inside(0o777);
    let said = house.refuses(command).err();
    assert!(said.contains(above.to_str().unwrap()) && said.contains("chmod o-w"), "{said}");
    let (house, _, command) = inside(0o1777);
    Daemon::start_as(house, command).stop();
}

/// A folder of another user is refused, and so is a symbolic link of his, wherever it leads.
fn a_strangers_folder_and_his_link_are_refused() {
    for folder in [House::state_dir, House::runtime_dir] {
        let (house, path) = furnished(folder, 0o755);
        lchown(&path, Some(65534), Some(65534)).unwrap();
        is_refused(&house, &[path.to_str().unwrap(), "belongs to the user 65534"]);
        let (house, target) = furnished(|house| house.path().join("target"), 0o700);
        let path = folder(&house);
        symlink(&target, &path).unwrap();
        lchown(&path, Some(65534), Some(65534)).unwrap();
        is_refused(&house, &[path.to_str().unwrap(), "belongs to the user 65534"]);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "nothing was made there");
    }
}

/// A link of ours is followed.
fn our_own_link_is_followed() {
    let (house, target) = furnished(|house| house.path().join("target"), 0o700);
    symlink(&target, house.state_dir()).unwrap();
    let daemon = Daemon::start_in(house);
    assert!(target.join("lock").exists());
    daemon.stop();
}
