//! The agent: one thread for each connection, and no state.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use crate::{kernel, storage};
use nix::unistd::sync;
use tests::{
    vm::{LONG, wire},
    wait::{holds_within, pass},
};

/// Makes the network, and serves for ever.
pub(crate) fn serve() {
    crate::network::drivers();
    if !holds_within(LONG, crate::network::address) {
        eprintln!("guest: there is no network device");
        return;
    }
    let listen = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a free port");
    let (requests, api) = (listen(wire::REQUESTS), listen(wire::API));
    thread::spawn(move || {
        for client in api.incoming().filter_map(Result::ok) {
            thread::spawn(move || lead_on(client));
        }
    });
    eprintln!("{}", wire::READY);
    for client in requests.incoming().filter_map(Result::ok) {
        thread::spawn(move || {
            let answer = wire::hear(&client).and_then(|(words, body)| {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                perform(&words, &body)
            });
            drop(wire::answer(&client, &answer));
        });
    }
}

/// Leads a connection to the daemon's socket, when that is there: whoever is early waits.
fn lead_on(client: TcpStream) {
    let mut found = None;
    let _ = holds_within(LONG, || {
        found = UnixStream::connect(wire::SOCKET).ok();
        if found.is_none() {
            pass(Duration::from_millis(20));
        }
        found.is_some()
    });
    let Some(daemon) = found else { return };
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), daemon.try_clone()) else { return };
    thread::spawn(move || {
        pump(&mut from, &mut to);
        drop(to.shutdown(Shutdown::Write));
    });
    let (mut from, mut to) = (daemon, client);
    pump(&mut from, &mut to);
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

fn pump(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

fn perform(words: &[&str], body: &[u8]) -> io::Result<Vec<u8>> {
    match words {
        ["read", path] => fs::read(path),
        ["look", path] => fs::symlink_metadata(path).map(|_| Vec::new()),
        ["write", path] => {
            let mut file = File::create(path)?;
            file.write_all(body)?;
            // What has no disk below it needs none.
            file.sync_all().ok();
            Ok(Vec::new())
        }
        ["remove", path] if fs::symlink_metadata(path)?.is_dir() => done(fs::remove_dir_all(path)),
        ["remove", path] => done(fs::remove_file(path)),
        ["rename", from, to] => done(fs::rename(from, to)),
        ["copy", from, to] => fs::copy(from, to).map(|_| Vec::new()),
        ["target", path] => Ok(fs::read_link(path)?.into_os_string().into_encoded_bytes()),
        ["folder", path] => done(fs::create_dir_all(path)),
        ["list", path] => list(path),
        ["fill", path] => fill(path),
        ["kill", pid, signal] => kill(pid, signal),
        ["sync"] => {
            sync();
            Ok(Vec::new())
        }
        ["freeze", path] => done(storage::freeze(path)),
        ["swap", path] => done(storage::swap(path)),
        ["loop", file, point] => done(storage::mount_file(file, point)),
        ["memory", point] => done(storage::mount_memory(point)),
        ["kernel-log"] => kernel::log(),
        ["load-kernel", path] => done(kernel::load(path, &String::from_utf8_lossy(body))),
        ["processes"] => processes(),
        ["run", program, arguments @ ..] => run(program, arguments),
        unknown => Err(io::Error::other(format!("what is {unknown:?}?"))),
    }
}

fn done(result: io::Result<()>) -> io::Result<Vec<u8>> {
    result.map(|()| Vec::new())
}

fn list(path: &str) -> io::Result<Vec<u8>> {
    let mut names: Vec<String> = fs::read_dir(path)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names.join("\n").into_bytes())
}

/// Fills a filesystem to its last byte.
fn fill(path: &str) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut written = 0_u64;
    let mut piece = vec![0_u8; 1 << 20];
    while !piece.is_empty() {
        match file.write(&piece) {
            Ok(count) => written += count as u64,
            Err(why) if why.kind() == io::ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
            Err(why) => return Err(why),
        }
    }
    // What is written later would fail later.
    file.sync_all().ok();
    Ok(written.to_string().into_bytes())
}

/// By number, and through the shell's own program: nix has no signal for a real-time one.
#[expect(unsafe_code, reason = "a signal may be a real-time one, which nix has no name for")]
fn kill(pid: &str, signal: &str) -> io::Result<Vec<u8>> {
    let number = |text: &str| text.parse::<i32>().map_err(io::Error::other);
    let (pid, signal) = (number(pid)?, number(signal)?);
    // SAFETY: it takes two numbers.
    match unsafe { nix::libc::kill(pid, signal) } {
        0 => Ok(Vec::new()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Every process that has a program, a zombie too; the kernel's own threads are left out.
fn processes() -> io::Result<Vec<u8>> {
    let mut lines = String::new();
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name may have spaces and parentheses.
        let Some((_, rest)) = stat.split_once('(') else { continue };
        let Some((command, rest)) = rest.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next().unwrap_or("?"), fields.next().unwrap_or("0"));
        if name != "2" && parent != "2" {
            lines.push_str(&format!("{name} {parent} {state} {command}\n"));
        }
    }
    Ok(lines.into_bytes())
}

#[expect(clippy::disallowed_methods, reason = "a program around the one under test")]
fn run(program: &str, arguments: &[&str]) -> io::Result<Vec<u8>> {
    let output = Command::new(Path::new(program)).args(arguments).output()?;
    let status = output.status.code().or_else(|| output.status.signal().map(|number| 128 + number));
    let mut told = format!("{}\n", status.unwrap_or(255)).into_bytes();
    told.extend(output.stdout);
    told.extend(output.stderr);
    Ok(told)
}
