//! The end of the machine, or of the container: ordered now or for later. The keeper does it; here it is decided whether it
//! can be, and waited for its time.
//!
//! Invariant: what was acknowledged for later is done at its time, whatever becomes of this daemon: it is written down in
//! the runtime folder before it is acknowledged, and the next daemon reads it.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use keeper::protocol::Power;
use prost::Message;
use tokio::sync::Notify;

use crate::{
    clock,
    configuration::Role,
    keeper_instance::KeeperInstance,
    keeper_life::KeeperLife,
    news::{Herald, News},
};

/// How long an answer may take to reach who asked for the end without order.
const LAST_WORD: Duration = Duration::from_millis(500);
/// The file, in the runtime folder.
const FILE: &str = "power";

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) power: Power,
    /// Without order.
    pub(crate) force: bool,
    /// When, on the monotonic clock, which the next daemon reads too.
    pub(crate) at: Duration,
    /// Who wants it and why.
    pub(crate) by: String,
    /// What people are told.
    pub(crate) message: String,
}

/// The file. Fields are only ever added.
#[derive(Clone, PartialEq, Message)]
struct Written {
    /// The keeper's process, and when it began, in the kernel's ticks: what another one was to do is not ours to do.
    #[prost(int32, tag = "1")]
    keeper_pid: i32,
    #[prost(uint64, tag = "2")]
    keeper_began: u64,
    /// Its place in [`Power::ALL`].
    #[prost(uint32, tag = "3")]
    power: u32,
    #[prost(bool, tag = "4")]
    force: bool,
    /// Nanoseconds of CLOCK_MONOTONIC.
    #[prost(uint64, tag = "5")]
    at: u64,
    #[prost(string, tag = "6")]
    by: String,
    #[prost(string, tag = "7")]
    message: String,
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Another init decides.
    #[error(
        "auraed is process {0} here and not PID 1, so that it can end neither a machine nor a container; ask the init that \
         is (systemctl poweroff), or stop auraed itself with SIGTERM to it"
    )]
    NotFirst(i32),
    /// Nobody could do it.
    #[error(
        "the keeper (auraed) was killed, and it alone can do this; start auraed again with the same folders"
    )]
    KeeperLost,
    /// Nothing to go on with.
    #[error(
        "no kernel is loaded to go on with (/sys/kernel/kexec_loaded is not 1); load one (kexec -l), or reboot"
    )]
    NothingLoaded,
    /// A container has no kernel.
    #[error(
        "a container has no kernel of its own to execute; reboot ends it so that it is started again"
    )]
    NoKernel,
    /// It would be forgotten.
    #[error("cannot write down what is planned in {}: {why}; nothing is planned; do it now, or make room there", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// What is planned, and who does it.
#[derive(Debug)]
pub(crate) struct PowerPlan {
    role: Role,
    keeper: KeeperInstance,
    life: Arc<KeeperLife>,
    path: PathBuf,
    planned: Mutex<Option<Planned>>,
    /// The keeper was told, so that the next word ends us at once.
    begun: AtomicBool,
    changed: Notify,
    herald: Herald,
}

impl PowerPlan {
    /// With what the daemon before has planned.
    pub(crate) fn resume(
        role: Role,
        runtime_dir: &Path,
        (keeper, life): (KeeperInstance, Arc<KeeperLife>),
        herald: Herald,
    ) -> Self {
        let path = runtime_dir.join(FILE);
        let bytes = fs::read(&path).ok();
        let planned = Mutex::new(bytes.and_then(|bytes| decode(&bytes, &keeper)));
        let begun = AtomicBool::new(false);
        Self { role, keeper, life, path, planned, begun, changed: Notify::new(), herald }
    }

    /// What is planned.
    pub(crate) fn planned(&self) -> Option<Planned> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether that could be done.
    pub(crate) fn may(&self, power: Power) -> Result<(), Refused> {
        match (self.role, power) {
            (Role::Service, _) => return Err(Refused::NotFirst(self.keeper.pid)),
            (Role::Container, Power::Kexec) => return Err(Refused::NoKernel),
            (Role::Machine, Power::Kexec) => {
                let loaded = fs::read_to_string("/sys/kernel/kexec_loaded");
                if !loaded.is_ok_and(|loaded| loaded.trim() == "1") {
                    return Err(Refused::NothingLoaded);
                }
            }
            (Role::Machine | Role::Container, Power::Off | Power::Reboot | Power::Halt) => {}
        }
        if self.life.is_lost() { Err(Refused::KeeperLost) } else { Ok(()) }
    }

    /// Plans it, in the place of what was planned before. Writes a file.
    pub(crate) fn plan(&self, wanted: Planned) -> Result<(), Refused> {
        self.may(wanted.power)?;
        let unwritten = |why| Refused::Unwritten { path: self.path.clone(), why };
        write(&self.path, &encode(&wanted, &self.keeper)).map_err(unwritten)?;
        tracing::warn!(
            by = wanted.by,
            text = wanted.message,
            "power: {} is planned in {:?}",
            named(wanted.power),
            wanted.at.saturating_sub(clock::now().monotonic)
        );
        self.set(Some(wanted));
        Ok(())
    }

    /// Begins it, when whoever asks has the answer where it ends us at once.
    pub(crate) fn order(&self, wanted: Planned) -> Result<(), Refused> {
        match wanted.force || self.begun.load(Ordering::Relaxed) {
            true => self.soon(wanted),
            false => self.begin(&wanted),
        }
    }

    /// Begins it now.
    fn begin(&self, wanted: &Planned) -> Result<(), Refused> {
        self.may(wanted.power)?;
        self.cancel();
        let Planned { power, force, by, message, .. } = wanted;
        tracing::warn!(by, text = message, force, "power: {} begins", named(*power));
        self.begun.store(true, Ordering::Relaxed);
        self.herald.tell(News::Power { power: *power, force: *force, by: by.clone() });
        Ok(())
    }

    /// Begins it as soon as whoever asks has the answer.
    fn soon(&self, wanted: Planned) -> Result<(), Refused> {
        self.may(wanted.power)?;
        let at = clock::now().monotonic.saturating_add(LAST_WORD);
        let wanted = Planned { at, ..wanted };
        // So that it is done also should we die meanwhile. A folder that is full keeps no machine up.
        if let Err(why) = write(&self.path, &encode(&wanted, &self.keeper)) {
            tracing::warn!(%why, path = %self.path.display(), "power: what is ordered cannot be written down");
        }
        self.set(Some(wanted));
        Ok(())
    }

    /// Forgets what was planned; that.
    pub(crate) fn cancel(&self) -> Option<Planned> {
        // Where that fails there is none, or the next daemon does what was cancelled: said then.
        match fs::remove_file(&self.path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%why, path = %self.path.display(), "power: what was planned cannot be removed");
            }
            Ok(()) | Err(_) => {}
        }
        self.set(None)
    }

    /// Does what is planned when its time comes; never ends.
    async fn wait(&self) {
        loop {
            let planned = self.planned();
            let Some(wanted) = planned else {
                self.changed.notified().await;
                continue;
            };
            let left = wanted.at.saturating_sub(clock::now().monotonic);
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(left) => {
                    if clock::now().monotonic >= wanted.at
                        && let Err(why) = self.begin(&wanted)
                    {
                        tracing::error!(%why, "power: what was planned is not done");
                        self.cancel();
                    }
                }
            }
        }
    }

    fn set(&self, planned: Option<Planned>) -> Option<Planned> {
        let mut place = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, planned);
        self.changed.notify_one();
        before
    }
}

/// Has what is planned done when its time comes.
pub(crate) fn keep(plan: &Arc<PowerPlan>) {
    let plan = Arc::clone(plan);
    tokio::spawn(async move { plan.wait().await });
}

/// What it is called.
pub(crate) fn named(power: Power) -> &'static str {
    match power {
        Power::Off => "power-off",
        Power::Reboot => "reboot",
        Power::Halt => "halt",
        Power::Kexec => "kexec",
    }
}

fn encode(planned: &Planned, keeper: &KeeperInstance) -> Vec<u8> {
    let place = Power::ALL.iter().position(|power| *power == planned.power);
    Written {
        keeper_pid: keeper.pid,
        keeper_began: keeper.began,
        power: place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX),
        force: planned.force,
        at: u64::try_from(planned.at.as_nanos()).unwrap_or(u64::MAX),
        by: planned.by.clone(),
        message: planned.message.clone(),
    }
    .encode_to_vec()
}

/// What this keeper was to do; none where it is another's, or makes no sense.
fn decode(bytes: &[u8], keeper: &KeeperInstance) -> Option<Planned> {
    let written = Written::decode(bytes).ok()?;
    let ours = written.keeper_pid == keeper.pid && written.keeper_began == keeper.began;
    let power = Power::ALL.get(usize::try_from(written.power).ok()?).copied()?;
    let Written { force, at, by, message, .. } = written;
    ours.then(|| Planned { power, force, at: Duration::from_nanos(at), by, message })
}

/// Whole or not at all; it dies with the boot, so the disk need not have it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: KeeperInstance = KeeperInstance { pid: 1, began: 7 };

    fn planned() -> impl Strategy<Value = Planned> {
        let power = (0..Power::ALL.len()).prop_map(|place| Power::ALL[place]);
        (power, any::<bool>(), any::<u64>(), ".{0,40}", ".{0,40}").prop_map(
            |(power, force, at, by, message)| Planned {
                power,
                force,
                at: Duration::from_nanos(at),
                by,
                message,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_planned_comes_back_to_its_keeper_alone(planned in planned(), pid in 2..99_i32, began in 8..99_u64) {
            let bytes = encode(&planned, &OURS);
            prop_assert_eq!(decode(&bytes, &KeeperInstance { pid, ..OURS }), None);
            prop_assert_eq!(decode(&bytes, &KeeperInstance { began, ..OURS }), None);
            prop_assert_eq!(decode(&bytes, &OURS), Some(planned));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in any::<Vec<u8>>()) {
            drop(decode(&bytes, &OURS));
        }

        #[test]
        fn what_is_cut_short_or_changed_is_read_without_harm(planned in planned(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = encode(&planned, &OURS);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            drop(decode(&bytes, &OURS));
            drop(decode(&bytes[..at], &OURS));
        }
    }
}
