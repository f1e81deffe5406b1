//! `sprited journal restore`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde_json::{Value, json};
use sprited::event::{self, AppId};
use sprited::journal::{DeliveryOutcome, JournalReader, audit};

use super::Bench;
use crate::cli::{Ended, ended, sprited};

/// The folder of a journal that is not in use, in it a copy with 3 events, of which 2 are pending
/// at one sink; the journal itself has one more.
async fn folder() -> tempfile::TempDir {
    let bench = Bench::within(tempfile::tempdir().unwrap(), &["a"]).await;
    let first = bench.append(1).await;
    bench.append(2).await;
    bench.append(3).await;
    bench.record(0, first, DeliveryOutcome::Delivered).await;
    bench.commit().await;
    let copy = bench.folder.path().join("copy.db");
    bench.said(&["journal", "backup", copy.to_str().unwrap()]);
    bench.append(4).await;
    bench.close().await
}

fn restore(folder: &Path, from: &str, more: &[&str]) -> Ended {
    let mut command = sprited();
    command.args(["journal", "restore"]).arg(folder.join(from)).args(more);
    ended(command.arg("--config").arg(folder.join("sprited.toml")))
}

fn received(path: &Path) -> u64 {
    assert!(audit(path).unwrap().unwrap().ok());
    JournalReader::open(path).unwrap().sums().unwrap().received
}

fn aside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().contains("j.db.replaced-"));
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_takes_the_place_of_a_journal_that_is_kept() {
    let folder = folder().await;
    let (path, copy) = (folder.path().join("j.db"), folder.path().join("copy.db"));
    let before = std::fs::read(&copy).unwrap();
    if nix::unistd::geteuid().is_root() {
        // The copy stays root's.
        for name in ["", "j.db", "j.db.lock"] {
            let path = folder.path().join(name);
            std::os::unix::fs::chown(path, Some(4321), Some(4321)).unwrap();
        }
    }
    // Without a terminal nobody can be asked.
    let Ended { code, err, .. } = restore(folder.path(), "copy.db", &[]);
    assert!(code == 64 && err.contains("--yes") && err.contains(path.to_str().unwrap()), "{err}");
    assert_eq!(received(&path), 4);

    let Ended { code, out, err } = restore(folder.path(), "copy.db", &["--yes"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let told = out.lines().collect::<Vec<_>>();
    assert!(
        told[0].contains("with 3 events, the newest of 20") && told[0].ends_with(" ago"),
        "{out}"
    );
    let again = "pending: 2 at a; what a sink has taken since the copy was made, it gets again";
    assert_eq!(told[1], again, "{out}");
    assert!(told[2].contains("`sprited reconcile --since 70h` shows"), "{out}");
    assert_eq!(received(&path), 3);
    let about = path.metadata().unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    let owner = folder.path().metadata().unwrap();
    assert_eq!((about.uid(), about.gid()), (owner.uid(), owner.gid()));
    assert!(std::fs::read(&copy).unwrap() == before);
    let kept = aside(folder.path());
    assert!(out.contains(kept[0].to_str().unwrap()), "{out}");
    assert_eq!(received(&kept[0]), 4);
    let bench = Bench::within(folder, &["a"]).await;
    assert_eq!(bench.journal.pending().await.unwrap(), 2);
    bench.close().await;
}

/// What happened since the copy was made is not known: an event that reads like one that was pending then
/// is another one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_has_open_swallows_no_event_that_happens_after_it_is_restored() {
    let bench = Bench::within(tempfile::tempdir().unwrap(), &["b"]).await;
    let happens = async |bench: &Bench, handle: &str| {
        let text = format!(r#"{{"EventHandle":"{handle}","EventType":"FileDeleted"}}"#);
        let entry = event::read(AppId(1), &text, false, Utc::now());
        bench.journal.append(vec![entry], Utc::now()).await.unwrap().remove(0)
    };
    let first = happens(&bench, "a").await;
    assert!(!happens(&bench, "b").await.is_new, "it is pending, and may be the same");
    let copy = bench.folder.path().join("copy.db");
    bench.said(&["journal", "backup", copy.to_str().unwrap()]);
    let folder = bench.close().await;
    let Ended { code, err, .. } = restore(folder.path(), "copy.db", &["--yes"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let bench = Bench::within(folder, &["b"]).await;
    let second = happens(&bench, "c").await;
    assert!(second.is_new && second.may_be_duplicate && second.key != first.key, "{second:?}");
    assert!(!happens(&bench, "b").await.is_new, "a handle that was seen is the same event's");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_missing_is_not_asked_for_and_programs_are_told() {
    let folder = folder().await;
    let (path, copy) = (folder.path().join("j.db"), folder.path().join("copy.db"));
    std::fs::remove_file(&path).unwrap();
    // Of the journal that is gone: it would damage the copy.
    let log = folder.path().join("j.db-wal");
    std::fs::write(&log, "pages of another database").unwrap();
    let Ended { code, out, err } = restore(folder.path(), "copy.db", &["--json"]);
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let kept = aside(folder.path());
    assert!(told["newest"].is_string(), "{out}");
    let sinks = json!([{ "sink": "a", "pending": 2, "dead": 0 }]);
    assert_eq!(
        told,
        json!({
            "journal": path, "copy": copy, "events": 3, "newest": told["newest"], "pending": 2,
            "sinks": sinks, "paused": [], "aside": kept
        })
    );
    assert!(kept[0].to_str().unwrap().ends_with("-wal") && kept.len() == 1, "{kept:?}");
    assert_eq!(received(&path), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_or_no_journal_is_refused_and_all_stays() {
    let folder = folder().await;
    let (path, copy) = (folder.path().join("j.db"), folder.path().join("copy.db"));
    let file = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    let middle = whole.len() / 2 / 4096 * 4096;
    let mut damaged = whole.clone();
    damaged[middle..middle + 4096].fill(0x5a);
    file("damaged.db", &damaged);
    file("text.db", "minutes of a meeting\n".repeat(100).as_bytes());
    file("empty.db", b"");
    file("half.db", &whole[..middle]);
    file("newer.db", &whole);
    let newer = rusqlite::Connection::open(folder.path().join("newer.db")).unwrap();
    newer.pragma_update(None, "user_version", 999).unwrap();
    drop(newer);
    for (name, expected, why) in [
        ("damaged.db", 74, "it is damaged: "),
        ("text.db", 74, "it is not a journal of sprited; nothing was changed"),
        ("empty.db", 74, "it is not a journal of sprited; nothing was changed"),
        ("half.db", 74, "it is damaged: "),
        ("newer.db", 74, "it has version 999, this sprited knows "),
        ("none.db", 1, "No such file"),
        ("j.db", 1, "it is the journal that is in place"),
    ] {
        let Ended { code, out, err } = restore(folder.path(), name, &["--yes"]);
        assert_eq!(code, expected, "{name}: {out}{err}");
        assert!(err.contains(name) && err.contains(why), "{name}: {err}");
        assert_eq!(received(&path), 4, "{name}");
    }
    assert_eq!(aside(folder.path()), Vec::<PathBuf>::new());
    // Nor is a lock file left, which would tell of a journal.
    for name in ["j.db", "j.db.lock"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    file("lacking.db", &whole);
    let lacking = rusqlite::Connection::open(folder.path().join("lacking.db")).unwrap();
    lacking.execute_batch("DROP TABLE pending").unwrap();
    drop(lacking);
    for name in ["text.db", "damaged.db", "half.db", "lacking.db"] {
        let Ended { code, err, .. } = restore(folder.path(), name, &[]);
        assert_eq!(code, 74, "{name}: {err}");
        let is_left = |file: &str| folder.path().join(file).exists();
        assert!(!is_left("j.db") && !is_left("j.db.lock"), "{name}");
    }
}

/// What was paused when the copy was made is paused again, and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_has_paused_is_told_and_so_is_a_rescued_copy() {
    let bench = Bench::within(tempfile::tempdir().unwrap(), &["a", "b"]).await;
    let since = "2026-01-02T03:04:05Z".parse().unwrap();
    bench.journal.set_sink_paused(bench.sinks[1], Some(since)).await.unwrap();
    bench.journal.set_pulling_paused(Some(since)).await.unwrap();
    let copy = bench.folder.path().join("copy.db");
    bench.said(&["journal", "backup", copy.to_str().unwrap()]);
    bench.journal.set_pulling_paused(None).await.unwrap();
    let rescued = bench.folder.path().join("j.db.rescued-20260102T030405Z");
    bench.said(&["journal", "backup", rescued.to_str().unwrap()]);
    let folder = bench.close().await;
    // A daemon that was killed leaves its socket.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("j.db.sock")).unwrap());

    let Ended { code, out, err } = restore(folder.path(), "copy.db", &["--yes"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let told = "paused by hand, as the copy was: pulling since 2026-01-02 03:04:05 UTC, the sink \"b\" \
                since 2026-01-02 03:04:05 UTC\n";
    assert!(out.contains("with 0 events\npending: nothing\n") && out.contains(told), "{out}");
    let may_have = format!("{}, which a daemon rescued, may have it", rescued.display());
    assert!(out.contains(&may_have), "{out}");
    let paused = JournalReader::open(&folder.path().join("j.db")).unwrap().paused().unwrap();
    assert_eq!(paused.len(), 2);
    // One that was rescued has all that there was.
    let Ended { code, out, .. } = restore(folder.path(), rescued.to_str().unwrap(), &["--yes"]);
    assert!(code == 0 && out.contains("the sink \"b\"") && !out.contains("pulling"), "{out}");
    assert!(!out.contains("not in it"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_keeps_its_journal() {
    let folder = folder().await;
    let bench = Bench::within(folder, &["a"]).await;
    let Ended { code, err, .. } = restore(bench.folder.path(), "copy.db", &["--yes"]);
    assert!(code == 74 && err.contains("in use by a running sprited; stop"), "{err}");
    bench.append(5).await;
    assert_eq!(received(&bench.path()), 5);
    bench.close().await;
}

/// A copy made by `cp` of files that are in use has a log.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_its_log_is_restored_with_it() {
    let bench = Bench::within(tempfile::tempdir().unwrap(), &["a"]).await;
    for number in 0..5 {
        bench.append(number).await;
    }
    let other = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = |name: &str| format!("{name}{suffix}");
        let from = bench.folder.path().join(name("j.db"));
        std::fs::copy(from, other.path().join(name("cp.db"))).unwrap();
    }
    let folder = bench.close().await;
    let from = other.path().join("cp.db");
    let Ended { code, out, err } = restore(folder.path(), from.to_str().unwrap(), &["--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("5 events"), "{out}");
    assert_eq!(received(&folder.path().join("j.db")), 5);
}

/// The daemon makes it a journal of this version when it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_an_earlier_version_is_taken() {
    let folder = folder().await;
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journals");
    let mut seen = 0;
    for entry in std::fs::read_dir(old).unwrap() {
        let from = entry.unwrap().path();
        if from.extension().is_none_or(|ending| ending != "db") {
            continue;
        }
        let done = restore(folder.path(), from.to_str().unwrap(), &["--yes"]);
        assert_eq!(done.code, 0, "{}: {}", from.display(), done.err);
        let restored = rusqlite::Connection::open(folder.path().join("j.db")).unwrap();
        let version = restored.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
        // Those before version 5 have no such column.
        if version.unwrap() >= 5 {
            let open = "SELECT count(*) FROM occurrences WHERE is_open";
            let open = restored.query_row(open, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(open, 0, "{}", from.display());
        }
        seen += 1;
    }
    assert!(seen > 0);
}
