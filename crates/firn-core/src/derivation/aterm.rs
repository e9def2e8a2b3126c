//! The text form (Nix: `derivations.cc`, `parseDerivation` and `unparse`).

use super::{Derivation, Input, Output};

/// Deepest nesting of dynamic outputs.
const MAX_DEPTH: usize = 256;

/// Why a text is no derivation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no derivation: expected {expected} at byte {offset}")]
pub struct ATermError {
    /// What the grammar asks for.
    pub expected: &'static str,
    /// Position in the text.
    pub offset: usize,
}

impl Derivation {
    /// Parses the text of a `.drv` file.
    pub fn parse(text: &[u8]) -> Result<Self, ATermError> {
        let mut parser = Parser { text, at: 0 };
        let mut drv = Self::default();
        if parser.take(b"DrvWithVersion(") {
            drv.versioned = true;
            parser.string()?;
            parser.expect(b",", "a comma")?;
        } else {
            parser.expect(b"Derive(", "\"Derive(\"")?;
        }
        parser.list(|p| {
            p.expect(b"(", "an output")?;
            let name = p.string()?;
            p.expect(b",", "a comma")?;
            let path = p.string()?;
            p.expect(b",", "a comma")?;
            let algorithm = p.string()?;
            p.expect(b",", "a comma")?;
            let hash = p.string()?;
            p.expect(b")", "a closing parenthesis")?;
            drv.outputs.push(Output { name, path, algorithm, hash });
            Ok(())
        })?;
        parser.expect(b",", "a comma")?;
        parser.list(|p| {
            p.expect(b"(", "an input derivation")?;
            let path = p.string()?;
            p.expect(b",", "a comma")?;
            let outputs = if p.take(b"(") {
                let outputs = p.strings()?;
                p.expect(b",", "a comma")?;
                p.dynamic_outputs(0)?;
                p.expect(b")", "a closing parenthesis")?;
                outputs
            } else {
                p.strings()?
            };
            p.expect(b")", "a closing parenthesis")?;
            drv.inputs.push(Input { path, outputs });
            Ok(())
        })?;
        parser.expect(b",", "a comma")?;
        drv.sources = parser.strings()?;
        parser.expect(b",", "a comma")?;
        drv.system = parser.string()?;
        parser.expect(b",", "a comma")?;
        drv.builder = parser.string()?;
        parser.expect(b",", "a comma")?;
        drv.args = parser.strings()?;
        parser.expect(b",", "a comma")?;
        parser.list(|p| {
            p.expect(b"(", "an environment variable")?;
            let key = p.string()?;
            p.expect(b",", "a comma")?;
            let value = p.string()?;
            p.expect(b")", "a closing parenthesis")?;
            drv.env.push((key, value));
            Ok(())
        })?;
        parser.expect(b")", "the end of the derivation")?;
        if parser.at == text.len() { Ok(drv) } else { Err(parser.error("nothing after the derivation")) }
    }

    /// Names and paths of the outputs in the text of a `.drv` file. All of it is read, as by [`Derivation::parse`], but little is
    /// kept.
    pub fn outputs_in(text: &[u8]) -> Result<Vec<[Vec<u8>; 2]>, ATermError> {
        if let Some(front) = Front::parse(text)
            && (Parser { text: front.rest, at: 0 }).skip_rest().is_ok()
        {
            return Ok(front.outputs.into_iter().map(|(name, path)| [name.to_vec(), path.to_vec()]).collect());
        }
        Ok(Self::parse(text)?.outputs.into_iter().map(|output| [output.name, output.path]).collect())
    }

    /// Prints the text as Nix does, lists in the order they have here.
    pub fn print(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        self.print_outputs(&mut out, false);
        for (i, input) in self.inputs.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"(" } else { b",(" });
            plain(&mut out, &input.path);
            out.push(b',');
            plain_list(&mut out, input.outputs.iter().map(Vec::as_slice));
            out.push(b')');
        }
        self.print_rest(&mut out, false);
        out
    }

    /// Prints up to and with the bracket that opens the input derivations.
    pub(super) fn print_outputs(&self, out: &mut Vec<u8>, masked: bool) {
        out.extend_from_slice(b"Derive([");
        for (i, output) in self.outputs.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"(" } else { b",(" });
            plain(out, &output.name);
            out.push(b',');
            plain(out, if masked { b"" } else { &output.path });
            out.push(b',');
            plain(out, &output.algorithm);
            out.push(b',');
            plain(out, &output.hash);
            out.push(b')');
        }
        out.extend_from_slice(b"],[");
    }

    /// Prints from the bracket that closes the input derivations on.
    pub(super) fn print_rest(&self, out: &mut Vec<u8>, masked: bool) {
        out.extend_from_slice(b"],");
        plain_list(out, self.sources.iter().map(Vec::as_slice));
        out.push(b',');
        plain(out, &self.system);
        out.push(b',');
        escaped(out, &self.builder);
        out.extend_from_slice(b",[");
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            escaped(out, arg);
        }
        out.extend_from_slice(b"],[");
        for (i, (key, value)) in self.env.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"(" } else { b",(" });
            escaped(out, key);
            out.push(b',');
            if masked && self.outputs.iter().any(|o| o.name == *key) {
                out.extend_from_slice(b"\"\"");
            } else {
                escaped(out, value);
            }
            out.push(b')');
        }
        out.extend_from_slice(b"])");
    }
}

/// The part of a text that says what a derivation makes and refers to, as it stands there.
pub(crate) struct Front<'a> {
    /// Names and paths of outputs.
    pub(crate) outputs: Vec<(&'a [u8], &'a [u8])>,
    /// Paths of input derivations, and how many of the wanted outputs are theirs.
    pub(crate) inputs: Vec<(&'a [u8], usize)>,
    /// Names of wanted outputs, input by input.
    pub(crate) wanted: Vec<&'a [u8]>,
    /// Input sources.
    pub(crate) sources: Vec<&'a [u8]>,
    /// The text behind it.
    pub(crate) rest: &'a [u8],
}

impl<'a> Front<'a> {
    /// Reads it; `None` for what no Nix prints, and for the versioned form.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parser = Parser { text, at: 0 };
        let (mut outputs, mut inputs, mut wanted, mut sources) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let parsed = parser.expect(b"Derive(", "").and_then(|()| {
            parser.list(|p| {
                p.expect(b"(", "")?;
                let name = p.plain()?;
                p.expect(b",", "")?;
                outputs.push((name, p.plain()?));
                for _ in 0..2 {
                    p.expect(b",", "")?;
                    p.plain()?;
                }
                p.expect(b")", "")
            })?;
            parser.expect(b",", "")?;
            parser.list(|p| {
                p.expect(b"(", "")?;
                let path = p.plain()?;
                p.expect(b",", "")?;
                let before = wanted.len();
                p.list(|p| p.plain().map(|name| wanted.push(name)))?;
                inputs.push((path, wanted.len() - before));
                p.expect(b")", "")
            })?;
            parser.expect(b",", "")?;
            parser.list(|p| p.plain().map(|path| sources.push(path)))
        });
        parsed.ok().map(|()| Self { outputs, inputs, wanted, sources, rest: &text[parser.at..] })
    }
}

/// A string without escapes, as Nix prints paths, names and hashes.
fn plain(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// A list of [`plain`] strings.
pub(super) fn plain_list<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = &'a [u8]>) {
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        plain(out, item);
    }
    out.push(b']');
}

const fn needs_escape() -> [bool; 256] {
    let mut table = [false; 256];
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'\n' as usize] = true;
    table[b'\r' as usize] = true;
    table[b'\t' as usize] = true;
    table
}
const ESCAPE: [bool; 256] = needs_escape();

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let mut rest = bytes;
    while let Some(n) = rest.iter().position(|b| ESCAPE[usize::from(*b)]) {
        out.extend_from_slice(&rest[..n]);
        let code = match rest[n] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => other,
        };
        out.extend_from_slice(&[b'\\', code]);
        rest = &rest[n + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    /// A string without escapes.
    fn plain(&mut self) -> Result<&'a [u8], ATermError> {
        self.expect(b"\"", "a string")?;
        let rest = &self.text[self.at..];
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(n) if rest[n] == b'"' => {
                self.at += n + 1;
                Ok(&rest[..n])
            }
            _ => Err(self.error("the end of a string")),
        }
    }

    /// A string that nobody wants.
    fn skip(&mut self) -> Result<(), ATermError> {
        self.expect(b"\"", "a string")?;
        loop {
            match memchr::memchr2(b'"', b'\\', &self.text[self.at..]) {
                Some(n) if self.text[self.at + n] == b'"' => {
                    self.at += n + 1;
                    return Ok(());
                }
                Some(n) if self.at + n + 1 < self.text.len() => self.at += n + 2,
                _ => return Err(self.error("the end of a string")),
            }
        }
    }

    /// What stands behind a [`Front`], to the end of the text.
    fn skip_rest(&mut self) -> Result<(), ATermError> {
        for _ in ["system", "builder"] {
            self.expect(b",", "a comma")?;
            self.skip()?;
        }
        self.expect(b",", "a comma")?;
        self.list(Self::skip)?;
        self.expect(b",", "a comma")?;
        self.list(|p| {
            p.expect(b"(", "an environment variable")?;
            p.skip()?;
            p.expect(b",", "a comma")?;
            p.skip()?;
            p.expect(b")", "a closing parenthesis")
        })?;
        self.expect(b")", "the end of the derivation")?;
        if self.at == self.text.len() { Ok(()) } else { Err(self.error("nothing after the derivation")) }
    }

    fn error(&self, expected: &'static str) -> ATermError {
        ATermError { expected, offset: self.at }
    }

    fn take(&mut self, token: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &[u8], expected: &'static str) -> Result<(), ATermError> {
        if self.take(token) { Ok(()) } else { Err(self.error(expected)) }
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), ATermError>) -> Result<(), ATermError> {
        self.expect(b"[", "a list")?;
        if self.take(b"]") {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(b"]") {
                return Ok(());
            }
            self.expect(b",", "a comma or the end of the list")?;
        }
    }

    fn strings(&mut self) -> Result<Vec<Vec<u8>>, ATermError> {
        let mut out = Vec::new();
        self.list(|p| {
            out.push(p.string()?);
            Ok(())
        })?;
        Ok(out)
    }

    fn string(&mut self) -> Result<Vec<u8>, ATermError> {
        self.expect(b"\"", "a string")?;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(n) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(self.error("the end of a string"));
            };
            out.extend_from_slice(&rest[..n]);
            self.at += n + 1;
            if rest[n] == b'"' {
                return Ok(out);
            }
            let Some(code) = rest.get(n + 1) else { return Err(self.error("an escaped character")) };
            out.push(match code {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => *other,
            });
            self.at += 1;
        }
    }

    /// Skips the outputs of outputs of a dynamic input.
    fn dynamic_outputs(&mut self, depth: usize) -> Result<(), ATermError> {
        if depth > MAX_DEPTH {
            return Err(self.error("less nesting"));
        }
        self.list(|p| {
            p.expect(b"(", "a dynamic output")?;
            p.string()?;
            p.expect(b",", "a comma")?;
            if p.take(b"(") {
                p.strings()?;
                p.expect(b",", "a comma")?;
                p.dynamic_outputs(depth + 1)?;
                p.expect(b")", "a closing parenthesis")?;
            } else {
                p.strings()?;
            }
            p.expect(b")", "a closing parenthesis")
        })
    }
}
