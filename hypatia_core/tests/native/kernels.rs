//! Steps that are one kernel each, on operands of any strides.

use serde_json::json;

use crate::tensor::{Tensor, View, assert_near, one_step};

#[test]
fn products_of_matrices_however_they_lie() {
    let mut draw = fastrand::Rng::with_seed(23);
    for round in 0..400 {
        let batch: Vec<usize> = (0..draw.usize(0..3)).map(|_| draw.usize(1..4)).collect();
        let any = |draw: &mut fastrand::Rng| [1, 2, 3, 5, 8, 17, 64, 90][draw.usize(0..8)];
        let (mut m, n, mut k) = (any(&mut draw), any(&mut draw), any(&mut draw));
        // Enough rows for several tasks, and a depth of several slices.
        match round % 20 {
            0 => m = 211,
            1 => (m, k) = (100, 530),
            _ => {}
        }
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
