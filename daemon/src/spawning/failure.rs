//! Why a run never executed its program, in the words of the record.

use std::{io, path::Path};

use api::runtime::StartStage;
use nix::errno::Errno;
use spawn::Stage;
use units::StartFailure;

use crate::setting::{SettingFailure, errno_of};

/// Why a process came no further than this step, with what its unit says of it.
pub(super) fn explain(program: &Path, setting: &units::Setting, why: &spawn::Failure) -> String {
    if why.stage == Stage::Exec {
        return spawn::explain_exec(program, why.errno);
    }
    let of_its_own = if why.stage == Stage::Chdir {
        setting.working_directory.as_ref().map(|folder| format!(" {folder}"))
    } else if why.stage == Stage::User || why.stage == Stage::Group {
        setting.user.as_ref().map(|user| format!(" {user}"))
    } else if why.stage == Stage::Nice {
        setting.nice.map(|nice| format!(" to {nice}"))
    } else {
        None
    };
    let of_its_own = of_its_own.unwrap_or_default();
    format!("cannot start {}: {why}{of_its_own}: {}", program.display(), why.errno.desc())
}

/// A step that failed, for this reason.
pub(super) fn failure(stage: Stage, errno: Errno, sentence: &str) -> StartFailure {
    let (stage, errno) = (stage_number(stage), errno_number(errno));
    StartFailure { stage, errno, message: sentence.to_owned() }
}

/// The kernel's number; 0 where the reason is not the kernel's.
fn errno_number(errno: Errno) -> i32 {
    if errno == Errno::UnknownErrno { 0 } else { errno as i32 }
}

/// The wire's number of a stage: the exit code where systemd has one.
fn stage_number(stage: Stage) -> i32 {
    let uncoded = if stage == Stage::Killed { StartStage::Killed } else { StartStage::Clone };
    stage.code().unwrap_or(uncoded.into())
}

/// Its pipes cannot be made.
pub(super) fn pipes(why: &io::Error) -> StartFailure {
    failure(Stage::Descriptors, errno_of(why), &format!("cannot make its descriptors: {why}"))
}

/// The keeper does not take them.
pub(super) fn keeper_fails(why: &io::Error) -> StartFailure {
    if why.kind() == io::ErrorKind::BrokenPipe {
        let sentence = units::Refusal::KeeperLost.to_string();
        return failure(Stage::Descriptors, errno_of(why), &sentence);
    }
    let sentence = format!("the keeper cannot hold its descriptors: {why}");
    failure(Stage::Descriptors, errno_of(why), &sentence)
}

/// No process was made.
pub(super) fn nothing_made(failure: StartFailure) -> (StartFailure, i32) {
    (failure, 0)
}

/// What its setting says cannot be had.
pub(super) fn unset(why: SettingFailure) -> StartFailure {
    let SettingFailure { stage, errno, sentence } = why;
    StartFailure { stage: stage.into(), errno: errno_number(errno), message: sentence }
}
