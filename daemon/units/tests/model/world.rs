//! A machine with programs of every nature, which does what the core says and reports what comes of it,
//! late, out of order and twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use units::{
    Account, Action, Cause, Command, Core, Event, Execution, ExitRecord, KillMode, Kind, Leftovers,
    Limits, Name, Now, Order, Origin, ProcessExit, Role, RunId, StartFailure, StopHow, Target,
    Ticket, UnitSpec, Whom,
    kept::{Fate, Listener},
};

use super::Judge;
use crate::{
    kept::Shelf,
    making::{by_signal, exit, person},
};

/// What a spawner does with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spawner {
    /// It executes the program.
    Executes,
    /// It cannot.
    Fails,
    /// It hangs until the run is killed.
    Hangs,
    /// It never says a word; the run's end is seen when it is killed.
    Mute,
}

/// What a main process leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Nothing.
    Nothing,
    /// Processes that end on any signal.
    Meek,
    /// Processes that only a kill ends.
    Stubborn,
}

/// How a run is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    pub(crate) spawner: Spawner,
    pub(crate) heeds_signals: bool,
    pub(crate) leaves: Leaves,
    /// Whether it says that it is ready, perhaps before it is known to have been executed.
    pub(crate) says_ready: bool,
    /// Whether it says then where it listens; what it is told there it does not hear where it heeds no signals.
    pub(crate) listens: bool,
    /// Whether memory ran out while it ran.
    pub(crate) out_of_memory: bool,
    /// How many kills it takes, as processes slip away where no cgroup holds them.
    pub(crate) kills: u8,
}

#[derive(Debug)]
struct Program {
    nature: Nature,
    /// Whether the spawner is still at it.
    open: bool,
    main: bool,
    rest: bool,
    /// How often its end was asked for.
    awaited: usize,
    killed: u8,
    /// Its main process, and how that ended.
    pid: i32,
    exit: Option<ProcessExit>,
    /// Whether nobody can know how.
    lost: bool,
    /// Whose program or command it is.
    unit: Option<(Arc<UnitSpec>, Role)>,
}

/// What a program says when it is ready.
fn ready(run: RunId, nature: Nature) -> Event {
    if !nature.listens {
        return Event::Ready { run };
    }
    let listener = Listener { socket: "/run/engine".to_owned(), rank: 0, chunked: false };
    Event::Serves { run, listener: Some(listener) }
}

/// The machine, the core that runs it, and the judge.
pub(crate) struct World {
    core: Core,
    limits: Limits,
    shelf: Shelf,
    crashes: u8,
    pub(crate) judge: Judge,
    now: Duration,
    nature: Nature,
    programs: BTreeMap<RunId, Program>,
    inherited: BTreeSet<RunId>,
    pending: Vec<Event>,
    tickets: u64,
    pids: i32,
}

impl World {
    pub(crate) fn new(limits: Limits, nature: Nature) -> Self {
        Self {
            core: Core::new(limits),
            limits,
            shelf: Shelf::default(),
            crashes: 0,
            judge: Judge::new(limits),
            now: Duration::from_secs(1),
            nature,
            programs: BTreeMap::new(),
            inherited: BTreeSet::new(),
            pending: Vec::new(),
            tickets: 0,
            pids: 100,
        }
    }

    /// The wall clock, which knows nothing of the other one, but goes on.
    pub(crate) fn wall(&self) -> i64 {
        i64::try_from(self.now.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Gives the next run to be spawned its nature.
    pub(crate) fn next_is(&mut self, nature: Nature) {
        self.nature = nature;
    }

    pub(crate) fn tell(&mut self, event: Event) {
        let now = Now { monotonic: self.now, wall: self.wall() };
        for action in self.judge.step(&mut self.core, now, event) {
            self.shelf.take(&action);
            self.act(action);
        }
    }

    pub(crate) fn order(&mut self, who: &str, within: Option<Duration>, order: Order) {
        self.tickets += 1;
        let deadline = within.map(|within| self.now + within);
        let command = Command { origin: person(who), deadline, order };
        self.tell(Event::Command(Ticket(self.tickets), command));
    }

    /// The caller of one of the tickets so far goes.
    pub(crate) fn caller_goes(&mut self, which: u64) {
        self.tell(Event::CallerGone(Ticket(1 + which % self.tickets.max(1))));
    }

    /// A run of an earlier daemon turns up of which nothing was kept.
    pub(crate) fn inherit(&mut self, execution: Execution, ended: bool, lost: bool) {
        let id = execution.run;
        // Before anybody can order anything, that is.
        if self.judge.is_closing() || !self.inherited.insert(id) {
            return;
        }
        let rest = self.nature.leaves != Leaves::Nothing;
        self.pids += 1;
        let wall = self.wall();
        let program = Program {
            nature: Nature { spawner: Spawner::Executes, ..self.nature },
            open: false,
            main: !ended,
            rest,
            awaited: 0,
            killed: 0,
            pid: self.pids,
            exit: ended.then(|| exit(Cause::Exited(3), wall)),
            lost: false,
            unit: None,
        };
        self.programs.insert(id, program);
        let started_by = Origin::daemon("before");
        self.tell(Event::Inherited { execution: Box::new(execution), started_by });
        let why = "nobody knows".to_owned();
        let found = self.found(id);
        let fate = if lost { Fate::Lost { why, empty: ended && !rest } } else { found };
        self.tell(Event::Adopted { run: id, fate });
    }

    /// The core is lost, and with it all that was on its way to it; the next one goes on with what was kept.
    pub(crate) fn crash(&mut self) {
        // The end of everything is the keeper's affair then.
        if self.judge.is_closing() {
            return;
        }
        self.pending.clear();
        self.crashes = self.crashes.wrapping_add(1);
        self.core = Core::resume(self.limits, self.shelf.kept()).with_seed([self.crashes; 16]);
        self.judge.core_is_lost();
        let runs: Vec<RunId> = self.core.unadopted().map(|(identity, _)| identity.run).collect();
        assert!(runs.iter().eq(self.judge.live.keys()), "{runs:?} are kept");
        for run in runs {
            let fate = self.found(run);
            self.tell(Event::Adopted { run, fate });
        }
        assert_eq!(self.core.unadopted().count(), 0);
        // Programs say it to whoever is there.
        let says = self.programs.iter().filter(|(_, it)| it.nature.says_ready && it.pid != 0);
        self.pending.extend(says.map(|(run, it)| ready(*run, it.nature)));
    }

    /// What is found of a run by who comes after its daemon.
    fn found(&mut self, run: RunId) -> Fate {
        let at = self.wall();
        let Some(program) = self.programs.get_mut(&run) else { return Fate::Unmade };
        (program.awaited, program.killed) = (0, 0);
        let empty = !program.main && !program.rest;
        let lost = |empty| Fate::Lost { why: "it was on its way".to_owned(), empty };
        match (program.nature.spawner, program.open) {
            (Spawner::Executes, _) if program.lost => lost(empty),
            (Spawner::Executes, _) => {
                let (pid, exit) = (program.pid, program.exit.clone());
                Fate::Executed { pid, at, exit, empty }
            }
            (Spawner::Fails, _) | (Spawner::Hangs, false) => Fate::Unmade,
            (Spawner::Mute, false) => lost(empty),
            (Spawner::Hangs | Spawner::Mute, true) => {
                (program.main, program.open) = (true, false);
                program.nature.spawner = Spawner::Executes;
                lost(false)
            }
        }
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.tell(Event::Tick);
    }

    /// Time passes until the core's next deadline, to the nanosecond.
    pub(crate) fn wait_for_deadline(&mut self) -> bool {
        let next = self.core.next_deadline();
        next.into_iter().for_each(|at| self.wait(at.saturating_sub(self.now)));
        next.is_some()
    }

    /// One of the things that have happened is reported; perhaps not for the last time.
    pub(crate) fn report(&mut self, which: usize, again: bool) {
        let Some(index) = which.checked_rem(self.pending.len()) else { return };
        let event = self.pending.remove(index);
        if again {
            self.pending.push(event.clone());
        }
        self.tell(event);
    }

    /// What has happened is reported; where nothing has, a command ends well, or a oneshot's program.
    pub(crate) fn goes_well(&mut self) {
        if !self.pending.is_empty() {
            return self.report(0, false);
        }
        let is_work = |program: &Program| {
            let of_unit = program.unit.as_ref().filter(|_| program.main);
            of_unit.is_some_and(|(spec, role)| *role != Role::Main || spec.kind != Kind::Service)
        };
        let run = self.programs.iter().find(|(_, it)| is_work(it)).map(|(run, _)| *run);
        run.into_iter().for_each(|run| self.ends(run, Cause::Exited(0)));
    }

    /// One of the main processes ends by itself.
    pub(crate) fn main_ends(&mut self, which: usize, status: u8) {
        let run = self.a_main(which);
        run.into_iter().for_each(|run| self.ends(run, Cause::Exited(status.into())));
    }

    /// One of the main processes ends, and nobody can know how.
    pub(crate) fn main_is_lost(&mut self, which: usize) {
        let Some(run) = self.a_main(which) else { return };
        // It is looked at from the moment on in which it is known.
        let unknown = |event: &Event| matches!(event, Event::Spawned { run: of, .. } if *of == run);
        if self.pending.iter().any(unknown) {
            return;
        }
        let Some(program) = self.programs.get_mut(&run) else { return };
        (program.main, program.lost) = (false, true);
        let (why, empty) = ("nobody saw it".to_owned(), !program.rest);
        self.pending.push(Event::MainLost { run, why, empty });
    }

    fn a_main(&self, which: usize) -> Option<RunId> {
        let mut all = self.programs.iter().filter(|(_, it)| it.main).map(|(id, _)| *id);
        let index = which.checked_rem(all.clone().count())?;
        all.nth(index)
    }

    /// Goes on until nothing is left; programs end by themselves, or only when they are made to.
    pub(crate) fn finish(&mut self, by_themselves: bool) {
        if by_themselves {
            let names: Vec<Name> = self.judge.units.known.keys().cloned().collect();
            for name in names {
                let target = Target::Name(name);
                self.order("the end", None, Order::Stop { target, how: StopHow::Usual });
            }
        } else {
            self.order("the end", None, Order::ShutDown);
        }
        for _ in 0..2000 {
            if self.judge.live.is_empty() && self.judge.unanswered().is_empty() {
                break;
            }
            if by_themselves {
                self.main_ends(0, 0);
            }
            if self.pending.is_empty() {
                assert!(self.wait_for_deadline() || by_themselves, "stuck: {:?}", self.judge);
            } else {
                self.report(0, false);
            }
        }
        assert!(self.judge.live.is_empty(), "never over: {:?}", self.judge.live);
        assert_eq!(self.judge.unanswered(), []);
        assert!(self.programs.is_empty(), "not released: {:?}", self.programs);
        // What is reported again now means nothing.
        let late: Vec<Event> = self.pending.drain(..).collect();
        late.into_iter().for_each(|event| self.tell(event));
        assert!(self.programs.is_empty() && self.core.next_deadline().is_none());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn { execution, .. } => self.spawn(execution.run, None),
            Action::SpawnUnit { run, spec, role, .. } => self.spawn(run, Some((spec, role))),
            Action::Prepare { run, .. } => {
                let hears = self.programs.get(&run).is_some_and(|it| it.nature.heeds_signals);
                self.pending.extend(hears.then_some(Event::Prepared { run }));
            }
            Action::SignalMain { run, signal: 9 } => self.kill_main(run),
            Action::SignalMain { run, signal } => self.signal(run, signal, Whom::Main),
            Action::Deliver { run, signal, whom } => self.signal(run, signal, whom),
            Action::Signal { run, signal } => self.signal(run, signal, Whom::All),
            Action::Kill { run } => self.kill(run),
            Action::AwaitEmpty { run } => {
                let program = self.programs.get_mut(&run);
                program.into_iter().for_each(|program| program.awaited += 1);
                self.say_if_empty(run);
            }
            Action::Settle { run, record } => {
                let Some(program) = self.programs.get(&run) else { unreachable!("{run} is over") };
                let gone = !program.main && !program.rest && !program.open;
                assert!(gone || spares(program, &record), "something of {run} lives: {program:?}");
                let out_of_memory = program.nature.out_of_memory.then_some(true);
                let account = Account { stdout_total: 7, out_of_memory, ..record.account };
                self.pending.push(Event::Settled { run, account });
            }
            Action::Release { run, record } => {
                assert_eq!(record.account.stdout_total, 7);
                assert!(self.programs.remove(&run).is_some());
            }
            Action::Forget { run } => drop(self.programs.remove(&run)),
            Action::Tell(_) | Action::Reply(..) | Action::Keep { .. } | Action::Probe { .. } => {}
        }
    }

    fn signal(&mut self, run: RunId, signal: i32, whom: Whom) {
        let Some(program) = self.programs.get_mut(&run) else { return };
        let nature = program.nature;
        if nature.leaves == Leaves::Meek && whom == Whom::All {
            program.rest = false;
        }
        if program.main && nature.heeds_signals {
            self.ends(run, by_signal(signal));
        }
        self.say_if_empty(run);
    }

    /// Only the main process is killed, which never slips away.
    fn kill_main(&mut self, run: RunId) {
        if self.programs.get(&run).is_some_and(|program| program.main) {
            self.ends(run, by_signal(9));
        }
    }

    fn spawn(&mut self, run: RunId, unit: Option<(Arc<UnitSpec>, Role)>) {
        let is_program = unit.as_ref().is_some_and(|(_, role)| *role == Role::Main);
        let nature = self.nature;
        let made = nature.spawner == Spawner::Executes;
        let rest = made && nature.leaves != Leaves::Nothing;
        let open = matches!(nature.spawner, Spawner::Hangs | Spawner::Mute);
        let (awaited, killed) = (0, 0);
        self.pids += 1;
        let (pid, exit) = (if made { self.pids } else { 0 }, None);
        let lost = false;
        let program =
            Program { nature, open, main: made, rest, awaited, killed, pid, exit, lost, unit };
        self.programs.insert(run, program);
        match nature.spawner {
            Spawner::Executes => self.pending.push(Event::Spawned { run, pid: self.pids }),
            Spawner::Fails => self.fail(run, 203),
            Spawner::Hangs | Spawner::Mute => {}
        }
        if made && is_program && nature.says_ready {
            self.pending.push(ready(run, nature));
        }
    }

    fn fail(&mut self, run: RunId, stage: i32) {
        let failure = StartFailure { stage, errno: 2, message: "it failed".to_owned() };
        self.pending.push(Event::SpawnFailed { run, failure });
    }

    fn kill(&mut self, run: RunId) {
        let Some(program) = self.programs.get_mut(&run) else { return };
        program.killed = program.killed.saturating_add(1);
        if program.killed < program.nature.kills {
            return;
        }
        program.rest = false;
        let open = std::mem::replace(&mut program.open, false);
        if open && program.nature.spawner == Spawner::Hangs {
            self.fail(run, 303);
        } else if open || program.main {
            self.ends(run, by_signal(9));
        }
        self.say_if_empty(run);
    }

    fn ends(&mut self, run: RunId, cause: Cause) {
        let at = self.wall();
        let Some(program) = self.programs.get_mut(&run) else { return };
        program.main = false;
        program.exit = Some(exit(cause, at));
        let (exit, empty) = (program.exit.clone(), !program.rest);
        self.pending.extend(exit.map(|exit| Event::MainExited { run, exit, empty }));
    }

    fn say_if_empty(&mut self, run: RunId) {
        if let Some(program) = self.programs.get_mut(&run).filter(|it| !it.main && !it.rest) {
            let awaited = std::mem::take(&mut program.awaited);
            self.pending.extend(std::iter::repeat_n(Event::Emptied { run }, awaited));
        }
    }
}

/// Whether its unit wants that what is left of it is left alone.
fn spares(program: &Program, record: &ExitRecord) -> bool {
    let Some((spec, Role::Main)) = &program.unit else { return false };
    let spares = matches!(spec.stop.kill_mode, KillMode::Process | KillMode::None);
    record.leftovers == Leftovers::Left && (spares || !spec.stop.final_kill)
}
