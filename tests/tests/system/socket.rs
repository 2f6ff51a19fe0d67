//! The socket: who may use it, and what was there before.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{Daemon, House, Need, Options, Process, argv, eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[];
        modes_without_a_group,
        a_stale_socket_is_replaced,
        a_file_is_left_alone,
        a_folder_is_left_alone,
        a_living_daemons_socket_is_left_alone,
        a_strangers_socket_is_left_alone,
        a_second_instance_is_refused,
        an_unclean_end_leaves_a_startable_state,
        configured_by_the_file_alone,
    ];
    all.extend(cases![[Need::Root]; modes_with_a_group, an_unknown_group]);
    all.extend(cases![[Need::OtherUser]; others_are_kept_out]);
    all
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The folder is 0755, the socket 0600.
fn modes_without_a_group() {
    Daemon::with(Options::default(), |daemon| {
        assert_eq!(mode(&daemon.runtime_dir()), 0o755);
        assert_eq!(mode(&daemon.socket()), 0o600);
        assert!(fs::metadata(daemon.socket()).unwrap().file_type().is_socket());
        assert_eq!(mode(&daemon.state_dir()) & 0o022, 0, "nobody else writes the state");
    });
}

/// A configured group owns the socket, which is then 0660.
fn modes_with_a_group() {
    let group = nix::unistd::Group::from_name("daemon").unwrap().expect("every system has it");
    Daemon::with(Options::default().config("system", "group = \"daemon\""), |daemon| {
        assert_eq!(mode(&daemon.socket()), 0o660);
        assert_eq!(fs::metadata(daemon.socket()).unwrap().gid(), group.gid.as_raw());
    });
}

/// A group that does not exist is an error that names it.
fn an_unknown_group() {
    let house = House::prepare(Options::default().config("system", "group = \"no-such-group\""));
    let said = house.refused().err();
    assert!(said.contains("no-such-group"), "{said}");
}

/// Another user cannot reach root's daemon, and is told so in one line.
fn others_are_kept_out() {
    Daemon::with(Options::default(), |daemon| {
        let stranger = House::prepare(Options::default().user(65534));
        let mut command = stranger.command("aer");
        command.arg("--socket").arg(daemon.socket()).arg("status");
        let output = Process::start(command, || {}).finish();
        assert!(!output.status.success());
        assert_eq!(output.err().trim_end().lines().count(), 1, "{}", output.err());
    });
}

fn with_a_file(furnish: impl FnOnce(&House)) -> House {
    let house = House::prepare(Options::default());
    fs::create_dir(house.runtime_dir()).unwrap();
    furnish(&house);
    house
}

/// A socket at which nobody listens any more is replaced.
fn a_stale_socket_is_replaced() {
    let house = with_a_file(|house| drop(UnixListener::bind(house.socket()).unwrap()));
    assert!(house.socket().exists());
    let daemon = Daemon::start_in(house);
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    daemon.stop();
}

/// A regular file in the socket's place is named, and left as it is.
fn a_file_is_left_alone() {
    let house = with_a_file(|house| fs::write(house.socket(), "precious").unwrap());
    let said = house.refused().err();
    assert!(said.contains(house.socket().to_str().unwrap()), "{said}");
    assert_eq!(fs::read_to_string(house.socket()).unwrap(), "precious");
}

/// So is a folder.
fn a_folder_is_left_alone() {
    let house = with_a_file(|house| fs::create_dir(house.socket()).unwrap());
    assert!(house.refused().err().contains(house.socket().to_str().unwrap()));
    assert!(house.socket().is_dir());
}

/// Where a daemon answers already, another one refuses, and the first goes on undisturbed.
fn a_living_daemons_socket_is_left_alone() {
    Daemon::with(Options::default(), |daemon| {
        let other = House::prepare(Options::default());
        let mut command = other.command("auraed");
        command.arg("--config").arg(other.config()).arg("--socket").arg(daemon.socket());
        command.arg("--state-dir").arg(other.state_dir());
        command.arg("--runtime-dir").arg(other.runtime_dir());
        let said = other.refuses(command).err();
        assert!(said.contains(daemon.socket().to_str().unwrap()), "{said}");
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    });
}

/// Any other program that listens there is left alone as well.
fn a_strangers_socket_is_left_alone() {
    let house = House::prepare(Options::default());
    fs::create_dir(house.runtime_dir()).unwrap();
    let listener = UnixListener::bind(house.socket()).unwrap();
    let inode = fs::metadata(house.socket()).unwrap().ino();
    let _ = house.refused();
    assert_eq!(fs::metadata(house.socket()).unwrap().ino(), inode);
    drop(listener);
}

/// A second instance on one state folder is refused, by the folder's name.
fn a_second_instance_is_refused() {
    Daemon::with(Options::default(), |daemon| {
        let other = House::prepare(Options::default());
        let mut command = other.command("auraed");
        command.arg("--config").arg(other.config()).arg("--socket").arg(other.socket());
        command.arg("--state-dir").arg(daemon.state_dir());
        command.arg("--runtime-dir").arg(other.runtime_dir());
        let said = other.refuses(command).err();
        assert!(said.contains(daemon.state_dir().to_str().unwrap()), "{said}");
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    });
}

/// After a kill -9 of keeper and daemon, the same folders serve the next start.
fn an_unclean_end_leaves_a_startable_state() {
    let house = House::prepare(Options::default());
    let first = house.start_raw();
    let core = tests::procfs::descendants(first.pid());
    first.signal(Signal::SIGKILL);
    assert!(first.end_within(tests::PATIENCE).is_some());
    for pid in core {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    eventually("nobody listens any more", || UnixStream::connect(house.socket()).is_err());
    let daemon = Daemon::start_in(house);
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    daemon.stop();
}

/// Socket and folders may all come from the file.
fn configured_by_the_file_alone() {
    let house = House::prepare(Options::default());
    let system = format!(
        "socket = {:?}\nstate_dir = {:?}\nruntime_dir = {:?}\n",
        house.socket(),
        house.state_dir(),
        house.runtime_dir()
    );
    let text = fs::read_to_string(house.config()).unwrap();
    fs::write(house.config(), text.replace("[system]\n", &format!("[system]\n{system}"))).unwrap();
    let mut command = house.command("auraed");
    command.arg("--config").arg(house.config()).env("NOTIFY_SOCKET", house.path().join("notify"));
    let daemon = Daemon::start_as(house, command);
    assert_eq!(daemon.status().meta.unwrap().name, "test-node");
    daemon.stop();
}
