//! Whom a process runs as, looked up at each start.

use std::{ffi::CString, fs, io};

use api::runtime::StartStage;
use nix::{
    errno::Errno,
    unistd::{Gid, Uid, User, geteuid, getgrouplist, setfsgid, setfsuid},
};
use spawn::Identity;

use super::SettingFailure;
use crate::environment::Environment;

/// Where the kernel says what becomes of memory whose process changes its user (proc_sys_fs(5)).
const SUID_DUMPABLE: &str = "/proc/sys/fs/suid_dumpable";

/// A user that is not ours.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    identity: Identity,
    environment: Environment,
}

impl Account {
    /// The user of this name or number; none where that is who we are.
    pub(crate) fn of(user: &str) -> Result<Option<Self>, SettingFailure> {
        let wrong = |errno, why: String| SettingFailure {
            stage: StartStage::User,
            errno,
            sentence: format!("cannot run as the user {user:?}: {why}"),
        };
        let number = user.parse::<u32>().ok();
        let found = match number {
            Some(number) => User::from_uid(Uid::from_raw(number)),
            None => User::from_name(user),
        };
        let found = found.map_err(|why| wrong(why, format!("it cannot be looked up: {why}")))?;
        let uid = found.as_ref().map(|user| user.uid.as_raw()).or(number);
        let none = || {
            wrong(
                Errno::ENOENT,
                "there is none on this machine; make it, or name another".to_owned(),
            )
        };
        let uid = uid.ok_or_else(none)?;
        if uid == geteuid().as_raw() {
            return Ok(None);
        }
        if !geteuid().is_root() {
            let own = geteuid();
            return Err(wrong(
                Errno::EPERM,
                format!("this daemon is the user {own}'s, and only root's can; leave it out"),
            ));
        }
        // Until it executes its program its memory is ours.
        if fs::read_to_string(SUID_DUMPABLE).is_ok_and(|text| text.trim() == "1") {
            let why = format!(
                "{SUID_DUMPABLE} is 1, so that it could look into our memory; make it 0 or 2"
            );
            return Err(wrong(Errno::EPERM, why));
        }
        let Some(User { name, gid, dir, shell, .. }) = found else {
            // A number that nobody has: its group has the same, and there are no others.
            let identity = Identity { user: uid, group: uid, groups: Vec::new() };
            let environment = Environment::of_user(user, "/".as_ref(), "/bin/sh".as_ref());
            return Ok(Some(Self { identity, environment }));
        };
        let called = CString::new(name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&called, gid)
            .map_err(|why| wrong(why, format!("its groups cannot be looked up: {why}")))?;
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        let identity = Identity { user: uid, group: gid.as_raw(), groups };
        Ok(Some(Self { identity, environment: Environment::of_user(&name, &dir, &shell) }))
    }

    /// What it finds in its environment.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Who it is for the kernel.
    pub(crate) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Does something with files as this user, on this thread alone. (Our supplementary groups stay; those of root are
    /// root's, or none.)
    pub(crate) fn with_files<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _back = Files::of(&self.identity)?;
        act()
    }
}

/// This thread's rights to files are somebody else's, until this is dropped.
struct Files {
    user: Uid,
    group: Gid,
}

impl Files {
    fn of(identity: &Identity) -> io::Result<Self> {
        // The group first: without the user's rights it could not be changed.
        let group = setfsgid(Gid::from_raw(identity.group));
        let user = setfsuid(Uid::from_raw(identity.user));
        let files = Self { user, group };
        // It does not say whether it was done (setfsuid(2)): what is asked for then changes nothing, and tells.
        let now = setfsuid(Uid::from_raw(identity.user));
        if now.as_raw() == identity.user {
            return Ok(files);
        }
        Err(io::Error::from_raw_os_error(Errno::EPERM as i32))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        setfsuid(self.user);
        setfsgid(self.group);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_are_looked_up() {
        let own = geteuid();
        assert!(Account::of(&own.to_string()).unwrap().is_none());
        let said = Account::of("no such user").unwrap_err();
        assert_eq!((said.stage, said.errno), (StartStage::User, Errno::ENOENT));
        let other = Account::of("65533");
        if !own.is_root() {
            assert_eq!(other.unwrap_err().errno, Errno::EPERM);
            return;
        }
        let other = other.unwrap().unwrap();
        assert_eq!(other.identity(), Identity { user: 65533, group: 65533, groups: Vec::new() });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let make = || fs::write(&path, "").map(drop);
        assert_eq!(other.with_files(make).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        // And back again.
        make().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
    }

    proptest! {
        #[test]
        fn no_name_hurts(user in "[a-z0-9 .\0-]{0,12}") {
            drop(Account::of(&user));
        }
    }
}
