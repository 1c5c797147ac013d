"""Tensor expressions over free shapes: proved by the tensor engine's rules, refuted by elements."""

import pytest

from hypatia_core import is_equivalent, prove_equivalent

PROVED = [
    ("(matmul (matmul A B) C)", "(matmul A (matmul B C))"),
    ("(add (matmul X A) (matmul X B))", "(matmul X (add A B))"),
    ("(transpose (matmul A B))", "(matmul (transpose B) (transpose A))"),
    ("(transpose (transpose A))", "A"),
    ("(linear x W b)", "(add (matmul x (transpose W)) b)"),
    ("(linear x W)", "(matmul x (transpose W 0 1))"),
    ("(relu (relu (matmul A B)))", "(relu (matmul A B))"),
    ("(softmax (add A B))", "(softmax (add B A))"),
    ("(matmul (mul 2 A) B)", "(mul 2 (matmul A B))"),
    ("(layernorm (add A B) w c)", "(layernorm (add B A) w c)"),
    ("(attention Q (matmul K W) V)", "(attention Q (matmul K W) V)"),
    ("(attention (add P Q) K V)", "(attention (add Q P) K V)"),
    ("(conv2d (add X Y) W)", "(conv2d (add Y X) W)"),
    ("(sum (add A B))", "(sum (add B A))"),
    ("(log (softmax A))", "(log_softmax A)"),
    ("(softmax A -1)", "(softmax A 1)"),
    ("(transpose A 0 0)", "A"),
    ("(matmul A (matmul A A))", "(matmul (matmul A A) A)"),
    ("(matmul (mul 1/3 A) B)", "(mul 1/3 (matmul A B))"),
]
REFUTED = [
    ("(matmul A B)", "(matmul B A)"),
    ("(softmax (add A B))", "(softmax A)"),
    ("(softmax A 0)", "(softmax A 1)"),
    ("(relu (matmul A B))", "(gelu (matmul A B))"),
    ("(transpose A)", "A"),
    ("(linear x W b)", "(linear x W)"),
    ("(layernorm A)", "A"),
    ("(attention Q K V)", "(attention K Q V)"),
    ("(sum (mul A B))", "(mul (sum A) (sum B))"),
    ("(mean A)", "(sum A)"),
    ("(add (matmul X A) (matmul X B))", "(matmul X (sub A B))"),
    ("(softmax (mul 2 A))", "(softmax A)"),
    ("(relu (mul c (matmul A B)))", "(mul c (relu (matmul A B)))"),
    ("(layernorm (mul 2 A))", "(layernorm A)"),
    ("(mean (matmul A B))", "(div (sum (matmul A B)) 4)"),
    ("(attention Q K V)", "(matmul (softmax (matmul Q (transpose K))) V)"),
    ("(exp (matmul A B))", "(matmul (exp A) (exp B))"),
    ("(sum A 0)", "(sum A 1)"),
    ("(matmul A v)", "(matmul v A)"),
]
UNKNOWN = [
    ("(conv2d X W)", "(conv2d W X)", "the tensor rules did not lead"),
    ("(softmax (add A 1))", "(softmax A)", "the tensor rules did not lead"),
    ("(embedding W i)", "(embedding i W)", "does not follow from free shapes"),
    ("(sum A)", "A", "0 dimensions and the right side 2"),
    ("(matmul w (layernorm A w))", "A", "known of matrices"),
]


@pytest.mark.parametrize(("left", "right"), PROVED)
def test_equal_expressions_are_proved(left: str, right: str) -> None:
    for answer in (prove_equivalent(left, right), prove_equivalent(right, left)):
        assert answer.status == "proved" and answer.check(), answer
    assert is_equivalent(left, right)


@pytest.mark.parametrize(("left", "right"), REFUTED)
def test_unequal_expressions_are_refuted_by_an_element(left: str, right: str) -> None:
    for answer in (prove_equivalent(left, right), prove_equivalent(right, left)):
        assert answer.status == "refuted", answer
        assert answer.witness and all("[" in name for name in answer.witness)
        assert answer.values is not None and answer.values[0] != answer.values[1]


@pytest.mark.parametrize(("left", "right", "reason"), UNKNOWN)
def test_what_is_not_decided_has_a_reason(left: str, right: str, reason: str) -> None:
    answer = prove_equivalent(left, right)
    assert answer.status == "unknown" and answer.reason is not None and reason in answer.reason


def test_a_proof_says_of_which_shapes_and_by_which_rules() -> None:
    answer = prove_equivalent("(matmul (matmul A B) C)", "(matmul A (matmul B C))")
    assert answer.conditions == (
        "A has the shape [n0, n1]",
        "B has the shape [n1, n3]",
        "C has the shape [n3, n5]",
    )
    ((rule, _, _, condition),) = answer.steps
    assert rule == "tensor-rules" and condition == "matmul-associates ×1"


def test_numbers_that_no_double_holds_are_not_rounded() -> None:
    third = repr(1 / 3)
    assert not is_equivalent("(mul 1/3 (matmul A B))", f"(mul {third} (matmul A B))")
    assert is_equivalent("(mul 1/3 (matmul A B))", "(mul (matmul A B) 1/3)")
