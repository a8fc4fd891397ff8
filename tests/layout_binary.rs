//! ELF and DWARF reading against the compiler and the loader themselves: offsets are compared
//! with `offsetof`, symbols in memory with symbols in files. Then the same on damaged files.

use proptest::prelude::*;
use pyattach::binary::dwarf::{DebugInfo, Member, Query, Struct, find_structs};
use pyattach::binary::{BinaryError, Image, MemoryImage, Module};
use pyattach::memory::{Address, MemoryError, MemorySource, ReadStats};
use pyattach::process::Mapping;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = r#"
#include <stddef.h>
#include <stdio.h>
struct declared;
typedef const volatile long ticks;
struct inner { char tag; union { int number; struct { short low, high; }; }; };
typedef struct {
    char first;
    struct { long a; struct inner *link; } pair;
    struct inner inner;
    union { double real; char text[3][5]; };
    unsigned int two : 2, three : 3, one : 1;
    unsigned long wide : 40;
    unsigned char byte : 3, rest : 5;
    ticks when;
    struct declared *opaque;
    enum { RED, GREEN } colour;
    int flexible[];
} Outer;
struct only_a_tag { Outer *outer; int last; };
Outer outer; struct only_a_tag tagged;
#define SHOW(member) printf(#member " %zu %zu\n", offsetof(Outer, member), sizeof outer.member)
int main(void) {
    printf("size %zu %zu\n", sizeof(Outer), sizeof(struct only_a_tag));
    SHOW(first); SHOW(pair); SHOW(pair.a); SHOW(pair.link); SHOW(inner.tag); SHOW(inner.number);
    SHOW(inner.high); SHOW(real); SHOW(text); SHOW(when); SHOW(opaque); SHOW(colour);
    outer.two = 3; outer.three = 5; outer.one = 1; outer.wide = 0x123456789aUL;
    outer.byte = 6; outer.rest = 17;
    printf("bytes");
    for (size_t i = 0; i < sizeof outer; i++) printf(" %d", ((unsigned char *)&outer)[i]);
    printf("\n");
    return 0;
}
"#;

const PATHS: [&[&str]; 21] = [
    &["first"],
    &["pair"],
    &["pair.a"],
    &["pair.link"],
    &["inner.tag"],
    &["inner.number"],
    &["inner.high"],
    &["real"],
    &["text"],
    &["when"],
    &["opaque"],
    &["colour"],
    &["no_such", "flexible"],
    &["two"],
    &["three"],
    &["one"],
    &["wide"],
    &["byte"],
    &["rest"],
    &["opaque.nothing"],
    &["first.nothing"],
];

fn query() -> [Query<'static>; 3] {
    [
        Query { names: &["Outer"], members: PATHS.to_vec(), everywhere: true },
        Query { names: &["nothing", "only_a_tag"], members: vec![&["last"]], everywhere: true },
        Query { names: &["declared"], members: vec![], everywhere: false },
    ]
}

struct Compiled {
    elf: Vec<u8>,
    output: String,
}

fn compile(options: &[&str]) -> Compiled {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("a.c"), folder.path().join("a"));
    std::fs::write(&source, SOURCE).unwrap();
    let output =
        Command::new("cc").args(options).arg(&source).arg("-o").arg(&program).output().unwrap();
    assert!(output.status.success(), "{options:?}: {output:?}");
    let output = Command::new(&program).output().unwrap();
    Compiled {
        elf: std::fs::read(&program).unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
    }
}

fn structs(elf: &[u8]) -> Result<Vec<Option<Struct>>, BinaryError> {
    let image = Image::from_bytes(elf.to_vec());
    let elf = image.parse()?;
    find_structs(&DebugInfo::load(&elf)?, &query(), &["a.c"])
}

/// Cuts a bit-field out of the bytes of its struct.
fn bits(member: Member, bytes: &[u64]) -> u64 {
    let (first, width) = member.bits.unwrap();
    let start = member.offset as usize;
    let unit = bytes[start..start + member.size as usize]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | byte);
    (unit >> first) & ((1 << width) - 1)
}

#[test]
fn offsets_are_those_of_the_compiler() {
    for options in [
        &["-gdwarf-5"][..],
        &["-gdwarf-4"],
        &["-gdwarf-3", "-gstrict-dwarf"],
        &["-gdwarf-2", "-gstrict-dwarf"],
        &["-gdwarf-5", "-gz=zlib"],
        &["-gdwarf-5", "-O2", "-flto"],
        &["-gdwarf-5", "-no-pie"],
    ] {
        let compiled = compile(options);
        let found = structs(&compiled.elf).unwrap();
        let outer = found[0].as_ref().unwrap();
        let tagged = found[1].as_ref().unwrap();
        assert_eq!(found[2], None, "{options:?}");
        let mut lines = compiled.output.lines();
        assert_eq!(lines.next().unwrap(), format!("size {} {}", outer.size, tagged.size));
        assert_eq!(tagged.members[0].map(|member| (member.offset, member.size)), Some((8, 4)));
        for (path, member) in PATHS.iter().zip(&outer.members).take(12) {
            let Some(Member { offset, size, bits: None }) = member else {
                panic!("{options:?} {path:?}: {member:?}");
            };
            assert_eq!(lines.next().unwrap(), format!("{} {offset} {size}", path[0]));
        }
        let colour = outer.members[11].unwrap();
        let flexible = outer.members[12].unwrap();
        assert_eq!((flexible.offset, flexible.size), (colour.offset + colour.size, 0));
        let bytes: Vec<u64> =
            lines.next().unwrap().split(' ').skip(1).map(|byte| byte.parse().unwrap()).collect();
        let values = [3, 5, 1, 0x12_3456_789a, 6, 17];
        for (index, value) in values.into_iter().enumerate() {
            let member = outer.members[13 + index].unwrap();
            assert_eq!(bits(member, &bytes), value, "{options:?} {:?}", PATHS[13 + index]);
        }
        assert_eq!(&outer.members[19..], [None, None], "{options:?}");
    }
}

#[test]
fn foreign_files_are_refused() {
    let parse = |bytes: &[u8]| Image::from_bytes(bytes.to_vec()).parse().map(|_| ());
    assert!(matches!(parse(b""), Err(BinaryError::Malformed { .. })));
    assert!(matches!(parse(b"#!/bin/sh\nexit\n"), Err(BinaryError::Malformed { .. })));
    let mut elf = compile(&[]).elf;
    assert!(parse(&elf).is_ok());
    elf[18] = 0xB7;
    assert!(matches!(parse(&elf), Err(BinaryError::OtherMachine { machine: 0xB7 })));
    elf[4] = 1;
    assert!(matches!(parse(&elf), Err(BinaryError::Bits32)));
}

/// Our own memory, read as that of another process would be.
struct OwnMemory(File);

impl MemorySource for OwnMemory {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.0
            .read_exact_at(buffer, address.get())
            .map_err(|_| MemoryError::Fault { address, length: buffer.len() })
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

#[test]
fn memory_and_file_tell_the_same() {
    let maps = Mapping::parse_all(&std::fs::read("/proc/self/maps").unwrap());
    let memory = OwnMemory(File::open("/proc/self/mem").unwrap());
    let mut compared = 0;
    for module in Module::all(&maps).iter().filter(|module| module.is_code()) {
        let image = Image::from_file(File::open(module.path()).unwrap());
        let elf = image.parse().unwrap();
        let bias = module.load_bias(&elf).unwrap();
        let loaded = MemoryImage::read(&memory, Address::new(module.first().start)).unwrap();
        assert_eq!(loaded.load_bias(), bias, "{}", module.file_name());
        assert_eq!(loaded.build_id(), elf.build_id().as_deref());
        assert_eq!(loaded.soname(), elf.soname().as_deref());
        let names = ["malloc", "environ", "__libc_start_main", "_Unwind_Backtrace", "main"];
        let found = elf.symbols(names);
        // A file may have a static table too, of which nothing is loaded.
        if loaded.symbols(names) != [None; 5] {
            assert_eq!(loaded.symbols(names), found);
        }
        if let Some(symbol) = found[0].filter(|_| module.file_name().starts_with("libc.")) {
            let code = memory.read_vec(Address::new(bias + symbol.address), 16).unwrap();
            let text = memory.read_vec(Address::new(libc::malloc as *const () as u64), 16).unwrap();
            assert_eq!(code, text);
            compared += 1;
        }
    }
    assert_eq!(compared, 1, "libc was there");
}

#[test]
fn a_file_that_is_loaded_twice_is_two_modules() {
    let text = b"1000-2000 r--p 00000000 08:01 7 /lib/x.so\n\
                 2000-3000 r-xp 00001000 08:01 7 /lib/x.so\n\
                 3000-4000 rw-p 00000000 00:00 0 \n\
                 8000-9000 r--p 00000000 08:01 7 /lib/x.so\n\
                 9000-a000 r-xp 00001000 08:01 7 /lib/x.so\n\
                 b000-c000 r-xp 00000000 08:01 8 /lib/small.so\n\
                 c000-d000 rw-p 00000000 08:01 8 /lib/small.so\n";
    let modules = Module::all(&Mapping::parse_all(text));
    let starts: Vec<Vec<u64>> = modules
        .iter()
        .map(|module| module.mappings().iter().map(|mapping| mapping.start).collect())
        .collect();
    assert_eq!(starts, [vec![0x1000, 0x2000], vec![0x8000, 0x9000], vec![0xb000, 0xc000]]);
}

fn sample() -> &'static [u8] {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| compile(&["-gdwarf-5"]).elf)
}

/// Asks a possibly damaged file everything there is to ask.
fn exercise(bytes: &[u8]) {
    let image = Image::from_bytes(bytes.to_vec());
    if let Ok(elf) = image.parse() {
        let _ = (elf.symbol("main"), elf.symbols(["outer", "tagged"]), elf.section(".text"));
        let _ = (elf.build_id(), elf.soname(), elf.debug_link(), elf.section_data(".debug_info"));
        let maps = Mapping::parse_all(b"1000-2000 r--p 00000000 08:01 7 /x");
        let _ = Module::all(&maps)[0].load_bias(&elf);
    }
    let _ = structs(bytes);
}

/// A file as it lies in memory when it is mapped as a whole at [`BASE`].
struct Mapped<'a>(&'a [u8]);

const BASE: Address = Address::new(0x40_0000);

impl MemorySource for Mapped<'_> {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let fault = MemoryError::Fault { address, length: buffer.len() };
        let start = address.get().checked_sub(BASE.get()).ok_or(fault)? as usize;
        let end = start.checked_add(buffer.len()).ok_or(fault)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(fault)?);
        Ok(())
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_headers_and_tables(
        flips in prop::collection::vec((0usize..1024, any::<u8>()), 1..8),
        far in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..32),
    ) {
        let mut bytes = sample().to_vec();
        let length = bytes.len();
        for (at, value) in flips {
            bytes[at] = value;
        }
        for (at, value) in far {
            bytes[at.index(length)] = value;
        }
        exercise(&bytes);
        let _ = MemoryImage::read(&Mapped(&bytes), BASE).map(|image| image.symbols(["main"]));
    }

    #[test]
    fn damaged_debug_information(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64),
    ) {
        let mut bytes = sample().to_vec();
        let debug = bytes.len() / 3;
        for (at, value) in flips {
            let index = debug + at.index(bytes.len() - debug);
            bytes[index] = value;
        }
        exercise(&bytes);
    }

    #[test]
    fn truncated_files(at in any::<prop::sample::Index>()) {
        let bytes = &sample()[..at.index(sample().len())];
        exercise(bytes);
        let _ = MemoryImage::read(&Mapped(bytes), BASE).map(|image| image.symbols(["main"]));
    }
}

#[test]
fn nothing_is_read_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("usr/lib/debug/.build-id/ab");
    std::fs::create_dir_all(&place).unwrap();
    let status = Command::new("mkfifo").arg(place.join("cdef.debug")).status().unwrap();
    assert!(status.success());
    let wanted = pyattach::binary::debug_file::Wanted {
        build_id: Some("abcdef"),
        link: None,
        path: Some(Path::new("/usr/bin/python3")),
    };
    assert!(pyattach::binary::debug_file::find(wanted, &[folder.path().to_owned()]).is_none());
}
