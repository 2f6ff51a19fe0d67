//! A client of drunc's process manager that shares no code with the daemon: tests/clients/drunc.py.

use std::{
    env,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::{Daemon, House, Options, Process, binaries, driver::Driver, eventually};

/// The Python that has what the client needs: `AURAE_TEST_PYTHON`, or what .ci/run has made beside the programs.
fn python() -> PathBuf {
    let made = || binaries::folder().parent().expect("cargo's layout").join("python/bin/python3");
    env::var_os("AURAE_TEST_PYTHON").map_or_else(made, PathBuf::from)
}

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let mut command = Command::new(python());
        command.args(["-c", "import grpc, google.protobuf.message_factory"]);
        python().exists() && Process::start(command, || {}).finish().status.success()
    })
}

/// An address that was free a moment ago, and is nobody else's in a moment, as a rule.
///
/// # Panics
/// Where the machine has no loopback.
#[must_use]
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a loopback")
}

/// A daemon that serves drunc's clients, with more lines in that section of the configuration.
///
/// # Panics
/// Where it does not become ready.
#[must_use]
#[track_caller]
pub fn daemon_with(options: Options, lines: &[&str]) -> (Daemon, SocketAddr) {
    let address = free_address();
    let listen = format!("listen = \"{address}\"");
    let options = options.config("doors.drunc", &listen);
    let options = lines.iter().fold(options, |options, line| options.config("doors.drunc", line));
    let daemon = Daemon::start_in(House::prepare(options));
    listens(address);
    (daemon, address)
}

/// Waits until somebody listens there.
///
/// # Panics
/// Where nobody comes to.
#[track_caller]
pub fn listens(address: SocketAddr) {
    eventually("drunc's clients are served", || TcpStream::connect(address).is_ok());
}

/// A client.
#[derive(Debug)]
pub struct Drunc {
    driver: Driver,
}

impl Drunc {
    /// Connected to there, as this user or as ours.
    ///
    /// # Panics
    /// Where it does not begin.
    #[must_use]
    #[track_caller]
    pub fn connect(daemon: &Daemon, address: SocketAddr, user: Option<u32>) -> Self {
        let mut python = Command::new(python());
        python.env("GRPC_VERBOSITY", "ERROR").env("no_grpc_proxy", "127.0.0.1");
        let server = PathBuf::from(address.to_string());
        Self { driver: Driver::start(python, "drunc.py", daemon.path(), &server, user) }
    }

    /// Has it do something; what it says.
    ///
    /// # Panics
    /// Where it says nothing.
    #[track_caller]
    pub fn order(&mut self, order: &Value) -> Value {
        self.driver.order(order)
    }

    /// A call of a generation, whose request is of this type.
    #[track_caller]
    pub fn call(&mut self, generation: &str, method: &str, kind: &str, request: Value) -> Value {
        let order = json!({"gen": generation, "method": method, "type": kind, "request": request});
        self.order(&order)
    }

    /// A call with a query.
    #[track_caller]
    pub fn query(&mut self, generation: &str, method: &str, query: Value) -> Value {
        self.call(generation, method, "ProcessQuery", query)
    }

    /// Boots something that has to be booted: the instance.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn boot(&mut self, generation: &str, request: Value) -> Value {
        let answer = self.call(generation, "boot", "BootRequest", request);
        let data = &answer["data"];
        let instance = if generation == "G4" { &data["values"][0] } else { data };
        assert!(instance["uuid"]["uuid"].is_string(), "not booted: {answer}");
        instance.clone()
    }
}

/// A request to run a script on this machine.
#[must_use]
pub fn booting(name: &str, script: &str) -> Value {
    json!({
        "process_description": {
            "metadata": {"user": "tester", "session": "test", "name": name},
            "executable_and_arguments": [{"exec": script}],
        },
        "process_restriction": {"allowed_hosts": ["localhost"]},
    })
}

/// The uuid of an instance.
///
/// # Panics
/// Where it has none.
#[must_use]
#[track_caller]
pub fn uuid(instance: &Value) -> String {
    instance["uuid"]["uuid"].as_str().unwrap_or_else(|| panic!("no uuid: {instance}")).to_owned()
}

/// The names in a list of instances, in its order.
#[must_use]
pub fn names(answer: &Value) -> Vec<String> {
    let name =
        |it: &Value| it["process_description"]["metadata"]["name"].as_str().map(str::to_owned);
    answer["data"]["values"].as_array().into_iter().flatten().filter_map(name).collect()
}
