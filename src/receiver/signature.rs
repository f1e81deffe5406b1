//! The signature of a posted event: `Sign` is the MD5 of the SignKey and of `T`, the Unix time at
//! which it expires. Pure: the time is passed in.
//!
//! It covers no byte of the event; and who knows one signature can make others, by MD5's length
//! extension, unless `T` is nothing but digits. So that is looked at before anything is hashed.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// How far this machine's clock may be ahead of the cloud's.
const EXPIRY_GRACE: i64 = 60;
/// The most digits of `T`: it has 64 bits.
const MAX_DIGITS: usize = 19;

/// `Sign` and `T`, as they were found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signed<'a> {
    pub(super) sign: Option<&'a str>,
    pub(super) expires: Option<&'a str>,
}

impl<'a> Signed<'a> {
    /// Both; `None` if one of them is missing.
    fn both(self) -> Option<(&'a str, &'a str)> {
        self.sign.zip(self.expires)
    }
}

/// Why an event does not count as the cloud's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureError {
    /// `Sign` or `T` is missing, malformed or wrong.
    Invalid,
    /// The signature is right, and its time is over.
    Expired,
}

/// Verifies what stands at the first of these places that has both values, by any of `keys`; `now`
/// in Unix seconds.
pub(super) fn verify<'a>(
    keys: &[Secret],
    places: impl IntoIterator<Item = Signed<'a>>,
    now: i64,
) -> Result<(), SignatureError> {
    let found = places.into_iter().find_map(Signed::both);
    let (sign, expires) = found.ok_or(SignatureError::Invalid)?;
    let until = seconds(expires).ok_or(SignatureError::Invalid)?;
    let sign = sign.to_ascii_lowercase();
    let mut is_right = subtle::Choice::from(0);
    for key in keys {
        let key = key.expose();
        // The documents have the key first; a sister product of the cloud has it last.
        for parts in [[key, expires], [expires, key]] {
            is_right |= hex(parts).as_bytes().ct_eq(sign.as_bytes());
        }
    }
    if !bool::from(is_right) {
        return Err(SignatureError::Invalid);
    }
    if until < now.saturating_sub(EXPIRY_GRACE) {
        return Err(SignatureError::Expired);
    }
    Ok(())
}

/// The Unix time that `text` is, if it is written as a number and not otherwise.
fn seconds(text: &str) -> Option<i64> {
    let is_plain = text.len() <= MAX_DIGITS
        && !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit());
    // Of 19 digits not all have room.
    is_plain.then(|| text.parse().ok())?
}

fn hex(parts: [&str; 2]) -> String {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns what `key` signs with, for a sample that the receiver is to accept.
pub(super) fn sign(key: &Secret, expires: i64) -> String {
    hex([key.expose(), &expires.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Ab3dEf6hIj9k";
    /// T, and its signature by [`KEY`].
    const VECTORS: [(&str, &str); 4] = [
        ("1796004600", "b4763a4aa6a03605e93c2abd58be15a7"),
        ("1796004605", "6395213c57db1ad48e283e01c34e368a"),
        ("1614151508", "c1651ec986abbb18b60e34ea357cf9a9"),
        ("9223372036854775807", "950736b97d07b7aefff7427c5e1f5d75"),
    ];

    fn check(keys: &[&str], sign: &str, expires: &str, now: i64) -> Result<(), SignatureError> {
        let keys: Vec<_> = keys.iter().map(|key| Secret::from(*key)).collect();
        verify(&keys, [Signed { sign: Some(sign), expires: Some(expires) }], now)
    }

    #[test]
    fn what_the_cloud_signs_is_taken_in_both_orders_and_either_case() {
        for (expires, sign) in VECTORS {
            assert_eq!(check(&[KEY], sign, expires, 0), Ok(()), "{expires}");
            assert_eq!(check(&[KEY], &sign.to_uppercase(), expires, 0), Ok(()), "{expires}");
            assert_eq!(check(&["other", KEY], sign, expires, 0), Ok(()), "{expires}");
            let wrong = Err(SignatureError::Invalid);
            assert_eq!(check(&["other"], sign, expires, 0), wrong);
            assert_eq!(check(&[], sign, expires, 0), wrong);
            assert_eq!(check(&[KEY], &sign[1..], expires, 0), wrong);
            assert_eq!(check(&[KEY], &format!("{sign} "), expires, 0), wrong);
        }
        let reversed = "19c27edbb9b2db2d62b2bf93835ca5ae";
        assert_eq!(check(&[KEY], reversed, "1796004600", 0), Ok(()));
        let longest = "A".repeat(32);
        let sign = "7a744f3d5d23342f870e9ccf1e3148dc";
        assert_eq!(check(&[&longest], sign, "1796004600", 0), Ok(()));
        // One that a sister product publishes.
        let published = "b9454ab5a85f9b7ad36071f5688ed34d";
        assert_eq!(check(&["NjFGoDEy"], published, "1614151508", 0), Ok(()));
        assert_eq!(super::sign(&Secret::from(KEY), 1_796_004_600), VECTORS[0].1);
    }

    /// Some of them have a right MD5 of what they say.
    #[test]
    fn what_is_no_plain_number_is_refused_before_anything_is_hashed() {
        let forged = "1796004600\u{80}";
        for expires in [
            "",
            "0",
            "-1",
            "01796004600",
            "1.7e9",
            " 1796004600",
            "1796004600 ",
            "1796004600\n",
            "+1796004600",
            "17960046000000000000",
            "9999999999999999999",
            "null",
            "١٧٩٦٠٠٤٦٠٠",
            forged,
        ] {
            let sign = hex([KEY, expires]);
            let checked = check(&[KEY], &sign, expires, 0);
            assert_eq!(checked, Err(SignatureError::Invalid), "{expires:?}");
        }
        // The digits of a key that ends in one are not those of the time; but they may be.
        assert_eq!(check(&["abc1"], &hex(["abc", "1700000000"]), "700000000", 0), Ok(()));
    }

    #[test]
    fn an_expired_one_has_a_minute_of_grace() {
        let (expires, sign) = VECTORS[0];
        let at = |late: i64| check(&[KEY], sign, expires, 1_796_004_600 + late);
        assert_eq!((at(0), at(60)), (Ok(()), Ok(())));
        assert_eq!(at(61), Err(SignatureError::Expired));
        assert_eq!(check(&[KEY], "0", expires, i64::MAX), Err(SignatureError::Invalid));
    }

    #[test]
    fn the_first_place_with_both_values_decides() {
        let keys = [Secret::from(KEY)];
        let (expires, sign) = VECTORS[0];
        let right = Signed { sign: Some(sign), expires: Some(expires) };
        let wrong = Signed { sign: Some("0"), expires: Some(expires) };
        let half = Signed { sign: Some(sign), expires: None };
        let none = Signed::default();
        assert_eq!(verify(&keys, [none, half, right], 0), Ok(()));
        assert_eq!(verify(&keys, [right, wrong], 0), Ok(()));
        for places in [[wrong, right, right], [none, none, half], [none, none, none]] {
            assert_eq!(verify(&keys, places, 0), Err(SignatureError::Invalid), "{places:?}");
        }
    }
}
