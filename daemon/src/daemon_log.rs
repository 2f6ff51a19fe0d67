//! The daemon's own log: `tracing`, to standard error and to the log store. Neither ever blocks.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use logs::{LogName, LogStore};
use tracing::{Event, Level, Subscriber, field::Field, field::Visit};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};
use units::RunId;

use crate::clock;

/// Lines that may wait for standard error. Whoever reads it may be a paused terminal; what passes this
/// bound is dropped there, and told, and is in the store all the same.
const STDERR_DEPTH: usize = 1024;

/// Starts logging: to standard error by this filter, to the store down to trace for our own code.
pub(crate) fn start(filter: &str, store: LogStore, instance: RunId) -> io::Result<()> {
    let (sender, receiver) = sync_channel(STDERR_DEPTH);
    std::thread::Builder::new().name("stderr".to_owned()).spawn(move || print(&receiver))?;
    let printed = printed(filter)?;
    // What the libraries trace tells of the very streams that the log is read by: it would feed itself.
    let stored = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("auraed_core", LevelFilter::TRACE);
    tracing_subscriber::registry()
        .with(ToStderr { sender }.with_filter(printed))
        .with(ToStore { store, instance }.with_filter(stored))
        .try_init()
        .map_err(io::Error::other)
}

/// A bare level is meant for our own code: below info, the libraries speak up only where they are named.
fn printed(filter: &str) -> io::Result<Targets> {
    let wanted: Targets = filter.parse().map_err(io::Error::other)?;
    let level = wanted.default_level().unwrap_or(LevelFilter::OFF);
    let libraries = ["h2", "hyper", "tonic", "tower", "tokio"];
    let quiet = libraries.map(|library| (library, level.min(LevelFilter::INFO)));
    Ok(Targets::new().with_default(level).with_targets(quiet).with_targets(wanted))
}

/// The layer to standard error.
struct ToStderr {
    sender: SyncSender<String>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ToStderr {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = format(event);
        line.push('\n');
        // Full: whoever reads is not reading. The store has it.
        drop(self.sender.try_send(line));
    }
}

fn print(lines: &Receiver<String>) {
    while let Ok(line) = lines.recv() {
        drop(io::stderr().lock().write_all(format!("auraed-core: {line}").as_bytes()));
    }
}

/// The layer to the store.
struct ToStore {
    store: LogStore,
    /// This daemon, as the store tells instances apart.
    instance: RunId,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ToStore {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = format(event);
        self.store.append(&LogName::Daemon, self.instance, line.as_bytes(), clock::wall());
    }
}

/// `LEVEL target: message key=value …`; line ends are escaped, so that one event is one line.
fn format(event: &Event<'_>) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    };
    let mut fields = Fields { message: String::new(), rest: String::new() };
    event.record(&mut fields);
    let target = event.metadata().target();
    let Fields { message, rest } = fields;
    format!("{level} {target}: {message}{rest}").replace('\n', "\\n")
}

struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.rest, " {}={value:?}", field.name())
        };
        // Writing to a String does not fail.
        written.ok();
    }
}
