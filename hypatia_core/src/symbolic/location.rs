//! Where in a text something went wrong, shown with a caret.

use crate::error::Error;

/// An error at a byte of the text: line, column, the line itself and a caret under the place.
pub fn error_at(text: &str, offset: usize, message: &str) -> Error {
    let offset = floor_boundary(text, offset.min(text.len()));
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line_number = text[..offset].matches('\n').count() + 1;
    let column = text[line_start..offset].chars().count() + 1;
    let before: Vec<char> = text[line_start..offset]
        .chars()
        .rev()
        .take(60)
        .map(visible)
        .collect();
    let cut = column - 1 > before.len();
    let after: String = text[offset..]
        .chars()
        .take_while(|&c| c != '\n')
        .take(40)
        .map(visible)
        .collect();
    let shown: String = before.iter().rev().collect();
    let (mark, width) = if cut {
        ("…", before.len() + 1)
    } else {
        ("", before.len())
    };
    Error::new(format!(
        "line {line_number}, column {column}: {message}\n    {mark}{shown}{after}\n    {}^",
        " ".repeat(width)
    ))
}

fn visible(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

fn floor_boundary(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The known name nearest to this one, when it is near enough to be meant.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if name.len() < 4 { 1 } else { 2 };
    known
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, over the first 40 characters.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(40).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(40).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
