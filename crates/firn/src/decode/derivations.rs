//! From a firn file to its derivations alone, for those who look at these: frames with nothing but contents of sources whose
//! paths are told are not unpacked.

use super::{
    DecodeError, DecodeOptions, check_count, digests, follow, read_derivations, refuse_delta, source_list, source_paths,
};
use crate::{
    event::{Meter, Sink},
    spool_file::FileSpool,
    unpack::{Unpacking, Wanted},
};
use firn_core::{
    ClosureError, ProvenPath, StorePath,
    codec::Dictionary,
    format::{FileReader, Front, Header, Section},
};
use std::io::Read;

/// Whether a file tells paths of sources, and is for derivations.
pub(crate) fn tells_paths(front: &Front) -> bool {
    let tells = front.frames.iter().filter_map(|frame| frame.known).any(|frame| frame.section == Section::SourcePaths);
    tells && front.header.base.is_none() && front.header.roots.iter().all(StorePath::is_derivation)
}

/// Reads a whole file whose front was read. The roots are proven: derivations with other sources than those that are told
/// would have other paths. All of the file is read and checked.
pub(crate) fn decode_derivations<R: Read + Send>(
    mut reader: FileReader<R>,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<Vec<ProvenPath>, DecodeError> {
    let front = reader.front().clone();
    refuse_delta(&front)?;
    let header = &front.header;
    let paths = header.counts.derivations;
    follow(
        &mut reader,
        Wanted::Undecided,
        usize::MAX,
        Some(paths),
        spool,
        dictionaries,
        options,
        sink,
        |found, spool, meter| prove(header, found, spool, options, meter),
    )
}

fn prove(
    header: &Header,
    unpacking: &Unpacking,
    spool: &mut FileSpool,
    options: &DecodeOptions,
    meter: &Meter<'_>,
) -> Result<Vec<ProvenPath>, DecodeError> {
    let in_names = |source| DecodeError::Recipe { section: Section::SourceNames, source };
    let list = source_list(header, unpacking, spool)?;
    check_count("sources", header.counts.sources, list.len() as u64)?;
    let told = source_paths(unpacking, &list, spool)?;
    unpacking.want(&list.contents_untold(&told));
    unpacking.wait(Section::Sources).map_err(DecodeError::Spool)?;
    let threads = options.threads.saturating_sub(1);
    let digests = digests(&list, &list.numbers_untold(&told), &|_| None, spool, threads, meter);
    let sources = list.paths(&header.store_dir, &told, digests.map_err(DecodeError::Spool)?).map_err(in_names)?;
    let paths = read_derivations(header, sources, unpacking, spool, meter)?;
    let missing = |root: &&StorePath| !paths.iter().any(|path| path.path() == *root);
    match header.roots.iter().find(missing) {
        None => Ok(paths),
        Some(root) => Err(DecodeError::Unproven(ClosureError::MissingRoot(root.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandError, ExitCode, Session, Silent, cli::Cli};
    use clap::Parser;
    use firn_core::{
        MemorySpool,
        codec::{Codec, Filter, Packed},
        format::{FileWriter, Limits, PackedFrame},
    };
    use std::path::Path;

    fn run(arguments: &[&str]) -> Result<String, CommandError> {
        let cli = Cli::try_parse_from([&["firn", "--quiet"], arguments].concat()).expect("arguments");
        let mut results = Vec::new();
        let session = Session::new(cli.globals, &Silent, &mut results);
        cli.command.run(&session)?;
        drop(session);
        Ok(String::from_utf8(results).unwrap())
    }

    /// The same file, with other bytes where paths are told.
    fn tell_others(file: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut reader = FileReader::new(file, Limits::default()).unwrap();
        let header = reader.front().header.clone();
        let mut writer = FileWriter::new(MemorySpool::new());
        while let Some(frame) = reader.next_frame().unwrap() {
            if frame.header.section != Section::SourcePaths {
                writer.push(&frame).unwrap();
                continue;
            }
            let mut bytes = frame.bytes;
            change(&mut bytes);
            let packed = Packed { codec: Codec::Stored, filter: Filter::NONE, bytes };
            let len = packed.bytes.len() as u64;
            writer.push(&PackedFrame::new(Section::SourcePaths, len, packed)).unwrap();
        }
        let mut out = Vec::new();
        writer.finish(&header, &mut out).unwrap();
        out
    }

    #[test]
    fn a_difference_is_the_same_without_the_contents_and_a_lie_about_a_source_is_found() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let streams =
            ["examples/nixos-19.09-minimal-2019-12.export.zst", "tests/closures/nixos-19.09-web-2019-12.export.zst"];
        let streams = streams.map(|name| checkout.join(name).display().to_string());
        let files = [path("a.firn"), path("b.firn")];
        for (stream, file) in streams.iter().zip(&files) {
            run(&["convert", stream, file]).unwrap();
        }
        let named = |text: String, names: &[String; 2]| text.replace(&names[0], "a").replace(&names[1], "b");
        for arguments in [&["--json"][..], &[], &["--why", "nginx-1.16.1.drv"]] {
            let of = |names: &[String; 2]| {
                let all = [&["diff", names[0].as_str(), names[1].as_str()], arguments].concat();
                named(run(&all).unwrap(), names)
            };
            assert_eq!(of(&files), of(&streams));
        }
        let file = std::fs::read(&files[1]).unwrap();
        assert!(tells_paths(FileReader::new(&*file, Limits::default()).unwrap().front()));
        let lies = |change: fn(&mut Vec<u8>)| {
            let lie = path("lie.firn");
            std::fs::write(&lie, tell_others(&file, change)).unwrap();
            let code =
                |result: Result<String, CommandError>| result.map_or_else(|error| error.code(), |_| ExitCode::Success);
            [code(run(&["verify", &lie])), code(run(&["diff", &files[0], &lie]))]
        };
        assert_eq!(lies(|_| ()), [ExitCode::Success; 2]);
        let other = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(lies(other), [ExitCode::Damaged, ExitCode::Damaged]);
        assert_eq!(lies(|bytes| bytes.truncate(9)), [ExitCode::Damaged; 2]);
    }
}
