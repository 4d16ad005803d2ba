"""What a model needs to be served: its shape, the sizes that follow from it, the chart's values with their reasons."""

from kubectl_modelcar.serving.architecture import Architecture
from kubectl_modelcar.serving.model import ModelFacts, ModelImage, describe_model
from kubectl_modelcar.serving.plan import (
    Accelerator,
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
    "ModelImage",
    "Reason",
    "ServerImage",
    "ServingPlan",
    "Surroundings",
    "Wishes",
    "describe_model",
    "format_bytes",
    "parse_quantity",
    "plan_serving",
]
