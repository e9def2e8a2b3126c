//! `import STORE LINK [TARGET...] < EXPORT`: imports an export stream through a daemon, roots it, and realises the targets
//! (`root!out` means the root's).
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "an example")]

use firn_core::{MemorySpool, Proven, export};
use firn_store::{
    Environment,
    daemon::{Event, Session, SessionOptions},
    root::{RootPlace, RootRequest},
};
use std::{error::Error, io::BufReader, time::Instant};

fn main() {
    if let Err(error) = run() {
        let mut error: &dyn Error = &*error;
        eprintln!("error: {error}");
        while let Some(source) = error.source() {
            eprintln!("  {source}");
            error = source;
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut spool = MemorySpool::new();
    let exported = export::read(BufReader::new(std::io::stdin()), &mut spool)?;
    let store_dir = exported.store_dir.unwrap_or_default();
    let paths: Result<Vec<_>, _> = exported.paths.into_iter().map(|path| path.prove(&store_dir, &spool)).collect();
    let closure = Proven::new(store_dir.clone(), None, paths?)?;
    let target = closure.roots().last().unwrap().clone();
    let place = match arguments[1].as_str() {
        link if link.contains('/') => RootPlace::Link(link.into()),
        name => RootPlace::Name(name.to_owned()),
    };
    let environment = Environment::new(rustix::process::geteuid().as_raw(), |name| std::env::var_os(name));
    let roots = vec![RootRequest { place, target: target.clone() }];
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    let mut events = |event: Event| {
        let key = match &event {
            Event::Line(line) => {
                eprintln!("| {line}");
                "line".to_owned()
            }
            Event::Sent { .. } => "sent".to_owned(),
            Event::Start { kind, .. } => format!("start {kind:?}"),
            Event::Stop { .. } => "stop".to_owned(),
            Event::Result { kind, fields, .. } => {
                if *kind == firn_store::daemon::ResultKind::BuildLogLine {
                    eprintln!("> {fields:?}");
                }
                format!("result {kind:?}")
            }
        };
        *counts.entry(key).or_default() += 1;
    };
    let start = Instant::now();
    let options = SessionOptions { roots, ..SessionOptions::default() };
    if let Some(millis) = std::env::var("STOP").ok().and_then(|millis| millis.parse().ok()) {
        let stop = std::sync::Arc::clone(&options.stop);
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(millis));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
    let mut session = Session::open(&arguments[0].parse()?, &environment, &store_dir, options)?;
    let plan = session.plan(&closure, &mut events)?;
    println!("{:?}: {} of {} there", session.greeting().unwrap(), plan.present(), closure.paths().len());
    let report = session.add_missing(&closure, &spool, plan, &mut events)?;
    println!("{report:?}");
    println!("{:?}", session.make_roots(&mut events)?);
    println!("{} round trips, {:.3} s", session.round_trips(), start.elapsed().as_secs_f64());
    let root = store_dir.display(&target);
    let targets: Vec<String> = arguments[2..].iter().map(|target| target.replace("root", &root)).collect();
    if !targets.is_empty() {
        let missing = session.missing(&targets, &mut events)?;
        println!(
            "build {}, fetch {}, unknown {}",
            missing.build.len(),
            missing.substitute.len(),
            missing.unknown.len()
        );
        if std::env::var_os("BUILD").is_some() {
            for result in session.build(&targets, &mut events)? {
                println!("{result:?}");
            }
        }
    }
    session.close(&mut events)?;
    println!("{counts:?}");
    Ok(())
}
