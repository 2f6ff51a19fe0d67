//! The schedule as a client has it, and its folder as a crash, a disk or an older version leaves it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::{
    meta::{AuraeMeta, Status as State},
    runtime::Executable,
    schedule::{
        ExportItem, ExportRequest, ListRequest, Registration, Selection, ShowDisabledRequest,
        ShowEnabledRequest, ShowRequest, schedule_client::ScheduleClient,
        schedule_executable_client::ScheduleExecutableClient,
    },
};
use tonic::{Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{Daemon, House, rpc};

/// A registration's name.
#[must_use]
pub fn name_of(executable: &Executable) -> &str {
    executable.meta.as_ref().map_or("", |meta| meta.name.as_str())
}

/// The names of registrations, in order.
#[must_use]
pub fn names(executables: &[Executable]) -> Vec<&str> {
    executables.iter().map(name_of).collect()
}

/// The same with a comment.
#[must_use]
pub fn commented(comment: &str, executable: Executable) -> Executable {
    Executable { comment: comment.to_owned(), ..executable }
}

/// What a client must send to name a registration and nothing more.
#[must_use]
pub fn only_name(name: &str) -> Executable {
    rpc::named(name, Executable::default())
}

/// A unit of this name that appends its name to a file of its own in the work folder: see [`House::began`].
#[must_use]
pub fn appending(house: &House, name: &str) -> Executable {
    let words = [house.binary("probe"), "append".to_owned(), house.work(name), name.to_owned()];
    rpc::named(name, rpc::argv(&words))
}

impl House {
    /// How often a unit of [`appending`] has come so far.
    #[must_use]
    pub fn began(&self, name: &str) -> usize {
        fs::read_to_string(self.work(name)).map_or(0, |text| text.lines().count())
    }

    /// The folder of the store.
    #[must_use]
    pub fn schedule_folder(&self) -> PathBuf {
        self.state_dir().join("schedule")
    }

    /// Every path that begins as the store's folder does: the store, its lock, its copies, the evidence.
    #[must_use]
    pub fn schedule_paths(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state_dir()).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("schedule"))
            })
            .collect();
        paths.sort();
        paths
    }
}

/// Every file below a folder, in order.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

impl Daemon {
    /// A client of `Schedule` over a new connection.
    #[must_use]
    #[track_caller]
    pub fn schedule_client(&self) -> ScheduleClient<Channel> {
        ScheduleClient::new(self.connect()).max_decoding_message_size(64 << 20)
    }

    /// A client of `ScheduleExecutable` over a new connection.
    #[must_use]
    #[track_caller]
    pub fn change_client(&self) -> ScheduleExecutableClient<Channel> {
        ScheduleExecutableClient::new(self.connect())
    }

    /// `ScheduleExecutable.Enable`; the name that was answered.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn try_enable(&self, executable: Executable) -> Result<String, Status> {
        let mut client = self.change_client();
        let answer = self.block(client.enable(executable))?.into_inner();
        Ok(answer.meta.unwrap_or_default().name)
    }

    /// The same of a definition that the daemon must accept.
    ///
    /// # Panics
    /// Where it does not, or answers another name.
    #[track_caller]
    pub fn enable(&self, executable: Executable) {
        let name = name_of(&executable).to_owned();
        assert_eq!(self.try_enable(executable).expect("the daemon enables it"), name);
    }

    /// `ScheduleExecutable.Disable`; the name that was answered.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn disable(&self, name: &str) -> Result<String, Status> {
        let mut client = self.change_client();
        let answer = self.block(client.disable(only_name(name)))?.into_inner();
        Ok(answer.meta.unwrap_or_default().name)
    }

    /// `ScheduleExecutable.Destroy`; the name that was answered.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn destroy(&self, name: &str) -> Result<String, Status> {
        let mut client = self.change_client();
        let answer = self.block(client.destroy(only_name(name)))?.into_inner();
        Ok(answer.meta.unwrap_or_default().name)
    }

    /// `Schedule.ShowEnabled`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn enabled(&self) -> Result<Vec<Executable>, Status> {
        let mut client = self.schedule_client();
        let answer = self.block(client.show_enabled(ShowEnabledRequest::default()))?;
        Ok(answer.into_inner().executables)
    }

    /// `Schedule.ShowDisabled`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn disabled(&self) -> Result<Vec<Executable>, Status> {
        let mut client = self.schedule_client();
        let answer = self.block(client.show_disabled(ShowDisabledRequest::default()))?;
        Ok(answer.into_inner().executables)
    }

    /// `Schedule.List`, to its end; the selection may be a number that is none.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn try_list(&self, selection: i32) -> Result<Vec<Registration>, Status> {
        let mut client = self.schedule_client();
        self.block(async {
            let mut stream = client.list(ListRequest { selection }).await?.into_inner();
            let mut all = Vec::new();
            while let Some(registration) = stream.message().await? {
                all.push(registration);
            }
            Ok(all)
        })
    }

    /// Everything that is registered, as a name, whether it is enabled, and a comment.
    ///
    /// # Panics
    /// Where the daemon refuses, or a status is neither.
    #[must_use]
    #[track_caller]
    pub fn registered(&self) -> Vec<(String, bool, String)> {
        let all = self.try_list(Selection::All.into()).expect("the schedule can be read");
        all.into_iter()
            .map(|registration| {
                let enabled = match registration.status() {
                    State::Standby => true,
                    State::Passive => false,
                    other => panic!("a registration's status is {other:?}"),
                };
                let executable = registration.executable.expect("it is there");
                (name_of(&executable).to_owned(), enabled, executable.comment)
            })
            .collect()
    }

    /// `Schedule.Show`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn show(&self, name: &str) -> Result<Registration, Status> {
        let meta = Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() });
        let mut client = self.schedule_client();
        let answer = self.block(client.show(ShowRequest { meta }))?.into_inner();
        Ok(answer.registration.expect("what is shown is there"))
    }

    /// `Schedule.Export`, to its end.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn export(&self) -> Result<Vec<ExportItem>, Status> {
        let mut client = self.schedule_client();
        self.block(async {
            let mut stream = client.export(ExportRequest {}).await?.into_inner();
            let mut all = Vec::new();
            while let Some(item) = stream.message().await? {
                all.push(item);
            }
            Ok(all)
        })
    }

    /// What grpc.health.v1 says of a service.
    ///
    /// # Panics
    /// Where it does not know the service.
    #[must_use]
    #[track_caller]
    pub fn health(&self, service: &str) -> &'static str {
        let mut client = HealthClient::new(self.connect());
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = self.block(client.check(request)).expect("the service is known").into_inner();
        answer.status().as_str_name()
    }
}
