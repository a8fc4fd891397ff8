//! Making text from the target safe to print.
//!
//! A thread may be called `"\x1b[2J"`. Control characters (C0, DEL, C1), line separators and
//! the characters that reorder text (Unicode bidirectional controls) are shown as escapes; all
//! else, in any script, is left as it is.

use std::borrow::Cow;
use std::fmt::Write;

/// True for characters that a terminal, a log viewer or a reader could be misled by.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

/// The text with unsafe characters as `\n`, `\t`, `\x1b`, `\u202e`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if !is_unsafe(character) {
            safe.push(character);
            continue;
        }
        // Writing to a String cannot fail.
        let _ = match u32::from(character) {
            0x0A => write!(safe, "\\n"),
            0x0D => write!(safe, "\\r"),
            0x09 => write!(safe, "\\t"),
            code @ ..=0xFF => write!(safe, "\\x{code:02x}"),
            code @ ..=0xFFFF => write!(safe, "\\u{code:04x}"),
            code => write!(safe, "\\U{code:08x}"),
        };
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_what_would_act() {
        assert_eq!(escape("a\x1b[2Jb\n"), "a\\x1b[2Jb\\n");
        assert_eq!(escape("evil\u{202e}txt\u{9b}"), "evil\\u202etxt\\x9b");
        assert_eq!(escape("服务.Café"), "服务.Café");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text: String) {
            prop_assert!(!escape(&text).contains(is_unsafe));
        }
    }
}
