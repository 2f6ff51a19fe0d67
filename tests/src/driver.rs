//! What drives a client in Python of tests/clients, which shares no code with the daemon: it connects to a socket of ours, and
//! is told by lines of JSON what to do.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::{PATIENCE, Process, eventually};

/// Where a client is.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// A client that runs.
#[derive(Debug)]
pub(crate) struct Driver {
    lines: BufReader<UnixStream>,
    process: Process,
}

impl Driver {
    /// Starts one of this name, for a server there, as this user or as ours. Its socket of orders is made in that folder.
    #[track_caller]
    pub(crate) fn start(
        mut python: Command,
        name: &str,
        folder: &Path,
        server: &Path,
        user: Option<u32>,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let orders = folder.join(format!("orders-{number}"));
        let listener = UnixListener::bind(&orders).expect("our folder");
        let user = user.map_or_else(|| "-".to_owned(), |user| user.to_string());
        python.arg(script(name)).arg(&orders).arg(server).arg(user).current_dir("/");
        let process = Process::start(python, || {});
        listener.set_nonblocking(true).expect("a socket");
        let mut stream = None;
        eventually("the client has begun", || {
            stream = listener.accept().ok().map(|(stream, _)| stream);
            stream.is_some() || process.end_within(Duration::ZERO).is_some()
        });
        let stream = stream.unwrap_or_else(|| panic!("the client failed:\n{}", process.log()));
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(2 * PATIENCE)).expect("a socket");
        Self { lines: BufReader::new(stream), process }
    }

    /// Has it do something; what it says.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &Value) -> Value {
        let mut said = String::new();
        let asked = writeln!(self.lines.get_mut(), "{order}").is_ok();
        let read = asked && self.lines.read_line(&mut said).is_ok_and(|count| count > 0);
        assert!(read, "{order}: the client says nothing:\n{}", self.process.log());
        serde_json::from_str(&said).expect("it speaks JSON")
    }
}
