"""Run cocotb tests on a registered block, or on any component."""

import inspect
import os
import pathlib
import random

from amaranth.hdl import Fragment, Shape
from amaranth.lib import data, wiring

from hw.generate import generate
from sim import runner

from . import registry
from .options import check_seed

__all__ = ["describe_layout", "leaves", "simulate", "simulate_component"]


def _layout(shape):
    """The layout of a layout or of a ``data.Struct`` class, ``None`` of any other shape."""
    try:
        return data.Layout.cast(shape)
    except TypeError:
        return None


def leaves(shape):
    """The fields of an Amaranth layout, nested ones down to their leaves: (dotted name, offset, shape) of each.

    Nothing for a shape without fields.
    """
    if (layout := _layout(shape)) is not None:
        for key, field in layout:
            if _layout(field.shape) is not None:
                for name, offset, leaf in leaves(field.shape):
                    yield f"{key}.{name}", field.offset + offset, leaf
            else:
                yield str(key), field.offset, field.shape


def describe_layout(shape):
    """Fields of an Amaranth layout: dotted name -> [offset, width, signed], nested ones down to their leaves.

    Empty for a shape without fields.
    """
    plain = {name: (offset, Shape.cast(leaf)) for name, offset, leaf in leaves(shape)}
    return {name: [offset, leaf.width, leaf.signed] for name, (offset, leaf) in plain.items()}


def _ports(component):
    """Names of the input ports, and port or stream name -> layout, from a component's signature."""
    inputs, layouts = [], {}
    for path, member, _ in component.signature.flatten(component):
        name = "__".join(map(str, path))
        if member.flow == wiring.In:
            inputs.append(name)
        fields = describe_layout(member.shape)
        if fields:
            layouts[name.removesuffix("__payload")] = fields
    return inputs, layouts


def _make(component_class, config):
    """The component with its assertions on, where its constructor has the choice."""
    if "assertions" in inspect.signature(component_class).parameters:
        return component_class(config, assertions=True)
    return component_class(config)


def _choose_seed(seed):
    """``seed``, or ``RESILIN_SEED`` from the environment when that is set, or a random one for ``None``."""
    replay = os.environ.get("RESILIN_SEED")
    if replay is not None:
        if not replay.isdecimal():
            raise ValueError(f"RESILIN_SEED = {replay!r} is not allowed: it must be an integer of at least 0")
        return int(replay)
    if seed is None:
        return random.SystemRandom().randrange(2**32)
    check_seed(seed)
    return seed


def simulate_component(component, test_module, *, name=None, config=None, options=None, preset=None, seed=1,
                       testcase=None, waves=False, simulator="verilator", timeout=600, quiet=False, verilog=None,
                       max_failures=0, flat=False):
    """Run cocotb tests on a component that is not in the registry (a FIFO, a processing element, ...).

    Parameters
    ----------
    component: the ``wiring.Component``; make it with its assertions on
    test_module: name of the module with the cocotb tests, usually ``__name__``
    name: name of the top module; the component's class name in lower case when ``None``
    config, options: plain values for the tests, see :class:`sim.context.Context`
    seed: seed of every random choice; ``None`` draws one. ``RESILIN_SEED`` in the environment replaces it.
    testcase: name, or list of names, of the cocotb tests to run; all when ``None``
    waves: ``False``, ``True`` or ``"vcd"``, or ``"fst"``; written to ``build/waves/<name>-<seed>.<format>``
    simulator: ``"verilator"`` or ``"icarus"``
    timeout: wall-clock seconds after which the run is ended as hung
    quiet: print nothing
    verilog: text that is simulated in place of what is generated from the component
    max_failures: failed tests after which no further test is run; 0: all are run
    flat: whether Verilator compiles the whole design as one, for long runs (:mod:`sim.hierarchy`)

    Returns a :class:`sim.runner.Result`. Raises ``ValueError`` for a negative seed, and ``AssertionError``
    (:class:`sim.runner.SimulationError`) when a test or an assertion of the design failed, the simulator crashed, or
    no test ran.
    """
    name = name or type(component).__name__.lower()
    seed = _choose_seed(seed)
    waves = "vcd" if waves is True else (waves or None)
    inputs, layouts = _ports(component)
    tell = print if not quiet else lambda text: None
    tell(f"simulate {name}: simulator {simulator}, seed {seed}")
    if verilog is None:
        verilog = generate(component, name)
    else:
        Fragment.get(component, None)  # Amaranth warns of a component that is dropped
    result = runner.run(
        verilog, name, test_module, seed=seed, testcase=testcase, simulator=simulator,
        waves=waves,
        wave_file=pathlib.Path("build") / "waves" / f"{name}-{seed}.{waves}", timeout=timeout,
        max_failures=max_failures, flat=flat,
        context=dict(block=name, preset=preset, config=config or {}, options=options or {}, seed=seed,
                     simulator=simulator, inputs=inputs, layouts=layouts))
    tell(result.log)
    if result.waves:
        tell(f"waveforms: {result.waves}")
    return result


def simulate(block, *, preset="small", overrides=None, options=None, seed=1, testcase=None, waves=False,
             simulator="verilator", timeout=600, quiet=False, verilog=None, max_failures=0, flat=False):
    """Run the cocotb tests of a registered block.

    Parameters: ``block`` its name, ``preset`` and ``overrides`` (a dict of fields) make its configuration, the others
    as in :func:`simulate_component`. Assertions in the block are on.

    Returns a :class:`sim.runner.Result`. Raises ``ValueError`` for an unknown block, configuration value or seed and
    ``AssertionError`` when the run failed.
    """
    found = registry.find(block)
    config = found.config_class.preset(preset, overrides)
    seed = _choose_seed(seed)
    return simulate_component(
        _make(found.component_class, config), found.tests, name=found.name, config=config.to_dict(), preset=preset,
        options=options, seed=seed, testcase=testcase, waves=waves, simulator=simulator, timeout=timeout, quiet=quiet,
        verilog=verilog, max_failures=max_failures, flat=flat)
