//! Answers of the schedule for programs.

use api::{meta, schedule};
use client::Exported;
use serde::Serialize;

use super::{Meta, Origin, executable::Executable, word};

/// The answer of Enable, Disable or Destroy.
#[derive(Serialize)]
pub(crate) struct Changed {
    meta: Option<Meta>,
}

/// What is registered; where nothing is, nothing of it is known.
#[derive(Default, Serialize)]
pub(crate) struct Registration {
    executable: Option<Executable>,
    status: Option<String>,
    registered_at: Option<i64>,
    changed_at: Option<i64>,
    changed_by: Option<Origin>,
}

/// What cannot be read.
#[derive(Serialize)]
pub(crate) struct Damage {
    name: String,
    message: String,
}

/// One thing of an export, under the name of what it is.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExportLine {
    Registration(Box<Registration>),
    Damage(Damage),
}

/// The answer of Import.
#[derive(Serialize)]
pub(crate) struct Imported {
    enabled: u64,
    disabled: u64,
}

/// The answer of Repair.
#[derive(Serialize)]
pub(crate) struct Repaired {
    evidence: String,
    kept: u64,
    lost: Vec<Damage>,
}

// === impl From ===

impl From<Option<&meta::AuraeMeta>> for Changed {
    fn from(meta: Option<&meta::AuraeMeta>) -> Self {
        Self { meta: meta.map(Meta::from) }
    }
}

impl From<&schedule::Registration> for Registration {
    fn from(registration: &schedule::Registration) -> Self {
        Self {
            executable: registration.executable.as_ref().map(Executable::from),
            status: Some(word("STATUS_", registration.status, |number| {
                meta::Status::try_from(number).ok().map(|status| status.as_str_name())
            })),
            registered_at: Some(registration.registered_at),
            changed_at: Some(registration.changed_at),
            changed_by: registration.changed_by.as_ref().map(Origin::from),
        }
    }
}

impl From<&schedule::Damage> for Damage {
    fn from(damage: &schedule::Damage) -> Self {
        Self { name: damage.name.clone(), message: damage.message.clone() }
    }
}

impl From<&Exported> for ExportLine {
    fn from(item: &Exported) -> Self {
        match item {
            Exported::Registration(registration) => {
                Self::Registration(Box::new(registration.into()))
            }
            Exported::Damage(damage) => Self::Damage(damage.into()),
        }
    }
}

impl From<&schedule::ImportResponse> for Imported {
    fn from(answer: &schedule::ImportResponse) -> Self {
        Self { enabled: answer.enabled, disabled: answer.disabled }
    }
}

impl From<&schedule::RepairResponse> for Repaired {
    fn from(answer: &schedule::RepairResponse) -> Self {
        Self {
            evidence: answer.evidence.clone(),
            kept: answer.kept,
            lost: answer.lost.iter().map(Damage::from).collect(),
        }
    }
}
