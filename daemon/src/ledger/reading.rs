//! How a daemon begins: with the ledger of the one before, if there is one and it is of the same keeper, or of one that
//! was killed.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use api::runtime::Executable;
use prost::{Message, bytes::Bytes};
use units::{
    UnitSpec,
    kept::{Kept, Numbers},
};

use super::{
    Ledger,
    entry::{Contents, Entry, Kind},
    file::{self, Faults},
    room::Room,
    run, unit, wire,
};
use crate::{
    definition::{self, Usual},
    keeper_instance::KeeperInstance,
};

/// What a daemon begins with.
pub(crate) struct Opened {
    /// To be written on.
    pub(crate) ledger: Ledger,
    /// What the daemon before kept; nothing for the first.
    pub(crate) kept: Kept,
    /// Which numbers changes have: the same as before, unless some of them may be lost.
    pub(crate) series: String,
    /// Whether the keeper before was killed: what was kept is of runs that are nobody's children.
    pub(crate) taken_over: bool,
    /// The same, also for the daemons that come later: that the keeper knows nothing of a run does not say then that there
    /// is none, since the first daemon may have died before it could tell.
    pub(crate) after_kill: bool,
}

/// Opens the ledger, sets aside what cannot be gone on with, and writes what counts anew. `series` is for a new one.
pub(crate) fn open(
    folder: &Path,
    keeper: &KeeperInstance,
    usual: Usual,
    series: &str,
) -> io::Result<Opened> {
    let bytes = match fs::read(file::path(folder)) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Bytes::new(),
        read => read?.into(),
    };
    let (mut contents, faults) = file::contents(&bytes);
    let head = contents.get(Kind::Head, &[]).and_then(|body| wire::Head::decode(body).ok());
    let ours = head
        .as_ref()
        .is_some_and(|head| head.keeper_pid == keeper.pid && head.keeper_began == keeper.began);
    let machine = machine();
    let taken_over =
        !ours && !faults.newer && head.as_ref().is_some_and(|head| was_killed(head, &machine));
    let after_kill = taken_over || (ours && head.as_ref().is_some_and(|head| head.after_kill));
    let foreign =
        !bytes.is_empty() && !ours && !taken_over && (head.is_some() || faults.damaged == 0);
    if foreign || faults.newer {
        let what = if faults.newer { "newer" } else { "foreign" };
        let aside = file::set_aside(folder, what)?;
        let aside = aside.display();
        if faults.newer {
            tracing::error!(
                "a newer daemon wrote the ledger; it is at {aside} now, and nothing is known of the units before; run that daemon, or start them again"
            );
        } else {
            tracing::info!("the ledger of an earlier keeper is at {aside} now");
        }
        contents = Contents::default();
    }
    let mut read = if foreign || faults.newer { Read::default() } else { read(&contents, usual) };
    let damaged = faults.damaged + read.broken.len();
    // Told once, and kept aside.
    for (kind, key) in std::mem::take(&mut read.broken) {
        contents.remove(kind, &key);
    }
    tell(folder, faults, damaged)?;
    let former = head.map(|head| head.series).filter(|_| damaged == 0 && !foreign && !faults.newer);
    let series = former.unwrap_or_else(|| series.to_owned());
    let (keeper_pid, keeper_began) = (keeper.pid, keeper.began);
    let head = wire::Head { keeper_pid, keeper_began, series: series.clone(), machine, after_kill };
    contents.add(Entry::new(Kind::Head, Vec::new(), head.encode_to_vec()));
    keep_the_last_without_a_hole(&mut read.kept);
    let ledger = match file::replace(folder, &contents) {
        Ok((file, length)) => Ledger::on(folder, (file, length), Vec::new()),
        // There is no room to write it anew. What is ours is gone on with as it is, after a new head, for which there is
        // room ahead as a rule.
        Err(why) if !bytes.is_empty() && !foreign && !faults.newer => {
            tracing::error!(%why, "cannot write the ledger anew; going on with it as it is");
            let head = contents.all(Kind::Head).cloned().collect();
            Ledger::on(folder, file::go_on(folder, &bytes)?, head)
        }
        Err(why) => return Err(why),
    };
    Ok(Opened { ledger, kept: read.kept, series, taken_over, after_kill })
}

impl Ledger {
    /// On a file that is so long, to which these entries are still to be added.
    fn on(folder: &Path, (file, length): (fs::File, u64), unwritten: Vec<Entry>) -> Self {
        Self {
            folder: folder.to_owned(),
            file,
            length,
            base: length,
            room: Room::of(length),
            unwritten,
            fails: Arc::default(),
            // At once: it has no room ahead yet.
            retry_at: Some(Duration::ZERO),
            bytes: Vec::new(),
        }
    }
}

/// Whether the keeper whose ledger this is was killed, and its runs may be there still: one that ends in order removes it.
pub(super) fn was_killed(head: &wire::Head, machine: &str) -> bool {
    let keeper = KeeperInstance { pid: head.keeper_pid, began: head.keeper_began };
    head.machine == machine && !machine.is_empty() && !keeper.is_there()
}

/// Since when processes are where we are: the start of the machine, and of the container (its namespace of processes).
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match (boot.trim(), namespace.to_str()) {
        ("", _) | (_, None) => String::new(),
        (boot, Some(namespace)) => format!("{boot} {namespace}"),
    }
}

/// Keeps a damaged file aside, and says so.
fn tell(folder: &Path, faults: Faults, damaged: usize) -> io::Result<()> {
    if faults.torn {
        tracing::debug!(
            "the last step of the ledger was not written to its end, and was not begun"
        );
    }
    if damaged > 0 {
        let aside = file::set_aside(folder, "damaged")?;
        let aside = aside.display();
        tracing::error!(
            damaged,
            "the ledger is damaged: what could not be read is skipped, and the file is at {aside}; runs of which nothing is known any more wait for their callers, and are stopped then"
        );
    }
    Ok(())
}

/// Changes before a hole are not told: numbers follow one another.
fn keep_the_last_without_a_hole(kept: &mut Kept) {
    kept.changes.sort_by_key(|change| change.sequence);
    let mut next = kept.numbers.changes;
    let mut from = kept.changes.len();
    while let Some(index) = from.checked_sub(1)
        && kept.changes.get(index).is_some_and(|change| change.sequence == next)
    {
        (from, next) = (index, next.saturating_sub(1));
    }
    kept.changes.drain(..from);
}

/// What the entries say.
#[derive(Default)]
pub(super) struct Read {
    pub(super) kept: Kept,
    /// Entries that say nothing that could be.
    pub(super) broken: Vec<(Kind, Bytes)>,
}

pub(super) fn read(contents: &Contents, usual: Usual) -> Read {
    let mut read = Read::default();
    let specification = |kind, key: &[u8]| -> Option<Arc<UnitSpec>> {
        let executable = Executable::decode(contents.get(kind, key)?).ok()?;
        definition::unit_of_door(executable, usual).ok().map(Arc::new)
    };
    for Entry { key, body, .. } in contents.all(Kind::Unit) {
        let unit = || {
            let (spec, next) =
                (specification(Kind::Spec, key)?, specification(Kind::NextSpec, key));
            (spec.name.as_str().as_bytes() == key).then_some(())?;
            unit::to_unit(wire::Unit::decode(&**body).ok()?, spec, next)
        };
        match unit() {
            Some(unit) => read.kept.units.push(Arc::new(unit)),
            None => read.broken.push((Kind::Unit, key.clone())),
        }
    }
    let Read { kept, broken, .. } = &mut read;
    kept.runs = whole(contents, Kind::Run, broken, |body| {
        run::to_run(wire::Run::decode(body).ok()?).map(Arc::new)
    });
    let ended =
        |of_unit| move |body: &[u8]| run::to_ended(wire::Ended::decode(body).ok()?, of_unit);
    kept.ended = whole(contents, Kind::Ended, broken, ended(false));
    kept.ended.extend(whole(contents, Kind::EndedOfUnit, broken, ended(true)));
    kept.changes = whole(contents, Kind::Change, broken, |body| {
        unit::to_change(wire::Change::decode(body).ok()?)
    });
    let numbers = contents.get(Kind::Numbers, &[]).map(wire::Numbers::decode);
    if let Some(Ok(wire::Numbers { changes, starts, runs })) = numbers {
        kept.numbers = Numbers { changes, starts, runs };
    }
    // A number is never given twice, not even where the numbers were lost.
    let last = kept.changes.iter().map(|change| change.sequence).max().unwrap_or(0);
    kept.numbers.changes = kept.numbers.changes.max(last);
    read
}

/// Those of a kind that can be read; the others are noted.
fn whole<T>(
    contents: &Contents,
    kind: Kind,
    broken: &mut Vec<(Kind, Bytes)>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Vec<T> {
    let mut all = Vec::new();
    for Entry { key, body, .. } in contents.all(kind) {
        match read(body) {
            Some(one) => all.push(one),
            None => broken.push((kind, key.clone())),
        }
    }
    all
}
