//! Swap, loop devices and mounts, as somebody makes them on a machine; and a disk that hangs.
#![expect(unsafe_code, reason = "ioctls and swapon(2), which nix lacks")]

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::fd::AsRawFd,
    path::Path,
};

use nix::{
    libc,
    mount::{MsFlags, mount},
};

// linux/fs.h, linux/loop.h
nix::ioctl_write_int_bad!(freeze_filesystem, 0xc004_5877);
nix::ioctl_none_bad!(free_loop, 0x4c82);
nix::ioctl_write_int_bad!(lead_to, 0x4c00);

const PAGE: usize = 4096;
const PAGES: usize = 256;

/// Whoever writes to the filesystem of this path from now on waits, as for a disk that does not answer.
pub(super) fn freeze(path: &str) -> io::Result<()> {
    let folder = File::open(path)?;
    // SAFETY: the argument is not looked at.
    unsafe { freeze_filesystem(folder.as_raw_fd(), 0) }?;
    Ok(())
}

/// Makes a file for swap (the header of mkswap(8)), and has the kernel use it.
pub(super) fn swap(path: &str) -> io::Result<()> {
    let mut bytes = vec![0; PAGE * PAGES];
    let last = u32::try_from(PAGES - 1).map_err(io::Error::other)?;
    bytes[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    bytes[1028..1032].copy_from_slice(&last.to_ne_bytes());
    bytes[PAGE - 10..PAGE].copy_from_slice(b"SWAPSPACE2");
    let mut file = File::create(path)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    let path = CString::new(path)?;
    // SAFETY: the path is a string that lives.
    match unsafe { libc::swapon(path.as_ptr(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Mounts what is in a file, a filesystem of ext4, by a loop device.
pub(super) fn mount_file(file: &str, point: &str) -> io::Result<()> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    // SAFETY: it takes no argument.
    let number = unsafe { free_loop(control.as_raw_fd()) }?;
    let device = format!("/dev/loop{number}");
    let (opened, behind) = (
        OpenOptions::new().read(true).write(true).open(&device)?,
        OpenOptions::new().read(true).write(true).open(file)?,
    );
    // SAFETY: both are open.
    unsafe { lead_to(opened.as_raw_fd(), behind.as_raw_fd()) }?;
    fs::create_dir_all(point)?;
    mount(Some(Path::new(&device)), point, Some("ext4"), MsFlags::empty(), None::<&str>)?;
    Ok(())
}

/// Mounts some memory.
pub(super) fn mount_memory(point: &str) -> io::Result<()> {
    fs::create_dir_all(point)?;
    mount(Some("tmpfs"), point, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    Ok(())
}
