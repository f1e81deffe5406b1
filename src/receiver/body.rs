//! Reads the body of a request within its limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::refusal::ReceiveRefusal;

/// Bytes of all bodies in hand at most.
pub(super) const MAX_BYTES_IN_HAND: usize = 64 * 1024 * 1024;
/// The time for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much is reserved for a body at a time, so that one that never comes takes no more.
const RESERVATION: usize = 64 * 1024;

/// A body.
pub(super) struct ReceivedBody {
    pub(super) bytes: Vec<u8>,
    /// It counts as in hand until this is dropped, in whatever form.
    pub(super) reserved: OwnedSemaphorePermit,
}

/// What has come of a body, whose connection may end meanwhile.
struct PartialBody<F: Fn(usize)> {
    bytes: Vec<u8>,
    cut: Option<F>,
}

impl<F: Fn(usize)> Drop for PartialBody<F> {
    fn drop(&mut self) {
        if let Some(cut) = &self.cut {
            cut(self.bytes.len());
        }
    }
}

/// How much of all bodies may still be taken in hand.
pub(super) fn budget() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_BYTES_IN_HAND))
}

/// Reads a body of at most `max` bytes. On a refusal also returns how much of it was read; where
/// this is dropped before its end, `cut` is told that.
pub(super) async fn read(
    body: Body,
    max: usize,
    budget: &Arc<Semaphore>,
    cut: impl Fn(usize),
) -> Result<ReceivedBody, (ReceiveRefusal, usize)> {
    let mut partial = PartialBody { bytes: Vec::new(), cut: Some(cut) };
    let read = read_into(&mut partial.bytes, body, max, budget).await;
    partial.cut = None;
    let bytes = std::mem::take(&mut partial.bytes);
    match read {
        Ok(reserved) => Ok(ReceivedBody { bytes, reserved }),
        Err((refusal, more)) => Err((refusal, bytes.len() + more)),
    }
}

/// On a refusal also returns how much was read beyond `bytes`.
async fn read_into(
    bytes: &mut Vec<u8>,
    body: Body,
    max: usize,
    budget: &Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, (ReceiveRefusal, usize)> {
    let declared = body.size_hint().exact();
    if declared.is_some_and(|bytes| bytes > max as u64) {
        return Err((ReceiveRefusal::Size, 0));
    }
    let declared = declared.and_then(|bytes| usize::try_from(bytes).ok());
    let deadline = Instant::now() + BODY_TIMEOUT;
    let mut held = declared.unwrap_or(RESERVATION).clamp(1, RESERVATION);
    let mut reserved =
        reserve(budget, held, deadline).await.ok_or((ReceiveRefusal::Unstored, 0))?;
    bytes.reserve_exact(held);
    let mut parts = body.into_data_stream();
    loop {
        let part = match timeout_at(deadline, parts.next()).await {
            Ok(Some(Ok(part))) => part,
            Ok(Some(Err(_))) => return Err((ReceiveRefusal::Aborted, 0)),
            Ok(None) => return Ok(reserved),
            Err(_) => return Err((ReceiveRefusal::Slow, 0)),
        };
        let length = bytes.len() + part.len();
        if length > max {
            return Err((ReceiveRefusal::Size, part.len()));
        }
        if length > held {
            let more = (length - held).max(RESERVATION.min(max - held));
            let more = reserve(budget, more, deadline).await;
            reserved.merge(more.ok_or((ReceiveRefusal::Unstored, 0))?);
            held = reserved.num_permits();
        }
        bytes.extend_from_slice(&part);
    }
}

/// Waits for so many bytes; `None` if they are not free in time.
async fn reserve(
    budget: &Arc<Semaphore>,
    bytes: usize,
    deadline: Instant,
) -> Option<OwnedSemaphorePermit> {
    let bytes = u32::try_from(bytes).ok()?;
    timeout_at(deadline, budget.clone().acquire_many_owned(bytes)).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt, stream};

    use super::*;

    async fn read(
        body: Body,
        max: usize,
        budget: &Arc<Semaphore>,
    ) -> Result<ReceivedBody, (ReceiveRefusal, usize)> {
        super::read(body, max, budget, |_| panic!("it has not been dropped")).await
    }

    /// A body whose length is not declared.
    fn in_parts(parts: usize, each: usize) -> Body {
        let part = vec![b'a'; each];
        Body::from_stream(stream::iter((0..parts).map(move |_| Ok::<_, Infallible>(part.clone()))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_counted_while_it_is_read_and_as_long_as_it_is_in_hand() {
        let budget = budget();
        let free = || MAX_BYTES_IN_HAND - budget.available_permits();
        let small = read(Body::from("abc"), 100, &budget).await.ok().unwrap();
        assert_eq!((&*small.bytes, free()), (b"abc".as_slice(), 3));
        let empty = read(Body::empty(), 100, &budget).await.ok().unwrap();
        assert!(empty.bytes.is_empty());
        drop((small, empty));
        assert_eq!(free(), 0);
        let large = read(in_parts(100, 1000), 100_000, &budget).await.ok().unwrap();
        assert_eq!((large.bytes.len(), free()), (100_000, 100_000));
        let endless = read(in_parts(usize::MAX, 1000), 100_000, &budget).await.err().unwrap();
        assert_eq!(endless, (ReceiveRefusal::Size, 101_000));
        let declared = read(Body::from(vec![0; 101]), 100, &budget).await.err().unwrap();
        assert_eq!(declared, (ReceiveRefusal::Size, 0));
        drop(large);
        assert_eq!(free(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_in_time_is_refused() {
        let budget = budget();
        let start = Instant::now();
        let nothing = Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
        assert_eq!(read(nothing, 100, &budget).await.err().unwrap(), (ReceiveRefusal::Slow, 0));
        assert_eq!(start.elapsed(), BODY_TIMEOUT);
        let all = u32::try_from(MAX_BYTES_IN_HAND).unwrap();
        let taken = budget.clone().acquire_many_owned(all).await.unwrap();
        let start = Instant::now();
        let refused = read(Body::from("abc"), 100, &budget).await.err().unwrap();
        assert_eq!((refused, start.elapsed()), ((ReceiveRefusal::Unstored, 0), BODY_TIMEOUT));
        drop(taken);
        let broken = stream::iter([Ok(vec![1]), Err(std::io::Error::other("gone"))]);
        let refused = read(Body::from_stream(broken), 100, &budget).await.err().unwrap();
        assert_eq!(refused, (ReceiveRefusal::Aborted, 1));
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_before_its_end_is_told_of() {
        let budget = budget();
        let begun = stream::iter([Ok::<_, Infallible>(vec![1; 7])]).chain(stream::pending());
        let told = AtomicUsize::new(0);
        let cut = |bytes| told.store(bytes, Ordering::Relaxed);
        assert!(super::read(Body::from_stream(begun), 100, &budget, cut).now_or_never().is_none());
        assert_eq!(told.load(Ordering::Relaxed), 7);
        assert_eq!(budget.available_permits(), MAX_BYTES_IN_HAND);
    }
}
