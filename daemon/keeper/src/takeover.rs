//! One keeper in the place of another, in the same process: with its children, its descriptors, its signals and all that it
//! remembers. Nothing is missed meanwhile, since signals stay blocked and children that end stay zombies.
//!
//! The one before writes its state into a memfd ([`keeper::succession`]), lets its descriptors be inherited, and executes
//! the next by descriptor. The next looks at everything before it takes anything. Where it cannot take over it executes the
//! one before again, by the same state, which then goes on and tells why.
#![expect(unsafe_code, reason = "descriptors that were inherited by number become owned here")]

use std::{
    collections::BTreeSet,
    ffi::{CString, OsString},
    fs::{self, File},
    io::Write,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::PathBuf,
    time::Duration,
};

use keeper::succession::{HeldProgram, HeldSettings, Number, State};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, FcntlArg, FdFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
    unistd::execveat,
};

use crate::{
    Failure, first,
    keep::Keeper,
    place::Place,
    process::{self, VARIABLE, clock},
    program::Program,
    runs::Runs,
    say,
    settings::Settings,
};

/// What the one before has left for us: the number of the state, that of the program to go back to, and why it did not
/// stay away, where we are that one.
struct Left {
    state: Number,
    back: Option<Number>,
    why: String,
}

/// Takes over, where there is something to take over.
pub(crate) fn take_over() -> Option<Result<Keeper, Failure>> {
    let left = left()?;
    Some(match take(&left) {
        Ok(mut keeper) => {
            if !left.why.is_empty() {
                keeper.stays(&left.why);
            }
            Ok(keeper)
        }
        Err(why) => Err(go_back(&left, &why)),
    })
}

fn left() -> Option<Left> {
    let text = std::env::var(VARIABLE).ok()?;
    let mut words = text.splitn(3, ' ');
    let mut number = || words.next()?.parse::<Number>().ok();
    let (state, back) = (number()?, number()?);
    let why = words.next().unwrap_or_default().to_owned();
    Some(Left { state, back: Some(back).filter(|back| *back >= 0), why })
}

/// Looks at everything, and takes it only if it is all there.
fn take(left: &Left) -> Result<Keeper, String> {
    #[cfg(debug_assertions)]
    if left.back.is_some() && std::env::var_os("AURAED_FAULTS_KEEPER").is_some() {
        return Err("a fault that was asked for".to_owned());
    }
    let bytes = fs::read(format!("/proc/self/fd/{}", left.state))
        .map_err(|why| format!("cannot read the state that the keeper before has left: {why}"))?;
    let state = State::decode(&bytes).map_err(|why| {
        format!("cannot understand the state that the keeper before has left: {why}")
    })?;
    let numbers = state.numbers();
    let distinct: BTreeSet<Number> = numbers.iter().copied().chain([left.state]).collect();
    if distinct.len() != numbers.len() + 1 || distinct.first().is_none_or(|least| *least < 3) {
        return Err("the state names a descriptor twice, or one that is nobody's".to_owned());
    }
    for number in distinct {
        // SAFETY: fcntl on a number that is not open answers EBADF and touches nothing.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(borrowed, FcntlArg::F_GETFD)
            .map_err(|why| format!("the descriptor {number} of the state is not open: {why}"))?;
    }
    // An init with a main command hands all of them on.
    let taken = match first::init::command() {
        Some(_) => first::signals::take_all(),
        None => first::signals::take(first::Role::ours()),
    };
    let signals = taken.map_err(|why| format!("cannot take signals: {why}"))?;
    drop(own(left.state));
    Ok(adopt(state, signals))
}

/// From here on nothing can fail.
fn adopt(state: State, signals: nix::sys::signalfd::SignalFd) -> Keeper {
    let program = |held: HeldProgram| Program { file: own(held.file), path: path(held.path) };
    let settings = Settings {
        socket: path(state.settings.socket),
        socket_group: None,
        state_dir: PathBuf::new(),
        runtime_dir: path(state.settings.runtime_dir),
        stop_timeout: Duration::from_millis(state.settings.stop_timeout),
        longest_restart_delay: Duration::from_millis(state.settings.longest_restart_delay),
        answer_timeout: Duration::from_millis(state.settings.answer_timeout),
        rescue_shell: None,
        configuration: state.settings.configuration,
    };
    let mut runs = Runs::default();
    for held in state.runs {
        let descriptors = held.descriptors.into_iter().map(|(name, held)| (name, own(held)));
        runs.hold(held.run, descriptors.collect());
        if held.pid != 0 {
            runs.restore(held.run, held.pid, held.exit);
        }
    }
    runs.restore_failed(state.failed);
    let place = Place::inherited(
        own(state.listener).into(),
        (settings.socket.clone(), state.socket.0, state.socket.1),
        state.locks.map(|lock| File::from(own(lock))),
    );
    let mut keeper =
        Keeper::with((program(state.core), program(state.keeper)), settings, place, signals);
    keeper.trial = state.trial.map(program);
    keeper.keeper_before = state.keeper_before.map(program);
    keeper.upgrades = state.upgrades;
    keeper.open_files = state.open_files;
    keeper.runs = runs;
    keeper.shared = state.shared.into_iter().map(|(name, held)| (name, own(held))).collect();
    keeper.starts = state.starts;
    keeper.previous = state.previous;
    keeper.ever_served = state.ever_served;
    keeper.tree = path(state.tree);
    // The files that the one before began are found by their names.
    keeper.overflow.deserted(clock());
    keeper
}

/// Takes a descriptor that is ours by the state alone.
fn own(number: Number) -> OwnedFd {
    // SAFETY: it is open, and the state names it once: nobody else in this process knows it.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    inherit(owned.as_fd(), false);
    owned
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// Whether a descriptor outlives the next execve.
fn inherit(descriptor: BorrowedFd<'_>, inherited: bool) {
    let flags = if inherited { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    // It is open, so that this cannot fail (fcntl(2)).
    fcntl(descriptor, FcntlArg::F_SETFD(flags)).ok();
}

/// Executes that program in our place. Answers only where that fails, and then nothing has changed.
pub(crate) fn hand_over(keeper: &Keeper, next: &Program, may_come_back: bool) -> String {
    let state = state(keeper, next, may_come_back);
    let written = memfd_create(c"auraed", MFdFlags::empty())
        .map_err(std::io::Error::from)
        .and_then(|memfd| {
            let mut file = File::from(memfd);
            file.write_all(&state.encode())?;
            Ok(file)
        });
    let memfd = match written {
        Ok(memfd) => memfd,
        Err(why) => return format!("cannot write down the keeper's state: {why}"),
    };
    let all = |inherited| {
        for number in state.numbers() {
            // SAFETY: all of them are open, and held by what is borrowed here.
            inherit(unsafe { BorrowedFd::borrow_raw(number) }, inherited);
        }
    };
    let back = if may_come_back { keeper.keeper.file.as_raw_fd() } else { -1 };
    all(true);
    let first = keeper.first.bequeathed();
    let left = format!("{} {back} ", memfd.as_raw_fd());
    let why = execute(next.file.as_fd(), &left, Some(&first));
    all(false);
    format!("cannot execute {}: {why}", next.shown())
}

/// Executes the one before again. Answers only where there is none, or that fails too.
fn go_back(left: &Left, why: &str) -> Failure {
    say(format_args!("this keeper cannot take over: {why}"));
    let Some(back) = left.back else {
        return Failure::Untold(format!("no keeper can take over: {why}"));
    };
    // SAFETY: where the number is not open, execveat answers EBADF.
    let program = unsafe { BorrowedFd::borrow_raw(back) };
    let failed = execute(program, &format!("{} -1 {why}", left.state), None);
    Failure::Untold(format!("cannot execute the keeper before again: {failed}"))
}

/// What is said to a first process stands beside the state, which keepers read that know of none; `None` leaves it as it is.
fn execute(program: BorrowedFd<'_>, left: &str, first: Option<&str>) -> Errno {
    let words: Vec<CString> =
        std::env::args_os().filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let replaced = first.map(|_| first::VARIABLE).into_iter().chain([VARIABLE]);
    let mut environment = process::environment_without(&replaced.collect::<Vec<_>>());
    environment.extend(CString::new(format!("{VARIABLE}={left}")));
    environment
        .extend(first.and_then(|first| CString::new(format!("{}={first}", first::VARIABLE)).ok()));
    match execveat(program, c"", &words, &environment, AtFlags::AT_EMPTY_PATH) {
        Ok(never) => match never {},
        Err(why) => why,
    }
}

/// All that the next one has to know.
fn state(keeper: &Keeper, next: &Program, may_come_back: bool) -> State {
    let held = |program: &Program| HeldProgram {
        file: program.file.as_raw_fd(),
        path: program.path.as_os_str().as_bytes().to_vec(),
    };
    let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (settings, place) = (&keeper.settings, &keeper.place);
    let socket: (u64, u64) = place.identity();
    let locks: [RawFd; 2] = place.locks().map(AsRawFd::as_raw_fd);
    State {
        settings: HeldSettings {
            socket: settings.socket.as_os_str().as_bytes().to_vec(),
            runtime_dir: settings.runtime_dir.as_os_str().as_bytes().to_vec(),
            stop_timeout: milliseconds(settings.stop_timeout),
            longest_restart_delay: milliseconds(settings.longest_restart_delay),
            answer_timeout: milliseconds(settings.answer_timeout),
            configuration: settings.configuration.clone(),
        },
        listener: place.listener.as_raw_fd(),
        socket,
        locks,
        core: held(&keeper.core),
        trial: keeper.trial.as_ref().map(held),
        keeper: held(next),
        keeper_before: may_come_back.then(|| held(&keeper.keeper)),
        upgrades: keeper.upgrades.clone(),
        open_files: keeper.open_files,
        starts: keeper.starts,
        previous: keeper.previous.clone(),
        ever_served: keeper.ever_served,
        tree: keeper.tree.as_os_str().as_bytes().to_vec(),
        runs: keeper.runs.held_runs(),
        shared: keeper.shared.iter().map(|(name, held)| (name.clone(), held.as_raw_fd())).collect(),
        failed: keeper.runs.failed(),
    }
}
