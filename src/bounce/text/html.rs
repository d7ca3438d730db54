//! What a report written in HTML says, line by line.

/// The text without its tags. Elements that begin a line on the screen begin one here.
pub(super) fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        push_letters(&rest[..start], &mut text);
        rest = &rest[start..];
        let Some(end) = rest.find('>') else {
            break;
        };
        let tag = &rest[1..end];
        // Careless programs write <a@example.com> and mean it.
        if tag.contains('@') && !tag.contains([' ', '=', '"']) {
            text.push_str(&rest[..=end]);
        }
        rest = &rest[end + 1..];
        let name = tag_name(tag);
        if breaks_line(&name) {
            text.push('\n');
        }
        if name == "style" || name == "script" {
            rest = behind_closing(rest, &name);
        }
    }
    push_letters(rest, &mut text);
    text
}

fn tag_name(tag: &str) -> String {
    let tag = tag.trim_start_matches('/');
    let end = tag
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(tag.len());
    // No element that matters has a longer name.
    tag[..end.min(12)].to_ascii_lowercase()
}

fn breaks_line(name: &str) -> bool {
    matches!(
        name,
        "br" | "p"
            | "div"
            | "tr"
            | "td"
            | "th"
            | "li"
            | "ul"
            | "ol"
            | "table"
            | "pre"
            | "hr"
            | "title"
    ) || matches!(name.as_bytes(), [b'h', b'1'..=b'6'])
}

/// Style sheets and scripts say nothing. Without an end the rest is one.
fn behind_closing<'a>(html: &'a str, name: &str) -> &'a str {
    let mut rest = html;
    while let Some(start) = rest.find("</") {
        rest = &rest[start + 2..];
        if tag_name(rest) == name {
            return rest.split_once('>').map_or("", |(_, behind)| behind);
        }
    }
    ""
}

fn push_letters(letters: &str, text: &mut String) {
    let mut rest = letters;
    while let Some(start) = rest.find('&') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        match reference(rest) {
            Some((letter, length)) => {
                text.push(letter);
                rest = &rest[length..];
            }
            None => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
}

/// The character reference at the beginning and its length; only those that reports use.
fn reference(text: &str) -> Option<(char, usize)> {
    let window = text.as_bytes().get(1..text.len().min(10))?;
    let end = 1 + memchr::memchr(b';', window)?;
    let name = text.get(1..end)?;
    let letter = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "commat" => '@',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((letter, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_addresses_and_references_are_kept() {
        let html = "<html><style>a@b.example</style><p>Not sent to&nbsp;these:<br/>\
            <a href=\"mailto:a@example.com\">a&#64;example.com</a><br><b@example.com>&lt;c&amp;d&gt;&x";
        assert_eq!(
            to_text(html),
            "\nNot sent to these:\na@example.com\n<b@example.com><c&d>&x"
        );
        assert_eq!(to_text("a<style>b"), "a");
        assert_eq!(to_text("a < b"), "a < b");
    }
}
