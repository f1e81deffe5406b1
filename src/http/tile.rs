//! A tile of a mirrored sheet, drawn.

use maud::{Markup, html};

/// A tile, and where its sheet is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SheetTile {
    /// The path of the sheet.
    pub(super) sheet: String,
    pub(super) sheet_width: u32,
    pub(super) sheet_height: u32,
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl SheetTile {
    /// An image of its own, as wide as the page has it; what it shows is said beside it.
    pub(super) fn picture(&self, class: &str) -> Markup {
        html! {
            svg class=(class) viewBox=(self.view_box()) width=(self.width) height=(self.height)
                aria-hidden="true" { (self.image()) }
        }
    }

    /// The part of the sheet that the tile is.
    pub(super) fn view_box(&self) -> String {
        let Self { x, y, width, height, .. } = self;
        format!("{x} {y} {width} {height}")
    }

    /// The whole sheet, in its own pixels.
    pub(super) fn image(&self) -> Markup {
        html! {
            image href=(self.sheet) width=(self.sheet_width) height=(self.sheet_height)
                preserveAspectRatio="none" {}
        }
    }
}
