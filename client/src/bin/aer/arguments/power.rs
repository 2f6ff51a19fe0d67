//! The arguments of the verbs that end a machine.

use clap::{Args, Subcommand};

use client::quantity::parse_time;

#[derive(Debug, Subcommand)]
pub(crate) enum PowerVerb {
    /// Switches it off; a container ends
    Off(Power),
    /// Begins it anew
    Reboot(Power),
    /// Has it stand still; a container ends
    Halt(Power),
    /// Goes on with the kernel that has been loaded
    Kexec(Power),
    /// Takes back what is planned for later
    Cancel,
}

#[derive(Args, Debug)]
pub(crate) struct Power {
    /// Kills what runs, without waiting; disks are unmounted all the same
    #[arg(long)]
    pub(crate) force: bool,
    /// In so much time, such as 5m
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "0")]
    pub(crate) delay: u64,
    /// What people are told, in the daemon's log and on the console
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) message: String,
}
