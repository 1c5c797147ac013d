"""Is the backend registered? `python hypatia_core/tests/test_backend_registration.py`, or by pytest."""

import sys

import torch

import hypatia_core


def test_the_package_registers_the_backend() -> None:
    backends = torch._dynamo.list_backends()
    print("  backends:", backends)
    assert "hypatia" in backends


def test_registering_by_hand_is_harmless() -> None:
    hypatia_core.register_backend()
    hypatia_core.register_backend()
    assert torch._dynamo.list_backends().count("hypatia") == 1


def test_the_registered_backend_is_ours() -> None:
    assert torch._dynamo.lookup_backend("hypatia") is hypatia_core.hypatia_backend


def test_a_compiled_model_goes_through_it() -> None:
    torch._dynamo.reset()
    model = torch.nn.Linear(8, 4).eval()
    x = torch.randn(3, 8)
    with torch.no_grad():
        compiled = torch.compile(model, backend="hypatia", options={"executor": "aten"})
        torch.testing.assert_close(compiled(x), model(x))
    report = hypatia_core.report(compiled)
    print("  ", str(report).replace("\n", "\n   "), sep="")
    assert len(report.graphs) == 1


def test_an_unknown_backend_is_still_refused() -> None:
    try:
        torch.compile(lambda x: x, backend="hypatias")(torch.ones(1))
    except Exception as error:
        print("  refused:", str(error).splitlines()[0])
        assert "hypatias" in str(error)
    else:
        raise AssertionError("torch took a backend that does not exist")


if __name__ == "__main__":
    from script import run

    sys.exit(run(__name__))
