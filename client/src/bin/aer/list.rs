//! `aer list`: what is registered and what runs, in one list.

use std::collections::BTreeMap;

use api::{
    runtime::{UnitState, UnitView},
    schedule::{Registration, Selection},
};
use client::Client;

use crate::{
    arguments::{Format, List},
    failure::Failure,
    render::{self, UnitTable},
};

/// What is known under a name: at least one of both.
type Both = (Option<Registration>, Option<UnitView>);

pub(crate) async fn run(client: &Client, wanted: List, output: Format) -> Result<u8, Failure> {
    let known = known(client, &wanted).await?;
    let mut table = UnitTable::default();
    for (name, (registration, unit)) in &known {
        if !is_wanted(&wanted, unit.as_ref()) {
            continue;
        }
        match output {
            // Whole before it is written: its columns are as wide as the widest of all.
            Format::Table => table.add(name, registration.as_ref(), unit.as_ref()),
            Format::Json => {
                render::json(&render::Listed::of(name, registration.as_ref(), unit.as_ref()))?;
            }
        }
    }
    match output {
        Format::Table => render::document(table.text(render::width()).as_bytes())?,
        Format::Json => {}
    }
    Ok(0)
}

/// By name, as both calls list them; where only some registrations are wanted, units that are not among them are not.
async fn known(client: &Client, wanted: &List) -> Result<BTreeMap<String, Both>, Failure> {
    let (selection, all) = match (wanted.enabled, wanted.disabled) {
        (true, _) => (Selection::Enabled, false),
        (_, true) => (Selection::Disabled, false),
        (false, false) => (Selection::All, true),
    };
    let mut known: BTreeMap<String, Both> = BTreeMap::new();
    let mut registrations = client.list(selection).await?;
    while let Some(registration) = registrations.next().await? {
        let executable = registration.executable.as_ref();
        let meta = executable.and_then(|executable| executable.meta.as_ref());
        let name = meta.map(|meta| meta.name.clone()).unwrap_or_default();
        known.insert(name, (Some(registration), None));
    }
    let mut units = client.units().await?;
    while let Some(unit) = units.next().await? {
        let name = unit.meta.as_ref().map(|meta| meta.name.clone()).unwrap_or_default();
        match known.get_mut(&name) {
            Some((_, known)) => *known = Some(unit),
            None if all => {
                known.insert(name, (None, Some(unit)));
            }
            None => {}
        }
    }
    Ok(known)
}

/// Whether it is among those that run, or have failed, where only these are wanted.
pub(crate) fn is_wanted(wanted: &List, unit: Option<&UnitView>) -> bool {
    let state = unit.map_or(UnitState::Unknown, UnitView::state);
    let runs = match state {
        UnitState::Before
        | UnitState::Starting
        | UnitState::After
        | UnitState::Running
        | UnitState::Reloading
        | UnitState::Stopping => true,
        UnitState::Unknown
        | UnitState::Inactive
        | UnitState::Exited
        | UnitState::Waiting
        | UnitState::Failed => false,
    };
    (!wanted.running || runs) && (!wanted.failed || state == UnitState::Failed)
}
