//! One derivation, laid out for people or as the JSON of Nix.

use super::text::{Style, printable};
use firn_core::{StorePath, derivation::Derivation};
use serde_json::{Map, Value, json};

/// The ATerm of a derivation with line breaks and spaces between its parts, below its path.
pub fn derivation_text(path: &str, drv: &Derivation, style: Style) -> String {
    let mut out = style.bold(path);
    out.push_str("\nDerive(\n");
    let outputs = drv.outputs.iter().map(|o| {
        let fields = [&o.name, &o.path, &o.algorithm, &o.hash].map(|field| quoted(field));
        format!("({})", fields.join(", "))
    });
    list(&mut out, "  ", outputs);
    let inputs = drv.inputs.iter().map(|i| format!("({}, {})", quoted(&i.path), flat(&i.outputs)));
    list(&mut out, ", ", inputs);
    list(&mut out, ", ", drv.sources.iter().map(|s| quoted(s)));
    out.push_str(&format!(", {}\n, {}\n", quoted(&drv.system), quoted(&drv.builder)));
    list(&mut out, ", ", drv.args.iter().map(|a| quoted(a)));
    let env = drv.env.iter().map(|(key, value)| format!("({}, {})", quoted(key), quoted(value)));
    list(&mut out, ", ", env);
    out.push_str(")\n");
    out
}

fn list(out: &mut String, before: &str, mut items: impl Iterator<Item = String>) {
    let Some(first) = items.next() else {
        out.push_str(&format!("{before}[]\n"));
        return;
    };
    out.push_str(&format!("{before}[ {first}\n"));
    for item in items {
        out.push_str(&format!("  , {item}\n"));
    }
    out.push_str("  ]\n");
}

fn flat(items: &[Vec<u8>]) -> String {
    let items: Vec<String> = items.iter().map(|i| quoted(i)).collect();
    format!("[{}]", items.join(", "))
}

/// A string as in an ATerm; other control characters, which Nix leaves alone, are spelled out.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for piece in bytes.split_inclusive(|b| b"\"\\\n\r\t".contains(b)) {
        let (text, last) = match piece.split_last() {
            Some((last, text)) if b"\"\\\n\r\t".contains(last) => (text, Some(*last)),
            _ => (piece, None),
        };
        out.push_str(&printable(text));
        match last {
            Some(b'\n') => out.push_str("\\n"),
            Some(b'\r') => out.push_str("\\r"),
            Some(b'\t') => out.push_str("\\t"),
            Some(other) => out.extend(['\\', char::from(other)]),
            None => {}
        }
    }
    out.push('"');
    out
}

/// What `nix derivation show` of Nix 2.26 prints for a derivation. JSON has no bytes: what is no UTF-8 is replaced.
pub fn derivation_json(path: &StorePath, drv: &Derivation) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let texts = |list: &[Vec<u8>]| list.iter().map(|item| text(item)).collect::<Vec<_>>();
    let inputs = drv.inputs.iter().map(|input| {
        let value = json!({"dynamicOutputs": {}, "outputs": texts(&input.outputs)});
        (text(&input.path), value)
    });
    let env = drv.env.iter().map(|(key, value)| (text(key), text(value).into()));
    let name = path.name();
    json!({
        "args": texts(&drv.args),
        "builder": text(&drv.builder),
        "env": env.collect::<Map<String, Value>>(),
        "inputDrvs": inputs.collect::<Map<String, Value>>(),
        "inputSrcs": texts(&drv.sources),
        "name": name.strip_suffix(".drv").unwrap_or(name),
        "outputs": drv.outputs.iter().map(|o| (text(&o.name), output_json(o))).collect::<Map<String, Value>>(),
        "system": text(&drv.system),
    })
}

/// As `DerivationOutput::toJSON` of Nix: a known path, how a content-addressed output is hashed, both, or nothing.
fn output_json(output: &firn_core::derivation::Output) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut fields = Map::new();
    if !output.path.is_empty() {
        fields.insert("path".into(), text(&output.path).into());
    }
    if !output.algorithm.is_empty() {
        let algorithm = text(&output.algorithm);
        let (method, algorithm) = match algorithm.split_once(':') {
            Some(("r", rest)) => ("nar", rest),
            Some((method, rest)) => (method, rest),
            None => ("flat", algorithm.as_str()),
        };
        fields.insert("method".into(), method.into());
        fields.insert("hashAlgo".into(), algorithm.into());
        if output.hash == b"impure" {
            fields.insert("impure".into(), true.into());
        } else if !output.hash.is_empty() {
            fields.insert("hash".into(), text(&output.hash).into());
        }
    }
    fields.into()
}
