//! The table of what is registered and what runs.

use std::{borrow::Cow, iter};

use api::{
    meta::Status,
    runtime::{Executable, UnitView},
    schedule::Registration,
};

use super::{
    harmless,
    table::moment,
    words::{amount, span, state},
};

/// How many columns are as wide as the widest of theirs, always.
const FIXED: usize = 8;

const HEADINGS: [&str; FIXED + 2] =
    ["NAME", "STATUS", "STATE", "PID", "CPU", "MEMORY", "RESTARTS", "SINCE", "COMMAND", "COMMENT"];

/// The least that is left of a command and of a comment, however narrow the terminal is.
const LEAST: usize = 8;

/// Between columns.
const GAP: &str = "  ";

/// What stands where nothing is known.
const NOTHING: &str = "-";

type Row = [String; FIXED + 2];

/// The rows of a table, one for each name.
#[derive(Default)]
pub(crate) struct UnitTable {
    rows: Vec<Row>,
}

impl UnitTable {
    /// Takes what is known under a name as the next row.
    pub(crate) fn add(
        &mut self,
        name: &str,
        registration: Option<&Registration>,
        unit: Option<&UnitView>,
    ) {
        let executable = registration.and_then(|registration| registration.executable.as_ref());
        let usage = unit.and_then(|unit| unit.usage.as_ref());
        let cpu = usage.and_then(|usage| usage.user_time_ns?.checked_add(usage.system_time_ns?));
        let memory = usage.and_then(|usage| usage.memory_bytes);
        let pid = unit.map(|unit| unit.pid).filter(|pid| *pid > 0);
        let comment = unit.map(|unit| &unit.comment).filter(|comment| !comment.is_empty());
        let comment = comment.or_else(|| executable.map(|executable| &executable.comment));
        // What runs may be another than what is registered by now.
        let runs = unit.filter(|unit| unit.pid > 0 || executable.is_none());
        let runs = runs.map(|unit| unit.command.clone()).filter(|command| !command.is_empty());
        let what = runs.or_else(|| executable.map(command));
        let or_nothing = |fact: Option<String>| fact.unwrap_or_else(|| NOTHING.to_owned());
        let row = [
            name.to_owned(),
            or_nothing(registration.map(|registration| registered(registration.status))),
            or_nothing(unit.map(|unit| state(unit.state))),
            or_nothing(pid.map(|pid| pid.to_string())),
            or_nothing(cpu.map(span)),
            or_nothing(memory.map(amount)),
            or_nothing(unit.map(|unit| unit.restarts.to_string())),
            or_nothing(unit.and_then(|unit| moment(unit.since))),
            what.unwrap_or_default(),
            comment.cloned().unwrap_or_default(),
        ];
        self.rows.push(row.map(|text| harmless(&text)));
    }

    /// The table. Where it is told a width, commands and comments are cut to it, and where that does not suffice the
    /// lines.
    pub(crate) fn text(&self, width: Option<usize>) -> String {
        let headings = HEADINGS.map(str::to_owned);
        let rows = || iter::once(&headings).chain(&self.rows);
        let mut widths = [0; FIXED + 2];
        for row in rows() {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = text.chars().count().max(*width);
            }
        }
        let [fixed @ .., command, comment] = &mut widths;
        if let Some(width) = width {
            let before: usize = fixed.iter().map(|width| width.saturating_add(GAP.len())).sum();
            let room = width.saturating_sub(before.saturating_add(GAP.len()));
            (*command, *comment) = fit(room, (*command, *comment));
        }
        let mut text = String::new();
        for row in rows() {
            let cells = row.iter().zip(widths).map(|(text, width)| {
                let text = cut(text, width);
                format!("{text:width$}")
            });
            let line = cells.collect::<Vec<_>>().join(GAP);
            let line = width.map_or(Cow::Borrowed(line.as_str()), |width| cut(&line, width));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// What a status of the schedule is called.
pub(super) fn registered(status: i32) -> String {
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

/// The command; or, from a daemon that does not complete it, the words so that one can see where each begins and ends.
pub(super) fn command(executable: &Executable) -> String {
    if !executable.command.is_empty() {
        return executable.command.clone();
    }
    let words = executable.argv.iter().enumerate();
    let words = words.map(|(index, word)| quoted_if_needed(index, word));
    words.collect::<Vec<String>>().join(" ")
}

/// As the daemon writes words that it completes, so that one thing is not shown in two ways.
fn quoted_if_needed(index: usize, word: &str) -> String {
    let plain = |character: char| !character.is_whitespace() && !"\"'\\".contains(character);
    let like_a_prefix = index == 0 && word.starts_with(['@', '-', ':', '+', '!', '|']);
    let dollars = word.replace('$', "$$");
    if !word.is_empty() && word != ";" && !like_a_prefix && word.chars().all(plain) {
        return dollars;
    }
    format!("\"{}\"", dollars.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use api::{
        meta::AuraeMeta,
        runtime::{LiveUsage, UnitState},
    };
    use proptest::prelude::*;

    use super::*;

    fn table(rows: &[(&str, Status, &[&str], &str)]) -> UnitTable {
        let mut table = UnitTable::default();
        for (name, status, argv, comment) in rows {
            let executable = Executable {
                meta: Some(AuraeMeta { name: (*name).into(), ..AuraeMeta::default() }),
                argv: argv.iter().map(ToString::to_string).collect(),
                comment: (*comment).into(),
                ..Executable::default()
            };
            let status = i32::from(*status);
            let executable = Some(executable);
            let registration = Registration { executable, status, ..Registration::default() };
            table.add(name, Some(&registration), None);
        }
        table
    }

    #[test]
    fn columns_are_as_wide_as_the_widest_and_nothing_is_cut() {
        let table = table(&[
            ("backup", Status::Standby, &["tar", "/tmp/a b", "", "a\n\"b\""], "every\nnight"),
            ("b", Status::Passive, &["true"], ""),
        ]);
        let wanted = "\
NAME    STATUS    STATE  PID  CPU  MEMORY  RESTARTS  SINCE  COMMAND                       COMMENT
backup  enabled   -      -    -    -       -         -      tar \"/tmp/a b\" \"\" \"a\\n\\\"b\\\"\"  every\\nnight
b       disabled  -      -    -    -       -         -      true
";
        assert_eq!(table.text(None), wanted);
    }

    #[test]
    fn what_runs_says_how_it_fares() {
        let mut table = table(&[("web", Status::Standby, &["nginx"], "old")]);
        let unit = UnitView {
            state: UnitState::Running.into(),
            pid: 71,
            since: 1_700_000_000_000_000_000,
            restarts: 3,
            comment: "new".into(),
            usage: Some(LiveUsage {
                user_time_ns: Some(1_000_000_000),
                system_time_ns: Some(500_000_000),
                memory_bytes: Some(3 << 19),
                ..LiveUsage::default()
            }),
            ..UnitView::default()
        };
        table.add("job", None, Some(&unit));
        let failed = UnitView { state: UnitState::Failed.into(), ..UnitView::default() };
        table.add("z", None, Some(&failed));
        let wanted = "\
NAME  STATUS   STATE    PID  CPU   MEMORY  RESTARTS  SINCE                 COMMAND  COMMENT
web   enabled  -        -    -     -       -         -                     nginx    old
job   -        running  71   1.5s  1.5M    3         2023-11-14T22:13:20Z           new
z     -        failed   -    -     -       0         -
";
        assert_eq!(table.text(None), wanted);
    }

    #[test]
    fn on_a_terminal_commands_and_comments_are_cut() {
        let long = "x".repeat(100);
        let table = table(&[("a", Status::Standby, &[&long], "a comment that is quite long")]);
        let wanted = "\
NAME  STATUS   STATE  PID  CPU  MEMORY  RESTARTS  SINCE  COMMAND          COMMENT
a     enabled  -      -    -    -       -         -      xxxxxxxxxxxxxx…  a comme…
";
        assert_eq!(table.text(Some(82)), wanted);
    }

    proptest! {
        #[test]
        fn every_line_fits_its_terminal(
            rows in proptest::collection::vec(("[a-z]{1,9}", any::<String>(), any::<String>()), 0..5),
            width in 1..200_usize
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
