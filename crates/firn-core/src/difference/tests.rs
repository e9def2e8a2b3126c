use super::*;
use crate::{
    ClaimedPath, MemorySpool, Node, ProvenPath, Spool, StoreDir, StorePath, address_path,
    derivation::{Derivation, Input, Output},
    hash::sha256,
};

/// Derivations that a test makes, references first.
#[derive(Default)]
struct Store {
    spool: MemorySpool,
    paths: Vec<ProvenPath>,
}

impl Store {
    /// A derivation with these inputs, each named in its variable `inputs`, and more variables.
    fn drv(&mut self, name: &str, inputs: &[usize], env: &[(&str, &str)]) -> usize {
        let dir = StoreDir::default();
        let out = |drv: &StorePath| format!("/nix/store/{}-{name}", &sha256_text(drv.as_str())[..32]);
        let mut drv = Derivation { system: b"x".into(), builder: b"/bin/sh".into(), ..Derivation::default() };
        let mut named = Vec::new();
        for input in inputs {
            let path = self.paths[*input].path();
            drv.inputs.push(Input { path: dir.display(path).into_bytes(), outputs: vec![b"out".to_vec()] });
            let text = self.text(*input);
            named.push(Derivation::parse(&text).unwrap().outputs[0].path.clone());
        }
        drv.inputs.sort_by(|a, b| a.path.cmp(&b.path));
        drv.env = vec![(b"inputs".to_vec(), named.join(&b' ')), (b"name".to_vec(), name.into())];
        drv.env.extend(env.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())));
        let seed =
            StorePath::from_parts(&[0; 20], &sha256_text(&String::from_utf8_lossy(&drv.print())).as_bytes()[..40]);
        drv.outputs = vec![Output { name: b"out".into(), path: out(&seed.unwrap()).into_bytes(), ..Output::default() }];
        let text = drv.print();
        let references: Vec<StorePath> = inputs.iter().map(|input| self.paths[*input].path().clone()).collect();
        let mut sorted = references.clone();
        sorted.sort();
        let name = format!("{name}.drv");
        let path = address_path(&dir, crate::Address::Text, &sha256(&text), &sorted, name.as_bytes()).unwrap().unwrap();
        let content = Node::file(self.spool.put(&text).unwrap());
        let claimed = ClaimedPath { path, references, content, deriver: None, signatures: Vec::new() };
        self.paths.push(claimed.prove(&dir, &self.spool).unwrap());
        self.paths.len() - 1
    }

    fn text(&self, number: usize) -> Vec<u8> {
        let Node::Regular { contents, .. } = self.paths[number].content() else { panic!() };
        self.spool.get(*contents).unwrap()
    }

    fn side(&self) -> Side<'_> {
        let root = self.paths.last().unwrap().path().clone();
        Side::new(&StoreDir::default(), &[root], &self.paths, &self.spool)
    }
}

fn sha256_text(text: &str) -> String {
    crate::hash::base32(&sha256(text.as_bytes()))
}

/// A system of a shell, a program built with it, and a unit.
fn system(shell: &str, unit: &str, extra: &[&str]) -> Store {
    let mut store = Store::default();
    let shell = store.drv(shell, &[], &[]);
    let mut inputs =
        vec![store.drv("hello-2.10", &[shell], &[]), store.drv("unit-a.service", &[shell], &[("text", unit)])];
    inputs.extend(extra.iter().map(|name| store.drv(name, &[shell], &[])));
    store.drv("nixos-system-web-19.09", &inputs, &[]);
    store
}

fn told(old: &Store, new: &Store) -> (Vec<String>, Vec<String>, Vec<PackageChange>) {
    let (old, new) = (old.side(), new.side());
    let difference = Difference::new(&old, &new).unwrap();
    let name = |own| {
        let names = difference.pairs.iter().filter(|pair| pair.own == own).map(|pair| new.name(pair.new).to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    (name(true), name(false), packages(&difference).unwrap())
}

#[test]
fn a_new_version_below_changes_one_text_and_the_inputs_of_the_rest() {
    let (old, new) = (system("bash-4.4-p23", "x", &[]), system("bash-5.0", "x", &[]));
    let (own, inputs, packages) = told(&old, &new);
    assert_eq!(own, ["bash-5.0"]);
    assert_eq!(inputs, ["hello-2.10", "nixos-system-web-19.09", "unit-a.service"]);
    let [bash] = packages.as_slice() else { panic!("{packages:?}") };
    assert_eq!(
        (bash.name.as_str(), &bash.old[..], &bash.new[..]),
        ("bash", &["4.4-p23".into()][..], &["5.0".into()][..])
    );
}

#[test]
fn a_unit_that_changes_is_the_cause_and_shows_its_text() {
    let (old, new) = (system("bash-5.0", "x\n", &[]), system("bash-5.0", "y\n", &[]));
    let (old, new) = (old.side(), new.side());
    let difference = Difference::new(&old, &new).unwrap();
    let causes = difference.causes();
    let [(pair, 1)] = causes.as_slice() else { panic!("{causes:?}") };
    assert_eq!(Kinds::new(&new).unwrap().of(pair.new).unwrap(), Kind::Unit);
    let field = Field { name: "text".into(), old: Some(b"x\n".into()), new: Some(b"y\n".into()) };
    assert_eq!(difference.fields(pair).unwrap(), [field]);
    assert_eq!((difference.same(), difference.added.len(), difference.removed.len()), (2, 0, 0));
    let way: Vec<&str> = new.way(pair.new).into_iter().map(|number| new.name(number)).collect();
    assert_eq!(way, ["nixos-system-web-19.09", "unit-a.service"]);
}

#[test]
fn a_file_of_a_specialisation_is_none_of_the_system() {
    let mut store = Store::default();
    let mut system = |name: &str, specialisations: &[usize]| {
        let file = store.drv(&format!("{name}.conf"), &[], &[]);
        let etc = store.drv("etc", &[file], &[]);
        (store.drv(&format!("nixos-system-{name}"), &[&[etc][..], specialisations].concat(), &[]), file)
    };
    let (special, other) = system("special", &[]);
    let (_, file) = system("web", &[special]);
    let side = store.side();
    let kinds = Kinds::new(&side).unwrap();
    let kind = |number: usize| kinds.of(side.number(store.paths[number].path()).unwrap()).unwrap();
    assert_eq!((kind(file), kind(other)), (Kind::File, Kind::Part));
}

#[test]
fn a_package_that_comes_is_added_and_changes_what_names_it() {
    let (old, new) = (system("bash-5.0", "x", &[]), system("bash-5.0", "x", &["jq-1.6", "jq-fixup-hook-1.0"]));
    let (own, inputs, packages) = told(&old, &new);
    assert_eq!((own, inputs), (vec!["nixos-system-web-19.09".to_owned()], vec![]));
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["jq"]);
    let (_, _, gone) = told(&new, &old);
    assert!(gone[0].new.is_empty() && gone[0].old == ["1.6"]);
}

#[test]
fn several_versions_of_a_name_are_paired_by_likeness_and_told_together() {
    let old = system("bash-5.0", "x", &["python3-3.7.4", "python3-2.7.16"]);
    let new = system("bash-5.0", "x", &["python3-3.7.5", "python3-2.7.17"]);
    let (own, _, packages) = told(&old, &new);
    assert_eq!(own, ["python3-2.7.17", "python3-3.7.5"]);
    assert_eq!(
        (&packages[0].old[..], &packages[0].new[..]),
        (&["2.7.16".into(), "3.7.4".into()][..], &["2.7.17".into(), "3.7.5".into()][..])
    );
}

#[test]
fn the_order_of_the_paths_means_nothing() {
    /// Fetches of one name and many texts.
    fn fetches(version: &str) -> Store {
        let mut store = Store::default();
        let inputs: Vec<usize> =
            (0..20).map(|n| store.drv("source", &[], &[("url", &format!("{version}/{n}"))])).collect();
        store.drv("nixos-system-web-19.09", &inputs, &[]);
        store
    }
    let (old, new) = (fetches("1"), fetches("2"));
    let pairs = |new: &Store| {
        let (old, new) = (old.side(), new.side());
        let difference = Difference::new(&old, &new).unwrap();
        let paths = |pair: &Pair| (old.path(pair.old).clone(), new.path(pair.new).clone());
        difference.pairs.iter().map(paths).collect::<std::collections::BTreeSet<_>>()
    };
    let root = new.paths.last().unwrap().path().clone();
    let mut reversed = Store { spool: MemorySpool::new(), paths: Vec::new() };
    for path in new.paths.iter().rev() {
        let Node::Regular { contents, .. } = path.content() else { panic!() };
        let content = Node::file(reversed.spool.put(&new.spool.get(*contents).unwrap()).unwrap());
        let (path, references) = (path.path().clone(), path.references().to_vec());
        let claimed = ClaimedPath { path, references, content, deriver: None, signatures: Vec::new() };
        reversed.paths.push(claimed.prove(&StoreDir::default(), &reversed.spool).unwrap());
    }
    let last = reversed.paths.iter().position(|path| *path.path() == root).unwrap();
    let end = reversed.paths.len() - 1;
    reversed.paths.swap(last, end);
    assert_eq!(pairs(&new), pairs(&reversed));
    assert_eq!(pairs(&new).len(), 21);
}

#[test]
fn equal_sides_have_no_difference() {
    let system = system("bash-5.0", "x", &[]);
    let (old, new) = (system.side(), system.side());
    assert!(Difference::new(&old, &new).unwrap().is_empty());
}
