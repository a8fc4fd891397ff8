//! The built-in scripts. Python 3.8 to 3.15, standard library only; each leaves its answer in
//! `result`.

use super::Script;

/// The diagnosis that people inject, with correct figures. Prints it; with the argument "json" it
/// is the result instead.
pub fn diagnose(json: bool) -> Script {
    let arguments = json.then(|| "json".to_owned()).into_iter().collect();
    script("<diagnose>", include_str!("scripts/diagnose.py"), arguments)
}

/// Recording where memory is allocated: "start", "stop" or "status".
pub fn tracemalloc(action: &str, frames: u32) -> Script {
    let arguments = vec![action.to_owned(), frames.to_string()];
    script("<tracemalloc>", include_str!("scripts/tracemalloc.py"), arguments)
}

/// The collector: "collect", "freeze", "unfreeze" or "status".
pub fn gc(action: &str) -> Script {
    script("<gc>", include_str!("scripts/gc.py"), vec![action.to_owned()])
}

/// Keeping the creation stack of each instance of a class: "track" (begins it, and then tells) or
/// "untrack".
pub fn track(action: &str, class: &str, depth: u32, shown: u32) -> Script {
    let arguments = vec![action.to_owned(), class.to_owned(), depth.to_string(), shown.to_string()];
    script("<track>", include_str!("scripts/track.py"), arguments)
}

fn script(name: &str, source: &str, arguments: Vec<String>) -> Script {
    Script { name: name.to_owned(), source: source.into(), arguments }
}
