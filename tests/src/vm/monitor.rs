//! qemu's monitor: QMP over a Unix socket, a line of JSON each way.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::{Value, json};

use crate::wait::holds_within;

/// The monitor of one qemu. Every event is kept.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
    said: Arc<Mutex<Vec<Value>>>,
}

impl Monitor {
    /// Connects to it, as soon as it is there; none where qemu has ended.
    pub(crate) fn connect(path: &Path, lives: impl Fn() -> bool) -> Option<Self> {
        let mut found = None;
        let _ = holds_within(super::LONG, || {
            found = UnixStream::connect(path).ok();
            found.is_some() || !lives()
        });
        let stream = found?;
        let said: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (lines, kept) = (BufReader::new(stream.try_clone().ok()?), Arc::clone(&said));
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(value);
                }
            }
        });
        let monitor = Self { stream, said };
        let _ = monitor.order(&json!({ "execute": "qmp_capabilities" }));
        Some(monitor)
    }

    /// Gives an order, and waits for its answer; none where qemu ends instead.
    pub(crate) fn order(&self, order: &Value) -> Option<Value> {
        let before = self.answers().len();
        writeln!(&self.stream, "{order}").ok()?;
        let answered = holds_within(super::LONG, || self.answers().len() > before);
        answered.then(|| self.answers().pop()).flatten()
    }

    fn answers(&self) -> Vec<Value> {
        self.matching(|value| value.get("return").is_some() || value.get("error").is_some())
    }

    /// Why the machine went, once it has: `guest-shutdown`, `guest-reset`, `guest-panic`.
    pub(crate) fn reason(&self) -> Option<String> {
        let ends = self.matching(|value| value["event"] == "SHUTDOWN");
        Some(ends.last()?["data"]["reason"].as_str()?.to_owned())
    }

    fn matching(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().filter(|value| wanted(value)).cloned().collect()
    }

    /// Where connections to a port of the machine are forwarded from.
    pub(crate) fn forwarded(&self, port: u16) -> Option<u16> {
        let words = json!({ "command-line": "info usernet" });
        let answer =
            self.order(&json!({ "execute": "human-monitor-command", "arguments": words }))?;
        // "  TCP[HOST_FORWARD]  12  127.0.0.1 40123  10.0.2.15  7001  0  0"
        answer["return"].as_str()?.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["TCP[HOST_FORWARD]", _, _, from, _, to, ..] = words.as_slice() else {
                return None;
            };
            (to.parse() == Ok(port)).then(|| from.parse().ok())?
        })
    }
}
