//! Why a path is in a closure: the shortest way to it from a root.

use super::text::{Style, Table, counted, grouped};
use firn_core::{Node, Proven, ProvenPath, Spool, StorePath, derivation::Derivation};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    io,
};

/// One path on a way, and where it names the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The path.
    pub path: StorePath,
    /// Variables (or `builder`, `args`) that name the next path; empty where only the list of inputs does.
    pub through: Vec<String>,
}

/// The shortest way to one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// From the root to the path, both included.
    pub steps: Vec<Step>,
    /// All that refer to it directly, by path.
    pub referrers: Vec<StorePath>,
}

/// The shortest ways from the roots to all paths of a closure.
pub struct Ways<'a> {
    closure: &'a Proven,
    spool: &'a dyn Spool,
    index: HashMap<&'a StorePath, usize>,
    /// By number: who refers to it on the shortest way; itself for a root.
    before: Vec<Option<usize>>,
}

impl<'a> Ways<'a> {
    /// Finds them, breadth first: roots in their order, references sorted.
    pub fn new(closure: &'a Proven, spool: &'a dyn Spool) -> Self {
        let paths = closure.paths();
        let index: HashMap<&StorePath, usize> = paths.iter().enumerate().map(|(i, p)| (p.path(), i)).collect();
        let mut before = vec![None; paths.len()];
        let mut queue = VecDeque::new();
        for root in closure.roots().iter().filter_map(|root| index.get(root).copied()) {
            if before[root].is_none() {
                before[root] = Some(root);
                queue.push_back(root);
            }
        }
        while let Some(from) = queue.pop_front() {
            for to in paths[from].references().iter().filter_map(|r| index.get(r).copied()) {
                if before[to].is_none() {
                    before[to] = Some(from);
                    queue.push_back(to);
                }
            }
        }
        Self { closure, spool, index, before }
    }

    /// The way to a path of the closure.
    pub fn to(&self, path: &StorePath) -> io::Result<Option<Way>> {
        let Some(mut at) = self.index.get(path).copied() else { return Ok(None) };
        let paths = self.closure.paths();
        let mut steps = vec![Step { path: path.clone(), through: Vec::new() }];
        while let Some(from) = self.before[at].filter(|from| *from != at) {
            let through = self.naming(&paths[from], &paths[at])?;
            steps.push(Step { path: paths[from].path().clone(), through });
            at = from;
        }
        steps.reverse();
        let refers = |p: &&ProvenPath| p.path() != path && p.references().binary_search(path).is_ok();
        let mut referrers: Vec<StorePath> = paths.iter().filter(refers).map(|p| p.path().clone()).collect();
        referrers.sort();
        Ok(Some(Way { steps, referrers }))
    }

    /// What of a derivation names another path, or an output of it.
    fn naming(&self, from: &ProvenPath, to: &ProvenPath) -> io::Result<Vec<String>> {
        let Some(drv) = derivation_of(from, self.spool)? else { return Ok(Vec::new()) };
        let full = self.closure.store_dir().display(to.path()).into_bytes();
        let mut needles = vec![full.clone()];
        if let Some(input) = derivation_of(to, self.spool)? {
            let wanted = drv.inputs.iter().find(|i| i.path == full).map(|i| i.outputs.as_slice()).unwrap_or_default();
            let outputs = input.outputs.into_iter().filter(|o| wanted.contains(&o.name) && !o.path.is_empty());
            needles.extend(outputs.map(|o| o.path));
        }
        let names = |text: &[u8]| needles.iter().any(|needle| text.windows(needle.len()).any(|w| w == needle));
        let mut found = Vec::new();
        if names(&drv.builder) {
            found.push("builder".to_owned());
        }
        if drv.args.iter().any(|arg| names(arg)) {
            found.push("args".to_owned());
        }
        for (key, value) in &drv.env {
            if key != b"builder" && names(value) {
                found.push(String::from_utf8_lossy(key).into_owned());
            }
        }
        Ok(found)
    }
}

/// The derivation in a path, where it is one and its text can be read.
pub(super) fn derivation_of(path: &ProvenPath, spool: &dyn Spool) -> io::Result<Option<Derivation>> {
    let Node::Regular { contents, .. } = path.content() else { return Ok(None) };
    if !path.is_derivation() {
        return Ok(None);
    }
    Ok(Derivation::parse(&spool.get(*contents)?).ok())
}

/// Referrers that are named.
const REFERRERS: usize = 4;
/// Columns of a screen.
const COLUMNS: usize = 80;

impl Way {
    /// The path that it leads to.
    pub fn target(&self) -> Option<&StorePath> {
        self.steps.last().map(|step| &step.path)
    }

    /// A line for each step, and one of who else refers to the path.
    pub fn text(&self, store_dir: &firn_core::StoreDir, style: Style) -> String {
        let Some(target) = self.target() else { return String::new() };
        let mut out = format!("{}\n", style.bold(&store_dir.display(target)));
        if self.steps.len() == 1 {
            out.push_str("  is a root\n");
        }
        let mut table = Table::new(&[false, false]);
        for (depth, step) in self.steps.iter().enumerate().filter(|_| self.steps.len() > 1) {
            let name = format!("{}{}", "  ".repeat(depth.min(12)), step.path.name());
            table.row([shortened(&name, 48), shortened(&through(step), COLUMNS - 52)]);
        }
        for line in table.lines() {
            out.push_str(&line);
            out.push('\n');
        }
        let direct = self.steps.len().checked_sub(2).map(|i| &self.steps[i].path);
        let others: Vec<&str> = self.referrers.iter().filter(|r| Some(*r) != direct).map(StorePath::name).collect();
        if !others.is_empty() {
            let mut line = format!("also wanted by {}", others[..others.len().min(REFERRERS)].join(", "));
            if others.len() > REFERRERS {
                line.push_str(&format!(" and {} more", grouped((others.len() - REFERRERS) as u64)));
            }
            for line in wrapped(&line, COLUMNS - 2) {
                out.push_str(&format!("  {}\n", style.dim(&line)));
            }
        }
        out
    }

    /// The same as JSON.
    pub fn json(&self, store_dir: &firn_core::StoreDir) -> Value {
        let step = |step: &Step| json!({"path": store_dir.display(&step.path), "through": step.through});
        json!({
            "path": self.target().map(|path| store_dir.display(path)),
            "way": self.steps.iter().map(step).collect::<Vec<_>>(),
            "referrers": self.referrers.iter().map(|r| store_dir.display(r)).collect::<Vec<_>>(),
        })
    }
}

fn through(step: &Step) -> String {
    match step.through.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one}, {two}"),
        [one, rest @ ..] => format!("{one} and {}", counted(rest.len() as u64, "other")),
    }
}

fn shortened(text: &str, limit: usize) -> String {
    let text = super::text::printable(text.as_bytes());
    if text.chars().count() <= limit {
        return text;
    }
    let start: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{start}…")
}

/// Breaks at spaces.
fn wrapped(text: &str, limit: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| !line.is_empty() && line.len() + 1 + word.len() > limit) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
