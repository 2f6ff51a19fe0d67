//! The configuration file, and the defaults behind it.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{Group, geteuid, gethostname};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::daemon_log::check_filter;

use super::{
    Configuration, ConfigurationError, MetricsListen, Role, arguments::Arguments, doors::Doors,
    export, logs::Logs, telling::tell,
};

/// The bound of an orderly end, and of a start: systemd's DefaultTimeoutStopSec= and -StartSec=.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);

/// A daemon that dies again and again is started again at most this much later.
const DEFAULT_LONGEST_RESTART_DELAY: Duration = Duration::from_secs(10);

/// A daemon that owes an answer for so long hangs.
const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A machine that is busy makes anybody wait for less than this.
const LEAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How processes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SpawnMethod {
    /// clone3 with CLONE_INTO_CGROUP.
    Clone3IntoCgroup,
    /// clone3, and a write to cgroup.procs.
    Clone3,
    /// The older clone, and a write to cgroup.procs.
    Clone,
}

/// How runs are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TrackingMode {
    /// In cgroups where we may make them, otherwise as well as it goes.
    #[default]
    Auto,
    /// Without cgroups.
    Off,
}

impl TrackingMode {
    /// As the file has it.
    pub(super) fn word(self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Off => "off".to_owned(),
        }
    }
}

/// The file. Unknown keys are errors, so that a typing error is not a setting that does nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    system: System,
    daemon: Daemon,
    api: Api,
    metrics: Metrics,
    opentelemetry: export::Section,
    doors: Doors,
    spawn: Spawn,
    cgroup: Cgroup,
    logs: Logs,
    rescue: Rescue,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rescue {
    #[serde(deserialize_with = "path")]
    shell: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct System {
    #[serde(deserialize_with = "node")]
    node: Option<String>,
    #[serde(deserialize_with = "path")]
    socket: Option<PathBuf>,
    #[serde(deserialize_with = "group")]
    group: Option<u32>,
    #[serde(deserialize_with = "path")]
    state_dir: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    runtime_dir: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Daemon {
    #[serde(deserialize_with = "filter")]
    log: Option<String>,
    #[serde(deserialize_with = "duration")]
    stop_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    start_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    longest_restart_delay: Option<Duration>,
    #[serde(deserialize_with = "patience")]
    answer_timeout: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Api {
    #[serde(deserialize_with = "connections")]
    connections: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Metrics {
    #[serde(deserialize_with = "listen")]
    listen: Option<MetricsListen>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Spawn {
    #[serde(deserialize_with = "method")]
    method: Option<SpawnMethod>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Cgroup {
    mode: TrackingMode,
    #[serde(deserialize_with = "cgroup_name")]
    parent: Option<String>,
}

/// A node's name: it is shown in lines and tables.
fn node<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(from)?;
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(D::Error::custom(format!("{name:?} is no name of a node")));
    }
    Ok(Some(name))
}

/// A path that means the same wherever the daemon is started.
fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if !path.is_absolute() {
        return Err(D::Error::custom(format!("{path:?} is not an absolute path")));
    }
    Ok(Some(path))
}

/// A group by its name or its number.
fn group<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let name = String::deserialize(from)?;
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    match Group::from_name(&name) {
        Ok(Some(group)) => Ok(Some(group.gid.as_raw())),
        Ok(None) => Err(D::Error::custom(format!("there is no group {name:?} on this machine"))),
        Err(why) => Err(D::Error::custom(format!("cannot look up the group {name:?}: {why}"))),
    }
}

/// What an answer may take where nobody says otherwise.
pub(super) fn answer_timeout() -> Duration {
    DEFAULT_ANSWER_TIMEOUT
}

/// A bound of answers.
fn patience<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let span = duration(from)?;
    if span.is_some_and(|span| span < LEAST_ANSWER_TIMEOUT) {
        return Err(D::Error::custom(format!(
            "a daemon that is only slow would be ended; write {LEAST_ANSWER_TIMEOUT:?} at least"
        )));
    }
    Ok(span)
}

fn listen<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MetricsListen>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// So few that root has places of its own, and no more than any process has descriptors.
fn connections<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let count = usize::deserialize(from)?;
    if !(8..=1 << 20).contains(&count) {
        let why = format!("{count} is no number of connections: 8 to {} are", 1 << 20);
        return Err(D::Error::custom(why));
    }
    Ok(Some(count))
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let wrong =
        |why| D::Error::custom(format!("{text:?} is not a duration such as \"90s\": {why}"));
    let duration = humantime::parse_duration(&text).map_err(|why| wrong(why.to_string()))?;
    // Longer than any machine runs; a bound keeps every sum of times in range.
    if duration > Duration::from_secs(100 * 366 * 86400) {
        return Err(wrong("it is longer than a hundred years".to_owned()));
    }
    Ok(Some(duration))
}

fn filter<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    check_filter(&text).map_err(D::Error::custom)?;
    Ok(Some(text))
}

fn method<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SpawnMethod>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Choice {
        Auto,
        Clone3IntoCgroup,
        Clone3,
        Clone,
    }
    Ok(match Choice::deserialize(from)? {
        Choice::Auto => None,
        Choice::Clone3IntoCgroup => Some(SpawnMethod::Clone3IntoCgroup),
        Choice::Clone3 => Some(SpawnMethod::Clone3),
        Choice::Clone => Some(SpawnMethod::Clone),
    })
}

fn cgroup_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    match text.parse::<units::Name>() {
        // Names with a dot could be files of the kernel's: cgroup.procs.
        Ok(name) if !name.as_str().contains('.') => Ok(Some(text)),
        Ok(_) => Err(D::Error::custom("a cgroup's name must not have a dot")),
        Err(why) => Err(D::Error::custom(why.to_string())),
    }
}

/// Reads the file, if there is one, and completes it.
pub(super) fn complete(arguments: Arguments) -> Result<Configuration, ConfigurationError> {
    let places = Places::of_this_user();
    let wanted = arguments.config.is_some();
    let path = arguments.config.clone().or_else(|| places.config.clone());
    let mut problems = arguments.problem.clone();
    if arguments.rescue {
        problems.push(
            "this is rescue, so that nothing enabled was started; reboot to leave it".to_owned(),
        );
    }
    // Where there is one already nothing is taken that is wrong. The command line is what it was.
    let lenient_with_file = arguments.role != Role::Service && arguments.instead_of.is_none();
    let file = match read(path.as_deref(), wanted) {
        // A machine has to come up, and its API to say why it is not as it should be.
        Err(why) if lenient_with_file => {
            complain(
                arguments.role,
                &mut problems,
                format!("{why}; going on as if there were none"),
            );
            File::default()
        }
        file => file?,
    };
    let log = log_filter(arguments.log, arguments.role, &mut problems)?;
    let runtime_dir = absolute(
        arguments.runtime_dir.or(file.system.runtime_dir).unwrap_or_else(|| places.runtime.clone()),
    );
    let state_dir = match arguments.state_dir.or(file.system.state_dir) {
        Some(path) => path,
        None => places.state.clone().ok_or(ConfigurationError::NoHome("HOME"))?,
    };
    let state_dir = absolute(state_dir);
    let socket = arguments.socket.or(file.system.socket).map(absolute);
    Ok(Configuration {
        node: file.system.node.unwrap_or_else(host_name),
        socket: socket.unwrap_or_else(|| runtime_dir.join("aurae.sock")),
        socket_group: file.system.group,
        log: log.or(file.daemon.log).unwrap_or_else(|| "info".to_owned()),
        stop_timeout: file.daemon.stop_timeout.unwrap_or(DEFAULT_TIMEOUT),
        start_timeout: file.daemon.start_timeout.unwrap_or(DEFAULT_TIMEOUT),
        longest_restart_delay: file
            .daemon
            .longest_restart_delay
            .unwrap_or(DEFAULT_LONGEST_RESTART_DELAY),
        answer_timeout: file.daemon.answer_timeout.unwrap_or(DEFAULT_ANSWER_TIMEOUT),
        connections: file.api.connections,
        metrics: file.metrics.listen,
        export: file.opentelemetry.export(),
        drunc: file.doors.drunc.map(Into::into),
        drpc: file.doors.drpc.map(Into::into),
        spawn_method: file.spawn.method,
        tracking: file.cgroup.mode,
        logs: file.logs,
        role: arguments.role,
        rescue: arguments.rescue,
        masked: arguments.mask,
        problems,
        rescue_shell: file.rescue.shell,
        cgroup: file.cgroup.parent.unwrap_or_else(|| places.cgroup_for(&state_dir)),
        state_dir,
        runtime_dir,
    })
}

/// The filter that the command line names.
fn log_filter(
    filter: Option<String>,
    role: Role,
    problems: &mut Vec<String>,
) -> Result<Option<String>, ConfigurationError> {
    match filter.as_deref().map(check_filter) {
        Some(Err(why)) if role != Role::Service => {
            complain(role, problems, format!("{why}; going on with info"));
            Ok(None)
        }
        Some(Err(why)) => Err(ConfigurationError::Argument { flag: "log", why }),
        Some(Ok(())) | None => Ok(filter),
    }
}

/// What the file says; a file that nobody asked for need not be there.
fn read(path: Option<&Path>, wanted: bool) -> Result<File, ConfigurationError> {
    match path.map(|path| (path, fs::read_to_string(path))) {
        None => Ok(File::default()),
        Some((path, Ok(text))) => parse(path, &text),
        Some((_, Err(why))) if why.kind() == io::ErrorKind::NotFound && !wanted => {
            Ok(File::default())
        }
        Some((path, Err(why))) => {
            Err(ConfigurationError::Unreadable { path: path.to_path_buf(), why })
        }
    }
}

/// Says what is wrong here and now, and keeps it for Status.
fn complain(role: Role, problems: &mut Vec<String>, sentence: String) {
    tell(role, &sentence);
    problems.push(sentence);
}

/// A relative path of the command line means the folder that the keeper was started in; the daemon's may
/// differ.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn parse(path: &Path, text: &str) -> Result<File, ConfigurationError> {
    toml::from_str(text).map_err(|why| ConfigurationError::Wrong {
        path: path.to_owned(),
        // toml draws the line under its message; line and column stand in the first line.
        why: why.to_string().trim_end().to_owned(),
    })
}

fn host_name() -> String {
    gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "localhost".to_owned())
}

/// Where things are when nobody says otherwise (XDG Base Directory Specification for ordinary users).
struct Places {
    config: Option<PathBuf>,
    state: Option<PathBuf>,
    runtime: PathBuf,
}

impl Places {
    fn of_this_user() -> Self {
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let uid = geteuid().as_raw();
        let runtime = api::socket::runtime_dir(uid, variable("XDG_RUNTIME_DIR"));
        if uid == 0 {
            let config = Some(PathBuf::from("/etc/aurae/auraed.toml"));
            return Self { config, state: Some(PathBuf::from("/var/lib/aurae")), runtime };
        }
        let home = variable("HOME");
        let under = |name, fallback: &str| {
            variable(name).or_else(|| home.as_ref().map(|home| home.join(fallback)))
        };
        Self {
            config: under("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("aurae/auraed.toml")),
            state: under("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("aurae")),
            runtime,
        }
    }

    /// `aurae` for the machine's own daemon; another state folder gives another name, always the same.
    fn cgroup_for(&self, state_dir: &Path) -> String {
        if self.state.as_deref() == Some(state_dir) {
            return "aurae".to_owned();
        }
        let mut hasher = DefaultHasher::new();
        state_dir.hash(&mut hasher);
        format!("aurae-{:016x}", hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("auraed.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn everything_can_be_said() {
        let file = parse(
            Path::new("auraed.toml"),
            "[system]\nnode = 'n'\nsocket = '/s'\ngroup = '0'\nstate_dir = '/a'\nruntime_dir = '/b'\n\
             [daemon]\nlog = 'debug'\nstop_timeout = '2m'\nstart_timeout = '1s'\n\
             longest_restart_delay = '3s'\nanswer_timeout = '4s'\n\
             [api]\nconnections = 8\n[metrics]\nlisten = '127.0.0.1:9464'\n[spawn]\nmethod = 'clone3'\n[cgroup]\nmode = 'off'\nparent = 'x'\n\
             [logs]\nmax_total = '1GiB'\n[logs.units.web]\nmax_age = '1h'\n",
        )
        .unwrap();
        assert_eq!(file.system.group, Some(0));
        assert_eq!(file.daemon.stop_timeout, Some(Duration::from_secs(120)));
        assert_eq!(file.daemon.longest_restart_delay, Some(Duration::from_secs(3)));
        assert_eq!(file.daemon.answer_timeout, Some(Duration::from_secs(4)));
        assert_eq!(file.api.connections, Some(8));
        assert_eq!(file.spawn.method, Some(SpawnMethod::Clone3));
        assert_eq!(file.cgroup.mode, TrackingMode::Off);
        assert_ne!(file.logs, Logs::default());
    }

    #[test]
    fn an_unknown_key_names_its_line() {
        let text = error("[system]\nnode = 'x'\nsokcet = '/x'\n");
        assert!(text.contains("line 3") && text.contains("sokcet"), "{text}");
    }

    #[test]
    fn bad_values_name_their_line_and_what_would_be_right() {
        for (text, line, word) in [
            ("[daemon]\nstop_timeout = 'soon'\n", "line 2", "90s"),
            ("[daemon]\nstop_timeout = 5\n", "line 2", "string"),
            ("[daemon]\nanswer_timeout = '1ms'\n", "line 2", "1s"),
            ("[api]\nconnections = 7\n", "line 2", "8"),
            ("[metrics]\nlisten = '9464'\n", "line 2", "127.0.0.1:9464"),
            ("[doors.drunc]\nlisten = '0.0.0.0:10054'\n", "line 2", "127.0.0.1:10054"),
            ("[doors.drunc]\nuids = []\n", "line 1", "listen"),
            ("[doors.drpc]\nuids = []\n", "line 1", "socket"),
            ("[doors.drpc]\nsocket = 'drpc.sock'\n", "line 2", "absolute"),
            ("[doors.drunc]\nlisten = '[::1]:1'\nkill_signals = ['QUIT']\n", "line 3", "KILL"),
            ("[api]\nconnections = -1\n", "line 2", "integer"),
            ("\n[spawn]\nmethod = 'fork'\n", "line 3", "clone3"),
            ("[cgroup]\nparent = 'a/b'\n", "line 2", "'/'"),
            ("[system]\ngroup = 'no such group'\n", "line 2", "no such group"),
            ("[daemon]\nlog = 'a=b=c'\n", "line 2", "filter"),
            ("[system]\nnode = ' '\n", "line 2", "node"),
            ("[system]\n\nstate_dir = 'x/y'\n", "line 3", "absolute"),
        ] {
            let said = error(text);
            assert!(said.contains(line) && said.contains(word), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_file_hurts(text in "\\PC*|(\\[(system|daemon|api|metrics|opentelemetry|doors|doors.drunc|doors.drpc|spawn|cgroup|logs)\\]\n([a-z_]{1,8} = .{0,12}\n){0,4}){0,3}") {
            drop(parse(Path::new("x"), &text));
        }
    }
}
