//! What a process finds around it, and what it may use.

use api::runtime::{Executable, ResourceLimits as WireLimits, standard_input::From as WireStdin};
use units::{EnvironmentFile, ResourceLimits, Setting, Stdin, check_variable};

use super::{Invalid, invalid};

/// The longest standard input that a definition can hold, in bytes.
const LONGEST_STDIN: usize = 1 << 20;

/// Takes it out of an executable. What it says is checked with the whole.
pub(super) fn setting(executable: &mut Executable) -> Result<Setting, Invalid> {
    let environment = std::mem::take(&mut executable.environment);
    let files = std::mem::take(&mut executable.environment_files);
    let directory = std::mem::take(&mut executable.working_directory);
    let setting = Setting {
        environment: environment.into_iter().map(variable).collect::<Result<_, _>>()?,
        environment_files: files.into_iter().map(file).collect(),
        user: Some(std::mem::take(&mut executable.user)).filter(|user| !user.is_empty()),
        working_directory: Some(directory).filter(|path| !path.is_empty()),
        umask: executable.umask,
        nice: executable.nice,
        stdin: stdin(executable.stdin.take().and_then(|stdin| stdin.from))?,
        limits: limits(executable.limits.take().unwrap_or_default()),
    };
    setting
        .check()
        .map_err(|why| Invalid { field: super::unit::wire_name(why.field), why: why.why })?;
    Ok(setting)
}

fn variable(assignment: String) -> Result<(String, String), Invalid> {
    let Some((name, value)) = assignment.split_once('=') else {
        let shown: String = assignment.chars().take(64).collect();
        let why = format!("{shown:?} has no '='; NAME=VALUE is expected");
        return Err(invalid("environment", why));
    };
    check_variable(name, value).map_err(|why| invalid("environment", why))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// systemd's `-` before the path: it may be missing.
fn file(path: String) -> EnvironmentFile {
    match path.strip_prefix('-') {
        Some(path) => EnvironmentFile { path: path.to_owned(), optional: true },
        None => EnvironmentFile { path, optional: false },
    }
}

fn stdin(from: Option<WireStdin>) -> Result<Stdin, Invalid> {
    match from {
        None => Ok(Stdin::Null),
        Some(WireStdin::File(path)) => Ok(Stdin::File(path)),
        Some(WireStdin::Data(data)) if data.len() <= LONGEST_STDIN => Ok(Stdin::Data(data)),
        Some(WireStdin::Data(data)) => {
            let length = data.len();
            let why = format!(
                "the data is {length} bytes long; at most {LONGEST_STDIN} are allowed, more must be in a file"
            );
            Err(invalid("stdin", why))
        }
    }
}

fn limits(limits: WireLimits) -> ResourceLimits {
    let WireLimits { cpu_weight, cpu_quota_percent, memory_max_bytes, memory_high_bytes, pids_max } =
        limits;
    ResourceLimits {
        cpu_weight,
        cpu_quota: cpu_quota_percent,
        memory_max: memory_max_bytes,
        memory_high: memory_high_bytes,
        pids_max,
    }
}
