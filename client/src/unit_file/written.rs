//! A unit as it is written: the keys of `unit.rs`, from what came over the wire.
//!
//! The wire's messages are taken apart whole, so that a new field does not build before it is written.

use std::fmt::Write;

use api::runtime::{
    Executable, KillMode, Readiness, ResourceLimits, RestartPolicy, RestartWhen, StandardInput,
    Step, StopPolicy, UnitKind, standard_input::From,
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::Unwritable;
use crate::{
    quantity::{
        bound_text, exit_word, mask_text, parse_mask, percent_text, signal_name, signal_number,
        size_text, time_text,
    },
    word::Word,
};

/// Lines of keys and values.
struct Lines<'a> {
    text: String,
    /// What stands before the names of tables.
    path: &'a str,
}

/// The unit's keys, one to a line, and its tables.
pub(super) fn unit(
    executable: &Executable,
    enabled: Option<bool>,
    path: &str,
) -> Result<String, Unwritable> {
    let Executable {
        meta,
        command,
        comment,
        argv,
        // A run has an id; what is registered has none.
        run_id: _,
        kind,
        remain_after_exit,
        // Lines::commands.
        before: _,
        after: _,
        on_stop: _,
        on_reload: _,
        // Lines::setting.
        environment: _,
        environment_files: _,
        user: _,
        working_directory: _,
        umask: _,
        nice: _,
        stdin: _,
        limits: _,
        // Lines::life.
        restart: _,
        stop: _,
        start_timeout_ms: _,
        run_limit_ms: _,
        readiness: _,
        success: _,
        resume: _,
        // Doors make their own.
        owner: _,
    } = executable;
    let name = meta.as_ref().map_or("", |meta| meta.name.as_str());
    if name.is_empty() {
        return Err(Unwritable::Nameless);
    }
    let mut lines = Lines { text: String::new(), path };
    lines.line("name", quoted(name));
    lines.optional("enabled", enabled.map(|enabled| enabled.to_string()));
    lines.text("comment", comment);
    lines.word::<UnitKind>("kind", *kind)?;
    lines.optional("remain_after_exit", remain_after_exit.then(|| "true".to_owned()));
    match (command.is_empty(), argv.is_empty()) {
        (false, _) => lines.line("command", quoted(command)),
        (true, false) => lines.line("argv", array(argv)),
        (true, true) => return Err(Unwritable::NothingToExecute),
    }
    lines.commands(executable)?;
    lines.setting(executable)?;
    lines.life(executable)?;
    Ok(lines.text)
}

impl Lines<'_> {
    fn line(&mut self, key: &str, value: String) {
        // Writing to a String cannot fail.
        writeln!(self.text, "{key} = {value}").ok();
    }

    fn optional(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.line(key, value);
        }
    }

    fn table(&mut self, name: &str) {
        // Writing to a String cannot fail.
        writeln!(self.text, "\n[{}{name}]", self.path).ok();
    }

    /// A text, unless it is empty.
    fn text(&mut self, key: &str, text: &str) {
        self.optional(key, Some(text).filter(|text| !text.is_empty()).map(quoted));
    }

    /// Texts, unless there are none.
    fn texts(&mut self, key: &str, texts: &[String]) {
        self.optional(key, Some(texts).filter(|texts| !texts.is_empty()).map(array));
    }

    /// A word, unless it is that of 0.
    fn word<W: Word>(&mut self, key: &'static str, number: i32) -> Result<(), Unwritable> {
        let unknown = |_| Unwritable::Value { key, value: number.to_string() };
        let value = W::try_from(number).map_err(unknown)?;
        self.optional(key, Some(value).filter(|_| number != 0).map(|value| quoted(&value.word())));
        Ok(())
    }

    /// Exits, unless there are none.
    fn exits(&mut self, key: &'static str, words: &[String]) -> Result<(), Unwritable> {
        let strange = words.iter().find(|word| exit_word(word).is_err());
        match strange {
            Some(word) => Err(Unwritable::Value { key, value: word.clone() }),
            None => {
                self.texts(key, words);
                Ok(())
            }
        }
    }

    fn steps(&mut self, key: &'static str, steps: &[Step]) -> Result<(), Unwritable> {
        let mut commands = Vec::new();
        for Step { command, argv } in steps {
            commands.push(match (command.is_empty(), argv.is_empty()) {
                (false, _) => quoted(command),
                (true, false) => array(argv),
                (true, true) => return Err(Unwritable::Value { key, value: String::new() }),
            });
        }
        let commands = Some(commands).filter(|commands| !commands.is_empty());
        self.optional(key, commands.map(|commands| format!("[{}]", commands.join(", "))));
        Ok(())
    }

    fn commands(&mut self, executable: &Executable) -> Result<(), Unwritable> {
        self.steps("before", &executable.before)?;
        self.steps("after", &executable.after)?;
        self.steps("on_stop", &executable.on_stop)?;
        self.steps("on_reload", &executable.on_reload)
    }

    /// All of the setting but its table, the limits, which stands after all keys.
    fn setting(&mut self, executable: &Executable) -> Result<(), Unwritable> {
        self.texts("environment", &executable.environment);
        self.texts("environment_files", &executable.environment_files);
        self.text("user", &executable.user);
        self.text("working_directory", &executable.working_directory);
        self.optional("umask", executable.umask.map(mask).transpose()?);
        self.optional("nice", executable.nice.map(|nice| nice.to_string()));
        self.optional("stdin", executable.stdin.as_ref().map(input));
        Ok(())
    }

    fn life(&mut self, executable: &Executable) -> Result<(), Unwritable> {
        self.word::<Readiness>("readiness", executable.readiness)?;
        let start_timeout = executable.start_timeout_ms.map(bound_text);
        self.optional("start_timeout", start_timeout.as_deref().map(quoted));
        self.time("run_limit", Some(executable.run_limit_ms).filter(|limit| *limit > 0));
        self.exits("success", &executable.success)?;
        executable.restart.as_ref().map_or(Ok(()), |restart| self.restart(restart))?;
        executable.stop.as_ref().map_or(Ok(()), |stop| self.stop(stop))?;
        executable.limits.as_ref().map_or(Ok(()), |limits| self.limits(limits))
    }

    fn time(&mut self, key: &str, milliseconds: Option<u64>) {
        self.optional(key, milliseconds.map(|time| quoted(&time_text(time))));
    }

    /// A number, which TOML has up to half of what the wire has.
    fn number(&mut self, key: &'static str, number: Option<u64>) -> Result<(), Unwritable> {
        let text = number.map(|number| number.to_string());
        if number.is_some_and(|number| i64::try_from(number).is_err()) {
            return Err(Unwritable::Value { key, value: text.unwrap_or_default() });
        }
        self.optional(key, text);
        Ok(())
    }

    fn restart(&mut self, restart: &RestartPolicy) -> Result<(), Unwritable> {
        let RestartPolicy {
            when,
            delay_ms,
            max_delay_ms,
            steps,
            jitter_ms,
            reset_after_ms,
            start_limit,
            start_interval_ms,
            prevent,
            force,
        } = restart;
        self.table("restart");
        self.word::<RestartWhen>("when", *when)?;
        self.time("delay", *delay_ms);
        self.time("max_delay", *max_delay_ms);
        self.number("steps", Some(u64::from(*steps)).filter(|steps| *steps > 0))?;
        self.time("jitter", Some(*jitter_ms).filter(|jitter| *jitter > 0));
        self.time("reset_after", *reset_after_ms);
        self.number("start_limit", start_limit.map(u64::from))?;
        self.time("start_interval", *start_interval_ms);
        self.exits("prevent", prevent)?;
        self.exits("force", force)
    }

    fn stop(&mut self, stop: &StopPolicy) -> Result<(), Unwritable> {
        let StopPolicy { signal, timeout_ms, kill_mode, final_kill } = stop;
        self.table("stop");
        if *signal != 0 {
            let name = signal_name(*signal);
            if signal_number(&name) != Ok(*signal) {
                return Err(Unwritable::Value { key: "signal", value: name });
            }
            self.line("signal", quoted(&name));
        }
        self.optional("timeout", timeout_ms.map(bound_text).as_deref().map(quoted));
        self.word::<KillMode>("kill_mode", *kill_mode)?;
        self.optional("final_kill", final_kill.map(|wanted| wanted.to_string()));
        Ok(())
    }

    fn limits(&mut self, limits: &ResourceLimits) -> Result<(), Unwritable> {
        let ResourceLimits {
            cpu_weight,
            cpu_quota_percent,
            memory_max_bytes,
            memory_high_bytes,
            pids_max,
        } = limits;
        self.table("limits");
        self.number("cpu_weight", *cpu_weight)?;
        self.optional("cpu_quota", cpu_quota_percent.map(percent_text).as_deref().map(quoted));
        self.optional("memory_max", memory_max_bytes.map(size_text).as_deref().map(quoted));
        self.optional("memory_high", memory_high_bytes.map(size_text).as_deref().map(quoted));
        self.number("pids_max", *pids_max)
    }
}

fn mask(mask: u32) -> Result<String, Unwritable> {
    let text = mask_text(mask);
    match parse_mask(&text) {
        Ok(_) => Ok(quoted(&text)),
        Err(_) => Err(Unwritable::Value { key: "umask", value: text }),
    }
}

fn input(StandardInput { from }: &StandardInput) -> String {
    match from {
        None => quoted("null"),
        Some(From::File(path)) => format!("{{ file = {} }}", quoted(path)),
        Some(From::Data(bytes)) => match str::from_utf8(bytes) {
            Ok(text) => format!("{{ data = {} }}", quoted(text)),
            Err(_) => format!("{{ data_base64 = {} }}", quoted(&BASE64_STANDARD.encode(bytes))),
        },
    }
}

/// A basic string of TOML, always on one line. Not toml's own writer: that lets through the control
/// characters beyond ASCII, which command terminals, and puts long texts on many lines.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => {
                // Writing to a String cannot fail.
                write!(quoted, "\\u{:04X}", u32::from(control)).ok();
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

fn array(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}
