//! The protocol's bytes: every message survives the way, and no bytes hurt the reader.

use std::{
    io::{Read, Write},
    os::fd::AsFd,
};

use keeper::{
    channel::{Channel, Patience},
    protocol::{Exit, How, Power, ToDaemon, ToKeeper, Upgrades},
};
use proptest::{collection::vec, option, prelude::*};

fn names() -> impl Strategy<Value = Vec<String>> {
    vec("[a-z]{0,12}", 0..16)
}

fn exits() -> impl Strategy<Value = Exit> {
    let how = prop_oneof![Just(How::Exited), Just(How::Killed), Just(How::Dumped)];
    (any::<i32>(), how, any::<[u64; 2]>(), any::<i64>()).prop_map(|(status, how, used, seen_at)| {
        Exit { status, how, user_time: used[0], system_time: used[1], seen_at }
    })
}

fn power() -> impl Strategy<Value = Power> {
    proptest::sample::select(Power::ALL.to_vec())
}

fn to_keeper() -> impl Strategy<Value = ToKeeper> {
    let run = any::<[u8; 16]>;
    prop_oneof![
        any::<u16>().prop_map(|version| ToKeeper::Hello { version }),
        (any::<bool>(), any::<Vec<u8>>())
            .prop_map(|(tell_orphans, tree)| ToKeeper::Adopted { tell_orphans, tree }),
        Just(ToKeeper::Serving),
        (run(), names()).prop_map(|(run, names)| ToKeeper::Spawning { run, names }),
        (run(), any::<i32>()).prop_map(|(run, pid)| ToKeeper::Spawned { run, pid }),
        (run(), any::<i32>()).prop_map(|(run, pid)| ToKeeper::NotSpawned { run, pid }),
        run().prop_map(|run| ToKeeper::Release { run }),
        Just(ToKeeper::Stopped),
        any::<u64>().prop_map(|messages| ToKeeper::Heard { messages }),
        any::<u32>().prop_map(|number| ToKeeper::Probed { number }),
        Just(ToKeeper::Queued),
        (power(), any::<bool>(), ".{0,60}").prop_map(|(power, force, by)| ToKeeper::Power {
            power,
            force,
            by
        }),
        names().prop_map(|names| ToKeeper::Hold { names }),
        any::<u64>().prop_map(|at| ToKeeper::Disconnected { at }),
        ".{0,40}".prop_map(|why| ToKeeper::Failing { why }),
        (".{0,40}", vec(".{0,20}", 0..16), names())
            .prop_map(|(by, paths, names)| ToKeeper::Replace { by, paths, names }),
    ]
}

fn to_daemon() -> impl Strategy<Value = ToDaemon> {
    let run = any::<[u8; 16]>;
    prop_oneof![
        (welcomes(), ".{0,40}", any::<Vec<u8>>(), names(), ".{0,40}").prop_map(
            |(numbers, previous, configuration, names, given_up)| {
                let (version, keeper, starts, open_files, tried, trial) = numbers;
                let upgrades = Upgrades { tried, given_up };
                ToDaemon::Welcome {
                    version,
                    keeper,
                    starts,
                    open_files,
                    previous,
                    configuration,
                    names,
                    trial,
                    upgrades,
                }
            }
        ),
        (run(), any::<i32>(), option::of(exits()), names())
            .prop_map(|(run, pid, exit, names)| { ToDaemon::Inherited { run, pid, exit, names } }),
        Just(ToDaemon::Ready),
        (run(), any::<i32>(), exits()).prop_map(|(run, pid, exit)| ToDaemon::Exited {
            run,
            pid,
            exit
        }),
        Just(ToDaemon::OrphanReaped),
        (run(), ".{0,40}").prop_map(|(run, why)| ToDaemon::Refused { run, why }),
        Just(ToDaemon::Stop),
        any::<u32>().prop_map(|number| ToDaemon::Probe { number }),
        Just(ToDaemon::Confirmed),
    ]
}

/// The numbers of a welcome.
fn welcomes() -> impl Strategy<Value = (u16, i32, u32, (u64, u64), u32, bool)> {
    any::<(u16, i32, u32, (u64, u64), u32, bool)>()
}

proptest! {
    #[test]
    fn what_the_daemon_says_arrives(message in to_keeper()) {
        prop_assert_eq!(ToKeeper::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn what_the_keeper_says_arrives(message in to_daemon()) {
        prop_assert_eq!(ToDaemon::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in any::<Vec<u8>>()) {
        // What is accepted says the same again.
        if let Ok(message) = ToKeeper::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes.clone());
        }
        if let Ok(message) = ToDaemon::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn a_message_with_a_changed_byte_is_read_without_harm(
        message in to_daemon(), at in any::<prop::sample::Index>(), value in any::<u8>()
    ) {
        let mut bytes = message.encode();
        let at = at.index(bytes.len());
        bytes[at] = value;
        drop(ToDaemon::decode(&bytes));
        bytes.truncate(at);
        drop(ToDaemon::decode(&bytes));
    }
}

#[test]
fn descriptors_travel_with_their_message() {
    let (here, mut there) = Channel::pair().unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let message = ToKeeper::Spawning { run: [7; 16], names: vec!["stdout".to_owned()] };
    here.send(&message.encode(), &[writer.as_fd()], Patience::Wait).unwrap();
    writer.write_all(b"from here").unwrap();
    drop(writer);
    let packet = there.receive(Patience::Wait).unwrap().unwrap();
    assert_eq!(ToKeeper::decode(&packet.bytes), Ok(message));
    assert_eq!(packet.descriptors.len(), 1);
    assert!(!packet.truncated);
    drop(packet);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from here");
}

#[test]
fn an_end_that_is_gone_is_told() {
    let (mut here, there) = Channel::pair().unwrap();
    let nothing_yet = here.receive(Patience::Now).unwrap_err();
    assert_eq!(nothing_yet.kind(), std::io::ErrorKind::WouldBlock);
    drop(there);
    assert!(here.receive(Patience::Wait).unwrap().is_none());
    assert!(here.send(b"x", &[], Patience::Wait).is_err());
}
