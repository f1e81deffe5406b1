//! A page on a terminal: no line is longer than it is wide, and there are no more of them than it
//! has, so that the first ones stay in sight.

use std::io;
use std::time::Duration;

use indicatif::ProgressBar;
use terminal_size::{Height, Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::units::plural;

/// Columns that stand before the text in a paragraph whose lines begin with a label.
const LABEL: usize = 13;

/// Shows on a terminal that the command waits for something, until it is finished.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

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
    /// others, which are figures, are cut. Where not all fits, the problems take a third of the
    /// height at most, and less if otherwise a sink had no line.
    pub(super) fn fit(self, page: &str) -> String {
        // The cursor takes the last line.
        let room = self.height.saturating_sub(1).max(1);
        let mut page = Page::of(self, page);
        let mut lines = page.lines();
        if lines.len() > room {
            page.shorten(self, room);
            lines = page.lines();
        }
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

/// A page in its paragraphs, as lines that are wrapped or cut.
struct Page {
    headline: Vec<String>,
    /// What is wrong, each with what to do about it.
    problems: Vec<Vec<String>>,
    paragraphs: Vec<Vec<String>>,
}

impl Page {
    fn of(screen: Screen, page: &str) -> Self {
        let mut paragraphs = page.split("\n\n").map(|text| text.trim_matches('\n'));
        let wrapped = |text: &str| {
            let mut lines = Vec::new();
            text.lines().for_each(|line| screen.wrap(line, &mut lines));
            lines
        };
        let headline = wrapped(paragraphs.next().unwrap_or_default());
        let mut problems: Vec<Vec<String>> = Vec::new();
        let mut figures = Vec::new();
        match paragraphs.next() {
            Some(text) if is_of_problems(text) => {
                for line in text.lines() {
                    match problems.last_mut() {
                        Some(problem) if line.starts_with(TO_DO) => screen.wrap(line, problem),
                        _ => problems.push(wrapped(line)),
                    }
                }
            }
            Some(text) => figures.push(wrapped(text)),
            None => {}
        }
        let cut = |text: &str| text.lines().map(|line| screen.cut(line)).collect();
        figures.extend(paragraphs.map(cut));
        Self { headline, problems, paragraphs: figures }
    }

    fn lines(&self) -> Vec<String> {
        let problems = self.problems.concat();
        let rest =
            [&problems].into_iter().chain(&self.paragraphs).filter(|lines| !lines.is_empty());
        let mut lines = self.headline.clone();
        for paragraph in rest {
            lines.push(String::new());
            lines.extend_from_slice(paragraph);
        }
        lines
    }

    /// Lines up to the last sink's with that many of the problems, and one that tells of what follows.
    fn height_to_sinks(&self, problems: usize) -> usize {
        let sinks = self.paragraphs.iter().position(|paragraph| is_of_sinks(paragraph));
        let to_sinks = &self.paragraphs[..sinks.map_or(0, |at| at + 1)];
        let figures: usize = to_sinks.iter().map(|paragraph| paragraph.len() + 1).sum();
        let is_last = to_sinks.len() == self.paragraphs.len();
        self.headline.len() + problems + usize::from(problems > 0) + figures + usize::from(!is_last)
    }

    fn shorten(&mut self, screen: Screen, room: usize) {
        let all: usize = self.problems.iter().map(Vec::len).sum();
        let mut problems = all.min((room / 3).max(LEAST_OF_PROBLEMS));
        if self.height_to_sinks(problems) > room {
            // What a sink failed with is among the problems.
            for sinks in self.paragraphs.iter_mut().filter(|paragraph| is_of_sinks(paragraph)) {
                sinks.retain(|line| !line.starts_with("    "));
            }
            let lacking = self.height_to_sinks(problems).saturating_sub(room);
            problems = all.min(problems.saturating_sub(lacking).max(LEAST_OF_PROBLEMS));
        }
        if problems < all {
            self.shorten_problems(screen, problems);
        }
        let has_sinks = self.paragraphs.iter().any(|paragraph| is_of_sinks(paragraph));
        while has_sinks && self.height_to_sinks(problems) > room {
            // The figures before the sinks', from the last one on.
            match self.paragraphs.first_mut() {
                Some(figures) if is_of_sinks(figures) => return,
                Some(figures) if figures.len() > 1 => drop(figures.pop()),
                _ => drop(self.paragraphs.remove(0)),
            }
        }
    }

    /// Leaves that many lines of the problems, the last of which tells how many more there are.
    fn shorten_problems(&mut self, screen: Screen, most: usize) {
        let (mut lines, mut told) = (Vec::new(), 0);
        for problem in &self.problems {
            if lines.len() + problem.len() >= most {
                break;
            }
            lines.extend_from_slice(problem);
            told += 1;
        }
        if told == 0 {
            // The first is the worst: as much of it as there is room for.
            lines.extend(self.problems.iter().flatten().take(most - 1).cloned());
            told = 1;
        }
        let more = match self.problems.len() - told {
            0 => "more".to_owned(),
            more => format!("and {more} more"),
        };
        lines.push(screen.cut(&format!("  {more}: sprited status")));
        self.problems = vec![lines];
    }
}

/// The least that is left of the problems: the first line, and how many more there are.
const LEAST_OF_PROBLEMS: usize = 2;

/// How the line begins that says what to do about a problem.
const TO_DO: &str = "  to do ";

fn is_of_problems(paragraph: &str) -> bool {
    let words = [TO_DO, "  not ready ", "  degraded ", "  note "];
    words.iter().any(|word| paragraph.starts_with(word))
}

fn is_of_sinks(paragraph: &[String]) -> bool {
    paragraph.first().is_some_and(|line| line.starts_with("  SINK "))
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

    /// Seven sinks of which each tells twice why it fails.
    #[test]
    fn each_sink_has_its_line_and_the_problems_what_is_left() {
        let problem = |sink: &str| {
            format!("  degraded   sink {sink} is down, 20 events wait in the journal: HTTP 503\n")
        };
        let row = |sink: &str| {
            format!(
                "  {sink:4}  down  20  0  -\n        failed 2.0 s ago: HTTP 503, again and again\n"
            )
        };
        let sinks = ["a", "b", "c", "d", "e", "f", "g"];
        let page = format!(
            "sprited 0.1.0: DEGRADED\n7 sinks are down (a, b, c, d, e, f, g).\n\n  \
             to do      mend it\n{}\n  cloud      3 waiting\n  pulled     12/s, just now\n\n  \
             SINK  STATE  PENDING  DEAD  LAG\n{}\n  LATEST\n  997b796963b3  pending\n",
            sinks.map(problem).concat(),
            sinks.map(row).concat()
        );
        let fitted = |height| Screen { width: 80, height }.fit(&page);
        insta::assert_snapshot!(fitted(24), @r"
        sprited 0.1.0: DEGRADED
        7 sinks are down (a, b, c, d, e, f, g).

          to do      mend it
          degraded   sink a is down, 20 events wait in the journal: HTTP 503
          degraded   sink b is down, 20 events wait in the journal: HTTP 503
          degraded   sink c is down, 20 events wait in the journal: HTTP 503
          degraded   sink d is down, 20 events wait in the journal: HTTP 503
          degraded   sink e is down, 20 events wait in the journal: HTTP 503
          and 2 more: sprited status

          cloud      3 waiting
          pulled     12/s, just now

          SINK  STATE  PENDING  DEAD  LAG
          a     down  20  0  -
          b     down  20  0  -
          c     down  20  0  -
          d     down  20  0  -
          e     down  20  0  -
          f     down  20  0  -
          g     down  20  0  -
        … 3 more lines
        ");
        let small = fitted(16);
        assert!(
            small.contains("  to do      mend it\n  and 7 more: sprited status\n\n"),
            "{small}"
        );
        assert!(small.ends_with("  g     down  20  0  -\n… 3 more lines\n"), "{small}");
        assert!(fitted(36).contains("again and again") && fitted(36).contains("LATEST"));
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
