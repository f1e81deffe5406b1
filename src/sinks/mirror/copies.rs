//! The copies of sprites that the store has: looked for, written, and told of. All of it blocks.

use std::path::Path;
use std::sync::Arc;

use super::manifest::{NamedSet, PublicPlace, hash_of, is_newer, sheet_names};
use super::public_url::PublicUrl;
use super::store::{FolderStore, Found, NewSheet, StoreError};
use crate::event::{Event, ImageSprite, MirrorResult, MirrorStatus};
use crate::fetch::FetchedSprite;
use crate::sprite::{Manifest, Place, write_vtt};

/// Why a sprite that came late is not written.
pub(super) const NEWER_IS_THERE: &str = "a newer sprite of this file is there";

/// One sprite of an event on its way.
#[derive(Clone, Debug)]
pub(super) struct SpriteDelivery {
    event: Arc<Event>,
    /// Its place in the event.
    number: usize,
    place: Place,
}

impl SpriteDelivery {
    /// The sprite of that number of an event, if it has so many.
    pub(super) fn new(event: &Arc<Event>, number: usize) -> Option<Self> {
        let place = Place::of(event.app, event.sprites.get(number)?);
        Some(Self { event: Arc::clone(event), number, place })
    }

    pub(super) fn event(&self) -> &Event {
        &self.event
    }

    pub(super) fn sprite(&self) -> &ImageSprite {
        &self.event.sprites[self.number]
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

/// What the store has for a place.
#[derive(Debug)]
pub(super) enum There {
    /// This sprite, whole.
    Same(MirrorResult),
    /// A sprite that is newer.
    Newer,
    OlderOrNone,
}

/// A store, and what stands in its manifests.
#[derive(Debug)]
pub(super) struct Copies {
    pub(super) name: String,
    pub(super) store: FolderStore,
    pub(super) public_url: PublicUrl,
}

impl Copies {
    /// What the sinks that follow are told of a sprite that is not here.
    pub(super) fn without_files(&self, status: MirrorStatus, why: &str) -> MirrorResult {
        MirrorResult {
            sink: self.name.clone(),
            status,
            error: Some(why.to_owned()),
            manifest: None,
            vtt: None,
            sheets: None,
            tile: None,
            count: None,
            findings: Vec::new(),
        }
    }

    fn public<'a>(&'a self, delivery: &'a SpriteDelivery) -> PublicPlace<'a> {
        PublicPlace { url: &self.public_url, place: &delivery.place }
    }

    fn manifest(&self, delivery: &SpriteDelivery) -> Result<Option<Manifest>, StoreError> {
        Ok(match self.store.manifest(&delivery.place)? {
            Found::Nothing => None,
            Found::Manifest(manifest) => Some(*manifest),
            Found::Foreign => {
                tracing::warn!(
                    sink = self.name,
                    manifest = delivery.place.manifest(),
                    "a manifest cannot be read and is written anew"
                );
                None
            }
        })
    }

    pub(super) fn look(&self, delivery: &SpriteDelivery) -> Result<There, StoreError> {
        let sprite = delivery.sprite();
        let Some(manifest) = self.manifest(delivery)? else { return Ok(There::OlderOrNone) };
        if manifest.sprite != sprite.id {
            let is_newer = is_newer(&manifest, &delivery.event, sprite);
            return Ok(if is_newer { There::Newer } else { There::OlderOrNone });
        }
        let public = self.public(delivery);
        let Some(set) = public.named(&manifest) else { return Ok(There::OlderOrNone) };
        if !self.store.has(&set.path, &set.sheets)?
            || !self.is_index_whole(delivery, &manifest, &set)?
        {
            return Ok(There::OlderOrNone);
        }
        let present = public.with_present_urls(&manifest, &set);
        if present != manifest {
            self.store.write_manifest(&self.store.spool()?, &delivery.place, &present)?;
        }
        Ok(There::Same(public.result(&self.name, &present)))
    }

    /// Whether the index in a set is the one that was written: the set is called by its hash.
    fn is_index_whole(
        &self,
        delivery: &SpriteDelivery,
        manifest: &Manifest,
        set: &NamedSet,
    ) -> Result<bool, StoreError> {
        let vtt = self.store.index(&set.path)?;
        let hashes: Option<Vec<_>> =
            manifest.sheets.iter().map(|sheet| hash_of(&sheet.sha256)).collect();
        let hashes = hashes.unwrap_or_default();
        Ok(vtt.is_some_and(|vtt| delivery.place.set(&vtt, &hashes) == set.path))
    }

    pub(super) fn write(
        &self,
        delivery: &SpriteDelivery,
        fetched: FetchedSprite,
    ) -> Result<MirrorResult, StoreError> {
        let names = sheet_names(&fetched);
        let vtt = write_vtt(&fetched.verified.tiles, &names);
        let hashes: Vec<_> = fetched.sheets.iter().map(|sheet| sheet.sha256).collect();
        let set = delivery.place.set(&vtt, &hashes);
        let spooled = |path: &Path| {
            path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
        };
        let sheets: Vec<_> = fetched
            .sheets
            .iter()
            .zip(names)
            .map(|(sheet, name)| NewSheet {
                name,
                spooled: spooled(&sheet.file),
                sha256: sheet.sha256,
            })
            .collect();
        let spool = self.store.spool()?;
        self.store.write_set(&spool, &set, &vtt, &sheets)?;
        // Another process may have been quicker.
        if let Some(there) = self.manifest(delivery)?
            && there.sprite != delivery.sprite().id
            && is_newer(&there, &delivery.event, delivery.sprite())
        {
            return Ok(self.without_files(MirrorStatus::Skipped, NEWER_IS_THERE));
        }
        let public = self.public(delivery);
        let manifest = public.manifest(&delivery.event, delivery.sprite(), &fetched, &set);
        self.store.write_manifest(&spool, &delivery.place, &manifest)?;
        Ok(public.result(&self.name, &manifest))
    }
}
