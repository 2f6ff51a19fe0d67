//! A disk that is full.

use std::{fs, io::Write, path::PathBuf};

use logs::{Attach, Filter, GapReason, Item, LogName, LogStore, Options, Position, Stream};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::fixture::{exited, finish, follow, holds, open, output, pipe, rest, run};

/// A tmpfs of one MiB.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn new() -> nix::Result<Self> {
        let folder = TempDir::new().unwrap();
        let (kind, size) = (Some("tmpfs"), Some("size=1m"));
        mount(Some("none"), folder.path(), kind, MsFlags::empty(), size)?;
        Ok(Self { folder })
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("logs")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.folder.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_blocks_no_program_and_is_told() {
    for copy in [false, true] {
        let disk = match SmallDisk::new() {
            Ok(disk) => disk,
            Err(errno) => {
                println!("SKIPPED: a small disk needs the right to mount a tmpfs: {errno}");
                return;
            }
        };
        full_disk(&disk, Options { copy, ..Options::default() });
    }
}

fn full_disk(disk: &SmallDisk, options: Options) {
    const PRINTED: usize = 5_000_000;
    let (logs, finished) = open(&disk.root(), options);
    let filler = disk.folder.path().join("filler");
    fs::write(&filler, vec![0; 700_000]).unwrap();
    let (out_read, mut stdout) = pipe();
    let (err_read, stderr) = pipe();
    let (run, log) = (run(1), LogName::Commands);
    logs.attach(Attach {
        run,
        log: log.clone(),
        stdout: out_read,
        stderr: err_read,
        resumed: false,
    })
    .unwrap();
    logs.started(run, 1, 1).unwrap();
    // It would block for ever if the pipe were not emptied.
    let text: Vec<u8> = (0..).flat_map(|n| format!("{n}\n").into_bytes()).take(PRINTED).collect();
    stdout.write_all(&text).unwrap();
    let mut reader = logs.reader(log.clone(), Position(0), Filter::default());
    // There is room again, and of itself it is told what is missing.
    fs::remove_file(&filler).unwrap();
    let mut before = Vec::new();
    while !matches!(before.last(), Some(Item::Gap { .. })) {
        before.push(follow(&mut reader));
    }
    let before = output(&before, run, Stream::Stdout);
    assert!(text.starts_with(&before));
    stdout.write_all(b"\nthere is room again\n").unwrap();
    let again = b"there is room again\n";
    let mut later = Vec::new();
    while !output(&later, run, Stream::Stdout).ends_with(again) {
        later.push(follow(&mut reader));
    }
    drop((stdout, stderr));
    let finished = finish(&logs, &finished, run, exited(0));
    let problem = finished.problem.unwrap();
    assert!(problem.contains("No space left on device"), "{problem}");

    let items = rest(&mut logs.reader(log, Position(0), Filter::default()));
    let kept = output(&items, run, Stream::Stdout);
    assert_eq!(finished.stdout_total, kept.len() as u64);
    let mut lost = 0;
    for item in &items {
        if let Item::Gap { run: whose, bytes, reason, .. } = item {
            assert_eq!((*whose, *reason), (Some(run), GapReason::NotWritten));
            lost += bytes;
        }
    }
    let printed = PRINTED + 1 + again.len();
    assert_eq!(kept.len() as u64 + lost, printed as u64);
    let gaps = items.iter().filter(|item| matches!(item, Item::Gap { .. })).count();
    assert_eq!(logs.gaps(&LogName::Commands), gaps as u64);
    assert!(lost > 3_000_000);
    assert!(matches!(items.last(), Some(Item::End { .. })));
    if !options.copy {
        assert_eq!(logs.problems(), []);
    }
}

/// Where there is no room for checksums, closed segments are read without them, and get them when there is.
#[test]
fn what_cannot_be_sealed_is_read_all_the_same() {
    let disk = match SmallDisk::new() {
        Ok(disk) => disk,
        Err(errno) => {
            println!("SKIPPED: a small disk needs the right to mount a tmpfs: {errno}");
            return;
        }
    };
    let (run, log) = (run(1), LogName::Commands);
    let options = Options { segment_bytes: 100_000, ..Options::default() };
    let text: Vec<u8> = (0..).flat_map(|n| format!("{n}\n").into_bytes()).take(350_000).collect();
    let (logs, finished) = open(&disk.root(), options);
    let (out_read, mut stdout) = pipe();
    let (err_read, stderr) = pipe();
    let attach =
        Attach { run, log: log.clone(), stdout: out_read, stderr: err_read, resumed: false };
    logs.attach(attach).unwrap();
    stdout.write_all(&text).unwrap();
    drop((stdout, stderr));
    finish(&logs, &finished, run, exited(0));
    logs.close();
    let sums = || {
        let files = fs::read_dir(disk.root().join("commands")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "sum")).collect::<Vec<_>>()
    };
    sums().iter().for_each(|path| fs::remove_file(path).unwrap());
    let filler = disk.folder.path().join("filler");
    let full = fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(nix::libc::ENOSPC));

    let (logs, _) = open(&disk.root(), options);
    let read = |logs: &LogStore| {
        let items = rest(&mut logs.reader(log.clone(), Position(0), Filter::default()));
        assert!(!items.iter().any(|item| matches!(item, Item::Gap { .. })), "{items:?}");
        output(&items, run, Stream::Stdout)
    };
    assert!(read(&logs) == text);
    logs.close();
    assert_eq!(sums(), Vec::<PathBuf>::new());
    fs::remove_file(&filler).unwrap();
    let (logs, _) = open(&disk.root(), options);
    holds("all closed segments are sealed", || sums().len() >= 3);
    assert!(read(&logs) == text);
}

/// What was kept while there was no daemon is given up like output, and told like it; what the pipe holds comes after.
#[test]
fn what_was_kept_without_a_daemon_is_told_where_it_finds_no_room() {
    let disk = match SmallDisk::new() {
        Ok(disk) => disk,
        Err(errno) => {
            println!("SKIPPED: a small disk needs the right to mount a tmpfs: {errno}");
            return;
        }
    };
    let overflow = TempDir::new().unwrap();
    let file = overflow.path().join(format!("{}.stdout.5", run(1).to_string().replace('-', "")));
    let text: Vec<u8> = (0..).flat_map(|n| format!("{n}\n").into_bytes()).take(3_000_000).collect();
    fs::write(&file, &text).unwrap();
    let (send, finished) = std::sync::mpsc::sync_channel(1);
    let told = Box::new(move |it| send.send(it).unwrap());
    let options = Options::default();
    let root = disk.root();
    let logs = LogStore::open_after_absence(&root, overflow.path(), options, told).unwrap();
    let (out_read, mut stdout) = pipe();
    let (err_read, stderr) = pipe();
    let (run, log) = (run(1), LogName::Commands);
    let attach =
        Attach { run, log: log.clone(), stdout: out_read, stderr: err_read, resumed: true };
    stdout.write_all(b"the pipe\n").unwrap();
    logs.attach(attach).unwrap();
    drop((stdout, stderr));
    let finished = finish(&logs, &finished, run, exited(0));
    assert!(!file.exists(), "it is given up");
    logs.close();
    let lost = finished.lost;
    assert!(finished.stdout_total < 1 << 20 && lost > 1 << 20);
    assert_eq!(finished.stdout_total + lost, text.len() as u64 + 9);
    let (logs, _) = open(&root, options);
    let kept =
        output(&rest(&mut logs.reader(log, Position(0), Filter::default())), run, Stream::Stdout);
    assert!(text.starts_with(&kept));
    assert_eq!(kept.len() as u64, finished.stdout_total);
}
