"""Batch norms folded into the convolutions before them."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.tracing import trace

aten = torch.ops.aten


def fold_batch_norms(net: nn.Module, side: int, batch: BatchRange) -> fx.GraphModule:
    """What `net` (evaluation mode) does, with every batch norm folded whose convolution feeds nothing else.

    In the graph of torch.export there is one kind of batch norm, whatever class it had in the net (timm has its own),
    and a layer that is used twice stands there twice, so that each use is folded by itself. Others, as one before its
    convolution, stay. `net` is left as it is, and shares its other weights. Unsupported where the net cannot be traced.
    """
    module: fx.GraphModule = trace(net, side, batch).module()
    for norm in list(module.graph.nodes):
        if norm.target is not aten.batch_norm.default:
            continue
        convolution = norm.args[0]
        if convolution.target is aten.conv2d.default and len(convolution.users) == 1:
            _fold(module, convolution, norm)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _fold(module: fx.GraphModule, convolution: fx.Node, norm: fx.Node) -> None:
    """Arguments as in aten's schemas: conv2d(input, weight, bias, ...), batch_norm(input, weight, bias, mean, var,
    training, momentum, eps, ...)."""
    images, kernel, bias, *rest = (*convolution.args, None)[: max(3, len(convolution.args))]
    arguments: tuple[Any, ...] = norm.args[1:8]
    scale, shift, mean, variance, _, _, epsilon = arguments
    weight, shifted, average, spread = (_tensor(module, node) for node in (kernel, bias, mean, variance))
    folded = fuse_conv_bn_weights(
        weight, shifted, average, spread, epsilon, _tensor(module, scale), _tensor(module, shift)
    )
    with module.graph.inserting_before(convolution):
        nodes = []
        for name, weight in zip(("weight", "bias"), folded, strict=True):
            module.register_parameter(f"{convolution.name}_{name}", nn.Parameter(weight.detach(), requires_grad=False))
            nodes.append(module.graph.get_attr(f"{convolution.name}_{name}"))
    convolution.args = (images, *nodes, *rest)
    norm.replace_all_uses_with(convolution)
    module.graph.erase_node(norm)


def _tensor(module: fx.GraphModule, node: Any) -> Any:
    return None if node is None else operator.attrgetter(node.target)(module)
