//! Why a program cannot be executed, in words for people.

use crate::interpreter::{Format, format_of};
use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A sentence, without its stop, on why execve(2) of `program` failed with `errno`.
///
/// execve says ENOENT of a script without its interpreter, and EACCES of four different things: so
/// this looks at the file, as it is now. It reads from it and can wait for its disk: call it on a
/// spawner thread.
pub fn explain_exec(program: &Path, errno: Errno) -> String {
    let name = program.display();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel's errors are not ours")]
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => explain_missing(program, errno),
        Errno::EACCES => explain_denied(program),
        Errno::ENOEXEC => explain_format(program),
        Errno::ELOOP => format!(
            "{name} leads through too many symbolic links, or through interpreters that are \
             scripts themselves"
        ),
        Errno::E2BIG => format!(
            "the arguments and the environment of {name} are too long: one of them is above \
             128 KiB, or all of them together above a quarter of the stack limit"
        ),
        Errno::ETXTBSY => format!("{name} is open for writing: somebody is replacing it"),
        Errno::ENOMEM => format!("there is not enough memory to execute {name}"),
        Errno::ENAMETOOLONG => format!("the path {name} is too long"),
        Errno::EISDIR => format!("the loader that {name} names is a folder"),
        Errno::ELIBBAD => format!("the loader that {name} names is not in a format of the kernel"),
        Errno::EPERM => format!("a security policy forbids to execute {name}"),
        Errno::EMFILE | Errno::ENFILE => {
            format!("there are too many open files on this machine to execute {name}")
        }
        Errno::EIO => format!("{name} cannot be read: its disk or its server fails"),
        other => format!("{name} cannot be executed: {}", other.desc()),
    }
}

/// ENOENT and ENOTDIR: the program is missing, or what its beginning names.
fn explain_missing(program: &Path, errno: Errno) -> String {
    let name = program.display();
    match fs::metadata(program) {
        Ok(_) => match format_of(program) {
            Ok(Format::Script(interpreter)) => explain_script(program, &interpreter),
            Ok(Format::Elf { loader: Some(loader), .. }) => format!(
                "{name} exists, but the loader that it was linked for, {}, is missing",
                loader.display()
            ),
            Ok(Format::Elf { loader: None, .. } | Format::Empty | Format::Unknown) | Err(_) => {
                format!("{name} exists, but its interpreter (#! or the ELF loader) is missing")
            }
        },
        Err(_) if program.is_symlink() => {
            format!("{name} is a symbolic link to a file that does not exist")
        }
        Err(_) if errno == Errno::ENOTDIR => {
            format!("{name} does not exist: a part of its path is not a folder")
        }
        Err(_) => format!("{name} does not exist"),
    }
}

fn explain_script(program: &Path, interpreter: &Path) -> String {
    let name = program.display();
    if let Some(proper) = interpreter.as_os_str().as_bytes().strip_suffix(b"\r") {
        return format!(
            "the first line of {name} ends in a carriage return, which is taken for a part of the \
             name of its interpreter, {}: save it with Unix line ends",
            String::from_utf8_lossy(proper)
        );
    }
    let interpreter_name = interpreter.display();
    if interpreter.exists() {
        format!("the interpreter of {name}, {interpreter_name}, lacks an interpreter of its own")
    } else {
        format!("{name} exists, but its interpreter, {interpreter_name}, is missing")
    }
}

/// EACCES: execve(2) has it for folders and devices, for files without an x, for mounts with noexec,
/// and for a part of the path that may not be passed; and for the same of the interpreter.
fn explain_denied(program: &Path) -> String {
    let name = program.display();
    if let Some(why) = why_denied(program) {
        return format!("{name} {why}");
    }
    match format_of(program) {
        Ok(Format::Script(interpreter) | Format::Elf { loader: Some(interpreter), .. }) => {
            match why_denied(&interpreter) {
                Some(why) => format!("the interpreter of {name}, {}, {why}", interpreter.display()),
                None => forbidden(program),
            }
        }
        Ok(Format::Elf { loader: None, .. } | Format::Empty | Format::Unknown) | Err(_) => {
            forbidden(program)
        }
    }
}

fn why_denied(file: &Path) -> Option<String> {
    let data = match fs::metadata(file) {
        Ok(data) => data,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Some("lies in a folder that may not be entered".to_owned());
        }
        Err(_) => return None,
    };
    if data.is_dir() {
        return Some("is a folder".to_owned());
    }
    if !data.is_file() {
        return Some("is not a regular file".to_owned());
    }
    if statvfs(file).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOEXEC)) {
        return Some("lies on a filesystem that is mounted with noexec".to_owned());
    }
    no_execute_bit(&data)
}

fn no_execute_bit(data: &Metadata) -> Option<String> {
    let mode = data.permissions().mode() & 0o7777;
    (mode & 0o111 == 0).then(|| format!("is not executable (its mode is {mode:04o})"))
}

fn forbidden(program: &Path) -> String {
    format!(
        "{} may not be executed: its mode, a folder on its path or a security policy forbids it",
        program.display()
    )
}

/// ENOEXEC: a shell would go on and take the file for a script; a supervisor must not guess.
fn explain_format(program: &Path) -> String {
    let name = program.display();
    match format_of(program) {
        Ok(Format::Empty) => format!("{name} is empty"),
        Ok(Format::Unknown) => format!(
            "{name} is neither a program nor a script: if it is meant as a script, its first line \
             must name an interpreter, as in #!/bin/sh"
        ),
        Ok(Format::Elf { ours: false, .. }) => {
            format!("{name} is a program for another architecture")
        }
        Ok(Format::Elf { ours: true, .. }) => format!("{name} is a damaged program"),
        Ok(Format::Script(interpreter)) => format!(
            "the interpreter of {name}, {}, is not in a format of the kernel",
            interpreter.display()
        ),
        Err(error) => format!("{name} is not in a format of the kernel ({error})"),
    }
}
