"""The controller's golden model: registers, jobs, the errors that registers decide, which error is kept."""

import pytest

from golden.enmc.enmc_controller import EnmcController, Job
from golden.enmc.isa import Instruction, assemble, make
from golden.enmc.isa_table import Error

RANK = 1 << 21


def run(text, controller=None):
    """The controller after a program, and its jobs."""
    controller = controller or EnmcController(RANK)
    return controller, [controller.take(instruction) for instruction in assemble(text)]


def test_jobs_have_the_fields_of_the_operand():
    _, jobs = run("INIT CLASSES, 9\nLDR PSUM_FP32, address=0x40, count=3\nMOVE PSUM_FP32, OUTPUT\n"
                  "MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=4, count=5, item=0")
    assert jobs[1:3] == [Job("MEMORY", "LOAD", 5, 0, {"address": 0x40, "count": 3}), Job("MEMORY", "MOVE", 5, 6, {})]
    assert jobs[3].kind == "CANDIDATES" and jobs[3].fields == {"class": 4, "count": 5, "item": 0, "list": 1}


@pytest.mark.parametrize("setup, instruction, error", [
    ("", "MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0, groups=8", None),
    ("INIT ITEMS, 2", "MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0, groups=4", None),
    ("INIT ITEMS, 2", "MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0, groups=5", Error.OPERAND),
    ("INIT ITEMS, 3", "MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0, groups=3", Error.OPERAND),
    ("INIT ITEMS, 3\nINIT CHUNKS, 11", "MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address=0, groups=1", Error.SETTING),
    ("INIT CHUNKS, 3", f"MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address={RANK - 512}, groups=2", None),
    ("INIT CHUNKS, 4", f"MUL_ADD_INT4 FEATURE_INT4, WEIGHT_INT4, address={RANK - 512}, groups=2", Error.RANGE),
    ("INIT CLASSES, 5", "MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=1, count=4, item=0", None),
    ("INIT CLASSES, 5", "MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=1, count=5, item=0", Error.SETTING),
    ("INIT CLASSES, 5", "MUL_ADD_FP32 FEATURE_FP32, WEIGHT_FP32, class=1, count=1, item=1", Error.SETTING),
    ("", f"LDR OUTPUT, address={RANK - 64}, count=1", None),
    ("", f"LDR OUTPUT, address={RANK - 64}, count=2", Error.RANGE),
    ("NOP", "INIT WRITE_LOW, 0", Error.REGISTER), ("INIT ITEMS, 4", "INIT WRITE_HIGH, 64", None),
])
def test_errors_that_registers_decide(setup, instruction, error):
    controller, jobs = run(f"{setup}\n{instruction}")
    number = len(jobs) - 1
    assert (jobs[-1] is None) == (error is not None)
    assert controller.error == (error and (error, assemble(instruction)[0].command, number))


def test_lowest_code_is_reported():
    controller = EnmcController(RANK)
    controller.take(Instruction(0x0A70, 7 << 36 | 1))  # buffer 7, count 7, no multiple of 64
    assert controller.error == (Error.BUFFER, 0x0A70, 0)


def test_first_error_is_kept_and_later_ones_are_counted():
    controller, _ = run(".word 0x1f00, 0\n.word 0x0a70, 0\n" + "NOP\n.word 0x1f00, 0\n" * 300)
    assert controller.query("ERROR") == Error.OPCODE | 0x1F00 << 8 | 255 << 24
    assert controller.query("STATUS") == 4 and controller.query("INSTRUCTIONS") == 602
    run("INIT ERROR, 1", controller)
    assert controller.query("ERROR") == 0 and controller.query("STATUS") == 0


def test_error_of_no_instruction_gives_way():
    controller, _ = run("NOP")
    controller.report_write()
    controller.report_write()
    assert controller.query("ERROR") == Error.RANGE | 1 << 24
    controller.report(Error.RANGE, 0x0B60, number=0)
    assert controller.query("ERROR") == Error.RANGE | 0x0B60 << 8 | 2 << 24
    controller.report_write()
    assert controller.query("ERROR") == Error.RANGE | 0x0B60 << 8 | 3 << 24


def test_return_and_clear():
    controller, _ = run("INIT WRITE_HIGH, 128\nINIT SHIFT, 5\nRETURN")
    assert controller.query("STATUS") == 8
    run("NOP", controller)
    assert controller.query("STATUS") == 0
    run("CLR", controller)
    assert controller.query("SHIFT") == 0 and controller.query("WRITE_HIGH") == 128
    assert controller.query("INSTRUCTIONS") == 0 and controller.locked


def test_refusals():
    controller = EnmcController(RANK)
    with pytest.raises(ValueError, match="QUERY is not taken in turn"):
        controller.take(make("QUERY", "STATUS"))
    with pytest.raises(ValueError, match="register = CYCLES is not one of the controller's"):
        controller.query("CYCLES")
