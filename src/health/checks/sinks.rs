//! What becomes of events at the sinks. Never a reason not to be ready: they wait in the journal.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::delivery::{SinkOutage, SinkProgress};
use crate::format::{counted, foreign, number, seconds, time};
use crate::health::check::HealthCheck;
use crate::health::daemon_health::Sinks;
use crate::journal::{DeadGroup, FailingEvent, Overview, SinkOverview};
use crate::sinks::SourceOutage;

/// A sink that is up gets what is due within this time.
const MAX_DELIVERY_DELAY: Duration = Duration::from_secs(60);
/// A sink that catches up has delivered something by then, in seconds.
const MOVES_AFTER: f64 = 5.0;
/// A dead letter is news for so long.
const NEWS: Duration = Duration::from_secs(600);
/// A sink that is paused for longer is forgotten.
const PAUSED_TOO_LONG: Duration = Duration::from_secs(86_400);
/// Characters of a key that identify it in practice.
const SHORT_KEY: usize = 12;
/// What to do about a sink that is down, where its error says no more.
const DOWN: &str = "repair what it delivers to, which sprited check tries; no event is lost";

/// `overview` is of the journal, if that can be read.
pub(in crate::health) fn sink_checks(
    sinks: &Sinks,
    overview: Option<&Overview>,
    now: DateTime<Utc>,
) -> Vec<HealthCheck> {
    let down = sinks.iter().filter_map(|(name, of)| Some((name.as_str(), of.outage.as_ref()?)));
    let mut checks = down_checks(&down.collect::<Vec<_>>(), overview, now);
    checks.extend(sinks.iter().filter_map(|(name, of)| {
        let pending = overview.and_then(|all| all.sinks.iter().find(|of| of.sink.name == *name));
        let pending = pending.map_or(0, |of| of.events.pending);
        Some(paused(name, of.paused_since?, pending, now))
    }));
    checks.extend(sinks.iter().filter_map(|(name, of)| sources_down(name, &of.sources_down)));
    let Some(overview) = overview else {
        checks.push(HealthCheck::fine("deliveries", "the journal cannot be read"));
        return checks;
    };
    let progress = |of: &SinkOverview| sinks.get(&of.sink.name);
    // What the journal says of a sink that has just recovered is of before.
    let is_behind = |of: &SinkOverview| {
        progress(of).is_some_and(|of| {
            of.outage.is_some() || of.catching_up_since.is_some() || of.paused_since.is_some()
        })
    };
    let up = overview.sinks.iter().filter(|of| of.sink.active && !is_behind(of));
    let sources = |of: &SinkOverview| progress(of).map_or(&[][..], |of| &of.sources_down);
    checks.extend(up.filter_map(|of| failing(of, sources(of))));
    checks.extend(overview.sinks.iter().filter_map(|of| dead_letters(of, progress(of), now)));
    checks.extend(overview.sinks.iter().filter_map(removed));
    // What catches up is late, and no news; unless nothing moves.
    let is_late = |of: &&SinkOverview| {
        let is_excused = progress(of).is_some_and(|of| {
            let has_begun = of.catching_up_since.is_some_and(|at| seconds(now - at) < MOVES_AFTER);
            let moves = of.catching_up_since.is_some() && of.deliveries_per_second > 0.0;
            of.outage.is_some() || of.paused_since.is_some() || has_begun || moves
        });
        of.sink.active && !is_excused
    };
    checks.push(deliveries(overview.sinks.iter().filter(is_late), now));
    checks
}

/// Of several that are down, the first is about all of them.
fn down_checks(
    down: &[(&str, &SinkOutage)],
    overview: Option<&Overview>,
    now: DateTime<Utc>,
) -> Vec<HealthCheck> {
    let of_sink =
        |name: &str| overview.and_then(|all| all.sinks.iter().find(|of| of.sink.name == name));
    let one = |(name, outage): &(&str, &SinkOutage)| {
        let pending = of_sink(name).map(|of| of.events.pending);
        let waiting = pending.map(waiting).unwrap_or_default();
        // After a restart only the dead letters tell why it rejects all.
        let rejections = of_sink(name).and_then(|of| of.dead_letters.by_error.first());
        let rejections = rejections.filter(|_| outage.is_braked);
        let why = rejections.filter(|group| !outage.error.contains(&group.error));
        let why = why.map_or(String::new(), |group| format!(" ({})", foreign(&group.error)));
        let error = foreign(&outage.error);
        let detail = format!("sink {} is down{waiting}: {error}{why}", foreign(name));
        // With nothing to try it with, the next event does.
        let next_try = outage.next_probe.filter(|_| pending != Some(0));
        HealthCheck::degraded("sinks", detail)
            .of(Some(foreign(name)))
            .briefly(format!("sink {} is down", foreign(name)))
            .since(Some(outage.since))
            .next_try(next_try)
            .remedy(outage.hint.as_deref().map_or(DOWN.to_owned(), foreign))
    };
    match down {
        [] => vec![HealthCheck::fine("sinks", "none is down")],
        [only] => vec![one(only)],
        all => {
            let names: Vec<_> = all.iter().map(|(name, _)| foreign(name)).collect();
            let of = all.iter().filter_map(|(name, _)| of_sink(name));
            // An event that waits for several of them is one event.
            let rows = of.clone().map(|of| of.events.pending).sum::<u64>();
            let pending = rows.min(overview.map_or(0, |all| all.events.pending));
            let oldest = of.filter_map(|of| of.oldest_pending).min();
            let oldest = oldest.map_or(String::new(), |at| {
                format!(", the oldest for {}", time(seconds(now - at)))
            });
            let detail = format!(
                "{} sinks are down ({}){}{oldest}; none is lost",
                names.len(),
                names.join(", "),
                waiting(pending)
            );
            let all_of_them = HealthCheck::degraded("sinks", detail)
                .briefly(format!("{} sinks are down", names.len()));
            let each = all.iter().map(|one_of| one(one_of).briefly(""));
            std::iter::once(all_of_them).chain(each).collect()
        }
    }
}

/// A sink that is paused by hand: no alarm until that was forgotten.
fn paused(name: &str, since: DateTime<Utc>, pending: u64, now: DateTime<Utc>) -> HealthCheck {
    let sink = foreign(name);
    let detail = format!("sink {sink} is paused by hand{}", waiting(pending));
    let check = match seconds(now - since) > PAUSED_TOO_LONG.as_secs_f64() {
        true => HealthCheck::degraded("paused_sinks", detail),
        false => HealthCheck::notice("paused_sinks", detail),
    };
    let brief = format!("sink {sink} is paused by hand");
    let remedy = format!("sprited sinks resume {sink}");
    check.of(Some(sink)).briefly(brief).since(Some(since)).remedy(remedy)
}

/// Places that a sink gets something from: it is not down itself.
fn sources_down(name: &str, down: &[SourceOutage]) -> Option<HealthCheck> {
    let (first, sink) = (down.first()?, foreign(name));
    let (host, error) = (foreign(&first.host), foreign(&first.error));
    let others = match down.len() - 1 {
        0 => String::new(),
        1 => " and 1 other host".to_owned(),
        others => format!(" and {others} other hosts"),
    };
    let detail = format!(
        "sink {sink} gets nothing from {host}{others}: {error}; its events of these wait, the others \
         go on"
    );
    let remedy = format!("see whether {host} serves the files: sprited sprite check URL");
    let check = HealthCheck::degraded("sources", detail).of(Some(sink.clone()));
    let brief = format!("sink {sink} gets nothing from {host}{others}");
    Some(check.briefly(brief).since(Some(first.since)).remedy(remedy))
}

fn waiting(pending: u64) -> String {
    match pending {
        0 => String::new(),
        1 => ", 1 event waits in the journal".to_owned(),
        events => format!(", {} events wait in the journal", number(events)),
    }
}

/// An event that fails again and again while its sink takes others.
fn failing(of: &SinkOverview, sources_down: &[SourceOutage]) -> Option<HealthCheck> {
    // What waits for a place that is down is told of with that.
    let is_alone =
        |event: &&FailingEvent| !sources_down.iter().any(|from| event.error.contains(&from.host));
    let mut failing = of.failing.iter().filter(is_alone);
    let FailingEvent { key, event_type, attempts, error, first_failed, due } = failing.next()?;
    let sink = foreign(&of.sink.name);
    let (key, others) = (key.to_string(), failing.count());
    let key = key.get(..SHORT_KEY).unwrap_or(&key);
    let more = if others == 0 { String::new() } else { format!(" (and {others} others at least)") };
    let detail = format!(
        "event {key} ({}) has failed {} at {sink}: {}{more}",
        foreign(event_type),
        counted((*attempts).into(), "time"),
        foreign(error)
    );
    let check = HealthCheck::degraded("events", detail)
        .of(Some(sink.clone()))
        .briefly(format!("event {key} keeps failing at {sink}"))
        .since(Some(*first_failed))
        .next_try(*due)
        .remedy(format!(
            "sprited events show {key} has its errors; if the event is bad: sprited events discard \
             {key} --sink {sink}"
        ));
    Some(check)
}

fn dead_letters(
    of: &SinkOverview,
    progress: Option<&SinkProgress>,
    now: DateTime<Utc>,
) -> Option<HealthCheck> {
    let dead = of.events.dead;
    if dead == 0 {
        return None;
    }
    let sink = foreign(&of.sink.name);
    let brief = format!("{} at {sink}", counted(dead, "dead letter"));
    let newest = of.dead_letters.newest;
    let age = newest.map(|at| seconds(now - at));
    let mut detail = brief.clone();
    detail.extend(age.map(|age| format!(", the newest {} old", time(age))));
    if let Some(DeadGroup { error, count, .. }) = of.dead_letters.by_error.first() {
        detail.push_str(&format!("; {} of them: {}", number(*count), foreign(error)));
    }
    let is_news = age.is_some_and(|age| age < NEWS.as_secs_f64())
        || progress.is_some_and(|of| of.is_dead_letter_storm);
    let check = match is_news {
        true => HealthCheck::degraded("dead_letters", detail),
        false => HealthCheck::notice("dead_letters", detail),
    };
    let remedy = match of.sink.active {
        true => {
            format!("once the cause is fixed: sprited events redeliver --state dead --sink {sink}")
        }
        false => hand_over(&sink),
    };
    Some(check.of(Some(sink)).briefly(brief).aged(age).remedy(remedy))
}

/// A sink that the configuration no longer has, with events that wait for it.
fn removed(of: &SinkOverview) -> Option<HealthCheck> {
    let pending = of.events.pending;
    if of.sink.active || pending == 0 {
        return None;
    }
    let sink = foreign(&of.sink.name);
    let (noun, verb) = if pending == 1 { ("event", "waits") } else { ("events", "wait") };
    let detail = format!(
        "{} {noun} {verb} for the sink {sink}, which the configuration no longer has",
        number(pending)
    );
    let check = HealthCheck::degraded("removed_sinks", detail).of(Some(sink.clone()));
    let check = check.remedy(hand_over(&sink));
    Some(check)
}

/// What to do with the events of a sink that the configuration no longer has.
fn hand_over(sink: &str) -> String {
    format!(
        "hand them to another sink: sprited events redeliver --from {sink} --sink NAME; then \
         discard them here: sprited events discard --sink {sink}"
    )
}

/// What is due at sinks that are up.
fn deliveries<'s>(
    sinks: impl Iterator<Item = &'s SinkOverview>,
    now: DateTime<Utc>,
) -> HealthCheck {
    let oldest = sinks.filter_map(|sink| Some((sink.oldest_due?, &sink.sink.name))).min();
    let Some((since, sink)) = oldest else {
        return HealthCheck::fine("deliveries", "none due");
    };
    let age = seconds(now - since);
    let detail = format!("deliveries to {} are {} late", foreign(sink), time(age));
    match age > MAX_DELIVERY_DELAY.as_secs_f64() {
        true => HealthCheck::degraded("deliveries", detail)
            .briefly(format!("deliveries to {} are late", foreign(sink)))
            .remedy(
                "the sink takes fewer events than come: look at its rate and its max_in_flight",
            ),
        false => HealthCheck::fine("deliveries", detail),
    }
    .aged(Some(age))
}
