//! A configuration whose line at fault holds a secret.

use std::path::Path;

use sprited::config::Config;

const SECRET: &str = "hunter2-hunter2";

/// Lines that cannot be used, as slips of the hand make them.
const LINES: &[&str] = &[
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = SECRET",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = 'SECRET",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = \"SECRET\\q\"",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key 'SECRET'",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key: SECRET",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = 'SECRET' 'SECRET'",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = 'SECRET'\nsecret_key = 'SECRET'",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = ['SECRET']",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = { value = 'SECRET' }",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = { env = ['SECRET'] }",
    "[credentials]\nsecret_id = 'AKID'\nsecret_key = { text = 'SECRET', env = 'X' }",
    "[credentials]\nsecret_id = 'AKID'\nsecretkey = 'SECRET'",
    "credentials = 'SECRET'",
    "[vod]\nendpoint = 'https://me:SECRET@vod.example'",
    "[vod]\nendpoint = 'https://vod.example/?key=SECRET'",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'SECRET'",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://me:SECRET@ho st/'",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'ftp://me:SECRET@host/'",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = ['https://me:SECRET@host/']",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://host/'\nsecret = { text = 'SECRET' }",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://host/'\nheaders = ['a: SECRET']",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://host/'\nheaders = 'a: SECRET'",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://host/'\nheaders = { a = ['SECRET'] }",
    "[[sinks]]\nname = 'a'\ntype = 'webhook'\nurl = 'https://host/'\nheaders = { 'b d' = 'SECRET' }",
    "[[sinks]]\nname = 'a'\ntype = 'exec'\ncommand = ['x']\nenv = ['A=SECRET']",
    "[[sinks]]\nname = 'a'\ntype = 'exec'\ncommand = ['x']\nenv = 'A=SECRET'",
    "[[sinks]]\nname = 'a'\ntype = 'exec'\ncommand = ['x']\nenv = { A = 'SECRET', 5 }",
];

#[test]
fn a_faulty_line_is_named_without_its_secret() {
    const SINK: &str = "\n[[sinks]]\nname = 'z'\ntype = 'stdout'\n";
    for line in LINES {
        let text = format!("{}{SINK}", line.replace("SECRET", SECRET));
        let faults = Config::parse(&text, Path::new("sprited.toml")).expect_err(line);
        let shown = format!("{faults} {faults:?}");
        assert!(!shown.contains("hunter2"), "{line}: {shown}");
        assert!(shown.contains("sprited.toml:"), "{line}: {shown}");
    }
}
