//! The step "rows", on drawn code and views.

use _hypatia_core::native::Program;
use serde_json::{Value, json};

use crate::tensor::{View, floats, places, run, view};

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
