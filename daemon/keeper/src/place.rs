//! What the keeper takes for its life before anything runs: the lock on the state folder, the runtime
//! folder, and the socket of the API.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{Failure, settings::Settings};

/// The folder of overflow files, below the runtime folder.
pub(crate) const OVERFLOW: &str = "overflow";

/// The locks of the state folder and of the runtime folder.
pub(crate) type Locks = [Flock<File>; 2];

/// What was taken.
pub(crate) struct Place {
    /// The API's listener, which every daemon gets a copy of.
    pub(crate) listener: UnixListener,
    /// The socket's device and inode: at the end we remove no socket but our own.
    socket: (PathBuf, u64, u64),
    /// Held open for the locks.
    locks: [Lock; 2],
}

/// The lock on a folder, which belongs to the open file, and so stays when another program takes our place.
enum Lock {
    Taken(Flock<File>),
    Inherited(File),
}

/// Takes the lock and the folders.
pub(crate) fn lock_folders(settings: &Settings) -> Result<Locks, Failure> {
    folder(&settings.state_dir, 0o700)?;
    let state = lock((&settings.state_dir, "lock"), "state", "--state-dir")?;
    folder(&settings.runtime_dir, 0o755)?;
    // By themselves: who has the one folder of another keeper must not take over what is in the other.
    let runtime = lock((&settings.runtime_dir, "keeper"), "runtime", "--runtime-dir")?;
    folder(&settings.runtime_dir.join("runs"), 0o700)?;
    folder(&settings.runtime_dir.join(OVERFLOW), 0o700)?;
    if let Some(parent) = settings.socket.parent() {
        shared_folder(parent)?;
    }
    Ok([state, runtime])
}

/// Takes the socket, or goes on with the listener of a keeper that was killed, where that is still the one there.
pub(crate) fn take(
    settings: &Settings,
    locks: Locks,
    inherited: Option<UnixListener>,
) -> Result<Place, Failure> {
    let listener = match inherited.filter(|listener| listens_at(listener, &settings.socket)) {
        Some(listener) => listener,
        None => listen(&settings.socket, settings.socket_group)?,
    };
    let at = fs::symlink_metadata(&settings.socket)?;
    let socket = (settings.socket.clone(), at.dev(), at.ino());
    Ok(Place { listener, socket, locks: locks.map(Lock::Taken) })
}

impl Place {
    /// As the keeper before had it.
    pub(crate) fn inherited(
        listener: UnixListener,
        socket: (PathBuf, u64, u64),
        locks: [File; 2],
    ) -> Self {
        Self { listener, socket, locks: locks.map(Lock::Inherited) }
    }

    /// The files that are locked.
    pub(crate) fn locks(&self) -> [&File; 2] {
        self.locks.each_ref().map(|lock| match lock {
            Lock::Taken(lock) => &**lock,
            Lock::Inherited(lock) => lock,
        })
    }

    /// The socket's device and inode.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.socket.1, self.socket.2)
    }

    /// Removes the socket if it is still the one that we made.
    pub(crate) fn leave(&self) {
        let (path, device, inode) = &self.socket;
        let ours = |at: &fs::Metadata| at.dev() == *device && at.ino() == *inode;
        if fs::symlink_metadata(path).is_ok_and(|at| ours(&at)) {
            drop(fs::remove_file(path));
        }
    }
}

/// Makes a folder that is ours. One that is there stays as it is, but what a stranger could exchange behind our back is
/// refused: his folder, his symbolic link, what others may write, and what lies where everybody may.
fn folder(path: &Path, mode: u32) -> Result<(), Failure> {
    let attempt = || -> io::Result<()> {
        owned(path, mode)?;
        if fs::metadata(path)?.mode() & 0o022 != 0 {
            let shown = path.display();
            return Err(io::Error::other(format!(
                "others than its owner may write it; chmod go-w {shown}, or choose another"
            )));
        }
        guarded(path)
    };
    attempt().map_err(|why| cannot_use(path, &why))
}

/// The same of a folder that is not for us alone: where anybody may write it, nobody may remove what is another's.
fn shared_folder(path: &Path) -> Result<(), Failure> {
    let attempt = || owned(path, 0o755).and_then(|()| guarded(path));
    attempt().map_err(|why| cannot_use(path, &why))
}

fn cannot_use(path: &Path, why: &io::Error) -> Failure {
    Failure::Untold(format!("cannot use the folder {}: {why}", path.display()))
}

/// Makes a folder where there is none, and sees that it, and the link that leads to it, belong to root or to us.
fn owned(path: &Path, mode: u32) -> io::Result<()> {
    if !path.is_dir() {
        DirBuilder::new().recursive(true).mode(0o755).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    let us = nix::unistd::geteuid().as_raw();
    for at in [fs::symlink_metadata(path)?, fs::metadata(path)?] {
        let owner = at.uid();
        if owner != 0 && owner != us {
            return Err(io::Error::other(format!(
                "it belongs to the user {owner}, who could exchange it; give it to the user {us}, or choose another"
            )));
        }
    }
    Ok(())
}

/// Sees that nothing on the way there can be exchanged by everybody.
fn guarded(path: &Path) -> io::Result<()> {
    let real = fs::canonicalize(path)?;
    for above in path.ancestors().chain(real.ancestors()) {
        let mode = fs::metadata(above)?.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            let above = above.display();
            return Err(io::Error::other(format!(
                "everybody may exchange what is in {above}; chmod o-w {above}, or choose another"
            )));
        }
    }
    Ok(())
}

fn lock((dir, name): (&Path, &str), what: &str, option: &str) -> Result<Flock<File>, Failure> {
    let path = dir.join(name);
    let cannot = |why: io::Error| {
        Failure::Untold(format!("cannot lock the {what} folder with {}: {why}", path.display()))
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(cannot)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // For people only: a disk that is full is no reason to begin without what is on it.
            let told = lock.set_len(0).and_then(|()| lock.rewind());
            drop(told.and_then(|()| writeln!(&*lock, "{}", std::process::id())));
            Ok(lock)
        }
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            drop((&file).take(32).read_to_string(&mut holder));
            Err(Failure::Untold(format!(
                "another auraed (process {}) uses the {what} folder {}; stop it, or choose another \
                 with {option}",
                holder.trim(),
                dir.display()
            )))
        }
        Err((_, why)) => Err(cannot(why.into())),
    }
}

fn listen(path: &Path, group: Option<u32>) -> Result<UnixListener, Failure> {
    let shown = path.display();
    clear(path)?;
    // The socket is never open to others, not for a moment: its mode is the umask's from birth.
    let umask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    nix::sys::stat::umask(umask);
    let listener =
        bound.map_err(|why| Failure::Untold(format!("cannot listen at {shown}: {why}")))?;
    if let Some(group) = group {
        chown(path, None, Some(group))
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o660)))
            .map_err(|why| {
                Failure::Untold(format!("cannot give {shown} to the group {group}: {why}"))
            })?;
    }
    Ok(listener)
}

/// Whether the socket of this path is this listener's, so that who connects there reaches it: it is asked by a
/// connection, which it then has.
fn listens_at(listener: &UnixListener, path: &Path) -> bool {
    let bound = listener.local_addr();
    let same = bound.is_ok_and(|address| address.as_pathname() == Some(path));
    same && UnixStream::connect(path).is_ok()
}

/// Removes a socket that nobody listens at; anything else there is an error.
fn clear(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let refuse = |why: String| Err(Failure::Untold(format!("cannot listen at {shown}: {why}")));
    match fs::symlink_metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => refuse(why.to_string()),
        Ok(at) if !at.file_type().is_socket() => {
            refuse("there is a file that is not a socket; move it, or choose another path".into())
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => refuse("another daemon answers there; stop it, or choose another path".into()),
            Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {
                Ok(fs::remove_file(path)?)
            }
            Err(why) => refuse(format!("a socket is there, and asking it fails: {why}")),
        },
    }
}
