use std::{
    ffi::CString,
    io::{IoSlice, PipeReader, PipeWriter, Write, pipe},
    os::unix::net::UnixDatagram,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{ControlMessage, sendmsg},
        wait::WaitStatus,
    },
};
use proptest::prelude::*;
use spawn::{Method, Parentage, Plan, PlanInput, Spawner};

use super::*;

struct Meeting {
    _folder: tempfile::TempDir,
    socket: NotifySocket,
    service: UnixDatagram,
    address: UnixAddr,
}

impl Meeting {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = NotifySocket::open(&path, None).unwrap();
        let service = UnixDatagram::unbound().unwrap();
        service.connect(&path).unwrap();
        Self { _folder: folder, socket, service, address: UnixAddr::new(&path).unwrap() }
    }

    fn send_with(&self, text: &[u8], descriptors: &[PipeWriter]) {
        let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&numbers)];
        let parts = [IoSlice::new(text)];
        let sender = UnixDatagram::unbound().unwrap();
        let address = Some(&self.address);
        sendmsg(sender.as_raw_fd(), &parts, &control, MsgFlags::empty(), address).unwrap();
    }

    fn receive(&self) -> (i32, Notice) {
        self.socket.receive().expect("a message")
    }
}

fn ourselves() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[test]
fn messages_arrive_in_their_order_with_their_sender() {
    let meeting = Meeting::new();
    assert_eq!(meeting.socket.receive(), None, "it does not wait");
    meeting.service.send(b"STATUS=warming up\n").unwrap();
    meeting.service.send(b"READY=1\nSTATUS=serving\nMAINPID=7\nWATCHDOG=1\nX_Y=z").unwrap();
    let status = |text: &str| Some(text.to_owned());
    let first = Notice { ready: false, status: status("warming up") };
    assert_eq!(meeting.receive(), (ourselves(), first));
    let second = Notice { ready: true, status: status("serving") };
    assert_eq!(meeting.receive(), (ourselves(), second));
    meeting.service.send(b"STOPPING=1").unwrap();
    meeting.service.send(b"RELOADING=1").unwrap();
    let turn: Vec<_> = (0..MESSAGES_A_TURN)
        .map_while(|_| meeting.socket.receive())
        .map(|(_, notice)| notice)
        .collect();
    assert_eq!(turn, [Notice::default(), Notice::default()], "nothing is made of them");
}

#[test]
fn it_can_be_waited_for_and_takes_the_place_of_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    drop(NotifySocket::open(&path, None).unwrap());
    let socket = NotifySocket::open(&path, None).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666, "every user's services reach it");
    let ready = |timeout| {
        let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut wanted, timeout).unwrap() == 1
    };
    assert!(!ready(PollTimeout::ZERO));
    UnixDatagram::unbound().unwrap().send_to(b"READY=1", &path).unwrap();
    assert!(ready(PollTimeout::NONE));
    assert!(socket.receive().unwrap().1.ready);
    assert!(!ready(PollTimeout::ZERO));
}

/// The reading ends see the end of their pipes only if nobody has the writing ends: not we either.
#[test]
fn descriptors_are_closed_and_barriers_kept() {
    let meeting = Meeting::new();
    for (text, count) in
        [(&b"BARRIER=1"[..], 1), (b"FDSTORE=1\nFDNAME=x", 3), (b"", 253), (b"READY=1", 253)]
    {
        let (readers, writers): (Vec<_>, Vec<_>) = (0..count).map(|_| pipe().unwrap()).unzip();
        meeting.send_with(text, &writers);
        drop(writers);
        let (sender, notice) = meeting.receive();
        assert_eq!((sender, notice), (ourselves(), Notice::parse(text)));
        for mut reader in readers {
            let mut left = Vec::new();
            reader.read_to_end(&mut left).unwrap();
            assert!(left.is_empty());
        }
    }
}

#[test]
fn hostile_messages_say_nothing_and_harm_nothing() {
    let meeting = Meeting::new();
    let mut long = b"READY=1\n".to_vec();
    long.resize(64 * 1024, b'x');
    let mut longest = b"READY=1\nSTATUS=".to_vec();
    longest.resize(LONGEST, b'y');
    meeting.service.send(&long).unwrap();
    meeting.service.send(b"").unwrap();
    meeting.service.send(b"STATUS=\xff\x1b[2J\nREADY=2\n=\n==\nERRNO=-1\n").unwrap();
    meeting.service.send(&longest).unwrap();
    assert_eq!(meeting.receive(), (ourselves(), Notice::default()), "too long");
    assert!(meeting.receive().1.is_empty());
    let status = Some("\u{fffd}\u{fffd}[2J".to_owned());
    assert_eq!(meeting.receive().1, Notice { ready: false, status });
    let notice = meeting.receive().1;
    assert!(notice.ready);
    assert_eq!(notice.status.map(|status| status.len()), Some(LONGEST_STATUS));
}

/// A process that only its environment can be told by.
#[test]
fn a_process_without_a_cgroup_is_known_by_its_environment() {
    let run = RunId::from_bytes([5; 16]);
    let input = |environment: Vec<CString>, stdin: PipeReader, stdout: PipeWriter| PlanInput {
        program: c"/bin/cat".to_owned(),
        argv: vec![c"cat".to_owned()],
        environment,
        stdin: stdin.into(),
        stdout: stdout.into(),
        stderr: File::options().write(true).open("/dev/null").unwrap().into(),
        cgroup: None,
        legacy_cgroups: Vec::new(),
        new_session: false,
        identity: None,
        working_directory: None,
        umask: None,
        nice: None,
        open_files_limit: None,
        oom_score_adjustment: None,
        mark: None,
    };
    let named = CString::new(format!("{}={run}", environment::RUN)).unwrap();
    for (variables, expected) in [
        (vec![c"A=1".to_owned(), named], Some(run)),
        (vec![c"AURAE_RUN=nonsense".to_owned()], None),
        (Vec::new(), None),
    ] {
        let (their_input, mut feed) = pipe().unwrap();
        let (mut echo, their_output) = pipe().unwrap();
        let plan = Plan::new(input(variables, their_input, their_output)).unwrap();
        let child = Spawner::new(Method::Clone).unwrap().spawn(&plan, Parentage::Child).unwrap();
        drop(plan);
        // What it has echoed, it has echoed as its program, whose environment is in place.
        feed.write_all(b"x").unwrap();
        echo.read_exact(&mut [0]).unwrap();
        let claimed = claimed_run(child.pid.as_raw());
        drop(feed);
        assert_eq!(child.pidfd.reap().unwrap(), WaitStatus::Exited(child.pid, 0));
        assert_eq!(claimed, expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(message in any::<Vec<u8>>()) {
        let notice = Notice::parse(&message);
        prop_assert!(notice.status.unwrap_or_default().len() <= LONGEST_STATUS);
    }

    #[test]
    fn lines_like_these_mean_what_they_say(
        lines in prop::collection::vec(
            ("READY|STATUS|ERRNO|STOPPING|MAINPID|FDSTORE", "1|0|-?[0-9]{1,12}|\\PC{0,12}"),
            0..8,
        ),
    ) {
        let text: Vec<String> = lines.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let notice = Notice::parse(text.join("\n").as_bytes());
        let says = |name: &str| lines.iter().any(|(each, value)| each == name && value == "1");
        prop_assert_eq!(notice.ready, says("READY"));
        let last = lines.iter().rev().find(|(name, _)| name == "STATUS");
        prop_assert_eq!(notice.status.as_deref(), last.map(|(_, value)| value.as_str()));
    }

    #[test]
    fn any_control_bytes_are_read_without_harm(control in any::<Vec<u8>>()) {
        prop_assert_eq!(sender(&control).is_some(), control.len() >= size_of::<cmsghdr>() + 4);
    }
}
