//! How long a process takes from its start to its end, by every method and by posix_spawn.
//!
//! The contestants take turns, so that whatever else the machine does meets all of them: compare
//! the ratios, not the times. `cargo bench -p spawn [-- ROUNDS]`
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, against a call of libc"
)]

use spawn::{Method, Parentage, PidFd, Plan, PlanInput, Probe, Spawner, Trial};
use std::ffi::{CString, c_char};
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct Contestant {
    name: String,
    run: Box<dyn FnMut()>,
    times: Vec<Duration>,
}

impl Contestant {
    fn new(name: String, run: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(run), times: Vec::new() }
    }

    fn median(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }
}

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    let group = Group::new();
    let folder = group.as_ref().map(|group| File::open(&group.0).unwrap());
    let cgroup = folder.as_ref().map(AsFd::as_fd);
    let trials = Method::ALL.into_iter().map(|method| Trial::of(method, cgroup)).collect();
    let works = Probe { trials };
    println!("{works}");
    let mut contestants = vec![posix_spawn()];
    for trial in works.trials.iter().filter(|trial| trial.outcome.is_ok()) {
        if trial.method != Method::Clone3IntoCgroup {
            contestants.push(ours(trial.method, None));
        }
        if let Some(folder) = &folder {
            contestants.push(ours(trial.method, Some(folder)));
        }
    }
    measure(&mut contestants, rounds);
    show(&mut contestants, rounds, "");
    // As many as a daemon has open that reads the output of a thousand processes.
    let _many: Vec<_> = (0..1000).map(|_| std::io::pipe().unwrap()).collect();
    measure(&mut contestants, rounds);
    show(&mut contestants, rounds, ", with 2,000 descriptors open");
}

fn measure(contestants: &mut [Contestant], rounds: usize) {
    contestants.iter_mut().for_each(|contestant| contestant.times.clear());
    for _ in 0..rounds {
        for contestant in &mut *contestants {
            let start = Instant::now();
            (contestant.run)();
            contestant.times.push(start.elapsed());
        }
    }
}

fn show(contestants: &mut [Contestant], rounds: usize, circumstances: &str) {
    let medians: Vec<Duration> = contestants.iter_mut().map(Contestant::median).collect();
    let base = medians.first().copied().unwrap_or_default();
    println!("{rounds} rounds of /bin/true, start to reaped{circumstances}");
    for (contestant, median) in contestants.iter().zip(medians) {
        let ratio = median.as_secs_f64() / base.as_secs_f64();
        println!("{:<32} {:>9.1?} {ratio:>6.3}", contestant.name, median);
    }
}

fn nothing() -> OwnedFd {
    File::options().read(true).write(true).open("/dev/null").unwrap().into()
}

fn ours(method: Method, cgroup: Option<&File>) -> Contestant {
    let plan = Plan::new(PlanInput {
        program: c"/bin/true".to_owned(),
        argv: vec![c"true".to_owned()],
        environment: Vec::new(),
        stdin: nothing(),
        stdout: nothing(),
        stderr: nothing(),
        cgroup: cgroup.map(|folder| folder.try_clone().unwrap().into()),
        legacy_cgroups: Vec::new(),
        new_session: true,
        identity: None,
        working_directory: Some(c"/".to_owned()),
        umask: None,
        nice: None,
        open_files_limit: None,
        oom_score_adjustment: None,
        mark: None,
    })
    .unwrap();
    let mut spawner = Spawner::new(method).unwrap();
    let place = if cgroup.is_some() { ", in a cgroup" } else { "" };
    Contestant::new(format!("{method}{place}"), move || {
        spawner.spawn(&plan, Parentage::Child).unwrap().pidfd.reap().unwrap();
    })
}

/// As much of the same as posix_spawn can do: descriptors, session, signals.
fn posix_spawn() -> Contestant {
    let program = CString::from(c"/bin/true");
    let descriptor = nothing();
    let mut actions = MaybeUninit::uninit();
    let mut attributes = MaybeUninit::uninit();
    let mut signals = MaybeUninit::uninit();
    // SAFETY: each is initialised by the first call on it, and none is moved out of its box.
    unsafe {
        libc::posix_spawn_file_actions_init(actions.as_mut_ptr());
        for target in 0..3 {
            let source = descriptor.as_raw_fd();
            libc::posix_spawn_file_actions_adddup2(actions.as_mut_ptr(), source, target);
        }
        libc::posix_spawnattr_init(attributes.as_mut_ptr());
        libc::sigemptyset(signals.as_mut_ptr());
        libc::posix_spawnattr_setsigmask(attributes.as_mut_ptr(), signals.as_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGPIPE);
        libc::posix_spawnattr_setsigdefault(attributes.as_mut_ptr(), signals.as_ptr());
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let flags = i16::try_from(flags).unwrap() | libc::POSIX_SPAWN_SETSID;
        libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags);
    }
    Contestant::new("posix_spawn".to_owned(), move || {
        let _kept = &descriptor;
        let argv: [*mut c_char; 2] = [program.as_ptr().cast_mut(), std::ptr::null_mut()];
        let environment: [*mut c_char; 1] = [std::ptr::null_mut()];
        let mut pid = 0;
        // SAFETY: everything was initialised above, and the lists end in null.
        let result = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                actions.as_ptr(),
                attributes.as_ptr(),
                argv.as_ptr(),
                environment.as_ptr(),
            )
        };
        assert_eq!(result, 0);
        PidFd::open(nix::unistd::Pid::from_raw(pid)).unwrap().reap().unwrap();
    })
}

/// A v2 cgroup to live in, where one can be made.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let name = format!("spawn-bench-{}", std::process::id());
        let path = PathBuf::from(line.split(' ').nth(4)?).join(name);
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            println!("{} is left behind: {error}", self.0.display());
        }
    }
}
