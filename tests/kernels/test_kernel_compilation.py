"""The kernels compile for a card, here too: with loads of 128 bits, and all numbers in registers."""

import os
import re
import subprocess

import pytest

pytest.importorskip("triton")
CARD = 90  # compute capability of H100 and H200
POINTERS = {
    "table": "*i64",
    "tensors": "i32",
    "chunks": "*i32",
    "settings": "*fp64",
    "rates": "*i64",
    "steps": "*fp32",
    "found_inf": "*fp32",
    "grad_scale": "*fp32",
    "clip_factor": "*fp32",
    "partials": "*fp32",
    "counter": "*i32",
    "statistics": "*fp64",
}
FORMS = {"sgd": {"MOMENTUM": True, "NESTEROV": True, "DECOUPLED": False}, "adamw": {}}
ARRAYS = {"sgd": (3, 2), "adamw": (4, 3)}  # read, written


def compiled(kernel, signature, constants):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else signature[name] for name in names}
    aligned = {(n,): [["tt.divisibility", 16]] for n, name in enumerate(names) if signature[name].startswith("*")}
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, constexprs=values, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", CARD, 32), options={"num_warps": 4})


def registers_and_spills(binary, tmp_path):
    from triton import knobs

    ptx = tmp_path / "kernel.ptx"
    ptx.write_text(binary.asm["ptx"])
    tool = [knobs.nvidia.ptxas.path, "-v", f"--gpu-name=sm_{CARD}a", str(ptx), "-o", os.devnull]
    said = subprocess.run(tool, capture_output=True, text=True, check=True).stderr
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill", said)))
    return int(re.search(r"Used (\d+) registers", said)[1]), spilled


@pytest.fixture(autouse=True)
def compiler(tmp_path, monkeypatch):
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("kernels are interpreted: TRITON_INTERPRET=1")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("rule", ["sgd", "adamw"])
def test_an_update_reads_and_writes_128_bits_at_a_time_without_spilling(rule, low, statistics, tmp_path):
    import triton.language as tl

    from fastbs.kernels import adamw_kernel, launch, sgd_kernel

    kernel = {"sgd": sgd_kernel.sgd_kernel, "adamw": adamw_kernel.adamw_kernel}[rule]
    formats = {"GRADIENT_FORMAT": tl.bfloat16, "COPY_FORMAT": tl.bfloat16} if low else {}
    sizes = {"CHUNK": launch.CHUNK, "BLOCK": launch.BLOCK}
    given = {"GRADIENT_FORMAT": tl.float32, "COPY_FORMAT": None} | formats | sizes | FORMS[rule]
    binary = compiled(kernel, POINTERS, given | {"STATISTICS": statistics})
    read, written = ARRAYS[rule]
    loads, stores = (len(re.findall(rf"{kind}\.global\.v4\.b32", binary.asm["ptx"])) for kind in ("ld", "st"))
    each = launch.BLOCK // (32 * launch.WARPS) // 4  # 128-bit accesses to each fp32 array; to one of 16 bits, half
    assert loads == (each * read - low * each // 2)
    assert stores == (each * written + low * each // 2)
    registers, spilled = registers_and_spills(binary, tmp_path)
    assert spilled == 0 and registers <= 128


@pytest.mark.parametrize("side", [32, 224])
def test_augmentation_writes_128_bits_at_a_time_without_spilling(side, tmp_path):
    import triton.language as tl

    from fastbs.kernels import augment, augment_kernel

    signature = {"images": "*u8", "indices": "*i64", "offsets": "*i32", "flips": "*u8", "batch": "*bf16", "pad": "i32"}
    signature |= {f"{name}{channel}": "fp32" for name in ("mean", "scale") for channel in range(3)}
    constants = {"HEIGHT": side, "WIDTH": side, "FORMAT": tl.bfloat16, "BLOCK": augment.BLOCK}
    binary = compiled(augment_kernel.augment_kernel, signature, constants)
    assert re.findall(r"st\.global\S*", binary.asm["ptx"]) == ["st.global.v4.b32"]
    registers, spilled = registers_and_spills(binary, tmp_path)
    assert spilled == 0 and registers <= 64
