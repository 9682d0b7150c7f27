"""Proofs: the decoder is total, its register keeps the meaning, what is refused reaches no unit."""

import pytest

from hw.enmc import instruction_decoder
from hw.enmc.isa_table import Error
from sim.formal import ProofFailure, prove

from . import formal_instructions


@pytest.mark.parametrize("row_bits", [4, 16])
def test_decoder_is_total(row_bits):
    prove(formal_instructions.DecoderProof(row_bits + formal_instructions.RANK_BITS), depth=1, mode="bmc")


def test_every_form_and_error_is_reached():
    prove(formal_instructions.DecoderProof(), depth=1, mode="cover")


def test_meaning_stays_with_its_instruction():
    prove(formal_instructions.StageProof(), depth=2)


def test_refused_instructions_do_nothing():
    prove(formal_instructions.DispatchProof(), depth=3)


def test_dispatch_reaches_every_unit():
    prove(formal_instructions.DispatchProof(), depth=6, mode="cover")


def test_proof_sees_a_missing_check(monkeypatch, tmp_path):
    class Careless(instruction_decoder.InstructionDecoder):
        """Lets any buffer pass."""

        def _flag(self, m, error, condition):
            if error is not Error.BUFFER:
                super()._flag(m, error, condition)

    monkeypatch.setattr(formal_instructions, "InstructionDecoder", Careless)
    with pytest.raises(ProofFailure, match="Assert failed"):
        prove(formal_instructions.DecoderProof(), depth=1, mode="bmc", keep=tmp_path)
