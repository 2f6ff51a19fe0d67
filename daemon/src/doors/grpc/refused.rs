//! What this door refuses itself, before the core hears of it, is in the audit log all the same.

use api::meta::AuraeMeta;
use tonic::Status;
use units::Origin;

use crate::doors::Core;

/// The name that a request says, whatever it is.
pub(super) fn said(meta: Option<&AuraeMeta>) -> String {
    meta.map(|meta| meta.name.clone()).unwrap_or_default()
}

/// Passes on what came of looking at a request to do this to something of this name, and tells where it was refused.
pub(super) fn told<T>(
    core: &Core,
    (action, name): (&'static str, &str),
    origin: &Origin,
    looked_at: Result<T, Status>,
) -> Result<T, Status> {
    if let Err(status) = &looked_at {
        core.tell_refused((action, name), origin, status.message());
    }
    looked_at
}
