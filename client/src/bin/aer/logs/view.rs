//! What `aer logs` shows of what it reads, as it reads it.

use std::collections::BTreeSet;

use api::{
    observe::{LogBatch, LogChannelType, LogChunk, LogFailure, LogGap},
    runtime::ExitRecord,
};
use client::LogsQuery;
use regex::bytes::Regex;

use super::last::{Event, Kept};
use crate::{
    arguments::Form,
    failure::Failure,
    render::{self, Cutter, Line, Look, Outputs, Whose},
};

/// What is shown, and how.
pub(super) struct View {
    form: Form,
    /// Whether several sources are shown.
    several: bool,
    look: Look,
    grep: Option<Regex>,
    cutter: Cutter,
    outputs: Outputs,
    /// What goes to one of them next, together: a system call for each line would cost more than all else.
    waiting: (LogChannelType, Vec<u8>),
    /// Where what passed through unchanged ended without a newline.
    open: BTreeSet<LogChannelType>,
    /// Of these the part that came last matched, and the line goes on.
    matched: BTreeSet<Whose>,
    /// What was shown last is a part of a line, and has not been ended.
    joined: Option<(Whose, LogChannelType)>,
    /// The logs that could not be read, as far as they were told.
    failures: BTreeSet<(String, String)>,
}

impl View {
    /// Of what is asked for.
    pub(super) fn new(form: Form, query: &LogsQuery, grep: Option<Regex>) -> Self {
        let several = query.every || query.sources.len() > 1;
        Self {
            form,
            several,
            look: Look::new(form, several),
            grep,
            cutter: Cutter::default(),
            outputs: Outputs::new(),
            waiting: (LogChannelType::ChannelStdout, Vec::new()),
            open: BTreeSet::new(),
            matched: BTreeSet::new(),
            joined: None,
            failures: BTreeSet::new(),
        }
    }

    /// Whether some of what was asked for could not be read.
    pub(super) fn is_partial(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Shows what was found before.
    pub(super) async fn show(&mut self, kept: Kept) -> Result<(), Failure> {
        if let Some(lines) = kept.searched {
            render::looked_no_further(lines);
        }
        for failure in kept.failures {
            self.failure(&failure)?;
        }
        for event in kept.events {
            match event {
                Event::Line(line) => self.shown(&line).await?,
                Event::Gap(gap) => self.gap(&gap).await?,
                Event::Exit(exit) => self.exit(&exit).await?,
            }
        }
        // Those are finished by what follows.
        (self.cutter, self.matched) = (kept.cutter, kept.matched);
        self.flush().await
    }

    /// Shows what nobody has finished.
    pub(super) async fn rest(&mut self) -> Result<(), Failure> {
        for line in self.cutter.rest() {
            self.line(&line).await?;
        }
        self.flush().await
    }

    pub(super) async fn batch(&mut self, batch: &LogBatch) -> Result<(), Failure> {
        for failure in &batch.failures {
            self.failure(failure)?;
        }
        if let Some(gap) = &batch.gap {
            // What stands before it and what comes after are no one line.
            for line in self.cutter.rest_before(gap) {
                self.line(&line).await?;
            }
            self.gap(gap).await?;
        }
        for chunk in &batch.chunks {
            self.chunk(chunk).await?;
        }
        if let Some(exit) = &batch.exit {
            self.exit(exit).await?;
        }
        self.flush().await
    }

    async fn gap(&mut self, gap: &LogGap) -> Result<(), Failure> {
        for channel in std::mem::take(&mut self.open) {
            self.put(channel, b"\n").await?;
        }
        self.end_joined().await?;
        self.flush().await?;
        match self.form {
            Form::Json => render::json(&render::GapLine::from(gap))?,
            Form::Table | Form::Short | Form::Cat | Form::Precise => {
                let of = Some(gap.name.as_str()).filter(|_| self.several);
                render::missing(of, (gap.bytes, gap.entries), &gap.message);
            }
        }
        Ok(())
    }

    /// Says once what cannot be read.
    fn failure(&mut self, failure: &LogFailure) -> Result<(), Failure> {
        let LogFailure { name, message } = failure;
        if !self.failures.insert((name.clone(), message.clone())) {
            return Ok(());
        }
        render::unread(name, message);
        match self.form {
            Form::Json => render::json(&render::FailureLine::from(failure)),
            Form::Table | Form::Short | Form::Cat | Form::Precise => Ok(()),
        }
    }

    async fn chunk(&mut self, chunk: &LogChunk) -> Result<(), Failure> {
        if self.grep.is_none() {
            if self.form == Form::Json {
                return render::json(&render::Chunk::from(chunk));
            }
            if self.look.is_unchanged(chunk.channel()) {
                if chunk.continues && !self.open.contains(&chunk.channel()) {
                    self.flush().await?;
                    render::without_beginning();
                }
                match chunk.data.last() {
                    Some(b'\n') | None => self.open.remove(&chunk.channel()),
                    Some(_) => self.open.insert(chunk.channel()),
                };
                return self.put(chunk.channel(), &chunk.data).await;
            }
        }
        for line in self.cutter.push(chunk) {
            self.line(&line).await?;
        }
        Ok(())
    }

    /// What the run has left without a newline is shown before its end.
    async fn exit(&mut self, exit: &ExitRecord) -> Result<(), Failure> {
        for line in self.cutter.rest_of(&exit.run_id) {
            self.line(&line).await?;
        }
        match self.form {
            Form::Json => render::json(&render::ExitLine::from(exit)),
            Form::Table | Form::Short | Form::Cat | Form::Precise => Ok(()),
        }
    }

    async fn line(&mut self, line: &Line) -> Result<(), Failure> {
        if !is_wanted(self.grep.as_ref(), &mut self.matched, line) {
            return Ok(());
        }
        self.shown(line).await
    }

    /// A line, or a part of one, that is wanted.
    async fn shown(&mut self, line: &Line) -> Result<(), Failure> {
        let (whose, channel) = (line.whose(), line.chunk.channel());
        match self.form {
            Form::Json => render::json(&render::Chunk::from(line)),
            Form::Table | Form::Short | Form::Cat | Form::Precise => {
                let follows =
                    line.begun && self.joined.as_ref().is_some_and(|(last, _)| *last == whose);
                if !follows {
                    self.end_joined().await?;
                }
                if line.is_cut() && self.look.is_raw(channel) {
                    self.flush().await?;
                    render::without_beginning();
                }
                let shown = self.look.line(line, follows);
                let joined = line.continued && !self.look.is_raw(channel);
                self.joined = joined.then_some((whose, channel));
                self.put(channel, &shown).await
            }
        }
    }

    /// Something else comes between the parts of a line.
    async fn end_joined(&mut self) -> Result<(), Failure> {
        match self.joined.take() {
            Some((_, channel)) => self.put(channel, b"\n").await,
            None => Ok(()),
        }
    }

    async fn put(&mut self, channel: LogChannelType, bytes: &[u8]) -> Result<(), Failure> {
        if self.waiting.0 != channel {
            self.flush().await?;
            self.waiting.0 = channel;
        }
        self.waiting.1.extend_from_slice(bytes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let (channel, bytes) = &mut self.waiting;
        let bytes = std::mem::take(bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        match channel {
            LogChannelType::ChannelStdout => self.outputs.stdout(&bytes).await,
            LogChannelType::ChannelStderr => self.outputs.stderr(&bytes).await,
        }
    }
}

/// Whether a line matches. Of one that is too long to be held its first part decides for all of it.
pub(super) fn is_wanted(grep: Option<&Regex>, matched: &mut BTreeSet<Whose>, line: &Line) -> bool {
    let Some(grep) = grep else { return true };
    if !line.begun && !line.continued {
        return grep.is_match(line.text());
    }
    let whose = line.whose();
    let before = matched.remove(&whose);
    let wanted = if line.begun { before } else { grep.is_match(line.text()) };
    if wanted && line.continued {
        matched.insert(whose);
    }
    wanted
}
