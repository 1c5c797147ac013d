//! Programs: what is refused, what runs at once, what goes from step to step.

use _hypatia_core::native::Program;
use serde_json::{Value, json};

use crate::tensor::{floats, run};

fn refused(buffers: Value, steps: Value) -> String {
    let text = json!({"buffers": buffers, "steps": steps}).to_string();
    Program::new(&text).map(|_| ()).unwrap_err().0
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
