//! `sprited check` as root, on a machine that has the unit: it reads what the service would get.
//!
//! In a mount namespace of its own, where the folder of units is another: that is root's to make.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;

use super::daemon::PROGRAM;
use crate::cli::{Ended, ended};

/// Root, who is asked to stay so, and somebody else.
const ROOT: &[&str] = &["--no-new-privs"];
const NOBODY: &[&str] = &["--reuid=65534", "--regid=65534", "--clear-groups"];

/// A machine with the units of the package, and what its administrator has added.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// One with a sink that has this as well.
    fn new(sink: &str) -> Self {
        assert!(
            geteuid().is_root(),
            "THIS TEST NEEDS ROOT, for a mount namespace: run it as root, or leave it out with \
             --skip e2e::root, as tests/run does"
        );
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(machine.folder.path(), Permissions::from_mode(0o755)).unwrap();
        for unit in ["sprited.service", "sprited@.service"] {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(unit);
            machine.write(&format!("units/{unit}"), &fs::read_to_string(shipped).unwrap());
        }
        let config = format!(
            "[credentials]\nsecret_id = 'AKIDz8krbsJ5yKBZQpn7'\n\
             secret_key = {{ credential = 'secret_key' }}\n\
             [[sinks]]\nname = 'a'\n{sink}"
        );
        machine.write("sprited.toml", &config);
        machine
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file; `DIR` in it is the machine's folder.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, text.replace("DIR/", &self.path(""))).unwrap();
    }

    /// Writes a file that only root can read.
    fn keep(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    fn drop_in(&self, service: &str) {
        self.write("units/sprited.service.d/more.conf", &format!("[Service]\n{service}"));
    }

    /// Runs `check` there.
    fn check(&self, user: &[&str], arguments: &[&str]) -> (i32, String) {
        let (code, out, err) = self.run(user, &[&["check"], arguments].concat());
        assert_eq!(err, "", "{out}");
        (code, out)
    }

    /// Runs a command there; no secret is in what it says.
    fn run(&self, user: &[&str], arguments: &[&str]) -> (i32, String, String) {
        let mount =
            format!("mount --bind {} /etc/systemd/system && exec \"$@\"", self.path("units"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &mount, "sh", "setpriv"]).args(user);
        command.arg(PROGRAM).args(arguments).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("SPRITED_CONFIG", self.path("sprited.toml"));
        let Ended { code, out, err } = ended(&mut command);
        assert!(!format!("{out}{err}").contains("hunter2"), "{out}{err}");
        (code, out.replace(&self.path(""), "DIR/"), err)
    }
}

const STDOUT: &str = "type = 'stdout'\n";

#[test]
fn a_fresh_installation_is_told_which_file_to_fill_and_then_passes() {
    let machine = Machine::new(STDOUT);
    let (code, out) = machine.check(ROOT, &["--offline"]);
    let missing = "fail  secrets        [credentials] secret_key: the credential \"secret_key\" is \
                   empty: fill /etc/sprited/secret_key (LoadCredential= in \
                   /etc/systemd/system/sprited.service), which does not exist\n";
    assert!(code == 78 && out.contains(missing), "{out}");
    assert!(out.contains("sudo install -m 600 /dev/stdin FILE"), "{out}");

    machine.keep("key", "hunter2\n");
    machine.drop_in("LoadCredential=secret_key:DIR/key\n");
    let (code, out) = machine.check(ROOT, &["--offline"]);
    let found = "ok    secrets        can be read; credential secret_key by \
                 /etc/systemd/system/sprited.service.d/more.conf: DIR/key\n";
    assert!(code == 0 && out.contains(found), "{out}");
    assert!(out.lines().all(|line| line.starts_with("ok  ")), "{out}");

    let (code, out) = machine.check(NOBODY, &["--offline"]);
    let unseen = "warn  secrets        [credentials] secret_key: the credential \"secret_key\" is for \
                  root alone: DIR/key (LoadCredential= in \
                  /etc/systemd/system/sprited.service.d/more.conf)\n";
    assert!(code == 0 && out.contains(unseen), "{out}");
    assert!(out.contains("→ run the command as root, which reads what the service gets"), "{out}");
}

#[test]
fn what_the_unit_does_not_give_is_a_failure_and_what_it_hides_is_none() {
    let machine = Machine::new(STDOUT);
    machine.drop_in("LoadCredential=\nLoadCredentialEncrypted=secret_key:/etc/sealed\n");
    let (code, out) = machine.check(ROOT, &["--offline"]);
    let sealed = "the credential \"secret_key\" is encrypted, by LoadCredentialEncrypted= in \
                  /etc/systemd/system/sprited.service.d/more.conf\n";
    assert!(code == 0 && out.contains(sealed) && out.contains("warn  secrets"), "{out}");
    assert!(out.contains("→ only the service can read systemd's credentials"), "{out}");

    machine.drop_in("LoadCredential=\nSetCredential=\n");
    let (code, out) = machine.check(ROOT, &["--offline"]);
    let absent = "the credential \"secret_key\" is not given by sprited.service: add \
                  LoadCredential= with it (systemctl edit sprited.service)\n";
    assert!(code == 78 && out.contains(absent), "{out}");

    fs::remove_file(machine.path("units/sprited.service")).unwrap();
    std::os::unix::fs::symlink("/dev/null", machine.path("units/sprited.service")).unwrap();
    let (code, out) = machine.check(ROOT, &["--offline"]);
    let masked = "warn  unit           sprited.service is masked by \
                  /etc/systemd/system/sprited.service: it cannot start";
    assert!(code == 0 && out.contains(masked), "{out}");
    let advice = "what the service gets from it is not checked; name its unit by --unit";
    assert!(out.contains(advice) && !out.contains("run the command as root"), "{out}");
}

#[test]
fn an_instance_has_its_own_key() {
    let machine = Machine::new(STDOUT);
    machine.keep("eu.key", "hunter2\n");
    machine.write(
        "units/sprited@.service.d/key.conf",
        "[Service]\nLoadCredential=secret_key:DIR/%i.key\n",
    );
    for unit in ["sprited@eu", "sprited@eu.service"] {
        let (code, out) = machine.check(ROOT, &["--offline", "--unit", unit]);
        let found = "credential secret_key by \
                     /etc/systemd/system/sprited@.service.d/key.conf: DIR/eu.key\n";
        assert!(code == 0 && out.contains(found), "{out}");
    }
    let (code, out) = machine.check(ROOT, &["--offline", "--unit", "sprited@us"]);
    assert!(code == 78 && out.contains("fill DIR/us.key"), "{out}");
    let (code, out) = machine.check(ROOT, &["--offline", "--unit", "other"]);
    assert!(
        code == 0 && out.contains("warn  unit           there is no unit other.service"),
        "{out}"
    );
}

/// Sinks read their secrets as well, and the proxy is the service's.
#[test]
fn the_unit_s_variables_are_those_of_the_check() {
    let machine = Machine::new(
        "type = 'webhook'\nurl = 'http://127.0.0.1:9/'\nsecret = { env = 'HOOK' }\n\
         headers = { Authorization = { credential = 'hook' } }\n",
    );
    machine.keep("key", "hunter2\n");
    let more = format!("[journal]\npath = '{}'\n", machine.path("journal.db"));
    let config = fs::read_to_string(machine.path("sprited.toml")).unwrap();
    machine.write("sprited.toml", &format!("{config}{more}"));
    // Ends in `hunter2`, whose bytes these are.
    machine.keep("hook.env", "HOOK=\"whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==\"\n");
    machine.drop_in(
        "LoadCredential=secret_key:DIR/key\nLoadCredential=hook:DIR/key\n\
         Environment=HTTPS_PROXY=http://127.0.0.1:9 RUST_BACKTRACE=0\n\
         EnvironmentFile=DIR/hook.env\n",
    );
    let (code, out) = machine.check(ROOT, &[]);
    let proxy = "http://127.0.0.1:9 by HTTPS_PROXY of sprited.service\n";
    assert!(code == 1 && out.contains(proxy), "{out}");
    // Nothing answers there, and no secret is missing.
    assert!(out.contains("sink a         webhook: no answer from http://127.0.0.1:9: "), "{out}");
    assert!(!out.contains("HOOK") && !out.contains("aHVu"), "{out}");
    let (_, out) = machine.check(NOBODY, &["--offline"]);
    assert!(out.contains("hook.env (EnvironmentFile= in "), "{out}");
}

#[test]
fn a_test_of_the_receiver_posts_with_the_service_s_token() {
    let machine = Machine::new(STDOUT);
    let config = fs::read_to_string(machine.path("sprited.toml")).unwrap();
    let receive = "[receive]\nlisten = '127.0.0.1:0'\ntoken = { credential = 'token' }\n";
    machine.write("sprited.toml", &format!("{receive}{config}"));
    let test = || machine.run(ROOT, &["receive", "test", "http://127.0.0.1:9"]);
    let (code, _, err) = test();
    assert!(code == 78 && err.contains("\"token\" is not given by sprited.service"), "{err}");
    machine.keep("token", &"hunter2".repeat(5));
    machine.drop_in("LoadCredential=token:DIR/token\n");
    // It has the path, and nobody listens.
    let (code, _, err) = test();
    assert!(code == 1 && err.contains("no answer"), "{err}");
}
