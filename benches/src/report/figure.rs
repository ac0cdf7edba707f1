//! A figure as the page shows it: a question, a drawing, what it says in words, and its numbers.

use super::draw::bars::Panel;
use super::draw::lines::{NARROW, Plot, WIDE};
use super::markup::Element;
use super::verdict::Sentence;

/// Rows under headings; the first column is a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) headings: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// One row of a table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    /// This design's own.
    pub(super) ours: bool,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub(super) enum Drawing {
    Lines(Plot),
    Bars(Vec<Panel>),
}

/// A figure with everything around it.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// The question it answers.
    pub(super) title: String,
    /// Under which circumstances.
    pub(super) subtitle: String,
    pub(super) drawing: Drawing,
    /// How to read it, where the axes do not say so.
    pub(super) notes: Vec<String>,
    pub(super) verdict: Vec<Sentence>,
    pub(super) data: Data,
}

impl Data {
    /// An empty table.
    pub(super) fn new<T: Into<String>>(headings: impl IntoIterator<Item = T>) -> Self {
        Self {
            headings: headings.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, ours: bool, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.headings.len(), "a cell per heading");
        self.rows.push(Row { cells, ours });
    }

    /// As a table that scrolls sideways where it is wider than the window.
    pub(super) fn element(&self) -> Element {
        let cell = |index: usize, text: &String| {
            if index == 0 {
                Element::new("th").set("scope", "row").text(text)
            } else {
                Element::new("td").text(text)
            }
        };
        let head = self
            .headings
            .iter()
            .map(|text| Element::new("th").set("scope", "col").text(text));
        let body = self.rows.iter().map(|row| {
            let cells = row.cells.iter().enumerate();
            let line = Element::new("tr").all(cells.map(|(index, text)| cell(index, text)));
            if row.ours {
                line.set("class", "ours")
            } else {
                line
            }
        });
        let table = Element::new("table")
            .push(Element::new("thead").push(Element::new("tr").all(head)))
            .push(Element::new("tbody").all(body));
        Element::of("div", "scroll").push(table)
    }
}

impl Figure {
    /// As a card of the page.
    pub(super) fn element(&self) -> Element {
        let (class, drawing) = match &self.drawing {
            Drawing::Lines(plot) => (
                "card",
                Element::of("div", "drawing")
                    .push(Element::of("div", "wide").push(plot.svg(WIDE)))
                    .push(Element::of("div", "narrow").push(plot.svg(NARROW))),
            ),
            Drawing::Bars(panels) => (
                if panels.len() > 1 {
                    "card full"
                } else {
                    "card"
                },
                Element::of("div", rows_of(panels.len())).all(panels.iter().map(|panel| {
                    let title = Element::new("h4").text(&panel.title);
                    let part = Element::of("div", "panel");
                    let part = if panel.title.is_empty() {
                        part
                    } else {
                        part.push(title)
                    };
                    part.push(panel.svg())
                })),
            ),
        };
        let caption = Element::new("figcaption")
            .push(Element::new("h3").text(&self.title))
            .push(Element::of("p", "circumstances").text(&self.subtitle));
        let numbers = Element::new("details")
            .push(Element::new("summary").text("The numbers"))
            .push(self.data.element());
        Element::of("figure", class)
            .push(caption)
            .push(drawing)
            .all(
                self.notes
                    .iter()
                    .map(|note| Element::of("p", "note").text(note)),
            )
            .all(verdicts(&self.verdict))
            .push(numbers)
    }
}

/// The class of so many panels: two or four of them stand in pairs.
const fn rows_of(panels: usize) -> &'static str {
    match panels {
        2 | 4 => "panels pairs",
        _ => "panels",
    }
}

/// Sentences as a list; nothing for none.
pub(super) fn verdicts(sentences: &[Sentence]) -> Option<Element> {
    (!sentences.is_empty())
        .then(|| Element::of("ul", "verdict").all(sentences.iter().map(sentence)))
}

/// What holds at one place stands in its line; several places stand below each other.
fn sentence(sentence: &Sentence) -> Element {
    let item = Element::of("li", sentence.class);
    match sentence.places.as_slice() {
        [] => item.text(format!("{}.", sentence.text)),
        [(place, text)] => {
            let colon = if place.is_empty() { "" } else { ": " };
            item.text(format!("{}: {place}{colon}{text}.", sentence.text))
        }
        places => {
            let places = places.iter().map(|(place, text)| {
                Element::new("li")
                    .push(Element::of("span", "place").text(place))
                    .text(format!(": {text}"))
            });
            item.text(format!("{}:", sentence.text))
                .push(Element::new("ul").all(places))
        }
    }
}
