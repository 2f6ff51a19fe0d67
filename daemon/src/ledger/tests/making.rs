//! Anything that may be kept, made by chance.

use std::{sync::Arc, time::Duration};

use api::{meta::AuraeMeta, runtime::Executable};
use proptest::{collection::vec, option, prelude::*, sample::select};
use units::{
    Account, Cause, Change, ChangeCause, Desired, Door, ExitRecord, Leftovers, Name, Origin,
    ProcessExit, ProcessUsage, Role, RunId, StartFailure, StopHow, UnitResult, UnitSpec, UnitState,
    Wanted,
    kept::{
        End, Failure, Identity, Keep, KeptBelonging, KeptEnd, KeptRun, KeptUnit, Listener, Part,
        Stage, StartWindow,
    },
};

use super::USUAL;
use crate::definition;

fn name() -> impl Strategy<Value = Name> {
    (0..4).prop_map(|number| format!("unit-{number}").parse().unwrap())
}

fn id() -> impl Strategy<Value = RunId> {
    (0_u8..6).prop_map(|number| RunId::from_bytes([number; 16]))
}

fn origin() -> impl Strategy<Value = Origin> {
    (select(&[Door::Grpc, Door::Drunc, Door::Drpc, Door::Daemon][..]), ".{0,8}", ".{0,8}")
        .prop_map(|(door, identity, reason)| Origin { door, identity, reason })
}

fn failure() -> impl Strategy<Value = StartFailure> {
    (any::<i32>(), any::<i32>(), ".{0,8}").prop_map(|(stage, errno, message)| StartFailure {
        stage,
        errno,
        message,
    })
}

fn exit() -> impl Strategy<Value = ProcessExit> {
    let cause = prop_oneof![
        any::<i32>().prop_map(Cause::Exited),
        any::<(i32, bool)>()
            .prop_map(|(signal, core_dumped)| Cause::Signalled { signal, core_dumped }),
        failure().prop_map(Cause::Failed),
        ".{0,8}".prop_map(Cause::Lost),
    ];
    (cause, any::<(i64, u64, u64)>()).prop_map(|(cause, (at, user_time, system_time))| {
        ProcessExit { cause, at, usage: ProcessUsage { user_time, system_time } }
    })
}

fn leftovers() -> impl Strategy<Value = Leftovers> {
    use Leftovers::{Killed, Left, None, Terminated};
    select(&[None, Terminated, Killed, Left][..])
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Main),
        (0_usize..9).prop_map(Role::Before),
        (0_usize..9).prop_map(Role::After),
        (0_usize..9).prop_map(Role::OnStop),
        (0_usize..9).prop_map(Role::OnReload),
    ]
}

fn time() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

fn account() -> impl Strategy<Value = Account> {
    (
        option::of(any::<u64>()),
        any::<u64>(),
        option::of(any::<bool>()),
        option::of(vec(any::<u8>(), 0..9)),
    )
        .prop_map(|(number, count, flag, last_line)| Account {
            user_time: number,
            memory_peak: number.map(|number| number / 2),
            out_of_memory: flag,
            stdout_total: count,
            log_end: count / 2,
            last_line,
            ..Account::default()
        })
}

fn record() -> impl Strategy<Value = Arc<ExitRecord>> {
    (
        (id(), name(), ".{0,8}", any::<(i32, i64, u32)>()),
        exit(),
        account(),
        leftovers(),
        (origin(), option::of(origin())),
    )
        .prop_map(
            |(
                (run, name, comment, (pid, started_at, restarts)),
                exit,
                account,
                leftovers,
                (started_by, stopped_by),
            )| {
                let ProcessExit { cause, at: ended_at, usage } = exit;
                Arc::new(ExitRecord {
                    run,
                    name,
                    comment,
                    pid,
                    cause,
                    started_at,
                    ended_at,
                    usage,
                    account,
                    leftovers,
                    restarts,
                    started_by,
                    stopped_by,
                })
            },
        )
}

fn identity() -> impl Strategy<Value = Identity> {
    (id(), name(), any::<(bool, u64)>(), ".{0,8}").prop_map(
        |(run, name, (anonymous, fingerprint), comment)| Identity {
            run,
            name,
            anonymous,
            comment,
            fingerprint,
        },
    )
}

fn run() -> impl Strategy<Value = KeptRun> {
    use Stage::{Clearing, Running, Settling, Starting};
    let end = prop_oneof![
        Just(End::Unwanted),
        any::<i32>().prop_map(End::Pending),
        any::<i32>().prop_map(End::Asked),
        any::<i32>().prop_map(End::Preparing),
        (0_u64..1 << 60).prop_map(|nanos| End::Killed(Duration::from_nanos(nanos))),
    ];
    let belonging = (role(), any::<(u32, bool)>())
        .prop_map(|(role, (restarts, entirely))| KeptBelonging { role, restarts, entirely });
    (
        (identity(), origin(), option::of(origin())),
        (
            select(&[Starting, Running, Clearing, Settling][..]),
            end,
            any::<(i32, i64, i64, bool, bool)>(),
        ),
        (option::of(exit()), option::of(failure()), option::of(".{0,8}")),
        (leftovers(), option::of(time()), option::of(belonging)),
        option::of((".{0,8}", any::<u32>(), any::<bool>())),
    )
        .prop_map(
            |(
                (identity, started_by, stopped_by),
                (stage, end, (pid, started_at, gone_at, empty, unclaimed)),
                (exit, failure, lost),
                (leftovers, timer, unit),
                listener,
            )| {
                KeptRun {
                    identity,
                    started_by,
                    stopped_by,
                    stage,
                    end,
                    pid,
                    started_at,
                    exit,
                    empty,
                    gone_at,
                    failure,
                    lost,
                    leftovers,
                    timer,
                    unclaimed,
                    listener: listener.map(|(socket, rank, chunked)| Listener {
                        socket,
                        rank,
                        chunked,
                    }),
                    unit,
                }
            },
        )
}

fn spec(name: &Name, comment: &str) -> Arc<UnitSpec> {
    let meta = Some(AuraeMeta { name: name.to_string(), ..AuraeMeta::default() });
    let command = "sleep 1".to_owned();
    let executable =
        Executable { meta, command, comment: comment.to_owned(), ..Executable::default() };
    Arc::new(definition::unit(executable, USUAL).unwrap())
}

fn state() -> impl Strategy<Value = UnitState> {
    use UnitState::{Exited, Failed, Inactive, Reloading, Running, Starting, Stopping, Waiting};
    prop_oneof![
        select(&[Inactive, Starting, Running, Reloading, Exited, Stopping, Waiting, Failed][..]),
        (0_usize..9).prop_map(UnitState::Before),
        (0_usize..9).prop_map(UnitState::After),
    ]
}

fn result() -> impl Strategy<Value = UnitResult> {
    use UnitResult::{
        CoreDump, ExitCode, OutOfMemory, Protocol, Resources, Signal, StartLimitHit, Success,
        Timeout,
    };
    select(
        &[
            Success,
            ExitCode,
            Signal,
            CoreDump,
            OutOfMemory,
            Timeout,
            StartLimitHit,
            Protocol,
            Resources,
        ][..],
    )
}

fn part() -> impl Strategy<Value = Option<Part>> {
    option::of((id(), role(), any::<i32>()).prop_map(|(run, role, pid)| Part { run, role, pid }))
}

fn how() -> impl Strategy<Value = StopHow> {
    prop_oneof![Just(StopHow::Usual), any::<i32>().prop_map(StopHow::Signal), Just(StopHow::Kill)]
}

fn unit() -> impl Strategy<Value = KeptUnit> {
    let failure = option::of(("[a-z]{0,8}", option::of(record())));
    (
        (
            name(),
            "[a-z]{0,8}",
            option::of(("[a-z]{0,8}", origin())),
            select(&[Wanted::Up, Wanted::Down][..]),
            origin(),
        ),
        (state(), result(), failure, option::of(id()), part(), part(), option::of(record())),
        (
            any::<(bool, bool, bool, bool, bool)>(),
            any::<(i64, i64, u32, u32, u32, u64)>(),
            origin(),
            how(),
        ),
        (option::of(time()), option::of(time()), time(), option::of(".{0,8}")),
    )
        .prop_map(
            |(
                (name, comment, next, wanted, wanted_by),
                (state, result, failure, first_run, main, control, last),
                (flags, numbers, by, how),
                (up_since, timer, opened, status_text),
            )| {
                let (ran, said_ready, unready, overdue, asked) = flags;
                let (at, since, restarts, streak, starts, started) = numbers;
                let next = next.map(|(comment, by)| (spec(&name, &comment), by));
                let failure = failure.map(|(why, record)| Box::new(Failure { why, record }));
                let desired = Desired { wanted, by: wanted_by, at };
                KeptUnit {
                    spec: spec(&name, &comment),
                    desired,
                    state,
                    since,
                    result,
                    failure,
                    first_run,
                    main,
                    control,
                    last,
                    ran,
                    said_ready,
                    unready,
                    overdue,
                    up_since,
                    by,
                    how,
                    asked,
                    next,
                    restarts,
                    streak,
                    window: StartWindow { opened, starts },
                    timer,
                    status_text,
                    started,
                }
            },
        )
}

/// A unit as the core says it: its specifications first.
fn said(unit: KeptUnit) -> Vec<Keep> {
    let next = unit.next.iter().map(|(spec, _)| Keep::NextSpec(Arc::clone(spec)));
    let mut keeps: Vec<Keep> = next.collect();
    keeps.extend([Keep::Spec(Arc::clone(&unit.spec)), Keep::Unit(Arc::new(unit))]);
    keeps
}

fn keep() -> impl Strategy<Value = Vec<Keep>> {
    let end = (identity(), record(), any::<bool>()).prop_map(|(identity, record, of_unit)| {
        KeptEnd { identity: Identity { run: record.run, ..identity }, record, of_unit }
    });
    prop_oneof![
        4 => unit().prop_map(said),
        4 => run().prop_map(|run| vec![Keep::Run(Arc::new(run))]),
        2 => end.prop_map(|end| vec![Keep::Ended(end)]),
        1 => name().prop_map(|name| vec![Keep::Forgotten(name)]),
        1 => id().prop_map(|run| vec![Keep::Gone(run)]),
    ]
}

fn change(sequence: u64) -> impl Strategy<Value = Arc<Change>> {
    let cause = prop_oneof![
        origin().prop_map(ChangeCause::Order),
        ".{0,8}".prop_map(ChangeCause::Policy),
        Just(ChangeCause::Readiness),
        ".{0,8}".prop_map(ChangeCause::Exit),
        ".{0,8}".prop_map(ChangeCause::Timeout),
        Just(ChangeCause::OutOfMemory),
    ];
    (
        (name(), state(), state(), option::of(id())),
        any::<(i64, i32)>(),
        cause,
        result(),
        option::of(record()),
    )
        .prop_map(move |((name, from, to, run), (at, pid), cause, result, record)| {
            Arc::new(Change { sequence, at, name, from, to, run, pid, cause, result, record })
        })
}

/// Steps, each of which tells one change.
pub(super) fn steps() -> impl Strategy<Value = Vec<(Vec<Keep>, Arc<Change>)>> {
    let keeps = vec(keep(), 1..4).prop_map(|keeps| keeps.concat());
    vec((keeps, change(0)), 1..8).prop_map(|mut steps| {
        for ((_, change), number) in steps.iter_mut().zip(1..) {
            *change = Arc::new(Change { sequence: number, ..Change::clone(change) });
        }
        steps
    })
}
