//! Every way of reading memory gives the bytes that the kernel's own file has.

mod process_helper;

use std::fs::File;
use std::os::unix::fs::FileExt;

use process_helper::Target;
use pyattach::memory::{
    Address, BlockCache, CopyPlan, LiveMemory, MemoryError, MemorySource, ReadRequest,
};
use pyattach::process::{Mapping, Process, StopOptions};

/// Heap of all shapes: small objects, large blocks, memory that was reserved and not touched,
/// pages with gaps, shared memory, a private mapping of a file; and it can grow.
const TARGET: &str = r#"
import mmap, os, sys, tempfile, ctypes
objects = [{"n": n, "text": "x" * (n % 100)} for n in range(50000)]
large = [os.urandom(1 << 20) for n in range(20)]
untouched = mmap.mmap(-1, 1 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
for page in range(0, 5000, 7):
    untouched[page * 4096] = 1 + page % 200
shared = mmap.mmap(-1, 1 << 20)
shared[0:6] = b"shared"
file = tempfile.TemporaryFile()
file.write(b"file" * (1 << 18)); file.flush()
private = mmap.mmap(file.fileno(), 1 << 20, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
private[5000:5007] = b"written"
big = tempfile.TemporaryFile()
big.truncate(100 << 20)
bigmap = mmap.mmap(big.fileno(), 100 << 20, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
bigmap[10 << 20] = 7
bigmap[20 << 20]
def address(m):
    return ctypes.addressof(ctypes.c_char.from_buffer(m))
print("READY")
print(address(untouched), address(shared), address(private), address(bigmap))
for line in sys.stdin:
    if line.strip() == "grow":
        objects.extend([n] for n in range(200000))
        large.extend(os.urandom(3 << 20) for n in range(10))
        del large[3:9]
        untouched.madvise(mmap.MADV_DONTNEED, 0, 4096 * 700)
        untouched[4096 * 8000] = 9
    elif line.strip() == "change":
        for page in range(0, 5000, 7):
            untouched[page * 4096] = 255
        shared[0:6] = b"SHARED"
    print("done")
"#;

fn addresses(target: &Target) -> Vec<Address> {
    target.line().split(' ').map(|word| Address::new(word.parse().unwrap())).collect()
}

/// All bytes of a range, as the kernel's file has them; `None` for pages it cannot read.
fn pages(file: &File, map: &Mapping) -> Vec<(u64, Option<[u8; 4096]>)> {
    let mut pages = Vec::new();
    for at in (map.start..map.end).step_by(4096) {
        let mut page = [0; 4096];
        let read = file.read_exact_at(&mut page, at);
        pages.push((at, read.ok().map(|()| page)));
    }
    pages
}

fn is_private_memory(map: &&Mapping) -> bool {
    // The untouched gigabyte and the large file are looked at by themselves.
    map.readable && map.writable && !map.shared && map.length() < 90 << 20
}

#[test]
fn a_copy_is_the_memory_at_the_stop() {
    let mut target = Target::python(TARGET);
    let [untouched, shared, private, big] = addresses(&target)[..] else { panic!() };
    let process = Process::open(target.pid()).unwrap();
    let file = File::open(format!("/proc/{}/mem", target.pid())).unwrap();

    let plan = CopyPlan::prepare(&process, &process.maps().unwrap(), 1 << 30).unwrap();
    assert!(plan.expected_bytes() > 30 << 20 && plan.expected_bytes() < 200 << 20);
    // Much changes between the plan and the stop.
    assert_eq!(target.ask("grow"), "done");
    let ((copy, truth, maps), _) = process
        .while_stopped(StopOptions::default(), |_| {
            let copy = plan.copy(&process, soon()).unwrap();
            let maps = process.maps().unwrap();
            let truth: Vec<_> =
                maps.iter().filter(is_private_memory).flat_map(|map| pages(&file, map)).collect();
            (copy, truth, maps)
        })
        .unwrap();
    assert_eq!(target.ask("change"), "done");
    assert_eq!(target.ask("grow"), "done");

    assert!(truth.len() > 10_000, "{}", truth.len());
    for (at, page) in &truth {
        let copied = copy.read_vec(Address::new(*at), 4096);
        match page {
            Some(page) => assert!(copied.unwrap() == page, "page {at:#x} differs"),
            None => assert!(copied.unwrap_err().is_fault()),
        }
    }
    // Touched pages, gaps, what was given back, what came after the plan, the far end.
    for page in 0..5000 {
        let expected = if page % 7 != 0 || page < 700 { 0 } else { 1 + page % 200 };
        let at = untouched.add(page * 4096);
        assert_eq!(u64::from(copy.read_u8(at).unwrap()), expected, "{page}");
    }
    assert_eq!(copy.read_u8(untouched.add(8000 * 4096)).unwrap(), 9);
    assert_eq!(copy.read_u64(untouched.add((1 << 30) - 8)).unwrap(), 0);
    // A private file mapping, touched or not; a large one, only what was written.
    assert_eq!(copy.read_vec(private.add(4998), 9).unwrap(), b"lewritten");
    assert_eq!(copy.read_vec(private.add(900_000), 4).unwrap(), b"file");
    assert_eq!(copy.read_u8(big.add(10 << 20)).unwrap(), 7);
    assert!(copy.read_u8(big.add(20 << 20)).unwrap_err().is_fault());
    // Shared memory is of another time.
    assert!(copy.read_u8(shared).unwrap_err().is_fault());
    // Constants come from the process.
    let before = copy.stats();
    for map in maps.iter().filter(|map| map.executable && map.is_file()) {
        let page = pages(&file, map)[0].1.unwrap();
        assert_eq!(copy.read_vec(Address::new(map.start), 4096).unwrap(), page);
    }
    assert!(copy.stats().reads > before.reads);
    assert!(copy.read_u8(Address::NULL).unwrap_err().is_fault());
    let coverage = copy.coverage();
    assert!(coverage.mappings > 5 && coverage.pages_unreadable == 0, "{coverage:?}");
    assert!(coverage.pages_skipped >= (99 << 20) / 4096, "{coverage:?}");
    assert!(coverage.pages_copied * 4096 < 300 << 20, "{coverage:?}");
    assert!(before.bytes >= coverage.pages_copied * 4096);
}

#[test]
fn reads_that_cross_mappings_are_whole() {
    let target = Target::python(TARGET);
    let process = Process::open(target.pid()).unwrap();
    let plan = CopyPlan::prepare(&process, &process.maps().unwrap(), 1 << 30).unwrap();
    let file = File::open(format!("/proc/{}/mem", target.pid())).unwrap();
    let mut crossings = 0;
    process
        .while_stopped(StopOptions::default(), |_| {
            let copy = plan.copy(&process, soon()).unwrap();
            let maps = process.maps().unwrap();
            let cache = BlockCache::with_maps(LiveMemory::new(&process), &maps, 64 << 20);
            // Only where two touch: reading the kernel's file just below the stack would make the
            // stack grow.
            for pair in maps.windows(2).filter(|pair| pair[0].end == pair[1].start) {
                let at = pair[1].start - 100;
                let mut bytes = [0; 200];
                let expected = file.read_exact_at(&mut bytes, at).map(|()| bytes.to_vec());
                let Ok(expected) = expected else { continue };
                assert_eq!(cache.read_vec(Address::new(at), 200).unwrap(), expected);
                // Not all of a large file's mapping is in the copy.
                let whole = |map: &Mapping| !(map.is_file() && map.length() >= 90 << 20);
                if pair.iter().all(|map| !map.shared && map.readable && whole(map)) {
                    assert_eq!(copy.read_vec(Address::new(at), 200).unwrap(), expected);
                    crossings += 1;
                }
            }
        })
        .unwrap();
    assert!(crossings > 3, "{crossings}");
}

#[test]
fn the_cache_says_what_the_file_says() {
    let target = Target::python(TARGET);
    let process = Process::open(target.pid()).unwrap();
    let file = File::open(format!("/proc/{}/mem", target.pid())).unwrap();
    process
        .while_stopped(StopOptions::default(), |_| {
            let maps = process.maps().unwrap();
            // A low ceiling: blocks are given up all the time.
            let cache = BlockCache::with_maps(LiveMemory::new(&process), &maps, 4 << 20);
            for map in maps.iter().filter(|map| map.readable && map.length() < 90 << 20) {
                for (at, page) in pages(&file, map) {
                    // In small pieces, not aligned.
                    for piece in 0..4 {
                        let from = 13 + piece * 1000;
                        let bytes = cache.read_vec(Address::new(at + from as u64), 900);
                        match page {
                            Some(page) => assert!(bytes.unwrap() == page[from..from + 900]),
                            None => assert!(bytes.unwrap_err().is_fault(), "{map:?}"),
                        }
                    }
                }
            }
            let stats = cache.stats();
            assert!(stats.bytes / stats.reads > 30_000, "{stats:?}");
        })
        .unwrap();
}

#[test]
fn scattered_reads_keep_their_order_around_faults() {
    let target = Target::python(TARGET);
    let process = Process::open(target.pid()).unwrap();
    let maps = process.maps().unwrap();
    let live = LiveMemory::new(&process);
    // Code does not change: no stop needed.
    let text = maps.iter().find(|map| map.executable && map.is_file()).unwrap();
    let mut buffers = vec![[0_u8; 8]; 3000];
    let at = |n: usize| {
        Address::new(if n % 700 == 5 { 64 } else { text.start + (n as u64 * 8) % text.length() })
    };
    let mut requests: Vec<_> = buffers
        .iter_mut()
        .enumerate()
        .map(|(n, buffer)| ReadRequest { address: at(n), buffer })
        .collect();
    let before = live.stats();
    let answers = live.read_scattered(&mut requests).unwrap();
    assert_eq!(answers.len(), 3000);
    assert!(live.stats().reads - before.reads < 20);
    for (n, (answer, buffer)) in answers.iter().zip(&buffers).enumerate() {
        if n % 700 == 5 {
            assert!(answer.unwrap_err().is_fault());
        } else {
            assert_eq!(live.read_vec(at(n), 8).unwrap(), buffer);
        }
    }
}

#[test]
fn a_low_ceiling_is_an_answer_of_its_own() {
    let mut target = Target::python(TARGET);
    addresses(&target);
    let process = Process::open(target.pid()).unwrap();
    let maps = process.maps().unwrap();
    let error = CopyPlan::prepare(&process, &maps, 1 << 20).unwrap_err();
    assert_eq!(error, MemoryError::Ceiling { ceiling: 1 << 20 });
    // Grown over it since the plan was made.
    let fits = CopyPlan::prepare(&process, &maps, 1 << 30).unwrap().expected_bytes();
    let plan = CopyPlan::prepare(&process, &maps, fits + (1 << 20)).unwrap();
    assert_eq!(target.ask("grow"), "done");
    let (copy, _) =
        process.while_stopped(StopOptions::default(), |_| plan.copy(&process, soon())).unwrap();
    assert_eq!(copy.unwrap_err(), MemoryError::Ceiling { ceiling: fits + (1 << 20) });
}

#[test]
fn a_process_that_ended_is_gone() {
    let target = Target::python(TARGET);
    let process = Process::open(target.pid()).unwrap();
    let maps = process.maps().unwrap();
    let live = LiveMemory::new(&process);
    let plan = CopyPlan::prepare(&process, &maps, 1 << 30).unwrap();
    assert!(target.end().success());
    let at = Address::new(maps[0].start);
    assert_eq!(live.read_u8(at).unwrap_err(), MemoryError::ProcessGone);
    let cache = BlockCache::with_maps(live, &maps, 1 << 20);
    assert_eq!(cache.read_u8(at).unwrap_err(), MemoryError::ProcessGone);
    assert_eq!(plan.copy(&process, soon()).unwrap_err(), MemoryError::ProcessGone);
}

/// An instant that no test reaches.
fn soon() -> std::time::Instant {
    std::time::Instant::now() + std::time::Duration::from_secs(60)
}
