//! The difference as text: what changes for a person first, a line each, how it comes about last.

use super::{
    Causes, Item, Report,
    lines::Line,
    report::{Package, SourceChange},
};
use crate::inspect::text::{Style, Table, counted, grouped, printable};

/// Items of one kind that are shown without `-v`.
const ITEMS: usize = 12;
/// Lines of one item that are shown without `-v`.
const LINES: usize = 8;
/// Root causes that are shown without `-v`.
const CAUSES: usize = 8;
/// Packages that the short form names.
const SHORT: usize = 8;

impl Report {
    /// For a person; `all` leaves nothing out.
    pub fn text(&self, style: Style, all: bool) -> String {
        let mut out = Text { out: String::new(), style, all };
        for (mark, end) in [("<<<", &self.old), (">>>", &self.new)] {
            out.line(&format!("{mark} {}  {}", style.bold(&printable(end.name.as_bytes())), style.dim(&end.source)));
        }
        if self.equal {
            out.line("no difference");
            return out.out;
        }
        out.packages(self);
        out.items("units", &self.units);
        out.items("files of /etc", &self.files);
        // What is only about building is for those who ask.
        let (telling, rest): (Vec<Item>, Vec<Item>) =
            self.parts.iter().cloned().partition(|part| all || is_telling(part));
        out.items("other parts", &telling);
        if !rest.is_empty() {
            out.line(
                &out.style
                    .dim(&format!("  {} that only builds use, shown with -v", counted(rest.len() as u64, "part"))),
            );
        }
        out.sources(&self.sources);
        out.causes(&self.causes);
        out.line("");
        self.counts().iter().for_each(|line| out.line(line));
        out.out
    }

    /// A few lines, for those who are about to switch.
    pub fn short(&self) -> Vec<String> {
        if self.equal {
            return vec!["it is made as the system that runs is".to_owned()];
        }
        let mut lines = vec![format!("against {}: {}", self.old.source, self.packages_counted())];
        let mut packages: Vec<&Package> = self.packages.iter().collect();
        packages.sort_by_key(|package| !package.selected);
        lines.extend(packages.iter().take(SHORT).map(|package| format!("  {} {}", package.name, versions(package))));
        if packages.len() > SHORT {
            lines.push(format!("  and {} more: firn diff", counted((packages.len() - SHORT) as u64, "package")));
        }
        for (what, items) in [("units", &self.units), ("files of /etc", &self.files)] {
            let names: Vec<String> =
                items.iter().take(SHORT).map(|item| format!("{}{}", mark(item), item.name)).collect();
            let more = if items.len() > SHORT { format!(" and {} more", items.len() - SHORT) } else { String::new() };
            if !names.is_empty() {
                lines.push(format!("  {what}: {}{more}", names.join(", ")));
            }
        }
        lines
    }

    fn packages_counted(&self) -> String {
        let count = |of: fn(&&Package) -> bool| self.packages.iter().filter(of).count() as u64;
        let added = count(|package| package.old.is_empty());
        let removed = count(|package| package.new.is_empty());
        let changed = counted(self.packages.len() as u64 - added - removed, "package");
        format!("{changed} changed, {} added, {} removed", grouped(added), grouped(removed))
    }

    fn counts(&self) -> Vec<String> {
        let totals = &self.totals;
        let number = |count: usize| grouped(count as u64);
        let mut lines = vec![
            self.packages_counted(),
            format!(
                "{}: {} the same, {} changed only by their inputs, {} by themselves, {} added, {} removed",
                counted(totals.derivations as u64, "derivation"),
                number(totals.same),
                number(totals.by_inputs),
                number(totals.own),
                number(totals.added),
                number(totals.removed)
            ),
        ];
        if totals.units_by_inputs > 0 {
            let units = counted(totals.units_by_inputs as u64, "unit");
            lines.push(format!("{units} changed only by their inputs"));
        }
        lines
    }
}

struct Text {
    out: String,
    style: Style,
    all: bool,
}

impl Text {
    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn head(&mut self, head: &str) {
        let head = self.style.bold(head);
        self.line(&format!("\n{head}"));
    }

    fn packages(&mut self, report: &Report) {
        type Of = fn(&&Package) -> bool;
        let kinds: [(&str, Of); 3] = [
            ("packages changed", |package| !package.old.is_empty() && !package.new.is_empty()),
            ("packages added", |package| package.old.is_empty()),
            ("packages removed", |package| package.new.is_empty()),
        ];
        for (head, of) in kinds {
            let mut packages: Vec<&Package> = report.packages.iter().filter(of).collect();
            packages.sort_by_key(|package| !package.selected);
            if packages.is_empty() {
                continue;
            }
            self.head(&format!("{head} ({})", packages.len()));
            let width = packages.iter().map(|package| package.name.len()).max().unwrap_or(0).min(40);
            for package in packages {
                let name = format!("{:width$}", package.name);
                let name = if package.selected { self.style.bold(&name) } else { name };
                let mark = if package.selected { "*" } else { " " };
                let versions = self.versions(package);
                self.line(&format!("{mark} {name}  {versions}"));
            }
        }
    }

    /// What both versions begin with is left as it is.
    fn versions(&self, package: &Package) -> String {
        let (old, new) = (package.old.join(", "), package.new.join(", "));
        let common = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b && !b.is_ascii_digit()).count();
        let common = if old.is_char_boundary(common) && new.is_char_boundary(common) { common } else { 0 };
        let paint = |text: &str, code| format!("{}{}", &text[..common], self.style.paint(&text[common..], code));
        match (old.is_empty(), new.is_empty()) {
            (true, _) => self.style.paint(&new, "32"),
            (_, true) => self.style.paint(&old, "31"),
            _ => format!("{} -> {}", paint(&old, "31"), paint(&new, "32")),
        }
    }

    fn items(&mut self, what: &str, items: &[Item]) {
        if items.is_empty() {
            return;
        }
        self.head(&format!("{what} ({})", items.len()));
        let shown = if self.all { items.len() } else { ITEMS };
        for item in items.iter().take(shown) {
            self.line(&format!("{} {}", mark(item), printable(item.name.as_bytes())));
            for field in &item.fields {
                let lines = if self.all { field.lines.len() } else { LINES };
                if field.name != "text" || item.fields.len() > 1 {
                    self.line(&format!("    {}:", printable(field.name.as_bytes())));
                }
                for line in field.lines.iter().take(lines) {
                    let line = Line::text(line, self.style);
                    self.line(&format!("    {line}"));
                }
                if field.lines.len() > lines {
                    let more = counted((field.lines.len() - lines) as u64, "more line");
                    self.line(&format!("    ... {more}, shown with -v"));
                }
            }
        }
        self.rest(items.len(), shown);
    }

    fn rest(&mut self, all: usize, shown: usize) {
        if all > shown {
            self.line(&format!("  ... {} more, shown with -v", all - shown));
        }
    }

    fn sources(&mut self, sources: &[SourceChange]) {
        if sources.is_empty() {
            return;
        }
        self.head(&format!("sources ({}; --source NAME shows what changed in one)", sources.len()));
        let shown = if self.all { sources.len() } else { ITEMS };
        for source in sources.iter().take(shown) {
            let mark = match (source.old.is_empty(), source.new.is_empty()) {
                (true, _) => '+',
                (_, true) => '-',
                _ => '~',
            };
            let times = source.old.len().max(source.new.len());
            let times = if times > 1 { format!(" ({times})") } else { String::new() };
            self.line(&format!("{mark} {}{times}", source.name));
        }
        self.rest(sources.len(), shown);
    }

    fn causes(&mut self, causes: &[Causes]) {
        let fetched = causes.iter().filter(|cause| cause.fetched).count();
        let causes: Vec<&Causes> = causes.iter().filter(|cause| !cause.fetched).collect();
        if causes.is_empty() {
            return;
        }
        let beside = if fetched > 0 {
            format!(", and {} that they fetch", counted(fetched as u64, "source"))
        } else {
            String::new()
        };
        self.head(&format!("root causes ({}{beside}; --why NAME shows the way from the root)", causes.len()));
        let shown = if self.all { causes.len() } else { CAUSES };
        let mut table = Table::new(&[false, true, false]);
        for cause in causes.iter().take(shown) {
            let name =
                if cause.old == cause.new { cause.new.clone() } else { format!("{} -> {}", cause.old, cause.new) };
            let mut fields = cause.fields.clone();
            if fields.len() > 1 {
                fields.retain(|field| field != "inputs" && field != "name");
            }
            let more = if fields.len() > 4 { ", ..." } else { "" };
            fields.truncate(4);
            table.row([name, counted(cause.affects as u64, "other"), fields.join(", ") + more]);
        }
        let lines: Vec<String> = table.lines().collect();
        lines.iter().for_each(|line| self.line(line));
        self.rest(causes.len(), shown);
    }
}

/// Whether a text changed that somebody wrote, and not only how something is built.
fn is_telling(part: &Item) -> bool {
    part.fields.iter().any(|field| ["text", "activationScript", "script"].contains(&field.name.as_str()))
}

fn mark(item: &Item) -> &'static str {
    match item.change {
        "added" => "+",
        "removed" => "-",
        _ => "~",
    }
}

fn versions(package: &Package) -> String {
    match (package.old.join(", "), package.new.join(", ")) {
        (old, new) if old.is_empty() => format!("added: {new}"),
        (old, new) if new.is_empty() => format!("removed: {old}"),
        (old, new) => format!("{old} -> {new}"),
    }
}
