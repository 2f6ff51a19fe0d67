//! The daemon's own log: `tracing`, to standard error and to the log store. Neither ever blocks.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::{
        OnceLock, PoisonError, RwLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use logs::{Damage, LogName, LogStore, Problem};
use tokio::sync::watch;
use tracing::{Event, Level, Metadata, Subscriber, field::Field, field::Visit};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, ParseError, Targets},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};
use units::RunId;

use crate::clock;

/// Lines that may wait for standard error. Whoever reads it may be a paused terminal; what passes this
/// bound is dropped there, and told, and is in the store all the same.
const STDERR_DEPTH: usize = 1024;
/// The longest filter, in bytes.
const LONGEST_FILTER: usize = 1024;
/// How long a line waits for others.
const TOGETHER: Duration = Duration::from_millis(1);
/// Room for most lines, in bytes.
const LINE: usize = 256;
/// How long the last lines may take to be printed when the daemon ends.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Who prints to standard error.
static PRINTER: OnceLock<SyncSender<Said>> = OnceLock::new();

/// What is printed.
static PRINTED: RwLock<Option<Printed>> = RwLock::new(None);

/// A filter, as it was written and as it is asked.
struct Printed {
    text: String,
    targets: Targets,
}

/// The filter of what is printed.
pub(crate) fn filter() -> String {
    let printed = PRINTED.read().unwrap_or_else(PoisonError::into_inner);
    printed.as_ref().map(|printed| printed.text.clone()).unwrap_or_default()
}

/// Why a text is no filter, and what is one. A target alone would be one for the parser, and mean that nothing else is
/// printed, not even errors: so a mistyped level must not be taken for a target.
pub(crate) fn check_filter(text: &str) -> Result<(), String> {
    const EXAMPLE: &str =
        "write off, error, warn, info, debug or trace, or levels by target: info,h2=debug";
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| levels.iter().any(|level| level.eq_ignore_ascii_case(word.trim()));
    if text.len() > LONGEST_FILTER {
        let length = text.len();
        return Err(format!("it is {length} bytes long; at most {LONGEST_FILTER} are"));
    }
    if let Some(word) = text.split(',').find(|word| !word.contains('=') && !is_level(word)) {
        return Err(format!("{word:?} is no level; {EXAMPLE}"));
    }
    printed(text).map(drop).map_err(|why| format!("{text:?} is no filter: {why}; {EXAMPLE}"))
}

/// Prints by this filter from now on; gives the one before.
pub(crate) fn change_filter(text: &str) -> Result<String, String> {
    check_filter(text)?;
    let targets = printed(text).map_err(|why| why.to_string())?;
    let next = Printed { text: text.to_owned(), targets };
    let before = PRINTED.write().unwrap_or_else(PoisonError::into_inner).replace(next);
    // Each place that logs remembers whether anybody wants it.
    tracing::callsite::rebuild_interest_cache();
    Ok(before.map(|before| before.text).unwrap_or_default())
}

/// What the printer is told.
enum Said {
    /// To print this.
    Line(String),
    /// To say when all before it is printed.
    Printed(SyncSender<()>),
}

/// Waits until what was logged is printed, as far as somebody takes it: nobody prints any more when we have ended.
pub(crate) fn print_the_last() {
    let (printed, told) = sync_channel(1);
    if let Some(printer) = PRINTER.get()
        && printer.try_send(Said::Printed(printed)).is_ok()
    {
        told.recv_timeout(LAST_LINES).ok();
    }
}

/// Starts logging: to standard error by this filter, to the store down to trace for our own code.
pub(crate) fn start(filter: &str, store: LogStore, instance: RunId) -> io::Result<()> {
    let (sender, receiver) = sync_channel(STDERR_DEPTH);
    std::thread::Builder::new().name("stderr".to_owned()).spawn(move || print(&receiver))?;
    change_filter(filter).map_err(io::Error::other)?;
    PRINTER.get_or_init(|| sender.clone());
    // What the libraries trace tells of the very streams that the log is read by: it would feed itself.
    let stored = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("auraed_core", LevelFilter::TRACE);
    tracing_subscriber::registry()
        .with(Log { stored, stderr: sender, store, instance })
        .try_init()
        .map_err(io::Error::other)
}

/// Tells of damage to logs as it is found.
pub(crate) async fn tell_damage(mut damages: watch::Receiver<Vec<Damage>>) {
    let mut told: Vec<Problem> = Vec::new();
    loop {
        let known: Vec<Problem> =
            damages.borrow_and_update().iter().map(|damage| damage.problem.clone()).collect();
        for problem in known.iter().filter(|problem| !told.contains(problem)) {
            tracing::warn!("log {}: {}", problem.log.folder().display(), problem.text);
        }
        told = known;
        if damages.changed().await.is_err() {
            return;
        }
    }
}

/// A bare level is meant for our own code: below info, the libraries speak up only where they are named.
fn printed(filter: &str) -> Result<Targets, ParseError> {
    let wanted: Targets = filter.parse()?;
    let level = wanted.default_level().unwrap_or(LevelFilter::OFF);
    let libraries = ["h2", "hyper", "tonic", "tower", "tokio"];
    let quiet = libraries.map(|library| (library, level.min(LevelFilter::INFO)));
    Ok(Targets::new().with_default(level).with_targets(quiet).with_targets(wanted))
}

/// The layer that writes each event once, for both.
struct Log {
    stored: Targets,
    stderr: SyncSender<Said>,
    store: LogStore,
    /// This daemon, as the store tells instances apart.
    instance: RunId,
}

impl Log {
    /// Whether it is for standard error, and for the store.
    fn wanted(&self, of: &Metadata<'_>) -> (bool, bool) {
        let by = |filter: &Targets| filter.would_enable(of.target(), of.level());
        let printed = PRINTED.read().unwrap_or_else(PoisonError::into_inner);
        (printed.as_ref().is_some_and(|printed| by(&printed.targets)), by(&self.stored))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        matches!(self.wanted(metadata), (true, _) | (_, true))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (printed, stored) = self.wanted(event.metadata());
        let line = format(event);
        if stored {
            let written = line.trim_end_matches('\n');
            self.store.append(&LogName::Daemon, self.instance, written.as_bytes(), clock::wall());
        }
        if printed {
            // Full: whoever reads is not reading. The store has it.
            drop(self.stderr.try_send(Said::Line(line)));
        }
    }
}

/// Writes lines that come together at once: to be woken for each would cost whoever logs as much as to format it.
#[expect(clippy::disallowed_methods, reason = "a pause after a line, not a wait for anything")]
fn print(said: &Receiver<Said>) {
    let mut text = String::new();
    while let Ok(first) = said.recv() {
        std::thread::sleep(TOGETHER);
        let mut waiting = Vec::new();
        text.clear();
        for said in std::iter::once(first).chain(said.try_iter().take(STDERR_DEPTH)) {
            match said {
                Said::Line(line) => {
                    text.push_str("auraed-core: ");
                    text.push_str(&line);
                }
                Said::Printed(told) => waiting.push(told),
            }
        }
        drop(io::stderr().lock().write_all(text.as_bytes()));
        for told in waiting {
            told.try_send(()).ok();
        }
    }
}

/// `LEVEL target: message key=value …` and a line end; others are escaped, so that one event is one line.
fn format(event: &Event<'_>) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    };
    let target = event.metadata().target();
    let mut fields = Fields { message: String::with_capacity(LINE), rest: String::new() };
    // Writing to a String does not fail.
    write!(fields.message, "{level} {target}: ").ok();
    event.record(&mut fields);
    let Fields { message: mut line, rest } = fields;
    line.push_str(&rest);
    if line.contains('\n') {
        line = line.replace('\n', "\\n");
    }
    line.push('\n');
    line
}

/// What is said of an event: the message, and after it everything else.
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
