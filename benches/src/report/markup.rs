//! HTML and SVG as elements: text is escaped on its way in, tags are balanced by construction.
//!
//! Knows no figures and no layout.
//!
//! 1. Nothing but constants of this program gets into a page unescaped.
//! 2. A number that is not finite is never written: it becomes 0.

use std::fmt::{self, Display, Write as _};

/// Elements that never have children; written as `<name/>`.
const CHILDLESS: [&str; 5] = ["meta", "path", "line", "rect", "circle"];

/// One element with everything inside it.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    name: &'static str,
    attributes: String,
    inner: String,
}

impl Element {
    /// Without attributes and children.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: String::new(),
            inner: String::new(),
        }
    }

    /// With a class.
    pub(crate) fn of(name: &'static str, class: impl Display) -> Self {
        Self::new(name).set("class", class)
    }

    /// Adds an attribute.
    pub(crate) fn set(mut self, attribute: &'static str, value: impl Display) -> Self {
        // Writing into a String cannot fail.
        let _written = write!(self.attributes, " {attribute}=\"");
        escape_into(&mut self.attributes, value);
        self.attributes.push('"');
        self
    }

    /// Adds text.
    pub(crate) fn text(mut self, text: impl Display) -> Self {
        escape_into(&mut self.inner, text);
        self
    }

    /// Adds a child.
    pub(crate) fn push(mut self, child: Self) -> Self {
        debug_assert!(!CHILDLESS.contains(&self.name), "{} in it", self.name);
        let _written = write!(self.inner, "{child}");
        self
    }

    /// Adds children.
    pub(crate) fn all(self, children: impl IntoIterator<Item = Self>) -> Self {
        children.into_iter().fold(self, Self::push)
    }

    /// Adds a style sheet or a script, as it stands.
    pub(crate) fn raw(mut self, text: &'static str) -> Self {
        self.inner.push_str(text);
        self
    }
}

impl Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            attributes,
            inner,
        } = self;
        if CHILDLESS.contains(name) {
            write!(formatter, "<{name}{attributes}/>")
        } else {
            write!(formatter, "<{name}{attributes}>{inner}</{name}>")
        }
    }
}

/// A coordinate: a tenth of a pixel is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Px(pub(crate) f64);

impl Display for Px {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = if self.0.is_finite() {
            (self.0 * 10.0).round() / 10.0
        } else {
            0.0
        };
        // Adding zero turns -0 into 0.
        write!(formatter, "{}", tenths + 0.0)
    }
}

/// Writes `text` so that it is text, in an element as in an attribute. Characters that XML cannot
/// have become the replacement character.
fn escape_into(target: &mut String, text: impl Display) {
    for character in text.to_string().chars() {
        match character {
            '&' => target.push_str("&amp;"),
            '<' => target.push_str("&lt;"),
            '>' => target.push_str("&gt;"),
            '"' => target.push_str("&quot;"),
            '\'' => target.push_str("&#39;"),
            '\n' | '\t' => target.push(character),
            _ if character.is_control() => target.push(char::REPLACEMENT_CHARACTER),
            _ => target.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_markup_stays_text() {
        let element = Element::new("p")
            .set("title", "a\"b'c")
            .text("<script>alert('&')</script>\0");
        assert_eq!(
            element.to_string(),
            "<p title=\"a&quot;b&#39;c\">&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;\u{fffd}</p>"
        );
    }

    #[test]
    fn elements_close_in_the_order_they_opened() {
        let element = Element::of("g", "x")
            .push(Element::new("path").set("d", "M0 0"))
            .all([Element::new("text").text(1), Element::new("text")]);
        assert_eq!(
            element.to_string(),
            "<g class=\"x\"><path d=\"M0 0\"/><text>1</text><text></text></g>"
        );
    }

    #[test]
    fn coordinates_are_short_and_finite() {
        let cases = [
            (12.345, "12.3"),
            (12.0, "12"),
            (-0.01, "0"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(Px(value).to_string(), text);
        }
    }
}
