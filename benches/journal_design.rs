//! What the journal's two ideas save: pending rows that are deleted instead of delivery rows that
//! are updated, and verdicts that share the commit of the next append.
//!
//! Run it with `cargo bench --bench journal_design`; it takes a minute or two and about 500 MB
//! below `target/tmp`, which has to be on the kind of disk one wants to know about.
//!
//! Five small journals take the same events and get them delivered to two sinks, in turns:
//!
//! - A deletes a pending row per sink, in the commit of the next append. This is sprited's way.
//! - B updates a delivery row per sink, in a commit of its own. A partial index holds what is
//!   pending, since without one nobody finds what is due.
//! - C is B with the shared commit; D is A with a commit of its own. They tell which saving
//!   comes from what. An own commit is one for the verdicts of both sinks.
//! - E is B with a commit for each sink, as sinks come that know nothing of one another.
//!
//! A write-ahead log is emptied as SQLite does by itself, at 1000 pages; its bytes
//! are counted frame by frame. Then the same load goes through the real journal, whose rows and
//! counters do more.
#![allow(clippy::print_stdout, reason = "the answer of a benchmark")]

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use rusqlite::{Connection, params};
use sprited::event::{self, AppId, Event, Wanted};
use sprited::journal::{
    Appended, DeliveryOutcome, DeliveryRecord, Journal, JournalSettings, Route, SinkId, feed,
};

const EVENTS: usize = 20_000;
/// Interleaved, so that a slow moment of the disk hits all designs.
const ROUNDS: usize = 5;
/// As many as one pull brings.
const BATCH: usize = 16;
const SINKS: i64 = 2;
const BODY_BYTES: usize = 2200;
/// Of a page in the write-ahead log.
const FRAME_BYTES: u64 = 4096 + 24;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let events = (0..EVENTS).map(numbered).collect::<Vec<_>>();
    let rounds = events.chunks(EVENTS / ROUNDS).collect::<Vec<_>>();

    let mut designs = [
        Design::new('A', Rows::Pending, Commit::Shared),
        Design::new('B', Rows::Deliveries, Commit::Own),
        Design::new('C', Rows::Deliveries, Commit::Shared),
        Design::new('D', Rows::Pending, Commit::Own),
        Design::new('E', Rows::Deliveries, Commit::PerSink),
    ];
    let mut stores = designs
        .iter()
        .map(|design| Store::new(folder.path(), design))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for round in &rounds {
        for (design, store) in designs.iter_mut().zip(&mut stores) {
            design.rounds.push(measured(round.len(), || store.take(round))?);
        }
    }
    drop(stores);
    println!("{EVENTS} events of {BODY_BYTES} bytes, {BATCH} an append, {SINKS} sinks;");
    println!("per event, median of {ROUNDS} rounds; in brackets: times A\n");
    print_designs(&designs);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rounds = runtime.block_on(real(folder.path(), &rounds))?;
    print_real(&rounds);
    Ok(())
}

/// An event with a task of its own, as large as one with a few sprites.
fn numbered(number: usize) -> Arc<Event> {
    let head = format!(
        r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"TaskId":"1500012345-Procedure-{number}","FileId":"{number}","Status":"FINISH","Filler":""#
    );
    let filler = "x".repeat(BODY_BYTES.saturating_sub(head.len() + 3));
    event::read(AppId(1_500_012_345), &format!("{head}{filler}\"}}}}"), false, Utc::now()).event
}

#[derive(Clone, Copy, PartialEq)]
enum Rows {
    Pending,
    Deliveries,
}

#[derive(Clone, Copy, PartialEq)]
enum Commit {
    Shared,
    Own,
    PerSink,
}

struct Design {
    letter: char,
    rows: Rows,
    commit: Commit,
    rounds: Vec<Cost>,
}

impl Design {
    fn new(letter: char, rows: Rows, commit: Commit) -> Self {
        Self { letter, rows, commit, rounds: Vec::new() }
    }

    fn name(&self) -> String {
        let rows = match self.rows {
            Rows::Pending => "pending rows, deleted",
            Rows::Deliveries => "delivery rows, updated",
        };
        let commit = match self.commit {
            Commit::Shared => "shared commit",
            Commit::Own => "own commit",
            Commit::PerSink => "commit per sink",
        };
        format!("{}  {rows}, {commit}", self.letter)
    }
}

/// What one event costs.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
    commits: f64,
    log_bytes: f64,
}

/// What a store has done so far.
#[derive(Clone, Copy, Default)]
struct Done {
    commits: u64,
    frames: u64,
}

fn measured(events: usize, work: impl FnOnce() -> anyhow::Result<Done>) -> anyhow::Result<Cost> {
    let (cpu, began) = (cpu_time()?, Instant::now());
    let done = work()?;
    let (wall, cpu) = (began.elapsed(), cpu_time()?.saturating_sub(cpu));
    let each = |total: f64| total / events as f64;
    Ok(Cost {
        wall: each(micros(wall)),
        cpu: each(micros(cpu)),
        commits: each(done.commits as f64),
        log_bytes: each((done.frames * FRAME_BYTES) as f64),
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// User and system time of this process, all threads; in steps of 10 ms.
fn cpu_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}

struct Store {
    connection: Connection,
    rows: Rows,
    commit: Commit,
    next_id: i64,
    /// Taken and not delivered: what a sink has in hand while the next batch is pulled.
    in_hand: Vec<i64>,
    frames_before: u64,
    done: Done,
}

impl Store {
    fn new(folder: &Path, design: &Design) -> anyhow::Result<Self> {
        let connection = Connection::open(folder.join(format!("{}.db", design.letter)))?;
        for (pragma, value) in [("journal_mode", "wal"), ("synchronous", "full")] {
            connection.pragma_update(None, pragma, value)?;
        }
        connection.pragma_update(None, "cache_size", -8192)?;
        connection.set_prepared_statement_cache_capacity(16);
        connection.execute_batch(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
               type TEXT NOT NULL, first_pulled INTEGER NOT NULL, body TEXT NOT NULL);",
        )?;
        connection.execute_batch(match design.rows {
            Rows::Pending => {
                "CREATE TABLE pending (sink INTEGER NOT NULL, event INTEGER NOT NULL,
                   due INTEGER, PRIMARY KEY (sink, event)) WITHOUT ROWID;"
            }
            Rows::Deliveries => {
                "CREATE TABLE deliveries (sink INTEGER NOT NULL, event INTEGER NOT NULL,
                   state INTEGER NOT NULL, due INTEGER, PRIMARY KEY (sink, event)) WITHOUT ROWID;
                 CREATE INDEX deliveries_pending ON deliveries (sink, event) WHERE state = 0;"
            }
        })?;
        let (rows, commit) = (design.rows, design.commit);
        let (frames_before, done) = (0, Done::default());
        Ok(Self { connection, rows, commit, next_id: 1, in_hand: Vec::new(), frames_before, done })
    }

    /// Stores the events and has all of them delivered.
    fn take(&mut self, events: &[Arc<Event>]) -> anyhow::Result<Done> {
        self.done = Done::default();
        for batch in events.chunks(BATCH) {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            // What was pulled before has been delivered while this batch was on its way.
            self.deliver(1..=SINKS)?;
            self.in_hand.clear();
            for event in batch {
                self.insert(event)?;
            }
            self.end()?;
            match self.commit {
                Commit::Shared => {}
                Commit::Own => self.deliver_alone(1..=SINKS)?,
                Commit::PerSink => (1..=SINKS).try_for_each(|s| self.deliver_alone(s..=s))?,
            }
            if self.commit != Commit::Shared {
                self.in_hand.clear();
            }
        }
        if self.commit == Commit::Shared {
            self.deliver_alone(1..=SINKS)?;
            self.in_hand.clear();
        }
        Ok(self.done)
    }

    fn deliver_alone(&mut self, sinks: RangeInclusive<i64>) -> anyhow::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.deliver(sinks)?;
        self.end()
    }

    fn insert(&mut self, event: &Event) -> anyhow::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        self.connection.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(
            params![
                id,
                event.key.as_bytes(),
                event.event_type,
                event.first_pulled.timestamp_millis(),
                event.body,
            ],
        )?;
        let mut owe = self.connection.prepare_cached(match self.rows {
            Rows::Pending => "INSERT INTO pending (sink, event) VALUES (?1, ?2)",
            Rows::Deliveries => "INSERT INTO deliveries (sink, event, state) VALUES (?1, ?2, 0)",
        })?;
        for sink in 1..=SINKS {
            owe.execute([sink, id])?;
        }
        self.in_hand.push(id);
        Ok(())
    }

    fn deliver(&mut self, sinks: RangeInclusive<i64>) -> anyhow::Result<()> {
        let mut settle = self.connection.prepare_cached(match self.rows {
            Rows::Pending => "DELETE FROM pending WHERE sink = ?1 AND event = ?2",
            Rows::Deliveries => "UPDATE deliveries SET state = 1 WHERE sink = ?1 AND event = ?2",
        })?;
        for sink in sinks {
            for id in &self.in_hand {
                let changed = settle.execute([sink, *id])?;
                anyhow::ensure!(changed == 1, "event {id} was not owed to sink {sink}");
            }
        }
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.connection.execute_batch("COMMIT")?;
        let frames: i64 = self
            .connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
            .query_row([], |row| row.get(1))?;
        let frames = u64::try_from(frames).context("there is no write-ahead log")?;
        // Fewer than before: the log was emptied and begun anew.
        self.done.frames += frames.checked_sub(self.frames_before).unwrap_or(frames);
        self.frames_before = frames;
        self.done.commits += 1;
        Ok(())
    }
}

/// What one event costs in the real journal, as its callers wait for it.
struct RealCost {
    append: f64,
    record: f64,
    cpu: f64,
}

async fn real(folder: &Path, rounds: &[&[Arc<Event>]]) -> anyhow::Result<Vec<RealCost>> {
    let settings = JournalSettings { path: folder.join("real.db"), ..JournalSettings::default() };
    let (journal, closing) = Journal::open(&settings)?;
    let sinks = journal.register((0..SINKS).map(|sink| format!("sink-{sink}")).collect()).await?;
    let (mut routes, mut fed) = (Vec::new(), Vec::new());
    for sink in &sinks {
        let (feed, end) = feed();
        routes.push(Route { sink: *sink, wanted: Wanted::from(vec!["*".to_owned()]), feed });
        fed.push(end);
    }
    journal.set_routes(routes).await?;
    let mut costs = Vec::new();
    for round in rounds {
        costs.push(real_round(&journal, &sinks, round).await?);
    }
    let pending = journal.pending().await?;
    anyhow::ensure!(pending == 0, "{pending} deliveries were not recorded");
    drop(journal);
    closing.wait().await;
    Ok(costs)
}

async fn real_round(
    journal: &Journal,
    sinks: &[SinkId],
    events: &[Arc<Event>],
) -> anyhow::Result<RealCost> {
    let (mut append, mut record) = (Duration::ZERO, Duration::ZERO);
    let cpu = cpu_time()?;
    for batch in events.chunks(BATCH) {
        let began = Instant::now();
        let appended =
            journal.append(batch.iter().cloned().map(Into::into).collect(), Utc::now()).await?;
        append += began.elapsed();
        let delivered = |Appended { id, .. }: &Appended| DeliveryRecord {
            event: *id,
            outcome: DeliveryOutcome::Delivered,
        };
        for sink in sinks {
            let records = appended.iter().map(delivered).collect();
            let began = Instant::now();
            journal.record(*sink, records, None, Utc::now()).await?;
            record += began.elapsed();
        }
    }
    let each = |total: Duration| micros(total) / events.len() as f64;
    let cpu = cpu_time()?.saturating_sub(cpu);
    Ok(RealCost { append: each(append), record: each(record), cpu: each(cpu) })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A heading, the number below it, and its digits after the point.
type Column = (&'static str, fn(&Cost) -> f64, usize);

fn print_designs(designs: &[Design]) {
    let columns: [Column; 4] = [
        ("wall µs", |cost| cost.wall, 1),
        ("CPU µs", |cost| cost.cpu, 1),
        ("commits", |cost| cost.commits, 4),
        ("log bytes", |cost| cost.log_bytes, 0),
    ];
    print!("{:46}", "");
    columns.iter().for_each(|(name, ..)| print!("{name:>16}"));
    println!();
    for design in designs {
        print!("{:46}", design.name());
        for (_, pick, digits) in &columns {
            let of = |design: &Design| median(design.rounds.iter().map(pick));
            let (value, of_a) = (of(design), designs.first().map_or(f64::NAN, of));
            print!("{:>16}", format!("{value:.digits$} ({:.2})", value / of_a));
        }
        println!();
    }
}

fn print_real(rounds: &[RealCost]) {
    let of = |pick: fn(&RealCost) -> f64| median(rounds.iter().map(pick));
    println!("\nThe real journal, per event:");
    println!("  append                {:6.1} µs, commit included", of(|cost| cost.append));
    println!(
        "  record for {SINKS} sinks    {:6.1} µs, committed by the next append",
        of(|cost| cost.record)
    );
    println!("  CPU of both           {:6.1} µs", of(|cost| cost.cpu));
}
