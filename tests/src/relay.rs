//! A relay before the daemon's socket: connections that a test can cut.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{Daemon, Process};

/// A socket that leads to another one. Gone when it is dropped, with all its connections.
#[derive(Debug)]
pub struct Relay {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Vec<UnixStream>>,
    /// Bytes that came from the daemon.
    passed: AtomicU64,
}

impl Daemon {
    /// A relay before its socket.
    #[must_use]
    pub fn relay(&self) -> Relay {
        Relay::make(self.path().join("relay"), &self.socket())
    }

    /// Starts `aer` at the other side of a relay.
    #[must_use]
    pub fn start_aer_over(&self, relay: &Relay, arguments: &[&str]) -> Process {
        let mut command = self.command("aer");
        command.args(["--socket", relay.path()]).args(arguments);
        Process::start(command, || {})
    }
}

impl Relay {
    /// A new one at this path.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn make(path: PathBuf, to: &Path) -> Self {
        let listener = UnixListener::bind(&path).expect("a socket of the test's own");
        let shared: Arc<Shared> = Arc::default();
        let (to, ours) = (to.to_owned(), Arc::clone(&shared));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(daemon) = UnixStream::connect(&to) else { continue };
                ours.connect(client, daemon);
            }
        });
        Self { path, shared }
    }

    /// Where it is.
    ///
    /// # Panics
    /// Where the path is not UTF-8.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.to_str().expect("the harness makes UTF-8 paths")
    }

    /// How many bytes have come from the daemon.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }

    /// Cuts every connection that there is.
    pub fn cut(&self) {
        for stream in self.shared.open().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Nobody gets in any more; the thread that listens ends with the test's process.
        std::fs::remove_file(&self.path).ok();
        self.cut();
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<UnixStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: UnixStream, daemon: UnixStream) {
        let twin = |stream: &UnixStream| stream.try_clone().expect("one more descriptor");
        self.open().extend([twin(&client), twin(&daemon)]);
        let (from, to) = (twin(&client), twin(&daemon));
        thread::spawn(move || pass(from, to, |_| {}));
        let ours = Arc::clone(self);
        thread::spawn(move || {
            pass(daemon, client, |count| {
                ours.passed.fetch_add(count, Ordering::Relaxed);
            });
        });
    }
}

/// Passes bytes on until one side has had enough; then neither gets more.
fn pass(mut from: UnixStream, mut to: UnixStream, count: impl Fn(u64)) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count(length as u64);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
