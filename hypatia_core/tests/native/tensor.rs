//! Tensors of any strides, and programs that run on them.

use _hypatia_core::native::Program;
use serde_json::{Value, json};

/// Memory of a program's arguments and results.
pub struct Caller {
    pub floats: Vec<Vec<f32>>,
}

impl Caller {
    pub fn addresses(&mut self) -> Vec<usize> {
        let each = self.floats.iter_mut();
        each.map(|memory| memory.as_mut_ptr().expose_provenance())
            .collect()
    }
}

pub fn floats(elements: usize, place: &str) -> Value {
    json!({"elements": elements, "kind": "float32", "place": place})
}

/// Runs a program whose caller's buffers are of float32, on copies.
pub fn run(program: &Program, given: &[Vec<f32>], threads: usize) -> Vec<Vec<f32>> {
    let mut caller = Caller {
        floats: given.to_vec(),
    };
    let addresses = caller.addresses();
    // SAFETY: the buffers are as long as the test says to the program, and its own.
    unsafe { program.run(&addresses, threads) }.unwrap();
    caller.floats
}

/// A view of a tensor that may be permuted, padded, or broadcast.
#[derive(Clone)]
pub struct View {
    pub offset: usize,
    pub strides: Vec<usize>,
    pub elements: usize,
}

pub fn view(draw: &mut fastrand::Rng, sizes: &[usize], broadcast: bool) -> View {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    if draw.u8(0..3) == 0 {
        draw.shuffle(&mut order);
    }
    let mut strides = vec![0; sizes.len()];
    let mut next = if draw.u8(0..6) == 0 { 2 } else { 1 };
    for &axis in order.iter().rev() {
        if broadcast && draw.u8(0..4) == 0 {
            continue;
        }
        strides[axis] = next;
        next *= sizes[axis].max(1);
        if draw.u8(0..8) == 0 {
            next += draw.usize(0..5);
        }
    }
    let offset = draw.usize(0..4);
    let reach: usize = sizes
        .iter()
        .zip(&strides)
        .map(|(&size, &stride)| size.max(1).saturating_sub(1) * stride)
        .sum();
    View {
        offset,
        strides,
        elements: offset + reach + 1,
    }
}

pub fn places(sizes: &[usize], view: &View) -> Vec<usize> {
    let mut all = vec![view.offset];
    for (&size, &stride) in sizes.iter().zip(&view.strides) {
        all = all
            .iter()
            .flat_map(|&at| (0..size).map(move |i| at + i * stride))
            .collect();
    }
    all
}

/// A tensor of any strides, and what it holds.
pub struct Tensor {
    pub view: View,
    pub memory: Vec<f32>,
}

impl Tensor {
    pub fn draw(draw: &mut fastrand::Rng, sizes: &[usize]) -> Self {
        let view = view(draw, sizes, false);
        let memory = (0..view.elements).map(|_| draw.f32() * 2.0 - 1.0).collect();
        Self { view, memory }
    }

    pub fn json(&self, buffer: usize) -> Value {
        json!({"buffer": buffer, "offset": self.view.offset, "strides": self.view.strides})
    }

    pub fn values(&self, sizes: &[usize]) -> Vec<f64> {
        places(sizes, &self.view)
            .into_iter()
            .map(|at| f64::from(self.memory[at]))
            .collect()
    }
}

/// Runs one step whose last operand is its result; the result's elements in order.
pub fn one_step(step: &Value, operands: &[Tensor], sizes: &[usize], threads: usize) -> Vec<f32> {
    let count = operands.len() - 1;
    let mut buffers: Vec<Value> = operands[..count]
        .iter()
        .map(|one| floats(one.memory.len(), "argument"))
        .collect();
    let to = &operands[count];
    buffers.push(floats(to.memory.len(), "result"));
    let fill = json!({"step": "rows", "outer": [], "row": to.memory.len(), "loads": [], "code": [["const", 0.0]],
        "stores": [{"register": 0, "view": {"buffer": count, "offset": 0, "strides": [1]}}]});
    let text = json!({"buffers": buffers, "steps": [fill, step]}).to_string();
    let program = Program::new(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let given: Vec<Vec<f32>> = operands.iter().map(|one| one.memory.clone()).collect();
    let memory = run(&program, &given, threads);
    places(sizes, &to.view)
        .into_iter()
        .map(|at| memory[count][at])
        .collect()
}

pub fn assert_near(values: &[f32], wanted: &[f64], what: &dyn std::fmt::Display) {
    assert_eq!(values.len(), wanted.len());
    for (at, (&y, &wanted)) in values.iter().zip(wanted).enumerate() {
        let error = (f64::from(y) - wanted).abs();
        assert!(
            error <= 2e-5 * wanted.abs().max(1.0),
            "{what}: element {at}: {y}, not {wanted}"
        );
    }
}
