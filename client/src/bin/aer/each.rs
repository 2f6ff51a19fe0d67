//! A verb of many names: each is tried, whatever becomes of the others.

use crate::{failure::Failure, render};

/// Does the deed for each name. The status is 1 where one of them failed, which is told at once.
pub(crate) async fn name(
    names: &[String],
    deed: impl AsyncFn(&str) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut status = 0;
    for name in names {
        match deed(name).await {
            Ok(()) => {}
            // What is done for the other names could not be told either.
            Err(unwritten @ Failure::Output { .. }) => return Err(unwritten),
            Err(failure) => {
                render::failure(&failure);
                status = 1;
            }
        }
    }
    Ok(status)
}
