//! Units of every kind.

use std::{sync::Arc, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};
use units::{
    Argv, CommandLine, CommandSpec, ExitSet, KillMode, Kind, Readiness, Restart, RestartWhen,
    StartLimit, StopSpec, UnitSpec,
};

use crate::making::name;

fn milliseconds(counts: &'static [u64]) -> impl Strategy<Value = Duration> {
    select(counts).prop_map(Duration::from_millis)
}

fn command() -> impl Strategy<Value = CommandSpec> {
    prop_oneof![
        2 => Just(CommandSpec::Argv(Argv::new([b"/bin/command".to_vec()]).unwrap())),
        1 => Just(CommandSpec::Line(CommandLine::parse("-/bin/command").unwrap())),
    ]
}

fn exits() -> impl Strategy<Value = ExitSet> {
    select(&["", "", "", "0", "1 2 3", "SIGTERM SIGKILL", "203"][..])
        .prop_map(|text| text.parse().unwrap())
}

fn restart(oneshot: bool) -> BoxedStrategy<Restart> {
    use RestartWhen::{Always, No, OnAbnormal, OnAbort, OnFailure, OnSuccess};
    let when = if oneshot {
        select(&[No, OnFailure, OnAbnormal, OnAbort][..])
    } else {
        select(&[No, Always, OnSuccess, OnFailure, OnAbnormal, OnAbort][..])
    };
    let delay = option::of((1_u32..5, milliseconds(&[1_000, 9_000])));
    let pauses =
        (milliseconds(&[0, 100, 1_000]), delay, milliseconds(&[0, 50]), milliseconds(&[1, 5_000]));
    let limit = (1_u32..5, milliseconds(&[500, 8_000]))
        .prop_map(|(starts, interval)| StartLimit { starts, interval });
    (when, pauses, option::of(limit), (exits(), exits(), exits()))
        .prop_map(
            |(
                when,
                (delay, growth, jitter, reset_after),
                start_limit,
                (success, prevent, force),
            )| {
                let growth = growth.filter(|_| !delay.is_zero());
                Restart {
                    when,
                    delay,
                    max_delay: growth.map(|(_, longest)| longest),
                    steps: growth.map_or(0, |(steps, _)| steps),
                    jitter,
                    reset_after,
                    start_limit,
                    success,
                    prevent,
                    force,
                }
            },
        )
        .boxed()
}

fn stop() -> impl Strategy<Value = StopSpec> {
    use KillMode::{ControlGroup, Mixed, None, Process};
    let mode = select(&[ControlGroup, ControlGroup, Mixed, Process, None][..]);
    let time = milliseconds(&[1, 700, 4_000, 20_000]);
    (select(&[15, 2, 10][..]), time, mode, prop::bool::weighted(0.8)).prop_map(
        |(signal, timeout, kill_mode, final_kill)| StopSpec {
            signal,
            timeout,
            kill_mode,
            final_kill,
        },
    )
}

/// One of a few names, some of which runs of no unit want too.
pub(crate) fn unit() -> BoxedStrategy<Arc<UnitSpec>> {
    (prop::bool::weighted(0.3), any::<bool>())
        .prop_flat_map(|(oneshot, remain_after_exit)| {
            let commands = || prop_oneof![1 => Just(Vec::new()), 1 => vec(command(), 0..3)];
            let commands = (commands(), commands(), commands(), commands());
            let times = (
                option::of(milliseconds(&[300, 6_000, 30_000])),
                option::weighted(0.2, milliseconds(&[200, 3_000])),
            );
            let says = prop_oneof![7 => Just(Readiness::Executed), 3 => Just(Readiness::Notify), 1 => Just(Readiness::Drpc)];
            let who = (2_u8..5, says);
            (who, command(), commands, restart(oneshot), stop(), times).prop_map(
                move |(
                    (end, readiness),
                    main,
                    (before, after, on_stop, on_reload),
                    restart,
                    stop,
                    times,
                )| {
                    let mut spec = UnitSpec::new(name(end), main);
                    (spec.before, spec.after, spec.on_stop) = (before, after, on_stop);
                    (spec.restart, spec.stop, spec.start_timeout) = (restart, stop, times.0);
                    if oneshot {
                        spec.kind = Kind::Oneshot { remain_after_exit };
                    } else {
                        spec.run_limit = times.1;
                    }
                    if !oneshot {
                        spec.readiness = readiness;
                    }
                    if !oneshot || remain_after_exit {
                        spec.on_reload = on_reload;
                    }
                    assert_eq!(spec.check(), Ok(()));
                    Arc::new(spec)
                },
            )
        })
        // Their trees are large, and the stacks of tests are not.
        .boxed()
}
