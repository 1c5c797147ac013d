//! A program: buffers, and steps that go from one to the next.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::buffer::{Buffer, Place};
use super::memory::Memory;
use super::plan::{Life, plan};
use super::step::{self, Step};
use super::view::{Places, Region};
use crate::error::{Error, Result};

/// A program as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    buffers: Vec<Buffer>,
    steps: Vec<Value>,
}

/// A program whose every access was checked. Any number of threads may run it at once.
///
/// ```
/// # use _hypatia_core::native::Program;
/// let program = Program::new(
///     r#"{"buffers": [{"elements": 3, "kind": "float32", "place": "argument"},
///                     {"elements": 3, "kind": "float32", "place": "result"}],
///         "steps": [{"step": "rows", "outer": [], "row": 3,
///                    "loads": [{"buffer": 0, "offset": 0, "strides": [1]}],
///                    "code": [["neg", 0]],
///                    "stores": [{"register": 1, "view": {"buffer": 1, "offset": 0, "strides": [1]}}]}]}"#,
/// )?;
/// let (x, mut y) = ([1.0f32, 2.0, 3.0], [0.0f32; 3]);
/// let addresses = [x.as_ptr().expose_provenance(), y.as_mut_ptr().expose_provenance()];
/// // SAFETY: so many numbers lie there, and nobody else uses y.
/// unsafe { program.run(&addresses, 1)? };
/// assert_eq!(y, [-1.0, -2.0, -3.0]);
/// # Ok::<(), _hypatia_core::error::Error>(())
/// ```
pub struct Program {
    buffers: Vec<Buffer>,
    steps: Vec<Box<dyn Step>>,
    /// Buffers of the caller, in the order of their addresses.
    given: Vec<usize>,
    /// Where scratch buffers lie in the arena.
    places: Vec<Option<usize>>,
    bytes: usize,
    work: usize,
    /// Memory of runs that have ended, for those that come.
    free: Mutex<Vec<Memory>>,
}

impl Program {
    /// Reads and checks a program.
    ///
    /// # Errors
    /// What the text says that cannot be, and at which step.
    pub fn new(text: &str) -> Result<Self> {
        let text: Text =
            serde_json::from_str(text).map_err(|e| Error::new(format!("native program: {e}")))?;
        let mut buffers = text.buffers;
        for (number, buffer) in buffers.iter().enumerate() {
            if buffer
                .elements
                .checked_mul(8)
                .is_none_or(|bytes| bytes > isize::MAX as usize)
            {
                return Err(Error::new(format!(
                    "native program: buffer {number}: more elements than there can be"
                )));
            }
        }
        let mut written: Vec<Places> = Vec::new();
        let mut lives: Vec<Life> = Vec::new();
        let mut steps: Vec<Box<dyn Step>> = Vec::with_capacity(text.steps.len());
        for (number, text) in text.steps.into_iter().enumerate() {
            let at = |e: Error| Error::new(format!("native program: step {number}: {e}"));
            let made = step::read(text, &mut buffers).map_err(at)?;
            lives.resize(buffers.len(), None);
            written.extend(buffers[written.len()..].iter().map(unwritten));
            for step in made {
                check(step.as_ref(), &buffers, &mut written).map_err(at)?;
                for region in step.reads().iter().chain(step.writes()) {
                    let life = &mut lives[region.view.buffer];
                    let first = life.map_or(steps.len(), |(first, _)| first);
                    *life = Some((first, steps.len()));
                }
                steps.push(step);
            }
        }
        lives.resize(buffers.len(), None);
        written.extend(buffers[written.len()..].iter().map(unwritten));
        let missing = (0..buffers.len())
            .find(|&b| buffers[b].place == Place::Result && !written[b].is_everything());
        if let Some(buffer) = missing {
            return Err(Error::new(format!(
                "native program: buffer {buffer} is a result and is not written whole"
            )));
        }
        let (places, bytes) = plan(&buffers, &lives)?;
        let of = |place: Place| {
            let buffers = buffers.iter().enumerate();
            buffers
                .filter(move |(_, buffer)| buffer.place == place)
                .map(|(number, _)| number)
        };
        Ok(Self {
            given: of(Place::Argument).chain(of(Place::Result)).collect(),
            places: places
                .into_iter()
                .zip(&buffers)
                .map(|(at, buffer)| (buffer.place == Place::Scratch).then_some(at))
                .collect(),
            bytes,
            work: steps
                .iter()
                .fold(0, |sum: usize, step| sum.saturating_add(step.work())),
            steps,
            buffers,
            free: Mutex::default(),
        })
    }

    /// Runs it on memory at these addresses, those of arguments first and then those of results, with so many threads at
    /// most.
    ///
    /// # Errors
    /// Addresses are missing or cannot hold such numbers; an index lies outside its table.
    ///
    /// # Safety
    /// At each address lie as many elements as the buffer has, of its kind; bools are 0 or 1. Nobody writes to arguments
    /// or uses results meanwhile, and results overlap nothing.
    pub unsafe fn run(&self, addresses: &[usize], threads: usize) -> Result<()> {
        let memory = self.memory(addresses)?;
        let done = self
            .steps
            .iter()
            .try_for_each(|step| step.run(&memory, threads));
        self.give_back(memory);
        done
    }

    /// Runs it, and says how many seconds each step took.
    ///
    /// # Errors
    /// As [`Program::run`].
    ///
    /// # Safety
    /// As [`Program::run`].
    pub unsafe fn times(&self, addresses: &[usize], threads: usize) -> Result<Vec<f64>> {
        let memory = self.memory(addresses)?;
        let mut times = Vec::with_capacity(self.steps.len());
        let done = self.steps.iter().try_for_each(|step| {
            let start = Instant::now();
            step.run(&memory, threads)?;
            times.push(start.elapsed().as_secs_f64());
            Ok(())
        });
        self.give_back(memory);
        done.map(|()| times)
    }

    /// What each step is, as the text calls it.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().map(|step| step.kind())
    }

    /// Memory for a run, the caller's at these addresses.
    fn memory(&self, addresses: &[usize]) -> Result<Memory> {
        if addresses.len() != self.given.len() {
            return Err(Error::new(format!(
                "native program: {} addresses for {} arguments and results",
                addresses.len(),
                self.given.len()
            )));
        }
        let mut memory = self.take();
        for (&buffer, &address) in self.given.iter().zip(addresses) {
            let Buffer { elements, kind, .. } = self.buffers[buffer];
            let fits = elements == 0 || (address != 0 && address.is_multiple_of(kind.bytes()));
            if !fits {
                return Err(Error::new(format!(
                    "native program: buffer {buffer}: {kind} cannot lie at {address}"
                )));
            }
            memory.put(buffer, address);
        }
        Ok(memory)
    }

    /// Memory that no other run uses.
    fn take(&self) -> Memory {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        free.unwrap_or_else(|| Memory::new(&self.places, self.bytes))
    }

    fn give_back(&self, memory: Memory) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(memory);
    }

    /// Bytes of memory of its own that a run takes.
    pub fn scratch_bytes(&self) -> usize {
        self.bytes
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// About how many picoseconds a run takes one thread.
    pub fn work(&self) -> usize {
        self.work
    }
}

/// What of a buffer holds something before the first step.
fn unwritten(buffer: &Buffer) -> Places {
    match buffer.place {
        Place::Argument => Places::everything(buffer.elements),
        Place::Result | Place::Scratch => Places::new(buffer.elements),
    }
}

/// Refuses a step that reads what nobody wrote, writes what is only read, or writes where it reads; notes what it writes.
fn check(step: &dyn Step, buffers: &[Buffer], written: &mut [Places]) -> Result<()> {
    for read in step.reads() {
        let places = &written[read.view.buffer];
        if !read.runs(|at, length| places.contains(at, length)) {
            return Err(Error::new(format!(
                "buffer {} is read from {} with strides {:?} over sizes {:?} before it is written there",
                read.view.buffer, read.view.offset, read.view.strides, read.sizes
            )));
        }
    }
    let writes = step.writes();
    for (number, write) in writes.iter().enumerate() {
        let buffer = write.view.buffer;
        if buffers[buffer].place == Place::Argument {
            return Err(Error::new(format!(
                "buffer {buffer} is an argument, which is only read"
            )));
        }
        let overlaps = |other: &Region| write.meets(other);
        let same = |read: &&Region| step.in_place() && read.view == write.view;
        if step.reads().iter().filter(|read| !same(read)).any(overlaps)
            || writes[..number].iter().any(overlaps)
        {
            return Err(Error::new(format!(
                "buffer {buffer} is written where the same step reads or writes other elements of it"
            )));
        }
    }
    for write in writes {
        let places = &mut written[write.view.buffer];
        write.runs(|at, length| {
            places.add(at, length);
            true
        });
    }
    Ok(())
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{step}")?;
            let ends = |regions: &[Region]| -> Vec<String> {
                regions
                    .iter()
                    .map(|region| region.view.buffer.to_string())
                    .collect()
            };
            write!(
                f,
                ": {} → {}",
                ends(step.reads()).join(" "),
                ends(step.writes()).join(" ")
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("buffers", &self.buffers)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
