//! The table of what is registered.

use std::{borrow::Cow, iter};

use api::{meta::Status, runtime::Executable, schedule::Registration};

use super::harmless;

const HEADINGS: [&str; 4] = ["NAME", "STATUS", "COMMAND", "COMMENT"];

/// The least that is left of a command and of a comment, however narrow the terminal is.
const LEAST: usize = 8;

/// Two blanks between columns.
const GAP: usize = 2;

/// The rows of a table, one for each registration.
#[derive(Default)]
pub(crate) struct RegistrationTable {
    rows: Vec<[String; 4]>,
}

impl RegistrationTable {
    /// Takes a registration as the next row.
    pub(crate) fn add(&mut self, registration: &Registration) {
        let executable = registration.executable.clone().unwrap_or_default();
        let command = command(&executable);
        let name = executable.meta.unwrap_or_default().name;
        let row = [name, state(registration.status), command, executable.comment];
        self.rows.push(row.map(|text| harmless(&text)));
    }

    /// The table. Where it is told a width, commands and comments are cut to it.
    pub(crate) fn text(&self, width: Option<usize>) -> String {
        let headings = HEADINGS.map(str::to_owned);
        let rows = || iter::once(&headings).chain(&self.rows);
        let widest = |column: fn(&[String; 4]) -> &String| {
            rows().map(|row| column(row).chars().count()).max().unwrap_or(0)
        };
        let (name, status) = (widest(|[name, ..]| name), widest(|[_, status, ..]| status));
        let wanted = (widest(|[_, _, command, _]| command), widest(|[.., comment]| comment));
        let before = name.saturating_add(status).saturating_add(3 * GAP);
        let (command, comment) =
            width.map_or(wanted, |width| fit(width.saturating_sub(before), wanted));
        let mut text = String::new();
        for [this_name, this_status, this_command, this_comment] in rows() {
            let this_command = cut(this_command, command);
            let this_comment = cut(this_comment, comment);
            let row = format!(
                "{this_name:name$}  {this_status:status$}  {this_command:command$}  {this_comment}"
            );
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}

/// What a status of the schedule is called.
pub(super) fn state(status: i32) -> String {
    match Status::try_from(status) {
        Ok(Status::Standby) => "enabled".to_owned(),
        Ok(Status::Passive) => "disabled".to_owned(),
        Ok(Status::Active) => "active".to_owned(),
        Ok(Status::Error) => "error".to_owned(),
        Ok(Status::Complete) => "complete".to_owned(),
        Ok(Status::Unknown) => "unknown".to_owned(),
        Err(_) => format!("unknown_{status}"),
    }
}

/// The widths of commands and comments that share `room`. A comment keeps a third where both need more.
fn fit(room: usize, (command, comment): (usize, usize)) -> (usize, usize) {
    if command.saturating_add(comment) <= room {
        return (command, comment);
    }
    let least = |width: usize| width.min(LEAST);
    let rest = room.saturating_sub(command).max(room / 3).max(least(comment));
    let comment = comment.min(rest);
    (command.min(room.saturating_sub(comment).max(least(command))), comment)
}

fn cut(text: &str, width: usize) -> Cow<'_, str> {
    let last = width.saturating_sub(1);
    if text.chars().nth(width).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(last).chain(['…']).collect())
}

/// The command, or the words so that one can see where each begins and ends.
fn command(executable: &Executable) -> String {
    if !executable.command.is_empty() {
        return executable.command.clone();
    }
    let words: Vec<String> = executable.argv.iter().map(|word| quoted_if_needed(word)).collect();
    words.join(" ")
}

fn quoted_if_needed(word: &str) -> String {
    let plain = |character: char| !character.is_whitespace() && !"\"'\\".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use api::meta::AuraeMeta;
    use proptest::prelude::*;

    use super::*;

    fn table(rows: &[(&str, Status, &[&str], &str)]) -> RegistrationTable {
        let mut table = RegistrationTable::default();
        for (name, status, argv, comment) in rows {
            let executable = Executable {
                meta: Some(AuraeMeta { name: (*name).into(), ..AuraeMeta::default() }),
                argv: argv.iter().map(ToString::to_string).collect(),
                comment: (*comment).into(),
                ..Executable::default()
            };
            let status = i32::from(*status);
            let executable = Some(executable);
            table.add(&Registration { executable, status, ..Registration::default() });
        }
        table
    }

    #[test]
    fn columns_are_as_wide_as_the_widest_and_nothing_is_cut() {
        let table = table(&[
            (
                "backup",
                Status::Standby,
                &["tar", "-cf", "/tmp/a b", "", "a\n\"b\""],
                "every\nnight",
            ),
            ("b", Status::Passive, &["true"], ""),
        ]);
        let wanted = "\
NAME    STATUS    COMMAND                           COMMENT
backup  enabled   tar -cf \"/tmp/a b\" \"\" \"a\\n\\\"b\\\"\"  every\\nnight
b       disabled  true
";
        assert_eq!(table.text(None), wanted);
    }

    #[test]
    fn nothing_registered_is_headings_only() {
        assert_eq!(table(&[]).text(Some(10)), "NAME  STATUS  COMMAND  COMMENT\n");
    }

    #[test]
    fn on_a_terminal_commands_and_comments_are_cut() {
        let long = "x".repeat(100);
        let table = table(&[("a", Status::Standby, &[&long], "a comment that is quite long")]);
        let wanted = "\
NAME  STATUS   COMMAND          COMMENT
a     enabled  xxxxxxxxxxxxxx…  a comme…
";
        assert_eq!(table.text(Some(40)), wanted);
    }

    proptest! {
        #[test]
        fn every_line_fits_a_terminal_that_is_wide_enough(
            rows in proptest::collection::vec(("[a-z]{1,9}", any::<String>(), any::<String>()), 0..5),
            width in 45..200_usize
        ) {
            let words: Vec<_> = rows.iter().map(|(_, command, _)| [command.as_str()]).collect();
            let rows: Vec<(&str, Status, &[&str], &str)> = rows
                .iter()
                .zip(&words)
                .map(|((name, _, comment), words)| {
                    (name.as_str(), Status::Passive, words.as_slice(), comment.as_str())
                })
                .collect();
            let text = table(&rows).text(Some(width));
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
            prop_assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }
}
