"""What a model needs to be served: its shape, the sizes that follow from it, the chart's values with their reasons."""

from kubectl_modelcar.serving.architecture import Architecture
from kubectl_modelcar.serving.plan import (
    Accelerator,
    ModelFacts,
    Reason,
    ServerImage,
    ServingPlan,
    Surroundings,
    Wishes,
    plan_serving,
)
from kubectl_modelcar.serving.quantity import format_bytes, parse_quantity

__all__ = [
    "Accelerator",
    "Architecture",
    "ModelFacts",
    "Reason",
    "ServerImage",
    "ServingPlan",
    "Surroundings",
    "Wishes",
    "format_bytes",
    "parse_quantity",
    "plan_serving",
]
