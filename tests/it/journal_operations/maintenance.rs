//! `sprited journal check`, `backup` and `compact`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;
use sprited::journal::{DeliveryOutcome, JournalReader};

use super::Bench;
use crate::cli::Ended;

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_beside_the_writer_and_never_over_a_file() {
    let bench = Bench::new().await;
    for number in 0..200 {
        bench.append(number).await;
    }
    let copy = bench.folder.path().join("copy.db");
    let to = copy.to_str().unwrap().to_owned();
    let said = bench.said(&["journal", "backup", &to]);
    assert!(said.starts_with(&to) && said.ends_with("whole\n"), "{said}");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&copy).unwrap();
    let Ended { code, err, .. } = bench.sprited(&["journal", "backup", &to]);
    assert!(code == 1 && err.contains(&to), "{err}");
    assert!(std::fs::read(&copy).unwrap() == before);
    let names = std::fs::read_dir(bench.folder.path()).unwrap();
    let left: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let left = left.iter().filter(|name| name.to_string_lossy().contains("backup"));
    assert_eq!(left.count(), 0, "nothing unfinished stays");
    // What came later is not in it, all before is, and it adds up.
    bench.append(999).await;
    assert_eq!(JournalReader::open(&copy).unwrap().sums().unwrap().received, 200);
    assert!(sprited::journal::audit(&copy).unwrap().unwrap().ok());
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_the_same() {
    let bench = Bench::new().await;
    for number in 0..50 {
        bench.append(number).await;
    }
    let journal = bench.path();
    let whole = json!({ "journal": journal, "ok": true, "damage": [], "violations": [] });
    assert_eq!(bench.json(&["journal", "check"]), whole);
    let copy = bench.folder.path().join("copy.db");
    let copied = bench.json(&["journal", "backup", copy.to_str().unwrap()]);
    let size = std::fs::metadata(&copy).unwrap().len();
    assert_eq!(copied, json!({ "journal": journal, "copy": copy, "size_bytes": size }));

    bench.sqlite().execute("INSERT INTO confirmations VALUES (9999, 1)", []).unwrap();
    let Ended { code, out, .. } = bench.sprited(&["journal", "check", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["ok"]), (74, &false.into()));
    let violation =
        json!({ "what": "confirmed without an event", "count": 1, "first": ["event 9999"] });
    assert_eq!(found["violations"], json!([violation]));
    bench.sqlite().execute("DELETE FROM confirmations", []).unwrap();

    let folder = bench.close().await;
    let mut command = crate::cli::sprited();
    command
        .args(["journal", "compact", "--json", "--config"])
        .arg(folder.path().join("sprited.toml"));
    let Ended { code, out, err } = crate::cli::ended(&mut command);
    assert_eq!(code, 0, "{err}");
    let done: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(done["after_bytes"], std::fs::metadata(&journal).unwrap().len());
    assert!(done["before_bytes"].as_u64() >= done["after_bytes"].as_u64(), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found() {
    let bench = Bench::new().await;
    for number in 0..500 {
        bench.append(number).await;
    }
    assert!(bench.said(&["journal", "check"]).ends_with("j.db: whole\n"));
    bench.sqlite().execute("INSERT INTO confirmations VALUES (9999, 1)", []).unwrap();
    let Ended { code, out, .. } = bench.sprited(&["journal", "check"]);
    assert!(code == 74 && out.contains("confirmed without an event: event 9999"), "{out}");
    bench.sqlite().execute("DELETE FROM confirmations", []).unwrap();

    let path = bench.path();
    let folder = bench.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let mut command = crate::cli::sprited();
    let config = folder.path().join("sprited.toml");
    let Ended { code, out, err } =
        crate::cli::ended(command.args(["journal", "check", "--config"]).arg(config));
    assert_eq!(code, 74, "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_given_back_while_the_daemon_is_away() {
    let bench = Bench::new().await;
    let padding = "x".repeat(100);
    for number in 0..2000 {
        let event = bench.append(number).await;
        bench.record(0, event, DeliveryOutcome::Delivered).await;
        bench.kill(1, event, &padding).await;
    }
    bench.commit().await;
    let Ended { code, err, .. } = bench.sprited(&["journal", "compact"]);
    assert!(code == 74 && err.contains("in use by a running sprited; stop"), "{err}");
    assert!(bench.said(&["events", "discard", "--sink", "b", "--yes"]).contains("2000 events"));
    let folder = bench.close().await;
    let path = folder.path().join("j.db");
    let config = folder.path().join("sprited.toml");
    let before = std::fs::metadata(&path).unwrap().len();
    let compact = || {
        let mut command = crate::cli::sprited();
        crate::cli::ended(command.args(["journal", "compact", "--config"]).arg(&config))
    };
    let Ended { code, out, err } = compact();
    assert!(code == 0 && out.contains(" before, "), "{out}{err}");
    assert!(std::fs::metadata(&path).unwrap().len() < before);
    let bench = Bench::within(folder, &["a", "b"]).await;
    assert!(bench.said(&["audit"]).ends_with("All counters match their rows.\n"));
    assert_eq!(bench.number("PRAGMA auto_vacuum"), 2, "space still comes free step by step");
    let folder = bench.close().await;

    // As root on a copy that was brought back: the service's user has to get the lock as well.
    let lock = folder.path().join("j.db.lock");
    std::fs::remove_file(&lock).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4321), Some(4321)).unwrap();
    }
    assert_eq!(compact().code, 0);
    let owner = |file| std::fs::metadata(file).map(|file| (file.uid(), file.gid())).unwrap();
    assert_eq!(owner(&lock), owner(&path));

    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(compact_missing(&config), 74);
    assert!(!path.exists() && !folder.path().join("j.db.lock").exists());
}

fn compact_missing(config: &std::path::Path) -> i32 {
    let mut command = crate::cli::sprited();
    crate::cli::ended(command.args(["journal", "compact", "--config"]).arg(config)).code
}
