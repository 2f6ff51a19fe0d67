//! Where client and daemon meet when nobody says otherwise: part of the wire, so both take it from here.

use std::path::PathBuf;

/// The daemon's socket for this user: `/run/aurae/aurae.sock` for root, otherwise
/// `$XDG_RUNTIME_DIR/aurae/aurae.sock`, and `/tmp/aurae-UID/aurae.sock` where that variable is not set
/// (XDG Base Directory Specification: "fall back to a replacement directory with similar capabilities";
/// the daemon refuses a folder there that belongs to somebody else).
#[must_use]
pub fn default_path(uid: u32, xdg_runtime_dir: Option<PathBuf>) -> PathBuf {
    runtime_dir(uid, xdg_runtime_dir).join("aurae.sock")
}

/// The folder that holds the socket and all that dies with the boot.
#[must_use]
pub fn runtime_dir(uid: u32, xdg_runtime_dir: Option<PathBuf>) -> PathBuf {
    if uid == 0 {
        return PathBuf::from("/run/aurae");
    }
    xdg_runtime_dir
        .filter(|dir| dir.is_absolute())
        .map_or_else(|| PathBuf::from(format!("/tmp/aurae-{uid}")), |dir| dir.join("aurae"))
}
