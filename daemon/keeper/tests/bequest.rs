//! What is handed to the next keeper: every message survives the way, and no bytes hurt the reader.

use keeper::{
    bequest::{Bequest, VERSION},
    protocol::{Exit, How, Malformed},
};
use proptest::{collection::vec, option, prelude::*};

fn bequests() -> impl Strategy<Value = Bequest> {
    let names = || vec("[a-z]{0,12}", 0..16);
    let how = prop_oneof![Just(How::Exited), Just(How::Killed), Just(How::Dumped)];
    let exits = (any::<i32>(), how, any::<[u64; 2]>(), any::<i64>()).prop_map(
        |(status, how, used, seen_at)| Exit {
            status,
            how,
            user_time: used[0],
            system_time: used[1],
            seen_at,
        },
    );
    prop_oneof![
        (any::<i32>(), names()).prop_map(|(keeper, names)| Bequest::Begin {
            version: VERSION,
            keeper,
            names
        }),
        (any::<[u8; 16]>(), any::<i32>(), option::of(exits), names())
            .prop_map(|(run, pid, exit, names)| Bequest::Run { run, pid, exit, names }),
        Just(Bequest::End),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(bequest in bequests()) {
        prop_assert_eq!(Bequest::decode(&bequest.encode()), Ok(bequest));
    }

    #[test]
    fn what_is_cut_or_longer_is_refused(bequest in bequests(), cut: prop::sample::Index) {
        let mut bytes = bequest.encode();
        let short = cut.index(bytes.len());
        prop_assert!(Bequest::decode(&bytes[..short]).is_err());
        bytes.push(0);
        prop_assert!(Bequest::decode(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..200)) {
        drop(Bequest::decode(&bytes));
    }

    #[test]
    fn another_version_is_told_whatever_follows(version in (0_u16..).prop_filter("ours", |it| *it != VERSION), rest in vec(any::<u8>(), 0..20)) {
        let mut bytes = vec![1];
        bytes.extend(version.to_le_bytes());
        bytes.extend(rest);
        prop_assert_eq!(Bequest::decode(&bytes), Err(Malformed::Field("version")));
    }
}
