//! JSON with comments and trailing commas, as VS Code's files are and people edit them: changed as
//! text, so that what is not ours stays byte for byte.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstObject, CstRootNode};

/// Changes a text whose value is an object; an empty text becomes one.
///
/// # Errors
/// What is wrong with the text, in words that fit behind its path.
pub(super) fn edit(
    text: &str,
    change: impl FnOnce(&CstObject) -> Result<(), String>,
) -> Result<String, String> {
    // Windows' editors begin a file with a byte order mark.
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let root =
        CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| error.to_string())?;
    let is_new = root.value().is_none();
    let Some(object) = root.object_value_or_create() else {
        return Err("its value is no object".to_owned());
    };
    let is_bare = object.properties().is_empty();
    change(&object)?;
    let mut new = root.to_string();
    if (is_new || is_bare) && new != text && !new.ends_with('\n') {
        new.push('\n');
    }
    Ok(format!("{mark}{new}"))
}
