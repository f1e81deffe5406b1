//! Whether the store can be written to, and whether players get what is in it: for `sprited check`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use reqwest::{Response, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Mirror;
use super::copies::Copies;
use super::store::StoreError;
use crate::net;

/// The file that is written, read and removed again.
const PROBE_NAME: &str = ".sprited-probe";

/// Another site than that of the copies, as one on which players stand may be.
const OTHER_SITE: &str = "https://players.example";

/// How long its URL may take to answer.
const PUBLIC_TIMEOUT: Duration = Duration::from_secs(10);

impl Mirror {
    /// Makes the system calls that a delivery makes.
    pub(super) async fn probe_store(&self) -> anyhow::Result<()> {
        let text = probe_text();
        self.write_probe(&text).await?;
        self.remove_probe().await
    }

    /// What an operator should know of the way to the copies and from their sources.
    pub(super) async fn warnings_of_players(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let text = probe_text();
        match self.write_probe(&text).await {
            Ok(()) => {
                let url = self.copies.public_url.of(PROBE_NAME);
                warnings.extend(self.problem_at(&url, text.as_bytes()).await);
                warnings.extend(self.remove_probe().await.err().map(|error| format!("{error:#}")));
            }
            Err(error) => warnings.push(format!("{error:#}")),
        }
        if self.fetcher.is_behind_proxy() {
            warnings.push(
                "a proxy asks for the sprites' files: only their names are checked, not the \
                 addresses that these lead to; set hosts"
                    .to_owned(),
            );
        }
        warnings
    }

    /// What is wrong with what players get for that URL.
    async fn problem_at(&self, url: &str, text: &[u8]) -> Option<String> {
        let asked = async {
            let client = spawn_blocking(|| net::client_builder(PUBLIC_TIMEOUT).build()).await;
            let Ok(Ok(client)) = client else {
                return Err("cannot make the HTTP client".to_owned());
            };
            let answer = client.get(url).header(ORIGIN, OTHER_SITE).send().await;
            let answer = answer
                .map_err(|error| net::with_causes("no answer".to_owned(), &error.without_url()))?;
            Ok(judge(answer, text).await)
        };
        let problem = match timeout(PUBLIC_TIMEOUT, asked).await {
            Ok(Ok(problem)) => problem,
            Ok(Err(error)) => Some(format!("cannot be reached from here: {error}")),
            Err(_) => Some(format!("cannot be reached from here: no answer in {PUBLIC_TIMEOUT:?}")),
        };
        problem.map(|problem| format!("{url} {problem}"))
    }

    async fn write_probe(&self, text: &str) -> anyhow::Result<()> {
        let text = text.to_owned();
        self.on_store(move |this| this.store.write_probe(PROBE_NAME, text.as_bytes())).await
    }

    async fn remove_probe(&self) -> anyhow::Result<()> {
        self.on_store(|this| this.store.remove_probe(PROBE_NAME)).await
    }

    async fn on_store(
        &self,
        work: impl FnOnce(&Copies) -> Result<(), StoreError> + Send + 'static,
    ) -> anyhow::Result<()> {
        let copies = Arc::clone(&self.copies);
        Ok(spawn_blocking(move || work(&copies)).await??)
    }
}

/// Unlike any other: what a cache still has is not taken for it.
fn probe_text() -> String {
    format!("sprited {:032x}\n", rand::random::<u128>())
}

async fn judge(mut answer: Response, text: &[u8]) -> Option<String> {
    let status = answer.status();
    match status {
        StatusCode::OK => {}
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            return Some(format!(
                "answers {status}: public_url does not lead to the folder, its server may not read it, \
                 or it refuses names that begin with a dot"
            ));
        }
        status if status.is_redirection() => {
            return Some(format!("answers {status}: set public_url to where that leads"));
        }
        status => return Some(format!("answers {status}")),
    }
    let allowed = answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
    let is_allowed = allowed.is_some_and(|to| matches!(to.as_bytes(), b"*"))
        || allowed.is_some_and(|to| to.as_bytes() == OTHER_SITE.as_bytes());
    let mut body = Vec::new();
    while body.len() <= text.len()
        && let Ok(Some(part)) = answer.chunk().await
    {
        body.extend_from_slice(&part);
    }
    if body != text {
        return Some(
            "has other bytes than were written: public_url leads elsewhere, or a cache answers"
                .to_owned(),
        );
    }
    (!is_allowed).then(|| {
        "comes without Access-Control-Allow-Origin for every site: players on other sites will show \
         nothing"
            .to_owned()
    })
}
