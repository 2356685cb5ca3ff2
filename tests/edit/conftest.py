"""The fixture of all tests of `homezoo edit`'s command line."""

import pytest
from edit_commands import Run

from homezoo.commands.main import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object, status: int = 0) -> str:
        code = main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        assert code == status, output.err
        return output.out if status == 0 else output.err

    return call
