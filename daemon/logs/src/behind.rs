//! Where the last bytes of an output lie, and whether they have ended their line.

use crate::{folder::Folder, index::read_at, open, reader::ReadError};

/// The place behind the last bytes of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// The segment that they lie in.
    pub(crate) base: u64,
    /// The position.
    pub(crate) end: u64,
}

impl Behind {
    /// Whether a newline is the last of them; also where they are not kept any more.
    pub(crate) fn ends_with_newline(self, folder: &Folder) -> Result<bool, ReadError> {
        let path = folder.data(self.base);
        let failed = |source| ReadError { path: path.clone(), source };
        let file = match open::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(failed(error)),
        };
        let mut byte = [0];
        let offset = self.end.saturating_sub(self.base).saturating_sub(1);
        let count = read_at(&file, &mut byte, offset).map_err(failed)?;
        Ok(count == 0 || byte == [b'\n'])
    }

    /// Whether what comes next goes on with a line. Where that cannot be found out it is not said.
    pub(crate) fn is_within_line(self, folder: &Folder) -> bool {
        self.ends_with_newline(folder).is_ok_and(|ended| !ended)
    }
}
