//! Credentials in the profile file that the official tools share.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::stored::StoredCredentials;
use super::{Credentials, ProviderError, Variables};
use crate::secret::Secret;

/// Names the file in place of the usual ones.
const FILE_VARIABLE: &str = "TENCENTCLOUD_CREDENTIALS_FILE";
/// The last place that is looked at.
pub(super) const SYSTEM_FILE: &str = "/etc/tencentcloud/credentials";
const SECTION: &str = "default";

/// A profile is a few lines; a wrong path may lead to something that is not.
const MAX_FILE: u64 = 64 * 1024;

/// Section `[default]` of the file that `$TENCENTCLOUD_CREDENTIALS_FILE` names in `variables`, or
/// else of `~/.tencentcloud/credentials`, or else of `system_file`.
#[must_use]
pub fn profile(variables: Variables, system_file: PathBuf) -> StoredCredentials {
    let read = move || find(&variables, &system_file);
    StoredCredentials::new("the profile file (tencentcloud/credentials)", read)
}

fn find(variables: &Variables, system_file: &Path) -> Result<Credentials, ProviderError> {
    if let Some(named) = variables.raw(FILE_VARIABLE) {
        if named.is_empty() {
            return Err(ProviderError::Invalid(format!("{FILE_VARIABLE} is set and empty")));
        }
        let path = PathBuf::from(named);
        return read_file(&path)?.ok_or_else(|| {
            ProviderError::Invalid(format!(
                "{FILE_VARIABLE} names {}: no such file",
                path.display()
            ))
        });
    }
    let home = variables.raw("HOME").filter(|home| !home.is_empty());
    let users = home.map(|home| Path::new(&home).join(".tencentcloud/credentials"));
    let places: Vec<PathBuf> = users.into_iter().chain([system_file.to_owned()]).collect();
    for path in &places {
        if let Some(credentials) = read_file(path)? {
            return Ok(credentials);
        }
    }
    let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
    Err(ProviderError::NotFound(format!("no such file: {}", places.join(", "))))
}

/// None if there is no such file.
fn read_file(path: &Path) -> Result<Option<Credentials>, ProviderError> {
    let invalid = |problem: &dyn std::fmt::Display| {
        ProviderError::Invalid(format!("{}: {problem}", path.display()))
    };
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(invalid(&error)),
    };
    parse(&text).map(Some).map_err(|problem| invalid(&problem))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other("larger than 64 KiB; a profile was expected"));
    }
    Ok(text)
}

/// The part of the INI format that profiles use: sections, `key = value` or `key: value`, and
/// whole-line comments. Problems name lines, never what stands in them.
fn parse(text: &str) -> Result<Credentials, String> {
    let mut section = String::new();
    let mut found = false;
    let (mut id, mut key, mut token) = (None, None, None);
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').ok_or(format!("line {number}: no \"]\""))?;
            section = name.trim().to_owned();
            found |= section == SECTION;
            continue;
        }
        let (name, value) = line
            .split_once(['=', ':'])
            .ok_or(format!("line {number}: neither a section nor \"key = value\""))?;
        if section != SECTION {
            continue;
        }
        let value = value.trim().to_owned();
        match name.trim().to_lowercase().as_str() {
            "secret_id" => id = Some(value),
            "secret_key" => key = Some(Secret::from(value)),
            "token" => token = Some(Secret::from(value)),
            _ => {}
        }
    }
    if !found {
        return Err(format!("no section [{SECTION}]"));
    }
    let missing = |name: &str| format!("no {name} in section [{SECTION}]");
    let id = id.ok_or_else(|| missing("secret_id"))?;
    let key = key.ok_or_else(|| missing("secret_key"))?;
    Credentials::new(&id, key, token, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_section_is_read_as_the_official_tools_read_it() {
        let text = "\u{feff}# a comment\r\n[other]\nsecret_id = no\n\n[default]\r\n; another\n\
                    SECRET_ID = AKIDx\nsecret_key: a=b:c\ntoken =\nrole_arn = whatever\n[last]\nsecret_key = no";
        let credentials = parse(text).unwrap();
        assert_eq!(credentials.secret_id(), "AKIDx");
        assert_eq!(credentials.secret_key().expose(), "a=b:c");
        assert!(credentials.token().is_none());
        let with_token = parse("[default]\nsecret_id=a\nsecret_key=b\ntoken=c").unwrap();
        assert_eq!(with_token.token().unwrap().expose(), "c");
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        let cases = [
            ("", "no section [default]"),
            ("[other]\nsecret_id = a", "no section [default]"),
            ("[default]\nsecret_id = a", "no secret_key in section [default]"),
            ("[default]\nsecret_key = hunter2", "no secret_id in section [default]"),
            ("[default]\nhunter2", "line 2: neither a section nor \"key = value\""),
            ("[default\nsecret_id = a", "line 1: no \"]\""),
            ("[default]\nsecret_id =\nsecret_key = hunter2", "secret_id is empty"),
        ];
        for (text, problem) in cases {
            assert_eq!(parse(text).unwrap_err(), problem);
        }
    }
}
