"""Fenced code as the action."""

from __future__ import annotations

import pytest

from environments.protocols import Result, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids

ONE = ("python", {"code": "print(1)"})
BLOCK = "```python\nprint(1)\n```"
SHELL = "```bash\nls\n```"

CASES = [
    Case("python", BLOCK, (ONE,)),
    Case("bash", SHELL, (("bash", {"command": "ls"}),)),
    Case("another name", "```sh\nls\n```", (("bash", {"command": "ls"}),)),
    Case("capital letters", BLOCK.replace("python", "Python"), (ONE,)),
    Case("thought and text", f"<think>Hm.</think>I count.\n{BLOCK}\n", (ONE,), thought="Hm.", text="I count."),
    Case("windows line ends", BLOCK.replace("\n", "\r\n"), (ONE,)),
    Case("blank lines stay", "```python\n\nx = 1\n\n```", (("python", {"code": "\nx = 1\n"}),)),
    Case("answer", "It rains.", answer="It rains."),
    Case("answer with another block", "See:\n```json\n{}\n```", answer="See:\n```json\n{}\n```"),
    Case("a block of text first", f"```text\n```python\n```\n{BLOCK}", (ONE,), text="```text\n```python\n```"),
    Case("a longer fence", "````python\n'''\n```\n'''\n````", (("python", {"code": "'''\n```\n'''"}),)),
    Case("backticks in the code", "```python\nx = '```'\n```", (("python", {"code": "x = '```'"}),)),
    Case("tags in the code", "```python\nx = '</think>'\n```", (("python", {"code": "x = '</think>'"}),)),
    Case("inline code", "Write ```x``` here.", answer="Write ```x``` here."),
    Case("two blocks", f"{BLOCK}\n{SHELL}", (ONE,), problems=("too_many_calls",)),
    Case("text after", f"{BLOCK}\nI wait.", (ONE,), text="I wait.", problems=("~text_after_call",)),
    Case("output of its own", f"{BLOCK}\n```output\n1\n```\nOne.", (ONE,), problems=("~made_up_result",)),
    Case("not closed", "```python\nprint(1)", problems=("unclosed_tag",)),
    Case("not closed after text", "I count.\n```python\nprint(1)", text="I count.", problems=("unclosed_tag",)),
    Case("only opened", "```python", problems=("unclosed_tag",)),
    Case("another not closed", "See:\n```json\n{}", answer="See:\n```json\n{}"),
    Case("empty", "", problems=("no_action",)),
    Case("empty code", "```python\n```", problems=("bad_call",)),
    Case("in a thought", f"<think>\n{BLOCK}\n</think>One.", answer="One.", thought=BLOCK),
    Case("in a thought of the template", f"{BLOCK}\n</think>One.", answer="One.", thought=BLOCK),
    Case("in a thought that is open", f"<think>\n{BLOCK}", thought=BLOCK, problems=("unclosed_tag",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("code_block"), case)


def test_languages_can_be_set() -> None:
    own = protocol({"name": "code_block", "blocks": {"word": {"tool": "lookup", "argument": "word"}}})
    turn = own.parse("```word\nrain\n```", TOOLS)
    assert [(call.name, call.arguments) for call in turn.calls] == [("lookup", {"word": "rain"})]
    assert own.parse(BLOCK, TOOLS).answer == BLOCK


def test_a_tool_that_is_not_there_is_reported() -> None:
    assert codes(protocol("code_block").parse(BLOCK, {})) == ("unknown_tool",)


def test_a_fence_that_the_sampler_leaves_out_is_no_problem() -> None:
    turn = protocol({"name": "code_block", "stop": ["```"]}).parse("```python\nprint(1)\n", TOOLS)
    assert ([call.arguments for call in turn.calls], codes(turn)) == ([{"code": "print(1)"}], ())


def test_results_are_blocks_of_output() -> None:
    code = protocol("code_block")
    turn = code.parse(BLOCK, TOOLS)
    [message] = code.render_results(turn, [Result(turn.calls[0], "1\n")])
    assert message == {"role": "user", "content": "```output\n1\n```"}
