//! Which events are one and which are two.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use rand::prelude::*;
use serde_json::{Map, Value, json};
use sprited::event::{AppId, read};

use super::arbitrary::any_json;
use super::{APP, LEGACY_SAMPLE, SAMPLES, UNKNOWN_SAMPLE, key, pulled, value};
use crate::support::data;

/// What makes an event the one it is: `value` without null members and without its handle.
fn essence(value: &Value) -> Value {
    fn without_nulls(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let kept = members.iter().filter(|(_, value)| !value.is_null());
                kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
            }
            Value::Array(elements) => elements.iter().map(without_nulls).collect(),
            other => other.clone(),
        }
    }
    let mut essence = without_nulls(value);
    if let Value::Object(members) = &mut essence {
        members.remove("EventHandle");
    }
    essence
}

/// Writes a value in one of the many ways that mean the same.
struct Speller {
    random: StdRng,
    out: String,
}

impl Speller {
    fn spell(value: &Value, seed: u64) -> String {
        let mut speller = Self { random: StdRng::seed_from_u64(seed), out: String::new() };
        speller.value(value, true);
        speller.out
    }

    fn space(&mut self) {
        for _ in 0..self.random.random_range(0..3) {
            self.out.push(*b" \t\n\r".choose(&mut self.random).unwrap() as char);
        }
    }

    fn value(&mut self, value: &Value, is_root: bool) {
        self.space();
        match value {
            Value::Object(members) => self.object(members, is_root),
            Value::Array(elements) => {
                self.out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    self.out.push_str(if index > 0 { "," } else { "" });
                    self.value(element, false);
                }
                self.out.push(']');
            }
            Value::String(text) => self.string(text),
            literal => self.out.push_str(&literal.to_string()),
        }
        self.space();
    }

    fn object(&mut self, members: &Map<String, Value>, is_root: bool) {
        let null = Value::Null;
        let handle = Value::from(self.random.random_range(0..9_u8).to_string());
        let mut members: Vec<_> = members.iter().map(|(name, value)| (&**name, value)).collect();
        members.retain(|(_, value)| !value.is_null() || self.random.random());
        for name in ["", "NewEvent", "EventHandl", "\u{0}"] {
            let is_new = members.iter().all(|(other, _)| *other != name);
            if is_new && self.random.random() {
                members.push((name, &null));
            }
        }
        if is_root {
            members.retain(|(name, _)| *name != "EventHandle");
            members.push(("EventHandle", &handle));
        }
        members.shuffle(&mut self.random);
        self.out.push('{');
        for (index, (name, value)) in members.into_iter().enumerate() {
            self.out.push_str(if index > 0 { "," } else { "" });
            self.space();
            self.string(name);
            self.space();
            self.out.push(':');
            self.value(value, false);
        }
        self.out.push('}');
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            let must = character < ' ' || matches!(character, '"' | '\\');
            if must || self.random.random_ratio(1, 4) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let upper = self.random.random::<bool>();
                    let written = if upper {
                        write!(self.out, "\\u{unit:04X}")
                    } else {
                        write!(self.out, "\\u{unit:04x}")
                    };
                    written.unwrap();
                }
            } else {
                self.out.push(character);
            }
        }
        self.out.push('"');
    }
}

/// The paths of all values in `value`, its own (the empty one) first.
fn paths(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, paths: &mut Vec<String>) {
        paths.push(path.to_owned());
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    walk(value, &format!("{path}/{name}"), paths);
                }
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    walk(value, &format!("{path}/{index}"), paths);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(value, "", &mut all);
    all
}

/// Removes the value at `path` from the object or array it stands in.
fn remove(root: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = path.rsplit_once('/')?;
    match root.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&last.replace("~1", "/").replace("~0", "~")),
        Value::Array(elements) => Some(elements.remove(last.parse().unwrap())),
        _ => None,
    }
}

/// Another value that looks much like `value`.
fn lookalike(value: &Value, random: &mut StdRng) -> Value {
    let of_text = |text: &str| {
        [
            json!(format!("{text} ")),
            json!([text]),
            json!({ text: text }),
            json!(text.to_uppercase()),
        ]
    };
    let mut choices = vec![Value::Null, json!(""), json!([]), json!({}), json!([null]), json!(0)];
    match value {
        Value::String(text) => choices.extend(of_text(text)),
        Value::Number(number) => {
            choices.extend([json!(number.to_string()), json!(number.as_f64()), json!([number])]);
        }
        Value::Bool(bool) => choices.extend([json!(!bool), json!(bool.to_string())]),
        Value::Array(elements) => {
            let mut reversed = elements.clone();
            reversed.reverse();
            let mut with_null = elements.clone();
            with_null.insert(random.random_range(0..=elements.len()), Value::Null);
            let by_index = elements.iter().enumerate().map(|(i, e)| (i.to_string(), e.clone()));
            choices.extend([json!(reversed), json!(with_null), by_index.collect()]);
        }
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert(String::new(), json!(random.random::<bool>()));
            let values: Vec<_> = members.values().cloned().collect();
            choices.extend([json!(more), json!(values), json!([members])]);
        }
        Value::Null => {}
    }
    choices.choose(random).unwrap().clone()
}

/// Changes one thing somewhere in `value`, perhaps one without a meaning.
fn mutate(value: &mut Value, random: &mut StdRng) {
    let paths = paths(value);
    // The many null members of a sample are not worth most of the mutations.
    let live: Vec<_> =
        paths.iter().filter(|path| !value.pointer(path).unwrap().is_null()).collect();
    let among = |random: &mut StdRng| match random.random_ratio(1, 8) {
        true => paths.choose(random).unwrap().clone(),
        false => live.choose(random).map_or_else(String::new, |path| (*path).clone()),
    };
    let path = among(random);
    match random.random_range(0..4) {
        0 => drop(remove(value, &path)),
        1 => {
            let Some(moved) = remove(value, &path) else { return };
            let name = path.rsplit_once('/').unwrap().1.to_owned();
            match value.pointer_mut(&among(random)) {
                Some(Value::Object(members)) => drop(members.insert(name, moved)),
                Some(Value::Array(elements)) => {
                    elements.insert(random.random_range(0..=elements.len()), moved);
                }
                _ => {}
            }
        }
        _ => {
            let place = value.pointer_mut(&path).unwrap();
            *place = lookalike(place, random);
        }
    }
}

fn samples() -> Vec<Value> {
    let names = SAMPLES.into_iter().chain([UNKNOWN_SAMPLE, LEGACY_SAMPLE]);
    names.map(|name| value(&data(name))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_event_in_two_spellings_has_one_key(
        json in any_json(), seeds in any::<[u64; 2]>()
    ) {
        let [a, b] = seeds.map(|seed| Speller::spell(&json, seed));
        prop_assert_eq!(key(&a), key(&b), "{} and {}", a, b);
    }

    #[test]
    fn a_sample_in_another_spelling_has_its_key(
        sample in prop::sample::select(samples()), seed in any::<u64>()
    ) {
        let spelt = Speller::spell(&sample, seed);
        prop_assert_eq!(key(&sample.to_string()), key(&spelt), "{}", spelt);
    }

    #[test]
    fn a_changed_sample_has_another_key_unless_it_means_the_same(
        sample in prop::sample::select(samples()), changes in 1..4, seed in any::<u64>()
    ) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut changed = sample.clone();
        (0..changes).for_each(|_| mutate(&mut changed, &mut random));
        let spelt = Speller::spell(&changed, seed);
        prop_assert_eq!(
            key(&sample.to_string()) == key(&spelt),
            essence(&sample) == essence(&changed),
            "{}", spelt
        );
    }

    #[test]
    fn two_small_events_have_one_key_only_if_they_mean_the_same(
        a in crowded_json(), b in crowded_json()
    ) {
        prop_assert_eq!(
            key(&a.to_string()) == key(&b.to_string()),
            essence(&a) == essence(&b),
            "{} and {}", a, b
        );
    }
}

/// Values of so few words that two of them are often alike.
fn crowded_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["", "a", "b", "EventHandle"]);
    let leaf = prop::sample::select(vec![
        Value::Null,
        json!(1),
        json!(1.0),
        json!("1"),
        json!(""),
        json!("n"),
        json!(true),
        json!([]),
        json!({}),
    ]);
    leaf.prop_recursive(3, 6, 2, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..3).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

/// One key for all of them.
#[track_caller]
fn assert_one(texts: &[&str]) {
    let keys: BTreeSet<_> = texts.iter().map(|text| key(text)).collect();
    assert_eq!(keys.len(), 1, "{texts:?}");
}

/// A key of its own for each of them.
#[track_caller]
fn assert_all_differ(texts: &[&str]) {
    let keys: BTreeSet<_> = texts.iter().map(|text| key(text)).collect();
    assert_eq!(keys.len(), texts.len(), "{texts:?}");
}

#[test]
fn order_nulls_space_handle_and_escapes_do_not_count() {
    assert_one(&[
        r#"{"EventHandle":"1","EventType":"X","a":{"b":"/é😀","c":[1,{"d":2}]}}"#,
        r#"{"a":{"c":[1,{"d":2}],"b":"/é😀"},"EventType":"X","EventHandle":"2"}"#,
        r#" { "EventType" : "X" , "a" : { "b" : "/é😀" , "c" : [ 1 , { "d" : 2 } ] } } "#,
        r#"{"EventType":"X","a":{"b":"\/\u00E9\ud83d\uDE00","c":[1,{"\u0064":2}]}}"#,
        r#"{"EventType":"X","n":null,"a":{"b":"/é😀","n":null,"c":[1,{"d":2,"n":null}]}}"#,
        r#"{"EventType":"X","Event\u0048andle":"3","a":{"b":"/é😀","c":[1,{"d":2}]}}"#,
        r#"{"EventType":"X","EventHandle":"\ud800","a":{"b":"/é😀","c":[1,{"d":2}]}}"#,
        r#"{"EventType":"X","EventHandle":{"any":7},"a":{"b":"/é😀","c":[1,{"d":2}]}}"#,
    ]);
}

#[test]
fn all_else_counts() {
    assert_all_differ(&[
        "[1,2]",
        "[2,1]",
        "[1,2,null]",
        "[null,1,2]",
        "[[1,2]]",
        "[1,[2]]",
        "[12]",
    ]);
    assert_all_differ(&["1", "1.0", "1e0", "1E0", "10e-1", r#""1""#, "[1]", "-1", "true", "null"]);
    assert_all_differ(&["0", "-0", "0.0", "0e0", "false", "[]", "{}", r#""""#, r#""null""#]);
    assert_all_differ(&["9007199254740993", "9007199254740992", "9007199254740993.0"]);
    assert_all_differ(&["18446744073709551617", "18446744073709551616", "1e400", "1e401"]);
    assert_all_differ(&[r#"{"a":{"b":1}}"#, r#"{"a":{},"b":1}"#, r#"{"b":{"a":1}}"#]);
    assert_all_differ(&[r#"{"a":[{"b":1},{}]}"#, r#"{"a":[{},{"b":1}]}"#, r#"{"a":[{"b":1}]}"#]);
    assert_all_differ(&[r#"{"a":"bc"}"#, r#"{"ab":"c"}"#, r#"{"a":"b","c":""}"#]);
    assert_all_differ(&[r#""a\\u0062""#, r#""ab""#, r#""a\u0000b""#, r#""AB""#, r#""a b""#]);
    assert_all_differ(&[r#""\u00e9""#, r#""e\u0301""#]);
}

#[test]
fn members_without_a_name_count() {
    assert_all_differ(&[
        r#"{"a":{"":1}}"#,
        r#"{"a":{"":2}}"#,
        r#"{"a":{}}"#,
        r#"{"":1,"a":{}}"#,
        r#"[{"":1}]"#,
        "[{}]",
    ]);
}

#[test]
fn a_handle_below_the_root_counts() {
    assert_all_differ(&[
        r#"{"a":{"EventHandle":"1"}}"#,
        r#"{"a":{"EventHandle":"2"}}"#,
        r#"{"a":{}}"#,
        r#"[{"EventHandle":"1"}]"#,
        r#"[{"EventHandle":"2"}]"#,
    ]);
}

#[test]
fn members_that_repeat_count_in_their_order_with_their_nulls() {
    assert_all_differ(&[
        r#"{"a":1}"#,
        r#"{"a":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":2,"a":1}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"a":null}"#,
        r#"{"a":null,"a":1}"#,
        "{}",
    ]);
    assert_one(&[r#"{"a":1,"b":3,"a":2}"#, r#"{"b":3,"a":1,"a":2}"#, r#"{"a":1,"a":2,"b":3}"#]);
    assert_one(&["{}", r#"{"a":null}"#, r#"{"a":null,"a":null}"#]);
    assert_one(&[r#"{"b":1}"#, r#"{"EventHandle":"1","b":1,"EventHandle":"2"}"#]);
}

#[test]
fn what_cannot_be_decoded_is_told_apart_by_its_text() {
    assert_all_differ(&[
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\ud801"}"#,
        r#"{"a":"\\ud800"}"#,
        r#"{"a":"\ufffd"}"#,
        r#"{"a":"\ud800","b":null}"#,
        r#"{"\ud800":1}"#,
        r#"{"\ud801":1}"#,
        r#"{"\\ud800":1}"#,
    ]);
    assert_one(&[
        r#"{"EventHandle":"1","a":"\ud800","b":1}"#,
        r#"{"a" : "\ud800", "EventHandle":"2", "b":1}"#,
    ]);
}

#[test]
fn the_application_counts() {
    let text = data("create_image_sprite_complete.success.json");
    for text in [text.as_str(), r#""\ud800""#] {
        let keys: BTreeSet<_> = [AppId(0), AppId(1), APP]
            .map(|app| read(app, text, false, pulled()).event.key)
            .into_iter()
            .collect();
        assert_eq!(keys.len(), 3, "{text}");
    }
}

#[test]
fn neither_time_nor_the_mark_of_replaced_bytes_counts() {
    let raw = r#"{"EventType":"X"}"#;
    let later = pulled() + chrono::Duration::days(1);
    assert_eq!(read(APP, raw, false, pulled()).event.key, read(APP, raw, true, later).event.key);
}

#[test]
fn each_occurrence_has_a_key_of_its_own() {
    let content = key(r#"{"EventType":"X"}"#);
    let mut keys: BTreeSet<_> = (0..100).map(|n| content.under_handle(&n.to_string())).collect();
    keys.extend((0..100).map(|_| content.under_no_handle()));
    keys.insert(content);
    keys.insert(content.under_handle("1").under_handle("1"));
    assert_eq!(keys.len(), 202);
    // In every daemon the same.
    assert_eq!(content.under_handle("7").to_string(), "affe35efdc22960426ed9b59e572668c");
}
