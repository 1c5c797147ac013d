//! Geometric (Clifford) algebra of any signature.
//!
//! Reads in this order: a [`Signature`] says what the basis vectors square to; a [`Blade`] is a set of
//! them; an [`Algebra`] orders the blades and tabulates every [`Product`] from their bit sets; a
//! [`Multivector`] is a list of coefficients over them, with its functions in `exponential`, `inverse`,
//! `subspace` and `rotor`.
//!
//! ```
//! use _hypatia_core::clifford::{Algebra, Multivector, Product};
//! let space = Algebra::named("VGA3D").unwrap();
//! let e1 = Multivector::basis(&space, "e1").unwrap();
//! let e2 = Multivector::basis(&space, "e2").unwrap();
//! let plane = e1.product(Product::Geometric, &e2).unwrap();
//! assert_eq!(plane.coefficient("e12").unwrap(), 1.0);
//! ```

mod algebra;
mod blade;
mod coefficients;
mod display;
mod exponential;
mod ideal;
mod inverse;
mod multivector;
mod product;
mod rotor;
mod sandwich;
mod signature;
mod stage;
mod study;
mod subspace;

pub use algebra::{Algebra, BasisBlade};
pub use blade::Blade;
pub use ideal::{Ideals, ideals};
pub use multivector::Multivector;
pub use product::{Entry, Grades, Product, Term};
pub use sandwich::SandwichTerm;
pub use signature::{MAX_DIMENSION, MODELS, Model, Signature};
