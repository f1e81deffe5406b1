//! The handle an event is handed out under.
//!
//! A handle is a number that looks like the cloud's and reveals nothing. To the
//! queue it stands for one hand-out of one event, so no table of handles is kept. Knows nothing
//! of the rest of the emulator.

use std::fmt;

/// The attempts are counted modulo this: 16 million hand-outs of one event before a handle comes
/// again.
const ATTEMPT_BITS: u32 = 24;

/// One hand-out of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandOutId {
    pub(super) event: u64,
    pub(super) attempt: u32,
}

/// A handle as it is sent: the number of a hand-out, scrambled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handle(u64);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// Makes handles and reads them. Two with different seeds do not know each other's handles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handles {
    seed: u64,
}

impl Handles {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    pub(super) fn of(self, id: HandOutId) -> Handle {
        let attempt = u64::from(id.attempt) & ((1 << ATTEMPT_BITS) - 1);
        Handle(scramble(((id.event << ATTEMPT_BITS) | attempt) ^ self.seed))
    }

    /// What `text` stands for; `None` if it cannot have been made here. A foreign number may by
    /// chance stand for a hand-out that never was: the queue finds no such event.
    pub(super) fn read(self, text: &str) -> Option<(Handle, HandOutId)> {
        let handle = Handle(text.parse().ok()?);
        if text.len() != 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = unscramble(handle.0) ^ self.seed;
        let attempt = u32::try_from(number & ((1 << ATTEMPT_BITS) - 1)).ok()?;
        Some((handle, HandOutId { event: number >> ATTEMPT_BITS, attempt }))
    }
}

/// The finalizer of the splitmix64 generator: one to one over 64 bits, so that distinct hand-outs
/// have distinct handles.
pub(super) fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn unscramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    z ^ (z >> 30) ^ (z >> 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_back_as_the_hand_out_it_was_made_for() {
        let handles = Handles::new(0x1234_5678_9abc_def0);
        for event in [1, 2, 3, 1_000_000, (1 << 40) - 1] {
            for attempt in [1, 2, 77, (1 << ATTEMPT_BITS) - 1] {
                let id = HandOutId { event, attempt };
                let handle = handles.of(id);
                assert_eq!(handles.read(&handle.to_string()), Some((handle, id)));
            }
        }
    }

    #[test]
    fn other_text_is_no_handle() {
        let handles = Handles::new(7);
        let handle = handles.of(HandOutId { event: 1, attempt: 1 }).to_string();
        for text in
            ["", "x", "1", &handle[1..], &format!("0{handle}"), &format!("+{}", &handle[1..])]
        {
            assert_eq!(handles.read(text), None, "{text}");
        }
    }

    #[test]
    fn handles_of_another_seed_stand_for_no_event_of_this_one() {
        let id = HandOutId { event: 1, attempt: 1 };
        let foreign = Handles::new(7).of(id).to_string();
        assert_ne!(Handles::new(8).read(&foreign).map(|(_, id)| id), Some(id));
    }
}
