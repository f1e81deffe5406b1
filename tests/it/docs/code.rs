//! What the code says: its constants, and all of its text.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::root;

/// The text of everything that is built or installed: the sources, the units, the package.
pub(super) fn corpus() -> String {
    let mut text = String::new();
    for name in ["src", "crates/vod-emulator/src", "systemd", "packaging", "monitoring", "benches"]
    {
        add(&root().join(name), &mut text);
    }
    for name in ["Cargo.toml", "build.rs", "tests/run"] {
        add(&root().join(name), &mut text);
    }
    // A literal that goes on in the next line.
    let parts: Vec<_> = text.split("\\\n").collect();
    let joined: Vec<_> = parts.iter().map(|part| part.trim_start()).collect();
    joined.concat()
}

/// The text of the tests.
pub(super) fn tests() -> String {
    let mut text = String::new();
    add(&root().join("tests/it"), &mut text);
    add(&root().join("crates/vod-emulator/tests"), &mut text);
    text
}

fn add(path: &Path, text: &mut String) {
    if path.is_dir() {
        let mut paths: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().for_each(|path| add(path, text));
    } else {
        text.push_str(&fs::read_to_string(path).unwrap());
        text.push('\n');
    }
}

/// The expression of a constant in a file of `src`, as it stands there, in one line.
fn expression(file: &str, name: &str) -> String {
    let text = fs::read_to_string(root().join("src").join(file)).unwrap();
    let (_, rest) = text
        .split_once(&format!("const {name}: "))
        .unwrap_or_else(|| panic!("there is no constant {name} in src/{file}"));
    let (declared, _) = rest.split_once(';').unwrap();
    let (_, expression) = declared.split_once('=').unwrap();
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A product of numbers, and of constants of the same file.
fn product(file: &str, expression: &str) -> u64 {
    let factor = |factor: &str| {
        let plain = factor.trim().replace('_', "");
        plain.parse().unwrap_or_else(|_| product(file, &self::expression(file, factor.trim())))
    };
    if let Some((one, bits)) = expression.split_once("<<") {
        return factor(one) << factor(bits);
    }
    expression.split('*').map(factor).product()
}

/// The value of a constant that is a number.
pub(super) fn number(file: &str, name: &str) -> u64 {
    product(file, &expression(file, name))
}

/// The value of a constant that is a time; of one with several, of that behind `field: `.
fn time_of(file: &str, name: &str, field: &str) -> Duration {
    let whole = expression(file, name);
    let (_, rest) = whole.split_once(field).unwrap_or_else(|| panic!("no {field} in {whole}"));
    let (_, call) = rest.split_once("::").unwrap_or_else(|| panic!("no time: {whole}"));
    let (unit, rest) = call.split_once('(').unwrap();
    let count = product(file, rest.split_once(')').unwrap().0);
    let unit = match unit {
        "from_millis" => Duration::from_millis(1),
        "from_secs" | "seconds" => Duration::from_secs(1),
        "minutes" => Duration::from_secs(60),
        "hours" => Duration::from_secs(3600),
        "days" => Duration::from_secs(86_400),
        other => panic!("{other} of {whole}"),
    };
    unit * u32::try_from(count).unwrap()
}

/// The value of a constant that is a time.
pub(super) fn time(file: &str, name: &str) -> Duration {
    time_of(file, name, "")
}

/// The first and the longest wait of a constant that is a `Backoff`.
pub(super) fn waits(file: &str, name: &str) -> [Duration; 2] {
    [time_of(file, name, "base: "), time_of(file, name, "max: ")]
}

#[test]
fn constants_are_read_as_they_are() {
    assert_eq!(time("journal/writer/mod.rs", "GATHER_TIME"), Duration::from_millis(4));
    assert_eq!(number("journal/sqlite/key_index.rs", "MAX_NEW"), 1 << 15);
    let longest = sprited::journal::LOG_LENGTH;
    assert_eq!(number("journal/sqlite/store.rs", "LOG_LENGTH"), longest);
}
