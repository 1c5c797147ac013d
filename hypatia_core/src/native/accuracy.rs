//! Each instruction against float64, over all that float32 makes a difference of.

use super::instruction::{Binary, Reduction, Unary};
use super::lanes::{Operand, binary, reduce, unary};

/// What torch computes, in float64.
fn exact(of: Unary, x: f64) -> f64 {
    let normal = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    match of {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Unary::Sigmoid => logistic(x),
        Unary::Tanh => x.tanh(),
        Unary::Gelu => x * normal(x),
        Unary::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x * logistic(2.0 * u)
        }
        Unary::Silu => x * logistic(x),
        Unary::Exp => x.exp(),
        Unary::Exp2 => x.exp2(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Erf => libm::erf(x),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Softplus => {
            if x > 20.0 {
                x
            } else {
                x.exp().ln_1p()
            }
        }
        Unary::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Unary::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Trunc => x.trunc(),
        Unary::Sign => f64::from(i8::from(x > 0.0) - i8::from(x < 0.0)),
        Unary::Not => f64::from(u8::from(x == 0.0)),
        Unary::Square => x * x,
        Unary::Cube => x * x * x,
        Unary::ReciprocalOfSquare => 1.0 / (x * x),
    }
}

/// Every 2¹² th number of float32, those that are near where functions change their way, and those that are special.
fn inputs() -> Vec<f32> {
    let mut inputs: Vec<f32> = (0..1u32 << 20)
        .map(|i| f32::from_bits((i << 12) | 0x5a5))
        .collect();
    inputs.extend((-120_000..=120_000).map(|i| i as f32 / 1000.0));
    inputs.extend([
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        88.8,
        -104.1,
    ]);
    inputs.extend([
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        -f32::MIN_POSITIVE,
        1e-45,
        -1e-45,
        128.0,
    ]);
    inputs
}

/// Units in the last place between a result and the exact value; 0 where both are rounded alike.
fn units(result: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if result == rounded || (result.is_nan() && rounded.is_nan()) {
        return 0.0;
    }
    if result.is_infinite() && !rounded.is_infinite() && exact.abs() > 3.4e38 {
        return 1.0;
    }
    let size = (rounded.abs().max(f32::MIN_POSITIVE).to_bits() >> 23) as i32 - 127;
    (f64::from(result) - exact).abs() / 2f64.powi(size - 23)
}

/// How far a function may be off: units in the last place, or a share of the input's size, which is what a rounding of
/// the argument makes of it; and what is so small that it may be nothing at all.
fn allowed(of: Unary) -> (f64, f64, f64) {
    match of {
        Unary::Sigmoid => (4.0, 0.0, 2e-38),
        // 1 + tanh u and 1 + erf u, as torch has them, lose as much of what is near −1.
        Unary::Gelu | Unary::GeluTanh => (4.0, 3e-8, 0.0),
        Unary::Silu => (4.0, 0.0, 2e-36),
        Unary::HardSwish | Unary::HardSigmoid => (4.0, 6e-8, 0.0),
        Unary::Softplus => (4.0, 0.0, 0.0),
        _ => (2.0, 0.0, 0.0),
    }
}

fn run(of: Unary, registers: bool, inputs: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; inputs.len()];
    // What an angle far away changes is the way of a whole row.
    for (inputs, out) in inputs.chunks(64).zip(out.chunks_mut(64)) {
        if registers {
            unary::<256>(of, inputs, out);
        } else {
            unary::<0>(of, inputs, out);
        }
    }
    out
}

#[test]
fn functions_are_near_those_of_float64() {
    let inputs = inputs();
    for &of in Unary::ALL {
        let (most, share, nothing) = allowed(of);
        for registers in [false, true] {
            let mut worst = (0.0, 0.0, 0.0);
            for (&x, y) in inputs.iter().zip(run(of, registers, &inputs)) {
                let wanted = exact(of, f64::from(x));
                let error = (f64::from(y) - wanted).abs();
                if error <= nothing || error <= share * f64::from(x).abs() {
                    continue;
                }
                let off = units(y, wanted);
                if off > worst.0 || off.is_nan() {
                    worst = (if off.is_nan() { f64::INFINITY } else { off }, x, y);
                }
            }
            let (off, x, y) = worst;
            let wanted = exact(of, f64::from(x));
            assert!(
                off <= most,
                "{}({x:e}) = {y:e}, not {wanted:e}: {off:.2} units",
                of.name()
            );
        }
    }
}

/// As torch 2.15 has them.
#[test]
fn special_values_are_those_of_torch() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let rows: [(Unary, f32, f32); 38] = [
        (Unary::Neg, 0.0, -0.0),
        (Unary::Abs, -0.0, 0.0),
        (Unary::Relu, nan, nan),
        (Unary::Sigmoid, inf, 1.0),
        (Unary::Sigmoid, -inf, 0.0),
        (Unary::Tanh, -0.0, -0.0),
        (Unary::Tanh, inf, 1.0),
        (Unary::Tanh, -inf, -1.0),
        (Unary::Tanh, 1e-42, 1e-42),
        (Unary::Gelu, -inf, nan),
        (Unary::Gelu, inf, inf),
        (Unary::Silu, -inf, nan),
        (Unary::Silu, -0.0, -0.0),
        (Unary::Exp, -inf, 0.0),
        (Unary::Exp, inf, inf),
        (Unary::Exp, -100.0, 3.8e-44),
        (Unary::Exp2, -inf, 0.0),
        (Unary::Exp2, -149.0, 1e-45),
        (Unary::Expm1, -0.0, -0.0),
        (Unary::Expm1, -inf, -1.0),
        (Unary::Expm1, inf, inf),
        (Unary::Log, -0.0, -inf),
        (Unary::Log, -1.0, nan),
        (Unary::Log, inf, inf),
        (Unary::Log1p, -0.0, -0.0),
        (Unary::Log1p, -1.0, -inf),
        (Unary::Log1p, inf, inf),
        (Unary::Sqrt, -0.0, -0.0),
        (Unary::Rsqrt, -0.0, -inf),
        (Unary::Erf, -0.0, -0.0),
        (Unary::Erf, -inf, -1.0),
        (Unary::Sin, -0.0, -0.0),
        (Unary::Sin, inf, nan),
        (Unary::Softplus, -inf, 0.0),
        (Unary::HardSigmoid, inf, 1.0),
        (Unary::Ceil, -0.5, -0.0),
        (Unary::Round, 2.5, 2.0),
        (Unary::Sign, nan, 0.0),
    ];
    for (of, x, wanted) in rows {
        for registers in [false, true] {
            let y = run(of, registers, &[x])[0];
            let same = y.to_bits() == wanted.to_bits() || (y.is_nan() && wanted.is_nan());
            assert!(same, "{}({x:e}) = {y:e}, not {wanted:e}", of.name());
        }
    }
    for &of in Unary::ALL {
        let number = matches!(of, Unary::Sign | Unary::Not);
        assert!(number || run(of, true, &[nan])[0].is_nan(), "{}", of.name());
    }
}

#[test]
fn two_operands() {
    let numbers = [
        0.0f32,
        -0.0,
        1.5,
        -2.25,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        3.0,
        1e-42,
    ];
    let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
    for &of in Binary::ALL {
        for (x, y) in numbers
            .iter()
            .flat_map(|&x| numbers.iter().map(move |&y| (x, y)))
        {
            let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
            let nan = x.is_nan() || y.is_nan();
            let wanted = match of {
                Binary::Add => x + y,
                Binary::Sub => x - y,
                Binary::Mul => x * y,
                Binary::Div => x / y,
                Binary::Max => {
                    if nan {
                        f32::NAN
                    } else {
                        x.max(y)
                    }
                }
                Binary::Min => {
                    if nan {
                        f32::NAN
                    } else {
                        x.min(y)
                    }
                }
                Binary::Pow => f64::from(x).powf(f64::from(y)) as f32,
                Binary::Gt => truth(x > y),
                Binary::Ge => truth(x >= y),
                Binary::Lt => truth(x < y),
                Binary::Le => truth(x <= y),
                Binary::Eq => truth(x == y),
                Binary::Ne => truth(x != y),
                Binary::And => truth(x != 0.0 && y != 0.0),
                Binary::Or => truth(x != 0.0 || y != 0.0),
            };
            let (xs, ys) = ([x; 11], [y; 11]);
            for a in [Operand::Each(&xs), Operand::All(x)] {
                for b in [Operand::Each(&ys), Operand::All(y)] {
                    let mut out = [7.0; 11];
                    binary::<256>(of, a, b, &mut out);
                    assert!(
                        out.iter().all(|&z| same(z, wanted)),
                        "{x} {} {y}",
                        of.name()
                    );
                    binary::<0>(of, a, b, &mut out);
                    assert!(out.iter().all(|&z| same(z, wanted)));
                }
            }
        }
    }
}

#[test]
fn reductions_of_every_length() {
    let mut draw = fastrand::Rng::with_seed(8);
    for length in (0..200).chain([4095, 4096, 4097, 100_000]) {
        let row: Vec<f32> = (0..length).map(|_| draw.f32() * 2.0 - 1.0).collect();
        let sum: f64 = row.iter().map(|&x| f64::from(x)).sum();
        let size: f64 = row.iter().map(|&x| f64::from(x.abs())).sum();
        for wide in [false, crate::registers::bits() >= 256] {
            let found = if wide {
                reduce::<256>(Reduction::Sum, &row)
            } else {
                reduce::<0>(Reduction::Sum, &row)
            };
            let error = (f64::from(found) - sum).abs();
            assert!(error <= 2e-7 * size, "{length}: {error:e}");
        }
        let most = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        let least = row.iter().fold(f32::INFINITY, |a, &b| a.min(b));
        assert_eq!(reduce::<0>(Reduction::Max, &row), most);
        assert_eq!(reduce::<0>(Reduction::Min, &row), least);
        let few: Vec<f32> = row.iter().take(30).map(|x| 1.0 + x * 0.1).collect();
        let product: f64 = few.iter().map(|&x| f64::from(x)).product();
        let error = (f64::from(reduce::<0>(Reduction::Prod, &few)) / product - 1.0).abs();
        assert!(error < 4e-6, "{length}: {error:e}");
        if length > 0 {
            let mut row = row;
            row[draw.usize(0..length)] = f32::NAN;
            for &of in Reduction::ALL {
                assert!(reduce::<0>(of, &row).is_nan(), "{}", of.name());
            }
        }
    }
}
