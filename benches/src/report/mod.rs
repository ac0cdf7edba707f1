//! `report`: results as one page to look at.
//!
//! Measures nothing and judges nothing that is not in the files: reads them, draws them, and says in
//! words who is ahead where.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::table::show;

mod draw;
mod durable;
mod figure;
mod input;
mod latency;
mod maps;
mod markup;
mod names;
mod number;
mod open_loop;
mod others;
mod page;
mod part;
#[cfg(test)]
mod sample;
mod servers;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;
mod verdict;

/// What the page is called in the directory of the results.
const PAGE: &str = "index.html";

/// Turn results into one page with plots.
///
/// Reads every .json file of DIR (what embedded, wire, durable, growth, memory and connections
/// wrote with --json) and writes one HTML page that needs nothing else: no network, no other file; it is
/// legible in light and dark, on a phone and on paper, and without scripts. The page has:
///
///   in short     at how many points this design leads, loses, or cannot be told from the best
///   tables       the base point of every comparison, with percentiles
///   plots        throughput against threads, batch, reads, values, keys, shards; latency by
///                percentile; latency against the offered rate; the write window; the longest pause
///                while a map grows; servers side by side
///   sentences    below each plot, written from its numbers: where this design loses, leads, or is
///                not different because the ranges of the rounds overlap
///   numbers      of each plot as a table
///
/// Figures of different files are never drawn together: they were not measured side by side. A file
/// that is not a result, or has a malformed field, is an error; a field that older results lack
/// leaves out the plot that needs it, and the page says so.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Report {
    /// Directory with the results
    dir: PathBuf,
    /// The page to write, over an older one [default: index.html in DIR]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Report {
    /// Reads the results and writes the page.
    ///
    /// # Errors
    /// No results, a file that is none, an unwritable page.
    pub(crate) fn run(&self) -> Result<()> {
        let runs = input::read(&self.dir)?;
        let page = page::page(&runs);
        let path = self.out.clone().unwrap_or_else(|| self.dir.join(PAGE));
        fs::write(&path, &page).with_context(|| format!("write {}", path.display()))?;
        show(&format!(
            "{}: {} KiB from {} files",
            path.display(),
            page.len() / 1_024,
            runs.len()
        ))?;
        Ok(())
    }
}
