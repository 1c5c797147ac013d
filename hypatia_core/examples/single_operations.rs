//! Times single operations on multivectors inside the engine, without Python's call.
//!
//!     cargo run --release --no-default-features --example single_operations
//!
//! Each line is the median of 15 rounds, of some thousand calls each, whose results are kept from the optimiser.

use std::hint::black_box;
use std::time::Instant;

use _hypatia_core::clifford::{Algebra, Multivector, Product};
use _hypatia_core::error::Result;

const ROUNDS: usize = 15;
const CALLS: u32 = 5_000;

fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..CALLS).for_each(|_| call());
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Numbers between −1 and 1, none of them zero.
fn drawn(count: usize, seed: u64) -> Vec<f64> {
    let mut draw = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| draw.f64() * 1.9 - 0.95).collect()
}

fn main() -> Result<()> {
    for name in ["VGA2D", "VGA3D", "PGA2D", "PGA3D", "CGA2D", "CGA3D", "STA"] {
        let algebra = Algebra::named(name)?;
        let a = Multivector::new(algebra, drawn(algebra.len(), 1))?;
        let b = Multivector::new(algebra, drawn(algebra.len(), 2))?;
        let vector = Multivector::of_grade(algebra, 1, &drawn(algebra.positions(1).len(), 3))?;
        let plane = drawn(algebra.positions(2).len(), 4);
        let twist = Multivector::of_grade(algebra, 2, &plane)?.scale(0.3);
        let versor = twist.exp()?;
        println!("{name}");
        let row =
            |operation: &str, nanoseconds: f64| println!("  {operation:44}{nanoseconds:9.0} ns");
        for (product, called) in [
            (Product::Geometric, "geometric product, all grades"),
            (Product::Outer, "outer product, all grades"),
            (Product::Inner, "inner product, all grades"),
        ] {
            row(
                called,
                nanoseconds(|| {
                    let _ = black_box(black_box(&a).product(product, black_box(&b)));
                }),
            );
        }
        row(
            "sum",
            nanoseconds(|| drop(black_box(black_box(&a).add(black_box(&b))))),
        );
        row(
            "reverse",
            nanoseconds(|| drop(black_box(black_box(&a).reverse()))),
        );
        row(
            "sandwich of a vector by an even versor",
            nanoseconds(|| drop(black_box(black_box(&versor).sandwich(black_box(&vector))))),
        );
        row(
            "exp of a bivector",
            nanoseconds(|| drop(black_box(black_box(&twist).exp()))),
        );
        row(
            "log of an even versor",
            nanoseconds(|| drop(black_box(black_box(&versor).log()))),
        );
    }
    Ok(())
}
