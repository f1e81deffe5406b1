//! Whom the process works as, and what others of that user see of it.
//!
//! The journal's folder belongs to the service's user, and root has commands run there. A link in
//! it could lead root to any file of the machine. So root becomes the folder's owner before it
//! touches anything there, for good; or for the time of some work, where it still needs its rights.
//! Whatever that user plants, it can then lead only where that user could go itself.

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgrouplist, getgroups, getresuid, setegid, seteuid,
    setgroups, setresgid, setresuid,
};

/// Links that are followed on one way, as the kernel has it.
const MAX_LINKS: usize = 40;

/// What to say of root that goes on as root, and writes where somebody else has a say.
pub const ASTRAY: &str = "root writes in the folder of somebody else, who can lead it to any file by a \
                          link: run sprited as that user, or have the journal in that folder, too";

/// The one that this process has become for good.
static BECAME: OnceLock<Owner> = OnceLock::new();

/// Keeps other programs of the same user from reading this process's memory, environment and open
/// files, and the kernel from writing it to a file when it crashes. To be called again after a
/// change of the user, which undoes it; [`Owner`] does.
///
/// # Errors
/// When the system refuses.
pub fn hide_memory() -> io::Result<()> {
    Ok(set_dumpable(false)?)
}

/// Somebody else than root to whom a place belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
    name: Option<String>,
    place: PathBuf,
}

/// Why root does not go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum IdentityError {
    #[error(
        "cannot tell whose {} is, and root does not work in a folder of somebody else: {source}; \
         run sprited as the user it belongs to: sudo -u NAME sprited …",
        path.display()
    )]
    Unknown { path: PathBuf, source: io::Error },
    #[error(
        "{} belongs to {owner}, where root could be led to any file by a link, and sprited, started \
         as root, cannot become that user: {source}; run it as that user: {} (in a container: \
         --user {}:{}), or leave it CAP_SETUID and CAP_SETGID",
        owner.place.display(), owner.command(), owner.user, owner.group
    )]
    Kept { owner: Owner, source: io::Error },
}

/// As users are called in messages: `sprited (997)`, or `user 997` where it has no name.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.user),
            None => write!(f, "user {}", self.user),
        }
    }
}

/// Whom this process became, if it was started as root and became somebody else for good.
#[must_use]
pub fn became() -> Option<&'static Owner> {
    BECAME.get()
}

/// As root, becomes the owner of the place at `path` for good, if that is somebody else; whom.
/// Blocks for some system calls.
///
/// # Errors
/// When root may not, or could not be kept from becoming root again. Nothing may be touched at
/// `path` then.
pub fn become_owner(path: &Path) -> Result<Option<&'static Owner>, IdentityError> {
    let Some(owner) = Owner::of(path)? else { return Ok(None) };
    owner.assume().map_err(|source| IdentityError::Kept { owner: owner.clone(), source })?;
    Ok(Some(BECAME.get_or_init(|| owner)))
}

impl Owner {
    /// Whoever besides root has a say in what stands at `path`, which need not be there: the owner
    /// of its folder, or of the nearest folder above it, or of the last link on the way there, that
    /// is not root's. Where all of them are root's, but others may write to the folder, the owner
    /// of the file. `None` if there is nobody but root, or this process is not root. Blocks for
    /// some system calls.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn of(path: &Path) -> Result<Option<Self>, IdentityError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let unknown = |source| IdentityError::Unknown { path: path.to_owned(), source };
        Ok(PathChecker::to(path)
            .map_err(unknown)?
            .owner
            .map(|(place, about)| Self::from(place, &about)))
    }

    /// As whom to open the file at `path` for reading: like [`Owner::of`], but root itself where
    /// that is root's own file, which has no other name and to which no link of somebody else
    /// leads. Root may have put it into the other's folder.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn of_file(path: &Path) -> Result<Option<Self>, IdentityError> {
        let Some(owner) = Self::of(path)? else { return Ok(None) };
        let unknown = |source| IdentityError::Unknown { path: path.to_owned(), source };
        let is_roots = |about: Metadata| about.is_file() && about.uid() == 0 && about.nlink() == 1;
        let is_roots = path.symlink_metadata().is_ok_and(is_roots);
        let is_led = PathChecker::to(path).map_err(unknown)?.is_led;
        Ok((is_led || !is_roots).then_some(owner))
    }

    fn from(place: PathBuf, about: &Metadata) -> Self {
        let (uid, gid) = (Uid::from_raw(about.uid()), Gid::from_raw(about.gid()));
        // A user without a name has the place's group, but never root's.
        let other = if gid.as_raw() == 0 { Gid::from_raw(uid.as_raw()) } else { gid };
        let user = User::from_uid(uid).ok().flatten();
        let group = user.as_ref().map_or(other, |user| user.gid);
        let name = user.map(|user| user.name);
        let groups = name.as_deref().and_then(|name| CString::new(name).ok());
        let groups = groups.and_then(|name| getgrouplist(&name, group).ok());
        let groups = groups.unwrap_or_else(|| vec![group]);
        Self { user: uid, group, groups, name, place }
    }

    /// Where it is that belongs to this user.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// How to run the program as this user.
    fn command(&self) -> String {
        let id = || format!("'#{}'", self.user);
        format!("sudo -u {} sprited …", self.name.clone().unwrap_or_else(id))
    }

    /// Becomes this user, and sees that there is no way back.
    fn assume(&self) -> io::Result<()> {
        setgroups(&self.groups)?;
        setresgid(self.group, self.group, self.group)?;
        setresuid(self.user, self.user, self.user)?;
        let now = getresuid()?;
        let are_root = [now.real, now.effective, now.saved].iter().any(|id| id.is_root());
        if are_root || seteuid(Uid::from_raw(0)).is_ok() {
            return Err(io::Error::other("it could become root again"));
        }
        hide_memory()
    }

    /// Does `work` as this user and is root again after it. Only for a process of one thread: all
    /// of them change. Blocks for as long as the work does.
    ///
    /// # Errors
    /// When it may not become this user, and the work was not done; or root again after it.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> Result<T, IdentityError> {
        let kept = |source| IdentityError::Kept { owner: self.clone(), source };
        let groups = getgroups().map_err(|errno| kept(errno.into()))?;
        let group = getegid();
        let change = || -> Result<(), Errno> {
            setgroups(&self.groups)?;
            setegid(self.group)?;
            seteuid(self.user)
        };
        let restore = || -> Result<(), Errno> {
            seteuid(Uid::from_raw(0))?;
            setegid(group)?;
            setgroups(&groups)
        };
        let done = change().map(|()| work());
        restore().map_err(|errno| kept(errno.into()))?;
        hide_memory().map_err(kept)?;
        done.map_err(|errno| kept(errno.into()))
    }
}

/// What stands on the way to a place, link by link.
struct PathChecker {
    /// The last on it that is not root's.
    owner: Option<(PathBuf, Metadata)>,
    /// Whether a link of somebody else was followed.
    is_led: bool,
}

impl PathChecker {
    fn to(path: &Path) -> io::Result<Self> {
        let known = Known::read();
        let (mut owner, mut is_led) = (None, false);
        let mut at = PathBuf::from("/");
        let mut is_open = false;
        let mut ahead: VecDeque<OsString> = names(&std::path::absolute(path)?).collect();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let about = match fs::symlink_metadata(&next) {
                Ok(about) => about,
                Err(error) if is_absent(&error) => break,
                Err(error) => return Err(error),
            };
            let is_others = about.uid() != 0 && known.has(about.uid());
            if about.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                is_led |= is_others;
                let target = fs::read_link(&next)?;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(name);
                }
            } else if about.is_dir() {
                // Not only who owns it: where others may write, they may have put there what
                // follows.
                is_open = about.mode() & 0o022 != 0;
                at.clone_from(&next);
            } else if owner.is_some() || !is_open {
                break;
            }
            if is_others {
                owner = Some((next, about));
            }
        }
        Ok(Self { owner, is_led })
    }
}

/// The users that there are in this process's user namespace. A file of any other seems to be of
/// one that nobody can become: of the machine's root, mostly, who needs no link to harm this one.
struct Known(Vec<(u32, u32)>);

impl Known {
    fn read() -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
        };
        Self(map.lines().filter_map(range).collect())
    }

    /// All are where that cannot be told.
    fn has(&self, user: u32) -> bool {
        let is_in = |(first, count): &(u32, u32)| user >= *first && user - first < *count;
        self.0.is_empty() || self.0.iter().any(is_in)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The names in a path, with those that lead up.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_knows_the_users_that_are_mapped() {
        let known = Known(vec![(0, 1), (1000, 2)]);
        for (user, is_known) in [(0, true), (1, false), (1001, true), (1002, false), (65534, false)]
        {
            assert_eq!(known.has(user), is_known, "{user}");
        }
        assert!(Known(Vec::new()).has(65534));
        assert!(Known::read().has(geteuid().as_raw()));
    }
}
