//! When tiles are shown: one after the other, without seams.

use super::super::finding::{FindingCode, Findings};
use super::area::PlacedTile;

/// From how many milliseconds on an overlap or a gap is more than a seam.
const MAX_SEAM: u64 = 1_000;

/// Sorts tiles by time, drops those that are never shown, and closes the seams between the others.
pub(super) fn in_order(placed: Vec<PlacedTile>, findings: &mut Findings) -> Vec<PlacedTile> {
    let mut sorted: Vec<PlacedTile> = Vec::with_capacity(placed.len());
    for placed in placed {
        let (start, end) = (placed.tile.start, placed.tile.end);
        if end <= start {
            findings.add(FindingCode::TimeEmpty, || {
                format!("the cue at {} ends at {}", clock(start), clock(end))
            });
        } else {
            sorted.push(placed);
        }
    }
    let disorder = sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .filter(|(one, next)| next.tile.start < one.tile.start);
    for (one, next) in disorder {
        findings.add(FindingCode::Order, || {
            format!("the cue at {} stands behind {}", clock(next.tile.start), clock(one.tile.start))
        });
    }
    sorted.sort_by_key(|placed| placed.tile.start);
    sorted.dedup_by(|next, one| {
        let is_twice = next.tile.start == one.tile.start;
        if is_twice {
            findings.add(FindingCode::Duplicate, || {
                format!("two cues start at {}; the first is kept", clock(next.tile.start))
            });
        }
        is_twice
    });
    let starts: Vec<u64> = sorted.iter().map(|placed| placed.tile.start).collect();
    for (placed, next) in sorted.iter_mut().zip(starts.iter().skip(1)) {
        meet(&mut placed.tile.end, *next, findings);
    }
    match starts.first() {
        None | Some(0) => {}
        Some(start) => {
            findings
                .add(FindingCode::Start, || format!("the first cue starts at {}", clock(*start)));
        }
    }
    sorted
}

/// Has a tile end when the next one starts, unless a gap is between them that may be meant.
fn meet(end: &mut u64, next: u64, findings: &mut Findings) {
    let distance = end.abs_diff(next);
    if distance == 0 {
        return;
    }
    let is_overlap = *end > next;
    if distance < MAX_SEAM {
        findings.add(FindingCode::Seams, || {
            let what = if is_overlap { "an overlap" } else { "a gap" };
            format!("{what} of {distance} ms before {}", clock(next))
        });
    } else if is_overlap {
        findings.add(FindingCode::Overlap, || {
            format!("the cue before {} ends at {}", clock(next), clock(*end))
        });
    } else {
        findings
            .add(FindingCode::Gap, || format!("no cue from {} to {}", clock(*end), clock(next)));
        return;
    }
    *end = next;
}

/// A time as people write it.
fn clock(millis: u64) -> String {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    format!("{}:{:02}:{seconds:02}{fraction}", minutes / 60, minutes % 60)
}
