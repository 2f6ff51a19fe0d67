//! Where cgroup2 is mounted, and where in it we are.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use keeper::mountinfo::{self, Mount};

use super::Unusable;

/// Our place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the hierarchy is mounted.
    pub(super) mount: PathBuf,
    /// Our cgroup in it, as seen from that mount: `/` or a path below it.
    pub(super) own: PathBuf,
    /// The same as the kernel shows it in /proc/PID/cgroup.
    pub(super) shown: PathBuf,
    /// Whether there are v1 hierarchies too.
    pub(super) hybrid: bool,
    /// Our places in those that have controllers.
    pub(super) legacy: Vec<LegacyPlace>,
}

/// Our place in a v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LegacyPlace {
    /// Its controllers.
    pub(super) controllers: Vec<String>,
    /// Our cgroup in it, in the filesystem.
    pub(super) folder: PathBuf,
    /// The same as the kernel shows it in /proc/PID/cgroup.
    pub(super) shown: PathBuf,
}

/// Where runs are to be in a v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Legacy {
    /// Its controllers.
    pub(super) controllers: Vec<String>,
    /// Our cgroup in it, which exists.
    pub(super) existing: PathBuf,
    /// The folder of all runs, which may not.
    pub(super) units: PathBuf,
}

impl LegacyPlace {
    /// Below our own cgroup in that hierarchy, whatever that is: so a limit that somebody has set for us
    /// there holds for runs too. Under the name of ours, unless it is ours alone, as it is where it is the
    /// one that we have in v2.
    pub(super) fn for_runs(self, unified: &Path, name: &str) -> Legacy {
        let ours = self.shown == unified && unified != Path::new("/");
        let folder = if ours { self.folder.clone() } else { self.folder.join(name) };
        Legacy { controllers: self.controllers, existing: self.folder, units: folder.join("units") }
    }
}

/// Finds it in /proc.
pub(super) fn find() -> Result<Place, Unusable> {
    let read = |path| fs::read(path).map_err(|why: io::Error| Unusable::Unreadable { path, why });
    let mounts = read("/proc/self/mountinfo")?;
    let own = read("/proc/self/cgroup")?;
    let unified = own_cgroup(&own).ok_or(Unusable::NoOwn)?;
    let place = place(&mounts, &unified).ok_or(Unusable::NotMounted)?;
    Ok(Place { legacy: legacy(&mounts, &own), ..place })
}

/// Our places in v1 hierarchies: the lines `N:CONTROLLERS:PATH`, found among the mounts by their controllers.
fn legacy(mounts: &[u8], own: &[u8]) -> Vec<LegacyPlace> {
    let mounts = mountinfo::parse(mounts);
    let lines = String::from_utf8_lossy(own);
    let place = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, Path::new(fields.next()?));
        let controllers: Vec<String> = controllers.split(',').map(str::to_owned).collect();
        let has = |mount: &Mount| {
            let mut options = mount.options.split(',');
            let wanted = controllers.first().filter(|first| !first.is_empty());
            mount.kind == "cgroup"
                && wanted.is_some_and(|wanted| options.any(|each| each == wanted))
        };
        // A part of the hierarchy that we are not in does not serve.
        let folder = mounts.iter().filter(|mount| has(mount)).find_map(|mount| {
            path.strip_prefix(&mount.root).ok().map(|below| mount.point.join(below))
        })?;
        Some(LegacyPlace { controllers, folder, shown: path.to_owned() })
    };
    lines.lines().filter_map(place).collect()
}

/// Our v2 cgroup: the line `0::PATH` (cgroups(7)).
pub(super) fn own_cgroup(text: &[u8]) -> Option<PathBuf> {
    text.split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))
        .filter(|path| path.starts_with(b"/"))
        .map(|path| PathBuf::from(OsString::from_vec(path.to_vec())))
}

fn place(mounts: &[u8], own: &Path) -> Option<Place> {
    let mounts = mountinfo::parse(mounts);
    let hybrid = mounts.iter().any(|mount| mount.kind == "cgroup");
    // A mount of a part of the hierarchy serves if we are in that part.
    mounts.into_iter().filter(|mount| mount.kind == "cgroup2").find_map(|mount| {
        let below = own.strip_prefix(&mount.root).ok()?;
        Some(Place {
            mount: mount.point,
            own: Path::new("/").join(below),
            shown: own.to_owned(),
            hybrid,
            legacy: Vec::new(),
        })
    })
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
    fn hierarchies_of_version_1_are_found_by_their_controllers() {
        let mounts = format!(
            "{HYBRID}36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             37 31 0:34 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
             38 31 0:35 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
        );
        let own =
            "9:name=systemd:/s\n8:pids:/docker/abc/x\n4:memory:/m:n\n2:cpu,cpuacct:/\n0::/u\n";
        let found = legacy(mounts.as_bytes(), own.as_bytes());
        let shown = |place: LegacyPlace| {
            let Legacy { controllers, existing, units } =
                place.for_runs(Path::new("/m:n"), "aurae");
            format!("{} {} {}", controllers.join("+"), existing.display(), units.display())
        };
        let shown: Vec<String> = found.into_iter().map(shown).collect();
        assert_eq!(
            shown,
            [
                "name=systemd /sys/fs/cgroup/systemd/s /sys/fs/cgroup/systemd/s/aurae/units",
                "pids /sys/fs/cgroup/pids/x /sys/fs/cgroup/pids/x/aurae/units",
                // Ours alone, for it is ours in v2 too.
                "memory /sys/fs/cgroup/memory/m:n /sys/fs/cgroup/memory/m:n/units",
                "cpu+cpuacct /sys/fs/cgroup/cpu,cpuacct/ /sys/fs/cgroup/cpu,cpuacct/aurae/units",
            ]
        );
        assert_eq!(legacy(mounts.as_bytes(), b"8:pids:/elsewhere\n0::/\n"), []);
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
            drop(legacy(&mounts, &own));
        }

        #[test]
        fn lines_like_these_are_read_without_harm(
            mounts in "([0-9]{1,2} [0-9]{1,2} 0:1 /[a-z\\\\0-7]{0,8} /[a-z\\\\0-7]{0,8} rw (shared:1 )?- (cgroup2|cgroup|tmpfs) x rw\n){0,5}"
        ) {
            drop(place(mounts.as_bytes(), Path::new("/")));
            drop(legacy(mounts.as_bytes(), b"1:x:/\n2:memory:/"));
        }
    }
}
