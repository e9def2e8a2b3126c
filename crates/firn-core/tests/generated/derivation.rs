//! Derivations: with outputs of every kind, and texts of every kind in them.

use super::Maker;
use firn_core::{
    Spool,
    derivation::{Derivation, FixedOutput, Input, Output, fixed_output_path, hash_modulo, output_path},
    hash,
};
use std::collections::BTreeMap;

/// A fixed output: how its attributes spell it, and what they mean.
#[derive(Default)]
struct Fixed {
    attributes: Vec<(&'static str, String)>,
    algorithm: &'static str,
    digest: Vec<u8>,
}

impl<S: Spool> Maker<S> {
    /// A value: text of every kind, and paths that may or may not be inputs.
    fn value(&mut self, name: &[u8], mentioned: &[Vec<u8>]) -> Vec<u8> {
        let mut value = Vec::new();
        for _ in 0..self.dice.roll(5) {
            match self.dice.roll(12) {
                0 => value.extend_from_slice(name),
                1 => value.extend_from_slice(b"/nix/store/"),
                2 => value.extend(self.dice.bytes(6)),
                3 => value.extend_from_slice(b"\"quoted\" \\ \n\t\r ${x} 2.10"),
                4 => {
                    let len = *self.dice.pick(&[16, 20, 32, 64]);
                    // Few different ones, so that some come again.
                    let digest = vec![self.dice.roll(4) as u8 * 63; len];
                    let spelled = [hash::hex(&digest), hash::base32(&digest), hash::base64(&digest)];
                    value.extend_from_slice(self.dice.pick(&spelled).as_bytes());
                }
                5..8 if !mentioned.is_empty() => value.extend_from_slice(self.dice.pick::<Vec<u8>>(mentioned)),
                8 => {
                    if let Some(made) = self.derivations.first() {
                        value.extend(self.full(&made.path));
                    }
                }
                9 => {
                    if let Some(output) = self.derivations.last().and_then(|made| made.outputs.last()) {
                        value.extend_from_slice(&output.path);
                    }
                }
                _ => {
                    let text: &[u8] = self.dice.pick::<&[u8]>(&[b" ", b":", b"-dev/lib", b"abc", b"\x01"]);
                    value.extend_from_slice(text);
                }
            }
        }
        value
    }

    pub(super) fn derivation(&mut self) {
        let mut change = self.change.take();
        let mut name = self.name();
        if change.as_mut().is_some_and(|change| change.one_in(3)) {
            name.extend_from_slice(b"-renamed");
        }
        let mut drv = Derivation::default();
        let mut references = self.dice.some(&self.sources);
        let mut mentioned: Vec<Vec<u8>> = references.iter().map(|r| self.full(r)).collect();
        drv.sources = mentioned.clone();
        let mut inputs = BTreeMap::new();
        for made in self.dice.some(&self.derivations) {
            let full = self.full(&made.path);
            references.push(made.path.clone());
            if made.outputs.is_empty() || self.dice.one_in(6) {
                drv.sources.push(full.clone());
                mentioned.push(full);
                continue;
            }
            let mut outputs: Vec<Vec<u8>> = self.dice.some(&made.outputs).into_iter().map(|o| o.name).collect();
            if outputs.is_empty() {
                outputs.push(made.outputs[0].name.clone());
            }
            outputs.sort();
            outputs.dedup();
            mentioned.extend(made.outputs.iter().filter(|o| outputs.contains(&o.name)).map(|o| o.path.clone()));
            inputs.insert(full, outputs);
        }
        drv.inputs = inputs.into_iter().map(|(path, outputs)| Input { path, outputs }).collect();
        drv.sources.sort();
        drv.sources.dedup();
        drv.system = self.dice.pick(&[&b"x86_64-linux"[..], b"builtin", b""]).to_vec();
        drv.builder = if self.dice.one_in(3) { self.value(&name, &mentioned) } else { b"/bin/sh".to_vec() };
        for _ in 0..self.dice.roll(4) {
            let arg = self.value(&name, &mentioned);
            drv.args.push(arg);
        }
        let outputs: &[&[u8]] = match self.dice.roll(4) {
            0 => &[b"dev", b"out"],
            1 => &[b"a", b"lib", b"out"],
            _ => &[b"out"],
        };
        let structured = self.dice.one_in(4);
        let mut env: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for key in [&b"src"[..], b"buildInputs", b"own key", b"", b"\xff", b"a\0b"] {
            if self.dice.one_in(2) && (key != b"a\0b" || self.dice.one_in(8)) {
                let value = self.value(&name, &mentioned);
                env.insert(key.to_vec(), value);
            }
        }
        let implied =
            [(&b"name"[..], name.clone()), (b"builder", drv.builder.clone()), (b"system", drv.system.clone())];
        for (key, value) in implied {
            match self.dice.roll(8) {
                0 => {}
                1 => _ = env.insert(key.to_vec(), b"other".to_vec()),
                _ if structured => {}
                _ => _ = env.insert(key.to_vec(), value),
            }
        }
        if let Some(change) = &mut change {
            env.insert(b"changed".to_vec(), change.bytes(5));
        }
        let mut fixed = Fixed::default();
        if outputs.len() == 1 && self.dice.one_in(3) {
            fixed = self.fixed();
        }
        if structured {
            let list: Vec<String> = outputs.iter().map(|o| format!("{:?}", String::from_utf8_lossy(o))).collect();
            let texts = fixed.attributes.iter().map(|(k, v)| format!("{k:?}:{v:?},")).collect::<String>();
            let inner = self.value(&name, &mentioned);
            let json =
                [format!("{{{texts}\"outputs\":[{}],\"x\":\"", list.join(",")).as_bytes(), &inner, b"\"}"].concat();
            env.insert(b"__json".to_vec(), json);
        } else {
            env.extend(fixed.attributes.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.clone().into_bytes())));
            if outputs != [b"out"] || self.dice.one_in(2) {
                env.insert(b"outputs".to_vec(), outputs.join(&b' '));
            }
        }
        drv.outputs = outputs.iter().map(|name| Output { name: name.to_vec(), ..Output::default() }).collect();
        let with_entries = !self.dice.one_in(6);
        if with_entries {
            env.extend(outputs.iter().map(|name| (name.to_vec(), Vec::new())));
        }
        drv.env = env.into_iter().collect();
        self.set_outputs(&name, &mut drv, &fixed);
        if with_entries {
            for output in &drv.outputs {
                let entry = drv.env.iter_mut().find(|(key, _)| *key == output.name);
                entry.unwrap().1.clone_from(&output.path);
            }
        }
        if self.dice.one_in(10) {
            drv.env.reverse();
        }
        self.text(&name, drv.print(), references, &drv);
    }

    /// Attributes of a fixed output, spelled in one of the ways that Nix knows.
    fn fixed(&mut self) -> Fixed {
        let (algorithm, len) = *self.dice.pick(&[("md5", 16), ("sha1", 20), ("sha256", 32), ("sha512", 64)]);
        let digest = self.dice.bytes(len);
        let text = match self.dice.roll(3) {
            0 => hash::hex(&digest),
            1 => hash::base32(&digest),
            _ => hash::base64(&digest),
        };
        let (hash, given) = match self.dice.roll(5) {
            0 => (format!("{algorithm}-{}", hash::base64(&digest)), String::new()),
            1 => (format!("{algorithm}:{text}"), algorithm.to_owned()),
            _ => (text, algorithm.to_owned()),
        };
        let mut attributes = vec![("outputHash", hash), ("outputHashAlgo", given)];
        match self.dice.roll(4) {
            0 => {}
            1 => attributes.push(("outputHashMode", "flat".to_owned())),
            2 => attributes.push(("outputHashMode", "nonsense".to_owned())),
            _ => attributes.push(("outputHashMode", "recursive".to_owned())),
        }
        Fixed { attributes, algorithm, digest }
    }

    fn set_outputs(&mut self, name: &[u8], drv: &mut Derivation, fixed: &Fixed) {
        match self.dice.roll(8) {
            // As the build will tell.
            0 => {
                let hash = if self.dice.one_in(2) { b"impure".to_vec() } else { Vec::new() };
                for output in &mut drv.outputs {
                    (output.algorithm, output.hash) = (b"r:sha256".to_vec(), hash.clone());
                }
            }
            // Not what Nix would have computed.
            1 => {
                for output in &mut drv.outputs {
                    output.path = format!("/nix/store/{}-odd", "0".repeat(32)).into_bytes();
                }
            }
            _ if !fixed.attributes.is_empty() => {
                let recursive = fixed.attributes.contains(&("outputHashMode", "recursive".to_owned()));
                let prefix = if recursive { "r:" } else { "" };
                let algorithm = format!("{prefix}{}", fixed.algorithm).into_bytes();
                let fixed = FixedOutput { algorithm, hash: hash::hex(&fixed.digest).into_bytes() };
                let path = fixed_output_path(&self.dir, &fixed, name).unwrap();
                drv.outputs[0].path = self.full(&path);
                (drv.outputs[0].algorithm, drv.outputs[0].hash) = (fixed.algorithm, fixed.hash);
            }
            _ => {
                let of =
                    |i: usize| self.derivations.iter().find(|m| self.full(&m.path) == drv.inputs[i].path)?.input_hash;
                // Below a floating output nothing is known.
                let Some(masked) = hash_modulo(drv, true, of) else { return };
                for output in &mut drv.outputs {
                    let path = output_path(&self.dir, &masked, name, &output.name).unwrap();
                    output.path = self.dir.display(&path).into_bytes();
                }
            }
        }
    }
}
