"""Geometric algebra of any signature on torch tensors.

`Algebra` names the signature, `Multivector` holds a batch of coefficients, `motion` builds rotors, motors,
points and spheres, `rotation` rotors of matrices and quaternions, `layers` holds the equivariant layers.
Conventions and examples: docs/geometric.md.
"""

from hypatia_core.clifford import pytree
from hypatia_core.clifford.algebra import Algebra
from hypatia_core.clifford.equivariance import equivariance_error, random_versor
from hypatia_core.clifford.layers import CliffordLinear, GeometricProduct, MVActivation, MVLayerNorm
from hypatia_core.clifford.motion import center_and_radius, plane, point, position, rotor, sphere, translator
from hypatia_core.clifford.multivector import Multivector
from hypatia_core.clifford.rotation import (
    motor_from_matrix,
    motor_to_matrix,
    rotor_between,
    rotor_from_matrix,
    rotor_from_quaternion,
)
from hypatia_core.clifford.symbolic import SymbolicMultivector
from hypatia_core.compat import register_pytree_node

register_pytree_node(Multivector, pytree.flatten, pytree.unflatten)

__all__ = [
    "Algebra",
    "CliffordLinear",
    "GeometricProduct",
    "MVActivation",
    "MVLayerNorm",
    "Multivector",
    "SymbolicMultivector",
    "center_and_radius",
    "equivariance_error",
    "motor_from_matrix",
    "motor_to_matrix",
    "plane",
    "point",
    "position",
    "random_versor",
    "rotor",
    "rotor_between",
    "rotor_from_matrix",
    "rotor_from_quaternion",
    "sphere",
    "translator",
]
