//! Dictionaries that this release carries. Frames that are primed with one name it by number; none ever changes.

use firn_core::codec::Dictionary;

/// All of them.
pub fn dictionaries() -> &'static [Dictionary<'static>] {
    &[]
}

/// The one that writers use.
pub fn dictionary() -> Option<&'static Dictionary<'static>> {
    dictionaries().last()
}
