//! What is mounted, as the kernel tells it (proc_pid_mountinfo(5)).

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which folder of the filesystem is mounted: `/` where all of it is.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The kind of filesystem.
    pub kind: String,
    /// What is mounted.
    pub source: PathBuf,
    /// The options of the filesystem itself, with commas between them.
    pub options: String,
}

/// All mounts, in the order in which they were made; none where /proc cannot be read.
#[must_use]
pub fn all() -> Vec<Mount> {
    parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
}

/// Whether something is mounted there.
#[must_use]
pub fn at(point: &Path) -> bool {
    all().iter().any(|mount| mount.point == point)
}

/// The mounts of such a file. A line that is none is left out.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// One line: id parent device root point options [tags…] - kind source options
fn line(line: &[u8]) -> Option<Mount> {
    let text = |field| String::from_utf8_lossy(field).into_owned();
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (path(fields.nth(3)?), path(fields.next()?));
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let (kind, source) = (text(rest.next()?), path(rest.next()?));
    Some(Mount { root, point, kind, source, options: text(rest.next().unwrap_or_default()) })
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

/// The bytes of a field: space, tab, newline and backslash stand there as `\040` and so on.
#[must_use]
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match value {
            Some(value) if byte == b'\\' => {
                out.push(value);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_with_and_without_tags() {
        let text = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                     40 31 8:1 / /mnt/a\\040b rw,relatime shared:9 master:1 - ext4 /dev/sda1 rw\n";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].point, Path::new("/sys/fs/cgroup"));
        assert_eq!(
            found[1],
            Mount {
                root: "/".into(),
                point: "/mnt/a b".into(),
                kind: "ext4".to_owned(),
                source: "/dev/sda1".into(),
                options: "rw".to_owned(),
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(text in any::<Vec<u8>>()) {
            drop(parse(&text));
        }

        #[test]
        fn lines_like_these_are_read_without_harm(
            text in "([0-9]{1,2} [0-9]{1,2} 0:1 /[a-z\\\\0-7]{0,8} /[a-z\\\\0-7]{0,8} rw (shared:1 )?- (cgroup|tmpfs) x rw\n){0,5}"
        ) {
            prop_assert_eq!(parse(text.as_bytes()).len(), text.lines().count());
        }

        /// Every path comes back, however the kernel has to write it.
        #[test]
        fn every_path_comes_back(point in "[ -~]{1,20}") {
            let written: String = point.chars().map(|c| match c {
                ' ' | '\\' => format!("\\{:03o}", u32::from(c)),
                other => other.to_string(),
            }).collect();
            let found = parse(format!("1 2 0:1 / /{written} rw - ext4 x rw\n").as_bytes());
            let whole = format!("/{point}");
            prop_assert_eq!(&found[0].point, Path::new(&whole));
        }
    }
}
