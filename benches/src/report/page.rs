//! The page as a whole: one file, nothing fetched, readable without its script.
//!
//! 1. Sections come in a fixed order, whatever the files are called.
//! 2. Rows of two files never stand in one figure: they were not measured side by side.

use super::figure::{Data, verdicts};
use super::input::{DurableRow, Machine, Rows, Run};
use super::markup::Element;
use super::number::{date, grouped};
use super::part::{Part, PointTable};
use super::{durable, maps, others, servers};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing from anywhere else, by the browser's word.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Sections in their order: the command, where to jump, the heading, what it asks.
const SECTIONS: [(&str, &str, &str, &str); 6] = [
    (
        "embedded",
        "maps",
        "Maps in one process",
        "Threads of one process call a map. When does owning it beat locking it?",
    ),
    (
        "growth",
        "growth",
        "A growing map",
        "One thread inserts into an empty map. How long does it stand still when the map grows?",
    ),
    (
        "wire",
        "servers",
        "Servers over TCP",
        "The same machine runs the server and the generator of its load. All servers are asked in \
         turn, round after round.",
    ),
    (
        "durable",
        "durable",
        "Writes that are kept",
        "Nothing acknowledged may be lost. What does that cost, beside those who promise the same?",
    ),
    (
        "memory",
        "memory",
        "Memory of a server",
        "A server is started empty and given keys without expiry.",
    ),
    (
        "connections",
        "connections",
        "Idle connections",
        "Many connections do nothing while some work, and must still be answered at the end.",
    ),
];

/// How to read it, in the order in which a reader needs it.
const READING: [&str; 8] = [
    "Compare figures of one file only. Within it rounds alternate over everything that is compared, \
     so that a machine that gets slower gets slower for all.",
    "A point is the median of the rounds; the thin bar through it reaches from the slowest round to \
     the fastest. Two whose bars overlap are not different.",
    "A name has the same colour, marker and dashes all over the page. The thick blue line with round \
     marks is this design as it is by default.",
    "The sentences below a figure are written from its numbers. Red: this design loses there. \
     Green: it leads. Grey: no difference that the rounds would show.",
    "p99 is the time that 99 of 100 calls do not exceed; max is the longest of all. Every percentile \
     of a row comes from one histogram.",
    "In batches, the latency is that of the whole batch.",
    "Servers in a closed loop are asked again only after they have answered: that hides what a \
     stall does to those who do not wait. Only the open loop (offered rate) shows it.",
    "Point at a mark, or tap it, to read it. Below each figure are its numbers as a table.",
];

/// The page of these results.
pub(super) fn page(runs: &[Run]) -> String {
    let mut sections = Vec::new();
    let mut tallies = Vec::new();
    let mut links = vec![("reading", "How to read this"), ("short", "In short")];
    for (command, anchor, heading, question) in SECTIONS {
        let of_kind: Vec<&Run> = runs
            .iter()
            .filter(|run| run.head.command == command)
            .collect();
        if of_kind.is_empty() {
            sections.push(Element::of("p", "absent").text(format!(
                "{heading}: left out, there are no results of {command} in this directory."
            )));
            continue;
        }
        links.push((anchor, heading));
        for (index, run) in of_kind.into_iter().enumerate() {
            let part = part(&run.rows);
            let title = Element::new("h2")
                .text(heading)
                .text(" ")
                .push(Element::of("span", "file").text(&run.file));
            let title = if index == 0 {
                title.set("id", anchor)
            } else {
                title
            };
            tallies.extend(tally(heading, run, &part));
            let section = Element::new("section")
                .push(title)
                .push(Element::new("p").text(question));
            sections.push(section_of(section, run, part));
        }
    }
    let nav = Element::new("nav")
        .set("aria-label", "Parts of this page")
        .all(links.iter().map(|(anchor, text)| {
            Element::new("a")
                .set("href", format!("#{anchor}"))
                .text(text)
        }));
    let main = Element::new("main")
        .push(reading())
        .push(short(tallies))
        .all(sections);
    let body = Element::new("body")
        .push(patterns())
        .push(head(runs).push(nav))
        .push(main)
        .push(Element::new("footer").push(Element::new("p").text(
            "Made by shardkeep-bench report. The figures are in the files named above, every round \
             of them.",
        )))
        .push(Element::new("script").raw(SCRIPT));
    let html = Element::new("html")
        .set("lang", "en")
        .push(document_head())
        .push(body);
    format!("<!doctype html>\n{html}\n")
}

fn document_head() -> Element {
    let meta = |name: &'static str, content: &str| {
        Element::new("meta")
            .set("name", name)
            .set("content", content)
    };
    Element::new("head")
        .push(Element::new("meta").set("charset", "utf-8"))
        .push(meta("viewport", "width=device-width, initial-scale=1"))
        .push(
            Element::new("meta")
                .set("http-equiv", "Content-Security-Policy")
                .set("content", POLICY),
        )
        .push(meta("color-scheme", "light dark"))
        .push(Element::new("title").text("Owning against locking, measured"))
        .push(Element::new("style").raw(STYLE))
}

fn part(rows: &Rows) -> Part {
    match rows {
        Rows::Maps(rows) => maps::part(rows),
        Rows::Servers(rows) => servers::part(rows),
        Rows::Growth(rows) => others::growth(rows),
        Rows::Memory(rows) => others::memory(rows),
        Rows::Connections(rows) => others::connections(rows),
        Rows::Durable(rows) => durable::part(rows),
    }
}

fn head(runs: &[Run]) -> Element {
    let mut machines: Vec<&Machine> = Vec::new();
    for run in runs {
        if !machines.contains(&&run.head.machine) {
            machines.push(&run.head.machine);
        }
    }
    let several = (machines.len() > 1).then(|| {
        Element::of("p", "note")
            .text("These files come from different machines: compare nothing across files.")
    });
    let days = || runs.iter().map(|run| run.head.unix_seconds);
    let day = |seconds: Option<u64>| {
        let text = date(seconds.unwrap_or_default());
        text.split(' ').next().unwrap_or_default().to_owned()
    };
    let (first, last) = (day(days().min()), day(days().max()));
    let when = if first == last {
        format!("Measured on {first}.")
    } else {
        format!("Measured from {first} to {last}.")
    };
    Element::new("header")
        .push(Element::new("h1").text("Owning against locking, measured"))
        .push(Element::new("p").text(format!(
            "Shardkeep, whose maps have one owner each and change hands, beside the maps and servers \
             people would use instead. Where it loses, this page says so. {when}"
        )))
        .all(
            machines
                .into_iter()
                .map(|machine| Element::of("p", "machine").text(described(machine))),
        )
        .all(several)
        .push(made(runs))
}

fn described(machine: &Machine) -> String {
    let cores = if machine.cores == 1 { "core" } else { "cores" };
    let mut text = format!(
        "{}, {} {cores}, {} MB of memory, Linux {}",
        machine.cpu,
        grouped(machine.cores),
        grouped(machine.memory_mb),
        machine.kernel,
    );
    if !machine.huge_pages.is_empty() {
        text = format!("{text}, huge pages {}", machine.huge_pages);
    }
    text
}

fn reading() -> Element {
    Element::new("section")
        .push(
            Element::new("h2")
                .set("id", "reading")
                .text("How to read this"),
        )
        .push(Element::of("ul", "reading").all(READING.map(|text| Element::new("li").text(text))))
}

fn short(tallies: Vec<Element>) -> Element {
    let section =
        Element::new("section").push(Element::new("h2").set("id", "short").text("In short"));
    if tallies.is_empty() {
        section.push(
            Element::new("p")
                .text("Nothing here compares this design with another at the same point."),
        )
    } else {
        section.all(tallies)
    }
}

/// The sentences of one file for the beginning of the page.
fn tally(heading: &str, run: &Run, part: &Part) -> Vec<Element> {
    verdicts(&part.tally).map_or_else(Vec::new, |sentences| {
        let title = Element::new("h3")
            .text(heading)
            .text(" ")
            .push(Element::of("span", "file").text(&run.file));
        vec![title, sentences]
    })
}

fn section_of(section: Element, run: &Run, part: Part) -> Element {
    let tables = part.tables.iter().map(|PointTable { title, data }| {
        Element::of("div", "point")
            .push(Element::new("h3").text(title))
            .push(data.element())
    });
    let cards = Element::of("div", "cards").all(part.figures.iter().map(|figure| figure.element()));
    let left_out = (!part.left_out.is_empty()).then(|| {
        Element::of("p", "absent").text(format!(
            "Left out, since these results have no rows for it: {}.",
            part.left_out.join(", ")
        ))
    });
    let skipped = (!run.head.skipped.is_empty()).then(|| {
        let items = run.head.skipped.iter();
        Element::of("div", "aside")
            .push(Element::new("h3").text("Asked for and not measured"))
            .push(Element::new("ul").all(items.map(|text| Element::new("li").text(text))))
    });
    section
        .all(verdicts(&part.warnings))
        .all(tables)
        .push(cards)
        .all(left_out)
        .all(skipped)
}

/// Command lines, seeds, dates and versions.
fn made(runs: &[Run]) -> Element {
    let mut table = Data::new(["file", "command line", "seed", "date"]);
    for run in runs {
        let head = &run.head;
        table.row(
            false,
            [
                run.file.clone(),
                format!("shardkeep-bench {}", head.arguments.join(" ")),
                head.seed.to_string(),
                date(head.unix_seconds),
            ],
        );
    }
    let mut versions: Vec<String> = Vec::new();
    let libraries = runs
        .iter()
        .flat_map(|run| run.head.versions.iter())
        .map(|(name, version)| format!("{name} {version}"));
    for version in libraries.chain(runs.iter().flat_map(server_versions)) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    Element::of("div", "runs")
        .push(table.element())
        .push(Element::of("p", "versions").text(format!("Versions: {}.", versions.join(", "))))
}

fn server_versions(run: &Run) -> Vec<String> {
    let mut versions: Vec<String> = match &run.rows {
        Rows::Servers(rows) => rows.iter().map(|row| row.version.clone()).collect(),
        Rows::Memory(rows) => rows.iter().map(|row| row.version.clone()).collect(),
        Rows::Connections(rows) => rows.iter().map(|row| row.version.clone()).collect(),
        Rows::Durable(rows) => rows
            .iter()
            .filter_map(|row| match row {
                DurableRow::Line(line) => Some(line.version.clone()),
                DurableRow::Disk(_) | DurableRow::Bar(_) => None,
            })
            .collect(),
        Rows::Maps(_) | Rows::Growth(_) => Vec::new(),
    };
    versions.retain(|version| !version.is_empty());
    versions
}

/// What drawings refer to: the hatch.
fn patterns() -> Element {
    let line = Element::of("path", "hatch-line").set("d", "M0 0L0 6");
    let pattern = Element::new("pattern")
        .set("id", "hatch")
        .set("width", 6)
        .set("height", 6)
        .set("patternUnits", "userSpaceOnUse")
        .set("patternTransform", "rotate(45)")
        .push(line);
    Element::of("svg", "defs")
        .set("aria-hidden", "true")
        .push(Element::new("defs").push(pattern))
}
