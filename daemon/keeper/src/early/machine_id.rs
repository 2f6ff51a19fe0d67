//! The machine's id, as machine-id(5) has it: drawn at the first boot, and the same from then on. Where /etc cannot be
//! written, one for this boot, which is mounted over the file.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
};

use super::replace;

/// What stands in the file of an image that was never booted.
const UNINITIALIZED: &str = "uninitialized";

/// Sees that there is one below this root.
pub(super) fn set(root: &Path) -> io::Result<()> {
    let file = root.join("etc/machine-id");
    let found = fs::read_to_string(&file);
    match &found {
        Ok(text) if is_id(text.trim_end_matches('\n')) => return Ok(()),
        Ok(text) if !text.trim().is_empty() && text.trim() != UNINITIALIZED => {
            return Err(io::Error::other(format!(
                "{} has {:?}, which is none (machine-id(5)); remove the file, or empty it, and one is drawn",
                file.display(),
                text.trim().chars().take(40).collect::<String>()
            )));
        }
        Ok(_) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => {
            return Err(io::Error::other(format!("cannot read {}: {why}", file.display())));
        }
    }
    let id = format!("{}\n", draw()?);
    let Err(why) = replace(&file, id.as_bytes(), 0o444) else { return Ok(()) };
    transient(root, &file, &id, found.is_ok()).map_err(|then| {
        let (file, run) = (file.display(), root.join("run/machine-id"));
        io::Error::other(format!(
            "cannot write {file}: {why}; and one for this boot at {}: {then}",
            run.display()
        ))
    })
}

/// One for this boot.
fn transient(root: &Path, file: &Path, id: &str, there: bool) -> io::Result<()> {
    let run = root.join("run/machine-id");
    if !run.exists() {
        fs::write(&run, id)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o444))?;
    }
    if !there {
        return Err(io::Error::other(
            "there is no file that it could be mounted over; make an empty one in the image",
        ));
    }
    let none = None::<&str>;
    mount(Some(&run), file, none, MsFlags::MS_BIND, none)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    match mount(none, file, none, flags, none) {
        // It is mode 0444 all the same.
        Ok(()) | Err(Errno::EPERM) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

/// 32 hexadecimal digits, lower case, not all of them zero.
fn is_id(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 32 && text.bytes().all(digit) && text.bytes().any(|byte| byte != b'0')
}

/// A new one, in the form of a random UUID (RFC 9562, version 4), as the page of machine-id(5) asks for.
fn draw() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | 0x4 << 76;
    let number = number & !(0x3 << 62) | 0x2 << 62;
    Ok(format!("{number:032x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        root
    }

    fn id(root: &Path) -> String {
        fs::read_to_string(root.join("etc/machine-id")).unwrap()
    }

    #[test]
    fn the_first_boot_draws_one_and_the_next_keeps_it() {
        for before in [None, Some(""), Some("uninitialized\n")] {
            let root = root();
            if let Some(before) = before {
                fs::write(root.path().join("etc/machine-id"), before).unwrap();
            }
            set(root.path()).unwrap();
            let first = id(root.path());
            assert!(is_id(first.trim_end_matches('\n')), "{first:?}");
            assert_eq!(&first[12..13], "4", "the version of a UUID: {first}");
            assert!("89ab".contains(&first[16..17]), "its variant: {first}");
            set(root.path()).unwrap();
            assert_eq!(id(root.path()), first);
            let left: Vec<_> = fs::read_dir(root.path().join("etc")).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
        }
    }

    #[test]
    fn what_is_no_id_stays_and_is_told() {
        let root = root();
        for wrong in
            ["hello", "00000000000000000000000000000000", "0123456789ABCDEF0123456789ABCDEF"]
        {
            fs::write(root.path().join("etc/machine-id"), wrong).unwrap();
            let why = set(root.path()).unwrap_err().to_string();
            assert!(why.contains("none (machine-id(5))") && why.contains(wrong), "{why}");
            assert_eq!(id(root.path()), wrong);
        }
    }
}
