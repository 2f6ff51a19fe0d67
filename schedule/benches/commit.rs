//! What a durable change costs, against the same bytes written and flushed by hand on the same disk; what ten thousand
//! registrations cost; and that an idle schedule does not wake.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::print_stdout, reason = "a benchmark prints what it has measured")]

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use schedule::{Change, Options, Schedule};
use units::{Name, Origin};

/// A commit against append and fsync: promised.
const BOUND: f64 = 2.0;
const ROUNDS: u64 = 400;
const DEFINITION: usize = 300;
const MANY: usize = 10_000;
const IDLE: Duration = Duration::from_secs(5);

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<ExitCode> {
    // On the disk, not in memory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let root = tempfile::tempdir_in(target)?;
    let fast = commits(root.path())?;
    many(root.path())?;
    let quiet = idle(root.path())?;
    Ok(if fast && quiet { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn timed<T>(body: impl FnOnce() -> Fallible<T>) -> Fallible<(Duration, T)> {
    let begun = Instant::now();
    let result = body()?;
    Ok((begun.elapsed(), result))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn enable(number: u64, name: &str) -> Fallible<Change> {
    let name: Name = name.parse()?;
    let at = i64::try_from(number)?;
    let definition = vec![u8::try_from(number % 251)?; DEFINITION];
    Ok(Change::Enable { name, definition, at, by: Origin::daemon("a benchmark") })
}

/// In turns, since the disk of a shared machine is not the same from second to second.
fn commits(root: &Path) -> Fallible<bool> {
    let mut schedule = Schedule::open(&root.join("schedule"), &Options::default())?;
    let mut appended = File::create(root.join("appended"))?;
    let mut synced = File::create(root.join("synced"))?;
    let allocated = File::create(root.join("allocated"))?;
    allocated.write_all_at(&vec![1; DEFINITION * usize::try_from(ROUNDS)?], 0)?;
    allocated.sync_all()?;
    let record = [7_u8; DEFINITION];
    let mut times: [Vec<Duration>; 4] = Default::default();
    for round in 0..ROUNDS {
        let change = enable(round, &format!("unit-{}", round % 50))?;
        let offset = round * u64::try_from(DEFINITION)?;
        let (commit, _) = timed(|| Ok(schedule.commit(vec![change])?))?;
        let (append_fsync, ()) =
            timed(|| Ok(appended.write_all(&record).and_then(|()| appended.sync_all())?))?;
        let (append_fdatasync, ()) =
            timed(|| Ok(synced.write_all(&record).and_then(|()| synced.sync_data())?))?;
        let (overwrite, ()) = timed(|| {
            Ok(allocated.write_all_at(&record, offset).and_then(|()| allocated.sync_data())?)
        })?;
        for (times, time) in
            times.iter_mut().zip([commit, append_fsync, append_fdatasync, overwrite])
        {
            times.push(time);
        }
    }
    let [commit, append_fsync, append_fdatasync, overwrite] =
        times.map(|mut times| median(&mut times));
    let ratio = commit.as_secs_f64() / append_fsync.as_secs_f64();
    println!("commit of {DEFINITION} bytes, median of {ROUNDS}: {commit:?}");
    println!("  append and fsync: {append_fsync:?}, ratio {ratio:.2} (bound {BOUND})");
    for (what, time) in
        [("append and fdatasync", append_fdatasync), ("overwrite and fdatasync", overwrite)]
    {
        println!("  {what}: {time:?}, ratio {:.2}", commit.as_secs_f64() / time.as_secs_f64());
    }
    println!("  the store has {} KiB on the disk", size(&root.join("schedule"))? / 1024);
    Ok(ratio <= BOUND)
}

fn many(root: &Path) -> Fallible<()> {
    let folder = root.join("many");
    let mut schedule = Schedule::open(&folder, &Options::default())?;
    println!("a new store: {} KiB on the disk", size(&folder)? / 1024);
    let changes: Fallible<Vec<Change>> =
        (0..MANY).map(|number| enable(u64::try_from(number)?, &format!("unit-{number}"))).collect();
    let (registering, _) = timed(|| Ok(schedule.commit(changes?)?))?;
    let (listing, listed) = timed(|| Ok(schedule.entries().cloned().collect::<Vec<_>>()))?;
    let (alone, _) = timed(|| Ok(schedule.commit(vec![enable(1, "one-more")?])?))?;
    drop(schedule);
    println!(
        "{} entries: registered in {registering:?}, copied out in {listing:?}, one more in {alone:?}",
        listed.len()
    );
    println!("  the store has {} KiB on the disk", size(&folder)? / 1024);
    let (opening, schedule) = timed(|| Ok(Schedule::open(&folder, &Options::default())?))?;
    println!("  opened, with the copy of what was found, in {opening:?}");
    drop(schedule);
    Ok(())
}

/// In blocks, as du(1) counts.
fn size(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            entry.metadata()?.blocks() * 512
        };
    }
    Ok(total)
}

fn idle(root: &Path) -> Fallible<bool> {
    let mut schedule = Schedule::open(&root.join("idle"), &Options::default())?;
    schedule.commit(vec![enable(1, "web")?])?;
    thread::sleep(Duration::from_secs(1));
    let before = switches()?;
    thread::sleep(IDLE);
    let (wakeups, threads) = (switches()?, fs::read_dir("/proc/self/task")?.count());
    // The sleep above is one.
    let wakeups = wakeups.saturating_sub(before).saturating_sub(1);
    println!("idle for {IDLE:?} with {threads} threads: {wakeups} wake-ups (bound 0)");
    drop(schedule);
    Ok(wakeups == 0)
}

/// Of all threads, voluntary.
fn switches() -> Fallible<u64> {
    let mut total = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        total += line.unwrap_or("0").trim().parse::<u64>()?;
    }
    Ok(total)
}
