//! What signals mean to the keeper: few to a service, those of systemd(1) to the first process of a machine, and an orderly
//! end to that of a container.

use keeper::protocol::Power;
use nix::{
    errno::Errno,
    sys::signalfd::{SfdFlags, SignalFd},
};

use super::{Aim, Role, calls};

/// What a signal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To look for children that have ended.
    Children,
    /// An orderly stop; asked again, at once.
    Stop,
    /// Another configuration.
    Reload,
    /// To tell how things stand.
    Tell,
    /// An orderly end of everything, and then this.
    End(Aim),
    /// The same without order.
    EndNow(Aim),
    /// A reboot in order; where it comes more than seven times in two seconds, at once: Ctrl-Alt-Del.
    Interrupt,
    /// Keeper and daemon anew, with everything that runs as it is.
    Execute,
}

/// The signals that are taken, blocked: they stay so when another program takes our place.
pub(crate) fn take(role: Role) -> Result<SignalFd, Errno> {
    block(&taken(role))
}

fn taken(role: Role) -> Vec<i32> {
    let mut taken = vec![libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    if role != Role::Service {
        taken.extend([libc::SIGPWR, libc::SIGUSR1, libc::SIGUSR2]);
        taken.extend((1..=6).chain(13..=16).map(calls::real_time));
    }
    taken
}

/// All that can be handed on to somebody else; what the kernel sends for a fault of our own, or of the terminal, stays ours.
pub(crate) fn take_all() -> Result<SignalFd, Errno> {
    const OURS: [i32; 10] = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    let all: Vec<i32> =
        (1..32).chain(calls::real_time(0)..65).filter(|it| !OURS.contains(it)).collect();
    block(&all)
}

fn block(signals: &[i32]) -> Result<SignalFd, Errno> {
    let set = calls::set_of(signals);
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// What this one means.
pub(crate) fn wish(role: Role, signal: i32) -> Wish {
    let of_machine = role == Role::Machine;
    match signal {
        libc::SIGTERM if of_machine => Wish::Execute,
        libc::SIGINT if of_machine => Wish::Interrupt,
        libc::SIGTERM | libc::SIGINT => Wish::Stop,
        libc::SIGHUP => Wish::Reload,
        libc::SIGCHLD => Wish::Children,
        _ if role == Role::Service => Wish::Children,
        libc::SIGPWR => Wish::End(Aim::Power(Power::Off)),
        libc::SIGUSR1 | libc::SIGUSR2 => Wish::Tell,
        _ => of_real_time(signal),
    }
}

fn of_real_time(signal: i32) -> Wish {
    match signal.saturating_sub(calls::real_time(0)) {
        1 => Wish::End(Aim::Rescue),
        2 => Wish::EndNow(Aim::Rescue),
        3 => Wish::End(Aim::Power(Power::Halt)),
        4 => Wish::End(Aim::Power(Power::Off)),
        5 => Wish::End(Aim::Power(Power::Reboot)),
        6 => Wish::End(Aim::Power(Power::Kexec)),
        13 => Wish::EndNow(Aim::Power(Power::Halt)),
        14 => Wish::EndNow(Aim::Power(Power::Off)),
        15 => Wish::EndNow(Aim::Power(Power::Reboot)),
        16 => Wish::EndNow(Aim::Power(Power::Kexec)),
        _ => Wish::Children,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_ends_and_nothing_else() {
        for signal in taken(Role::Service) {
            let expected = match signal {
                libc::SIGTERM | libc::SIGINT => Wish::Stop,
                libc::SIGHUP => Wish::Reload,
                _ => Wish::Children,
            };
            assert_eq!(wish(Role::Service, signal), expected, "signal {signal}");
        }
    }

    #[test]
    fn sigterm_stops_a_container_and_executes_a_machine_anew() {
        assert_eq!(wish(Role::Container, libc::SIGTERM), Wish::Stop);
        assert_eq!(wish(Role::Machine, libc::SIGTERM), Wish::Execute);
        assert_eq!(wish(Role::Machine, libc::SIGINT), Wish::Interrupt);
    }

    #[test]
    fn the_numbers_are_those_of_systemd() {
        let power = |power| Wish::End(Aim::Power(power));
        let now = |power| Wish::EndNow(Aim::Power(power));
        for role in [Role::Machine, Role::Container] {
            let of = |n| wish(role, calls::real_time(n));
            assert_eq!(
                [of(3), of(4), of(5), of(6)].map(Some),
                [Power::Halt, Power::Off, Power::Reboot, Power::Kexec].map(|it| Some(power(it)))
            );
            assert_eq!(
                [of(13), of(14), of(15), of(16)].map(Some),
                [Power::Halt, Power::Off, Power::Reboot, Power::Kexec].map(|it| Some(now(it)))
            );
            assert_eq!((of(1), of(2)), (Wish::End(Aim::Rescue), Wish::EndNow(Aim::Rescue)));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_number_means_something(signal in proptest::prelude::any::<i32>()) {
            for role in [Role::Service, Role::Machine, Role::Container] {
                let _ = wish(role, signal);
            }
        }
    }
}
