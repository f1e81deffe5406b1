//! A panic that is real: the system gives the runtime no thread.

use std::time::Duration;

use super::super::{Site, file};
use super::exposed::Nobody;

#[tokio::test]
async fn a_panic_tells_its_place_and_nothing_that_was_in_hand() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let nobody = Nobody::of(&site);
    // One process, which it is itself: not a thread more.
    let mut daemon = nobody.start(&["run"], &["prlimit", "--nproc=1"]);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 101);
    let said = daemon.log();
    let told = said.lines().find(|line| line.contains("panicked at ")).expect(&said);
    assert!(told.ends_with(": this is a bug in sprited, please report it"), "{said}");
    // Its words were put together from what the system said; others may be from a secret.
    assert!(!said.contains("OS can't spawn worker thread"), "{said}");
    assert!(!said.contains("Resource temporarily unavailable"), "{said}");
}
