//! What is sent is received, and nothing else is.

use proptest::prelude::*;

use super::*;

fn header(total_size: u64, size: u64, index: u32, count: u32, data: &[u8]) -> Vec<u8> {
    Header { total_size, size, index, count }.write(data)
}

fn all(assembly: &mut Assembly, packets: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Violation> {
    let mut messages = Vec::new();
    for packet in packets {
        messages.extend(assembly.take(packet)?);
    }
    Ok(messages)
}

#[test]
fn a_header_is_24_bytes_in_this_machines_order() {
    let packets = Framing::Chunked.packets(b"ab").unwrap();
    let mut wanted = Vec::new();
    wanted.extend(2_u64.to_ne_bytes());
    wanted.extend(2_u64.to_ne_bytes());
    wanted.extend(0_u32.to_ne_bytes());
    wanted.extend(1_u32.to_ne_bytes());
    wanted.extend(b"ab");
    assert_eq!(packets, [wanted]);
    let empty = Framing::Chunked.packets(b"").unwrap();
    assert_eq!(empty.iter().map(Vec::len).collect::<Vec<_>>(), [24]);
    assert_eq!(Framing::Raw.packets(b""), Err(Violation::Empty));
}

#[test]
fn what_is_too_large_is_refused_whoever_says_so() {
    let large = vec![0; MESSAGE + 1];
    assert_eq!(Framing::Raw.packets(&large), Err(Violation::TooLarge(MESSAGE as u64 + 1)));
    assert!(matches!(Assembly::default().take(&large), Err(Violation::TooLarge(_))));
    let claim = header(u64::MAX, 1, 0, u32::MAX, b"x");
    assert_eq!(Assembly::default().take(&claim), Err(Violation::TooLarge(u64::MAX)));
    let packets = Framing::Chunked.packets(&large[1..]).unwrap();
    assert!(packets.iter().all(|packet| packet.len() <= PACKET));
    assert_eq!(all(&mut Assembly::default(), &packets), Ok(vec![large[1..].to_vec()]));
}

#[test]
fn each_violation_is_told() {
    let first = header(4, 2, 0, 2, b"ab");
    let wrong = [
        header(4, 2, 0, 2, b"cd"),
        header(4, 2, 2, 2, b"cd"),
        header(4, 2, 1, 3, b"cd"),
        header(5, 2, 1, 2, b"cd"),
        header(4, 3, 1, 2, b"cde"),
        header(4, 1, 1, 2, b"c"),
        header(4, 2, 1, 2, b"c"),
        b"short".to_vec(),
        Vec::new(),
    ];
    for second in wrong {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(&first), Ok(None));
        assert!(assembly.take(&second).is_err(), "{second:?}");
    }
    let mut assembly = Assembly::default();
    assert_eq!(assembly.take(&first), Ok(None));
    assert_eq!(assembly.take(&header(4, 2, 1, 2, b"cd")), Ok(Some(b"abcd".to_vec())));
    assert_eq!(assembly.take(&header(1, 1, 0, 1, b"e")), Ok(Some(b"e".to_vec())));
    assert!(assembly.take(&header(0, 0, 0, 0, b"")).is_err());
}

proptest! {
    #[test]
    fn what_is_sent_is_received(
        framing in prop_oneof![Just(Framing::Raw), Just(Framing::Chunked)],
        messages in prop::collection::vec((1..400_000_usize, any::<u8>()), 1..5),
    ) {
        let messages: Vec<Vec<u8>> = messages
            .into_iter()
            .map(|(length, seed)| (0..length).map(|n| (n as u8).wrapping_mul(31) ^ seed).collect())
            .collect();
        let mut packets = Vec::new();
        for message in &messages {
            packets.extend(framing.packets(message).unwrap());
        }
        let mut assembly = Assembly::default();
        prop_assert_eq!(all(&mut assembly, &packets), Ok(messages));
        prop_assert_eq!(assembly.framing(), Some(framing));
    }

    #[test]
    fn no_packet_hurts(
        packets in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            (0..9_u64, 0..9_u64, 0..4_u32, 0..4_u32, prop::collection::vec(any::<u8>(), 0..9))
                .prop_map(|(total, size, index, count, data)| header(total, size, index, count, &data)),
        ], 0..12),
    ) {
        let mut assembly = Assembly::default();
        for packet in &packets {
            if let Ok(Some(message)) = assembly.take(packet) {
                prop_assert!(message.len() <= packets.iter().map(Vec::len).sum());
            }
        }
    }
}
