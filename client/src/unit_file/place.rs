//! Where in a file something is.

/// Line and column, both from 1, of a byte of a file; columns count characters. Beyond the end is the end.
#[must_use]
pub fn place(content: &[u8], offset: usize) -> (usize, usize) {
    let before = content.get(..offset).unwrap_or(content);
    let mut lines = before.rsplit(|byte| *byte == b'\n');
    let column = lines.next().map_or(0, |line| String::from_utf8_lossy(line).chars().count());
    (lines.count().saturating_add(1), column.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(place("a\näöü".as_bytes(), 2), (2, 1));
        assert_eq!(place("a\näöü".as_bytes(), 6), (2, 3));
        assert_eq!(place(b"", 7), (1, 1));
    }

    proptest! {
        #[test]
        fn every_place_has_a_line_and_a_column(content in any::<Vec<u8>>(), offset in any::<usize>()) {
            let (line, column) = place(&content, offset);
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}
