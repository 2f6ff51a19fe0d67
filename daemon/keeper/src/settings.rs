//! What the keeper has to know, as `auraed-core configure` reads it from command line and file.
//!
//! The keeper parses neither: it hands its arguments on and reads, from a pipe that is descriptor 3 over
//! there, `key NUL value NUL` pairs, an empty key, and then the daemon's own configuration, which it
//! keeps as it is for every daemon it starts. The file is read at the keeper's start, and on SIGHUP.

use std::{
    ffi::OsString,
    io::{self, PipeReader, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    Failure,
    process::{self, clock},
    program::Program,
};

/// How long the core may take to read two files: longer only where a disk hangs.
pub(crate) const READING: Duration = Duration::from_secs(30);

/// The exit status of a core that does not understand the words of the command line.
pub(crate) const NOT_UNDERSTOOD: u8 = 2;

/// The keeper's part of the configuration.
pub(crate) struct Settings {
    /// Where the API listens.
    pub(crate) socket: PathBuf,
    /// The group that may use it.
    pub(crate) socket_group: Option<u32>,
    /// The folder of what outlives the boot, locked for our life.
    pub(crate) state_dir: PathBuf,
    /// The folder of what dies with the boot.
    pub(crate) runtime_dir: PathBuf,
    /// How long an orderly end may take.
    pub(crate) stop_timeout: Duration,
    /// The longest wait before the next daemon.
    pub(crate) longest_restart_delay: Duration,
    /// How long the daemon may owe an answer.
    pub(crate) answer_timeout: Duration,
    /// The shell on the console of a machine where something is wrong.
    pub(crate) rescue_shell: Option<String>,
    /// The daemon's part, which means nothing here.
    pub(crate) configuration: Vec<u8>,
}

/// Has the core read these words of a command line, and the file; `None` where that was all that was wanted (`--help`). It
/// gets these descriptors besides, as 4, 5, …, and so long.
pub(crate) fn ask(
    core: &Program,
    words: Vec<OsString>,
    (besides, bound): (Vec<OwnedFd>, Duration),
) -> Result<Option<Settings>, Failure> {
    let (reader, writer) = io::pipe()?;
    let arguments =
        [OsString::from("auraed-core"), OsString::from("configure")].into_iter().chain(words);
    let descriptors = [OwnedFd::from(writer)].into_iter().chain(besides).collect();
    let child = process::start(core, arguments.collect(), descriptors)?;
    let Some(answer) = read(reader, clock() + bound)? else {
        process::kill_child(child);
        return Err(Failure::Untold(format!(
            "{} configure has not read the configuration within {bound:?} and is killed; see whether the disk hangs on \
             which that is",
            core.shown()
        )));
    };
    let status = process::wait(child)?;
    if status != 0 {
        return Err(Failure::Told(u8::try_from(status).unwrap_or(u8::MAX)));
    }
    if answer.is_empty() {
        return Ok(None);
    }
    parse(&answer).map(Some).ok_or_else(|| {
        Failure::Untold(format!("{} answered nonsense; is it of this version?", core.shown()))
    })
}

/// The same where there has to be a configuration.
pub(crate) fn demand(
    core: &Program,
    words: Vec<OsString>,
    with: (Vec<OwnedFd>, Duration),
) -> Result<Settings, Failure> {
    ask(core, words, with)?.ok_or_else(|| {
        Failure::Untold("what auraed was started with asks for help or a version".to_owned())
    })
}

/// All that is written there, if its end comes in time.
fn read(mut reader: PipeReader, bound: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while clock() < bound {
        process::await_readable(reader.as_fd(), bound);
        if clock() >= bound {
            break;
        }
        match reader.read(&mut part)? {
            0 => return Ok(Some(answer)),
            length => answer.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    Ok(None)
}

fn parse(answer: &[u8]) -> Option<Settings> {
    let mut settings = Settings {
        socket: PathBuf::new(),
        socket_group: None,
        state_dir: PathBuf::new(),
        runtime_dir: PathBuf::new(),
        stop_timeout: Duration::ZERO,
        longest_restart_delay: Duration::ZERO,
        answer_timeout: Duration::ZERO,
        rescue_shell: None,
        configuration: Vec::new(),
    };
    let mut rest = answer;
    loop {
        let (key, after) = until_nul(rest)?;
        if key.is_empty() {
            settings.configuration = after.to_vec();
            return Some(settings);
        }
        let (value, after) = until_nul(after)?;
        rest = after;
        let path = || PathBuf::from(OsString::from_vec(value.to_vec()));
        let number = || std::str::from_utf8(value).ok()?.parse().ok();
        match key {
            b"socket" => settings.socket = path(),
            b"socket_group" => settings.socket_group = Some(u32::try_from(number()?).ok()?),
            b"state_dir" => settings.state_dir = path(),
            b"runtime_dir" => settings.runtime_dir = path(),
            b"stop_timeout_ms" => settings.stop_timeout = Duration::from_millis(number()?),
            b"longest_restart_delay_ms" => {
                settings.longest_restart_delay = Duration::from_millis(number()?);
            }
            b"rescue_shell" => {
                settings.rescue_shell = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"answer_timeout_ms" => settings.answer_timeout = Duration::from_millis(number()?),
            _ => return None,
        }
    }
}

fn until_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    let (head, rest) = bytes.split_at_checked(at)?;
    Some((head, rest.split_first()?.1))
}
