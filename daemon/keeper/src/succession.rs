//! What one keeper hands to the next, which takes its place in the same process: everything that it remembers, and the
//! numbers of the descriptors that stay open. The bytes are those of a memfd.
//!
//! The form is that of the messages ([`crate::protocol`]): [`SUCCESSION`], two bytes, then the fields in order. A keeper that
//! cannot read them executes the one before again, which can.

use crate::protocol::{
    Exit, Malformed, Run, SUCCESSION, Upgrades,
    bytes::{Reader, Writer},
};

/// A descriptor's number, which is the same in both programs.
pub type Number = i32;

/// A program that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldProgram {
    /// Its file.
    pub file: Number,
    /// Where it was found.
    pub path: Vec<u8>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRun {
    /// Which.
    pub run: Run,
    /// Its main process; 0 where that is unknown.
    pub pid: i32,
    /// How that ended, if it has.
    pub exit: Option<Exit>,
    /// What is held for it, by name.
    pub descriptors: Vec<(String, Number)>,
}

/// The settings, as they were read at the first keeper's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldSettings {
    /// Where the API listens.
    pub socket: Vec<u8>,
    /// The runtime folder.
    pub runtime_dir: Vec<u8>,
    /// The bound of an orderly end, in milliseconds.
    pub stop_timeout: u64,
    /// The longest wait before the next daemon, in milliseconds.
    pub longest_restart_delay: u64,
    /// How long the daemon may owe an answer, in milliseconds.
    pub answer_timeout: u64,
    /// The daemon's part.
    pub configuration: Vec<u8>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The settings.
    pub settings: HeldSettings,
    /// The API's listener.
    pub listener: Number,
    /// The socket's device and inode.
    pub socket: (u64, u64),
    /// The files that are locked: in the state folder, and in the runtime folder.
    pub locks: [Number; 2],
    /// The daemon's program.
    pub core: HeldProgram,
    /// One that is on trial.
    pub trial: Option<HeldProgram>,
    /// The keeper's own.
    pub keeper: HeldProgram,
    /// The one before that, as long as it may have to come back.
    pub keeper_before: Option<HeldProgram>,
    /// What became of upgrades.
    pub upgrades: Upgrades,
    /// RLIMIT_NOFILE as the first keeper found it.
    pub open_files: (u64, u64),
    /// How many daemons were started.
    pub starts: u32,
    /// How the last one ended.
    pub previous: String,
    /// Whether any has served.
    pub ever_served: bool,
    /// The folder of the runs' cgroups.
    pub tree: Vec<u8>,
    /// The runs.
    pub runs: Vec<HeldRun>,
    /// What is held that is no run's, by name.
    pub shared: Vec<(String, Number)>,
    /// Children that failed on their way to the program and are still to be reaped.
    pub failed: Vec<i32>,
}

impl State {
    /// The state's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let settings = &self.settings;
        let [state_lock, runtime_lock] = self.locks;
        let mut writer = Writer(Vec::new())
            .u16(SUCCESSION)
            .bytes(&settings.socket)
            .bytes(&settings.runtime_dir)
            .u64(settings.stop_timeout)
            .u64(settings.longest_restart_delay)
            .u64(settings.answer_timeout)
            .bytes(&settings.configuration)
            .i32(self.listener)
            .u64(self.socket.0)
            .u64(self.socket.1)
            .i32(state_lock)
            .i32(runtime_lock)
            .program(&self.core)
            .maybe_program(self.trial.as_ref())
            .program(&self.keeper)
            .maybe_program(self.keeper_before.as_ref())
            .u32(self.upgrades.tried)
            .bytes(self.upgrades.given_up.as_bytes())
            .u64(self.open_files.0)
            .u64(self.open_files.1)
            .u32(self.starts)
            .bytes(self.previous.as_bytes())
            .u8(u8::from(self.ever_served))
            .bytes(&self.tree)
            .count(self.runs.len());
        for HeldRun { run, pid, exit, descriptors } in &self.runs {
            writer = writer.run(run).i32(*pid).maybe_exit(exit.as_ref()).named(descriptors);
        }
        writer = writer.named(&self.shared).count(self.failed.len());
        self.failed.iter().fold(writer, |writer, pid| writer.i32(*pid)).0
    }

    /// Reads a state.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the bytes; another version is a field, `version`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        if reader.u16()? != SUCCESSION {
            return Err(Malformed::Field("version"));
        }
        let state = Self {
            settings: HeldSettings {
                socket: reader.bytes()?.to_vec(),
                runtime_dir: reader.bytes()?.to_vec(),
                stop_timeout: reader.u64()?,
                longest_restart_delay: reader.u64()?,
                answer_timeout: reader.u64()?,
                configuration: reader.bytes()?.to_vec(),
            },
            listener: reader.i32()?,
            socket: (reader.u64()?, reader.u64()?),
            locks: [reader.i32()?, reader.i32()?],
            core: reader.program()?,
            trial: reader.maybe(Reader::program, "trial")?,
            keeper: reader.program()?,
            keeper_before: reader.maybe(Reader::program, "keeper_before")?,
            upgrades: Upgrades { tried: reader.u32()?, given_up: reader.text("given_up")? },
            open_files: (reader.u64()?, reader.u64()?),
            starts: reader.u32()?,
            previous: reader.text("previous")?,
            ever_served: reader.flag("ever_served")?,
            tree: reader.bytes()?.to_vec(),
            runs: reader.list(Reader::held_run)?,
            shared: reader.list(Reader::named)?,
            failed: reader.list(Reader::i32)?,
        };
        reader.end(state)
    }

    /// Every descriptor that stays open, in any order.
    #[must_use]
    pub fn numbers(&self) -> Vec<Number> {
        let programs = [
            Some(&self.core),
            self.trial.as_ref(),
            Some(&self.keeper),
            self.keeper_before.as_ref(),
        ];
        let programs = programs.into_iter().flatten().map(|program| program.file);
        let runs = self.runs.iter().flat_map(|run| run.descriptors.iter().map(|(_, held)| *held));
        let shared = self.shared.iter().map(|(_, held)| *held);
        let [state, runtime] = self.locks;
        [self.listener, state, runtime]
            .into_iter()
            .chain(shared)
            .chain(programs)
            .chain(runs)
            .collect()
    }
}

impl Writer {
    fn program(self, program: &HeldProgram) -> Self {
        self.i32(program.file).bytes(&program.path)
    }

    fn maybe_program(self, program: Option<&HeldProgram>) -> Self {
        match program {
            None => self.u8(0),
            Some(program) => self.u8(1).program(program),
        }
    }

    /// Descriptors by name.
    fn named(self, descriptors: &[(String, Number)]) -> Self {
        let writer = self.count(descriptors.len());
        descriptors
            .iter()
            .fold(writer, |writer, (name, number)| writer.bytes(name.as_bytes()).i32(*number))
    }

    /// How many follow; a process cannot have more descriptors or children than fit.
    fn count(self, count: usize) -> Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

impl Reader<'_> {
    fn program(&mut self) -> Result<HeldProgram, Malformed> {
        Ok(HeldProgram { file: self.i32()?, path: self.bytes()?.to_vec() })
    }

    fn held_run(&mut self) -> Result<HeldRun, Malformed> {
        Ok(HeldRun {
            run: self.run()?,
            pid: self.i32()?,
            exit: self.maybe(Reader::exit, "exit")?,
            descriptors: self.list(Reader::named)?,
        })
    }

    fn named(&mut self) -> Result<(String, Number), Malformed> {
        Ok((self.text("name")?, self.i32()?))
    }

    fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
        field: &'static str,
    ) -> Result<Option<T>, Malformed> {
        if self.flag(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// Nothing is set aside for what is only announced: it may not be there.
    fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }
}
