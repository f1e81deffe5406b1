//! The body of an answer, as it comes in, within what a file and a sprite may have.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use bytesize::ByteSize;
use reqwest::Response;

use super::error::FetchError;
use super::requests::describe;
use super::rule::Rule;
use super::source::Source;

/// What the files of one sprite have together, of what they may have.
#[derive(Debug)]
pub(super) struct Total {
    limit: u64,
    bytes: AtomicU64,
}

impl Total {
    pub(super) fn of(limit: ByteSize) -> Self {
        Self { limit: limit.as_u64(), bytes: AtomicU64::new(0) }
    }

    /// Counts what came; `None` if that is too much.
    fn add(&self, bytes: u64) -> Option<()> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        (before.saturating_add(bytes) <= self.limit).then_some(())
    }
}

/// The most that a file may have, and the rule that says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cap {
    pub(super) bytes: u64,
    pub(super) rule: Rule,
}

/// A body that is being read.
pub(super) struct Body<'a> {
    response: Response,
    source: &'a Source,
    cap: Cap,
    total: &'a Total,
    bytes: u64,
}

impl<'a> Body<'a> {
    /// The body of an answer, unless that says beforehand that it is too large.
    pub(super) fn of(
        response: Response,
        source: &'a Source,
        cap: Cap,
        total: &'a Total,
    ) -> Result<Self, FetchError> {
        let body = Self { response, source, cap, total, bytes: 0 };
        match body.response.content_length() {
            Some(declared) if declared > cap.bytes => Err(body.too_large()),
            _ => Ok(body),
        }
    }

    /// What comes next; `None` at its end, which is where the answer said it would be.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let chunk = match self.response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(None),
            Err(error) => {
                let problem =
                    format!("it broke off after {} bytes: {}", self.bytes, describe(&error));
                return Err(self.source.unreachable(problem));
            }
        };
        self.bytes += chunk.len() as u64;
        if self.bytes > self.cap.bytes {
            return Err(self.too_large());
        }
        if self.total.add(chunk.len() as u64).is_none() {
            let why = format!(
                "the files of the sprite have more than {} together",
                ByteSize(self.total.limit)
            );
            return Err(FetchError::refused(Rule::MaxTotal, why));
        }
        Ok(Some(chunk))
    }

    /// All of it.
    pub(super) async fn whole(mut self) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn too_large(&self) -> FetchError {
        let why = format!("{} is larger than {}", self.source, ByteSize(self.cap.bytes));
        FetchError::refused(self.cap.rule, why)
    }
}
