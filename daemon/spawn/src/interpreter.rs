//! The interpreter that a program names: in its `#!` line, or as the loader of an ELF file.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What the kernel makes of the beginning of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `#!`, and the path after it (execve(2), "Interpreter scripts").
    Script(PathBuf),
    /// ELF, and the loader that its `PT_INTERP` segment names (elf(5)); static programs have none.
    Elf {
        /// The loader.
        loader: Option<PathBuf>,
        /// Whether it is made for this machine's architecture.
        ours: bool,
    },
    /// Nothing at all.
    Empty,
    /// Anything else: a shell would run it as a script, execve does not.
    Unknown,
}

/// Linkers put the program headers and the loader's name at the very beginning of a file.
const BEGINNING: u64 = 4096;

/// Reads the beginning of the regular file `program`.
pub(crate) fn format_of(program: &Path) -> io::Result<Format> {
    // It was a regular file when our caller looked; should it be a FIFO by now, do not wait on it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(program)?;
    let mut beginning = Vec::new();
    file.take(BEGINNING).read_to_end(&mut beginning)?;
    Ok(parse(&beginning))
}

fn parse(beginning: &[u8]) -> Format {
    if beginning.is_empty() {
        return Format::Empty;
    }
    if let Some(line) = beginning.strip_prefix(b"#!") {
        return script(line);
    }
    if beginning.starts_with(b"\x7fELF") {
        let ours = is_ours(beginning);
        return Format::Elf { loader: if ours { elf_loader(beginning) } else { None }, ours };
    }
    Format::Unknown
}

/// Blanks around the path are left out, as the kernel does; a carriage return is not one of them.
fn script(line: &[u8]) -> Format {
    let blank = |byte: &u8| [b' ', b'\t'].contains(byte);
    let start = line.iter().position(|byte| !blank(byte)).unwrap_or(line.len());
    let path = line.get(start..).unwrap_or_default();
    let path = path.split(|byte| blank(byte) || [b'\n', b'\0'].contains(byte)).next();
    match path {
        Some(path) if !path.is_empty() => Format::Script(PathBuf::from(OsStr::from_bytes(path))),
        _ => Format::Unknown,
    }
}

/// Whether a file has the class, the byte order and the machine of our own program (elf(5)): only
/// then are its numbers read. Of machines that are not listed here, the first two have to do.
fn is_ours(file: &[u8]) -> bool {
    const CLASS: u8 = if cfg!(target_pointer_width = "64") { 2 } else { 1 };
    const BYTE_ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
    let machine = match () {
        () if cfg!(target_arch = "x86_64") => Some(62),
        () if cfg!(target_arch = "aarch64") => Some(183),
        () if cfg!(target_arch = "riscv64") => Some(243),
        () => half(file, 18),
    };
    file.get(4) == Some(&CLASS) && file.get(5) == Some(&BYTE_ORDER) && half(file, 18) == machine
}

/// elf(5): `e_phoff` at 32, `e_phentsize` at 54, `e_phnum` at 56; in a program header `p_type` at 0,
/// `p_offset` at 8, `p_filesz` at 32. That is for 64-bit files; of others, nothing is told.
fn elf_loader(file: &[u8]) -> Option<PathBuf> {
    if cfg!(not(target_pointer_width = "64")) {
        return None;
    }
    const PT_INTERP: u32 = 3;
    let table = long(file, 32)?;
    let size = usize::from(half(file, 54)?);
    let count = usize::from(half(file, 56)?);
    for index in 0..count {
        let header = file.get(table.checked_add(index.checked_mul(size)?)?..)?;
        let kind = u32::from_ne_bytes(*header.first_chunk()?);
        if kind == PT_INTERP {
            let start = long(header, 8)?;
            let name = file.get(start..start.checked_add(long(header, 32)?)?)?;
            let name = name.strip_suffix(b"\0").unwrap_or(name);
            return Some(PathBuf::from(OsStr::from_bytes(name)));
        }
    }
    None
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn long(bytes: &[u8], offset: usize) -> Option<usize> {
    let number = bytes.get(offset..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))?;
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_interpreter() {
        let script = |path: &str| Format::Script(PathBuf::from(path));
        assert_eq!(parse(b"#!/bin/sh -e\necho"), script("/bin/sh"));
        assert_eq!(parse(b"#! \t/bin/sh\n"), script("/bin/sh"));
        assert_eq!(parse(b"#!/bin/sh"), script("/bin/sh"));
        assert_eq!(parse(b"#!/bin/sh\r\n"), script("/bin/sh\r"));
        assert_eq!(parse(b"#!\n/bin/sh"), Format::Unknown);
        assert_eq!(parse(b"#!"), Format::Unknown);
        assert_eq!(parse(b""), Format::Empty);
        assert_eq!(parse(b"echo"), Format::Unknown);
    }

    #[test]
    fn a_program_of_this_machine_names_its_loader() {
        let format = format_of(Path::new("/bin/sh")).expect("readable");
        let Format::Elf { loader: Some(loader), ours: true } = format else {
            panic!("{format:?}");
        };
        assert!(loader.exists());
    }

    #[test]
    fn no_beginning_of_an_elf_file_is_too_short() {
        let whole = std::fs::read("/bin/sh").expect("readable");
        for length in 0..2048 {
            let _format = parse(&whole[..length]);
        }
    }
}
