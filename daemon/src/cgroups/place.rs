//! Where cgroup2 is mounted, and where in it we are.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::Unusable;

/// Our place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the hierarchy is mounted.
    pub(super) mount: PathBuf,
    /// Our cgroup in it, as seen from that mount: `/` or a path below it.
    pub(super) own: PathBuf,
    /// Whether there are v1 hierarchies too.
    pub(super) hybrid: bool,
}

/// Finds it in /proc.
pub(super) fn find() -> Result<Place, Unusable> {
    let read = |path| fs::read(path).map_err(|why: io::Error| Unusable::Unreadable { path, why });
    let mounts = read("/proc/self/mountinfo")?;
    let own = read("/proc/self/cgroup")?;
    let own = own_cgroup(&own).ok_or(Unusable::NoOwn)?;
    place(&mounts, &own).ok_or(Unusable::NotMounted)
}

/// Our v2 cgroup: the line `0::PATH` (cgroups(7)).
fn own_cgroup(text: &[u8]) -> Option<PathBuf> {
    text.split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))
        .filter(|path| path.starts_with(b"/"))
        .map(|path| PathBuf::from(OsString::from_vec(path.to_vec())))
}

fn place(mounts: &[u8], own: &Path) -> Option<Place> {
    let mounts: Vec<Mount> = mounts.split(|byte| *byte == b'\n').filter_map(mount).collect();
    let hybrid = mounts.iter().any(|mount| mount.kind == b"cgroup");
    // A mount of a part of the hierarchy serves if we are in that part.
    mounts.into_iter().filter(|mount| mount.kind == b"cgroup2").find_map(|mount| {
        let below = own.strip_prefix(&mount.root).ok()?;
        Some(Place { mount: mount.point, own: Path::new("/").join(below), hybrid })
    })
}

struct Mount {
    root: PathBuf,
    point: PathBuf,
    kind: Vec<u8>,
}

/// One line of mountinfo (proc_pid_mountinfo(5)): id parent device root point options [tags…] - kind …
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let path = |field| PathBuf::from(OsString::from_vec(unescape(field)));
    Some(Mount { root: path(root), point: path(point), kind: kind.to_vec() })
}

/// Space, tab, newline and backslash stand there as `\040` and so on.
fn unescape(field: &[u8]) -> Vec<u8> {
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

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    fn at(mounts: &str, own: &str) -> Option<(String, String, bool)> {
        let own = own_cgroup(own.as_bytes())?;
        let place = place(mounts.as_bytes(), &own)?;
        Some((place.mount.display().to_string(), place.own.display().to_string(), place.hybrid))
    }

    #[test]
    fn a_hybrid_host() {
        let own = "8:pids:/\n0::/system.slice/x.service\n";
        let found = at(HYBRID, own).unwrap();
        assert_eq!(
            found,
            ("/sys/fs/cgroup/unified".into(), "/system.slice/x.service".into(), true)
        );
    }

    #[test]
    fn a_unified_host_with_an_odd_mount_point() {
        let mounts = "30 23 0:26 / /sys/fs/c\\040group rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = at(mounts, "0::/\n").unwrap();
        assert_eq!(found, ("/sys/fs/c group".into(), "/".into(), false));
    }

    #[test]
    fn a_container_that_sees_its_part_only() {
        let mounts = "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(at(mounts, "0::/docker/abc/x\n").unwrap().1, "/x");
        assert_eq!(at(mounts, "0::/elsewhere\n"), None);
    }

    #[test]
    fn no_cgroup2() {
        assert_eq!(
            at("35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw\n", "0::/\n"),
            None
        );
        assert_eq!(at(HYBRID, "4:memory:/x\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(mounts in any::<Vec<u8>>(), own in any::<Vec<u8>>()) {
            if let Some(own) = own_cgroup(&own) {
                drop(place(&mounts, &own));
            }
        }

        #[test]
        fn lines_like_these_are_read_without_harm(
            mounts in "([0-9]{1,2} [0-9]{1,2} 0:1 /[a-z\\\\0-7]{0,8} /[a-z\\\\0-7]{0,8} rw (shared:1 )?- (cgroup2|cgroup|tmpfs) x rw\n){0,5}"
        ) {
            drop(place(mounts.as_bytes(), Path::new("/")));
        }
    }
}
