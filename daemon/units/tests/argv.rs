//! The limits of an argv.

use proptest::{collection::vec, prelude::*};
use units::{Argv, InvalidArgv};

#[test]
fn refusals_name_the_word() {
    let long = Argv::MAX_WORD + 1;
    let table: [(&[&[u8]], InvalidArgv); 6] = [
        (&[], InvalidArgv::NoWords),
        (&[b"", b"a"], InvalidArgv::EmptyProgram),
        (&[b"a\0"], InvalidArgv::Nul { index: 0, offset: 1 }),
        (&[b"a", b"", b"\0b\0"], InvalidArgv::Nul { index: 2, offset: 0 }),
        (&[&vec![b'a'; long]], InvalidArgv::WordTooLong { index: 0, length: long }),
        (&[b"a", &vec![b'a'; long]], InvalidArgv::WordTooLong { index: 1, length: long }),
    ];
    for (words, error) in table {
        assert_eq!(Argv::new(words.iter().map(|word| word.to_vec())), Err(error));
    }
    let error = InvalidArgv::Nul { index: 2, offset: 0 };
    assert_eq!(error.to_string(), "argv[2] has a NUL byte at offset 0; no word can contain one");
}

#[test]
fn the_limits_themselves_are_allowed() {
    assert!(Argv::new([b"a".to_vec(), Vec::new(), vec![b'a'; Argv::MAX_WORD]]).is_ok());
    // 16 words that fill the size exactly, then one more, which is empty.
    let word = vec![b'a'; Argv::MAX_SIZE / 16 - Argv::WORD_OVERHEAD];
    let mut argv = Argv::new(vec![word; 16]).expect("exactly the limit");
    assert_eq!(argv.push(Vec::new()), Err(InvalidArgv::TooLarge { index: 16 }));
    assert_eq!(argv.words().len(), 16, "a refused word is not kept");
}

#[test]
fn many_empty_words_are_bounded_too() {
    let words = std::iter::once(b"a".to_vec()).chain(std::iter::repeat(Vec::new()));
    assert!(matches!(Argv::new(words), Err(InvalidArgv::TooLarge { .. })));
}

proptest! {
    #[test]
    fn an_argv_is_its_words(words in vec(vec(any::<u8>(), 0..6), 0..6)) {
        let acceptable = words.first().is_some_and(|program| !program.is_empty())
            && words.iter().all(|word| !word.contains(&0));
        let argv = Argv::new(words.clone());
        prop_assert_eq!(argv.is_ok(), acceptable);
        if let Ok(argv) = argv {
            prop_assert_eq!(argv.words(), &words);
            prop_assert_eq!(argv.into_words(), words);
        }
    }
}
