//! What `qstat -f` and `pbsnodes` print, as records of fields: from XML, and from the text of
//! versions and sites without it. Both name a field alike: `Resource_List.walltime`.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;

/// A job's or a node's fields. The text's head line is `Job_Id` or `name`, as the XML calls it.
pub(in crate::scheduler) type Record = BTreeMap<String, String>;

/// The records of an XML answer, `<Data><Job>...` or `<Data><Node>...`; `None` when it is none.
pub(in crate::scheduler) fn of_xml(text: &str) -> Option<Vec<Record>> {
    let mut reader = Reader::from_str(text);
    let mut records = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut value = String::new();
    let mut begun = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                let name = tag.name().as_ref().to_owned();
                match path.len() {
                    0 if name != "Data" => return None,
                    0 => begun = true,
                    1 => records.push(Record::new()),
                    _ => {}
                }
                path.push(name);
                value.clear();
            }
            Event::Text(text) => value.push_str(&text),
            Event::CData(text) => value.push_str(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(char) => value.push(char),
                None => {
                    value.push_str(quick_xml::escape::resolve_predefined_entity(&reference)?);
                }
            },
            Event::End(_) => {
                let key = path.get(2..).unwrap_or_default().join(".");
                // Around nested elements there is nothing but blanks.
                if !key.is_empty() && !value.trim().is_empty() {
                    records.last_mut()?.insert(key, value.trim().to_owned());
                }
                value.clear();
                path.pop();
            }
            Event::Eof => return (begun && path.is_empty()).then_some(records),
            _ => {}
        }
    }
}

/// The records of a text answer: a head line, then indented `key = value`; a line that begins
/// with a tab continues the one before.
pub(in crate::scheduler) fn of_text(text: &str) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix('\t') {
            let field = last.as_ref().zip(records.last_mut());
            if let Some(value) = field.and_then(|(key, record)| record.get_mut(key)) {
                value.push_str(rest.trim_end());
            }
            continue;
        }
        let is_indented = line.starts_with(' ');
        match line.split_once(" = ") {
            Some((key, value)) if is_indented => {
                let key = key.trim().to_owned();
                if let Some(record) = records.last_mut() {
                    record.insert(key.clone(), value.trim().to_owned());
                    last = Some(key);
                }
            }
            _ if is_indented || line.trim().is_empty() => last = None,
            _ => {
                let (key, value) = match line.split_once(": ") {
                    Some(("Job Id", id)) => ("Job_Id", id),
                    Some((kind, name)) => (kind, name),
                    None => ("name", line),
                };
                let head = (key.to_owned(), value.trim().to_owned());
                records.push(Record::from([head]));
                last = None;
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_give_the_same_fields() {
        let xml = "<?xml version=\"1.0\"?>\n<Data><Job><Job_Id>0.login</Job_Id><Resource_List>\
                   <nodes>1:ppn=2</nodes><walltime>00:10:00</walltime></Resource_List>\
                   <comment>a &lt;b&gt; &amp; &#99;</comment></Job></Data>\n";
        let text = "Job Id: 0.login\n    Resource_List.nodes = 1:pp\n\tn=2\n    \
                    Resource_List.walltime = 00:10:00\n    comment = a <b> & c\n\n";
        assert_eq!(of_xml(xml).unwrap(), of_text(text));
        assert_eq!(of_text(text)[0]["Resource_List.nodes"], "1:ppn=2");
    }

    #[test]
    fn what_is_no_answer_in_xml_is_told() {
        for bad in [
            "",
            "Job Id: 0.login\n",
            "<Data><Job><Job_Id>0.login",
            "<Data><Job></Data>",
            "<html></html>",
            "<Data>&bomb;</Data>",
        ] {
            assert_eq!(of_xml(bad), None, "{bad}");
        }
        assert_eq!(of_xml("<Data></Data>"), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}|(</?(Data|Job|a)>|&[a-z#0-9]{0,4};|x){0,12}") {
            let _ = (of_xml(&text), of_text(&text));
        }
    }
}
