//! Temporary keys of a role, from the emulator's STS: for a key that may assume it, and for the
//! token of a TKE pod.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use sprited::vod::credentials::{
    Chain, Credentials, CredentialsSettings as Table, Provider, ProviderError, RenewedCredentials,
    Variables, assume_role, provider, web_identity,
};
use sprited::vod::{Client, VodError, VodSettings as Vod};
use vod_emulator::{ApiAction, AssumableRole, EmulatorSettings, TrustedIdentity};

use crate::emulator::Server;
use crate::local_server::{LocalServer, Reply};
use crate::support::{capture_log, until};

const KEY: &str = "emulator-secret-key";

/// The `[credentials]` of the emulator's account and role.
fn table(sts: &str, key: &str, more: &str) -> Table {
    let arn = AssumableRole::default().arn;
    let text = format!(
        "secret_id = \"AKIDEMULATOR\"\nsecret_key = {key}\nrole_arn = \"{arn}\"\n\
         sts_endpoint = \"{sts}\"\n{more}"
    );
    toml::from_str(&text).unwrap()
}

fn role(sts: &str) -> RenewedCredentials {
    let table = table(sts, &format!("\"{KEY}\""), "");
    assume_role(&table, Duration::ZERO).unwrap().unwrap()
}

fn client(server: &Server, provider: Arc<dyn Provider>) -> Client {
    let settings = Vod {
        endpoint: server.url.clone(),
        sub_app_id: Some(1_500_012_345.into()),
        ..Vod::default()
    };
    Client::new(&settings, provider).unwrap()
}

fn sessions(max_session: Duration) -> EmulatorSettings {
    EmulatorSettings {
        role: AssumableRole { max_session, ..AssumableRole::default() },
        ..EmulatorSettings::default()
    }
}

fn granted(server: &Server, action: ApiAction) -> u64 {
    server.control.totals().calls_of(action, "ok")
}

fn broken(result: Result<Credentials, ProviderError>) -> String {
    match result {
        Err(ProviderError::Invalid(reason) | ProviderError::Unavailable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Has these and no others.
#[derive(Debug)]
struct Held(Credentials);

#[async_trait::async_trait]
impl Provider for Held {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        Ok(self.0.clone())
    }

    async fn refresh(&self, _: &Credentials) -> Result<Credentials, ProviderError> {
        self.credentials().await
    }

    fn describe(&self) -> String {
        "a test".to_owned()
    }
}

fn code(result: Result<u64, VodError>) -> String {
    result.unwrap_err().code().unwrap().to_owned()
}

mod assumed_with_a_key {
    use super::*;

    #[tokio::test]
    async fn its_keys_are_taken_with_their_token_until_they_expire() {
        let server = Server::start(sessions(Duration::from_secs(3))).await;
        let credentials = role(&server.url).credentials().await.unwrap();
        let held = |credentials| client(&server, Arc::new(Held(credentials)));
        let token = credentials.token().cloned();
        let without =
            Credentials::new(credentials.secret_id(), credentials.secret_key().clone(), None, None);
        let other = Credentials::new(credentials.secret_id(), KEY.into(), token, None);
        held(credentials.clone()).events_state().await.unwrap();
        let refused = held(without.unwrap()).events_state().await;
        assert_eq!(code(refused), "AuthFailure.TokenFailure");
        let refused = held(other.unwrap()).events_state().await;
        assert_eq!(code(refused), "AuthFailure.SignatureFailure");
        until(|| credentials.expires().unwrap() < Utc::now()).await;
        let refused = held(credentials).events_state().await;
        assert_eq!(code(refused), "AuthFailure.TokenFailure");
    }

    #[tokio::test]
    async fn it_is_assumed_once_for_all_callers_and_again_before_its_keys_expire() {
        let server = Server::start(sessions(Duration::from_secs(4))).await;
        let role = role(&server.url);
        let first = role.credentials().await.unwrap();
        for same in join_all((0..20).map(|_| role.credentials())).await {
            assert_eq!(same.unwrap(), first);
        }
        assert_eq!(granted(&server, ApiAction::AssumeRole), 1);
        let second = loop {
            let second = role.credentials().await.unwrap();
            if second != first {
                break second;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(second.expires() > first.expires());
        assert_eq!(granted(&server, ApiAction::AssumeRole), 2);
        for other in join_all((0..20).map(|_| role.refresh(&second))).await {
            assert_ne!(other.unwrap(), second, "the API did not take it");
        }
        assert_eq!(granted(&server, ApiAction::AssumeRole), 3);
    }

    #[tokio::test]
    async fn it_is_signed_as_sts_has_it() {
        let server = LocalServer::replying(vec![Reply::error("InternalError")]).await;
        let more = "token = \"of-the-key\"\nrole_session_name = \"night@site\"\n\
                    role_duration = \"1h\"";
        let table = table(&server.url(), "\"k\"", more);
        broken(provider(Some(&table)).unwrap().credentials().await);
        let request = &server.seen()[0];
        for (name, value) in [
            ("X-TC-Action", "AssumeRole"),
            ("X-TC-Version", "2018-08-13"),
            ("X-TC-Region", "ap-guangzhou"),
            ("X-TC-Token", "of-the-key"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert!(request.header("Authorization").unwrap().contains("/sts/tc3_request"));
        let expected = r#"{"RoleArn":"qcs::cam::uin/100000000001:roleName/emulator","RoleSessionName":"night@site","DurationSeconds":3600}"#;
        assert_eq!(request.body, expected);
    }

    #[tokio::test]
    async fn a_refusal_says_what_where_and_what_to_do() {
        let cloud = EmulatorSettings {
            role: AssumableRole {
                arn: "qcs::cam::uin/1:roleName/other".to_owned(),
                ..AssumableRole::default()
            },
            ..EmulatorSettings::default()
        };
        let server = Server::start(cloud).await;
        let role = role(&server.url);
        let reason = broken(role.credentials().await);
        let host = server.url.strip_prefix("http://").unwrap();
        for part in [
            &format!(
                "role {} through STS ({host}): AssumeRole failed",
                AssumableRole::default().arn
            ),
            "ResourceNotFound.RoleNotFound",
            "RequestId ",
            "check that the role exists (role_arn",
        ] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        assert!(reason.starts_with(&role.describe()), "{reason}");
        let wrong = table(&server.url, "\"hunter2-hunter2\"", "");
        let reason = broken(provider(Some(&wrong)).unwrap().credentials().await);
        assert!(reason.contains("AuthFailure.SignatureFailure"), "{reason}");
        assert!(reason.contains("check that secret_key belongs to secret_id"), "{reason}");
        // A role that is there now is taken without a restart.
        server.control.set_role(AssumableRole::default());
        role.credentials().await.unwrap();
    }

    #[tokio::test]
    async fn its_key_is_read_again_when_it_is_refused() {
        let server = Server::start(EmulatorSettings::default()).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "old-secret-key").unwrap();
        let table = table(&server.url, &format!("{{ file = {path:?} }}"), "");
        let role = assume_role(&table, Duration::ZERO).unwrap().unwrap();
        assert!(broken(role.credentials().await).contains("SignatureFailure"));
        std::fs::write(&path, KEY).unwrap();
        role.credentials().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let credentials = role.credentials().await.unwrap();
        role.refresh(&credentials).await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_clock_is_set_right_for_signing_and_for_expiry() {
        let server = Server::start(EmulatorSettings::default()).await;
        server.control.set_clock_offset(TimeDelta::hours(5));
        let role = role(&server.url);
        let credentials = role.credentials().await.unwrap();
        let left = credentials.expires().unwrap() - Utc::now();
        assert!((7100..=7300).contains(&left.num_seconds()), "{left}");
        role.credentials().await.unwrap();
        assert_eq!(granted(&server, ApiAction::AssumeRole), 1);
        client(&server, Arc::new(role)).events_state().await.unwrap();
    }

    /// Nothing of what was sent or came back is told, at any level.
    #[tokio::test]
    async fn no_secret_is_told() {
        let (log, _guard) = capture_log();
        let server = LocalServer::start(|request, number| {
            let echo = format!("{} {}", request.header("Authorization").unwrap(), request.body);
            let keys = r#""TmpSecretId":"AKIDTMP","TmpSecretKey":"hunter2-of-sts","Token":"#;
            match number {
                // A refused key is tried once more, if it is another.
                0 => Reply::json(&serde_json::json!({"Response": {"Error": {
                    "Code": "InternalError", "Message": echo }, "RequestId": echo }}).to_string()),
                1 => Reply::json(&format!(r#"{{"Response":{{"Credentials":{{{keys}"hunter2"#)),
                2 => Reply::json(&format!(r#"{{"Response":{{"Credentials":{{{keys}7}}}}}}"#)),
                3 => Reply::json(&format!(r#"{{"Response":{{"Credentials":{{{keys}"t"}}}}}}"#)),
                4 => Reply::json(&format!(
                    r#"{{"Response":{{"Credentials":{{{keys}" hunter2"}},"ExpiredTime":1}}}}"#
                )),
                5 => Reply::new(502, &[], b"hunter2-of-sts"),
                _ => Reply::json(&format!(
                    r#"{{"Response":{{"Credentials":{{{keys}"hunter2"}},"ExpiredTime":9000000000}}}}"#
                )),
            }
        })
        .await;
        let table = table(&server.url(), "\"hunter2-of-the-file\"", "");
        let role = assume_role(&table, Duration::ZERO).unwrap().unwrap();
        let mut told = String::new();
        for _ in 0..6 {
            told.push_str(&broken(role.credentials().await));
        }
        let credentials = role.credentials().await.unwrap();
        told.push_str(&format!("{role:?} {credentials:?} {table:?} {}", log.text()));
        assert!(!told.contains("hunter2"), "{told}");
        assert!(!told.contains("Signature=") || told.contains("Signature=[hidden]"), "{told}");
        for part in ["InternalError", "not one of the API", "no ExpiredTime", "HTTP 502"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

mod of_a_pod {
    use super::*;

    fn identity(token: &str) -> AssumableRole {
        let identity = TrustedIdentity { provider_id: "cls-1".to_owned(), token: token.into() };
        AssumableRole { identity: Some(identity), ..AssumableRole::default() }
    }

    fn variables(token_file: &Path) -> HashMap<&'static str, String> {
        HashMap::from([
            ("TKE_REGION", "ap-shanghai".to_owned()),
            ("TKE_PROVIDER_ID", "cls-1".to_owned()),
            ("TKE_WEB_IDENTITY_TOKEN_FILE", token_file.to_str().unwrap().to_owned()),
            ("TKE_ROLE_ARN", AssumableRole::default().arn),
        ])
    }

    fn pod(variables: HashMap<&'static str, String>, sts: &str) -> RenewedCredentials {
        let lookup = move |name: &str| variables.get(name).map(Into::into);
        web_identity(Variables::from_fn(lookup), sts, Duration::ZERO).unwrap()
    }

    #[tokio::test]
    async fn its_token_is_read_anew_at_each_renewal() {
        let max_session = Duration::from_secs(3);
        let of = |token: &str| AssumableRole { max_session, ..identity(token) };
        let cloud = EmulatorSettings { role: of("first-token"), ..EmulatorSettings::default() };
        let server = Server::start(cloud).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first-token\n").unwrap();
        let pod = Arc::new(pod(variables(&path), &server.url));
        let client = client(&server, pod.clone());
        let grants = || granted(&server, ApiAction::AssumeRoleWithWebIdentity);
        client.events_state().await.unwrap();
        for (n, token) in [(1, "second-token"), (2, "third-token")] {
            std::fs::write(&path, token).unwrap();
            server.control.set_role(of(token));
            while grants() == n {
                client.events_state().await.unwrap();
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            assert_eq!(grants(), n + 1);
        }
        let refusals =
            |code| server.control.totals().calls_of(ApiAction::AssumeRoleWithWebIdentity, code);
        assert_eq!(refusals("UnauthorizedOperation"), 0);

        // A token that is no longer trusted: the old keys stay while they are good.
        let (log, _guard) = capture_log();
        let current = pod.credentials().await.unwrap();
        server.control.set_role(of("another-token"));
        until(|| current.expires().unwrap() < Utc::now() + TimeDelta::milliseconds(300)).await;
        if current.expires().unwrap() > Utc::now() + TimeDelta::milliseconds(100) {
            assert_eq!(pod.credentials().await.unwrap(), current);
        }
        until(|| current.expires().unwrap() < Utc::now()).await;
        let reason = broken(pod.credentials().await);
        for part in [
            &format!("role {} through STS", AssumableRole::default().arn),
            "AssumeRoleWithWebIdentity failed: UnauthorizedOperation",
            "RequestId ",
            "the role's trust policy",
        ] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        assert!(!reason.contains("third-token") && !log.text().contains("third-token"));
    }

    #[tokio::test]
    async fn it_is_asked_for_as_the_official_tools_do_and_the_token_is_not_told() {
        let server = LocalServer::start(|request, _| {
            let echo = serde_json::json!({ "Response": { "Error": {
                "Code": "InvalidParameter.ParamError", "Message": request.body,
            }, "RequestId": "r-1" } });
            Reply::json(&echo.to_string())
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hunter2.hunter2.hunter2").unwrap();
        let reason = broken(pod(variables(&path), &server.url()).credentials().await);
        assert!(reason.contains("RequestId r-1") && !reason.contains("hunter2"), "{reason}");
        let request = &server.seen()[0];
        for (name, value) in [
            ("X-TC-Action", Some("AssumeRoleWithWebIdentity")),
            ("X-TC-Version", Some("2018-08-13")),
            ("X-TC-Region", Some("ap-shanghai")),
            ("Authorization", Some("SKIP")),
            ("X-TC-Token", None),
        ] {
            assert_eq!(request.header(name), value, "{name}");
        }
        let expected = r#"{"RoleArn":"qcs::cam::uin/100000000001:roleName/emulator","RoleSessionName":"sprited","DurationSeconds":7200,"ProviderId":"cls-1","WebIdentityToken":"hunter2.hunter2.hunter2"}"#;
        assert_eq!(request.body, expected);
    }

    #[tokio::test]
    async fn nothing_is_not_here_and_half_of_it_is_broken() {
        let server = LocalServer::replying(vec![Reply::Reset]).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let ask = async |variables| pod(variables, &server.url()).credentials().await;
        for none in [HashMap::new(), HashMap::from([("TKE_REGION", "ap-shanghai".to_owned())])] {
            let missing = ask(none).await.unwrap_err();
            assert!(matches!(missing, ProviderError::NotFound(_)), "{missing}");
            assert!(missing.to_string().contains("TKE_ROLE_ARN"), "{missing}");
        }
        for name in variables(&path).into_keys() {
            let mut some = variables(&path);
            some.insert(name, String::new());
            let reason = broken(ask(some).await);
            assert!(reason.starts_with(&format!("{name} not set")), "{reason}");
        }
        let reason = broken(ask(variables(&path)).await);
        assert!(reason.contains("TKE_WEB_IDENTITY_TOKEN_FILE"), "{reason}");
        assert!(reason.contains(path.to_str().unwrap()), "{reason}");
        assert!(server.seen().is_empty());
    }

    #[test]
    fn its_role_is_looked_for_before_that_of_the_machine_below() {
        let places = Chain::standard().unwrap().describe();
        let at = |place: &str| places.find(place).unwrap_or_else(|| panic!("{place}: {places}"));
        assert!(at("environment") < at("profile"));
        assert!(at("profile") < at("web identity"));
        assert!(at("web identity") < at("instance role"));
    }
}
