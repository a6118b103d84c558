//! XML as JetBrains' IDEs write it, changed as text: elements are found with their places, and one is
//! put in or cut out between them, so that what is not ours stays byte for byte.

use quick_xml::escape::{escape, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// How deep elements may lie in one another.
const MAX_DEPTH: usize = 64;

/// An element and where it stands in its text.
#[derive(Debug, Default)]
pub(super) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    /// Where its first tag begins and ends, its last tag begins and ends; the same for one tag.
    start: usize,
    inner: usize,
    close: usize,
    end: usize,
}

/// An element that is to be written.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

/// A step from an element to one in it: a name, and an attribute that it has.
pub(super) type Step<'a> = (&'static str, Option<(&'static str, &'a str)>);

impl Node {
    pub(super) fn new(name: &'static str) -> Self {
        let node = Self::default();
        Self { name, ..node }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    pub(super) fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Its text, every line but the first behind `indent`.
    fn text(&self, indent: &str, newline: &str) -> String {
        let mut text = format!("<{}", self.name);
        for (name, value) in &self.attributes {
            text.push_str(&format!(" {name}=\"{}\"", escape(value.as_str())));
        }
        if self.children.is_empty() {
            return text + " />";
        }
        text.push('>');
        let deeper = format!("{indent}  ");
        for child in &self.children {
            let child = child.text(&deeper, newline);
            text.push_str(&format!("{newline}{deeper}{child}"));
        }
        text + &format!("{newline}{indent}</{}>", self.name)
    }

    /// Whether an element is this one, whatever else it has.
    fn is(&self, element: &Element) -> bool {
        let has = |(name, value): &(&str, String)| element.attribute(name) == Some(value);
        self.name == element.name
            && self.attributes.iter().all(has)
            && self
                .children
                .iter()
                .all(|child| element.children.iter().any(|one| child.is(one)))
    }
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        all.find_map(|(other, value)| (other == name).then_some(value.as_str()))
    }

    pub(super) fn children(&self) -> &[Element] {
        &self.children
    }

    /// The element that these steps lead to.
    pub(super) fn at(&self, steps: &[Step<'_>]) -> Option<&Element> {
        let Some(((name, attribute), rest)) = steps.split_first() else {
            return Some(self);
        };
        let is_meant = |one: &&Element| {
            let has = |(key, value): (&str, &str)| one.attribute(key) == Some(value);
            one.name == *name && attribute.is_none_or(has)
        };
        let mut meant = self.children.iter().filter(is_meant);
        meant.find_map(|one| one.at(rest))
    }
}

/// Reads a text; its one element is the child of what is returned.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Element, String> {
    // Windows' editors begin a file with a byte order mark, which the reader would not count.
    let marked = text.strip_prefix('\u{feff}');
    let begin = marked.map_or(0, |rest| text.len() - rest.len());
    let mut reader = Reader::from_str(marked.unwrap_or(text));
    let at = |reader: &Reader<&[u8]>| {
        let position = usize::try_from(reader.buffer_position());
        position.map_or(usize::MAX, |position| begin + position)
    };
    let mut open = vec![Element::default()];
    loop {
        let start = at(&reader);
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let end = at(&reader);
        match event {
            Event::Start(tag) => {
                if open.len() > MAX_DEPTH {
                    return Err("its elements are nested too deep".to_owned());
                }
                open.push(element(&tag, start, end)?);
            }
            Event::Empty(tag) => {
                let element = element(&tag, start, end)?;
                open.last_mut().ok_or("no element")?.children.push(element);
            }
            Event::End(_) => {
                let mut element = open.pop().ok_or("an end without a begin")?;
                (element.close, element.end) = (start, end);
                open.last_mut()
                    .ok_or("an end without a begin")?
                    .children
                    .push(element);
            }
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(root), true) if root.children.len() == 1 => Ok(root),
        _ => Err("it is not one whole element".to_owned()),
    }
}

fn element(tag: &BytesStart<'_>, start: usize, end: usize) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = unescape(&attribute.value).map_err(|error| error.to_string())?;
        attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(Element {
        name: tag.name().as_ref().to_owned(),
        attributes,
        children: Vec::new(),
        start,
        inner: end,
        close: end,
        end,
    })
}

/// A text with a node in the element that these steps lead to; `missing` are the elements of the
/// steps, for those that are not there. One of the same `key` attribute that differs is replaced.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn with(
    text: &str,
    steps: &[Step<'_>],
    missing: &[Node],
    node: &Node,
    key: &'static str,
) -> Result<String, String> {
    let root = if text.trim().is_empty() {
        let Some((first, rest)) = missing.split_first() else {
            return Err("it is empty".to_owned());
        };
        return Ok(format!("{}\n", nested(first, rest, node).text("", "\n")));
    } else {
        parse(text)?
    };
    let there = (1..=steps.len()).rev().find_map(|depth| {
        let (path, _) = steps.split_at(depth);
        root.at(path).map(|element| (depth, element))
    });
    let Some((depth, parent)) = there else {
        return Err(format!(
            "its element is no <{}>",
            steps.first().map_or("", |step| step.0)
        ));
    };
    match missing.get(depth..).unwrap_or_default().split_first() {
        Some((first, rest)) => Ok(inserted(text, parent, &nested(first, rest, node))),
        None => {
            let value = |name: &str| node.attributes.iter().find(|(other, _)| *other == name);
            let named = value(key).map(|(name, value)| (*name, value.as_str()));
            match parent.at(&[(node.name, named)]) {
                Some(old) if node.is(old) => Ok(text.to_owned()),
                Some(old) => {
                    let (before, after) = (&text[..old.start], &text[old.end..]);
                    let new = node.text(&indent(text, old.start), newline(text));
                    Ok(format!("{before}{new}{after}"))
                }
                None => Ok(inserted(text, parent, node)),
            }
        }
    }
}

fn nested(first: &Node, rest: &[Node], node: &Node) -> Node {
    let inner = match rest.split_first() {
        Some((next, rest)) => nested(next, rest, node),
        None => node.clone(),
    };
    first.clone().child(inner)
}

fn inserted(text: &str, parent: &Element, node: &Node) -> String {
    let newline = newline(text);
    let outer = indent(text, parent.start);
    let inner = match parent.children.last() {
        Some(last) => indent(text, last.start),
        None => format!("{outer}  "),
    };
    let new = format!("{newline}{inner}{}", node.text(&inner, newline));
    if parent.close == parent.inner && parent.end == parent.inner {
        // One tag becomes two.
        let tag = text[parent.start..parent.end]
            .trim_end_matches("/>")
            .trim_end();
        let (before, after) = (&text[..parent.start], &text[parent.end..]);
        return format!(
            "{before}{tag}>{new}{newline}{outer}</{}>{after}",
            parent.name
        );
    }
    let at = parent.children.last().map_or(parent.inner, |last| last.end);
    let closing = match text[at..parent.close].contains('\n') {
        true => String::new(),
        false => format!("{newline}{outer}"),
    };
    format!("{}{new}{closing}{}", &text[..at], &text[at..])
}

/// A text without the element that these steps lead to, and the white space before it.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn without(text: &str, steps: &[Step<'_>]) -> Result<String, String> {
    if text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    let root = parse(text)?;
    Ok(match root.at(steps) {
        None => text.to_owned(),
        Some(element) => {
            let before = text[..element.start].trim_end_matches([' ', '\t', '\r', '\n']);
            format!("{before}{}", &text[element.end..])
        }
    })
}

/// The white space between the begin of the line and this place; nothing if there is more.
fn indent(text: &str, at: usize) -> String {
    let line = text[..at].rsplit('\n').next().unwrap_or_default();
    let is_blank = line.chars().all(|c| c == ' ' || c == '\t');
    if is_blank {
        line.to_owned()
    } else {
        String::new()
    }
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step<'static>; 2] = [("application", None), ("list", Some(("name", "a")))];

    fn missing() -> Vec<Node> {
        vec![
            Node::new("application"),
            Node::new("list").with("name", "a"),
        ]
    }

    fn put(text: &str, value: &str) -> String {
        let node = Node::new("item").with("id", "1").with("value", value);
        with(text, &STEPS, &missing(), &node, "id").unwrap()
    }

    fn take(text: &str) -> String {
        let steps = [&STEPS[..], &[("item", Some(("id", "1")))]].concat();
        without(text, &steps).unwrap()
    }

    #[test]
    fn a_node_comes_where_it_belongs_and_goes_without_a_trace() {
        for text in [
            "<application>\n  <list name=\"a\">\n    <item id=\"2\" />\n  </list>\n</application>\n",
            "<?xml version=\"1.0\"?>\r\n<application>\r\n\t<!-- < -->\r\n\t<list name='a'>\r\n\t\t<item id='2'/>\r\n\t</list>\r\n</application>",
            "\u{feff}<application>\n  <list name=\"a\">\n    <item id=\"ü\" />\n  </list>\n</application>\n",
            "<application>\n  <list name=\"b\"/>\n  <list name=\"a\">\n    <x><![CDATA[ </list> ]]></x>\n  </list>\n</application>\n",
        ] {
            let new = put(text, "a \"b\" <ü> & 'c'");
            let item = [&STEPS[..], &[("item", Some(("id", "1")))]].concat();
            let root = parse(&new).unwrap();
            let value = root.at(&item).unwrap().attribute("value");
            assert_eq!(value, Some("a \"b\" <ü> & 'c'"), "{new}");
            assert_eq!(take(&new), text, "{new}");
            assert_eq!(put(&new, "a \"b\" <ü> & 'c'"), new);
            let other = put(&new, "other");
            assert_eq!(other.matches("id=\"1\"").count(), 1, "{other}");
            assert_eq!(take(&other), text);
        }
    }

    #[test]
    fn what_is_missing_is_made() {
        for text in [
            "",
            "<application/>",
            "<application>\n</application>",
            "<application></application>\n",
        ] {
            let new = put(text, "x");
            let lines: Vec<&str> = new.lines().map(str::trim).collect();
            assert_eq!(
                lines,
                [
                    "<application>",
                    "<list name=\"a\">",
                    "<item id=\"1\" value=\"x\" />",
                    "</list>",
                    "</application>"
                ],
                "{text:?}: {new}"
            );
        }
        let one_tag = "<application>\n  <list name=\"a\" mine=\"1\" />\n</application>\n";
        let new = put(one_tag, "x");
        assert_eq!(
            new,
            "<application>\n  <list name=\"a\" mine=\"1\">\n    <item id=\"1\" value=\"x\" />\n  </list>\n</application>\n"
        );
    }

    #[test]
    fn what_is_none_of_theirs_is_left_alone() {
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        for text in [
            "<project/>",
            "<application>",
            "text",
            "<a/><b/>",
            "<!DOCTYPE a><application/>",
            &deep,
        ] {
            let node = Node::new("item").with("id", "1");
            assert!(
                with(text, &STEPS, &missing(), &node, "id").is_err(),
                "{text}"
            );
        }
    }
}
