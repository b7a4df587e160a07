"""Statistics of batch normalisations, so that activations keep a trained network's scale."""

from __future__ import annotations

from typing import Any


def calibrate(model: Any, batch: Any) -> Any:
    """Set those of all batch normalisations, frozen ones too, from a batch of images, each after
    those before it; gives what the model then makes of the batch.
    """
    import torch

    def measured(norm: Any, inputs: tuple[Any, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = [module for module in model.modules() if hasattr(module, "running_var")]
    hooks = [norm.register_forward_pre_hook(measured) for norm in norms]
    with torch.no_grad():
        result = model.eval()(batch)
    for hook in hooks:
        hook.remove()
    return result
