//! Descriptors that do not fit. Alone in its process, since it takes the descriptors of all of it.

use std::{
    io::Read,
    os::fd::{AsFd, AsRawFd},
};

use keeper::channel::{Channel, Patience};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A process that cannot take all descriptors of a message is told so, and keeps those that it took, so that they can be
/// closed.
#[test]
fn descriptors_that_do_not_fit_are_told_and_none_is_lost_track_of() {
    let (here, mut there) = Channel::pair().unwrap();
    let writers: Vec<_> = (0..4).map(|_| std::io::pipe().unwrap()).collect();
    let ends: Vec<_> = writers.iter().map(|(_, writer)| writer.as_fd()).collect();
    here.send(b"x", &ends, Patience::Wait).unwrap();
    // Room for two more, and no hole below them.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let mut fillers = Vec::new();
    let next = loop {
        let filler = here.as_fd().try_clone_to_owned().unwrap();
        let number = u64::try_from(filler.as_raw_fd()).unwrap();
        fillers.push(filler);
        if number > 200 {
            break number + 1;
        }
    };
    setrlimit(Resource::RLIMIT_NOFILE, next + 2, hard).unwrap();
    let packet = there.receive(Patience::Wait);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let packet = packet.unwrap().unwrap();
    assert!(packet.truncated);
    assert_eq!(packet.descriptors.len(), 2);
    drop((packet, ends));
    for (mut reader, writer) in writers {
        drop(writer);
        // It would wait for ever if a copy of the other end were still open.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}
