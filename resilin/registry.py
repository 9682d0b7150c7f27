"""The one registry of blocks: the command line, the Makefile, tests, synthesis and docs walk it."""

import dataclasses
import importlib

__all__ = ["BLOCKS", "Block", "find"]


@dataclasses.dataclass(frozen=True)
class Block:
    """One registered block.

    Attributes
    ----------
    name: the block's name on the command line and of its top-level Verilog module
    system: the folder in hw/, golden/, tests/ and docs/
    component, config: class names inside ``hw.<system>.<name>``; the component's constructor takes the config
    summary: one line for ``resilin list``
    vectors: names of the cocotb tests whose run gives the golden vectors of a package; all when empty
    asic_presets: presets about as large as the largest supported FPGA (ECP5 85F: 84,000 LUTs, 3.7 Mbit of memory) or
        larger, which the baseline of :mod:`resilin.qor` has on standard cells only
    guards: pairs of an output that is no stream and the output that says, when it is not zero, that the first one means
        something
    isa: module whose ``header()`` is the C header of the instructions that the block carries out; empty: none
    """

    name: str
    system: str
    component: str
    config: str
    summary: str
    vectors: tuple = ()
    asic_presets: tuple = ()
    guards: tuple = ()
    isa: str = ""

    def _attribute(self, name):
        return getattr(importlib.import_module(f"hw.{self.system}.{self.name}"), name)

    @property
    def component_class(self):
        return self._attribute(self.component)

    @property
    def config_class(self):
        return self._attribute(self.config)

    @property
    def golden(self):
        """Name of the module with the golden model."""
        return f"golden.{self.system}.{self.name}"

    @property
    def tests(self):
        """Name of the module with the cocotb tests and their pytest entry."""
        return f"tests.{self.system}.test_{self.name}"

    @property
    def page(self):
        """Path of the documentation page, from the top of the repository."""
        return f"docs/{self.system}/{self.name}.md"


BLOCKS = (
    Block("float_fma", "arith", "FloatFma", "FloatFmaConfig", "fused multiply-add of IEEE 754 binary32 numbers"),
    Block("rmmu", "dota", "Rmmu", "RmmuConfig", "reconfigurable matrix multiplication unit, multi-precision PE array"),
    Block("detector", "dota", "Detector", "DetectorConfig", "selects the strong attentions from estimated scores"),
    Block("scheduler", "dota", "Scheduler", "SchedulerConfig", "token-parallel, out-of-order order of the key loads"),
    Block("mfu", "dota", "Mfu", "MfuConfig", "multi-function unit: softmax, quantize, dequantize"),
    Block("lane", "dota", "Lane", "LaneConfig", "one compute lane: SRAM, RMMU, Detector, Scheduler, MFU, sequencer",
          vectors=("whole_heads", "large_commands")),
    Block("quantizer", "duet", "Quantizer", "QuantizerConfig", "most significant bits of the Speculator's activations"),
    Block("projection", "duet", "Projection", "ProjectionConfig", "ternary matrix times activations, from adders only"),
    Block("speculator_mfu", "duet", "SpeculatorMfu", "SpeculatorMfuConfig", "approximate pre-activations, activations"),
    Block("switching_map", "duet", "SwitchingMap", "SwitchingMapConfig", "which outputs need the accurate computation"),
    Block("systolic_array", "duet", "SystolicArray", "SystolicArrayConfig", "INT4 matrix products, output stationary"),
    Block("reorder_unit", "duet", "ReorderUnit", "ReorderUnitConfig", "order of the channels by work, in buckets"),
    Block("speculator", "duet", "Speculator", "SpeculatorConfig", "approximate modules: switching maps, gates, orders",
          asic_presets=("paper",)),
    Block("executor_pe", "duet", "ExecutorPe", "ExecutorPeConfig", "element that runs the tagged multiply-accumulates"),
    Block("multicast_bus", "duet", "MulticastBus", "MulticastBusConfig", "bus to rows and elements by tags and IDs"),
    Block("executor", "duet", "Executor", "ExecutorConfig", "array of elements that computes what the maps ask for",
          asic_presets=("paper",)),
    Block("global_buffer", "duet", "GlobalBuffer", "GlobalBufferConfig", "on-chip memory of lines and of map bits",
          asic_presets=("paper",)),
    Block("cell_unit", "duet", "CellUnit", "CellUnitConfig", "state update of LSTM and GRU cells after the gates"),
    Block("duet_accelerator", "duet", "DuetAccelerator", "DuetAcceleratorConfig",
          "Speculator and Executor around a global buffer, run by commands", asic_presets=("fpga", "paper")),
    Block("dram_controller", "enmc", "DramController", "DramControllerConfig",
          "bursts of a rank's DDR4 chips in order, rows opened ahead, refresh",
          guards=(("chips__dq_out", "chips__dq_out_enable"), ("chips__dm", "chips__dq_out_enable"))),
    Block("enmc_controller", "enmc", "EnmcController", "EnmcControllerConfig",
          "instructions out of the host's DDR4 commands, in order to the units; registers, errors",
          isa="resilin.enmc.isa_files"),
    Block("enmc_executor", "enmc", "EnmcExecutor", "EnmcExecutorConfig",
          "FP32 multiply-adds and special functions for the accurate results of candidates"),
    Block("instruction_generator", "enmc", "InstructionGenerator", "InstructionGeneratorConfig",
          "candidates into groups of four, groups into micro-instructions"),
    Block("output_buffer", "enmc", "OutputBuffer", "OutputBufferConfig",
          "results, which of them are to be stored, each item's maximum"),
    Block("result_writer", "enmc", "ResultWriter", "ResultWriterConfig",
          "accurate results and the log of candidates as writes into the DRAM"),
    Block("screener", "enmc", "Screener", "ScreenerConfig", "approximate scores of all classes, and the candidates"),
    Block("enmc_rank", "enmc", "EnmcRank", "EnmcRankConfig",
          "Screener, Executor and memory of a rank behind the host's DDR4 port",
          vectors=("host_traffic", "layers"), asic_presets=("small", "fpga", "paper"), isa="resilin.enmc.isa_files"),
    Block("figs_engine", "figs", "FigsEngine", "FigsEngineConfig",
          "N:M sparse matrix products: program memory, swap registers that exchange activations, MAC units",
          asic_presets=("paper",)),
    Block("swap_register", "figs", "SwapRegister", "SwapRegisterConfig",
          "an activation on its way west, exchanged with those around it"),
    Block("figs_pe", "figs", "FigsPe", "FigsPeConfig", "multiply-accumulate units that share a swap register"),
    Block("figs_array", "figs", "FigsArray", "FigsArrayConfig",
          "elements in rows that exchange activations: N:M sparse products at a dense array's input",
          asic_presets=("paper",)),
    Block("dense_array", "figs", "DenseArray", "DenseArrayConfig", "rival of FiGS: every weight is a product",
          asic_presets=("paper",)),
    Block("mux_array", "figs", "MuxArray", "MuxArrayConfig",
          "rival of FiGS: a multiplexer over a window of activations before each multiplier",
          asic_presets=("paper",)),
)


def find(name):
    """The block called ``name``; a ``ValueError`` lists what there is."""
    for block in BLOCKS:
        if block.name == name:
            return block
    raise ValueError(f"block = {name!r} is not known: the blocks are " + ", ".join(block.name for block in BLOCKS))
