//! The one thread that writes.
//!
//! It waits for the doorbell and for pipes. Commands go first, always: whoever waits for the end of a silent run waits for
//! no other run's output, but for the one move that may be under way. With nothing to do it does not wake.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        epoll::{EpollEvent, EpollFlags, EpollTimeout},
        time::{TimeSpec, TimeValLike},
    },
    unistd::gettid,
};
use units::RunId;

use crate::{
    clock::{self, Moment},
    entry::{End, GapReason, Kind},
    folder::Folder,
    log::Log,
    name::LogName,
    overflow::Overflows,
    pipe::{Content, Pipe, Taken, look},
    queue::{AppendedLine, Batch, Command, DOORBELL, DroppedLines, NewPipe},
    run::LiveRun,
    shared::{Problem, Shared},
    store::Finished,
    trace::trace,
    write_end::WriteEnd,
};

/// How often a log that cannot be written is tried again. Until then its output is thrown away.
const RETRY: Duration = Duration::from_millis(250);
/// Events taken at a time; where more pipes are ready, the kernel gives them by turns.
const EVENTS: usize = 64;
/// Logs without a live run that are kept open: opening costs more than two descriptors, and most runs are short.
const IDLE_LOGS: usize = 64;
/// Lines that are appended within this time of the first are written at once.
const TOGETHER: u64 = 1_000_000;
/// The most that is moved from a pipe before the others have their turn: the largest pipe.
const TURN: usize = 1 << 20;

/// The writer's state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    null: File,
    on_finished: Box<dyn Fn(Finished) + Send>,
    /// Boxed, as the others are: a table has room for twice as many as it holds.
    runs: HashMap<RunId, Box<LiveRun>>,
    pipes: HashMap<u64, Box<Pipe>>,
    overflows: Overflows,
    /// The tokens of pipes whose overflow is being taken, by turns.
    overflowing: VecDeque<u64>,
    /// The tokens of pipes under load. They are not watched, but emptied after each nap until one finds them dry: who
    /// writes to a watched pipe pays each time for telling who watches: for a line about a sixth of what its writing costs.
    loaded: Vec<u64>,
    logs: HashMap<LogName, Box<Log>>,
    uses: u64,
    retry: Option<Instant>,
    noteworthy: Arc<AtomicBool>,
    closed: bool,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        null: File,
        overflows: Overflows,
        on_finished: Box<dyn Fn(Finished) + Send>,
    ) -> Self {
        Self {
            overflows,
            overflowing: VecDeque::new(),
            loaded: Vec::new(),
            shared,
            null,
            on_finished,
            runs: HashMap::new(),
            pipes: HashMap::new(),
            logs: HashMap::new(),
            uses: 0,
            retry: None,
            noteworthy: Arc::default(),
            closed: false,
        }
    }

    /// Works until the store is closed and all that was asked before is done.
    pub(crate) fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        self.shared.writer.get_or_init(gettid);
        while !self.closed {
            self.shared.turn();
            let timeout = match self.retry {
                _ if !self.overflowing.is_empty() || !self.loaded.is_empty() => EpollTimeout::ZERO,
                Some(_) => EpollTimeout::try_from(RETRY).unwrap_or(EpollTimeout::NONE),
                None => EpollTimeout::NONE,
            };
            // It fails only where a signal interrupts it.
            let count = self.shared.queue.epoll().wait(&mut events, timeout).unwrap_or_default();
            let events = events.get(..count).unwrap_or_default();
            self.obey(events.iter().any(|event| event.data() == DOORBELL));
            self.serve(events, clock::now());
            self.take_overflow(clock::now());
            self.attend_to_trouble(clock::now());
        }
        self.logs.values_mut().for_each(|log| log.retry());
        self.shared.news.close();
    }

    /// Does what was asked; `heard` where the doorbell woke us.
    fn obey(&mut self, heard: bool) {
        let Batch { commands, lines, dropped, closed } = self.shared.queue.fetch(heard);
        for command in commands {
            self.shared.turn();
            match command {
                Command::Attach { run, log, pipes, resumed } => {
                    self.attach(run, log, pipes, resumed);
                }
                Command::Started { run, pid, time } => self.started(run, pid, time),
                Command::Closed { run, time } => self.outputs_closed(run, time),
                Command::Finish { run, end, told } => self.finish(run, end, told),
                Command::Close { log } => self.log(&log).close_segment(),
                Command::Check { log } => self.log(&log).check(),
                Command::Discard { log } => self.discard(&log),
            }
        }
        if !lines.is_empty() {
            self.append(lines);
        }
        for DroppedLines { log, run, time, lines, bytes } in dropped {
            let reason = GapReason::Dropped;
            let kind = Kind::Gap { stream: None, bytes, entries: lines, reason };
            self.log(&log).mark(run, time, kind);
        }
        self.closed |= closed;
    }

    /// The log, open or about to be.
    fn log(&mut self, name: &LogName) -> &mut Log {
        self.uses = self.uses.saturating_add(1);
        if !self.logs.contains_key(name) {
            self.close_an_idle_log();
        }
        let log = self.logs.entry(name.clone()).or_insert_with(|| {
            let folder = Folder::new(&self.shared.root, name);
            let published = self.shared.news.of(name);
            let (upkeep, damages) = (&self.shared.upkeep, &published.damages);
            let (upkeep, damages) = (Arc::clone(upkeep), Arc::clone(damages));
            let write_end = WriteEnd::new(name.clone(), folder, upkeep, damages);
            Box::new(Log::new(write_end, published, Arc::clone(&self.noteworthy)))
        });
        log.used = self.uses;
        log
    }

    fn close_an_idle_log(&mut self) {
        let idle = |log: &Log| log.runs == 0 && log.trouble().is_none();
        let idle = self.logs.iter().filter(|(_, log)| idle(log));
        if idle.clone().count() >= IDLE_LOGS
            && let Some((name, _)) = idle.min_by_key(|(_, log)| log.used)
        {
            let name = name.clone();
            if let Some(log) = self.logs.remove(&name) {
                self.shared.news.ended(&name, log.written().0);
            }
        }
    }

    /// Removes the folder of a log of which nothing is left, unless somebody writes to it. Only here, since nobody else
    /// knows that.
    fn discard(&mut self, name: &LogName) {
        let log = self.logs.get(name);
        if !log.is_some_and(|log| log.runs > 0 || log.trouble().is_some()) {
            // Before nobody has it any more who knows.
            let end = self.shared.news.end(name);
            self.logs.remove(name);
            if Folder::new(&self.shared.root, name).discard(end) {
                self.shared.news.forget(name);
            } else {
                self.shared.news.ended(name, end);
            }
        }
    }

    fn attach(&mut self, id: RunId, name: LogName, pipes: [NewPipe; 2], resumed: bool) {
        let tokens = pipes.iter().map(|pipe| pipe.token).collect();
        self.log(&name).runs += 1;
        let mut run = LiveRun::new(id, name, tokens);
        let mut taken = [None; 2];
        if resumed {
            match trace(&Folder::new(&self.shared.root, &run.log), id) {
                Ok(Some(trace)) => {
                    taken = trace.overflows;
                    run.resume(trace, &self.shared.recent);
                }
                Ok(None) => {}
                Err(error) => run.note(format!("{error}: {}", error.source)),
            }
        }
        self.runs.insert(id, Box::new(run));
        for (NewPipe { token, stream, pipe }, taken) in pipes.into_iter().zip(taken) {
            let mut pipe = Pipe::new(id, stream, pipe);
            pipe.overflow = self.overflows.of(id, stream, taken);
            if resumed && let Err(why) = self.shared.queue.watch(pipe.end(), token) {
                self.unwatched(id, why);
            }
            if !pipe.overflow.is_empty() {
                self.overflowing.push_back(token);
            }
            self.pipes.insert(token, Box::new(pipe));
        }
    }

    /// The kernel refuses to watch a pipe of a resumed run: what it holds is moved when the run ends.
    fn unwatched(&mut self, id: RunId, why: Errno) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.note(format!(
                "the kernel refuses to watch a pipe, which is emptied when the run ends: {why}"
            ));
        }
    }

    /// Takes one piece of what somebody printed while there was no daemon.
    fn take_overflow(&mut self, moment: Moment) {
        let Some(token) = self.overflowing.pop_front() else { return };
        let Some(pipe) = self.pipes.get_mut(&token) else { return };
        let Some(run) = self.runs.get_mut(&pipe.run) else { return };
        let Some(log) = self.logs.get_mut(&run.log) else { return };
        let mut moving = Move { shared: &self.shared, null: &self.null, log, run };
        if moving.take_overflow(pipe, moment) {
            self.overflowing.push_back(token);
        }
    }

    fn started(&mut self, id: RunId, pid: i32, time: u64) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(log) = self.logs.get_mut(&run.log) else { return };
        run.start(pid, time, log, &self.shared.recent);
    }

    fn outputs_closed(&mut self, id: RunId, time: u64) {
        let Some(run) = self.runs.get(&id) else { return };
        let Some(log) = self.logs.get_mut(&run.log) else { return };
        let reason = GapReason::Closed;
        log.mark(id, time, Kind::Gap { stream: None, bytes: 0, entries: 0, reason });
    }

    fn finish(&mut self, id: RunId, end: End, told: bool) {
        let Some(mut run) = self.runs.remove(&id) else { return };
        let Some(log) = self.logs.get_mut(&run.log) else { return };
        for token in std::mem::take(&mut run.pipes) {
            let Some(mut pipe) = self.pipes.remove(&token) else { continue };
            let mut moving = Move { shared: &self.shared, null: &self.null, log, run: &mut run };
            while moving.take_overflow(&mut pipe, clock::now()) {
                self.shared.turn();
            }
            moving.drain(&mut pipe);
            // The keeper holds the pipe too, so closing our end would not end the watch.
            let _unwatched = self.shared.queue.epoll().delete(pipe.end());
        }
        let finished = run.end(end, log, &self.shared.recent);
        log.runs = log.runs.saturating_sub(1);
        self.shared.recent.ended(id, end);
        self.shared.queue.release(id);
        if !told {
            (self.on_finished)(finished);
        }
    }

    /// Appends lines; those of one moment at once.
    fn append(&mut self, lines: Vec<AppendedLine>) {
        let mut waiting: Option<AppendedLine> = None;
        for mut line in lines {
            if !line.bytes.ends_with(b"\n") {
                line.bytes.push(b'\n');
            }
            match &mut waiting {
                Some(first)
                    if first.run == line.run
                        && first.log == line.log
                        && line.time.abs_diff(first.time) < TOGETHER =>
                {
                    first.bytes.append(&mut line.bytes);
                }
                Some(_) | None => {
                    if let Some(line) = waiting.replace(line) {
                        self.log(&line.log).append(line.run, &line.bytes, line.time);
                    }
                }
            }
        }
        if let Some(line) = waiting {
            self.log(&line.log).append(line.run, &line.bytes, line.time);
        }
    }

    /// Empties the pipes that are ready: those that were silent at once, and if there are none, the others after a nap.
    fn serve(&mut self, events: &[EpollEvent], moment: Moment) {
        let mut silent = Vec::new();
        for event in events.iter().filter(|event| event.data() != DOORBELL) {
            let token = event.data();
            let Some(pipe) = self.pipes.get(&token) else { continue };
            if !pipe.overflow.is_empty() {
                // What is in the pipe was printed later.
            } else if !event.events().contains(EpollFlags::EPOLLIN) {
                self.hung_up(token, moment);
            } else if pipe.is_loaded(moment) {
                let _unwatched = self.shared.queue.epoll().delete(pipe.end());
                self.loaded.push(token);
            } else {
                silent.push(token);
            }
        }
        if silent.is_empty() {
            self.serve_loaded();
        }
        for token in silent {
            let _taken = self.empty(token, false);
        }
    }

    /// Empties the pipes under load after a nap. Those that are dry then are watched again.
    fn serve_loaded(&mut self) {
        let naps = self.loaded.iter().filter_map(|token| Some(self.pipes.get(token)?.nap()));
        let Some(shortest) = naps.min() else {
            self.loaded.clear();
            return;
        };
        self.nap(shortest);
        for token in std::mem::take(&mut self.loaded) {
            let more = match self.empty(token, true) {
                Some(Taken::Moved { .. }) => true,
                // Where the kernel refuses to watch it, it is looked at again and again.
                Some(Taken::Dry) => self
                    .pipes
                    .get(&token)
                    .is_some_and(|pipe| self.shared.queue.watch(pipe.end(), token).is_err()),
                Some(Taken::Eof) | None => false,
            };
            if more {
                self.loaded.push(token);
            }
        }
    }

    /// Lets pipes fill; a command ends it.
    fn nap(&self, length: Duration) {
        if length.is_zero() {
            return;
        }
        let mut doorbell = [PollFd::new(self.shared.queue.doorbell(), PollFlags::POLLIN)];
        let length = TimeSpec::nanoseconds(i64::try_from(length.as_nanos()).unwrap_or(0));
        // Whatever ends it: the loop goes on.
        let _woken: Result<_, Errno> = ppoll(&mut doorbell, Some(length), None);
    }

    /// Moves what a pipe holds, once; none where it is gone.
    fn empty(&mut self, token: u64, loaded: bool) -> Option<Taken> {
        self.obey(false);
        let moment = clock::now();
        let pipe = self.pipes.get_mut(&token)?;
        let run = self.runs.get_mut(&pipe.run)?;
        let log = self.logs.get_mut(&run.log)?;
        let mut moving = Move { shared: &self.shared, null: &self.null, log, run };
        let taken = moving.transfer(pipe, TURN, moment);
        match taken {
            Taken::Moved { kept, lost } => {
                pipe.was_moved(kept.saturating_add(lost), moment, loaded)
            }
            Taken::Dry => {}
            Taken::Eof => self.forget(token),
        }
        Some(taken)
    }

    /// A pipe has no writer left, and had nothing in it when that was found out.
    fn hung_up(&mut self, token: u64, moment: Moment) {
        let Some(pipe) = self.pipes.get(&token) else { return };
        // The kernel looks at the pipe first and at its writers afterwards: something may have come between.
        match look([pipe.end()]) {
            [Content::Bytes] => {
                let _taken = self.empty(token, pipe.is_loaded(moment));
            }
            [Content::Eof] => self.forget(token),
            [Content::Nothing] => {}
        }
    }

    fn forget(&mut self, token: u64) {
        let Some(pipe) = self.pipes.remove(&token) else { return };
        let _unwatched = self.shared.queue.epoll().delete(pipe.end());
        let Some(run) = self.runs.get_mut(&pipe.run) else { return };
        run.pipes.retain(|&other| other != token);
        if run.pipes.is_empty()
            && let Some(log) = self.logs.get_mut(&run.log)
        {
            let stands = log.end();
            self.shared.queue.drained(run.so_far(stands, log));
        }
    }

    /// Tries logs again that could not be written, and tells which cannot.
    fn attend_to_trouble(&mut self, moment: Moment) {
        let due = self.retry.is_some_and(|at| at <= moment.instant);
        if due {
            self.logs.values_mut().for_each(|log| log.retry());
        }
        if !self.noteworthy.swap(false, Ordering::Relaxed) && !due {
            return;
        }
        self.report();
        let troubled = self.logs.values().any(|log| log.trouble().is_some());
        self.retry = troubled.then(|| moment.instant + RETRY);
    }

    fn report(&self) {
        let mut problems = Vec::new();
        for (log, state) in &self.logs {
            let copies = "the filesystem cannot splice: output is copied, and a killed daemon loses some of it";
            let copies = state.copies().then_some(copies);
            for text in state.trouble().into_iter().chain(copies) {
                problems.push(Problem { log: log.clone(), text: text.to_owned() });
            }
        }
        problems.sort_unstable_by(|a, b| a.log.cmp(&b.log));
        self.shared.set_problems(problems);
    }
}

/// What a move of bytes needs at hand.
struct Move<'a> {
    shared: &'a Shared,
    null: &'a File,
    log: &'a mut Log,
    run: &'a mut LiveRun,
}

impl Move<'_> {
    fn transfer(&mut self, pipe: &Pipe, most: usize, moment: Moment) -> Taken {
        self.run.begin(self.log, &self.shared.recent);
        let whose = (pipe.run, pipe.stream, self.run.behind(pipe.stream));
        let taken = self.log.take(pipe.opened(), whose, most, moment, self.null);
        if let Taken::Moved { kept, lost } = taken {
            self.run.count(pipe.stream, kept, lost, self.log);
        }
        taken
    }

    /// Takes the next piece of what was printed before anything that the pipe holds; whether there may be more.
    fn take_overflow(&mut self, pipe: &mut Pipe, moment: Moment) -> bool {
        let Some(overflow) = pipe.overflow.front_mut() else { return false };
        self.run.begin(self.log, &self.shared.recent);
        let whose = (pipe.run, pipe.stream, self.run.behind(pipe.stream));
        match self.log.take_overflow(overflow, whose, TURN, moment.time) {
            Taken::Moved { kept, lost } => self.run.count(pipe.stream, kept, lost, self.log),
            Taken::Dry | Taken::Eof => {
                if let Some(taken) = pipe.overflow.pop_front() {
                    taken.remove();
                }
            }
        }
        !pipe.overflow.is_empty()
    }

    /// Moves what the pipe holds, until its end or until it is dry. All that the run printed fits into the pipe, so what
    /// is beyond its capacity is a stranger's who holds it, and is left.
    fn drain(&mut self, pipe: &mut Pipe) {
        if look([pipe.end()]) != [Content::Bytes] {
            return;
        }
        let mut left = pipe.capacity();
        while left > 0 {
            let Taken::Moved { kept, lost } = self.transfer(pipe, left, clock::now()) else {
                break;
            };
            left = left.saturating_sub(kept).saturating_sub(lost);
        }
    }
}
