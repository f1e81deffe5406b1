//! The variables that a unit sets for its service.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::files::{UnitFiles, below};
use super::syntax::{unquoted, whole_lines, words};
use crate::secret::Secret;

/// Variables by their names, of which a value may be a secret; and what could not be read.
#[derive(Debug, Default)]
pub(super) struct FoundVariables {
    pub(super) values: BTreeMap<String, Secret>,
    pub(super) problems: Vec<String>,
}

/// Reads them. Blocks on the file system.
pub(super) fn read(root: &Path, unit: &UnitFiles) -> FoundVariables {
    let mut found = FoundVariables::default();
    for assignment in unit.assigned(&["Environment"]) {
        words(&unit.name.expanded(&assignment.value)).iter().for_each(|word| found.set(word));
    }
    // They have the last word, wherever they stand.
    for assignment in unit.assigned(&["EnvironmentFile"]) {
        let path = unit.name.expanded(&assignment.value);
        let (path, is_optional) = path.strip_prefix('-').map_or((&*path, false), |p| (p, true));
        match fs::read_to_string(below(root, path)) {
            Ok(text) => of_file(&text).iter().for_each(|line| found.set(line)),
            Err(error) if is_optional && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let unit = assignment.file.display();
                found.problems.push(format!("{path} (EnvironmentFile= in {unit}): {error}"));
            }
        }
    }
    found
}

impl FoundVariables {
    fn set(&mut self, assignment: &str) {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if let Some((name, value)) = assignment.split_once('=')
            && !name.is_empty()
            && name.bytes().all(is_of_name)
            && !value.contains('\0')
        {
            self.values.insert(name.to_owned(), value.into());
        }
    }
}

/// The assignments in the text of a file of variables, without their quotes.
fn of_file(text: &str) -> Vec<String> {
    let unquoted = |line: &String| {
        let (name, value) = line.split_once('=')?;
        Some(format!("{}={}", name.trim(), unquoted(value)))
    };
    whole_lines(text).iter().filter_map(unquoted).collect()
}

#[cfg(test)]
mod tests {
    use super::super::name::UnitName;
    use super::*;

    #[test]
    fn variables_are_those_of_the_unit_and_then_of_its_files() {
        let root = tempfile::tempdir().unwrap();
        let unit = "[Service]\nEnvironment=FORGOTTEN=1\nEnvironment=\n\
                    Environment=A=1 \"B=two words\" C=%i\nEnvironmentFile=-/etc/none\n\
                    EnvironmentFile=/etc/%p.env\nEnvironmentFile=/etc/gone\nEnvironment=D=4 E\n";
        let file = "# remark\nA=of the file \nQ='it''s' \"a \\\"b\\\"\"\n 1-x=no\nD=5\n";
        for (path, text) in [("/etc/systemd/system/s@.service", unit), ("/etc/s.env", file)] {
            let path = below(root.path(), path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let unit = UnitFiles::read(root.path(), UnitName::parse("s@eu").unwrap()).unwrap();
        let FoundVariables { values, problems } = read(root.path(), &unit);
        let values: Vec<_> = values.iter().map(|(name, v)| (name.as_str(), v.expose())).collect();
        assert_eq!(
            values,
            [
                ("A", "of the file"),
                ("B", "two words"),
                ("C", "eu"),
                ("D", "5"),
                ("Q", "its a \"b\"")
            ]
        );
        assert_eq!(
            problems,
            ["/etc/gone (EnvironmentFile= in /etc/systemd/system/s@.service): No such file or \
              directory (os error 2)"]
        );
    }
}
