//! How fast we are, and how long targets stand still, beside the tools that people use today.
//!
//! `cargo bench` runs everything on two interpreters; `cargo bench -- --help` says what else there is. Peers are
//! installed into `target/` (py-spy, pystack) or taken from the system (gdb); one that is not there is named and left out.
//! All contenders of a case run in turn on the same target, so that what else the machine does falls on all of them.
//! Nothing here is asserted: timings are for people. `docs/performance.md` holds the last published figures.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its results")]

mod bare_copy;
mod bare_stop;
mod cases;
mod chart;
mod contenders;
mod document;
mod goals;
mod injected;
mod measure;
mod options;
mod peers;
mod served;
mod statistics;
mod targets;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, pid, room] = &words[..]
        && first == bare_copy::WORD
    {
        return bare_copy::main(pid, room);
    }
    if let [first, pid] = &words[..] {
        match first.as_str() {
            bare_stop::WORD => return bare_stop::main(pid, bare_stop::bare),
            bare_stop::OURS => return bare_stop::main(pid, bare_stop::ours),
            _ => {}
        }
    }
    match options::parse(&words).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &options::Options) -> Result<(), String> {
    let peers = peers::find();
    let (mut results, mut served, mut injected) = (Vec::new(), Vec::new(), Vec::new());
    for (index, label) in options.pythons.iter().enumerate() {
        let Some(python) = support::interpreters().iter().find(|one| one.label == *label) else {
            println!("not run: no interpreter {label}");
            continue;
        };
        let wanted = |case: &&cases::Case| {
            let once = index > 0 && options.quick && case.is_about_modes();
            options.selects(case.name, case.rounds) && !once
        };
        for case in cases::ALL.iter().filter(wanted) {
            eprintln!("{label}: {} …", case.name);
            match measure::measure(python, case, &peers, options) {
                Ok(outcome) => {
                    println!("{}", document::figures(std::slice::from_ref(&outcome)));
                    results.push(outcome);
                }
                Err(problem) => println!("not run: {}, {label}: {problem}", case.name),
            }
        }
    }
    if options.selects(served::NAME, served::ROUNDS) {
        for python in served::interpreters(options) {
            eprintln!("{python}: {} …", served::NAME);
            match served::measure(python, &peers, options) {
                Ok(outcome) => {
                    println!("{}", served::figures(std::slice::from_ref(&outcome)));
                    served.push(outcome);
                }
                Err(problem) => println!("not run: {}, {python}: {problem}", served::NAME),
            }
        }
    }
    if options.selects(injected::NAME, injected::ROUNDS) {
        for label in &options.pythons {
            let Some(python) = support::interpreters().iter().find(|one| one.label == *label)
            else {
                continue;
            };
            eprintln!("{python}: {} …", injected::NAME);
            match injected::measure(python, &peers, options) {
                Ok(outcome) => {
                    println!("{}", injected::figures(std::slice::from_ref(&outcome)));
                    injected.push(outcome);
                }
                Err(problem) => println!("not run: {}, {python}: {problem}", injected::NAME),
            }
        }
    }
    if results.is_empty() && served.is_empty() && injected.is_empty() {
        return Err("nothing was run".to_owned());
    }
    let goals = goals::judge(&results);
    println!("{}", document::goals(&goals));
    for name in peers.missing() {
        println!("not run: {name}");
    }
    match &options.write {
        Some(path) => {
            let charts = chart::write(path, &results)?;
            let tables = document::figures(&results)
                + &served::figures(&served)
                + &injected::figures(&injected);
            document::write(path, &tables, &charts, &goals, options)
        }
        None => Ok(()),
    }
}
