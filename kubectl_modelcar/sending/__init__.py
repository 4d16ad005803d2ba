"""Layers on their way to a target: what is there already, what another repository can lend, and what must be sent."""

from kubectl_modelcar.sending.known import Known
from kubectl_modelcar.sending.seams import Base, ImageTarget, ModelSource
from kubectl_modelcar.sending.sender import PushedLayer, Sender
from kubectl_modelcar.sending.stream import LayerStream, WrongBytes
from kubectl_modelcar.sending.tagging import publish, until_nothing_is_lost
from kubectl_modelcar.sending.transfers import Transfers

__all__ = [
    "Base",
    "ImageTarget",
    "Known",
    "LayerStream",
    "ModelSource",
    "PushedLayer",
    "Sender",
    "Transfers",
    "WrongBytes",
    "publish",
    "until_nothing_is_lost",
]
