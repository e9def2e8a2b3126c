//! Variables of EFI by which systemd-boot and the running system speak (systemd: Boot Loader Interface).

use crate::host::Host;
use std::fs;

const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Entry that goes before `default` of loader.conf; `bootctl set-default` sets it.
pub(super) const DEFAULT: &str = "LoaderEntryDefault";
/// Entry of the next boot; `bootctl set-oneshot` sets it, and the loader deletes it.
pub(super) const ONE_SHOT: &str = "LoaderEntryOneShot";

/// Text of a variable: four bytes of attributes, then UTF-16 up to a zero. `None` if it is not there, empty or no text.
pub(super) fn variable(host: &Host, name: &str) -> Option<String> {
    let bytes = fs::read(host.path(format!("/sys/firmware/efi/efivars/{name}-{VENDOR}"))).ok()?;
    let units = bytes.get(4..)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16(&units).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Sets a variable of a host below a folder.
    pub(in crate::loader) fn set(host: &Host, name: &str, text: &str) {
        let folder = host.path("/sys/firmware/efi/efivars");
        fs::create_dir_all(&folder).unwrap();
        let mut bytes = vec![7, 0, 0, 0];
        bytes.extend(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        fs::write(folder.join(format!("{name}-{VENDOR}")), bytes).unwrap();
    }

    #[test]
    fn a_variable_is_text_after_its_attributes() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert_eq!(variable(&host, DEFAULT), None);
        set(&host, DEFAULT, "nixos-generation-7.conf");
        assert_eq!(variable(&host, DEFAULT).as_deref(), Some("nixos-generation-7.conf"));
        set(&host, DEFAULT, "");
        assert_eq!(variable(&host, DEFAULT), None);
    }
}
