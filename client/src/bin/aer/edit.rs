//! `aer edit`: one unit in an editor, and back.
//!
//! Invariants: nothing is changed unless the editor succeeded and what it left is another unit of the same name; what
//! somebody wrote is never lost, so the file stays wherever it was not taken.

use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use api::{meta::Status, runtime::Executable, schedule::Registration};
use client::{Client, unit_file};
use uuid::Uuid;

use crate::{
    arguments::{Format, Name},
    failure::Failure,
    file::{self, LARGEST_UNIT},
    render::{self, Change},
    signals::Signals,
};

pub(crate) async fn run(client: &Client, wanted: Name, output: Format) -> Result<u8, Failure> {
    let name = wanted.name;
    let registration = client.show(&name).await?;
    let text = render::unit(&registration)
        .map_err(|why| Failure::Unwritable { attempt: format!("editing {name}"), why })?;
    let path = env::temp_dir().join(format!("aer-edit-{}.toml", Uuid::new_v4()));
    let failed = |source| Failure::Editor { path: path.clone(), source };
    write(&path, &text).map_err(failed)?;
    // Ctrl-C is the editor's while it runs: aer must be there when it is done.
    let _listening = Signals::listen()?;
    // Beside the runtime's thread, which must go on answering the daemon.
    let edited = path.clone();
    let ended = tokio::task::spawn_blocking(move || edit(&edited));
    let ended = ended.await.map_err(io::Error::other).and_then(|ended| ended);
    let (status, editor) = ended.map_err(failed)?;
    if status.code() == Some(NO_PROGRAM) && fs::read(&path).is_ok_and(|it| it == text.as_bytes()) {
        drop(fs::remove_file(&path));
        return Err(Failure::NoEditor { editor });
    }
    if !status.success() {
        return Err(failed(io::Error::other(format!("the editor ended with {status}"))));
    }
    let content = fs::read(&path).map_err(failed)?;
    let same = content == text.as_bytes() || content.trim_ascii().is_empty();
    let answer = if same {
        None
    } else {
        let kept = |failure| Failure::NotTaken { path: path.clone(), failure: Box::new(failure) };
        Some(take(client, &registration, &name, &path).await.map_err(kept)?)
    };
    // It is taken, or says nothing; a file that stays in the folder for such files hurts nobody.
    drop(fs::remove_file(&path));
    let change = answer.unwrap_or(Change::Kept);
    let meta = registration.executable.as_ref().and_then(|executable| executable.meta.as_ref());
    render::changed(change, &name, meta, output)?;
    Ok(0)
}

/// Registers what the file says.
async fn take(
    client: &Client,
    registration: &Registration,
    name: &str,
    path: &Path,
) -> Result<Change, Failure> {
    let unit = file::read(path.to_owned(), LARGEST_UNIT, unit_file::read_unit).await?;
    let edited = unit.meta.as_ref().map(|meta| meta.name.clone()).unwrap_or_default();
    if edited != name {
        return Err(Failure::Renamed { name: name.to_owned(), edited });
    }
    if same_unit(registration.executable.as_ref(), &unit) {
        return Ok(Change::Kept);
    }
    if registration.status() != Status::Passive {
        client.enable(unit).await?;
        return Ok(Change::Enabled);
    }
    // Enabling it would let it start at boot, which nobody asked for.
    let status = Status::Passive.into();
    let unit = Registration { executable: Some(unit), status, ..Registration::default() };
    client.import([unit]).await?;
    Ok(Change::Replaced)
}

/// Whether both are written alike; what comes from the daemon has words beside a command.
fn same_unit(registered: Option<&Executable>, edited: &Executable) -> bool {
    let registered = registered.map(unit_file::write_unit);
    registered.is_some_and(|registered| registered == unit_file::write_unit(edited))
}

/// For nobody else to read: an environment may have secrets.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// What a shell ends with where it finds no such program.
const NO_PROGRAM: i32 = 127;

/// The editor is a command line of a shell's, as git and others have it; how it ended, and which it was.
#[expect(clippy::disallowed_methods, reason = "aer is no reaper: its children are its own")]
fn edit(path: &PathBuf) -> io::Result<(ExitStatus, String)> {
    let said = |variable| env::var_os(variable).filter(|editor: &OsString| !editor.is_empty());
    let editor = said("VISUAL").or_else(|| said("EDITOR")).unwrap_or_else(|| "vi".into());
    let first = editor.to_string_lossy().split_whitespace().next().unwrap_or_default().to_owned();
    // Asked before, so that the shell's own words do not stand beside ours; what it has to expand it is left with.
    if !first.contains(['$', '"', '\'', '\\', '`', '(']) {
        let there = "command -v \"$1\" >/dev/null 2>&1 || exit 127";
        let status = Command::new("/bin/sh").args(["-c", there, "aer", &first]).status()?;
        if !status.success() {
            return Ok((status, first));
        }
    }
    let shown = editor.to_string_lossy().into_owned();
    let mut line = editor;
    line.push(" \"$1\"");
    let status = Command::new("/bin/sh").arg("-c").arg(line).arg("aer").arg(path).status()?;
    Ok((status, shown))
}
