//! The words of a program, within the limits of the kernel.

use crate::Name;

/// The words a program is started with, checked: at least one word, the first not empty, no NUL
/// byte, each word within [`Argv::MAX_WORD`] bytes, all of them within [`Argv::MAX_SIZE`].
///
/// Words are bytes, not text: Linux asks nothing of them but that NUL ends them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Argv {
    words: Vec<Vec<u8>>,
    /// As [`Argv::MAX_SIZE`] counts; kept so that a push is checked without a walk.
    size: usize,
}

/// Why words are not an [`Argv`]. Indices count from 0, the program's own name, as `argv[0]` does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArgv {
    /// No words at all.
    #[error("argv is empty; at least one word is expected, the program")]
    NoWords,
    /// The first word is empty.
    #[error("argv[0] is empty; the name of the program is expected")]
    EmptyProgram,
    /// NUL ends a word for the kernel, so none can contain it.
    #[error("argv[{index}] has a NUL byte at offset {offset}; no word can contain one")]
    Nul {
        /// Which word, from 0.
        index: usize,
        /// Which byte of it, from 0.
        offset: usize,
    },
    /// Longer than [`Argv::MAX_WORD`].
    #[error(
        "argv[{index}] is {length} bytes long; at most {max} are allowed",
        max = Argv::MAX_WORD
    )]
    WordTooLong {
        /// Which word, from 0.
        index: usize,
        /// Its length in bytes; for a word made of variables, as far as it was built.
        length: usize,
    },
    /// Together larger than [`Argv::MAX_SIZE`].
    #[error(
        "argv is too large: with argv[{index}] it passes {max} bytes, {overhead} of them for each word",
        max = Argv::MAX_SIZE,
        overhead = Argv::WORD_OVERHEAD
    )]
    TooLarge {
        /// The first word that did not fit, from 0.
        index: usize,
    },
}

impl From<&Name> for Argv {
    /// The name as the only word: it is short, not empty and without NUL by construction.
    fn from(name: &Name) -> Self {
        let word = name.as_str().as_bytes().to_vec();
        Self { size: word.len() + Self::WORD_OVERHEAD, words: vec![word] }
    }
}

impl Argv {
    /// The longest word in bytes: the kernel's `MAX_ARG_STRLEN`, 128 KiB (execve(2)), less the NUL
    /// which the kernel counts.
    pub const MAX_WORD: usize = 128 * 1024 - 1;

    /// The largest argv in bytes, 2 MiB: what Linux grants arguments and environment together under
    /// the usual stack limit of 8 MiB (execve(2)). Each word counts its bytes and
    /// [`Argv::WORD_OVERHEAD`]. The environment is not counted here, so the kernel may still
    /// refuse.
    pub const MAX_SIZE: usize = 2 * 1024 * 1024;

    /// What a word costs beside its bytes, in bytes: its NUL and its pointer, as the kernel counts.
    pub const WORD_OVERHEAD: usize = 1 + 8;

    /// The argv of these words.
    ///
    /// # Errors
    /// [`InvalidArgv`] names the first word that is not acceptable.
    pub fn new(words: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, InvalidArgv> {
        let mut words = words.into_iter();
        let mut argv = Self::starting_with(words.next().ok_or(InvalidArgv::NoWords)?)?;
        words.try_for_each(|word| argv.push(word))?;
        Ok(argv)
    }

    /// The argv of a program's name alone, to be grown by [`Argv::push`].
    ///
    /// # Errors
    /// [`InvalidArgv`], if `program` is empty, too long or has a NUL byte.
    pub fn starting_with(program: Vec<u8>) -> Result<Self, InvalidArgv> {
        if program.is_empty() {
            return Err(InvalidArgv::EmptyProgram);
        }
        let mut argv = Self { words: Vec::new(), size: 0 };
        argv.push(program)?;
        Ok(argv)
    }

    /// Adds a word. A refused word leaves the argv as it was.
    ///
    /// # Errors
    /// [`InvalidArgv`], if the word is too long, has a NUL byte, or makes the whole too large.
    pub fn push(&mut self, word: Vec<u8>) -> Result<(), InvalidArgv> {
        let index = self.words.len();
        if word.len() > Self::MAX_WORD {
            return Err(InvalidArgv::WordTooLong { index, length: word.len() });
        }
        if let Some(offset) = word.iter().position(|&byte| byte == 0) {
            return Err(InvalidArgv::Nul { index, offset });
        }
        let size = self.size + word.len() + Self::WORD_OVERHEAD;
        if size > Self::MAX_SIZE {
            return Err(InvalidArgv::TooLarge { index });
        }
        self.size = size;
        self.words.push(word);
        Ok(())
    }

    /// The words; never empty.
    #[must_use]
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// The words, given away.
    #[must_use]
    pub fn into_words(self) -> Vec<Vec<u8>> {
        self.words
    }
}
