//! A program in the place of `auraed-core`, or of the keeper, that misbehaves as files in its own folder say: it may be
//! executed with nothing in its environment.
//!
//! As `auraed-core check` it prints the file `check`, or hangs or fails where that says so, or does as the real one. As
//! `auraed-core serve` it does what the file `serve` says, as often as its first word says, and then is the real one, whose
//! path is in the file `real`. As `stranger keeper WHAT` it is a keeper to the real one, and tells how that ended.

use std::{
    env, fs,
    os::{fd::AsFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::mpsc,
};

use keeper::{
    channel::{Channel, Patience},
    protocol::{CONTROL, SPAWNER_CHANNELS, ToDaemon, ToKeeper, Upgrades, VERSION},
};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn main() -> ExitCode {
    let us = fs::read_link("/proc/self/exe").expect("/proc is mounted");
    let folder = us.parent().expect("a folder").to_path_buf();
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => check(&folder),
        ["serve"] => serve(&folder),
        ["keeper", real, configuration, what] => keep(real, configuration, what),
        _ => be_real(&folder),
    }
}

fn file(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok().map(|text| text.trim_end().to_owned())
}

/// Becomes the real one.
fn be_real(folder: &Path) -> ExitCode {
    let real = PathBuf::from(file(folder, "real").expect("a file `real`"));
    panic!("{}", Command::new(real).args(env::args_os().skip(1)).exec());
}

/// For ever; the channel to ourselves is never written.
fn pause() -> ExitCode {
    let (_sender, receiver) = mpsc::sync_channel::<()>(0);
    let _ = receiver.recv();
    ExitCode::SUCCESS
}

fn check(folder: &Path) -> ExitCode {
    match file(folder, "check").as_deref() {
        None => be_real(folder),
        Some("hang") => pause(),
        Some("fail") => ExitCode::from(3),
        Some(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
    }
}

fn serve(folder: &Path) -> ExitCode {
    let orders = file(folder, "serve").unwrap_or_default();
    let (times, what) = orders.split_once(' ').unwrap_or(("0", ""));
    let times: u64 = times.parse().expect("a number");
    let start = file(folder, "starts").map_or(0, |text| text.parse().expect("a number"));
    if start >= times {
        return be_real(folder);
    }
    fs::write(folder.join("starts"), (start + 1).to_string()).expect("our folder");
    let mut control = Channel::inherited(CONTROL).expect("executed by a keeper");
    let say = |control: &Channel, message: &ToKeeper| {
        drop(control.send(&message.encode(), &[], Patience::Wait));
    };
    match what {
        "dies" => return ExitCode::from(3),
        "says-nothing" => {}
        "has-another-version" => say(&control, &ToKeeper::Hello { version: 1 }),
        "never-serves" => say(&control, &ToKeeper::Hello { version: VERSION }),
        "aborts" => {
            say(&control, &ToKeeper::Hello { version: VERSION });
            std::process::abort();
        }
        "serves-and-answers-nothing" => {
            say(&control, &ToKeeper::Hello { version: VERSION });
            while let Ok(Some(packet)) = control.receive(Patience::Wait) {
                if ToDaemon::decode(&packet.bytes) == Ok(ToDaemon::Ready) {
                    say(&control, &ToKeeper::Adopted { tell_orphans: false, tree: Vec::new() });
                    say(&control, &ToKeeper::Serving);
                }
            }
        }
        "babbles" => babble(&control, start),
        other => panic!("no orders: {other}"),
    }
    pause()
}

/// Numbers that look like chance, always the same (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).expect("it fits")).expect("it fits")
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..1 + self.below(most)).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }

    /// The message, or one that was bent a little.
    fn bent(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.below(3) == 0 {
            let at = self.below(bytes.len());
            bytes[at] = u8::try_from(self.below(256)).expect("a byte");
        }
        if self.below(5) == 0 {
            bytes.truncate(1 + self.below(bytes.len()));
        }
        bytes
    }
}

/// Says what comes to mind, on every channel, with descriptors nobody wants.
fn babble(control: &Channel, seed: u64) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ (seed + 1));
    let spawners = SPAWNER_CHANNELS.map(|number| Channel::inherited(number).expect("inherited"));
    if chance.below(4) > 0 {
        let hello = ToKeeper::Hello { version: VERSION };
        drop(control.send(&hello.encode(), &[], Patience::Wait));
    }
    let null = fs::File::open("/dev/null").expect("/dev/null");
    let run = [7; 16];
    for _ in 0..40 {
        let names = || vec!["stdout".to_owned(), "stderr".to_owned()];
        let number = u32::try_from(chance.below(3)).expect("small");
        let message = match chance.below(16) {
            0 => ToKeeper::Hello { version: VERSION },
            1 => ToKeeper::Adopted { tell_orphans: true, tree: Vec::new() },
            2 => ToKeeper::Serving,
            3 => ToKeeper::Spawning { run, names: names() },
            4 => ToKeeper::Spawned { run, pid: -1 },
            5 => ToKeeper::NotSpawned { run, pid: i32::MAX },
            6 => ToKeeper::Release { run },
            7 => ToKeeper::Heard { messages: u64::from(number) },
            8 => ToKeeper::Probed { number },
            9 => ToKeeper::Failing { why: "because".to_owned() },
            10 => ToKeeper::Replace { by: "nobody".to_owned(), paths: names(), names: names() },
            11 => ToKeeper::Queued,
            13 => ToKeeper::Hold { names: names() },
            12 => ToKeeper::Disconnected { at: u64::from(number) << 62 },
            _ => ToKeeper::Stopped,
        };
        let bytes = match chance.below(8) {
            0 => chance.bytes(200),
            _ => chance.bent(message.encode()),
        };
        let count = chance.below(4);
        let descriptors: Vec<_> = (0..count).map(|_| null.as_fd()).collect();
        let channel = match chance.below(3) {
            0 => control,
            1 => &spawners[0],
            _ => &spawners[1],
        };
        drop(channel.send(&bytes, &descriptors, Patience::Now));
    }
}

/// Is a keeper to the real daemon, which gets its three channels as a shell passes them on.
#[expect(clippy::disallowed_methods, reason = "we are no reaper: std's children are safe here")]
fn keep(real: &str, configuration: &str, what: &str) -> ExitCode {
    let pairs: Vec<(Channel, Channel)> =
        (0..3).map(|_| Channel::pair().expect("sockets")).collect();
    let mut words = String::from("exec \"$0\" serve");
    for (number, (_, theirs)) in (3..).zip(&pairs) {
        fcntl(theirs, FcntlArg::F_SETFD(FdFlag::empty())).expect("ours");
        words.push_str(&format!(" {number}<&{}", std::os::fd::AsRawFd::as_raw_fd(&theirs.as_fd())));
    }
    let mut daemon = Command::new("/bin/sh").args(["-c", &words, real]).spawn().expect("a shell");
    let mut ours: Vec<Channel> = pairs.into_iter().map(|(ours, _)| ours).collect();
    let mut control = ours.remove(0);
    let hello = control.receive(Patience::Wait).expect("a channel").expect("a message");
    let hello = ToKeeper::decode(&hello.bytes);
    assert_eq!(hello, Ok(ToKeeper::Hello { version: VERSION }));
    let listener = std::os::unix::net::UnixListener::bind(format!("{configuration}.sock"));
    let listener = listener.expect("a socket");
    let version = if what == "has-another-version" { VERSION - 1 } else { VERSION };
    let mut chance = Chance(what.len().try_into().map_or(1, |seed: u64| seed + 1));
    let welcome = ToDaemon::Welcome {
        version,
        keeper: std::process::id().try_into().expect("a pid"),
        starts: 1,
        open_files: (1024, 4096),
        previous: String::new(),
        configuration: fs::read(configuration).expect("a configuration"),
        names: vec!["api".to_owned()],
        trial: false,
        upgrades: Upgrades::default(),
    };
    let say = |bytes: &[u8]| drop(control.send(bytes, &[], Patience::Now));
    drop(control.send(&welcome.encode(), &[listener.as_fd()], Patience::Wait));
    if what.starts_with("babbles-early") {
        (0..20).for_each(|_| say(&to_daemon(&mut chance)));
    }
    say(&ToDaemon::Ready.encode());
    if what.starts_with("babbles") {
        (0..200).for_each(|_| say(&to_daemon(&mut chance)));
    }
    drop((control, ours));
    // Without a keeper it goes on until it is told to end.
    let pid = Pid::from_raw(daemon.id().try_into().expect("a pid"));
    let _ = kill(pid, Signal::SIGTERM);
    let ended = daemon.wait().expect("a child");
    println!("{ended}");
    ExitCode::SUCCESS
}

fn to_daemon(chance: &mut Chance) -> Vec<u8> {
    let run = [u8::try_from(chance.below(3)).expect("small"); 16];
    let exit = keeper::protocol::Exit {
        status: 1,
        how: keeper::protocol::How::Exited,
        user_time: u64::MAX,
        system_time: u64::MAX,
        seen_at: i64::MIN,
    };
    let message = match chance.below(7) {
        0 => ToDaemon::Inherited { run, pid: 0, exit: None, names: Vec::new() },
        1 => ToDaemon::Ready,
        2 => ToDaemon::Exited { run, pid: i32::MIN, exit },
        3 => ToDaemon::OrphanReaped,
        4 => ToDaemon::Refused { run, why: "because".to_owned() },
        5 => ToDaemon::Confirmed,
        _ => ToDaemon::Probe { number: 7 },
    };
    match chance.below(8) {
        0 => chance.bytes(200),
        _ => chance.bent(message.encode()),
    }
}
