//! What needs no machine: the archive that the kernel unpacks, read as its own documentation has it, and the words between a
//! test and its agent.

use libtest_mimic::Trial;
use proptest::{
    collection::vec,
    prelude::any,
    prop_assert_eq,
    test_runner::{Config, TestRunner},
};
use tests::vm::{archive::Archive, wire};

/// They are run everywhere.
pub(crate) fn trials() -> Vec<Trial> {
    let both: [(&str, fn()); 2] = [
        ("archive::is_as_the_kernel_has_it", is_as_the_kernel_has_it),
        ("archive::requests_and_answers_come_as_they_were_said", requests_and_answers),
    ];
    let trial = |(name, body): (&str, fn())| {
        Trial::test(name, move || {
            body();
            Ok(())
        })
    };
    both.map(trial).into()
}

/// Reads one entry at the beginning: its name, mode and content, and how long it is.
fn entry(bytes: &[u8]) -> (String, u32, Vec<u8>, usize) {
    assert_eq!(&bytes[..6], b"070701");
    let field = |number: usize| {
        let digits = &bytes[6 + 8 * number..14 + 8 * number];
        u32::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
    };
    let (mode, size, name) = (field(1), field(6) as usize, field(11) as usize);
    let content = (110 + name).next_multiple_of(4);
    assert_eq!(bytes[110 + name - 1], 0, "a name ends with NUL");
    let text = String::from_utf8(bytes[110..110 + name - 1].to_vec()).unwrap();
    let end = (content + size).next_multiple_of(4);
    (text, mode, bytes[content..content + size].to_vec(), end)
}

/// Every entry comes out as it was put in, whatever the lengths of names and contents, and the end is marked.
fn is_as_the_kernel_has_it() {
    let mut archive = Archive::default();
    let mut expected = Vec::new();
    for name in 1..12_usize {
        for size in 0..9_usize {
            let path = format!("{}{size}", "n".repeat(name));
            let content = vec![b'c'; size];
            archive = archive.file(&path, 0o640, &content);
            expected.push((path, 0o100_640, content));
        }
    }
    let archive = archive.folder("folder", 0o755).link("link", "to").device("tty", 0o600, (5, 1));
    expected.push(("folder".to_owned(), 0o040_755, Vec::new()));
    expected.push(("link".to_owned(), 0o120_777, b"to".to_vec()));
    expected.push(("tty".to_owned(), 0o020_600, Vec::new()));
    expected.push(("TRAILER!!!".to_owned(), 0, Vec::new()));
    let bytes = archive.finish();
    let mut at = 0;
    for expected in expected {
        let (name, mode, content, length) = entry(&bytes[at..]);
        assert_eq!((name, mode, content), expected);
        at += length;
    }
    assert!(bytes[at..].iter().all(|&byte| byte == 0), "nothing but padding follows the end");
    assert_eq!(bytes.len() % 512, 0);
}

/// Whatever the words and the bytes are, they come as they were said; and whatever comes, reading it ends.
fn requests_and_answers() {
    let mut runner = TestRunner::new(Config::default());
    let said = (vec("[^\t\n\r]{1,9}", 1..5), vec(any::<u8>(), 0..200));
    let outcome = runner.run(&said, |(words, body)| {
        let plain: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut bytes = Vec::new();
        wire::ask(&mut bytes, &plain, &body).unwrap();
        prop_assert_eq!(wire::hear(&bytes[..]).unwrap(), (words, body.clone()));
        let mut bytes = Vec::new();
        wire::answer(&mut bytes, &Ok(body.clone())).unwrap();
        prop_assert_eq!(wire::answered(&bytes[..]).unwrap(), body.clone());
        // Not one of ours: an error, or an answer, and an end in any case.
        drop(wire::answered(&body[..]));
        drop(wire::hear(&body[..]));
        Ok(())
    });
    outcome.unwrap();
}
