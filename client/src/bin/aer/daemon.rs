//! `aer daemon`: another daemon in the place of this one, and what this one prints. Nothing but the daemon ends.

use std::path::{Path, PathBuf};

use client::Client;

use crate::{
    arguments::{DaemonVerb, Format, LogLevel, Upgrade},
    failure::Failure,
    render,
};

pub(crate) async fn run(
    client: &Client,
    wanted: DaemonVerb,
    output: Format,
) -> Result<u8, Failure> {
    let (verb, next) = match wanted {
        DaemonVerb::LogLevel(LogLevel { filter }) => {
            let told = client.log_level(filter.as_deref().unwrap_or_default()).await?;
            match output {
                Format::Table => render::document(render::log_level(&told).as_bytes())?,
                Format::Json => render::json(&render::LogLevel::from(&told))?,
            }
            return Ok(0);
        }
        DaemonVerb::Restart => ("restarted", client.restart_daemon().await?),
        DaemonVerb::Upgrade(Upgrade { binary, keep_keeper }) => {
            let binary = binary.as_deref().map(absolute).unwrap_or_default();
            let binary = binary.to_string_lossy();
            ("upgraded", client.upgrade_daemon(&binary, keep_keeper).await?)
        }
    };
    match output {
        Format::Table => render::document(render::replaced(verb, &next).as_bytes())?,
        Format::Json => render::json(&render::Daemon::from(&next))?,
    }
    Ok(0)
}

/// A path means the folder that aer was started in; the daemon's differs.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
