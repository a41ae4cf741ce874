from fastbs.models.build import build, unsupported_reason
