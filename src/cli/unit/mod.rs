//! The unit of the service, for commands that look at the daemon's settings from outside of it: what
//! systemd would give the daemon, they read themselves, by the files of the unit, since where there
//! is a unit there need be no systemd that runs.

mod credentials;
mod environment;
mod files;
mod name;
mod syntax;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use self::credentials::FoundCredentials;
use self::environment::FoundVariables;
use self::files::{UnitError, UnitFiles};
use self::name::UnitName;
use super::exit::complain;
use crate::secret::{self, Secret};
use crate::sinks::exec::launcher;

/// The unit of the service that a command takes the place of.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct UnitArg {
    /// The daemon's systemd unit, for the credentials and variables that this command was not given.
    #[arg(long = "unit", value_name = "NAME", default_value = DEFAULT, value_parser = UnitName::parse)]
    name: UnitName,
}

const DEFAULT: &str = "sprited";

/// What was found of a unit.
#[derive(Debug, Default)]
pub(super) struct ServiceUnit {
    /// Why it is of no use, if it is of none.
    pub(super) problem: Option<String>,
    /// Whether it is another than the one that every machine with the package has.
    pub(super) is_chosen: bool,
    sources: BTreeMap<String, String>,
    variables: BTreeMap<String, Secret>,
    name: String,
}

impl UnitArg {
    /// Has this process read secrets as the unit's service does, and run with the variables that the
    /// unit sets and whoever has started it did not: for that it starts itself anew, in its own place.
    /// To be called before anything else is done. Within the service itself, it does nothing.
    pub(super) fn stand_in(&self) -> ServiceUnit {
        if secret::has_credentials() {
            return ServiceUnit::default();
        }
        let (root, name) = (Path::new("/"), self.name.to_string());
        let is_chosen = UnitName::parse(DEFAULT).as_ref() != Ok(&self.name);
        let unit = match UnitFiles::read(root, self.name.clone()) {
            Ok(unit) => unit,
            Err(problem) => {
                // A machine need not have the default.
                let is_told = is_chosen || !matches!(problem, UnitError::Missing(_));
                let problem = is_told.then(|| problem.to_string());
                return ServiceUnit { problem, is_chosen, name, ..ServiceUnit::default() };
            }
        };
        let FoundVariables { values, problems } = environment::read(root, &unit);
        if let Err(error) = start_with(&values) {
            complain(format_args!("cannot start anew with the variables of {name}: {error}"));
        }
        let FoundCredentials { values: credentials, sources } = credentials::read(root, &unit);
        secret::stand_in_for_service(credentials);
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        ServiceUnit { problem, is_chosen, sources, variables: values, name }
    }
}

impl ServiceUnit {
    /// Says from where a credential is: `credential secret_key by UNIT: FILE`.
    pub(super) fn source(&self, credential: &str) -> Option<String> {
        self.sources.get(credential).map(|source| format!("credential {credential} by {source}"))
    }

    /// Its name, if it sets the variable to the value that this process has.
    pub(super) fn setting(&self, variable: &str) -> Option<&str> {
        let set = self.variables.get(variable)?;
        let is_same = std::env::var(variable).is_ok_and(|value| value == set.expose());
        is_same.then_some(self.name.as_str())
    }
}

/// Ends in the same program with these variables as well, unless this process has them all.
fn start_with(variables: &BTreeMap<String, Secret>) -> io::Result<()> {
    let is_lacking = |name: &&String| std::env::var_os(name).is_none();
    let lacking: Vec<_> = variables.keys().filter(is_lacking).collect();
    let mut arguments = std::env::args_os();
    let (Some(name), false) = (arguments.next(), lacking.is_empty()) else { return Ok(()) };
    let set = lacking.into_iter().filter_map(|name| Some((name, variables.get(name)?.expose())));
    Err(Command::new(launcher::SELF).arg0(name).args(arguments).envs(set).exec())
}
