//! A run as its client sees it, frame by frame.

use api::runtime::{ExitRecord, RunFrame, RunStarted, run_frame::Frame};
use tonic::{Status, Streaming};

use crate::Daemon;

/// A run as it happens. Dropping it drops the call.
#[derive(Debug)]
pub struct Run<'d> {
    daemon: &'d Daemon,
    stream: Streaming<RunFrame>,
    /// The first frame.
    pub started: RunStarted,
    /// Standard output so far.
    pub stdout: Vec<u8>,
    /// Standard error so far.
    pub stderr: Vec<u8>,
    /// Bytes that gaps have owned up to.
    pub missing: u64,
    /// The last frame, once it has come.
    pub exit: Option<ExitRecord>,
}

impl<'d> Run<'d> {
    pub(crate) fn of(daemon: &'d Daemon, stream: Streaming<RunFrame>) -> Self {
        Self {
            daemon,
            stream,
            started: RunStarted::default(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            missing: 0,
            exit: None,
        }
    }

    /// The next frame; none after the last. What it brings is also kept here.
    ///
    /// # Errors
    /// As the daemon answers.
    ///
    /// # Panics
    /// Where anything follows the exit.
    #[expect(clippy::should_implement_trait, reason = "it can fail, and waits")]
    #[track_caller]
    pub fn next(&mut self) -> Result<Option<Frame>, Status> {
        let frame = self.daemon.block(self.stream.message())?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.frame.expect("no frame is empty");
        assert!(self.exit.is_none(), "after the exit came {frame:?}");
        match &frame {
            Frame::Started(_) => {}
            Frame::Stdout(bytes) => self.stdout.extend_from_slice(bytes),
            Frame::Stderr(bytes) => self.stderr.extend_from_slice(bytes),
            Frame::Gap(gap) => self.missing += gap.bytes,
            Frame::Exit(exit) => self.exit = Some(exit.clone()),
        }
        Ok(Some(frame))
    }

    /// Reads until standard output has these bytes.
    ///
    /// # Panics
    /// Where the run ends before.
    #[track_caller]
    pub fn read_until(&mut self, wanted: &str) {
        let has = |seen: &[u8]| seen.windows(wanted.len()).any(|part| part == wanted.as_bytes());
        while !has(&self.stdout) {
            let frame = self.next().expect("the stream is whole");
            let frame = frame.unwrap_or_else(|| panic!("the stream ended before {wanted:?}"));
            assert!(!matches!(frame, Frame::Exit(_)), "the run ended before it printed {wanted:?}");
        }
    }

    /// Reads to the end: the exit.
    ///
    /// # Panics
    /// Where the stream ends without one.
    #[track_caller]
    pub fn finish(&mut self) -> ExitRecord {
        while self.next().expect("the stream is whole").is_some() {}
        self.exit.clone().expect("the last frame is the exit")
    }

    /// Reads to the end and keeps nothing but the count: how many bytes came on standard output.
    ///
    /// # Panics
    /// Where the stream ends without an exit.
    #[track_caller]
    pub fn count(&mut self) -> u64 {
        let mut count = self.stdout.len() as u64;
        self.stdout.clear();
        while let Some(frame) = self.next().expect("the stream is whole") {
            if let Frame::Stdout(bytes) = frame {
                count += bytes.len() as u64;
                self.stdout.clear();
            }
        }
        assert!(self.exit.is_some(), "the stream ended without an exit");
        count
    }
}
