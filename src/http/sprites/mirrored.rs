//! A sprite in a mirror, as its manifest and its index say.
//!
//! Others may write where these are. What they say is used neither as a path nor as a URL: the place
//! comes from the event, of the set's name only its pattern is taken, of a sheet only its number and
//! its format. Blocks.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _};

use super::served::MirrorFolder;
use super::store::{open_below, read_whole};
use crate::event::{AppId, ImageSprite};
use crate::http::tile::SheetTile;
use crate::sprite::{
    self, Area, Cue, MANIFEST_VERSION, MAX_MANIFEST_BYTES, MAX_SHEETS, MAX_TEXT_BYTES, Manifest,
    Place, SheetFormat, Tile,
};

/// The longest sheet that is served, in bytes.
const MAX_SHEET: u64 = 256 << 20;
/// The longest side of a sheet that is drawn, in pixels: that of a JPEG.
const MAX_SIDE: u32 = 65_535;

/// The name of the index in a set.
const INDEX: &str = "thumbnails.vtt";

const FORMATS: [SheetFormat; 3] = [SheetFormat::Jpeg, SheetFormat::Png, SheetFormat::Webp];

/// A sprite that a mirror holds.
#[derive(Clone, Debug)]
pub(super) struct MirroredSprite {
    pub(super) mirror: MirrorFolder,
    pub(super) manifest: Manifest,
    place: Place,
    /// `<definition>-<12 hex digits>`
    pub(super) set: String,
    formats: Vec<SheetFormat>,
}

/// What the mirrors have of a sprite.
#[derive(Clone, Debug)]
pub(super) enum Mirrored {
    /// It.
    Here(Box<MirroredSprite>),
    /// Another one of the same definition on the same medium, by its id.
    Replaced(String),
    /// Nothing.
    Nowhere,
    /// What cannot be used: in words.
    Unusable(String),
}

/// A sheet, open.
#[derive(Debug)]
pub(super) struct OpenSheet {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) format: SheetFormat,
}

impl Mirrored {
    /// What the first of these mirrors that has it says of a sprite.
    pub(super) fn find(mirrors: &[MirrorFolder], app: AppId, sprite: &ImageSprite) -> Self {
        let mut best = Self::Nowhere;
        for mirror in mirrors {
            match Self::at(mirror, app, sprite) {
                here @ Self::Here(_) => return here,
                Self::Nowhere => {}
                other => best = other,
            }
        }
        best
    }

    /// The sprite, where it is there.
    pub(super) fn here(self) -> Option<MirroredSprite> {
        match self {
            Self::Here(sprite) => Some(*sprite),
            Self::Replaced(_) | Self::Nowhere | Self::Unusable(_) => None,
        }
    }

    fn at(mirror: &MirrorFolder, app: AppId, sprite: &ImageSprite) -> Self {
        let place = Place::of(app, sprite);
        let unusable = |why: &str| Self::Unusable(format!("{}: {why}", mirror.name));
        let opened = open_below(&mirror.path, &mirror.below(&place.manifest()));
        let bytes = match opened.and_then(|file| read_whole(file, MAX_MANIFEST_BYTES)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::Nowhere,
            Err(error) => return unusable(&format!("the manifest cannot be read: {error}")),
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            return unusable("the manifest is not as sprited writes it");
        };
        if manifest.version != MANIFEST_VERSION {
            return unusable("the manifest is of another version");
        }
        if manifest.sprite != sprite.id {
            let is_id = manifest.sprite.parse::<crate::event::Key>().is_ok();
            return if is_id { Self::Replaced(manifest.sprite) } else { Self::Nowhere };
        }
        match MirroredSprite::of(mirror, place, manifest) {
            Some(mirrored) => Self::Here(Box::new(mirrored)),
            None => unusable("the manifest names what sprited does not write"),
        }
    }
}

impl MirroredSprite {
    fn of(mirror: &MirrorFolder, place: Place, manifest: Manifest) -> Option<Self> {
        let name = place.manifest();
        let definition = name.rsplit('/').next()?.strip_suffix(".json")?;
        let rest = manifest.vtt.strip_suffix(INDEX)?.strip_suffix('/')?;
        let set = rest.rsplit('/').next().filter(|set| is_set(set, definition))?.to_owned();
        if manifest.sheets.is_empty() || manifest.sheets.len() > MAX_SHEETS {
            return None;
        }
        let sides = manifest.sheets.iter().flat_map(|sheet| [sheet.width, sheet.height]);
        if !sides.into_iter().all(|side| (1..=MAX_SIDE).contains(&side)) {
            return None;
        }
        let format = |url: &str| {
            let (_, extension) = url.rsplit_once('.')?;
            FORMATS.into_iter().find(|format| format.extension() == extension)
        };
        let formats: Option<_> = manifest.sheets.iter().map(|sheet| format(&sheet.url)).collect();
        Some(Self { mirror: mirror.clone(), manifest, place, set, formats: formats? })
    }

    /// Its tiles, in the order of time: those that the sheets hold, by what the index says.
    ///
    /// # Errors
    /// In words, where the index cannot be read or has none.
    pub(super) fn tiles(&self) -> Result<Vec<Tile>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the index cannot be read: {error}");
        let opened = self.open(INDEX).map_err(|error| failed(&error))?;
        let text = read_whole(opened, MAX_TEXT_BYTES).map_err(|error| failed(&error))?;
        let index = sprite::parse(&text).map_err(|error| failed(&error))?;
        let mut tiles: Vec<_> = index.cues.iter().filter_map(|cue| self.tile(cue)).collect();
        tiles.sort_by_key(|tile| tile.start);
        if tiles.is_empty() {
            Err("the index has no tile on a sheet".to_owned())
        } else {
            Ok(tiles)
        }
    }

    fn tile(&self, cue: &Cue) -> Option<Tile> {
        let Area::Pixels { x, y, width, height } = cue.area else { return None };
        let sheet: usize = cue.name.split_once('.')?.0.parse().ok()?;
        let on = self.manifest.sheets.get(sheet)?;
        let is_on = |from: u32, length: u32, side: u32| {
            length > 0 && from.checked_add(length).is_some_and(|to| to <= side)
        };
        let is_whole = is_on(x, width, on.width) && is_on(y, height, on.height);
        let Cue { start, end, .. } = *cue;
        (is_whole && start < end).then_some(Tile { start, end, sheet, x, y, width, height })
    }

    /// By its manifest, in which others may have written.
    fn tile_count(&self) -> usize {
        let tiles = self.manifest.sheets.iter().map(|sheet| sheet.tiles);
        tiles.fold(0, usize::saturating_add)
    }

    /// A tile of the middle, where the manifest alone tells where that is.
    pub(super) fn preview(&self, event: &str) -> Option<SheetTile> {
        let size = self.manifest.tile?;
        let mut left = self.tile_count() / 2;
        let (mut sheet, mut columns) = (0, 1);
        match self.manifest.grid {
            None => left = 0,
            Some(grid) => {
                columns = usize::try_from(grid.columns).ok().filter(|columns| *columns > 0)?;
                let tiles = |at: usize| self.manifest.sheets.get(at).map(|sheet| sheet.tiles);
                while tiles(sheet)? <= left {
                    left -= tiles(sheet)?;
                    sheet += 1;
                }
            }
        }
        let on = self.manifest.sheets.get(sheet)?;
        let from = |step: usize, length: u32, side: u32| {
            let from = u32::try_from(step).ok()?.checked_mul(length)?;
            (length > 0 && from.checked_add(length)? <= side).then_some(from)
        };
        let x = from(left % columns, size.width, on.width)?;
        let y = from(left / columns, size.height, on.height)?;
        let tile = Tile { start: 0, end: 0, sheet, x, y, width: size.width, height: size.height };
        self.drawn(event, &tile)
    }

    /// What is drawn of a tile, by the key of its event.
    pub(super) fn drawn(&self, event: &str, tile: &Tile) -> Option<SheetTile> {
        let sheet = self.manifest.sheets.get(tile.sheet)?;
        Some(SheetTile {
            sheet: format!("/sprites/{event}/{}/{}", self.set, tile.sheet),
            sheet_width: sheet.width,
            sheet_height: sheet.height,
            x: tile.x,
            y: tile.y,
            width: tile.width,
            height: tile.height,
        })
    }

    /// Opens a sheet, by its number.
    pub(super) fn sheet(&self, number: usize) -> io::Result<OpenSheet> {
        let not_found = || io::Error::from(ErrorKind::NotFound);
        let format = self.formats.get(number).ok_or_else(not_found)?;
        let mut file = self.open(&name(number, *format))?;
        let length = file.metadata()?.len();
        if length > MAX_SHEET {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let image = sprite::look_at(&mut file, length).map_err(|_| not_found())?;
        file.rewind()?;
        Ok(OpenSheet { file, length, format: image.format })
    }

    /// The public URL of the manifest.
    pub(super) fn manifest_url(&self) -> String {
        format!("{}/{}", self.mirror.public_url, self.place.manifest())
    }

    /// The public URL of the index.
    pub(super) fn vtt_url(&self) -> String {
        format!("{}/{}", self.mirror.public_url, self.file(INDEX))
    }

    /// The public URLs of the sheets, in order.
    pub(super) fn sheet_urls(&self) -> Vec<String> {
        let names = self.formats.iter().enumerate().map(|(number, format)| name(number, *format));
        names.map(|name| format!("{}/{}", self.mirror.public_url, self.file(&name))).collect()
    }

    fn open(&self, name: &str) -> io::Result<File> {
        open_below(&self.mirror.path, &self.mirror.below(&self.file(name)))
    }

    /// A file of the set, below the prefix.
    fn file(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.place.folder(), self.set)
    }
}

/// The name of a sheet in a set: `0.jpg`.
fn name(number: usize, format: SheetFormat) -> String {
    format!("{number}.{}", format.extension())
}

/// Whether this is the name of a set of that definition: `10-3fa91c0b7d22`.
fn is_set(name: &str, definition: &str) -> bool {
    let digits = name.strip_prefix(definition).and_then(|rest| rest.strip_prefix('-'));
    digits.is_some_and(|digits| {
        digits.len() == 12 && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    })
}
