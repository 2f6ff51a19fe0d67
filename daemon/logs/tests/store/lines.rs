//! Lines against a simple model.

use std::collections::BTreeMap;

use logs::{Line, LineCutter, Stream};
use proptest::prelude::*;

use crate::fixture::run;

type Whose = (u64, bool);

fn stream(stderr: bool) -> Stream {
    if stderr { Stream::Stderr } else { Stream::Stdout }
}

fn chunks() -> impl Strategy<Value = Vec<(Whose, Vec<u8>)>> {
    let byte = prop_oneof![1 => Just(b'\n'), 4 => any::<u8>()];
    let chunk = ((0..3_u64, any::<bool>()), proptest::collection::vec(byte, 0..20));
    proptest::collection::vec(chunk, 0..20)
}

fn cut(cutter: &mut LineCutter, chunks: &[(Whose, Vec<u8>)]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (time, ((number, stderr), bytes)) in (0..).zip(chunks) {
        lines.extend(cutter.push(run(*number), stream(*stderr), time, bytes));
    }
    for number in 0..3 {
        lines.extend(cutter.finish(run(number)));
    }
    lines
}

/// All that one output printed, in one piece.
fn texts(chunks: &[(Whose, Vec<u8>)]) -> BTreeMap<Whose, Vec<u8>> {
    let mut texts = BTreeMap::<Whose, Vec<u8>>::new();
    for (whose, bytes) in chunks {
        texts.entry(*whose).or_default().extend(bytes);
    }
    texts
}

fn of(lines: &[Line], (number, stderr): Whose) -> impl Iterator<Item = &Line> {
    lines.iter().filter(move |line| line.run == run(number) && line.stream == stream(stderr))
}

proptest! {
    #[test]
    fn lines_are_those_of_the_whole_text(chunks in chunks(), longest in 1..50_usize) {
        let lines = cut(&mut LineCutter::new(longest, 100), &chunks);
        for (whose, text) in texts(&chunks) {
            let mut expected = Vec::new();
            for line in text.split_inclusive(|&byte| byte == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let mut pieces: Vec<_> = line.chunks(longest).map(|p| (p.to_vec(), true)).collect();
                if pieces.is_empty() {
                    pieces.push((Vec::new(), true));
                }
                pieces.last_mut().unwrap().1 = false;
                expected.extend(pieces);
            }
            let got: Vec<_> =
                of(&lines, whose).map(|line| (line.bytes.clone(), line.continued)).collect();
            prop_assert_eq!(got, expected);
        }
    }

    /// However few may be unfinished, the pieces join to the whole text.
    #[test]
    fn nothing_is_lost_where_many_are_unfinished(chunks in chunks(), most in 1..4_usize) {
        let lines = cut(&mut LineCutter::new(16, most), &chunks);
        for (whose, mut text) in texts(&chunks) {
            let mut joined = Vec::new();
            let mut open = false;
            for line in of(&lines, whose) {
                joined.extend(&line.bytes);
                open = line.continued;
                if !line.continued {
                    joined.push(b'\n');
                }
            }
            if !text.is_empty() && !text.ends_with(b"\n") && !open {
                text.push(b'\n');
            }
            prop_assert_eq!(joined, text);
        }
    }
}

#[test]
fn a_line_has_the_time_of_its_first_byte() {
    let mut cutter = LineCutter::default();
    assert_eq!(cutter.push(run(1), Stream::Stdout, 10, b"a"), []);
    assert_eq!(cutter.push(run(1), Stream::Stderr, 11, b"x"), []);
    let lines = cutter.push(run(1), Stream::Stdout, 12, b"b\nc\nd");
    let times: Vec<_> = lines.iter().map(|line| (line.bytes.as_slice(), line.time)).collect();
    assert_eq!(times, [(b"ab".as_slice(), 10), (b"c", 12)]);
    assert_eq!(cutter.finish_all().len(), 2);
}
