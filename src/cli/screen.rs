//! A page on a terminal: no line is longer than it is wide, and there are no more of them than it
//! has, so that the first ones stay in sight.

use std::io;

use terminal_size::{Height, Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::units::plural;

/// Columns that stand before the text in a paragraph whose lines begin with a label.
const LABEL: usize = 13;

/// The size of a terminal, in columns and lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    width: usize,
    height: usize,
}

impl Screen {
    /// That of standard output; `None` if it is no terminal.
    pub(super) fn of_stdout() -> Option<Self> {
        let (Width(width), Height(height)) = terminal_size_of(io::stdout())?;
        // A serial line may not know its size and have none.
        (width > 0 && height > 0).then_some(Self { width: width.into(), height: height.into() })
    }

    /// What of `page` fits. The first two paragraphs, which say how it is, are wrapped; lines of the
    /// others, which are figures, are cut.
    pub(super) fn fit(self, page: &str) -> String {
        let (mut lines, mut paragraph) = (Vec::new(), 0);
        for line in page.lines() {
            paragraph += usize::from(line.is_empty());
            if paragraph < 2 { self.wrap(line, &mut lines) } else { lines.push(self.cut(line)) }
        }
        // The cursor takes the last line.
        let room = self.height.saturating_sub(1).max(1);
        if lines.len() > room {
            let kept = (room - 1).max(1);
            let more = lines.len() - kept;
            lines.truncate(kept);
            if kept < room {
                lines.push(self.cut(&format!("… {more} more {}", plural(more as u64, "line"))));
            }
        }
        lines.iter().fold(String::new(), |page, line| page + line + "\n")
    }

    fn wrap(self, line: &str, lines: &mut Vec<String>) {
        let label = if line.starts_with(' ') && self.width > 2 * LABEL { LABEL } else { 0 };
        let (mut rest, mut margin) = (line, 0);
        loop {
            let (part, after) = rest.split_at(end_of_line(rest, self.width - margin));
            lines.push(format!("{:margin$}{}", "", part.trim_end()));
            rest = after.trim_start();
            margin = label;
            if rest.is_empty() {
                return;
            }
        }
    }

    fn cut(self, line: &str) -> String {
        if line.width() <= self.width {
            return line.to_owned();
        }
        let mut column = 1;
        let fits = |c: &char| {
            column += c.width().unwrap_or(0);
            column <= self.width
        };
        line.chars().take_while(fits).chain(['…']).collect()
    }
}

/// Where `text` is to be broken for a line of this width: at a blank between two words, or in a word
/// that is longer than that.
fn end_of_line(text: &str, width: usize) -> usize {
    let (mut column, mut is_in_text, mut blank) = (0, false, None);
    for (at, c) in text.char_indices() {
        if c == ' ' && is_in_text {
            blank = Some(at);
        }
        is_in_text |= c != ' ';
        column += c.width().unwrap_or(0);
        if column > width {
            return blank.unwrap_or(if at == 0 { c.len_utf8() } else { at });
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "sprited 0.1.0: DEGRADED\n\
        7 sinks are down (a, b, c, d, e, f, g); 1,234 events wait in the journal, none is lost\n\n  \
        to do      mend what answers at its target; sprited check asks it; no event is lost\n\n  \
        pulled     12/s, just now\n  \
        a-name  down  1,234  0  failed 2.0 s ago: cannot reach http://127.0.0.1:9/: 无法连接，连接被拒绝\n";

    #[test]
    fn sentences_are_wrapped_and_figures_cut() {
        insta::assert_snapshot!(Screen { width: 60, height: 20 }.fit(PAGE), @"
        sprited 0.1.0: DEGRADED
        7 sinks are down (a, b, c, d, e, f, g); 1,234 events wait in
        the journal, none is lost

          to do      mend what answers at its target; sprited check
                     asks it; no event is lost

          pulled     12/s, just now
          a-name  down  1,234  0  failed 2.0 s ago: cannot reach ht…
        ");
        let wide = Screen { width: 120, height: 20 }.fit(PAGE);
        assert_eq!(wide, PAGE);
    }

    #[test]
    fn the_first_lines_stay_in_sight_and_the_others_are_counted() {
        let fitted = |width, height| Screen { width, height }.fit(PAGE);
        assert!(fitted(80, 7).ends_with(
            "\n  to do      mend what answers at its target; sprited \
                                         check asks it; no event is\n… 4 more lines\n"
        ));
        assert_eq!(fitted(80, 2), "sprited 0.1.0: DEGRADED\n");
        for (width, height) in (1..90).flat_map(|width| (1..12).map(move |height| (width, height)))
        {
            let page = fitted(width, height);
            assert!(page.lines().count() < height.max(2), "{width}×{height}: {page}");
            // A wide letter needs two columns where there is one.
            assert!(
                page.lines().all(|line| line.width() <= width.max(2)),
                "{width}×{height}: {page}"
            );
        }
    }
}
