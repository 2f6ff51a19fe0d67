//! The kernel's command line, as far as it is for us: the words that begin with `aurae.`. Total: whatever is there, nothing
//! fails; a word of ours that makes no sense is told.

use std::fs;

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// Nothing enabled is started but the API and, where there is one, a shell (`aurae.rescue`).
    pub(crate) rescue: bool,
    /// What is not started at boot (`aurae.mask=NAME[,NAME]`).
    pub(crate) masked: Vec<String>,
    /// The filter of the log (`aurae.log=FILTER`).
    pub(crate) log: Option<String>,
    /// The shell where something is wrong (`aurae.shell=PATH`).
    pub(crate) shell: Option<String>,
    /// The machine's name (`aurae.hostname=NAME`).
    pub(crate) hostname: Option<String>,
    /// Words of ours that make no sense.
    pub(crate) unknown: Vec<String>,
}

impl CommandLine {
    /// That of the running kernel; empty where it cannot be read.
    pub(crate) fn read() -> Self {
        let text = fs::read("/proc/cmdline").unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Of a text. What follows the word `--` is for init, and no part of it.
    pub(crate) fn parse(text: &str) -> Self {
        let mut line = Self::default();
        for word in words(text).into_iter().take_while(|word| word != "--") {
            let Some(ours) = word.strip_prefix("aurae.") else { continue };
            let (key, value) = match ours.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (ours, None),
            };
            if !line.take(key, value) {
                line.unknown.push(word);
            }
        }
        line
    }

    /// Takes one word; false where it makes no sense.
    fn take(&mut self, key: &str, value: Option<&str>) -> bool {
        let given = value.filter(|value| !value.is_empty());
        match (key, value, given) {
            ("rescue", None | Some("1" | "yes" | "true" | "on"), _) => self.rescue = true,
            ("rescue", Some("0" | "no" | "false" | "off"), _) => self.rescue = false,
            ("mask", _, Some(names)) => {
                let names = names.split(',').filter(|name| !name.is_empty());
                self.masked.extend(names.map(str::to_owned));
            }
            ("log", _, Some(filter)) => self.log = Some(filter.to_owned()),
            ("shell", _, Some(path)) if path.starts_with('/') => self.shell = Some(path.to_owned()),
            ("hostname", _, Some(name)) => self.hostname = Some(name.to_owned()),
            _ => return false,
        }
        true
    }
}

/// The words, as the kernel cuts them: at white space that is not between double quotes, which are no part of them.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            space if space.is_ascii_whitespace() && !quoted => {
                words.push(std::mem::take(&mut word))
            }
            NUL => {}
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// No argument can have it.
const NUL: char = '\0';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_word_of_ours_is_taken() {
        let line = CommandLine::parse(
            "BOOT_IMAGE=/vmlinuz root=/dev/vda ro quiet aurae.rescue aurae.mask=web,db aurae.mask=cache \
             aurae.log=\"info,auraed_core=debug\" aurae.shell=/bin/sh aurae.hostname=node7 console=ttyS0\n",
        );
        let expected = CommandLine {
            rescue: true,
            masked: ["web", "db", "cache"].map(str::to_owned).into(),
            log: Some("info,auraed_core=debug".to_owned()),
            shell: Some("/bin/sh".to_owned()),
            hostname: Some("node7".to_owned()),
            unknown: Vec::new(),
        };
        assert_eq!(line, expected);
    }

    #[test]
    fn words_of_ours_without_sense_are_told_and_others_are_not() {
        let line = CommandLine::parse(
            "aurae.resuce aurae.rescue=maybe aurae.mask= aurae.shell=sh aurae.log nosplash aurea.mask=x -- aurae.rescue",
        );
        let told =
            ["aurae.resuce", "aurae.rescue=maybe", "aurae.mask=", "aurae.shell=sh", "aurae.log"];
        assert_eq!(
            line,
            CommandLine { unknown: told.map(str::to_owned).into(), ..CommandLine::default() }
        );
    }

    #[test]
    fn the_last_word_counts() {
        assert!(!CommandLine::parse("aurae.rescue aurae.rescue=0").rescue);
        assert!(CommandLine::parse("aurae.rescue=0 aurae.rescue=1").rescue);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in any::<String>()) {
            drop(CommandLine::parse(&text));
        }

        /// Whatever others write there, ours is found, and theirs is not taken for ours.
        #[test]
        fn ours_is_found_among_others(
            before in "[a-z =.0-9]{0,40}", after in "[a-z =.0-9]{0,40}", names in prop::collection::vec("[a-z]{1,8}", 1..5)
        ) {
            prop_assume!(!before.contains("aurae.") && !after.contains("aurae."));
            let line = CommandLine::parse(&format!("{before} aurae.mask={} {after}", names.join(",")));
            prop_assert_eq!(line, CommandLine { masked: names, ..CommandLine::default() });
        }
    }
}
