//! The threads of the OpenMP runtime that torch has loaded. Between its parallel regions they wait busily, for
//! milliseconds: threads of another pool would have to share their cores with them.

use std::any::Any;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What GCC compiles `#pragma omp parallel` to, and the two questions that a thread may ask.
struct Runtime {
    parallel: unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint),
    number: unsafe extern "C" fn() -> c_int,
    count: unsafe extern "C" fn() -> c_int,
    /// The process that it belongs to: a fork does not inherit threads.
    owner: u32,
}

fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(find).as_ref();
    runtime.filter(|runtime| runtime.owner == std::process::id())
}

/// The one among the libraries of this process that lies with torch's own.
fn find() -> Option<Runtime> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    let path = paths.into_iter().find(|path| {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        name.starts_with("libgomp")
            && (folder.ends_with("/torch/lib") || folder.ends_with("/torch.libs"))
    })?;
    let path = CString::new(path).ok()?;
    // SAFETY: the text ends with a zero, and nothing is loaded that is not there already.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return None;
    }
    let symbol = |name: &[u8]| {
        // SAFETY: the library is open, the name ends with a zero.
        let address = unsafe { libc::dlsym(library, name.as_ptr().cast::<c_char>()) };
        (!address.is_null()).then_some(address)
    };
    let (parallel, number, count) = (
        symbol(b"GOMP_parallel\0")?,
        symbol(b"omp_get_thread_num\0")?,
        symbol(b"omp_get_num_threads\0")?,
    );
    // SAFETY: these are the functions' types in libgomp's interface, which compiled programs rely on.
    unsafe {
        Some(Runtime {
            parallel: std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint),
            >(parallel),
            number: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(number),
            count: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(count),
            owner: std::process::id(),
        })
    }
}

struct Region<'w> {
    runtime: &'static Runtime,
    parts: usize,
    work: &'w (dyn Fn(usize) + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

extern "C" fn run(data: *mut c_void) {
    // SAFETY: `each` hands over a region that outlives the call.
    let region = unsafe { &*data.cast::<Region<'_>>() };
    // SAFETY: both only ask.
    let (number, count) = unsafe { ((region.runtime.number)(), (region.runtime.count)()) };
    let number = usize::try_from(number).unwrap_or(0);
    let count = usize::try_from(count).unwrap_or(1).max(1);
    for part in (number..region.parts).step_by(count) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (region.work)(part))) {
            *region.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }
}

/// Does the parts of a work on these threads; false where there is no such runtime, and nothing was done.
pub fn each(parts: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
    let (Some(runtime), Ok(threads)) = (runtime(), c_uint::try_from(parts)) else {
        return false;
    };
    let region = Region {
        runtime,
        parts,
        work,
        panic: Mutex::new(None),
    };
    // SAFETY: the function returns when all threads are done with the region.
    unsafe { (runtime.parallel)(run, (&raw const region).cast_mut().cast(), threads, 0) };
    let panic = region
        .panic
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    true
}
