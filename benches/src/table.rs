//! Plain text tables for the terminal: the first column left, the figures right.

use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Rows under headings; every row has as many cells as there are headings.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            headings: headings.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }

    /// Appends a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.headings.len(), "a cell per heading");
        self.rows.push(cells);
    }

    /// The table as lines of text.
    pub(crate) fn text(&self) -> String {
        let mut widths: Vec<usize> = self.headings.iter().map(String::len).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&self.headings).chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // Writing into a String cannot fail.
                let _written = match column {
                    0 => write!(line, "{cell:<width$}"),
                    1.. => write!(line, "  {cell:>width$}"),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Writes result text to standard output (progress goes to standard error).
///
/// # Errors
/// Standard output is closed.
pub(crate) fn show(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Millions with two digits.
pub(crate) fn millions(value: f64) -> String {
    format!("{:.2}", value / 1e6)
}

/// Thousands with one digit.
pub(crate) fn thousands(value: f64) -> String {
    format!("{:.1}", value / 1e3)
}

/// A figure with a fixed number of digits, or a dash where there is none.
pub(crate) fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_figures_stand_right() {
        let mut table = Table::new(["engine", "Mop/s"]);
        table.row(["a".to_owned(), "1.00".to_owned()]);
        table.row(["striped".to_owned(), "13.70".to_owned()]);
        assert_eq!(
            table.text(),
            "engine   Mop/s\na         1.00\nstriped  13.70\n"
        );
    }

    #[test]
    fn figures_are_rounded_to_their_unit() {
        assert_eq!(millions(13_704_000.0), "13.70");
        assert_eq!(thousands(141_250.0), "141.2");
        assert_eq!(optional(Some(1.256), 2), "1.26");
        assert_eq!(optional(None, 2), "-");
    }
}
