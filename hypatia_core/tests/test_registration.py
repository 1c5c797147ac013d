"""The backend's name in torch, whichever way a process comes to it."""

import pytest
import torch

import hypatia_core
from conftest import Run

LOOKUP = "assert torch._dynamo.lookup_backend('hypatia') is __import__('hypatia_core').hypatia_backend"
IMPORT = "import hypatia_core"
LIST = "assert torch._dynamo.list_backends().count('hypatia') == 1"
COMPILE = "torch.compile(lambda x: x + 1, backend='hypatia')(torch.ones(2))"
REGISTER = "__import__('hypatia_core').register_backend()"


@pytest.mark.parametrize(
    "program", [f"import hypatia_core, torch; {LOOKUP}; {COMPILE}", f"import torch; {COMPILE}"]
)
def test_a_new_interpreter_needs_no_more_than_the_name(program: str, new_python: Run) -> None:
    assert new_python(program).stderr.count("Hypatia backend registered successfully") == 1


@pytest.mark.parametrize(
    "order",
    [
        [IMPORT, LOOKUP],
        [LOOKUP, IMPORT],
        [LIST, IMPORT],
        [LIST, LOOKUP, IMPORT],
        [COMPILE],
        [IMPORT, COMPILE],
        [LIST, REGISTER, REGISTER, COMPILE],
        [LOOKUP, REGISTER],
    ],
    ids=lambda order: ", ".join(step.split("(")[0].split(".")[-1].replace("assert ", "") for step in order),
)
def test_every_order_gives_one_registration(order: list[str], fresh_python: Run) -> None:
    program = "\n".join(["import torch, torch._dynamo", *order, LOOKUP, COMPILE, LIST])
    done = fresh_python(program)
    assert done.stderr.count("Hypatia backend registered successfully") == 1


def test_registering_again_changes_nothing() -> None:
    before = torch._dynamo.list_backends()
    hypatia_core.register_backend()
    hypatia_core.register_backend()
    assert torch._dynamo.list_backends() == before


def test_another_backend_of_that_name_is_an_error_and_not_replaced(fresh_python: Run) -> None:
    done = fresh_python(
        """
import torch, torch._dynamo
def impostor(gm, example_inputs): return gm.forward
torch._dynamo.register_backend(impostor, name="hypatia")
try:
    import hypatia_core
except RuntimeError as error:
    print(error)
assert torch._dynamo.lookup_backend("hypatia") is impostor
"""
    )
    assert "another backend named 'hypatia'" in done.stdout
