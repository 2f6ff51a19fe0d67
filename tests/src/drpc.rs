//! A client of dRPC that shares no code with the daemon: tests/clients/drpc.py.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Daemon, House, Options, driver::Driver, eventually};

/// The client's name.
const SCRIPT: &str = "drpc.py";

/// A Python, of which nothing is asked but itself: `AURAE_TEST_PYTHON`, the system's, or the first on the path.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let chosen = env::var_os("AURAE_TEST_PYTHON").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("python3"));
    let usual = PathBuf::from("/usr/bin/python3");
    chosen.into_iter().chain([usual]).chain(found).find(|path| path.exists())
}

/// Where the client is.
#[must_use]
pub fn script() -> PathBuf {
    crate::driver::script(SCRIPT)
}

/// A folder that every user can reach, for a socket.
///
/// # Panics
/// Where it cannot be made.
#[must_use]
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("aurae-drpc-").tempdir().expect("a folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("our folder");
    folder
}

/// A daemon that serves dRPC's clients there, with more lines in that section of the configuration; it may be that it does
/// not yet.
#[must_use]
#[track_caller]
pub fn daemon_at(options: Options, socket: &Path, lines: &[&str]) -> Daemon {
    let options = options.config("doors.drpc", &format!("socket = {:?}", socket.to_string_lossy()));
    let options = lines.iter().fold(options, |options, line| options.config("doors.drpc", line));
    Daemon::start_in(House::prepare(options))
}

/// A client.
#[derive(Debug)]
pub struct Drpc {
    driver: Driver,
    framing: &'static str,
    sequence: i64,
    _folder: TempDir,
}

impl Drpc {
    /// One that speaks to there, as this user or as ours, with no session.
    ///
    /// # Panics
    /// Where it does not begin.
    #[must_use]
    #[track_caller]
    pub fn begin(socket: &Path, user: Option<u32>) -> Self {
        let folder = folder();
        let python = Command::new(python().expect("it is needed"));
        let driver = Driver::start(python, SCRIPT, folder.path(), socket, user);
        Self { driver, framing: "chunked", sequence: 0, _folder: folder }
    }

    /// The same with the session `usual`, in this framing, as soon as somebody serves there.
    ///
    /// # Panics
    /// Where nobody comes to.
    #[must_use]
    #[track_caller]
    pub fn connect(socket: &Path, framing: &'static str) -> Self {
        let mut client = Self::begin(socket, None);
        client.open("usual", framing);
        client
    }

    /// Opens a session, as soon as somebody serves there.
    ///
    /// # Panics
    /// Where nobody comes to.
    #[track_caller]
    pub fn open(&mut self, session: &str, framing: &'static str) {
        self.framing = framing;
        eventually("dRPC's clients are served", || self.try_open(session, framing).is_ok());
    }

    /// Opens a session, or says why not.
    #[track_caller]
    pub fn try_open(&mut self, session: &str, framing: &str) -> Result<(), String> {
        let said = self.order(&json!({"do": "open", "session": session, "framing": framing}));
        said["failed"].as_str().map_or(Ok(()), |why| Err(why.to_owned()))
    }

    /// Has it do something; what it says.
    ///
    /// # Panics
    /// Where it says nothing.
    #[track_caller]
    pub fn order(&mut self, order: &Value) -> Value {
        self.driver.order(order)
    }

    /// A call in a session, with an answer.
    #[track_caller]
    pub fn call_in(&mut self, session: &str, (module, method): (i32, i32), body: Value) -> Value {
        self.sequence += 1;
        let order = json!({
            "do": "call", "session": session, "module": module, "method": method, "sequence": self.sequence, "body": body,
        });
        let answer = self.order(&order);
        assert_eq!(answer["sequence"], self.sequence, "{module} {method}: {answer}");
        answer
    }

    /// The same in a session that may be closed.
    #[track_caller]
    pub fn call_or_end(
        &mut self,
        session: &str,
        (module, method): (i32, i32),
        body: Value,
    ) -> Value {
        let order = json!({
            "do": "call", "session": session, "module": module, "method": method, "sequence": 1, "body": body,
        });
        self.order(&order)
    }

    /// The same in the usual session.
    #[track_caller]
    pub fn call(&mut self, what: (i32, i32), body: Value) -> Value {
        self.call_in("usual", what, body)
    }

    /// A call of module 16, in the usual session, that is answered with its own message.
    #[track_caller]
    pub fn process(&mut self, method: i32, body: Value) -> Value {
        let answer = self.call((16, method), body);
        assert_eq!(answer["status"], 0, "{method}: {answer}");
        answer
    }

    /// Only sends.
    ///
    /// # Panics
    /// Where it cannot.
    #[track_caller]
    pub fn send(
        &mut self,
        session: &str,
        (module, method, sequence): (i32, i32, i64),
        body: Value,
    ) {
        let order = json!({
            "do": "send", "session": session, "module": module, "method": method, "sequence": sequence, "body": body,
        });
        assert_eq!(self.order(&order), json!({}));
    }

    /// The next answer in a session.
    #[track_caller]
    pub fn read(&mut self, session: &str) -> Value {
        self.order(&json!({"do": "read", "session": session}))
    }
}

/// The fields of this number in an answer's body: numbers, or what has a length.
#[must_use]
pub fn fields(answer: &Value, number: u64) -> Vec<Value> {
    let body = answer["body"].as_array().into_iter().flatten();
    body.filter(|field| field[0] == number).map(|field| field[1].clone()).collect()
}

/// The first such field as a number; 0 where there is none.
#[must_use]
pub fn number(answer: &Value, number: u64) -> i64 {
    fields(answer, number).first().and_then(Value::as_i64).unwrap_or(0)
}

/// The first such field as a text; empty where there is none.
#[must_use]
pub fn text(answer: &Value, number: u64) -> String {
    let first = fields(answer, number).into_iter().next().unwrap_or_default();
    first["text"].as_str().unwrap_or_default().to_owned()
}
