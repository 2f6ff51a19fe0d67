//! What a user makes with one command boots.

use libtest_mimic::Trial;
use std::fs;
use tests::vm::{
    Boot, Ending, Machine, debian, image,
    store::{self, Profile},
    units::registered,
};

use crate::{disks::KERNEL, status, trials};

pub(crate) fn trials() -> Vec<Trial> {
    trials![the_initramfs_boots, the_debian_disk_boots]
}

/// The unit that is in what a user makes where he says nothing.
const HELLO: [&str; 6] = ["enable", "--oneshot", "hello", "--", "/usr/bin/aer", "status"];

/// The initramfs, with nothing in it but our programs and a unit, boots to its API, starts the unit, which asks it, and ends.
fn the_initramfs_boots() {
    let folder = tempfile::tempdir_in(store::folder()).unwrap();
    let path = folder.path().join("initramfs");
    let state = registered(&[&HELLO]);
    let bytes = image::initramfs(Profile::Quick, Some(state.path()));
    fs::write(&path, image::compressed(&bytes)).unwrap();
    let machine = Machine::start(Boot::of("the_initramfs_boots", KERNEL).initramfs(&path));
    machine.console.until("boot: started name=hello");
    machine.console.until("name=hello from=starting to=inactive");
    machine.press_ctrl_alt_delete();
    assert_eq!(machine.ends(), Ending::Reboot, "{}", machine.console.tail());
}

/// A Debian boots with our init: its programs run, and the disk is clean after it was switched off.
fn the_debian_disk_boots() {
    let folder = tempfile::tempdir_in(store::folder()).unwrap();
    let path = folder.path().join("disk");
    let (state, root) = (registered(&[&HELLO]), debian::root("minbase", &[]));
    debian::disk(&path, 768, &root, (Profile::Quick, Some(state.path())), |root| {
        image::add_agent(root, KERNEL);
    });
    let machine = Machine::start(Boot::of("the_debian_disk_boots", KERNEL).from_disk(&path));
    assert_eq!(status(&machine)["healthy"], true);
    let said =
        machine.told(&["exec", "--", "/bin/sh", "-c", "dpkg --status bash; ps -p 1; id -un"]);
    assert!(said.contains("install ok installed") && said.contains("root"), "{said}");
    machine.agent.kill(1, 34 + 4);
    assert_eq!(machine.ends(), Ending::Off, "{}", machine.console.tail());
    assert!(image::is_clean(&path));
    let (checked, words) = image::check(&path);
    assert_eq!(checked, Some(0), "{words}");
}
