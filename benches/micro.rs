//! What one request, one event, one line costs on the processor alone.
//!
//! Run it with `cargo bench --bench micro`.

use std::hint::black_box;

use chrono::Utc;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sprited::event::{self, AppId, EventFormat};
use sprited::vod::credentials::Credentials;
use sprited::vod::sign;

const APP: AppId = AppId(1_500_012_345);
/// A finished task, a procedure with two of them, and an event of another kind.
const SAMPLES: [(&str, &str); 3] = [
    ("create", include_str!("../tests/data/create_image_sprite_complete.success.json")),
    ("procedure", include_str!("../tests/data/procedure_state_changed.two_sprites_mixed.json")),
    ("upload", include_str!("../tests/data/new_file_upload.json")),
];

/// As events come: without white space, under a handle.
fn entry(sample: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(sample).expect("samples are JSON");
    value["EventHandle"] = "tdmq163856329823945727".into();
    value.to_string()
}

fn signing(c: &mut Criterion) {
    let credentials = Credentials::new("AKIDEMULATOR", "emulator-secret-key".into(), None, None)
        .expect("good credentials");
    let handles: Vec<String> = (0..16).map(|n| format!("{n:020}")).collect();
    let confirm = serde_json::json!({ "EventHandles": handles, "SubAppId": APP.0 }).to_string();
    let mut group = c.benchmark_group("sign");
    for (name, body) in [("pull", r#"{"SubAppId":1500012345}"#), ("confirm", &confirm)] {
        let request = sign::RequestToSign {
            service: "vod",
            headers: &[("Content-Type", "application/json"), ("Host", "vod.tencentcloudapi.com")],
            body: body.as_bytes(),
        };
        let now = Utc::now();
        group.bench_function(name, |b| {
            b.iter(|| sign::sign(black_box(&request), &credentials, now));
        });
    }
    group.finish();
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for (name, sample) in SAMPLES {
        let entry = entry(sample);
        group.throughput(Throughput::Bytes(entry.len() as u64));
        let now = Utc::now();
        let mut reader = event::EntryReader::default();
        group.bench_function(name, |b| {
            b.iter(|| reader.read(APP, black_box(&entry), false, now));
        });
    }
    group.finish();
}

fn rendering(c: &mut Criterion) {
    let mut group = c.benchmark_group("render");
    for (name, sample) in SAMPLES {
        let event = event::read(APP, &entry(sample), false, Utc::now()).event;
        let mut line = Vec::new();
        event.render(EventFormat::CloudEvents, &mut line);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                line.clear();
                black_box(&event).render(EventFormat::CloudEvents, &mut line);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, signing, reading, rendering);
criterion_main!(benches);
