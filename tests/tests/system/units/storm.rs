//! Many at once who want opposite things of one unit.

use api::runtime::{
    Executable, RestartRequest, RestartWhen, StopRequest, UnitState, WaitRequest,
    restart_request::What, runtime_client::RuntimeClient,
};
use tests::{
    Daemon, Options, argv, eventually,
    rpc::named,
    storm::{Random, seed},
    units::{again, by_name, meta, stopping},
};
use tonic::{Code, Request, Status, transport::Channel};

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![sixteen_clients_on_one_unit]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; a_unit_that_flaps_disturbs_nobody, a_stop_ends_a_flapping_unit]
}

const CLIENTS: u64 = 16;
const ORDERS: usize = 12;

/// One order of a client: start, stop, restart or kill.
async fn order(runtime: &mut RuntimeClient<Channel>, which: u64) -> Result<(), Status> {
    match which {
        0 | 1 => runtime.start(by_name("web")).await.map(drop),
        2 => runtime.stop(stopping("web")).await.map(drop),
        3 => {
            let what = Some(What::Name("web".to_owned()));
            runtime.restart(RestartRequest { what }).await.map(drop)
        }
        _ => runtime.stop(StopRequest { kill: true, ..stopping("web") }).await.map(drop),
    }
}

/// A client's orders, one after the other; each must be answered, well or with the news that somebody wanted the
/// opposite.
async fn orders(mut runtime: RuntimeClient<Channel>, mut random: Random) {
    for _ in 0..ORDERS {
        let answer = order(&mut runtime, random.below(5)).await;
        let refused = answer.err().filter(|why| why.code() != Code::Aborted);
        assert!(refused.is_none(), "{refused:?}");
    }
}

/// Start, stop, restart and kill from sixteen clients at once: there are never two runs of the unit, every call is
/// answered, and in the end it is as the last one wants it.
fn sixteen_clients_on_one_unit(options: Options) {
    let seed = seed();
    Daemon::with(options.stop_timeout("5s"), |daemon| {
        let (lock, complaints) = (daemon.work("lock"), daemon.work("complaints"));
        let words = ["sole", &lock, &complaints, "pause"];
        let restart = Some(again(RestartWhen::OnFailure));
        daemon.up(Executable { restart, ..named("web", daemon.probe(&words)) });
        let begin = |client: u64| {
            let random = Random::new(seed ^ client);
            daemon.runtime().spawn(orders(daemon.runtime_client(), random))
        };
        let clients: Vec<_> = (1..=CLIENTS).map(begin).collect();
        for client in clients {
            daemon.block(client).unwrap_or_else(|why| panic!("AURAE_SEED={seed}: {why}"));
        }
        daemon.order_start(Request::new(by_name("web"))).unwrap();
        assert_eq!(daemon.unit("web").state(), UnitState::Running, "AURAE_SEED={seed}");
        assert_eq!(daemon.status().runs_live, 1, "AURAE_SEED={seed}");
        daemon.down("web");
        assert_eq!(daemon.unit("web").state(), UnitState::Inactive, "AURAE_SEED={seed}");
        assert_eq!(daemon.status().runs_live, 0, "AURAE_SEED={seed}");
        let said = std::fs::read_to_string(&complaints).unwrap_or_default();
        assert_eq!(said, "", "AURAE_SEED={seed}: two runs at once");
    });
}

/// A unit that dies at once and is always started again, without a pause and without a limit: others are served,
/// and calls are answered.
fn a_unit_that_flaps_disturbs_nobody() {
    Daemon::with(Options::default(), |daemon| {
        let flapping = Executable {
            restart: Some(again(RestartWhen::Always)),
            ..named("flapping", argv(&["/bin/false"]))
        };
        drop(daemon.try_up(flapping));
        let quiet = daemon.up(named("quiet", daemon.probe(&["pause"])));
        daemon.until("flapping", "it has flapped 100 times", |unit| unit.restarts >= 100);
        for _ in 0..20 {
            assert_eq!(daemon.answer(argv(&["/bin/echo", "x"])).stdout, "x\n");
        }
        assert_eq!(daemon.unit("quiet").run_id, quiet.run_id);
        daemon.down("flapping");
        let after = daemon.unit("flapping");
        assert!(matches!(after.state(), UnitState::Inactive | UnitState::Failed), "{after:?}");
        eventually("nothing of it runs", || daemon.status().runs_live == 1);
    });
}

/// A unit that flaps is down for good when Stop answers, and Wait says so.
fn a_stop_ends_a_flapping_unit() {
    Daemon::with(Options::default(), |daemon| {
        let words = ["append", &daemon.work("runs"), "x", "exit", "1"];
        let flapping = Executable {
            restart: Some(again(RestartWhen::OnFailure)),
            ..named("flapping", daemon.probe(&words))
        };
        drop(daemon.try_up(flapping));
        daemon.until("flapping", "it flaps", |unit| unit.restarts >= 5);
        let mut client = daemon.runtime_client();
        let wait = WaitRequest { meta: meta("flapping"), ..WaitRequest::default() };
        let waiting = daemon.runtime().spawn(async move { client.wait(wait).await });
        daemon.down("flapping");
        let runs = std::fs::read_to_string(daemon.work("runs")).unwrap().lines().count();
        let waited = daemon.block(waiting).unwrap().unwrap().into_inner();
        assert!(matches!(waited.state(), UnitState::Inactive | UnitState::Failed), "{waited:?}");
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
        let later = std::fs::read_to_string(daemon.work("runs")).unwrap().lines().count();
        assert_eq!(runs, later, "it was started after it was stopped");
    });
}
