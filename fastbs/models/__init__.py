"""Models by name: our few, timm's, and the user's own."""

from fastbs.models.build import build
from fastbs.models.normalisation import norm_of, unsupported_reason

__all__ = ["build", "norm_of", "unsupported_reason"]
