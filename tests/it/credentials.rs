//! Where credentials come from: the environment, files, and a local metadata server.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::future::join_all;
use sprited::vod::credentials::{
    Chain, Credentials, Environment, Provider, ProviderError, RenewedCredentials, Variables,
    instance_role, profile,
};

use crate::local_server::{LocalServer, Reply, Request};
use crate::support::capture_log;

const ID: &str = "TENCENTCLOUD_SECRET_ID";
const KEY: &str = "TENCENTCLOUD_SECRET_KEY";
const FILE: &str = "TENCENTCLOUD_CREDENTIALS_FILE";

fn variables<V: Into<OsString>>(all: impl IntoIterator<Item = (&'static str, V)>) -> Variables {
    let all: HashMap<_, _> = all.into_iter().map(|(name, value)| (name, value.into())).collect();
    Variables::from_fn(move |name| all.get(name).cloned())
}

fn broken(result: Result<Credentials, ProviderError>) -> String {
    match result {
        Err(ProviderError::Invalid(reason) | ProviderError::Unavailable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn not_here(result: Result<Credentials, ProviderError>) -> String {
    match result {
        Err(ProviderError::NotFound(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn token(credentials: &Credentials) -> Option<&str> {
    credentials.token().map(|token| token.expose())
}

mod environment {
    use super::*;

    async fn read<const N: usize>(
        all: [(&'static str, &'static str); N],
    ) -> Result<Credentials, ProviderError> {
        Environment::new(variables(all)).credentials().await
    }

    #[tokio::test]
    async fn id_and_key_are_read_with_the_first_token_there_is() {
        let credentials = read([(ID, "id"), (KEY, "key")]).await.unwrap();
        assert_eq!((credentials.secret_id(), token(&credentials)), ("id", None));
        assert_eq!(credentials.secret_key().expose(), "key");
        let names =
            ["TENCENTCLOUD_SESSION_TOKEN", "TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"];
        let [first, second, third] = names;
        let pair = [(ID, "id"), (KEY, "key")];
        let [id, key] = pair;
        for (all, expected) in [
            ([id, key, (first, "1"), (second, "2"), (third, "3")], "1"),
            ([id, key, (first, ""), (second, "2"), (third, "3")], "2"),
            ([id, key, (first, ""), (second, ""), (third, "3")], "3"),
        ] {
            assert_eq!(token(&read(all).await.unwrap()), Some(expected));
        }
    }

    #[tokio::test]
    async fn nothing_is_not_here_and_half_is_broken() {
        assert!(not_here(read([]).await).contains(ID));
        assert!(not_here(read([(ID, ""), (KEY, "")]).await).contains(KEY));
        assert!(broken(read([(ID, "id")]).await).contains("SECRET_KEY is not"));
        assert!(broken(read([(KEY, "hunter2"), (ID, "")]).await).contains("SECRET_ID is not"));
        let reason = broken(read([(ID, "id"), (KEY, " hunter2")]).await);
        assert!(reason.contains("white space") && !reason.contains("hunter2"), "{reason}");
        let bytes = OsString::from_vec(vec![0xff]);
        let environment = Environment::new(variables([(ID, bytes.clone()), (KEY, bytes)]));
        assert!(broken(environment.credentials().await).contains("not UTF-8"));
    }
}

mod profile {
    use super::*;

    fn write(path: &Path, id: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("[default]\nsecret_id = {id}\nsecret_key = k\n")).unwrap();
    }

    #[tokio::test]
    async fn the_places_are_looked_at_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let system = folder.path().join("etc/credentials");
        let profile = |all: Vec<(&'static str, OsString)>| profile(variables(all), system.clone());
        let home = || ("HOME", folder.path().as_os_str().to_owned());
        let id = async |all| profile(all).credentials().await.unwrap().secret_id().to_owned();

        let reason = not_here(profile(vec![home()]).credentials().await);
        assert!(reason.contains(".tencentcloud/credentials"), "{reason}");
        assert!(reason.contains(system.to_str().unwrap()), "{reason}");
        write(&system, "of-system");
        assert_eq!(id(vec![home()]).await, "of-system");
        assert_eq!(id(vec![]).await, "of-system");
        write(&folder.path().join(".tencentcloud/credentials"), "of-home");
        assert_eq!(id(vec![home()]).await, "of-home");
        let named = folder.path().join("named");
        let variable = || (FILE, named.as_os_str().to_owned());
        let reason = broken(profile(vec![home(), variable()]).credentials().await);
        assert!(reason.contains(FILE) && reason.contains(named.to_str().unwrap()), "{reason}");
        write(&named, "of-named");
        assert_eq!(id(vec![home(), variable()]).await, "of-named");
        let empty = vec![home(), (FILE, OsString::new())];
        assert!(broken(profile(empty).credentials().await).contains("set and empty"));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_broken_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let profile = profile(variables([(FILE, path.as_os_str())]), PathBuf::new());
        for (content, problem) in [
            (b"[default]\nsecret_id = a".to_vec(), "no secret_key"),
            (b"[default]\nsecret_id = a\nsecret_key = \xff".to_vec(), "UTF-8"),
            (vec![b'#'; 70_000], "64 KiB"),
        ] {
            std::fs::write(&path, content).unwrap();
            let reason = broken(profile.credentials().await);
            assert!(reason.contains(problem), "{reason}");
            assert!(reason.contains(path.to_str().unwrap()), "{reason}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(broken(profile.credentials().await).contains("directory"));
    }

    #[tokio::test]
    async fn the_file_is_read_again_when_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let profile = profile(variables([(FILE, path.as_os_str())]), PathBuf::new());
        write(&path, "first");
        let first = profile.credentials().await.unwrap();
        write(&path, "second");
        assert_eq!(profile.credentials().await.unwrap(), first, "kept until refused");
        let second = profile.refresh(&first).await.unwrap();
        assert_eq!(second.secret_id(), "second");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(profile.refresh(&first).await.unwrap(), second, "known to be newer");
        assert!(profile.refresh(&second).await.is_err());
        assert_eq!(profile.credentials().await.unwrap(), second, "what was there stays");
    }
}

mod instance_role {
    use super::*;

    const FOLDER: &str = "/latest/meta-data/cam/security-credentials/";
    const LONG: Duration = Duration::from_secs(3600);

    /// An answer with the keys of the n-th renewal, good for so many seconds.
    fn keys(number: usize, seconds: i64) -> Reply {
        let expired = Utc::now().timestamp() + seconds;
        Reply::json(&format!(
            r#"{{"TmpSecretId":"AKID{number}","TmpSecretKey":"k","Token":"t",
                "ExpiredTime":{expired},"Expiration":"2020-01-01T00:00:00Z","Code":"Success"}}"#
        ))
    }

    /// A metadata server whose n-th request for keys gets what `answer` says.
    async fn metadata(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> LocalServer {
        let renewals = AtomicUsize::new(0);
        LocalServer::start(move |request: &Request, _| {
            assert_eq!(request.method, "GET");
            match request.target.strip_prefix(FOLDER) {
                Some("") => Reply::new(200, &[], b"sprited-role\n"),
                Some("sprited-role") => answer(renewals.fetch_add(1, Ordering::SeqCst)),
                _ => Reply::new(404, &[], b""),
            }
        })
        .await
    }

    fn role(server: &LocalServer, pause: Duration) -> RenewedCredentials {
        instance_role(&server.url(), pause).unwrap()
    }

    #[tokio::test]
    async fn keys_are_fetched_once_for_all_callers_and_kept() {
        let server = metadata(|_| Reply::After(Duration::from_millis(100), keys(0, 7200).into()));
        let server = server.await;
        let role = role(&server, Duration::ZERO);
        for outcome in join_all((0..20).map(|_| role.credentials())).await {
            let credentials = outcome.unwrap();
            assert_eq!(credentials.secret_id(), "AKID0");
            assert_eq!(token(&credentials), Some("t"));
            let left = credentials.expires().unwrap() - Utc::now();
            assert!((7100..=7200).contains(&left.num_seconds()), "{left}");
        }
        role.credentials().await.unwrap();
        assert_eq!(server.seen().len(), 2, "one for the role, one for its keys");
    }

    #[tokio::test]
    async fn keys_are_renewed_before_they_expire() {
        // 295 s: with nothing left of the 300 s margin. 330 s: with some.
        for (seconds, renewals) in [(295, 2), (330, 1)] {
            let server = metadata(move |number| keys(number, seconds)).await;
            let role = role(&server, Duration::ZERO);
            role.credentials().await.unwrap();
            role.credentials().await.unwrap();
            assert_eq!(server.seen().len(), 2 * renewals, "{seconds}");
        }
    }

    #[tokio::test]
    async fn old_keys_are_used_while_they_are_valid_and_the_failure_is_told_once() {
        let (log, _guard) = capture_log();
        let server = metadata(|number| match number {
            0 => keys(0, 5),
            5.. => keys(5, 7200),
            _ => Reply::new(500, &[], b""),
        })
        .await;
        let role = role(&server, Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(role.credentials().await.unwrap().secret_id(), "AKID0");
        }
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("WARN") && text.contains("HTTP 500"), "{text}");
        let first = role.credentials().await.unwrap();
        while first.expires().unwrap() > Utc::now() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let reason = broken(role.credentials().await);
        assert!(reason.contains("HTTP 500") && reason.contains(&server.url()), "{reason}");
        assert_eq!(role.credentials().await.unwrap().secret_id(), "AKID5");
        assert!(log.text().lines().last().unwrap().contains("renewed"), "{}", log.text());
    }

    #[tokio::test]
    async fn nothing_is_asked_twice_within_the_pause() {
        let server = metadata(|_| Reply::new(500, &[], b"")).await;
        let failing = role(&server, LONG);
        for _ in 0..5 {
            broken(failing.credentials().await);
        }
        assert_eq!(server.seen().len(), 2);
        // Keys that seem to have expired when they come, as with a wrong clock, are used.
        let server = metadata(|number| keys(number, -10)).await;
        let odd = role(&server, LONG);
        for _ in 0..5 {
            let credentials = odd.credentials().await.unwrap();
            assert_eq!(odd.refresh(&credentials).await.unwrap(), credentials);
        }
        assert_eq!(server.seen().len(), 2);
    }

    #[tokio::test]
    async fn refused_keys_are_renewed_whatever_their_age() {
        let server = metadata(|number| keys(number, 7200)).await;
        let role = role(&server, Duration::ZERO);
        let first = role.credentials().await.unwrap();
        for outcome in join_all((0..20).map(|_| role.refresh(&first))).await {
            assert_eq!(outcome.unwrap().secret_id(), "AKID1");
        }
        assert_eq!(role.refresh(&first).await.unwrap().secret_id(), "AKID1");
        assert_eq!(server.seen().len(), 4);
    }

    #[tokio::test]
    async fn a_caller_that_leaves_leaves_no_mess() {
        let server = metadata(|number| match number {
            0 => Reply::After(LONG, keys(0, 7200).into()),
            _ => keys(number, 7200),
        })
        .await;
        let role = role(&server, LONG);
        let asked_for_keys = async {
            while server.seen().len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            outcome = role.credentials() => panic!("{outcome:?}"),
            () = asked_for_keys => {}
        }
        assert_eq!(role.credentials().await.unwrap().secret_id(), "AKID1");
    }

    #[tokio::test]
    async fn a_machine_without_a_role_is_not_here() {
        let server = LocalServer::replying(vec![Reply::new(404, &[], b"")]).await;
        assert!(not_here(role(&server, LONG).credentials().await).contains("no role"));
        let server = LocalServer::replying(vec![Reply::Reset]).await;
        let reason = not_here(role(&server, LONG).credentials().await);
        assert!(reason.contains(&server.url()), "{reason}");
        let hung = Reply::After(LONG, Reply::Reset.into());
        let server = LocalServer::replying(vec![hung]).await;
        let started = Instant::now();
        not_here(role(&server, LONG).credentials().await);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn an_answer_that_makes_no_sense_is_broken() {
        let cases = [
            (Reply::json("<html>"), "JSON"),
            (Reply::json(r#"{"Code":"Failure","TmpSecretKey":"hunter2"}"#), "Code is Failure"),
            (Reply::json(r#"{"Code":"Success","TmpSecretKey":"hunter2"}"#), "TmpSecretId"),
            (
                Reply::json(r#"{"TmpSecretId":"a","TmpSecretKey":"hunter2 ","Token":"t"}"#),
                "secret_key begins or ends with white space",
            ),
            (Reply::json(r#"{"TmpSecretId":"a","TmpSecretKey":"hunter2"}"#), "no Token"),
            (Reply::new(200, &[], &vec![b' '; 70_000]), "64 KiB"),
            (Reply::new(302, &[("Location", "http://127.0.0.1:1/")], b""), "HTTP 302"),
            (Reply::new(200, &[], b"\xff"), "UTF-8"),
        ];
        for (reply, problem) in cases {
            let server = metadata(move |_| reply.clone()).await;
            let reason = broken(role(&server, LONG).credentials().await);
            assert!(reason.contains(problem) && !reason.contains("hunter2"), "{reason}");
        }
        for name in ["", "../../user-data", "a b", "a?b", "<html>"] {
            let server = LocalServer::replying(vec![Reply::new(200, &[], name.as_bytes())]).await;
            let reason = broken(role(&server, LONG).credentials().await);
            assert!(reason.contains("names no role"), "{reason}");
            assert_eq!(server.seen().len(), 1, "{name}");
        }
    }

    const CHILD_SERVER: &str = "SPRITED_TEST_METADATA";

    #[tokio::test]
    #[ignore = "run as a child by keys_never_pass_a_proxy"]
    async fn child_that_asks_once() {
        let Ok(server) = std::env::var(CHILD_SERVER) else { return };
        instance_role(&server, LONG).unwrap().credentials().await.unwrap();
        println!("asked");
    }

    #[tokio::test]
    async fn keys_never_pass_a_proxy() {
        let server = metadata(|number| keys(number, 7200)).await;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "credentials::instance_role::child_that_asks_once"])
            .args(["--ignored", "--nocapture"])
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .env(CHILD_SERVER, server.url())
            .env("HTTP_PROXY", "http://127.0.0.1:1");
        let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("asked"), "{text}");
    }
}

mod chain {
    use super::*;

    /// Answers as it is told, and counts.
    #[derive(Debug)]
    struct Told {
        name: &'static str,
        answers: Vec<Result<&'static str, ProviderError>>,
        asked: AtomicUsize,
    }

    impl Told {
        fn new(name: &'static str, answers: Vec<Result<&'static str, ProviderError>>) -> Arc<Self> {
            Arc::new(Self { name, answers, asked: AtomicUsize::new(0) })
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[async_trait::async_trait]
    impl Provider for Told {
        async fn credentials(&self) -> Result<Credentials, ProviderError> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers[number.min(self.answers.len() - 1)].clone();
            answer.map(|id| Credentials::new(id, "k".into(), None, None).unwrap())
        }

        async fn refresh(&self, _: &Credentials) -> Result<Credentials, ProviderError> {
            self.credentials().await
        }

        fn describe(&self) -> String {
            self.name.to_owned()
        }
    }

    fn missing(reason: &str) -> Result<&'static str, ProviderError> {
        Err(ProviderError::NotFound(reason.to_owned()))
    }

    #[tokio::test]
    async fn the_first_that_has_some_is_stayed_with() {
        let first = Told::new("first", vec![missing("nothing"), Ok("too-late")]);
        let second = Told::new("second", vec![Ok("a"), Ok("b"), Ok("c"), missing("gone")]);
        let third = Told::new("third", vec![Ok("never")]);
        let chain = Chain::new(vec![first.clone(), second.clone(), third.clone()]);
        assert_eq!(chain.describe(), "none found yet in: first, second, third");
        let (log, _guard) = capture_log();
        let a = chain.credentials().await.unwrap();
        assert_eq!(a.secret_id(), "a");
        assert_eq!(chain.describe(), "second");
        assert_eq!(chain.credentials().await.unwrap().secret_id(), "b");
        assert_eq!(chain.refresh(&a).await.unwrap().secret_id(), "c");
        assert_eq!((first.asked(), third.asked()), (1, 0));
        assert_eq!(log.text().lines().count(), 1, "{}", log.text());
        assert_eq!(chain.credentials().await.unwrap().secret_id(), "too-late", "it had none left");
        assert_eq!(chain.describe(), "first");
    }

    #[tokio::test]
    async fn a_broken_one_ends_the_search() {
        let first = Told::new("first", vec![missing("nothing there")]);
        let second =
            Told::new("second", vec![Err(ProviderError::Invalid("half of it".to_owned()))]);
        let third = Told::new("third", vec![Ok("never")]);
        let chain = Chain::new(vec![first, second, third.clone()]);
        let reason = broken(chain.credentials().await);
        assert!(reason.ends_with("first: nothing there; second: half of it"), "{reason}");
        assert_eq!(third.asked(), 0);
    }

    #[tokio::test]
    async fn nothing_anywhere_lists_all_that_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let server = LocalServer::replying(vec![Reply::new(404, &[], b"")]).await;
        let none = || variables::<OsString>([]);
        let chain = Chain::new(vec![
            Arc::new(Environment::new(none())),
            Arc::new(profile(none(), folder.path().join("none"))),
            Arc::new(instance_role(&server.url(), Duration::ZERO).unwrap()),
        ]);
        for _ in 0..2 {
            let reason = not_here(chain.credentials().await);
            for part in [ID, folder.path().to_str().unwrap(), &server.url(), "knows of no role"] {
                assert!(reason.contains(part), "{part}: {reason}");
            }
        }
    }
}
