//! A unit as the command line gives it: a file, or a command with options.

use std::path::PathBuf;

use api::{meta::AuraeMeta, runtime::Executable};
use client::unit_file;

use crate::{
    arguments::UnitOptions,
    failure::Failure,
    file::{self, LARGEST_UNIT},
};

/// What was given. Where there is a file, clap has seen to it that there is nothing else.
pub(crate) struct Definition {
    pub(crate) file: Option<PathBuf>,
    pub(crate) name: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) command: Option<String>,
    pub(crate) argv: Vec<String>,
    pub(crate) options: UnitOptions,
}

impl Definition {
    /// The unit, and its name; that is empty where none was given.
    pub(crate) async fn read(self) -> Result<(Executable, String), Failure> {
        let executable = match self.file {
            Some(path) => file::read(path, LARGEST_UNIT, unit_file::read_unit).await?,
            None => self.options.on(Executable {
                meta: Some(AuraeMeta {
                    name: self.name.unwrap_or_default(),
                    ..AuraeMeta::default()
                }),
                command: self.command.unwrap_or_default(),
                comment: self.comment.unwrap_or_default(),
                argv: self.argv,
                ..Executable::default()
            }),
        };
        let name = executable.meta.as_ref().map(|meta| meta.name.clone()).unwrap_or_default();
        Ok((executable, name))
    }
}
