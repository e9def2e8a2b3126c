//! What a file is, how much it holds and where its bytes go.

use super::text::{Style, Table, counted, grouped, memory, printable};
use crate::{encode::system_host, load::root_names};
use firn_core::{
    Node, Proven, Spool, StorePath,
    format::{Front, Manifest, Section},
    hash,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{collections::HashSet, io, iter};

/// Everything that `firn inspect` says of a whole file. The fields are those of its JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Version of this JSON: goes up when a field changes its meaning or goes away.
    pub version: u32,
    /// `recipe`, `outputs` or `mix`.
    pub contents: &'static str,
    /// The first root.
    pub root: String,
    /// What the closure is the closure of.
    pub roots: Vec<String>,
    /// Names of the roots, as `FILE#NAME` takes them.
    pub names: Vec<String>,
    /// Name of the system, of the first where there are several; so are the fields that follow.
    pub name: Option<String>,
    /// Host that it is for.
    pub host: Option<String>,
    /// Id of the machine that it is for.
    pub machine_id: Option<String>,
    /// Nix system.
    pub system: Option<String>,
    /// Roots that a delta is made against: what its reader must have. Empty for a whole file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<String>,
    /// Path that building the root gives.
    pub toplevel: Option<String>,
    /// Store directory of all paths.
    pub store_dir: String,
    /// Number of derivations.
    pub derivations: u64,
    /// Number of sources: paths that are no derivations.
    pub sources: u64,
    /// Number of different contents of files in the sources.
    pub files: u64,
    /// Bytes of the texts of all derivations.
    pub text_bytes: u64,
    /// Number of paths that a store takes only with a signature or from a trusted user.
    pub trusted: u64,
    /// Those paths.
    pub needing_trust: Vec<String>,
    /// Where the file came from, if its maker wanted to say so.
    #[serde(serialize_with = "as_map")]
    pub provenance: Vec<(String, String)>,
    /// Length of the file, as it was given.
    pub file_bytes: u64,
    /// Version of the format; absent for a stock stream, as are all fields that follow.
    pub format: Option<String>,
    /// Earliest release of firn that reads it.
    pub release: Option<String>,
    /// SHA-256 over the whole file: its identity, as its front declares it.
    pub digest: Option<String>,
    /// Bytes of memory to unpack it, one frame after the other.
    pub memory_bytes: Option<u64>,
    /// Bytes before the first frame.
    pub header_bytes: Option<u64>,
    /// Packed bytes for each derivation.
    pub bytes_per_derivation: Option<PerDerivation>,
    /// The sections of the file, in order.
    pub sections: Vec<SectionLine>,
}

/// One section of a file.
#[derive(Debug, Clone, Serialize)]
pub struct SectionLine {
    /// Its name.
    pub name: &'static str,
    /// How it is packed; several codecs are joined with `+`.
    pub codec: String,
    /// Number of frames.
    pub frames: u64,
    /// Bytes unpacked.
    pub raw_bytes: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// Bytes of memory to unpack one frame after the other.
    pub memory_bytes: u64,
}

/// Packed bytes for each derivation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PerDerivation {
    /// Of the section `derivations` alone.
    pub derivations: f64,
    /// Of the sections `derivations` and `hashes` together.
    pub with_hashes: f64,
}

fn as_map<S: Serializer>(entries: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    for (key, value) in entries {
        map.serialize_entry(key, value)?;
    }
    map.end()
}

impl Summary {
    /// From the front of a file of so many bytes. `needing_trust` are the paths that the front only counts.
    pub fn of_front(front: &Front, needing_trust: &[StorePath], file_bytes: u64) -> Self {
        let header = &front.header;
        let counts = header.counts;
        let display = |path: &StorePath| header.store_dir.display(path);
        let sections: Vec<SectionLine> = front
            .sections()
            .into_iter()
            .map(|s| SectionLine {
                name: s.section.name(),
                codec: s.codecs.join("+"),
                frames: s.frames,
                raw_bytes: s.raw_bytes,
                bytes: s.packed_bytes,
                memory_bytes: s.memory_bytes,
            })
            .collect();
        let bytes_of = |section: Section| sections.iter().filter(|s| s.name == section.name()).map(|s| s.bytes).sum();
        let bytes_per_derivation = (counts.derivations > 0).then(|| {
            let (derivations, hashes): (u64, u64) = (bytes_of(Section::Derivations), bytes_of(Section::Hashes));
            let each = |bytes: u64| (bytes as f64 * 10.0 / counts.derivations as f64).round() / 10.0;
            PerDerivation { derivations: each(derivations), with_hashes: each(derivations.saturating_add(hashes)) }
        });
        let mut summary = Self::new(header.contents.name(), header.store_dir.as_str(), file_bytes);
        summary.base = header.base.iter().flat_map(|base| &base.roots).map(display).collect();
        summary.derivations = counts.derivations;
        summary.sources = counts.sources;
        summary.files = counts.files;
        summary.text_bytes = counts.text_bytes;
        summary.trusted = counts.trusted;
        summary.needing_trust = needing_trust.iter().map(display).collect();
        summary.provenance.clone_from(&header.provenance);
        summary.format = Some(front.version.to_string());
        summary.release = Some(front.release.to_string());
        summary.digest = Some(hash::hex(&front.digest));
        summary.memory_bytes = Some(front.memory_bytes());
        summary.header_bytes = Some(front.bytes);
        summary.bytes_per_derivation = bytes_per_derivation;
        summary.sections = sections;
        let mut manifest = header.manifest.clone();
        if let (Some(root), true) = (header.roots.first(), header.base.is_some()) {
            // A delta leaves out what its reader computes.
            let name = root.name().strip_suffix(".drv").unwrap_or(root.name());
            manifest.host = manifest.host.or_else(|| system_host(name).map(str::to_owned));
            manifest.name = manifest.name.or_else(|| Some(name.to_owned()));
        }
        summary.with_roots(header.roots.iter().map(display).collect()).with_manifest(&manifest, display)
    }

    /// From a closure that came as a stock stream, or that is a part of a file.
    pub fn of_closure(closure: &Proven, spool: &dyn Spool, manifest: &Manifest, file_bytes: u64) -> io::Result<Self> {
        let display = |path: &StorePath| closure.store_dir().display(path);
        let needing_trust: Vec<String> = closure.needing_trust().map(|p| display(p.path())).collect();
        let mut contents = HashSet::new();
        let (mut derivations, mut sources, mut text_bytes) = (0, 0, 0);
        for path in closure.paths() {
            if path.is_derivation() {
                derivations += 1;
                let Node::Regular { contents, .. } = path.content() else { continue };
                text_bytes += contents.len;
                continue;
            }
            sources += 1;
            let mut blobs = Vec::new();
            path.content().walk(&mut |_, node| {
                if let Node::Regular { contents, .. } = node {
                    blobs.push(*contents);
                }
            });
            for blob in blobs {
                let mut hasher = hash::HashWriter::new();
                firn_core::for_each_piece(spool, blob, |piece| io::Write::write_all(&mut hasher, piece))?;
                contents.insert(hasher.finish());
            }
        }
        let kind = if derivations == 0 { "outputs" } else { "recipe" };
        let mut summary = Self::new(kind, closure.store_dir().as_str(), file_bytes);
        (summary.derivations, summary.sources, summary.text_bytes) = (derivations, sources, text_bytes);
        summary.files = contents.len() as u64;
        summary.trusted = needing_trust.len() as u64;
        summary.needing_trust = needing_trust;
        Ok(summary.with_roots(closure.roots().iter().map(display).collect()).with_manifest(manifest, display))
    }

    /// Of a part of a firn file: what is said of the file is that of the whole.
    pub(crate) fn in_file(self, front: &Front) -> Self {
        let whole = Self::of_front(front, &[], self.file_bytes);
        Self {
            base: whole.base,
            machine_id: whole.machine_id,
            provenance: whole.provenance,
            format: whole.format,
            release: whole.release,
            digest: whole.digest,
            memory_bytes: whole.memory_bytes,
            header_bytes: whole.header_bytes,
            bytes_per_derivation: whole.bytes_per_derivation,
            sections: whole.sections,
            ..self
        }
    }

    fn new(contents: &'static str, store_dir: &str, file_bytes: u64) -> Self {
        Self {
            version: 1,
            contents,
            root: String::new(),
            roots: Vec::new(),
            names: Vec::new(),
            base: Vec::new(),
            name: None,
            host: None,
            machine_id: None,
            system: None,
            toplevel: None,
            store_dir: store_dir.to_owned(),
            derivations: 0,
            sources: 0,
            files: 0,
            text_bytes: 0,
            trusted: 0,
            needing_trust: Vec::new(),
            provenance: Vec::new(),
            file_bytes,
            format: None,
            release: None,
            digest: None,
            memory_bytes: None,
            header_bytes: None,
            bytes_per_derivation: None,
            sections: Vec::new(),
        }
    }

    fn with_roots(mut self, roots: Vec<String>) -> Self {
        self.root = roots.first().cloned().unwrap_or_default();
        let base_name =
            |root: &String| root.rsplit('/').next().and_then(|name| StorePath::from_base_name(name.as_bytes()).ok());
        self.names = root_names(&roots.iter().filter_map(base_name).collect::<Vec<_>>());
        self.roots = roots;
        self
    }

    fn with_manifest(mut self, manifest: &Manifest, display: impl Fn(&StorePath) -> String) -> Self {
        let Manifest { name, host, system, toplevel, machine_id } = manifest;
        self.machine_id = machine_id.clone();
        (self.name, self.host, self.system) = (name.clone(), host.clone(), system.clone());
        self.toplevel = toplevel.as_ref().map(display);
        self
    }

    /// The same for people.
    pub fn text(&self, style: Style) -> String {
        let mut out = String::new();
        let title = match (&self.name, self.roots.len()) {
            (_, roots @ 2..) => format!(" of {roots} systems"),
            (Some(name), _) => format!(" of {}", printable(name.as_bytes())),
            _ => String::new(),
        };
        let delta = if self.base.is_empty() { "" } else { ", as a delta" };
        out.push_str(&style.bold(&format!("{}{title}{delta}", self.contents)));
        out.push('\n');
        for (label, text) in self.facts() {
            out.push_str(&format!("\n  {} {text}", style.dim(&format!("{label:<9}"))));
        }
        out.push('\n');
        if !self.sections.is_empty() {
            out.push('\n');
            for (number, line) in self.section_table().lines().enumerate() {
                out.push_str(&if number == 0 { style.dim(&line) } else { line });
                out.push('\n');
            }
        }
        if let Some(PerDerivation { derivations, with_hashes }) = self.bytes_per_derivation {
            out.push_str(&format!(
                "\n  {with_hashes:.1} bytes for each derivation: {derivations:.1} and {:.1} of hashes\n",
                with_hashes - derivations
            ));
        }
        out
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let label = if self.roots.len() == 1 { "root" } else { "roots" };
        facts.extend(iter::once(label).chain(iter::repeat("")).zip(self.roots.iter().cloned()));
        facts.extend(iter::once("base").chain(iter::repeat("")).zip(self.base.iter().cloned()));
        if !self.base.is_empty() {
            let needs = "that base: in the store it is brought into, --base FILE, or --base-dir DIR";
            facts.push(("needs", needs.to_owned()));
        }
        let several = self.roots.len() > 1;
        let names = several.then(|| self.names.join(", "));
        // What the first builds says nothing of the others.
        let toplevel = if several { &None } else { &self.toplevel };
        let host = if several { &names } else { &self.host };
        let label = if several { "names" } else { "host" };
        let named = [(label, host), ("machine", &self.machine_id), ("system", &self.system), ("builds", toplevel)];
        facts.extend(named.into_iter().filter_map(|(label, text)| Some((label, printable(text.as_ref()?.as_bytes())))));
        let texts = match self.derivations {
            0 => String::new(),
            n => format!("{}, ", counted(n, "derivation")),
        };
        let sources = counted(self.sources, "source");
        let files =
            if self.sources == 0 { String::new() } else { format!(" with {}", counted(self.files, "different file")) };
        facts.push(("holds", format!("{texts}{sources}{files}")));
        facts.push((
            "trust",
            match self.trusted {
                0 => "none needed: contents prove their paths".to_owned(),
                n => format!("needed for {}: a signature, or a trusted user", counted(n, "path")),
            },
        ));
        const SHOWN: usize = 10;
        facts.extend(self.needing_trust.iter().take(SHOWN).map(|path| ("", path.clone())));
        if self.needing_trust.len() > SHOWN {
            facts.push(("", format!("and {} more", grouped((self.needing_trust.len() - SHOWN) as u64))));
        }
        let mut file = format!("{} bytes", grouped(self.file_bytes));
        match (&self.format, self.memory_bytes) {
            (Some(format), Some(bytes)) => {
                file.push_str(&format!(", format {format}, read with {} of memory", memory(bytes)));
            }
            _ => file.push_str(", a stock export stream"),
        }
        facts.push(("file", file));
        facts.extend(self.digest.clone().map(|digest| ("sha256", digest)));
        let given =
            |(key, value): &(String, String)| format!("{}: {}", printable(key.as_bytes()), printable(value.as_bytes()));
        facts.extend(iter::once("made from").chain(iter::repeat("")).zip(self.provenance.iter().map(given)));
        facts
    }

    fn section_table(&self) -> Table {
        let mut table = Table::new(&[false, false, true, true, true, true, true]);
        table.row(["section", "codec", "frames", "raw", "packed", "share", "memory"].map(str::to_owned));
        let share = |bytes: u64| format!("{:.1}%", bytes as f64 * 100.0 / self.file_bytes.max(1) as f64);
        for section in &self.sections {
            table.row([
                section.name.to_owned(),
                section.codec.clone(),
                grouped(section.frames),
                grouped(section.raw_bytes),
                grouped(section.bytes),
                share(section.bytes),
                memory(section.memory_bytes),
            ]);
        }
        let packed: u64 = self.sections.iter().map(|s| s.bytes).fold(0, u64::saturating_add);
        let raw = self.sections.iter().map(|s| s.raw_bytes).fold(0, u64::saturating_add);
        let other = self.file_bytes.saturating_sub(packed);
        let none = String::new;
        table.row(["header".to_owned(), none(), none(), none(), grouped(other), share(other), none()]);
        let frames = self.sections.iter().map(|s| s.frames).sum();
        table.row([
            "all".to_owned(),
            none(),
            grouped(frames),
            grouped(raw),
            grouped(self.file_bytes),
            none(),
            memory(self.memory_bytes.unwrap_or(0)),
        ]);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        name: &'static str,
        codec: &str,
        frames: u64,
        raw_bytes: u64,
        bytes: u64,
        memory_bytes: u64,
    ) -> SectionLine {
        SectionLine { name, codec: codec.into(), frames, raw_bytes, bytes, memory_bytes }
    }

    #[test]
    fn a_summary_is_a_page_of_aligned_lines() {
        let mut summary = Summary::new("recipe", "/nix/store", 734_567);
        summary.name = Some("nixos-system-web-24.05".into());
        summary.host = Some("web".into());
        summary.system = Some("x86_64-linux".into());
        (summary.derivations, summary.sources, summary.files) = (1760, 78, 1);
        summary.trusted = 12;
        summary.needing_trust = (0..12).map(|i| format!("/nix/store/{i:032}-made")).collect();
        summary.provenance = vec![("flake".into(), "github:a/b".into()), ("revision".into(), "evil\x1b[2J".into())];
        (summary.format, summary.memory_bytes) = (Some("1.0".into()), Some(27 << 20));
        summary.digest = Some("ab".repeat(32));
        summary.bytes_per_derivation = Some(PerDerivation { derivations: 52.0, with_hashes: 61.3 });
        summary.sections = vec![
            line("source-names", "ppmd7", 1, 7472, 2713, 1 << 20),
            line("sources", "ppmd7+stored", 12, 1_668_400, 500_642, 26 << 20),
            line("hashes", "stored", 1, 19_184, 19_184, 19_184),
            line("derivations", "ppmd7", 1, 537_071, 210_000, 27 << 20),
        ];
        let summary = summary.with_roots(vec![format!("/nix/store/{}-nixos-system-web-24.05.drv", "1".repeat(32))]);
        insta::assert_snapshot!(summary.text(Style::default()));
    }
}
