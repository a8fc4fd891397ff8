//! Functions and objects of the interpreter, by their exported names.

use super::ExecError;
use crate::binary::{Image, MemoryImage, Module};
use crate::memory::{Address, LiveMemory};
use crate::process::{Mapping, Process};

/// All are exported by every build since 3.8: extensions link against them.
const NAMES: [&str; 5] = [
    "PyRun_SimpleString",
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyErr_CheckSignals",
    "PyExc_SystemExit",
];

/// Where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Functions {
    /// `int PyRun_SimpleString(const char *)`
    pub(super) run: u64,
    /// `PyGILState_STATE PyGILState_Ensure(void)`
    pub(super) ensure: u64,
    /// `void PyGILState_Release(PyGILState_STATE)`
    pub(super) release: u64,
    /// `int PyErr_CheckSignals(void)`: does nothing new in the main thread and returns 0.
    pub(super) nothing: u64,
    /// Address of a pointer to the class.
    pub(super) system_exit: u64,
    /// An empty C string: zeros of the ELF header, which every module has.
    pub(super) empty_text: u64,
}

/// Bytes of `e_ident` that are always zero (elf(5): `EI_PAD`).
const ZEROS: u64 = 9;

impl Functions {
    /// Finds them in the module that holds the interpreter.
    pub(super) fn find(
        process: &Process,
        maps: &[Mapping],
        module: &str,
    ) -> Result<Self, ExecError> {
        let modules = Module::all(maps);
        let module = modules
            .iter()
            .find(|found| found.path().to_string_lossy() == module)
            .ok_or(ExecError::NoFunctions { pid: process.pid(), name: NAMES[0] })?;
        let found = in_file(process, module).or_else(|| in_memory(process, module));
        let found = found.unwrap_or_default();
        let address = |index: usize| {
            let name = NAMES.get(index).copied().unwrap_or_default();
            let missing = ExecError::NoFunctions { pid: process.pid(), name };
            found.get(index).copied().flatten().ok_or(missing)
        };
        Ok(Self {
            run: address(0)?,
            ensure: address(1)?,
            release: address(2)?,
            nothing: address(3)?,
            system_exit: address(4)?,
            empty_text: module.first().start + ZEROS,
        })
    }
}

type Addresses = [Option<u64>; NAMES.len()];

fn in_file(process: &Process, module: &Module) -> Option<Addresses> {
    let image = Image::from_file(process.open_mapped_file(module.first()).ok()?);
    let elf = image.parse().ok()?;
    let bias = module.load_bias(&elf)?;
    Some(elf.symbols(NAMES).map(|symbol| Some(symbol?.address.wrapping_add(bias))))
}

fn in_memory(process: &Process, module: &Module) -> Option<Addresses> {
    let memory = LiveMemory::new(process);
    let image = MemoryImage::read(&memory, Address::new(module.first().start)).ok()?;
    let bias = image.load_bias();
    Some(image.symbols(NAMES).map(|symbol| Some(symbol?.address.wrapping_add(bias))))
}
