//! Programs of our own kernels, against what their text says read word by word.

use _hypatia_core::native::Program;
use serde_json::{Value, json};

/// Memory of a program's arguments and results.
struct Caller {
    floats: Vec<Vec<f32>>,
}

impl Caller {
    fn addresses(&mut self) -> Vec<usize> {
        let each = self.floats.iter_mut();
        each.map(|memory| memory.as_mut_ptr().expose_provenance())
            .collect()
    }
}

fn floats(elements: usize, place: &str) -> Value {
    json!({"elements": elements, "kind": "float32", "place": place})
}

/// Runs a program whose caller's buffers are of float32, on copies.
fn run(program: &Program, given: &[Vec<f32>], threads: usize) -> Vec<Vec<f32>> {
    let mut caller = Caller {
        floats: given.to_vec(),
    };
    let addresses = caller.addresses();
    // SAFETY: the buffers are as long as the test says to the program, and its own.
    unsafe { program.run(&addresses, threads) }.unwrap();
    caller.floats
}

fn refused(buffers: Value, steps: Value) -> String {
    let text = json!({"buffers": buffers, "steps": steps}).to_string();
    Program::new(&text).map(|_| ()).unwrap_err().0
}

/// A view of a tensor that may be permuted, padded, or broadcast.
#[derive(Clone)]
struct View {
    offset: usize,
    strides: Vec<usize>,
    elements: usize,
}

fn view(draw: &mut fastrand::Rng, sizes: &[usize], broadcast: bool) -> View {
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

fn places(sizes: &[usize], view: &View) -> Vec<usize> {
    let mut all = vec![view.offset];
    for (&size, &stride) in sizes.iter().zip(&view.strides) {
        all = all
            .iter()
            .flat_map(|&at| (0..size).map(move |i| at + i * stride))
            .collect();
    }
    all
}

/// What a step over rows says, element by element, in float64.
fn by_definition(sizes: &[usize], loads: &[Vec<f32>], code: &[Value]) -> Vec<Vec<f64>> {
    let row = sizes[sizes.len() - 1];
    let mut registers: Vec<Vec<f64>> = loads
        .iter()
        .map(|load| load.iter().map(|&x| f64::from(x)).collect())
        .collect();
    let count: usize = sizes.iter().product();
    for words in code {
        let name = words[0].as_str().unwrap();
        let of = |at: usize| {
            words[at]
                .as_u64()
                .map(|r| registers[r as usize].clone())
                .unwrap_or_default()
        };
        let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
        let pairs = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            of(1).iter().zip(of(2)).map(|(&x, y)| f(x, y)).collect()
        };
        let rows = |f: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
            of(1)
                .chunks(row)
                .flat_map(|chunk| vec![f(chunk); row])
                .collect()
        };
        let each = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { of(1).iter().map(|&x| f(x)).collect() };
        let result = match (name, words.as_array().unwrap().len()) {
            ("const", _) => vec![f64::from(words[1].as_f64().unwrap() as f32); count],
            ("add", _) => pairs(&|x, y| x + y),
            ("sub", _) => pairs(&|x, y| x - y),
            ("mul", _) => pairs(&|x, y| x * y),
            ("max", 3) => pairs(&f64::max),
            ("gt", _) => pairs(&|x, y| truth(x > y)),
            ("neg", _) => each(&|x| -x),
            ("tanh", _) => each(&f64::tanh),
            ("sin", _) => each(&f64::sin),
            ("clamp", _) => each(&|x| x.clamp(-0.5, 0.75)),
            ("where", _) => {
                let (c, a, b) = (of(1), of(2), of(3));
                (0..count)
                    .map(|i| if c[i] != 0.0 { a[i] } else { b[i] })
                    .collect()
            }
            ("sum", _) => rows(&|row| row.iter().sum::<f64>()),
            ("max", _) => rows(&|row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            (other, _) => panic!("{other}"),
        };
        registers.push(result);
    }
    registers
}

/// Whether a register holds a number for each row.
fn per_row(row: usize, loads: &[View], code: &[Value]) -> Vec<bool> {
    let mut known: Vec<bool> = loads
        .iter()
        .map(|view| row == 1 || view.strides[view.strides.len() - 1] == 0)
        .collect();
    for words in code {
        let words = words.as_array().unwrap();
        let reduces = words[0] == "sum" || (words[0] == "max" && words.len() == 2);
        let numbers = if words[0] == "const" {
            0
        } else if words[0] == "clamp" {
            1
        } else {
            words.len() - 1
        };
        let all = words[1..=numbers]
            .iter()
            .all(|r| known[r.as_u64().unwrap() as usize]);
        known.push(reduces || all);
    }
    known
}

#[test]
fn steps_over_rows_do_what_they_say() {
    let mut draw = fastrand::Rng::with_seed(17);
    for round in 0..1500 {
        // Whole numbers, of which comparisons are the same in any order; or any numbers, and no comparison.
        let whole = draw.bool();
        let most = [(3, 7), (2, 40), (2, 300), (1, 6000)][draw.usize(0..if whole { 3 } else { 4 })];
        let mut sizes: Vec<usize> = (0..draw.usize(0..=most.0))
            .map(|_| draw.usize(1..7))
            .collect();
        sizes.push(draw.usize(1..=most.1));
        if draw.u8(0..40) == 0 {
            let axis = draw.usize(0..sizes.len());
            sizes[axis] = 0;
        }
        let row = sizes[sizes.len() - 1];
        let loads: Vec<View> = (0..draw.usize(1..4))
            .map(|_| view(&mut draw, &sizes, true))
            .collect();
        let reduces = draw.bool() && row > 0;
        let mut code: Vec<Value> = Vec::new();
        for _ in 0..draw.usize(0..9) {
            let registers = loads.len() + code.len();
            let mut any = || draw.usize(0..registers);
            let (a, b, c) = (any(), any(), any());
            let of_elements = if whole { 6 } else { 7 };
            code.push(
                match (
                    draw.usize(0..of_elements + if reduces { 2 } else { 0 }),
                    whole,
                ) {
                    (0, _) => json!(["add", a, b]),
                    (1, _) => json!(["sub", a, b]),
                    (2, _) => json!(["max", a, b]),
                    (3, _) => json!(["const", 0.375]),
                    (4, true) => json!(["gt", a, b]),
                    (5, true) => json!(["where", a, b, c]),
                    (4, false) => json!(["mul", a, b]),
                    (5, false) => {
                        let name = ["tanh", "sin", "neg"][draw.usize(0..3)];
                        json!([name, a])
                    }
                    (6, false) => json!(["clamp", a, -0.5, 0.75]),
                    (6, true) | (7, false) => json!(["sum", a]),
                    _ => json!(["max", a]),
                },
            );
        }
        let single = per_row(row, &loads, &code);
        let registers = single.len();
        let mut stores: Vec<(usize, View)> = Vec::new();
        for _ in 0..draw.usize(1..4) {
            let register = if draw.bool() {
                registers - 1
            } else {
                draw.usize(0..registers)
            };
            let folded = single[register] && draw.bool();
            let mut own = sizes.clone();
            if folded {
                own.pop();
            }
            let mut to = view(&mut draw, &own, false);
            if folded {
                to.strides.push(0);
            }
            stores.push((register, to));
        }
        let given: Vec<Vec<f32>> = loads
            .iter()
            .map(|view| {
                let number = |draw: &mut fastrand::Rng| {
                    if whole {
                        draw.i32(-2..3) as f32
                    } else {
                        draw.f32() * 2.0 - 1.0
                    }
                };
                (0..view.elements).map(|_| number(&mut draw)).collect()
            })
            .collect();
        let as_json = |buffer: usize, view: &View| json!({"buffer": buffer, "offset": view.offset, "strides": view.strides});
        // Results have to be written whole: what views leave out is written by steps of their own.
        let mut buffers: Vec<Value> = loads
            .iter()
            .map(|view| floats(view.elements, "argument"))
            .collect();
        let mut steps = Vec::new();
        for (i, (_, to)) in stores.iter().enumerate() {
            buffers.push(floats(to.elements, "result"));
            steps.push(json!({"step": "rows", "outer": [], "row": to.elements, "loads": [], "code": [["const", 9.0]],
                "stores": [{"register": 0, "view": {"buffer": loads.len() + i, "offset": 0, "strides": [1]}}]}));
        }
        steps.push(json!({
            "step": "rows", "outer": sizes[..sizes.len() - 1], "row": row,
            "loads": loads.iter().enumerate().map(|(i, view)| as_json(i, view)).collect::<Vec<_>>(),
            "code": code,
            "stores": stores.iter().enumerate().map(|(i, (register, view))| {
                json!({"register": register, "view": as_json(loads.len() + i, view)})
            }).collect::<Vec<_>>(),
        }));
        let text = json!({"buffers": buffers, "steps": steps}).to_string();
        let program = Program::new(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut memory = given.clone();
        memory.extend(stores.iter().map(|(_, to)| vec![f32::NAN; to.elements]));
        let memory = run(&program, &memory, 1 + round % 3);
        let read: Vec<Vec<f32>> = loads
            .iter()
            .zip(&given)
            .map(|(view, memory)| places(&sizes, view).iter().map(|&at| memory[at]).collect())
            .collect();
        let wanted = if row == 0 {
            vec![Vec::new(); registers]
        } else {
            by_definition(&sizes, &read, &code)
        };
        for (i, (register, to)) in stores.iter().enumerate() {
            let mut expected = vec![9.0; to.elements];
            for (place, value) in places(&sizes, to).into_iter().zip(&wanted[*register]) {
                expected[place] = *value;
            }
            for (at, (&y, wanted)) in memory[loads.len() + i].iter().zip(expected).enumerate() {
                let near = (f64::from(y) - wanted).abs() <= 1e-4 * wanted.abs().max(1.0);
                // A comparison of two numbers that rounding makes equal may go either way.
                let chancy = code
                    .iter()
                    .any(|words| words[0] == "gt" || words[0] == "where");
                assert!(
                    near || chancy,
                    "{text}: store {i}, element {at}: {y}, not {wanted}"
                );
            }
        }
    }
}

fn rows(loads: Value, code: Value, stores: Value) -> Value {
    json!({"step": "rows", "outer": [2], "row": 3, "loads": loads, "code": code, "stores": stores})
}

fn whole(buffer: usize) -> Value {
    json!({"buffer": buffer, "offset": 0, "strides": [3, 1]})
}

#[test]
fn wrong_programs_are_refused_by_what_is_wrong() {
    let two = || json!([floats(6, "argument"), floats(6, "result")]);
    let copy = || {
        rows(
            json!([whole(0)]),
            json!([]),
            json!([{"register": 0, "view": whole(1)}]),
        )
    };
    let text = json!({"buffers": two(), "steps": [copy()]}).to_string();
    assert!(Program::new(&text).is_ok());
    let mut three = two();
    three.as_array_mut().unwrap().push(floats(6, "scratch"));
    let view = |buffer: usize, offset: usize, strides: [usize; 2]| json!({"buffer": buffer, "offset": offset, "strides": strides});
    let store = |view: Value| json!([{"register": 0, "view": view}]);
    let table = [
        (
            two(),
            json!([]),
            "buffer 1 is a result and is not written whole",
        ),
        (
            two(),
            json!([{"outer": []}]),
            "step 0: a step says its kind",
        ),
        (
            two(),
            json!([{"step": "sort"}]),
            "there is no step \"sort\"; there are rows",
        ),
        (
            two(),
            json!([{"step": "rows", "outer": [2]}]),
            "missing field",
        ),
        (
            two(),
            json!([rows(json!([whole(7)]), json!([]), store(whole(1)))]),
            "load 0: there is no buffer 7",
        ),
        (
            two(),
            json!([rows(
                json!([view(0, 1, [3, 1])]),
                json!([]),
                store(whole(1))
            )]),
            "does not lie in buffer 0",
        ),
        (
            two(),
            json!([rows(
                json!([whole(0)]),
                json!([]),
                store(view(1, 0, [3, 2]))
            )]),
            "does not lie in buffer 1",
        ),
        (
            two(),
            json!([rows(
                json!([whole(0)]),
                json!([]),
                store(view(1, 0, [1, 1]))
            )]),
            "two elements in one place",
        ),
        (
            two(),
            json!([rows(
                json!([whole(0)]),
                json!([]),
                store(view(1, 0, [1, 0]))
            )]),
            "not a number per row",
        ),
        (
            two(),
            json!([rows(json!([whole(0)]), json!([]), store(whole(0)))]),
            "an argument, which is only read",
        ),
        (
            two(),
            json!([rows(
                json!([whole(0)]),
                json!([["add", 0]]),
                store(whole(1))
            )]),
            "2 operands, not 1",
        ),
        (
            two(),
            json!([rows(
                json!([whole(0)]),
                json!([["add", 0, 1]]),
                store(whole(1))
            )]),
            "none of the 1 registers",
        ),
        (
            two(),
            json!([rows(
                json!([whole(0)]),
                json!([]),
                json!([{"register": 1, "view": whole(1)}])
            )]),
            "no register 1",
        ),
        (
            two(),
            json!([rows(json!([whole(0)]), json!([]), json!([]))]),
            "nothing is stored",
        ),
        (
            two(),
            json!([rows(
                json!([json!({"buffer": 0, "offset": 0, "strides": [1]})]),
                json!([]),
                store(whole(1))
            )]),
            "strides [1] for sizes [2, 3]",
        ),
        (
            three.clone(),
            json!([rows(json!([whole(2)]), json!([]), store(whole(1)))]),
            "buffer 2 is read",
        ),
        (
            three.clone(),
            json!([
                copy(),
                rows(json!([whole(0)]), json!([]), store(whole(2))),
                rows(json!([view(2, 0, [1, 2])]), json!([]), store(whole(2)))
            ]),
            "step 2: buffer 2 is written where the same step reads",
        ),
        (
            json!([floats(6, "argument"), {"elements": 6, "kind": "int64", "place": "result"}]),
            json!([copy()]),
            "buffer 1 holds int64, not float32 or bool",
        ),
        (
            json!([{"elements": 6, "kind": "float16", "place": "result"}]),
            json!([]),
            "float16",
        ),
        (
            json!([floats(usize::MAX / 2, "scratch")]),
            json!([]),
            "more elements than there can be",
        ),
    ];
    for (buffers, steps, says) in table {
        let error = refused(buffers, steps.clone());
        assert!(error.contains(says), "{steps}: {error}");
    }
    assert!(Program::new("{").is_err());
}

#[test]
fn addresses_that_hold_no_such_numbers_are_refused() {
    let buffers = json!([floats(6, "argument"), floats(6, "result")]);
    let copy = rows(
        json!([whole(0)]),
        json!([]),
        json!([{"register": 0, "view": whole(1)}]),
    );
    let program = Program::new(&json!({"buffers": buffers, "steps": [copy]}).to_string()).unwrap();
    for addresses in [&[][..], &[64], &[0, 64], &[64, 65]] {
        // SAFETY: it is refused before anything is read.
        assert!(
            unsafe { program.run(addresses, 1) }.is_err(),
            "{addresses:?}"
        );
    }
    assert_eq!(program.to_string(), "rows 2×3 copy, blocks of 1×6: 0 → 1");
}

/// x + 1 in place, 50 times, in a scratch buffer.
#[test]
fn in_place_and_by_eight_threads_at_once() {
    let n = 10_007;
    let flat = |buffer: usize| json!({"buffer": buffer, "offset": 0, "strides": [1]});
    let step = |from: usize, to: usize| {
        json!({"step": "rows", "outer": [], "row": n, "loads": [flat(from)], "code": [["const", 1.0], ["add", 0, 1]],
            "stores": [{"register": 2, "view": flat(to)}]})
    };
    let mut steps = vec![step(0, 2)];
    steps.extend((0..48).map(|_| step(2, 2)));
    steps.push(step(2, 1));
    let buffers = json!([
        floats(n, "argument"),
        floats(n, "result"),
        floats(n, "scratch")
    ]);
    let program = Program::new(&json!({"buffers": buffers, "steps": steps}).to_string()).unwrap();
    assert_eq!(
        (program.steps(), program.scratch_bytes()),
        (50, (4 * n).next_multiple_of(64))
    );
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let program = &program;
            scope.spawn(move || {
                for round in 0..20 {
                    let x: Vec<f32> = (0..n).map(|i| (i + thread * 1000 + round) as f32).collect();
                    let memory = run(program, &[x.clone(), vec![0.0; n]], 1 + thread % 3);
                    assert!(memory[1].iter().zip(&x).all(|(y, x)| *y == x + 50.0));
                }
            });
        }
    });
}

#[test]
fn bools_are_read_and_written_as_0_and_1() {
    let bools = |place: &str| json!({"elements": 6, "kind": "bool", "place": place});
    let buffers = json!([
        floats(6, "argument"),
        bools("argument"),
        bools("result"),
        floats(6, "result")
    ]);
    let step = rows(
        json!([whole(0), {"buffer": 1, "offset": 0, "strides": [0, 1]}]),
        json!([["const", "-inf"], ["where", 1, 0, 2], ["gt", 0, 1]]),
        json!([{"register": 4, "view": whole(2)}, {"register": 3, "view": whole(3)}]),
    );
    let program = Program::new(&json!({"buffers": buffers, "steps": [step]}).to_string()).unwrap();
    let (x, mask) = ([0.5f32, 2.0, -1.0, 3.0, 1.0, 0.25], [1u8, 0, 1, 1, 1, 0]);
    let (mut gt, mut masked) = ([9u8; 6], [9.0f32; 6]);
    let addresses = [
        x.as_ptr().expose_provenance(),
        mask.as_ptr().expose_provenance(),
        gt.as_mut_ptr().expose_provenance(),
        masked.as_mut_ptr().expose_provenance(),
    ];
    // SAFETY: so many elements lie there, and nobody else uses them.
    unsafe { program.run(&addresses, 1) }.unwrap();
    assert_eq!(gt, [0, 1, 0, 1, 1, 0]);
    assert_eq!(
        masked,
        [0.5, f32::NEG_INFINITY, -1.0, 3.0, f32::NEG_INFINITY, 0.25]
    );
}

#[test]
fn rows_of_a_table() {
    let buffers = json!([floats(12, "argument"), {"elements": 4, "kind": "int64", "place": "argument"}, floats(12, "result")]);
    let step = json!({"step": "gather", "outer": [2, 2], "count": 4, "width": 3, "table": whole(0),
        "indices": {"buffer": 1, "offset": 0, "strides": [1, 2]},
        "result": {"buffer": 2, "offset": 0, "strides": [6, 3, 1]}});
    let program = Program::new(&json!({"buffers": buffers, "steps": [step]}).to_string()).unwrap();
    let table: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let call = |indices: [i64; 4]| {
        let mut result = [0.0f32; 12];
        let addresses = [
            table.as_ptr().expose_provenance(),
            indices.as_ptr().expose_provenance(),
            result.as_mut_ptr().expose_provenance(),
        ];
        // SAFETY: so many elements lie there, and nobody else uses them.
        unsafe { program.run(&addresses, 1) }.map(|()| result)
    };
    let result = call([3, 0, 1, 2]).unwrap();
    assert_eq!(
        result,
        [9.0, 10.0, 11.0, 3.0, 4.0, 5.0, 0.0, 1.0, 2.0, 6.0, 7.0, 8.0]
    );
    for wrong in [[0, 4, 0, 0], [0, 0, -1, 0]] {
        assert_eq!(call(wrong).unwrap_err().0, "index out of range in self");
    }
}

#[test]
fn a_product_reads_what_the_step_before_wrote() {
    // W = [[1, 2], [3, 4], [5, 6]] in panels of 16 columns.
    let mut panels = vec![0.0f32; 32];
    for (column, row) in [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].into_iter().enumerate() {
        (panels[column], panels[16 + column]) = (row[0], row[1]);
    }
    let view =
        |buffer: usize, width: usize| json!({"buffer": buffer, "offset": 0, "strides": [width, 1]});
    let buffers = json!([
        floats(4, "argument"),
        floats(32, "argument"),
        floats(3, "argument"),
        floats(6, "result"),
        floats(4, "scratch")
    ]);
    let steps = json!([
        {"step": "rows", "outer": [2], "row": 2, "loads": [view(0, 2)], "code": [["neg", 0]],
            "stores": [{"register": 1, "view": view(4, 2)}]},
        {"step": "linear", "rows": 2, "columns": 3, "depth": 2, "x": view(4, 2), "panels": 1, "bias": 2, "other": null,
            "result": view(3, 3), "activation": "relu", "numbers": [], "algorithm": ""},
    ]);
    let program = Program::new(&json!({"buffers": buffers, "steps": steps}).to_string()).unwrap();
    let memory = run(
        &program,
        &[
            vec![-1.0, -2.0, 1.0, 0.0],
            panels,
            vec![0.5, -50.0, 1.0],
            vec![0.0; 6],
        ],
        1,
    );
    assert_eq!(memory[3], [5.5, 0.0, 18.0, 0.0, 0.0, 0.0]);
}

/// A tensor of any strides, and what it holds.
struct Tensor {
    view: View,
    memory: Vec<f32>,
}

impl Tensor {
    fn draw(draw: &mut fastrand::Rng, sizes: &[usize]) -> Self {
        let view = view(draw, sizes, false);
        let memory = (0..view.elements).map(|_| draw.f32() * 2.0 - 1.0).collect();
        Self { view, memory }
    }

    fn json(&self, buffer: usize) -> Value {
        json!({"buffer": buffer, "offset": self.view.offset, "strides": self.view.strides})
    }

    fn values(&self, sizes: &[usize]) -> Vec<f64> {
        places(sizes, &self.view)
            .into_iter()
            .map(|at| f64::from(self.memory[at]))
            .collect()
    }
}

/// Runs one step whose last operand is its result; the result's elements in order.
fn one_step(step: &Value, operands: &[Tensor], sizes: &[usize], threads: usize) -> Vec<f32> {
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

fn assert_near(values: &[f32], wanted: &[f64], what: &dyn std::fmt::Display) {
    assert_eq!(values.len(), wanted.len());
    for (at, (&y, &wanted)) in values.iter().zip(wanted).enumerate() {
        let error = (f64::from(y) - wanted).abs();
        assert!(
            error <= 2e-5 * wanted.abs().max(1.0),
            "{what}: element {at}: {y}, not {wanted}"
        );
    }
}

#[test]
fn products_of_matrices_however_they_lie() {
    let mut draw = fastrand::Rng::with_seed(23);
    for round in 0..400 {
        let batch: Vec<usize> = (0..draw.usize(0..3)).map(|_| draw.usize(1..4)).collect();
        let any = |draw: &mut fastrand::Rng| [1, 2, 3, 5, 8, 17, 64, 90][draw.usize(0..8)];
        let (m, n, k) = (any(&mut draw), any(&mut draw), any(&mut draw));
        let sizes = |rows: usize, columns: usize| [&batch[..], &[rows, columns]].concat();
        let tensors = [(m, k), (k, n), (m, n)]
            .map(|(rows, columns)| Tensor::draw(&mut draw, &sizes(rows, columns)));
        let step = json!({"step": "matmul", "batch": batch, "rows": m, "columns": n, "depth": k,
            "a": tensors[0].json(0), "b": tensors[1].json(1), "result": tensors[2].json(2)});
        let (a, b) = (
            tensors[0].values(&sizes(m, k)),
            tensors[1].values(&sizes(k, n)),
        );
        let mut wanted = Vec::new();
        for (a, b) in a.chunks(m * k).zip(b.chunks(k * n)) {
            for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                wanted.push((0..k).map(|i| a[row * k + i] * b[i * n + column]).sum());
            }
        }
        let result = one_step(&step, &tensors, &sizes(m, n), 1 + round % 3);
        assert_near(&result, &wanted, &step);
    }
}

#[test]
fn attention_however_its_heads_lie() {
    let mut draw = fastrand::Rng::with_seed(29);
    for round in 0..60 {
        let [b, h, m, n] = std::array::from_fn(|_| draw.usize(1..5));
        let (m, n, w) = (m * 5, n * 7, [1, 8, 20][draw.usize(0..3)]);
        let causal = draw.bool();
        let (asking, asked) = ([b, h, m, w], [b, h, n, w]);
        let masked = [b, h, m, n];
        let tensors =
            [&asking, &asked, &asked, &masked, &asking].map(|sizes| Tensor::draw(&mut draw, sizes));
        let step = json!({"step": "attention", "batch": b, "heads": h, "queries": m, "keys": n, "width": w,
            "q": tensors[0].json(0), "k": tensors[1].json(1), "v": tensors[2].json(2), "mask": tensors[3].json(3),
            "causal": causal, "scale": 0.5, "result": tensors[4].json(4)});
        let (q, k) = (tensors[0].values(&asking), tensors[1].values(&asked));
        let (v, mask) = (tensors[2].values(&asked), tensors[3].values(&masked));
        let mut wanted = Vec::new();
        for (head, i) in (0..b * h).flat_map(|head| (0..m).map(move |i| (head, i))) {
            let row = head * m + i;
            let weights: Vec<f64> = (0..n)
                .map(|j| {
                    let dot: f64 = (0..w)
                        .map(|c| q[row * w + c] * k[(head * n + j) * w + c])
                        .sum();
                    if causal && j > i {
                        0.0
                    } else {
                        (dot * 0.5 + mask[row * n + j]).exp()
                    }
                })
                .collect();
            let total: f64 = weights.iter().sum();
            for c in 0..w {
                wanted.push(
                    (0..n)
                        .map(|j| weights[j] * v[(head * n + j) * w + c])
                        .sum::<f64>()
                        / total,
                );
            }
        }
        let result = one_step(&step, &tensors, &asking, 1 + round % 3);
        assert_near(&result, &wanted, &step);
    }
}

#[test]
fn convolutions_however_their_images_lie() {
    let mut draw = fastrand::Rng::with_seed(31);
    for round in 0..60 {
        let (b, c) = (draw.usize(1..3), [1, 5, 8, 40][draw.usize(0..4)]);
        let (height, width) = (draw.usize(3..8), draw.usize(3..8));
        let taps = [draw.usize(1..4), draw.usize(1..4)];
        let (stride, padding) = (draw.usize(1..3), draw.usize(0..2));
        let positions = |size: usize, taps: usize| (size + 2 * padding - taps) / stride + 1;
        let (down, across) = (positions(height, taps[0]), positions(width, taps[1]));
        let (image, made) = ([b, height, width, c], [b, down, across, c]);
        let dense = |sizes: &[usize], draw: &mut fastrand::Rng| {
            let elements = sizes.iter().product();
            Tensor {
                view: View {
                    offset: 0,
                    strides: vec![1],
                    elements,
                },
                memory: (0..elements).map(|_| draw.f32() * 2.0 - 1.0).collect(),
            }
        };
        let tensors = [
            Tensor::draw(&mut draw, &image),
            dense(&[taps[0], taps[1], c], &mut draw),
            dense(&[c], &mut draw),
            Tensor::draw(&mut draw, &made),
        ];
        let step = json!({"step": "depthwise", "batch": b, "channels": c, "down": [height, taps[0], stride, padding, 1],
            "across": [width, taps[1], stride, padding, 1], "x": tensors[0].json(0), "filters": 1, "bias": 2,
            "result": tensors[3].json(3), "activation": "hardtanh", "numbers": [0, "inf"], "algorithm": ""});
        let (x, filters) = (tensors[0].values(&image), &tensors[1].memory);
        let mut wanted = Vec::new();
        for (example, i) in (0..b).flat_map(|example| (0..down).map(move |i| (example, i))) {
            for (j, channel) in (0..across).flat_map(|j| (0..c).map(move |channel| (j, channel))) {
                let mut sum = f64::from(tensors[2].memory[channel]);
                for (p, q) in (0..taps[0]).flat_map(|p| (0..taps[1]).map(move |q| (p, q))) {
                    let (y, z) = (
                        (i * stride + p).wrapping_sub(padding),
                        (j * stride + q).wrapping_sub(padding),
                    );
                    if y < height && z < width {
                        let pixel = x[((example * height + y) * width + z) * c + channel];
                        sum += pixel * f64::from(filters[(p * taps[1] + q) * c + channel]);
                    }
                }
                wanted.push(sum.max(0.0));
            }
        }
        let result = one_step(&step, &tensors, &made, 1 + round % 3);
        assert_near(&result, &wanted, &step);
    }
}

#[test]
fn products_with_panels_of_what_lies_anyhow() {
    let mut draw = fastrand::Rng::with_seed(37);
    for round in 0..60 {
        let [b, height, width] = std::array::from_fn(|_| draw.usize(1..5));
        let (n, k) = ([1, 16, 30][draw.usize(0..3)], draw.usize(1..40));
        let (narrow, wide) = ([b, height, width, k], [b, height, width, n]);
        let panels = Tensor {
            view: View {
                offset: 0,
                strides: vec![1],
                elements: 0,
            },
            memory: (0..n.next_multiple_of(16) * k)
                .map(|_| draw.f32() - 0.5)
                .collect(),
        };
        let tensors = [
            Tensor::draw(&mut draw, &narrow),
            panels,
            Tensor::draw(&mut draw, &wide),
            Tensor::draw(&mut draw, &wide),
        ];
        let step = json!({"step": "pixels", "pixels": [b, height, width], "columns": n, "depth": k, "x": tensors[0].json(0),
            "panels": 1, "bias": null, "other": tensors[2].json(2), "result": tensors[3].json(3),
            "activation": "none", "numbers": [], "algorithm": ""});
        let (x, other) = (tensors[0].values(&narrow), tensors[2].values(&wide));
        let weight = |column: usize, i: usize| {
            f64::from(tensors[1].memory[(column / 16 * k + i) * 16 + column % 16])
        };
        let wanted: Vec<f64> = (0..b * height * width * n)
            .map(|at| {
                (0..k)
                    .map(|i| x[at / n * k + i] * weight(at % n, i))
                    .sum::<f64>()
                    + other[at]
            })
            .collect();
        let result = one_step(&step, &tensors, &wide, 1 + round % 3);
        assert_near(&result, &wanted, &step);
    }
}
