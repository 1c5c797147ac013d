//! How an instance is varied: extents, ranks, attributes, element types, one random edit after another.
//! An edit need not lead to a well-typed instance; whoever edits asks.

use fastrand::Rng;

use crate::attribute::{Attribute, Elements};
use crate::op::Op;
use crate::tensor_type::{DType, Dim, Shape};
use crate::trial::instance::{Instance, Operands, Slot};

/// Extents that instances are made of; small, so that evaluation is cheap, with the two that are special.
const EXTENTS: [i64; 6] = [0, 1, 1, 2, 3, 4];
/// Instances above these sizes are not worth their time.
const MOST_ELEMENTS: u64 = 300;
const MOST_RANK: usize = 6;

const FLOATS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];
const OTHERS: [DType; 6] = [
    DType::I64,
    DType::I32,
    DType::I8,
    DType::U8,
    DType::C64,
    DType::C64,
];

impl Instance {
    fn tensors(&mut self) -> impl Iterator<Item = &mut Operands> {
        let slots = self.slots.iter_mut().filter_map(|s| match s {
            Slot::Tensor(t) => Some(t),
            _ => None,
        });
        slots.chain(self.remainder.as_mut())
    }

    /// Every shape: of tensors, of spread constants, of attributes.
    fn shapes(&mut self) -> Vec<&mut Shape> {
        let slots = self.slots.iter_mut().flat_map(|s| match s {
            Slot::Tensor(t) => t.shapes.iter_mut().collect(),
            Slot::Attribute(Attribute::Shape(s)) | Slot::Number(_, s) => vec![s],
            Slot::Attribute(Attribute::Elements(e)) => vec![&mut e.shape],
            _ => vec![],
        });
        let more = self.remainder.iter_mut().flat_map(|t| t.shapes.iter_mut());
        slots.chain(more).collect()
    }

    fn attributes(&mut self) -> Vec<&mut Attribute> {
        self.slots
            .iter_mut()
            .filter_map(|s| match s {
                Slot::Attribute(a) => Some(a),
                _ => None,
            })
            .collect()
    }

    /// Whether the instance is small enough to be evaluated.
    pub fn is_small(&mut self) -> bool {
        self.shapes().iter().all(|s| {
            let mut extents = s.iter().map(|d| u64::try_from(d.hint()).ok());
            let elements = extents.try_fold(1u64, |n, d| n.checked_mul(d?.max(1)));
            s.len() <= MOST_RANK && elements.is_some_and(|n| n <= MOST_ELEMENTS)
        })
    }
}

fn pick<'a, T>(rng: &mut Rng, list: &'a [T]) -> Option<&'a T> {
    (!list.is_empty()).then(|| &list[rng.usize(..list.len())])
}

/// One random edit.
pub fn edit(instance: &mut Instance, more: Option<Op>, rng: &mut Rng) {
    match rng.u8(..24) {
        0..5 => rename_extent(instance, rng),
        5..7 => change_one_extent(instance, rng),
        7..9 => prepend(instance, rng),
        9 => drop_first(instance, rng),
        10..14 => change_attribute(instance, rng),
        14 | 15 => change_dtype(instance, rng),
        16..18 => split_or_merge(instance, rng),
        18 => insert_unit(instance, rng),
        19 => {
            let weight = rng.bool();
            instance
                .tensors()
                .for_each(|t| t.weight = weight ^ (rng.u8(..4) == 0));
        }
        20 | 21 => gather(instance, more, rng),
        22 => spread_number(instance, rng),
        _ => make_symbol(instance, rng),
    }
    fill(instance, rng);
}

/// Small constants, as many as the shape holds: the table of a group's algebra with random signs where the shape may be
/// one's, else numbers of which few or many are zero.
pub fn drawn(shape: Shape, rng: &mut Rng) -> Elements {
    let extent = |back: usize| {
        let at = shape.len().checked_sub(back).map(|i| shape[i].hint());
        at.map_or(1, |n| usize::try_from(n).unwrap_or(0))
    };
    let (rows, columns) = (extent(2), extent(1));
    let count = shape
        .iter()
        .map(|d| usize::try_from(d.hint()).unwrap_or(0))
        .product();
    let density = rng.u8(1..5);
    let is_term = |place: usize, rng: &mut Rng| {
        let (row, column) = ((place / columns) % rows, place % columns);
        if columns == rows * rows && density > 1 {
            (row + column) % rows == column / rows
        } else if rows == columns * columns && density > 1 {
            (row / columns + row) % columns == column
        } else {
            rng.u8(..4) < density
        }
    };
    let values = (0..count).map(|place| {
        if is_term(place, rng) {
            *pick(rng, &[1.0, -1.0, 1.0, 2.0]).unwrap_or(&1.0)
        } else {
            0.0
        }
    });
    let values = values.collect();
    Elements { shape, values }
}

/// Draws the elements of constants whose shape has changed.
fn fill(instance: &mut Instance, rng: &mut Rng) {
    for attribute in instance.attributes() {
        if let Attribute::Elements(e) = attribute
            && (e.extents().is_none() || rng.u8(..8) == 0)
        {
            *e = drawn(std::mem::take(&mut e.shape), rng);
        }
    }
}

/// An extent becomes another wherever it stands.
fn rename_extent(instance: &mut Instance, rng: &mut Rng) {
    let all: Vec<Dim> = instance
        .shapes()
        .iter()
        .flat_map(|s| s.iter().copied())
        .collect();
    let (Some(&from), Some(&to)) = (pick(rng, &all), pick(rng, &EXTENTS)) else {
        return;
    };
    for d in instance.shapes().into_iter().flatten() {
        if *d == from {
            *d = Dim::Known(to);
        }
    }
    for attribute in instance.attributes() {
        if let Attribute::Int(n) = attribute
            && from.is(*n)
            && rng.bool()
        {
            *n = to;
        }
    }
}

fn change_one_extent(instance: &mut Instance, rng: &mut Rng) {
    let all: Vec<Dim> = instance
        .shapes()
        .iter()
        .flat_map(|s| s.iter().copied())
        .collect();
    let to = if rng.bool() {
        Some(Dim::Known(1))
    } else {
        pick(rng, &all).copied()
    };
    let mut places: Vec<&mut Dim> = instance.shapes().into_iter().flatten().collect();
    if let Some(to) = to
        && !places.is_empty()
    {
        let i = rng.usize(..places.len());
        *places[i] = to;
    }
}

/// One axis of one shape becomes two whose product it is, or two neighbours become one.
fn split_or_merge(instance: &mut Instance, rng: &mut Rng) {
    let mut shapes = instance.shapes();
    if shapes.is_empty() {
        return;
    }
    let i = rng.usize(..shapes.len());
    let shape = &mut *shapes[i];
    if shape.is_empty() {
        return;
    }
    let axis = rng.usize(..shape.len());
    let Some(n) = shape[axis].known() else { return };
    if rng.bool() {
        let divisors: Vec<i64> = (1..=n).filter(|d| n % d == 0).collect();
        if let Some(&d) = pick(rng, &divisors) {
            shape[axis] = Dim::Known(n / d);
            shape.insert(axis, Dim::Known(d));
        }
    } else if let Some(m) = shape.get(axis + 1).and_then(|d| d.known())
        && let Some(product) = n.checked_mul(m)
    {
        shape[axis] = Dim::Known(product);
        shape.remove(axis + 1);
    }
}

/// An axis of extent one, somewhere in one shape.
fn insert_unit(instance: &mut Instance, rng: &mut Rng) {
    let mut shapes = instance.shapes();
    if !shapes.is_empty() {
        let i = rng.usize(..shapes.len());
        let axis = rng.usize(..=shapes[i].len());
        shapes[i].insert(axis, Dim::Known(1));
    }
}

fn is_permutation(axes: &[usize]) -> bool {
    (0..axes.len()).all(|i| axes.contains(&i))
}

/// A new first axis for all shapes or some.
fn prepend(instance: &mut Instance, rng: &mut Rng) {
    let Some(&extent) = pick(rng, &[0, 1, 2, 2, 3]) else {
        return;
    };
    let to_all = rng.bool();
    for shape in instance.shapes() {
        if to_all || rng.bool() {
            let one = rng.u8(..4) == 0;
            shape.insert(0, Dim::Known(if one { 1 } else { extent }));
        }
    }
    let shift = to_all || rng.bool();
    for attribute in instance.attributes() {
        match attribute {
            Attribute::Axes(axes) if shift => {
                let whole = is_permutation(axes) && axes.len() > 1;
                axes.iter_mut().for_each(|a| *a += 1);
                if whole || rng.u8(..3) == 0 {
                    axes.insert(0, 0);
                }
            }
            Attribute::Int(n) if shift && rng.bool() => *n += 1,
            _ => {}
        }
    }
}

/// The first axis goes, of all shapes or some.
fn drop_first(instance: &mut Instance, rng: &mut Rng) {
    let of_all = rng.bool();
    for shape in instance.shapes() {
        if !shape.is_empty() && (of_all || rng.bool()) {
            shape.remove(0);
        }
    }
    for attribute in instance.attributes() {
        match attribute {
            Attribute::Axes(axes) if of_all => {
                axes.retain(|&a| a > 0);
                axes.iter_mut().for_each(|a| *a -= 1);
            }
            Attribute::Int(n) if of_all && rng.bool() => *n -= 1,
            _ => {}
        }
    }
}

/// Some factors whose product is `n`.
fn factors(n: i64, rng: &mut Rng) -> Shape {
    let mut left = n;
    let mut shape = Vec::new();
    for _ in 0..rng.usize(..3) {
        let divisors: Vec<i64> = (1..=left).filter(|d| left % d == 0).collect();
        let Some(&d) = pick(rng, &divisors) else {
            break;
        };
        shape.push(Dim::Known(d));
        left /= d;
    }
    if left != 1 || rng.bool() {
        shape.push(Dim::Known(left));
    }
    rng.shuffle(&mut shape);
    shape
}

fn change_attribute(instance: &mut Instance, rng: &mut Rng) {
    let all: Vec<Shape> = instance.shapes().into_iter().map(|s| s.clone()).collect();
    let like = pick(rng, &all).cloned().unwrap_or_default();
    let mut attributes = instance.attributes();
    if attributes.is_empty() {
        return;
    }
    let i = rng.usize(..attributes.len());
    match &mut *attributes[i] {
        Attribute::Axes(axes) if is_permutation(axes) && rng.u8(..3) > 0 => rng.shuffle(axes),
        Attribute::Axes(axes) => {
            *axes = (0..like.len()).collect();
            if rng.bool() {
                rng.shuffle(axes);
            } else {
                axes.retain(|_| rng.bool());
            }
        }
        Attribute::Shape(shape) => {
            *shape = like;
            match rng.u8(..4) {
                0 => shape.iter_mut().for_each(|d| {
                    if rng.u8(..3) == 0 {
                        *d = Dim::Known(if d.is(1) { rng.i64(..4) } else { 1 });
                    }
                }),
                1 => shape.insert(0, Dim::Known(rng.i64(..3))),
                2 => {
                    if let Some(n) = shape
                        .iter()
                        .try_fold(1i64, |n, d| n.checked_mul(d.known()?))
                        && n >= 0
                    {
                        *shape = factors(n, rng);
                    }
                }
                _ => {}
            }
        }
        Attribute::Int(n) => *n = rng.i64(..5),
        Attribute::Float(x) => {
            *x = *pick(rng, &[0.0, 1.0, -1.0, 2.0, 3.0, -2.0, 0.5, 0.25, 1e-5]).unwrap_or(x);
        }
        Attribute::Bool(b) => *b = !*b,
        Attribute::DType(d) => *d = *pick(rng, &FLOATS).unwrap_or(d),
        Attribute::Word(_) => {}
        Attribute::Elements(e) => *e = drawn(like, rng),
    }
}

/// An element type becomes another wherever it stands.
fn change_dtype(instance: &mut Instance, rng: &mut Rng) {
    let all: Vec<DType> = instance.tensors().map(|t| t.dtype).collect();
    let list: &[DType] = if rng.bool() { &FLOATS } else { &OTHERS };
    let (Some(&from), Some(&to)) = (pick(rng, &all), pick(rng, list)) else {
        return;
    };
    instance
        .tensors()
        .filter(|t| t.dtype == from)
        .for_each(|t| t.dtype = to);
    for attribute in instance.attributes() {
        if *attribute == Attribute::DType(from) && rng.bool() {
            *attribute = Attribute::DType(to);
        }
    }
}

/// A variable stands for several operands, or the root has more operands than the pattern says.
fn gather(instance: &mut Instance, more: Option<Op>, rng: &mut Rng) {
    let count = rng.usize(1..4);
    let mut tensors: Vec<&mut Operands> = instance
        .slots
        .iter_mut()
        .filter_map(|s| match s {
            Slot::Tensor(t) => Some(t),
            _ => None,
        })
        .collect();
    if tensors.is_empty() {
        return;
    }
    let i = rng.usize(..tensors.len());
    let like = tensors[i].clone();
    let some_of = |shape: &Shape, rng: &mut Rng| -> Shape {
        let start = rng.usize(..=shape.len());
        let start = if rng.bool() { 0 } else { start };
        shape[start..]
            .iter()
            .map(|&d| if rng.u8(..4) == 0 { Dim::Known(1) } else { d })
            .collect()
    };
    if more.is_some() && rng.bool() {
        let shapes = (1..count)
            .map(|_| some_of(&like.shapes[0], rng))
            .collect::<Vec<_>>();
        instance.remainder = (!shapes.is_empty()).then_some(Operands {
            shapes,
            gathered: None,
            ..like
        });
        return;
    }
    let target = &mut tensors[i];
    target.shapes.truncate(1);
    target.gathered = Some(if rng.bool() { Op::Add } else { Op::Mul });
    for _ in 1..count {
        target.shapes.push(some_of(&like.shapes[0], rng));
    }
}

fn spread_number(instance: &mut Instance, rng: &mut Rng) {
    let all: Vec<Shape> = instance.shapes().into_iter().map(|s| s.clone()).collect();
    let like = pick(rng, &all).cloned().unwrap_or_default();
    for slot in &mut instance.slots {
        if let Slot::Number(_, shape) = slot
            && rng.bool()
        {
            *shape = like.clone();
            if rng.u8(..3) == 0 {
                shape.insert(0, Dim::Known(2));
            }
        }
    }
}

/// A factor goes from one extent of a shape to another, and some of the other shapes follow in an extent that was linked
/// with the second; `None` where there is no such factor.
pub fn moved(instance: &Instance, rng: &mut Rng) -> Option<(Instance, i64)> {
    let mut moved = instance.clone();
    let mut shapes = moved.shapes();
    let at = rng.usize(..shapes.len().max(1));
    let shape = shapes.get_mut(at)?;
    let (from, to) = (
        rng.usize(..shape.len().max(1)),
        rng.usize(..shape.len().max(1)),
    );
    let (n, m) = (shape.get(from)?.known()?, shape.get(to)?.known()?);
    let divisors: Vec<i64> = (2..=n).filter(|d| n % d == 0).collect();
    let &factor = pick(rng, &divisors).filter(|_| from != to)?;
    shape[from] = Dim::Known(n / factor);
    shape[to] = Dim::Known(m * factor);
    for (other, shape) in shapes.into_iter().enumerate() {
        let linked: Vec<usize> = (0..shape.len()).filter(|&i| shape[i].is(m)).collect();
        if other != at
            && rng.bool()
            && let Some(&axis) = pick(rng, &linked)
        {
            shape[axis] = Dim::Known(m * factor);
        }
    }
    Some((moved, factor))
}

/// An instance with one extent or another larger or smaller by a factor, in random order.
pub fn scaled(instance: &Instance, factor: i64, rng: &mut Rng) -> Vec<Instance> {
    let mut all = Vec::new();
    let counts: Vec<usize> = (instance.clone().shapes().iter().map(|s| s.len())).collect();
    for (at, count) in counts.into_iter().enumerate() {
        for axis in 0..count {
            for larger in [false, true] {
                let mut scaled = instance.clone();
                let place = &mut scaled.shapes()[at][axis];
                match place.known() {
                    Some(n) if larger => *place = Dim::Known(n * factor),
                    Some(n) if n % factor == 0 => *place = Dim::Known(n / factor),
                    _ => continue,
                }
                all.push(scaled);
            }
        }
    }
    rng.shuffle(&mut all);
    all
}

/// A known extent becomes a symbol whose value shows itself at run time.
fn make_symbol(instance: &mut Instance, rng: &mut Rng) {
    let all: Vec<Dim> = instance
        .shapes()
        .iter()
        .flat_map(|s| s.iter().copied())
        .collect();
    let Some(&from) = pick(rng, &all) else { return };
    let to = Dim::Symbol {
        symbol: rng.u32(..3),
        hint: from.hint(),
    };
    for d in instance.shapes().into_iter().flatten() {
        if *d == from {
            *d = to;
        }
    }
}

/// Smaller neighbours of an instance, for shrinking a counter-example.
pub fn smaller(instance: &Instance, rng: &mut Rng) -> Instance {
    let mut smaller = instance.clone();
    reduce(&mut smaller, rng);
    fill(&mut smaller, rng);
    smaller
}

fn reduce(smaller: &mut Instance, rng: &mut Rng) {
    match rng.u8(..6) {
        0 => drop_first(smaller, rng),
        1 => smaller.remainder = None,
        2 => smaller.tensors().for_each(|t| t.shapes.truncate(1)),
        3 => smaller.tensors().for_each(|t| {
            t.dtype = if t.dtype.is_float() {
                DType::F32
            } else {
                t.dtype
            }
        }),
        _ => {
            let all: Vec<Dim> = smaller
                .shapes()
                .iter()
                .flat_map(|s| s.iter().copied())
                .collect();
            if let Some(&from) = pick(rng, &all)
                && from.hint() > 1
            {
                let to = Dim::Known(rng.i64(1..from.hint()));
                smaller
                    .shapes()
                    .into_iter()
                    .flatten()
                    .filter(|d| **d == from)
                    .for_each(|d| *d = to);
            }
        }
    }
}

/// What an instance weighs: shrinking goes downwards.
pub fn weight(instance: &Instance) -> u64 {
    let mut instance = instance.clone();
    let extra = u64::from(instance.remainder.is_some());
    let shapes: u64 = instance
        .shapes()
        .iter()
        .map(|s| 1 + s.len() as u64 + s.iter().map(|d| d.hint() as u64).sum::<u64>())
        .sum();
    extra + shapes
}
