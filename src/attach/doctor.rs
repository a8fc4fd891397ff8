//! Can we attach, with which rights, what was found, and what each command will be able to say.
//!
//! Never stops the process; each check is tried, not derived, where trying harms nothing.

use super::describe::python_info;
use super::{AttachError, Target, Trouble};
use crate::layout::Layout;
use crate::process::{Identity, Process, Rights, Verdict as Tried};
use crate::snapshot::doctor::{Ability, Check, DoctorDocument, Verdict};

/// Looks at process `pid`. The second value says what stands in the way, if anything does.
pub fn examine(pid: i32) -> (DoctorDocument, Option<Trouble>) {
    let mut document = DoctorDocument {
        schema: DoctorDocument::SCHEMA,
        pyattach: crate::snapshot::VERSION,
        pid,
        python: None,
        checks: Vec::new(),
        commands: Vec::new(),
    };
    let trouble = match examine_into(pid, &mut document) {
        Ok(()) => None,
        Err(error) => {
            let check = Check::new(subject(&error), Verdict::Fail, with_causes(&error));
            document.checks.push(check.with_hint(error.hint()));
            Some(error.trouble())
        }
    };
    let refused = document.checks.iter().any(|check| check.verdict == Verdict::Fail);
    let trouble = trouble.or(refused.then_some(Trouble::CannotAttach));
    document.commands = abilities(&document, trouble);
    (document, trouble)
}

fn examine_into(pid: i32, document: &mut DoctorDocument) -> Result<(), AttachError> {
    let process = Process::open(pid)?;
    let identity = process.identity()?;
    let rights = process.rights()?;
    document.checks.extend(process_checks(&identity));
    document.checks.extend(right_checks(&identity, &rights));
    if rights.read_memory != Tried::Works {
        // Its check above says what to do; no more can be found out.
        return Ok(());
    }
    let target = Target::open(pid)?;
    document.checks.extend(interpreter_checks(&target.layout, &target.module));
    document.python = Some(python_info(&target));
    Ok(())
}

fn subject(error: &AttachError) -> &'static str {
    match error {
        AttachError::Discover(_) => "interpreter",
        AttachError::Layout(_) | AttachError::State(_) => "layout",
        AttachError::Memory(_) => "memory",
        _ => "process",
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

fn process_checks(identity: &Identity) -> Vec<Check> {
    let user = identity.user.clone().unwrap_or_else(|| format!("uid {}", identity.uid));
    let state = match identity.state {
        'T' => "stopped by a signal; it will be read and stay stopped".to_owned(),
        't' => "stopped by a tracer".to_owned(),
        _ => format!("{} threads", identity.os_threads),
    };
    let mut checks =
        vec![Check::new("process", Verdict::Ok, format!("exists, owned by {user}, {state}"))];
    let others: Vec<&str> = [
        ("pid", identity.namespaces.pid),
        ("mount", identity.namespaces.mount),
        ("network", identity.namespaces.network),
        ("user", identity.namespaces.user),
    ]
    .into_iter()
    .filter(|(_, same)| *same == Some(false))
    .map(|(name, _)| name)
    .collect();
    if !others.is_empty() {
        let detail = format!(
            "its {} namespace{} not ours (a container?); its files are read through its own root",
            others.join(", "),
            if others.len() == 1 { " is" } else { "s are" }
        );
        checks.push(Check::new("namespaces", Verdict::Info, detail));
    }
    checks
}

fn right_checks(identity: &Identity, rights: &Rights) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some((tracer, name)) = &rights.tracer {
        let detail = format!("process {tracer} ({name}) traces it; there can be only one tracer");
        let hint = "end or detach that program; --capture live needs no tracing".to_owned();
        checks.push(Check::new("tracer", Verdict::Fail, detail).with_hint(hint));
    }
    checks.push(tried("read memory", "process_vm_readv works", rights.read_memory, rights));
    if rights.tracer.is_none() {
        checks.push(tried("stop threads", "ptrace works", rights.seize, rights));
    }
    let held = if rights.cap_sys_ptrace { "we have it" } else { "we do not have it" };
    checks.push(Check::new("CAP_SYS_PTRACE", Verdict::Info, held));
    let scope = match rights.ptrace_scope {
        None => "the kernel has no Yama".to_owned(),
        Some(0) => "0: processes of one user may attach to each other".to_owned(),
        Some(1) => "1: only to descendants, without CAP_SYS_PTRACE".to_owned(),
        Some(2) => "2: only with CAP_SYS_PTRACE".to_owned(),
        Some(other) => format!("{other}: nobody may attach, whatever the rights"),
    };
    checks.push(Check::new("ptrace_scope", Verdict::Info, scope));
    if identity.seccomp.is_some_and(|mode| mode != 0) {
        let detail = "the process runs under seccomp filters; reading it is not affected";
        checks.push(Check::new("seccomp", Verdict::Info, detail));
    }
    checks
}

fn tried(name: &str, works: &str, outcome: Tried, rights: &Rights) -> Check {
    match outcome {
        Tried::Works => Check::new(name, Verdict::Ok, works),
        Tried::Refused(errno) => {
            Check::new(name, Verdict::Fail, format!("refused by the kernel: {}", errno.desc()))
                .with_hint(rights_hint(rights))
        }
    }
}

/// What gives us the right to attach, here.
fn rights_hint(rights: &Rights) -> String {
    if rights.our_seccomp == Some(2) {
        return "a seccomp filter on pyattach itself may refuse ptrace: in a container, add the \
                capability SYS_PTRACE (docker run --cap-add SYS_PTRACE; Kubernetes \
                securityContext.capabilities.add: [SYS_PTRACE])"
            .to_owned();
    }
    match rights.ptrace_scope {
        Some(3..) => "ptrace_scope 3 forbids all attaching until the next boot".to_owned(),
        Some(1 | 2) if !rights.cap_sys_ptrace => {
            "run as root (sudo), or lower the restriction: sysctl kernel.yama.ptrace_scope=0"
                .to_owned()
        }
        _ if rights.same_user_namespace == Some(false) => {
            "the process is in another user namespace: run with CAP_SYS_PTRACE there, or as root \
             on the host"
                .to_owned()
        }
        _ => "run as root (sudo) or with CAP_SYS_PTRACE".to_owned(),
    }
}

fn interpreter_checks(layout: &Layout, module: &str) -> Vec<Check> {
    let found = format!("CPython {} in {module}", layout.version);
    let mut checks = vec![Check::new("interpreter", Verdict::Ok, found)];
    let origin = &layout.origin;
    checks.push(Check::new(
        "layout",
        Verdict::Ok,
        format!("from {}", origin.sources.join(", then ")),
    ));
    for check in &origin.checks {
        checks.push(Check::new("validated", Verdict::Ok, check.clone()));
    }
    for warning in &origin.warnings {
        checks.push(Check::new("layout", Verdict::Warn, warning.clone()));
    }
    checks
}

fn abilities(document: &DoctorDocument, trouble: Option<Trouble>) -> Vec<Ability> {
    let able = |command: &str, detail: &str| Ability {
        command: command.to_owned(),
        verdict: Verdict::Ok,
        detail: detail.to_owned(),
    };
    let unable = |command: &str| Ability {
        command: command.to_owned(),
        verdict: Verdict::Fail,
        detail: "not possible: see the failed check above".to_owned(),
    };
    let Some(python) = document.python.as_ref().filter(|_| trouble.is_none()) else {
        let readable = document.python.is_some();
        let live = "with --capture live only: approximate, without thread states";
        let live = |command: &str| Ability { verdict: Verdict::Warn, ..able(command, live) };
        return match readable {
            true => vec![live("dump"), live("census")],
            false => vec![unable("dump"), unable("census")],
        };
    };
    let mut abilities = vec![able("dump", "all threads, their states, lines and locals")];
    // gc tracking by version: Modules/socketmodule.c takes part in collection from 3.12.
    let untracked_sockets = ["3.8", "3.9", "3.10", "3.11"];
    let untracked = untracked_sockets.iter().any(|series| {
        python.version.strip_prefix(series).is_some_and(|rest| rest.starts_with('.'))
    });
    abilities.push(match untracked {
        true => Ability {
            verdict: Verdict::Warn,
            ..able(
                "census",
                "all tracked objects; bare _socket.socket objects are not tracked before 3.12 \
                 (socket.socket and its subclasses are)",
            )
        },
        false => able("census", "all tracked objects and the resources among them"),
    });
    abilities
}
