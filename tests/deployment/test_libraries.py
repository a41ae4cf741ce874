"""What is asked of libraries that this machine may lack: the arguments, the versions, the words of an error."""

import sys
import types
from pathlib import Path

import pytest
import torch

from fastbs.deployment.batch_range import batch_range
from fastbs.deployment.engine_build import build_engine, capabilities
from fastbs.deployment.engine_run import EngineCall
from fastbs.deployment.export import _this_card
from fastbs.deployment.library import need
from fastbs.deployment.numerics import in_precision
from fastbs.deployment.open_artifact import engine_for
from fastbs.deployment.with_torch_tensorrt import compile_and_save, compile_arguments, load_library
from fastbs.errors import BadInput
from fastbs.worker import Unsupported

# Parameters of torch_tensorrt.dynamo.compile that exist in 2.11.0, 2.12.0, 2.13.0 and 2.14.0 alike, read from the
# wheels. `enabled_precisions` and `use_explicit_typing` are not among them: 2.13 dropped both.
TORCH_TENSORRT_2_11_TO_2_14 = """
arg_inputs assume_dynamic_shape_support attn_bias_is_causal autocast_calibration_dataloader autocast_excluded_nodes
autocast_excluded_ops autocast_low_precision_type autocast_max_depth_of_reduction autocast_max_output_threshold
cache_built_engines cpu_memory_budget custom_engine_cache decompose_attention device disable_tf32 dla_global_dram_size
dla_local_dram_size dla_sram_size dryrun dynamically_allocate_resources enable_autocast
enable_experimental_decompositions enable_resource_partitioning enable_weight_streaming engine_cache_dir
engine_cache_size engine_capability exported_program hardware_compatible immutable_weights inputs kwarg_inputs
l2_limit_for_tiling lazy_engine_init max_aux_streams min_block_size num_avg_timing_iters offload_module_to_cpu
optimization_level pass_through_build_failures refit_identical_engine_weights require_full_compilation
reuse_cached_engines sparse_weights strip_engine_weights tiling_optimization_level timing_cache_path
torch_executed_modules torch_executed_ops truncate_double use_distributed_mode_trace use_fast_partitioner use_fp32_acc
use_python_runtime version_compatible workspace_size
"""


def test_torch_tensorrt_is_given_only_what_every_supported_version_takes(tmp_path):
    arguments = compile_arguments(tmp_path)
    assert set(arguments) <= set(TORCH_TENSORRT_2_11_TO_2_14.split())
    assert arguments["require_full_compilation"] and arguments["min_block_size"] == 1
    assert arguments["immutable_weights"] is False and arguments["cache_built_engines"]  # the cache needs the other
    assert Path(arguments["timing_cache_path"]).parent == tmp_path


def test_torch_tensorrt_compiles_the_whole_net_for_the_range_and_saves_it(tmp_path, monkeypatch):
    """The calls in order, with a stand-in for the library and the CPU for the card."""
    seen = {}

    class Input:
        def __init__(self, **arguments):
            seen["input"] = arguments

    def compile(program, *, inputs, **arguments):
        seen["program"], seen["arguments"] = program, arguments
        return "compiled"

    def save(module, path, *, output_format, arg_inputs):
        seen["saved"] = module, path, output_format, len(arg_inputs)

    library = types.ModuleType("torch_tensorrt")
    library.Input, library.save = Input, save
    library.dynamo = types.SimpleNamespace(compile=compile)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", library)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_: module)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    sizes = batch_range((2, 4, 16), 4, "one")
    compile_and_save(in_precision(net, "fp32", 8, sizes), 8, sizes, tmp_path, tmp_path / "cache")
    shapes = [seen["input"][f"{which}_shape"] for which in ("min", "opt", "max")]
    assert shapes == [(2, 3, 8, 8), (4, 3, 8, 8), (16, 3, 8, 8)] and seen["input"]["dtype"] == torch.float32
    (batch,) = seen["program"].range_constraints.values()
    assert (batch.lower, batch.upper) == (2, 16)
    assert seen["arguments"] == compile_arguments(tmp_path / "cache")
    assert seen["saved"] == ("compiled", str(tmp_path / "model.pt2"), "exported_program", 1)


def test_torch_tensorrt_says_what_it_cannot_do(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="profiles: torch-tensorrt builds one profile for all sizes"):
        compile_and_save(None, 8, batch_range((1, 4), None, "each"), tmp_path, tmp_path)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", types.ModuleType("torch_tensorrt"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unsupported, match="torch_tensorrt needs an NVIDIA GPU"):
        load_library()


def test_a_library_that_is_missing_or_broken_is_named_with_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"^no_such_library: not installed; pip install 'fastbs\[deploy\]'$"):
        need("no_such_library", "deploy")
    (tmp_path / "half_tensorrt.py").write_text("import no_such_library")
    (tmp_path / "torn_tensorrt.py").write_text("raise Exception('Could not find\\nlibnvinfer.so.11')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        BadInput, match="half_tensorrt: needs no_such_library, which is not installed; pip .* container"
    ):
        need("half_tensorrt", "tensorrt")
    with pytest.raises(
        BadInput, match=r"torn_tensorrt: cannot be loaded here \(Could not find libnvinfer.so.11\); pip"
    ):
        need("torn_tensorrt", "tensorrt")


def test_building_for_the_card_that_is_here_needs_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match="to: tensorrt builds for the GPU that is here, and there is none$"):
        _this_card("tensorrt")
    with pytest.raises(BadInput, match="there is none; name the cards with --compute-capability"):
        _this_card("tensorrt-rtx")


def test_an_engine_is_chosen_by_the_card():
    engines = [{"file": "sm86.engine", "compute_capability": "8.6"}, {"file": "b", "compute_capability": "12.0"}]
    assert engine_for({"engines": engines}, (12, 0)) == "b"
    with pytest.raises(Unsupported, match="for compute capability 8.6, 12.0, this card has 9.0; export anew on it"):
        engine_for({"engines": engines}, (9, 0))


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")


def test_rtx_names_its_capabilities_and_refuses_others(rtx, tmp_path):
    known = capabilities(rtx)
    assert {"7.5", "8.6", "12.0"} <= set(known) and known == sorted(known, key=float)
    write_graph(tmp_path / "model.onnx")
    with pytest.raises(BadInput, match="compute-capability: tensorrt_rtx builds for 7.5, .*, not for '9.0'"):
        build(rtx, tmp_path / "model.onnx", "9.0")


def test_what_a_parser_refuses_is_said_in_its_own_words(rtx, tmp_path):
    write_graph(tmp_path / "model.onnx", node="NoSuchOperator")
    with pytest.raises(Unsupported, match="tensorrt_rtx cannot parse the graph: .*NoSuchOperator"):
        build(rtx, tmp_path / "model.onnx", "8.6")
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(Unsupported, match="tensorrt_rtx cannot parse the graph: ."):
        build(rtx, tmp_path / "model.onnx", "8.6")


def test_an_engine_that_cannot_be_loaded_is_not_taken_for_one_that_can(rtx):
    with pytest.raises(RuntimeError, match="the library cannot load the engine: ."):
        EngineCall(rtx, b"nothing", batch_range((1, 4), None, "one"))


@pytest.mark.parametrize("exact", [True, False])
def test_fp32_is_not_computed_in_tf32(tmp_path, exact):
    """TensorRT does by default. With a stand-in for the library, which also shows profiles and timing cache."""
    calls, cache = [], tmp_path / "caches" / "timing"

    class Anything:
        def __init__(self, name=""):
            self._name = name

        def __getattr__(self, name):
            return Anything(f"{self._name}.{name}" if self._name else name)

        def __call__(self, *arguments, **keywords):
            calls.append((self._name, arguments, keywords))
            if self._name.endswith("get_input"):
                return types.SimpleNamespace(shape=(-1, 3, 8, 8))
            if self._name.endswith("serialize"):
                return b"timings"
            return b"engine" if self._name.endswith("build_serialized_network") else Anything(self._name)

        def __int__(self):
            return 1

    library = Anything()
    library.ILogger = type("ILogger", (), {"ERROR": 1})
    library.__name__ = "tensorrt"
    batch = batch_range((1, 4), None, "each")
    assert build_engine(library, tmp_path / "m", batch, exact_fp32=exact, timing_cache=cache) == b"engine"
    names = [name.rpartition(".")[2] for name, _, _ in calls]
    assert ("clear_flag" in names) == exact and names.count("add_optimization_profile") == 2
    shapes = [arguments[1:] for name, arguments, _ in calls if name.endswith("set_shape")]
    assert shapes == [((1, 3, 8, 8),) * 3, ((4, 3, 8, 8),) * 3]
    assert next(arguments for name, arguments, _ in calls if name.endswith("create_network")) == (1 << 1,)
    assert cache.read_bytes() == b"timings"


def build(library, model, capability):
    return build_engine(library, model, batch_range((1, 4), None, "one"), exact_fp32=True, capability=capability)


def write_graph(file, node="Relu"):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    value = [onnx.helper.make_tensor_value_info(name, 1, ["batch", 3, 8, 8]) for name in ("images", "logits")]
    graph = onnx.helper.make_graph([onnx.helper.make_node(node, ["images"], ["logits"])], "g", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)]), file)
