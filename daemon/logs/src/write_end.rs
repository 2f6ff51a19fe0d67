//! Where a log is written to: its newest segment, and when that is closed for the next one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    damage::Damages,
    folder::Folder,
    log::Sizes,
    name::LogName,
    segment::{Segment, WriteError},
    upkeep::Upkeep,
};

/// The end of a log.
#[derive(Debug)]
pub(crate) struct WriteEnd {
    name: LogName,
    folder: Folder,
    segment: Option<Segment>,
    sizes: Sizes,
    /// How many logs there were when that was decided.
    logs: usize,
    /// Something was written since the log was synced last, and that was told.
    unsynced: Arc<AtomicBool>,
    /// The same of its checksums.
    unsummed: Arc<AtomicBool>,
    upkeep: Arc<Upkeep>,
    damages: Arc<Damages>,
}

impl WriteEnd {
    /// Touches no file yet.
    pub(crate) fn new(
        name: LogName,
        folder: Folder,
        upkeep: Arc<Upkeep>,
        damages: Arc<Damages>,
    ) -> Self {
        let logs = upkeep.logs();
        let sizes = upkeep.sizes(&name);
        let (segment, unsynced, unsummed) = (None, Arc::default(), Arc::default());
        Self { name, folder, segment, sizes, logs, unsynced, unsummed, upkeep, damages }
    }

    /// The segment, if it was opened.
    pub(crate) fn segment(&self) -> Option<&Segment> {
        self.segment.as_ref()
    }

    /// Whether bytes are to go through our memory.
    pub(crate) fn copies(&self) -> bool {
        self.sizes.copy
    }

    /// How many bytes the segment has room for.
    pub(crate) fn room(sizes: Sizes, segment: &Segment) -> u64 {
        sizes.segment_bytes.saturating_sub(segment.length()).max(1)
    }

    /// The segment to write to, and when it is closed: opened, or begun if the old one is full.
    pub(crate) fn writable(&mut self) -> Result<(&mut Segment, Sizes), WriteError> {
        if self.logs != self.upkeep.logs() {
            self.logs = self.upkeep.logs();
            self.sizes = self.upkeep.sizes(&self.name);
        }
        let Sizes { segment_bytes, segment_entries, .. } = self.sizes;
        let full = |it: &Segment| it.length() >= segment_bytes || it.entries() >= segment_entries;
        let segment = match self.segment.take() {
            None => {
                let segment = Segment::open(&self.folder)?;
                self.upkeep.begun(&self.name, None, (segment.base(), segment.entries() == 0));
                if segment.was_mended() || segment.is_over() {
                    let path = segment.path();
                    let text = format!(
                        "{}, or its index, is not what was written, as after a power cut: readers are told of a gap, and the \
                         log goes on",
                        path.display()
                    );
                    self.damages.note(&self.name, text, false);
                }
                if segment.was_mended() {
                    self.has_gap();
                }
                // What is missing in it would be taken for a program's zeros: it is closed and looked through.
                if segment.is_over() {
                    if !segment.has_told() {
                        self.has_gap();
                    }
                    self.next(segment)?
                } else {
                    segment
                }
            }
            Some(old) if full(&old) || old.is_over() => self.next(old)?,
            Some(segment) => segment,
        };
        Ok((self.segment.insert(segment), self.sizes))
    }

    /// The same, having looked whether the segment is still there.
    pub(crate) fn opened(&mut self) -> Result<&mut Segment, WriteError> {
        self.replace_lost()?;
        let (segment, _) = self.writable()?;
        Ok(segment)
    }

    fn next(&mut self, old: Segment) -> Result<Segment, WriteError> {
        match old.next() {
            Ok(next) => {
                // Its end may have been written since its last turn, without a word yet.
                self.tell_unsynced(&old);
                self.upkeep.begun(&self.name, Some(old.base()), (next.base(), true));
                Ok(next)
            }
            Err(error) => {
                // The old one stays if there can be no new one: it is where the log ends.
                self.segment = Some(old);
                Err(error)
            }
        }
    }

    /// Begins the next segment where somebody has removed this one, or cut it short: what is written to it is lost, or stands
    /// behind a hole.
    pub(crate) fn replace_lost(&mut self) -> Result<(), WriteError> {
        let Some(old) = self.segment.take_if(|segment| !segment.is_whole()) else { return Ok(()) };
        let text = format!(
            "{}, or its index, was removed or cut short, and not by auraed: readers are told of a gap, and the log goes on \
             in a new file",
            old.path().display()
        );
        self.damages.note(&self.name, text, true);
        self.has_gap();
        let next = self.next(old)?;
        self.segment = Some(next);
        Ok(())
    }

    /// Closes the segment and begins the next one, if anything is in it.
    pub(crate) fn close_segment(&mut self) -> Result<(), WriteError> {
        self.writable()?;
        let Some(old) = self.segment.take() else { return Ok(()) };
        if old.entries() == 0 {
            self.segment = Some(old);
            return Ok(());
        }
        let next = self.next(old)?;
        self.segment = Some(next);
        Ok(())
    }

    /// Something was written.
    pub(crate) fn was_written(&self) {
        let Some(segment) = &self.segment else { return };
        self.tell_unsynced(segment);
        // Entries have checksums of their own.
        if (segment.length() > 0 || self.upkeep.looks_at_ages()) && is_news(&self.unsummed) {
            self.upkeep.unsummed(&self.name, &self.unsummed);
        }
    }

    fn tell_unsynced(&self, segment: &Segment) {
        if is_news(&self.unsynced) {
            self.upkeep.syncs.written(&self.name, segment.base(), &self.unsynced);
        }
    }

    /// A gap was told in it.
    pub(crate) fn has_gap(&self) {
        self.upkeep.gap(&self.name);
    }

    /// Nothing can be written: perhaps something can go.
    pub(crate) fn has_no_room(&self) {
        self.upkeep.press();
    }
}

/// Whether a mark is set now. Looked at behind what was written, and taken away before that is looked at.
fn is_news(mark: &AtomicBool) -> bool {
    !mark.load(Ordering::SeqCst) && !mark.swap(true, Ordering::SeqCst)
}
