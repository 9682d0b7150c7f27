"""Scores of sparse attention on their way to weights: collect, softmax in the MFU, hand out in the order of issue."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.arith.fixed import Requantize
from hw.dota.attention_pass import ScoreTag, group_count
from hw.dota.mfu_types import MfuOp, user_ports
from hw.dota.rmmu import ResultLayout
from hw.dota.tile_writer import MAX_SHIFT
from hw.memory.sram import SramBank

__all__ = ["RowSoftmax"]

#: A score is a sum of at most 16 columns x 16 rows of a token = 256 products of at most 2^30.
SCORE_SUM_WIDTH = 40


class RowSoftmax(wiring.Component):
    """Score and weight buffers of T tokens, two groups each (halves), and their way through the MFU.

    ``result`` are the RMMU's QK results: a token's rows are summed, words added up, requantized by ``shift`` and
    appended to the token's scores. When a group has ended, its T rows go through the MFU, C scores a beat, and come
    back as weights; then ``groups`` counts up. ``weights`` shows, one cycle after ``weight_enable``, each enabled
    token's next weight of ``weight_half``; ``weight_advance`` moves on, ``weight_restart`` starts over and
    ``weight_first`` tells that the next weight is the row's first. ``nonempty``: tokens with at least one score in
    the group counted last.
    """

    def __init__(self, config):
        self.config = config
        tokens = config.tokens
        super().__init__({
            "start": In(1),
            "shift": In(6),
            "result": In(stream.Signature(ResultLayout(config.rmmu), always_ready=True)),
            **user_ports(config.cols),
            "weight_enable": In(tokens),
            "weight_advance": In(tokens),
            "weight_half": In(1),
            "weight_restart": In(1),
            "weight_first": Out(tokens),
            "weights": Out(data.ArrayLayout(16, tokens)),
            "groups": Out(group_count(config)),
            "nonempty": Out(data.ArrayLayout(tokens, 2)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beats = config.max_keys // config.cols
        lane_bits = ceil_log2(config.cols)
        scores, weights = [], []
        for t in range(config.tokens):
            scores.append(SramBank(16 * config.cols, 2 * beats, 16))
            weights.append(SramBank(16 * config.cols, 2 * beats, 16 * config.cols))
            m.submodules[f"scores_{t}"], m.submodules[f"weights_{t}"] = scores[t], weights[t]
        counts = [Signal(data.ArrayLayout(range(config.max_keys + 1), config.tokens), name=f"counts_{half}")
                  for half in range(2)]
        collected = Signal(group_count(config))
        with m.If(self.start):
            m.d.sync += [collected.eq(0), self.groups.eq(0)]
        self._collect(m, scores, counts, collected, lane_bits)
        self._send(m, scores, counts, collected, lane_bits)
        self._receive(m, weights)
        self._hand_out(m, weights, lane_bits)
        return m

    def _collect(self, m, scores, counts, collected, lane_bits):
        config = self.config
        tag = data.View(ScoreTag(config), self.result.p.tag[:ScoreTag(config).size])
        # Stage 1: sum of the rows that hold this word of the token's query.
        summed = Signal(data.StructLayout({"valid": 1, "tag": ScoreTag(config)}))
        m.d.sync += [summed.valid.eq(self.result.valid), summed.tag.eq(tag)]
        # Stage 2: sum over the words of the vector.
        added = Signal(data.StructLayout({"tokens": config.tokens, "last": 1}))
        m.d.sync += [
            added.tokens.eq(summed.tag.tokens & (summed.valid & summed.tag.last_word).replicate(config.tokens)),
            added.last.eq(summed.valid & summed.tag.last),
        ]
        half = Signal()
        m.d.comb += half.eq(collected[0])
        with m.If(added.last & ~self.start):
            m.d.sync += collected.eq(collected + 1)
        for t in range(config.tokens):
            row_sum = Signal(signed(SCORE_SUM_WIDTH), name=f"row_sum_{t}", reset_less=True)
            total = Signal(signed(SCORE_SUM_WIDTH), name=f"total_{t}", reset_less=True)
            terms = []
            for k in range(config.token_rows):
                value = self.result.p.rows[t * config.token_rows + k][:SCORE_SUM_WIDTH]
                wanted = tag.word == k // 2
                terms.append((value & wanted.replicate(SCORE_SUM_WIDTH)).as_signed())
            m.d.sync += row_sum.eq(sum(terms[1:], terms[0]))
            with m.If(summed.valid & summed.tag.tokens[t]):
                m.d.sync += total.eq(Mux(summed.tag.word == 0, 0, total) + row_sum)
            requantize = m.submodules[f"requantize_{t}"] = Requantize(SCORE_SUM_WIDTH, 16, MAX_SHIFT)
            count = Mux(half, counts[1][t], counts[0][t])
            m.d.comb += [
                requantize.x.eq(total), requantize.shift.eq(self.shift),
                scores[t].write_address.eq(Cat((count >> lane_bits)[:len(scores[t].write_address) - 1], half)),
                scores[t].write_data.eq(requantize.y.as_unsigned().replicate(config.cols)),
            ]
            with m.If(added.tokens[t]):
                m.d.comb += scores[t].write_mask.eq(1 << count[:lane_bits])
                for h in range(2):
                    with m.If(half == h):
                        m.d.sync += counts[h][t].eq(counts[h][t] + 1)

    def _send(self, m, scores, counts, collected, lane_bits):
        """Read a finished group's scores, token by token, into the MFU."""
        config = self.config
        sent = Signal(group_count(config))
        token, done = Signal(range(config.tokens)), Signal(range(config.max_keys + 1))
        issue, have, last, half = Signal(), Signal(), Signal(), Signal()
        rest = Signal(range(config.max_keys + 1))
        held = Signal(data.StructLayout({"token": token.shape(), "count": range(config.cols + 1), "last": 1}))
        payload = self.to_mfu.p
        m.d.comb += [
            half.eq(sent[0]),
            rest.eq(Mux(half, Array(counts[1])[token], Array(counts[0])[token]) - done),
            last.eq(rest <= config.cols),
            issue.eq((sent != collected) & (~have | self.to_mfu.ready)),
            self.to_mfu.valid.eq(have),
            payload.op.eq(MfuOp.SOFTMAX), payload.count.eq(held.count), payload.last.eq(held.last),
            payload.data.eq(Array(bank.read_data for bank in scores)[held.token]),
        ]
        for t, bank in enumerate(scores):
            m.d.comb += [bank.read_enable.eq(issue & (token == t)),
                         bank.read_address.eq(Cat((done >> lane_bits)[:len(bank.read_address) - 1], half))]
        with m.If(issue):
            m.d.sync += [have.eq(1), held.token.eq(token), held.last.eq(last),
                         held.count.eq(Mux(last, rest, config.cols)), done.eq(done + config.cols)]
            with m.If(last):
                m.d.sync += [done.eq(0), token.eq(token + 1)]
                with m.If(token == config.tokens - 1):
                    m.d.sync += [token.eq(0), sent.eq(sent + 1)]
                    for h in range(2):
                        with m.If(half == h):
                            m.d.sync += [counts[h].eq(0), self.nonempty[h].eq(Cat(c != 0 for c in counts[h]))]
        with m.Elif(self.to_mfu.ready):
            m.d.sync += have.eq(0)
        with m.If(self.start):
            m.d.sync += sent.eq(0)

    def _receive(self, m, weights):
        config = self.config
        token, beat, half = Signal(range(config.tokens)), Signal(range(config.max_keys // config.cols)), Signal()
        m.d.comb += [half.eq(self.groups[0]), self.from_mfu.ready.eq(1)]
        for t, bank in enumerate(weights):
            m.d.comb += [bank.write_address.eq(Cat(beat, half)), bank.write_data.eq(self.from_mfu.p.data),
                         bank.write_mask.eq(self.from_mfu.valid & (token == t))]
        with m.If(self.from_mfu.valid):
            m.d.sync += beat.eq(beat + 1)
            with m.If(self.from_mfu.p.last):
                m.d.sync += [beat.eq(0), token.eq(token + 1)]
                with m.If(token == config.tokens - 1):
                    m.d.sync += [token.eq(0), self.groups.eq(self.groups + 1)]

    def _hand_out(self, m, weights, lane_bits):
        config = self.config
        for t, bank in enumerate(weights):
            position = Signal(range(config.max_keys), name=f"position_{t}")
            lane = Signal(lane_bits, name=f"lane_{t}")
            m.d.comb += [
                bank.read_enable.eq(self.weight_enable[t]),
                bank.read_address.eq(Cat((position >> lane_bits)[:len(bank.read_address) - 1], self.weight_half)),
                self.weight_first[t].eq(position == 0),
                self.weights[t].eq(bank.read_data.word_select(lane, 16)),
            ]
            with m.If(self.weight_enable[t]):
                m.d.sync += lane.eq(position)
            with m.If(self.weight_restart):
                m.d.sync += position.eq(0)
            with m.Elif(self.weight_advance[t]):
                m.d.sync += position.eq(position + 1)
