//! The sinks that follow a sink for one event, as a text: `3s(5d 6x) 4x` says that sink 3 gets the
//! event once it is settled, sink 4 if it is dead, and when sink 3 has settled it, it is 5's if it
//! was delivered there and 6's if it is dead there.
//!
//! It is written when the event is stored and holds for it whatever a reload changes.

use std::fmt::Write as _;

use rusqlite::Row;
use rusqlite::types::Type;

use crate::event::Event;
use crate::journal::after::On;
use crate::journal::feed::Route;
use crate::journal::types::SinkId;

/// Sinks that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Followers(pub(super) Vec<Follower>);

/// A sink that follows, and those that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) sink: SinkId,
    pub(super) on: On,
    pub(super) followers: Followers,
}

/// A sink that gets an event at once, and the text of those that follow it.
pub(super) type Direct = (SinkId, Option<String>);

/// The sinks of `routes` that get an event at once: of those that want it, the ones that come after
/// no other, or after one that does not want it; unless they want what that has given up.
pub(super) fn direct(routes: &[Route], event: &Event) -> Vec<Direct> {
    let wanted: Vec<&Route> = routes.iter().filter(|route| route.wanted.matches(event)).collect();
    // Nearly always.
    if wanted.iter().all(|route| route.after.is_none()) {
        return wanted.iter().map(|route| (route.sink, None)).collect();
    }
    let is_wanted = |sink| wanted.iter().any(|route| route.sink == sink);
    let is_direct = |route: &&&Route| match route.after {
        None => true,
        Some(after) => !is_wanted(after.sink) && after.on != On::Dead,
    };
    let direct = wanted.iter().filter(is_direct);
    direct.map(|route| (route.sink, Followers::of(&wanted, route.sink).text())).collect()
}

impl Followers {
    /// Of the sinks that want an event, those after `sink`. There are no cycles.
    fn of(wanted: &[&Route], sink: SinkId) -> Self {
        let after = |route: &&Route| {
            let after = route.after.filter(|after| after.sink == sink)?;
            let followers = Self::of(wanted, route.sink);
            Some(Follower { sink: route.sink, on: after.on, followers })
        };
        Self(wanted.iter().filter_map(after).collect())
    }

    /// Those for which `on` holds, and the others.
    pub(super) fn split(&self, on: impl Fn(On) -> bool) -> (Self, Self) {
        let (these, others) = self.0.iter().cloned().partition(|follower| on(follower.on));
        (Self(these), Self(others))
    }

    /// One of them, or of those that follow them.
    pub(super) fn find(self, sink: SinkId) -> Option<Follower> {
        self.0.into_iter().find_map(|follower| match follower.sink == sink {
            true => Some(follower),
            false => follower.followers.find(sink),
        })
    }

    /// The text; `None` if there are none.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = String::new();
        self.write(&mut text);
        (!text.is_empty()).then_some(text)
    }

    fn write(&self, text: &mut String) {
        for (index, Follower { sink, on, followers }) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(text, "{space}{}{}", sink.0, letter(*on)).expect("memory can be written to");
            if !followers.0.is_empty() {
                text.push('(');
                followers.write(text);
                text.push(')');
            }
        }
    }

    /// The followers in a column, where there are any.
    pub(super) fn column(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let text = row.get_ref(column)?.as_str()?;
        Self::parse(text).ok_or_else(|| {
            let error = format!("{text:?} is no list of sinks that follow");
            rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
        })
    }

    fn parse(text: &str) -> Option<Self> {
        parse(text).filter(|(_, rest)| rest.is_empty()).map(|(followers, _)| followers)
    }
}

/// Reads up to the text's end or the closing bracket, and returns what is left.
fn parse(text: &str) -> Option<(Followers, &str)> {
    let (mut all, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches(' ');
        if rest.is_empty() || rest.starts_with(')') {
            return Some((Followers(all), rest));
        }
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let sink = SinkId(rest[..digits].parse().ok()?);
        let on = on(rest[digits..].chars().next()?)?;
        rest = &rest[digits + 1..];
        let mut followers = Followers::default();
        if let Some(inner) = rest.strip_prefix('(') {
            let left;
            (followers, left) = parse(inner)?;
            rest = left.strip_prefix(')')?;
        }
        all.push(Follower { sink, on, followers });
    }
}

fn letter(on: On) -> char {
    match on {
        On::Settled => 's',
        On::Delivered => 'd',
        On::Dead => 'x',
    }
}

fn on(letter: char) -> Option<On> {
    [On::Settled, On::Delivered, On::Dead].into_iter().find(|on| self::letter(*on) == letter)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::event::{AppId, Wanted, read};
    use crate::journal::after::RouteAfter;
    use crate::journal::feed;

    fn route(sink: i64, wanted: &str, after: Option<(i64, On)>) -> Route {
        Route {
            sink: SinkId(sink),
            wanted: Wanted::from(vec![wanted.to_owned()]),
            feed: feed().0,
            after: after.map(|(sink, on)| RouteAfter { sink: SinkId(sink), on }),
        }
    }

    fn direct_of(routes: &[Route], event_type: &str) -> Vec<(i64, Option<String>)> {
        let text = format!(r#"{{"EventType":"{event_type}","N":1}}"#);
        let event = read(AppId(1), &text, false, Utc::now()).event;
        direct(routes, &event).into_iter().map(|(sink, text)| (sink.0, text)).collect()
    }

    #[test]
    fn who_follows_is_carried_as_far_as_the_chain_goes() {
        let routes = [
            route(1, "*", None),
            route(2, "*", Some((1, On::Settled))),
            route(3, "*", Some((2, On::Delivered))),
            route(4, "*", Some((2, On::Dead))),
            route(5, "*", Some((1, On::Dead))),
            route(6, "*", None),
        ];
        let text = Some("2s(3d 4x) 5x".to_owned());
        assert_eq!(direct_of(&routes, "A"), [(1, text), (6, None)]);
        assert_eq!(direct_of(&routes[5..], "A"), [(6, None)]);
    }

    #[test]
    fn what_the_sink_before_does_not_want_goes_on_at_once_unless_it_is_to_be_dead() {
        let routes = [
            route(1, "A", None),
            route(2, "*", Some((1, On::Settled))),
            route(3, "*", Some((1, On::Delivered))),
            route(4, "*", Some((1, On::Dead))),
            route(5, "*", Some((4, On::Settled))),
        ];
        assert_eq!(direct_of(&routes, "A"), [(1, Some("2s 3d 4x(5s)".to_owned()))]);
        assert_eq!(direct_of(&routes, "B"), [(2, None), (3, None)]);
    }

    #[test]
    fn a_text_is_read_as_it_was_written() {
        for text in ["3s", "3s 4d 5x", "3s(5d 6x) 4x", "1s(2d(3x(4s))) 12x(13s 14s)"] {
            assert_eq!(Followers::parse(text).unwrap().text().as_deref(), Some(text));
        }
        assert_eq!(Followers::default().text(), None);
        for broken in ["x", "3", "3q", "3s(", "3s(4d", "s3", "3s)"] {
            assert_eq!(Followers::parse(broken), None, "{broken}");
        }
    }
}
