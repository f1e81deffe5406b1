//! Where the text of a configuration holds or names secrets, whatever the table.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Secrets {
    /// Whether one stands in the text itself.
    pub(super) has_literals: bool,
    /// The files that hold others, each with the byte at which it is named.
    pub(super) files: Vec<(usize, PathBuf)>,
    /// The names of systemd's credentials.
    pub(super) credentials: BTreeSet<String>,
}

impl Secrets {
    /// Those of `text`; none if it is no TOML.
    pub(super) fn of(text: &str) -> Self {
        let mut secrets = Self::default();
        if let Ok(root) = DeTable::parse(text) {
            let span = root.span();
            secrets.collect("", &Spanned::new(span, DeValue::Table(root.into_inner())));
        }
        secrets
    }

    /// A string is a secret if its key says so, if it is a header or a variable of a sink, or a URL
    /// with a password in it.
    fn collect(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        let key = key.to_lowercase();
        let named = ["secret", "token", "password", "authorization", "sign_key", "hotlink_key"];
        match value.get_ref() {
            DeValue::String(_) => {
                self.has_literals |=
                    key != "secret_id" && named.iter().any(|word| key.contains(word));
                self.has_literals |= key == "url" && has_password(value.get_ref());
            }
            DeValue::Table(table) => {
                match place(table) {
                    Some(("file", path)) => {
                        self.files.push((value.span().start, path.into()));
                        return;
                    }
                    Some(("credential", name)) => {
                        self.credentials.insert(name.to_owned());
                        return;
                    }
                    _ => {}
                }
                if key == "headers" || key == "env" {
                    // Whatever is no string refers to a secret elsewhere.
                    self.has_literals |= table.values().any(|value| value.get_ref().is_str());
                }
                table.iter().for_each(|(key, value)| self.collect(key.get_ref(), value));
            }
            DeValue::Array(values) => values.iter().for_each(|value| self.collect(&key, value)),
            _ => {}
        }
    }
}

fn has_password(url: &DeValue<'_>) -> bool {
    let host = |url: &str| Some(url.split_once("://")?.1.split(['/', '?', '#']).next()?.to_owned());
    url.as_str().and_then(host).is_some_and(|host| host.contains('@'))
}

/// Key and text of a table that has no more: only secrets are written so.
fn place<'a>(table: &'a DeTable<'_>) -> Option<(&'a str, &'a str)> {
    let [(key, value)] = table.iter().collect::<Vec<_>>()[..] else { return None };
    Some((key.get_ref(), value.get_ref().as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_files_are_found_in_any_table() {
        let of = |text: &str| {
            let Secrets { has_literals, files, .. } = Secrets::of(text);
            (has_literals, files.into_iter().map(|(at, _)| at).collect::<Vec<_>>())
        };
        assert_eq!(
            of("[credentials]\nsecret_id = 'a'\nsecret_key = { env = 'B' }"),
            (false, vec![])
        );
        assert_eq!(of("[credentials]\nsecret_key = 'a'"), (true, vec![]));
        assert_eq!(of("[[sinks]]\nheaders = { a = 'b' }"), (true, vec![]));
        assert_eq!(of("[[sinks]]\nurl = 'https://me:hunter2@x/'"), (true, vec![]));
        assert_eq!(of("[[sinks]]\nurl = 'https://x/@me'"), (false, vec![]));
        assert_eq!(of("[[sinks]]\nenv = { A = { env = 'B' } }"), (false, vec![]));
        assert_eq!(of("[[sinks]]\nenv = { A = { file = '/k' } }"), (false, vec![22]));
        assert_eq!(of("secret_key = { file = '/k' }\nsecret_key = {"), (false, vec![]));
        assert_eq!(of("[a.secret_key]\nfile = '/k'").1.len(), 1);
        let text = "headers = { a = { credential = 'b' }, c = { credential = 'd' } }";
        assert_eq!(Secrets::of(text).credentials, ["b", "d"].map(str::to_owned).into());
    }
}
