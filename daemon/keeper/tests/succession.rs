//! What one keeper hands to the next: every state survives the way, and no bytes hurt the reader.

use keeper::{
    protocol::{Exit, How, Malformed, Upgrades},
    succession::{HeldProgram, HeldRun, HeldSettings, State},
};
use proptest::{collection::vec, option, prelude::*};

fn programs() -> impl Strategy<Value = HeldProgram> {
    (any::<i32>(), any::<Vec<u8>>()).prop_map(|(file, path)| HeldProgram { file, path })
}

fn exits() -> impl Strategy<Value = Exit> {
    let how = prop_oneof![Just(How::Exited), Just(How::Killed), Just(How::Dumped)];
    (any::<i32>(), how, any::<[u64; 2]>(), any::<i64>()).prop_map(|(status, how, used, seen_at)| {
        Exit { status, how, user_time: used[0], system_time: used[1], seen_at }
    })
}

fn runs() -> impl Strategy<Value = HeldRun> {
    let descriptors = vec(("[a-z]{0,9}", any::<i32>()), 0..20);
    (any::<[u8; 16]>(), any::<i32>(), option::of(exits()), descriptors)
        .prop_map(|(run, pid, exit, descriptors)| HeldRun { run, pid, exit, descriptors })
}

fn settings() -> impl Strategy<Value = HeldSettings> {
    (any::<[Vec<u8>; 2]>(), any::<[u64; 3]>(), any::<Vec<u8>>()).prop_map(
        |([socket, runtime_dir], times, configuration)| HeldSettings {
            socket,
            runtime_dir,
            stop_timeout: times[0],
            longest_restart_delay: times[1],
            answer_timeout: times[2],
            configuration,
        },
    )
}

fn states() -> impl Strategy<Value = State> {
    let words = (".{0,20}", ".{0,20}", any::<Vec<u8>>(), any::<bool>());
    let programs = (programs(), option::of(programs()), programs(), option::of(programs()));
    let numbers = any::<([u64; 4], [i32; 3], [u32; 2])>();
    let shared = vec((".{0,9}", any::<i32>()), 0..3);
    let lists = (vec(runs(), 0..9), shared, any::<Vec<i32>>());
    (settings(), words, programs, numbers, lists).prop_map(
        |(
            settings,
            words,
            (core, trial, keeper, keeper_before),
            numbers,
            (runs, shared, failed),
        )| {
            let ([device, inode, soft, hard], [listener, state, runtime], [tried, starts]) =
                numbers;
            let (given_up, previous, tree, ever_served) = words;
            State {
                settings,
                listener,
                socket: (device, inode),
                locks: [state, runtime],
                core,
                trial,
                keeper,
                keeper_before,
                upgrades: Upgrades { tried, given_up },
                open_files: (soft, hard),
                starts,
                previous,
                ever_served,
                tree,
                runs,
                shared,
                failed,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_state_arrives(state in states()) {
        prop_assert_eq!(State::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in any::<Vec<u8>>()) {
        if let Ok(state) = State::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
        }
    }

    #[test]
    fn a_state_with_a_changed_byte_is_read_without_harm(
        state in states(), at in any::<prop::sample::Index>(), value in any::<u8>()
    ) {
        let mut bytes = state.encode();
        let at = at.index(bytes.len());
        bytes[at] = value;
        drop(State::decode(&bytes));
        bytes.truncate(at);
        prop_assert!(State::decode(&bytes).is_err(), "it has no end");
    }

    #[test]
    fn another_version_is_not_read(state in states(), version in any::<u16>()) {
        let mut bytes = state.encode();
        prop_assume!(bytes[..2] != version.to_le_bytes());
        bytes[..2].copy_from_slice(&version.to_le_bytes());
        prop_assert_eq!(State::decode(&bytes), Err(Malformed::Field("version")));
    }
}
