//! `schedule.Schedule`, which reads the schedule, and `schedule.ScheduleExecutable`, which changes it: two services, so
//! that they can be granted separately.

use std::{collections::HashSet, sync::Arc};

use api::{
    meta::{AuraeMeta, Status as State},
    runtime::Executable,
    schedule::{
        Damage as WireDamage, ExecutableDestroyResponse, ExecutableDisableResponse,
        ExecutableEnableResponse, ExportItem, ExportRequest, ImportResponse, ListRequest,
        Registration, RepairRequest, RepairResponse, Selection, ShowDisabledRequest,
        ShowDisabledResponse, ShowEnabledRequest, ShowEnabledResponse, ShowRequest, ShowResponse,
        export_item::Item, schedule_executable_server::ScheduleExecutable, schedule_server,
    },
};
use prost::Message;
use schedule::{Change, ChangeError, Damage, Entry, OpenError, RepairError};
use tonic::{Code, Request, Response, Status, Streaming};
use units::{Name, Order, Origin};

use super::{
    origin, record,
    refused::{said, told},
    status::{invalid, no_unit},
    unit::{name_of, named},
};
use crate::{
    audit::Attempt,
    clock,
    doors::{
        Core,
        registered::{self, NotChanged, tell_later},
    },
    scheduling::{Unchanged, cause},
};

/// The most that one import may register, and the bytes of their definitions: all of it is held in memory and
/// committed at once.
const IMPORTED: usize = 65_536;
const IMPORTED_BYTES: usize = 64 << 20;

/// Both services.
#[derive(Clone)]
pub(super) struct Schedule {
    core: Core,
}

type Items<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

impl Schedule {
    /// Over this core.
    pub(super) fn new(core: Core) -> Self {
        Self { core }
    }

    async fn entries(&self, selection: Selection) -> Result<Vec<Arc<Entry>>, Status> {
        let mut entries = self.core.schedule.entries().await.map_err(|why| unusable(&why))?;
        entries.retain(|entry| match selection {
            Selection::All => true,
            Selection::Enabled => entry.enabled,
            Selection::Disabled => !entry.enabled,
        });
        Ok(entries)
    }

    async fn executables(&self, selection: Selection) -> Result<Vec<Executable>, Status> {
        let entries = self.entries(selection).await?;
        entries.iter().map(|entry| executable(entry)).collect()
    }

    /// Makes one change.
    async fn change(&self, change: Change) -> Result<(), Status> {
        registered::change(&self.core, change).await.map_err(|why| match &why {
            NotChanged::Unchanged(why) => unchanged(why),
            NotChanged::Unmade(why) => unmade(why),
            NotChanged::NoAnswer => Status::internal(why.to_string()),
        })
    }

    /// The name of what is to be changed.
    fn named(
        &self,
        action: &'static str,
        executable: Executable,
        by: &Origin,
    ) -> Result<Name, Status> {
        let meta = executable.meta;
        told(&self.core, (action, &said(meta.as_ref())), by, name_of(meta.as_ref()))
    }

    /// What is to be registered, after a look at every field of it.
    fn checked(&self, executable: Executable) -> Result<(Name, Vec<u8>), Status> {
        if !executable.run_id.is_empty() {
            let why = "what is registered gets a new one each time it is started; leave it out";
            return Err(invalid("run_id", why));
        }
        let name = name_of(executable.meta.as_ref())?;
        let bytes = executable.encode_to_vec();
        registered::checked(&self.core, executable).map_err(|why| no_unit(&why))?;
        Ok((name, bytes))
    }
}

#[tonic::async_trait]
impl schedule_server::Schedule for Schedule {
    async fn show_enabled(
        &self,
        _: Request<ShowEnabledRequest>,
    ) -> Result<Response<ShowEnabledResponse>, Status> {
        let executables = self.executables(Selection::Enabled).await?;
        let meta = Some(counted(executables.len(), "enabled"));
        Ok(Response::new(ShowEnabledResponse { meta, executables }))
    }

    async fn show_disabled(
        &self,
        _: Request<ShowDisabledRequest>,
    ) -> Result<Response<ShowDisabledResponse>, Status> {
        let executables = self.executables(Selection::Disabled).await?;
        let meta = Some(counted(executables.len(), "disabled"));
        Ok(Response::new(ShowDisabledResponse { meta, executables }))
    }

    type ListStream = Items<Registration>;

    async fn list(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let number = request.into_inner().selection;
        let selection = Selection::try_from(number)
            .map_err(|_| invalid("selection", format!("{number} is none of its values")))?;
        let entries = self.entries(selection).await?;
        let registrations: Vec<_> = entries.iter().map(|entry| registration(entry)).collect();
        Ok(Response::new(tokio_stream::iter(registrations)))
    }

    async fn show(&self, request: Request<ShowRequest>) -> Result<Response<ShowResponse>, Status> {
        let name = name_of(request.into_inner().meta.as_ref())?;
        let entry = self.core.schedule.entry(&name).await.map_err(|why| unusable(&why))?;
        let Some(entry) = entry else {
            let unreadable = self.core.schedule.unreadable().await.map_err(|why| unusable(&why))?;
            return Err(match unreadable.into_iter().find(|it| it.name == name.as_str()) {
                Some(Damage { message, .. }) => unmade(&ChangeError::Unreadable { name, message }),
                None => unmade(&ChangeError::Unknown(name)),
            });
        };
        Ok(Response::new(ShowResponse { registration: Some(registration(&entry)?) }))
    }

    type ExportStream = Items<ExportItem>;

    async fn export(
        &self,
        _: Request<ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let salvage = self.core.schedule.export().await.map_err(|why| unchanged(&why))?;
        let salvage = salvage.map_err(|why| unusable(&why))?;
        let registrations = salvage.entries.iter().map(|entry| match registration(entry) {
            Ok(registration) => Item::Registration(registration),
            Err(why) => Item::Damage(WireDamage {
                name: entry.name.to_string(),
                message: why.message().to_owned(),
            }),
        });
        let damage = salvage.damage.iter().map(|damage| Item::Damage(on_the_wire(damage)));
        let items: Vec<_> =
            registrations.chain(damage).map(|item| Ok(ExportItem { item: Some(item) })).collect();
        Ok(Response::new(tokio_stream::iter(items)))
    }
}

#[tonic::async_trait]
impl ScheduleExecutable for Schedule {
    async fn enable(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableEnableResponse>, Status> {
        let by = origin::of(&request)?;
        let executable = request.into_inner();
        let said = said(executable.meta.as_ref());
        let checked = told(&self.core, ("enable", &said), &by, self.checked(executable));
        let (name, definition) = checked?;
        let (at, meta) = (clock::now().wall, named(&name));
        self.change(Change::Enable { name: name.clone(), definition, at, by: by.clone() }).await?;
        tell_later(name, by, "enabled: it starts at boot");
        Ok(Response::new(ExecutableEnableResponse { meta }))
    }

    async fn disable(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableDisableResponse>, Status> {
        let by = origin::of(&request)?;
        let name = self.named("disable", request.into_inner(), &by)?;
        let (at, meta) = (clock::now().wall, named(&name));
        self.change(Change::Disable { name: name.clone(), at, by: by.clone() }).await?;
        tell_later(name, by, "disabled: it does not start at boot");
        Ok(Response::new(ExecutableDisableResponse { meta }))
    }

    async fn destroy(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableDestroyResponse>, Status> {
        let by = origin::of(&request)?;
        let name = self.named("destroy", request.into_inner(), &by)?;
        let (at, meta) = (clock::now().wall, named(&name));
        self.change(Change::Destroy { name: name.clone(), at, by: by.clone() }).await?;
        // A unit that is down is nobody's any more; one that is up has its name until it is forgotten.
        let which = Some(name.clone());
        drop(self.core.ask(Order::Forget { which }, by.clone()).await);
        tell_later(name, by, "destroyed: it is registered no more");
        Ok(Response::new(ExecutableDestroyResponse { meta }))
    }

    async fn import(
        &self,
        request: Request<Streaming<Registration>>,
    ) -> Result<Response<ImportResponse>, Status> {
        let by = origin::of(&request)?;
        let changes = self.imported(request.into_inner(), &by).await;
        let changes = told(&self.core, ("import", ""), &by, changes)?;
        let is_enabled = |change: &&Change| matches!(change, Change::Import { enabled: true, .. });
        let enabled = changes.iter().filter(is_enabled).count();
        let disabled = changes.len().saturating_sub(enabled);
        let detail = format!("{enabled} enabled, {disabled} disabled");
        let mut outcome = self.core.audit.begin(Attempt::all("import").with(detail), &by);
        let results = self.core.schedule.change(changes).await.map_err(|why| unchanged(&why));
        let result = match results.map(|results| results.into_iter().find_map(Result::err)) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(unmade(&why)),
            Err(status) => Err(status),
        };
        outcome.tell(result.as_ref());
        result?;
        tracing::info!(enabled, disabled, %by, "imported");
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (enabled, disabled) = (number(enabled), number(disabled));
        Ok(Response::new(ImportResponse { enabled, disabled }))
    }

    async fn repair(
        &self,
        request: Request<RepairRequest>,
    ) -> Result<Response<RepairResponse>, Status> {
        let by = origin::of(&request)?;
        let mut outcome = self.core.audit.begin(Attempt::all("repair"), &by);
        let failed = |why: RepairError| match &why {
            RepairError::Open(open) => unusable(open),
            RepairError::Write { .. } => Status::unavailable(why.to_string()),
        };
        let repair = self.core.schedule.repair().await.map_err(|why| unchanged(&why));
        let repair = repair.and_then(|repair| repair.map_err(failed));
        outcome.tell(repair.as_ref());
        let repair = repair?;
        tracing::warn!(kept = repair.kept, lost = repair.lost.len(), %by, "repaired");
        Ok(Response::new(RepairResponse {
            evidence: repair.evidence.map_or_else(String::new, |path| path.display().to_string()),
            kept: u64::try_from(repair.kept).unwrap_or(u64::MAX),
            lost: repair.lost.iter().map(on_the_wire).collect(),
        }))
    }
}

impl Schedule {
    /// All that an import registers, each checked as by `Enable`.
    async fn imported(
        &self,
        mut stream: Streaming<Registration>,
        by: &Origin,
    ) -> Result<Vec<Change>, Status> {
        let (at, mut bytes) = (clock::now().wall, 0);
        let (mut changes, mut names) = (Vec::new(), HashSet::new());
        while let Some(Registration { executable, status, .. }) = stream.message().await? {
            let number = changes.len();
            let enabled = match State::try_from(status) {
                Ok(State::Standby) => true,
                Ok(State::Passive) => false,
                Ok(State::Unknown | State::Active | State::Error | State::Complete) | Err(_) => {
                    let why = format!("registration {number}: it is neither STANDBY nor PASSIVE");
                    return Err(invalid("status", why));
                }
            };
            let (name, definition) = self.checked(executable.unwrap_or_default())?;
            bytes += definition.len();
            if number >= IMPORTED || bytes > IMPORTED_BYTES {
                let most = format!("{IMPORTED} registrations and {IMPORTED_BYTES} bytes at most");
                return Err(Status::resource_exhausted(format!("an import has {most}; split it")));
            }
            if !names.insert(name.clone()) {
                return Err(invalid("meta.name", format!("{name} is there twice")));
            }
            changes.push(Change::Import { name, enabled, definition, at, by: by.clone() });
        }
        Ok(changes)
    }
}

fn counted(count: usize, what: &str) -> AuraeMeta {
    AuraeMeta { name: String::new(), message: format!("{count} {what}") }
}

/// What was registered, with every field.
fn executable(entry: &Entry) -> Result<Executable, Status> {
    Executable::decode(entry.definition.as_slice()).map_err(|why| {
        let name = &entry.name;
        let sentence = format!(
            "what is registered as {name} cannot be read: {why}; enable it anew or destroy it"
        );
        Status::data_loss(sentence)
    })
}

fn registration(entry: &Entry) -> Result<Registration, Status> {
    let status = if entry.enabled { State::Standby } else { State::Passive };
    Ok(Registration {
        executable: Some(executable(entry)?),
        status: status.into(),
        registered_at: entry.registered_at,
        changed_at: entry.changed_at,
        changed_by: Some(record::origin(&entry.changed_by)),
    })
}

fn on_the_wire(damage: &Damage) -> WireDamage {
    WireDamage { name: damage.name.clone(), message: damage.message.clone() }
}

/// A schedule that cannot be opened.
fn unusable(why: &OpenError) -> Status {
    let code = match why {
        OpenError::Locked { .. } | OpenError::Io { .. } => Code::Unavailable,
        OpenError::Newer { .. } => Code::FailedPrecondition,
        OpenError::Damaged { .. } => Code::DataLoss,
    };
    Status::new(code, format!("{why}{}", cause(why)))
}

/// Changes that were not made, none of them.
fn unchanged(why: &Unchanged) -> Status {
    match why {
        Unchanged::Unusable { why } => unusable(why),
        Unchanged::Commit { .. } | Unchanged::Ending => Status::unavailable(why.to_string()),
        Unchanged::Busy => Status::resource_exhausted(why.to_string()),
    }
}

/// A change that cannot be made.
fn unmade(why: &ChangeError) -> Status {
    let code = match why {
        ChangeError::Unknown(_) => Code::NotFound,
        ChangeError::Unreadable { .. } => Code::DataLoss,
    };
    Status::new(code, why.to_string())
}
